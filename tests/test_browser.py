"""The notebooks in JupyterLab, in a real browser: what a learner sees, runs, moves and types.

Pictures of each notebook are left in build/browser/: as it is after all cells have run, and in the
dark theme at 150 %, all that folds open. Needs chromium; without it these tests are skipped, or
fail where CACHEPOOL_CI_BROWSER=1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser, Locator, expect

from cachepool_lib.lab.classroom.cells import exercises, solution, tagged
from cachepool_lib.lab.copies import ORIGIN, make_copies
from tests.tools import jupyterlab
from tests.tools.axe import violations
from tests.tools.browser import chromium
from tests.tools.ci import in_ci
from tests.tools.jupyterlab import Lab, Notebook
from tests.tools.notebook_tools import NOTEBOOKS, ROOT, read

# Of a test with what it waits for: a notebook that is run on a machine busy with much else.
pytestmark = pytest.mark.timeout(jupyterlab.SECONDS_TO_RUN + 200)

PICTURES = ROOT / "build" / "browser"
# Of one exercise in each notebook: what of our solution a learner gets wrong, and how.
SLIPS = {
    "00-1": ("/ visits if visits else 0.0", "/ misses"),
    "01-2": ("if key not in flights:", "if True:"),
    "02-4": ('"EVAL", script, 1, name, token', '"DEL", name'),
    "03-1": ("return kind, value", "return value"),
    "04-3": ("if not waiter.done():", "if True:"),
    "05-2": ('    await cache.delete("version")', ""),
    "06-2": ("one.hits + one.stale_hits", "one.hits"),
    "07-3": ("patience / seconds - 1", "patience / seconds"),
}
OUTPUTS = ".jp-OutputArea-output"
PROSE = ".jp-MarkdownOutput"

# What JupyterLab and ipywidgets draw and nobody can tell them otherwise: a picture has no text, a
# slider's handle no name, a link in a sentence its colour alone, code in prose colours of its own,
# a box to tick no label.
NOT_OURS = re.compile(
    'image-alt: <img (src="data:|[^>]*widget-image)'
    '|aria-input-field-name: <div class="noUi-handle|link-in-text-block: '
    '|color-contrast: <span class="ͼ'
    '|label: <input disabled="disabled" type="checkbox">'
)

# Of each picture that a cell shows: its own width, how wide it is drawn, and its bytes.
PICTURE = """async image => {
    await image.decode();
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    return {dots: image.naturalWidth, width: image.width, bytes: bytes.join()};
}"""
# What is wider than its room, and so is cut, or has to be pushed aside to be read.
CUT = """parts => parts.filter(part =>
    [part, ...part.querySelectorAll("*")].some(inner =>
        inner.scrollWidth > inner.clientWidth + 1 && getComputedStyle(inner).overflowX != "visible")
).map(part => part.innerText)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyterlab.started(tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab


# Two at a time, each in a JupyterLab of its own: much of what they do is waiting.
EVERY = [
    pytest.param(
        path,
        id=path.stem,
        marks=[
            pytest.mark.xdist_group(f"browser {number % 2}"),
            *([] if path.name.startswith("00") else [in_ci]),
        ],
    )
    for number, path in enumerate(NOTEBOOKS)
]


@pytest.fixture(scope="module", params=EVERY)
def path(request: pytest.FixtureRequest) -> Path:
    """The original of a learner's copy."""
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def stored(path: Path) -> NotebookNode:
    return read(path)


@pytest.fixture(scope="module")
def opened(browser: Browser, lab: Lab, path: Path) -> Iterator[Notebook]:
    with jupyterlab.opened(browser, lab, path.name) as notebook:
        yield notebook


@pytest.fixture(scope="module")
def ran(opened: Notebook, path: Path) -> Notebook:
    """After Run All Cells: all that the tests below do to it leaves the cells as they are."""
    opened.run_all()
    opened.view_whole(1280)
    opened.picture(PICTURES / f"{path.stem}.png")
    opened.view(1280, 900)
    return opened


def test_no_result_is_seen_before_it_was_asked_for(opened: Notebook, stored: NotebookNode) -> None:
    """A copy opens without any output, what is folded is folded, and its pictures are there."""
    assert any(cell.get("outputs") for cell in stored.cells)
    opened.look()
    assert not any(cell.outputs or cell.execution_count for cell in opened.code_cells)
    assert not opened.page.locator(OUTPUTS).count()
    assert not opened.page.locator("details[open]").count()
    for picture in opened.page.locator(".jp-MarkdownCell img").all():
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)")


def test_every_chart_is_there(ran: Notebook, stored: NotebookNode) -> None:
    """After Run All Cells, which no cell stops, each cell shows the charts that the original has,
    sharp, with the same line of text, and nothing was fetched from elsewhere.
    """
    for number, (cell, original) in enumerate(zip(ran.content.cells, stored.cells, strict=True)):
        here, there = charts(cell), charts(original)
        assert len(here) == len(there), cell.source
        assert list(map(same, here)) == list(map(same, there)), cell.source
        pictures = ran.cell(number).locator(f"{OUTPUTS} img").all()
        assert len(pictures) == len(there), cell.source
        for picture in pictures:
            seen = picture.evaluate(PICTURE)
            assert 300 < seen["width"] <= seen["dots"], cell.source
    assert ran.elsewhere == []


