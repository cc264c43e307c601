"""Pages, slides and guide in a real browser: nobody is kept out, and no line is cut.

Made of stored outputs. Needs chromium; without it these tests are skipped, or fail where
CACHEPOOL_CI_BROWSER=1.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from cachepool_lib.lab.classroom.guide import make_guide
from cachepool_lib.lab.notebook.checks import Report, Result
from cachepool_lib.lab.pages import page as page_of
from cachepool_lib.lab.slides import copy_reveal, deck
from tests.tools.axe import violations, violations_of_slides
from tests.tools.browser import chromium
from tests.tools.ci import in_ci
from tests.tools.notebook_tools import NOTEBOOKS, read

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
PAPER = {"viewport": {"width": 703, "height": 1000}}  # A4 without its margins, 186 mm

# Texts and pictures that are not all within what holds them, or that one has to scroll for.
CUT = """() => {
    const cut = [], edge = document.documentElement.clientWidth;
    const holders = element => element == document.body ? [] :
        [...holders(element.parentElement), ...getComputedStyle(element).overflowX == "visible"
                                               ? [] : [element.getBoundingClientRect().right]];
    document.querySelectorAll("details").forEach(one => one.open = true);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode, range = document.createRange();
        range.selectNodeContents(text);
        const right = Math.min(edge, ...holders(text.parentElement)) + 1;
        if (text.data.trim() && [...range.getClientRects()].some(box => box.right > right))
            cut.push(text.data.trim().slice(0, 80));
    }
    for (const image of document.images)
        if (image.getBoundingClientRect().right > edge + 1) cut.push(image.alt);
    return cut;
}"""

each_notebook = pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[] if "00" in p.name else in_ci) for p in NOTEBOOKS],
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def opened(browser: Browser, file: Path, **how: Any) -> Iterator[Page]:
    context = browser.new_context(**how)
    page = context.new_page()
    page.goto(file.as_uri())
    yield page
    context.close()


def broken(browser: Browser, file: Path) -> list[str]:
    """What axe finds on the page in *file*, light and dark."""
    found = []
    for scheme in ("light", "dark"):
        with opened(browser, file, color_scheme=scheme) as page:
            found += [f"{scheme}: {line}" for line in violations(page)]
    return found


def cut(browser: Browser, file: Path) -> list[str]:
    """The lines that are cut on a phone or on paper."""
    with opened(browser, file, **PHONE) as page:
        found = [f"phone: {line}" for line in page.evaluate(CUT)]
    with opened(browser, file, **PAPER) as page:
        page.emulate_media(media="print")
        return found + [f"paper: {line}" for line in page.evaluate(CUT)]


@each_notebook
@pytest.mark.parametrize("faults", [broken, cut])
def test_a_page_is_for_everybody(
    browser: Browser, tmp_path: Path, path: Path, faults: Callable[[Browser, Path], list[str]]
) -> None:
    """No rule of level A or AA is broken, all that folds open, light and dark; and no line is cut
    on a phone of 390 pixels or on paper.
    """
    file = tmp_path / "page.html"
    file.write_text(page_of(read(path), path), encoding="utf-8")
    assert faults(browser, file) == []


@in_ci
@pytest.mark.parametrize("faults", [broken, cut])
def test_the_guide_is_for_everybody(
    browser: Browser, tmp_path: Path, faults: Callable[[Browser, Path], list[str]]
) -> None:
    """As the pages are."""
    make_guide(notebooks=NOTEBOOKS[0].parent, to=tmp_path / "guide.html")
    assert faults(browser, tmp_path / "guide.html") == []


@in_ci
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_slide_keeps_anybody_out(browser: Browser, tmp_path: Path, path: Path) -> None:
    """Each slide is shown, with all that comes by and by."""
    copy_reveal(tmp_path)
    file = tmp_path / "deck.html"
    file.write_text(deck(read(path), path), encoding="utf-8")
    with opened(browser, file, viewport={"width": 1280, "height": 720}) as page:
        page.wait_for_function("Reveal.isReady()")
        assert violations_of_slides(page) == []


def test_a_checks_answer_is_readable_on_any_ground(browser: Browser) -> None:
    """Passed, failed, not solved yet: its text has the colour of whoever shows it, and its marks
    are readable by themselves.
    """
    result = partial(Result, "A1", "ttl=0 stores nothing")
    results = (result("failed", "a miss", "a hit", "Look."), result("not solved yet"))
    report = Report(("Naive", "Mine"), [results, (result("passed", got="a miss"), results[0])])
    shown = report._repr_html_() + "".join(one._repr_html_() for one in results)
    context = browser.new_context()
    page = context.new_page()
    for ground, text in (("#fff", "#767676"), ("#000", "#777"), ("#111", "#fff"), ("#222", "#eee")):
        style = f"background: {ground}; color: {text}"
        head = "<html lang='en'><head><title>A check</title></head>"
        page.set_content(f"{head}<body style='{style}'><main>{shown}</main></body></html>")
        assert violations(page) == [], f"{text} on {ground}"
    context.close()
