"""The site in a real browser, opened from disk.

Needs chromium; without it these tests are skipped, or fail where CACHEPOOL_CI_BROWSER=1.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.test_browser_pages import CUT, PAPER, PHONE, opened
from tests.tools.axe import violations
from tests.tools.browser import chromium
from tests.tools.ci import in_ci
from tests.tools.site import built, pages

pytestmark = pytest.mark.xdist_group("site")

OFF_SCREEN = "document.querySelectorAll('dialog, .bd-sidebar-secondary').forEach(e => e.remove())"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def chosen(everything: bool) -> list[Path]:
    """All pages, or one of each kind."""
    few = ("docs/index", "docs/api/caches", "notebooks/00-start-here", "genindex", "search")
    return pages() if everything else [built() / f"{name}.html" for name in few]


def whom(context: BrowserContext) -> list[str]:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    return asked


def test_search_finds_from_disk_and_asks_nobody(browser: Browser) -> None:
    """A word leads to the pages that have it, without a server."""
    context = browser.new_context()
    asked = whom(context)
    page = context.new_page()
    page.goto(f"{(built() / 'search.html').as_uri()}?q=stale_while_revalidate")
    page.locator("#search-results li a", has_text="Caches").first.wait_for()
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}, asked
    context.close()


def test_a_click_copies_the_code(browser: Browser) -> None:
    """Each cell has a button that copies what is written there."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((built() / "notebooks" / "00-start-here.html").as_uri())
    cell = page.locator("div.cell_input").first
    cell.hover()
    cell.locator("button.copybtn").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.length > 0)")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.strip() == cell.locator("pre").inner_text().strip()
    context.close()


def test_a_result_is_opened_by_keyboard_and_is_open_on_paper(browser: Browser) -> None:
    """Closed at first; Enter shows it, and says how to hide it; when one prints, all are open."""
    with opened(browser, built() / "notebooks" / "00-start-here.html") as page:
        result = page.locator("details.fold", has=page.locator("img")).first
        assert not result.locator("img").is_visible()
        result.locator("summary").press("Enter")
        assert result.locator("img").is_visible()
        assert result.locator("summary").inner_text().strip() == "Hide the result"
        result.locator("summary").press("Enter")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("article details:not([open])").count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("article details[open]").count() == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=in_ci)])
def test_no_line_is_cut_and_nobody_is_asked(browser: Browser, everything: bool) -> None:
    """On a phone of 390 pixels and on paper, all that folds open: each page from disk alone."""
    for how, media in ((PHONE, "screen"), (PAPER, "print")):
        context = browser.new_context(**how)
        asked = whom(context)
        page = context.new_page()
        page.emulate_media(media=media)
        for path in chosen(everything):
            page.goto(path.as_uri())
            page.evaluate(OFF_SCREEN)
            assert page.evaluate(CUT) == [], f"{path}, {media}"
        assert {url.partition(":")[0] for url in asked} <= {"file", "data"}, asked
        context.close()


def with_one_file_of_each_kind() -> list[Path]:
    """The pages, but of those that show a file line by line only the longest of each kind: they
    differ in their text alone, and axe takes seconds for each.
    """
    listings = {path for path in pages() if "." in path.stem}
    longest = {path.suffixes[-2]: path for path in sorted(listings, key=lambda p: p.stat().st_size)}
    return [path for path in pages() if path not in listings] + list(longest.values())


@in_ci
@pytest.mark.timeout(900)  # two or three minutes of the processor
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_keeps_anybody_out(browser: Browser, scheme: str) -> None:
    """No rule of level A or AA is broken on any page, all that folds open."""
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    for path in with_one_file_of_each_kind():
        page.goto(path.as_uri())
        assert violations(page) == [], f"{path}, {scheme}"
    context.close()