def charts(cell: NotebookNode) -> list[str]:
    """The line of text of each chart under a cell."""
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [one["text/plain"] for one in data if "image/png" in one]


def same(text: str) -> str:
    """What of it is the same on a busy machine: of real times, what they are times of."""
    what = text.partition(":")[0]
    return what if what.endswith("real") else text


def test_each_slider_draws_another_chart(ran: Notebook, stored: NotebookNode) -> None:
    """One press of a key moves it, says where it is, and its chart is another one, as sharp."""
    sliders = [n for n, cell in enumerate(stored.cells) if "lab.slider(" in cell.source]
    handles = [ran.cell(number).locator(".noUi-handle") for number in sliders]
    assert all(handle.count() for handle in handles)
    assert sum(handle.count() for handle in handles) == ran.page.locator(".noUi-handle").count()
    for number in sliders:
        for control in ran.cell(number).locator(".widget-slider").all():
            move(control, ran.cell(number).locator(f"{OUTPUTS} img"))


def move(control: Locator, picture: Locator) -> None:
    before, source = picture.evaluate(PICTURE), picture.get_attribute("src") or ""
    readout = control.locator(".widget-readout")
    said = readout.inner_text()
    control.locator(".noUi-handle").press("ArrowRight")
    expect(readout).not_to_have_text(said)
    expect(picture).not_to_have_attribute("src", source, timeout=30_000)
    after = picture.evaluate(PICTURE)
    assert after["bytes"] != before["bytes"]
    assert after["width"] <= after["dots"]


def test_a_hint_folds_out(ran: Notebook, stored: NotebookNode) -> None:
    """Each exercise has one; clicked, it shows its text."""
    folds = ran.page.locator(f"{PROSE} details")
    hints = folds.filter(has=ran.page.locator("summary", has_text="Hint")).all()
    assert len(hints) >= len(exercises(stored))
    for hint in hints:
        text = hint.locator(":scope > :not(summary)").first
        expect(text).to_be_hidden()
        hint.locator("summary").click()
        expect(text).to_be_visible()
        assert text.inner_text().strip()


def test_a_check_answers_what_a_learner_types(ran: Notebook, stored: NotebookNode) -> None:
    """Not solved yet, as the exercises come; a wrong answer, typed in place of the stub, is told a
    hint and gets no tick; the right one gets it.
    """
    names = exercises(stored)
    for name in names:
        result = ran.cell(tagged(stored, f"check-{name}")).locator(OUTPUTS)
        expect(result).to_contain_text("not solved yet")
    slips = SLIPS.keys() & names.keys()
    assert slips or not names, "no slip in any of its exercises is among SLIPS: add one"
    for name in slips:
        right = solution(stored, name)
        wrong = right.replace(*SLIPS[name])
        assert wrong != right, f"the slip of {name} is not in its solution any more"
        number, check = tagged(stored, f"exercise-{name}"), tagged(stored, f"check-{name}")
        assert check == number + 1
        result = ran.cell(check).locator(OUTPUTS)
        ran.write(number, wrong)
        told = result.inner_text()
        assert told.startswith("✗") and "✓" not in told
        assert told.partition("\nhint")[2].strip()
        ran.write(number, right)
        assert result.inner_text().startswith("✓")


def test_a_saved_copy_knows_its_original(ran: Notebook, lab: Lab, path: Path) -> None:
    """Saved by JupyterLab, with outputs and an answer, it is still a copy of what it was."""
    ran.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    assert make_copies(path.parent, lab.work) == []
    saved = read(lab.work / path.name)
    assert saved.metadata[ORIGIN] == [cell.id for cell in read(path).cells]
    assert any(cell.get("outputs") for cell in saved.cells)


def test_it_can_be_read_in_the_dark_at_150_percent(ran: Notebook, path: Path) -> None:
    """In the dark theme and a window of 1,280 pixels, zoomed, the list of files folded away: no
    output or prose is wider than its room, and axe finds nothing in either, all that folds open.
    """
    ran.theme("JupyterLab Dark")
    ran.page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    ran.view_whole(853, scale=1.5)
    # The body of JupyterLab's page has no height; axe would take all that is in it for hidden.
    ran.page.add_style_tag(content="body {height: 100vh}")
    found = violations(ran.page, f"{OUTPUTS}, {PROSE}")
    # What folds open is open now. Drawn at its own size: zoomed, it is higher than chromium paints.
    ran.view_whole(853)
    ran.picture(PICTURES / f"{path.stem}-dark-150.png")
    assert [violation for violation in found if not NOT_OURS.match(violation)] == []
    cut: list[Any] = ran.page.locator(f"{OUTPUTS}, {PROSE}").evaluate_all(CUT)
    assert cut == []
