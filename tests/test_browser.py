"""The notebooks in JupyterLab, in a real browser: what a learner sees, and what a slider does.

Needs chromium; without it these tests are skipped, or fail where CACHEPOOL_CI_BROWSER=1.
"""

import json
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
from playwright.sync_api import Browser, Locator, Page, Route, expect

from cachepool_lib.lab.copies import ORIGIN, make_copies
from cachepool_lib.lab.servers.embedded import free_port
from tests.tools.browser import chromium
from tests.tools.ci import in_ci

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIRST = "00-start-here.ipynb"
# No other kind of test sees a slider move.
WITH_SLIDER = sorted(
    path.name
    for path in NOTEBOOKS.glob("[0-9]*.ipynb")
    if "lab.slider(" in path.read_text(encoding="utf-8")
)
SECONDS_TO_START = 60
SECONDS_TO_RUN = 180

# One JupyterLab for all of them: they stay on one worker.
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@dataclass
class Lab:
    url: str
    folder: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab as `make lab` opens it, in a project's folder, knowing no one's settings."""
    home = tmp_path_factory.mktemp("jupyter")
    project = home / "project"
    shutil.copytree(
        NOTEBOOKS, project / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )
    shutil.copytree(NOTEBOOKS.parent / "docs", project / "docs")
    kinds = "JUPYTER_CONFIG JUPYTER_DATA JUPYTERLAB_SETTINGS JUPYTERLAB_WORKSPACES"
    folders = {f"{kind}_DIR": str(home / kind) for kind in kinds.split()}
    # Kernels are reached by files, whose names must be short: ports may be another test's by then.
    folders["JUPYTER_RUNTIME_DIR"] = short = tempfile.mkdtemp(prefix="cp-")
    port = free_port()
    settings = {
        "ServerApp": {"port": port, "port_retries": 0},
        "IdentityProvider": {"token": ""},
        "KernelManager": {"transport": "ipc"},
        "LabApp": {"expose_app_in_browser": True, "open_browser": False},
    }
    (home / "JUPYTER_CONFIG").mkdir()
    (home / "JUPYTER_CONFIG/jupyter_server_config.json").write_text(
        json.dumps(settings), encoding="utf-8"
    )
    with (home / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "cachepool_lib.lab.course", "open"],
            cwd=project,
            env=os.environ
            | folders
            | {"IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(NOTEBOOKS.parent)},
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

    def look(self) -> None:
        """Take what JupyterLab holds: its page draws only the cells near the screen."""
        model = self.page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON()")
        self.content = nbformat.from_dict(model)

    def run(self, *how: str, last: int) -> None:
        """Choose these entries of menus, and wait for the code cells up to number *last*."""
        for entry in how:
            self.page.get_by_role("menuitem", name=entry, exact=True).click()
        deadline = time.monotonic() + SECONDS_TO_RUN
        while self.not_run(last) and not self.failed and time.monotonic() < deadline:
            self.page.wait_for_timeout(500)
            self.look()
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
        page.goto(f"{lab.url}/lab/tree/work/{name}?reset")
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


def test_no_result_is_seen_before_it_was_asked_for(browser: Browser, lab: Lab) -> None:
    """Opened, a notebook holds no output at all; run, every cell has its own, none fails that isn't
    meant to, and nothing is fetched from elsewhere.
    """
    stored = nbformat.read(NOTEBOOKS / FIRST, as_version=4)
    answers = [
        line
        for cell in stored.cells
        for output in cell.get("outputs", [])
        for line in output.get("text", "").splitlines()
        if "a common first guess" in line
    ]
    assert answers, "of the guesses in it, the results are printed"
    with _opened(browser, lab, FIRST) as notebook:
        notebook.look()
        assert not any(cell.outputs for cell in notebook.code_cells)
        assert not notebook.page.locator(".jp-OutputArea-output").count()
        picture = notebook.page.locator(".jp-MarkdownCell img").first
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)")
        notebook.run("Run", "Run All Cells", last=len(notebook.code_cells))
        shown = [o.get("text", "") for cell in notebook.code_cells for o in cell.outputs]
        assert all(any(answer in text for text in shown) for answer in answers)
        answer = json.dumps(answers[0], ensure_ascii=False)
        _scroll_to(notebook.page, f".jp-OutputArea-output:has-text({answer})")
        notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    assert make_copies(NOTEBOOKS, lab.folder) == [], "saved, it is still known what it is a copy of"
    saved = nbformat.read(lab.folder / FIRST, as_version=4)
    assert saved.metadata[ORIGIN] == [cell.id for cell in stored.cells]
    assert any(cell.get("outputs") for cell in saved.cells)


@in_ci
@pytest.mark.parametrize("name", WITH_SLIDER)
def test_a_learner_moves_a_slider(browser: Browser, lab: Lab, name: str) -> None:
    """After all cells up to it, as a notebook says how to go on after a restart: one key press
    moves it and draws another picture, as sharp as any chart.
    """
    with _opened(browser, lab, name) as notebook:
        cells = notebook.content.cells
        place = next(n for n, cell in enumerate(cells) if "lab.slider(" in cell.source)
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
