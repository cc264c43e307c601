"""axe looks at a page for what keeps people out: contrast, names, what a keyboard reaches."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
OPTIONS = {"resultTypes": ["violations"], "runOnly": LEVELS}

# One slide after the other, the others out of the page: axe takes its time for what is not seen.
EACH_SLIDE = """async options => {
    const found = [];
    for (const slide of Reveal.getSlides()) {
        const {h, v} = Reveal.getIndices(slide);
        Reveal.slide(h, v, 99);
        const away = [...document.querySelectorAll(".slides section")].filter(
            other => !other.contains(slide) && other.parentElement.contains(slide)
        ).map(other => [other, document.createComment("")]);
        away.forEach(([other, place]) => other.replaceWith(place));
        found.push(...(await axe.run(options)).violations);
        away.forEach(([other, place]) => place.replaceWith(other));
    }
    return found;
}"""


def violations(page: Page, inside: str | None = None) -> list[str]:
    """A line for each element that breaks a rule of WCAG 2.1, level A or AA, all that folds open.

    *inside* is the selector of the part that is looked at. axe comes with its package, and gets
    past a page's own ban on scripts.
    """
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return _lines(Axe().run(page, inside, OPTIONS).response["violations"])


def violations_of_slides(page: Page) -> list[str]:
    """The same of each slide of a deck, with all that comes by and by."""
    page.evaluate(Axe().axe_script)
    return _lines(page.evaluate(EACH_SLIDE, OPTIONS))


def _lines(rules: list[dict[str, Any]]) -> list[str]:
    return [
        f"{rule['id']}: {element['html'][:200]}: {element['failureSummary']}"
        for rule in rules
        for element in rule["nodes"]
    ]
