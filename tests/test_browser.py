"""The notebooks in JupyterLab, in a real browser: what a learner sees, and what a slider does.

Needs chromium; without it these tests are skipped, or fail where CACHEPOOL_CI_BROWSER=1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from cachepool_lib.lab._embedded import _free_port

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIRST = "00-start-here.ipynb"
# No other kind of test sees a slider move.
WITH_SLIDER = sorted(
    path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb") if "lab.slider(" in path.read_text()
)
SECONDS_TO_START = 60
SECONDS_TO_RUN = 180

# One JupyterLab for all of them: they stay on one worker.
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        if os.environ.get("CACHEPOOL_CI_BROWSER") == "1":
            pytest.fail("no chromium on this machine, and CACHEPOOL_CI_BROWSER=1 asks for it")
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@dataclass
class Lab:
    url: str
    folder: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks without outputs, knowing no one's settings."""
    home = tmp_path_factory.mktemp("jupyter")
    folder = home / "root" / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in [FIRST, *WITH_SLIDER]:
        notebook = nbformat.read(folder / name, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / name)
    kinds = "JUPYTER_CONFIG JUPYTER_DATA JUPYTERLAB_SETTINGS JUPYTERLAB_WORKSPACES"
    folders = {f"{kind}_DIR": str(home / kind) for kind in kinds.split()}
    # Kernels are reached by files, whose names must be short: ports may be another test's by then.
    folders["JUPYTER_RUNTIME_DIR"] = short = tempfile.mkdtemp(prefix="cp-")
    port = _free_port()
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
                *("--IdentityProvider.token=", f"--ServerApp.root_dir={folder.parent}"),
                "--KernelManager.transport=ipc",
                *("--LabApp.extension_manager=readonly", "--LabApp.expose_app_in_browser=True"),
            ],
            env=os.environ | folders | {"IPYTHONDIR": str(home / "ipython")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + SECONDS_TO_START
        while not _answers(f"{url}/api"):
            assert server.poll() is None and time.monotonic() < deadline, (
                f"JupyterLab does not answer:\n{(home / 'log').read_text()[-2000:]}"
            )
            time.sleep(0.1)
        yield Lab(url, folder)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise
        finally:
            shutil.rmtree(short)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


@dataclass
class Opened:
    """A notebook in JupyterLab: its page, its cells, what it asked of other machines."""

    page: Page
    content: nbformat.NotebookNode
    elsewhere: list[str] = field(default_factory=list)

    @property
    def code_cells(self) -> list[nbformat.NotebookNode]:
        return [c for c in self.content.cells if c.cell_type == "code" and c.source.strip()]

    @property
    def failed(self) -> list[str]:
        return [
            f"{cell.source}\n{output.ename}: {output.evalue}"
            for cell in self.code_cells
            for output in cell.outputs
            if output.output_type == "error"
            and "raises-exception" not in cell.metadata.get("tags", [])
        ]

    def not_run(self, last: int) -> list[str]:
        return [c.source for c in self.code_cells[: last + 1] if c.execution_count is None]

    def run(self, *how: str, last: int) -> None:
        """Choose these entries of menus, and wait for the code cells up to number *last*."""
        for entry in how:
            self.page.get_by_role("menuitem", name=entry, exact=True).click()
        deadline = time.monotonic() + SECONDS_TO_RUN
        while self.not_run(last) and not self.failed and time.monotonic() < deadline:
            self.page.wait_for_timeout(500)
            # The page draws only the cells near the screen; JupyterLab's model holds them all.
            model = self.page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON()")
            self.content = nbformat.from_dict(model)
        assert not self.failed, self.failed[0]
        assert not self.not_run(last), f"not run in {SECONDS_TO_RUN} s: {self.not_run(last)[0]}"
        assert self.elsewhere == []


@contextmanager
def _opened(browser: Browser, lab: Lab, name: str) -> Iterator[Opened]:
    """Open the notebook *name*, with a kernel that waits for work."""
    page = browser.new_page(
        viewport={"width": 1600, "height": 900}, permissions=["local-network-access"]
    )
    notebook = Opened(page, nbformat.read(lab.folder / name, as_version=4))

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
        page.goto(f"{lab.url}/lab/tree/notebooks/{name}?reset")
        page.get_by_text("| Idle").wait_for(timeout=SECONDS_TO_START * 1000)
        yield notebook
    finally:
        page.unroute_all(behavior="ignoreErrors")
        page.close()


def _scroll_to(page: Page, selector: str) -> Locator:
    """Scroll the notebook from its top until it holds *selector*: it draws what is near only."""
    notebook = page.locator(".jp-WindowedPanel-outer")
    notebook.evaluate("element => element.scrollTop = 0")
    found = page.locator(selector).first
    while not found.count():
        page.wait_for_timeout(100)
        assert notebook.evaluate(
            """element => {
                const before = element.scrollTop;
                element.scrollTop += element.clientHeight / 2;
                return element.scrollTop > before;
            }"""
        ), f"nothing in the notebook matches {selector}"
    found.scroll_into_view_if_needed()
    return found


def test_a_learner_runs_all_cells(browser: Browser, lab: Lab) -> None:
    """Every cell runs, none fails that isn't meant to, nothing is fetched from elsewhere."""
    with _opened(browser, lab, FIRST) as notebook:
        notebook.run("Run", "Run All Cells", last=len(notebook.code_cells))


@pytest.mark.parametrize("name", WITH_SLIDER)
def test_a_learner_moves_a_slider(browser: Browser, lab: Lab, name: str) -> None:
    """After all cells up to it, as a notebook says how to go on after a restart: one key press
    moves it and draws another picture, as sharp as any chart.
    """
    with _opened(browser, lab, name) as notebook:
        cells = notebook.content.cells
        [place] = [n for n, cell in enumerate(cells) if "lab.slider(" in cell.source]
        select = "place => jupyterapp.shell.currentWidget.content.activeCellIndex = place"
        notebook.page.evaluate(select, place + 1)
        last = notebook.code_cells.index(cells[place])
        notebook.run("Run", "Run All Above Selected Cell", last=last)
        _move_slider(notebook.page)
        assert notebook.elsewhere == []


def _move_slider(page: Page) -> None:
    handle = _scroll_to(page, ".noUi-handle")
    output = page.locator(".jp-OutputArea-output:has(.noUi-handle)").first
    picture, number = output.locator("img"), output.locator(".widget-readout").first
    source, drawn, said = picture.get_attribute("src"), picture.screenshot(), number.inner_text()
    handle.press("ArrowRight")
    expect(number).not_to_have_text(said)
    expect(picture).not_to_have_attribute("src", source or "", timeout=10_000)
    picture.evaluate("image => image.decode()")
    assert picture.screenshot() != drawn
    assert picture.evaluate("image => image.width <= image.naturalWidth")
