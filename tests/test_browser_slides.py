"""The decks of all notebooks in a real browser: what a room sees on 1280 × 720 pixels.

Made of stored outputs: their charts have as many pixels as a page needs, and the same shape. Needs
chromium; without it these tests are skipped, or fail where CACHEPOOL_CI_BROWSER=1.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from cachepool_lib.lab.slides import copy_reveal, deck
from tests.tools.browser import chromium
from tests.tools.ci import in_ci
from tests.tools.notebook_tools import NOTEBOOKS, read

# Of each slide, all its fragments shown: what overflows, how much and how small the text is.
LOOK = """async () => {
    await Promise.all([...document.images].map(image => image.decode()));
    const seen = element => !element.closest("aside.notes");
    return Reveal.getSlides().map(slide => {
        const {h, v} = Reveal.getIndices(slide);
        Reveal.slide(h, v, 99);
        const boxes = [...slide.querySelectorAll("*")].filter(seen);
        const texts = boxes.filter(box => [...box.childNodes].some(
            node => node.nodeType == Node.TEXT_NODE && node.data.trim()));
        const size = box => parseFloat(getComputedStyle(box).fontSize);
        const prose = texts.filter(box => box.closest("p, li, td") && !box.closest("code, pre"));
        return {
            place: `${h + 1}.${v + 1}`,
            text: slide.innerText,
            notes: slide.querySelector("aside.notes")?.textContent ?? "",
            width: Math.max(slide.scrollWidth, ...boxes.map(b => b.getBoundingClientRect().right)),
            height: Math.max(slide.scrollHeight,
                             ...boxes.map(b => b.getBoundingClientRect().bottom)),
            letters: Math.min(...texts.map(size)),
            prose: Math.min(...prose.map(size)),
            charts: [...slide.querySelectorAll("img.chart")].map(
                chart => ({width: chart.getBoundingClientRect().width, alt: chart.alt})),
        };
    });
}"""

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    copy_reveal(folder)
    return folder


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[] if "00" in p.name else in_ci) for p in NOTEBOOKS],
)
def test_a_deck_fits_the_screen_and_asks_nobody(browser: Browser, folder: Path, path: Path) -> None:
    """Opened from disk: no request to elsewhere, no error, nothing beyond the edge of a slide, no
    more text than a room reads and none too small, wide charts, and the speaker's minutes beside
    every slide.
    """
    file = folder / f"{path.stem}.html"
    file.write_text(deck(read(path), path), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_function("Reveal.isReady()")
    slides: list[dict[str, Any]] = page.evaluate(LOOK)
    page.close()

    assert errors == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}, asked
    assert len(slides) > 20
    for slide in slides:
        where = f"slide {slide['place']}: {slide['text'][:80]!r}"
        assert slide["width"] <= 1280 and slide["height"] <= 720, where
        assert len(slide["text"]) <= 700, where
        assert slide["letters"] is None or slide["letters"] >= 14, where
        assert slide["prose"] is None or slide["prose"] >= 24, where
        assert re.search(r"\d+ min", slide["notes"]), where
        assert slide["text"].strip() or slide["charts"], where
        for chart in slide["charts"]:
            assert chart["width"] == 1280 and chart["alt"], where


def test_the_speakers_view_opens(browser: Browser, folder: Path) -> None:
    """Key S, from disk: the notes beside the slide, and still nothing asked of anybody else."""
    path = NOTEBOOKS[0]
    file = folder / f"{path.stem}.html"
    file.write_text(deck(read(path), path), encoding="utf-8")
    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(f"{file.as_uri()}#/1")
    page.wait_for_function("Reveal.isReady()")
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    notes.get_by_text("Say nothing for five seconds").wait_for(timeout=60_000)
    context.close()
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "about", "blob"}, asked
