"""axe looks at a page for what keeps people out: contrast, names, what a keyboard reaches."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def violations(page: Page, inside: str | None = None) -> list[str]:
    """A line for each element that breaks a rule of WCAG 2.1, level A or AA, all that folds open.

    *inside* is the selector of the part that is looked at. axe comes with its package, and gets
    past a page's own ban on scripts.
    """
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    options = {"resultTypes": ["violations"], "runOnly": LEVELS}
    found = Axe().run(page, inside, options).response["violations"]
    return [
        f"{rule['id']}: {element['html'][:200]}: {element['failureSummary']}"
        for rule in found
        for element in rule["nodes"]
    ]
