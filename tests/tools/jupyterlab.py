"""JupyterLab as `make lab` starts it, and a notebook in it, as a learner's browser shows it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from playwright.sync_api import Browser, CDPSession, Locator, Page, Route, TimeoutError, expect

from cachepool_lib.lab.classroom.cells import code_cells, tags
from cachepool_lib.lab.servers.embedded import free_port
from tests.tools.notebook_tools import ROOT

SECONDS_TO_START = 120
SECONDS_TO_RUN = 400  # all cells of a notebook, on a machine that is busy with much else

# -- the server --------------------------------------------------------------------------------


@dataclass
class Lab:
    url: str
    work: Path


# `make lab` takes no configuration, so these come with its own options: a port and no password; an
# app that can be asked what it holds; kernels that are reached by files, since their ports may be
# another test's by the time they are taken.
START = """
import sys
from cachepool_lib.lab import course
from jupyterlab.labapp import LabApp
launch = LabApp.launch_instance
LabApp.launch_instance = lambda options: launch([*options, *sys.argv[1:]])
sys.exit(course.main(["open"]))
"""
OPTIONS = [
    "--no-browser",
    "--ServerApp.port_retries=0",
    "--IdentityProvider.token=",
    "--KernelManager.transport=ipc",
    "--LabApp.expose_app_in_browser=True",
]


@contextmanager
def started(home: Path) -> Iterator[Lab]:
    """JupyterLab in a project's folder under *home*, with new copies and nobody's settings."""
    project = home / "project"
    no_drafts = shutil.ignore_patterns(".ipynb_checkpoints")
    shutil.copytree(ROOT / "notebooks", project / "notebooks", ignore=no_drafts)
    shutil.copytree(ROOT / "docs", project / "docs")
    port = free_port()
    with (home / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", START, *OPTIONS, f"--ServerApp.port={port}"],
            cwd=project,
            env=os.environ | {"JUPYTER_CONFIG_DIR": str(home / "jupyter"), "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + SECONDS_TO_START
        while not _answers(f"{url}/api"):
            assert server.poll() is None and time.monotonic() < deadline, (
                "JupyterLab does not answer:\n" + (home / "log").read_text(encoding="utf-8")[-2000:]
            )
            time.sleep(0.1)
        yield Lab(url, project / "work")
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


# -- a notebook in the browser -----------------------------------------------------------------

# The cells that JupyterLab holds, and those that are run: code that is not empty.
CELLS = "jupyterapp.shell.currentWidget.content.widgets"
CODE = f"{CELLS}.filter(({{model}}) => model.type == 'code' && model.sharedModel.source.trim())"
KERNEL = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
MEANT_TO_FAIL = "raises-exception"
RUN_OR_FAILED = f"""() => {{
    const failed = ({{model}}) =>
        Array.from(model.outputs, (_, at) => model.outputs.get(at).type).includes("error")
        && !(model.getMetadata("tags") ?? []).includes("{MEANT_TO_FAIL}");
    const run = ({{model}}) => model.executionCount !== null;
    return {CODE}.some(failed) || ({KERNEL}.status == "idle" && {CODE}.every(run));
}}"""
# From its first cell to its last, without the room that JupyterLab leaves below.
HEIGHT = """() => {
    const panel = document.querySelector(".jp-WindowedPanel-outer");
    panel.scrollTop = 0;
    const top = document.querySelector(".jp-Cell").getBoundingClientRect().top;
    const end = document.querySelector(".jp-Notebook-footer").getBoundingClientRect().bottom;
    return Math.ceil(end - top);
}"""
AROUND = 140  # pixels of JupyterLab above and below a notebook
PICTURES_DRAWN = """() => Promise.all([...document.images].map(image => image.decode()))"""


@dataclass
class Notebook:
    """A notebook in JupyterLab: its page, its cells as last looked at, what it asked elsewhere."""

    page: Page
    devtools: CDPSession
    content: NotebookNode
    elsewhere: list[str] = field(default_factory=list)

    @property
    def code_cells(self) -> list[NotebookNode]:
        return code_cells(self.content.cells)

    def look(self) -> None:
        """Take the cells as JupyterLab holds them now."""
        model = self.page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON()")
        self.content = nbformat.from_dict(model)

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-Cell").nth(number)

    def choose(self, *entries: str) -> None:
        """Choose these entries of menus, one after the other."""
        for entry in entries:
            self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def theme(self, name: str) -> None:
        change = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
        self.page.evaluate(change, name)
        self.page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")

    def run_all(self) -> None:
        """Run all cells from the menu, wait for the last, and look: none may fail."""
        self.choose("Run", "Run All Cells")
        with suppress(TimeoutError):
            limit = SECONDS_TO_RUN * 1000
            self.page.wait_for_function(RUN_OR_FAILED, timeout=limit, polling=500)
        self.look()
        failed = [
            f"{cell.source}\n{output.ename}: {output.evalue}"
            for cell in self.code_cells
            for output in cell.outputs
            if output.output_type == "error" and MEANT_TO_FAIL not in tags(cell)
        ]
        assert not failed, failed[0]
        waiting = [cell.source for cell in self.code_cells if cell.execution_count is None]
        assert not waiting, f"not run within {SECONDS_TO_RUN} s:\n{waiting[0]}"

    def write(self, number: int, code: str) -> None:
        """Put *code* in place of what is in the cell, run it and the one after it, and wait."""
        counts = f"{CELLS}.slice({number}, {number + 2}).map(cell => cell.model.executionCount)"
        before = self.page.evaluate(counts)
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(code)
        assert self.page.evaluate(f"{CELLS}[{number}].model.sharedModel.source") == code
        for _ in range(2):
            self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(
            f"before => {counts}.every((count, at) => count !== null && count != before[at])",
            arg=before,
        )

    def view(self, width: int, height: int, scale: float = 1) -> None:
        """Show the page in a window of so many pixels, each of *scale* dots: as zooming does."""
        self.devtools.send(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False},
        )

    def view_whole(self, width: int, scale: float = 1) -> None:
        """Show it in a window that is as high as all of its cells: the browser draws no others."""
        height = 0
        while height != (height := self.page.evaluate(HEIGHT)):  # what is drawn may be higher
            self.view(width, height + AROUND, scale)
            self.page.evaluate(PICTURES_DRAWN)

    def picture(self, file: Path) -> None:
        """Write a picture of what the window shows."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.devtools.send("Page.captureScreenshot")["data"]))


@contextmanager
def opened(browser: Browser, lab: Lab, name: str) -> Iterator[Notebook]:
    """Open the learner's copy of the notebook *name*, with a kernel that waits for work."""
    page = browser.new_page(
        viewport={"width": 1280, "height": 900}, permissions=["local-network-access"]
    )
    devtools = page.context.new_cdp_session(page)
    notebook = Notebook(page, devtools, nbformat.read(lab.work / name, as_version=4))

    def answer(route: Route) -> None:
        # Fetched here: chromium drops its requests when the machine's addresses change, and they
        # do whenever another test starts a container.
        if route.request.url.startswith(f"{lab.url}/"):
            route.fulfill(response=route.fetch())
        else:
            notebook.elsewhere.append(route.request.url)
            route.abort()

    page.route("**/*", answer)
    try:
        page.goto(f"{lab.url}/lab/tree/work/{name}?reset")
        page.get_by_text("| Idle").wait_for(timeout=SECONDS_TO_START * 1000)
        # The cells below the screen are drawn one after the other, whenever nothing else is to do.
        every = page.locator(".jp-Notebook .jp-Cell")
        expect(every).to_have_count(len(notebook.content.cells), timeout=SECONDS_TO_START * 1000)
        notebook.theme("JupyterLab Light")  # Lab keeps what the one before has chosen
        yield notebook
    finally:
        page.evaluate("globalThis.jupyterapp?.serviceManager.sessions.shutdownAll()")
        page.unroute_all(behavior="ignoreErrors")
        page.close()
