"""What docs/ and the README name is there, and every room of the library is named."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """To files of this repository, and to headings of the same page."""
    text = page.read_text("utf-8")
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if "://" in link:
            continue
        target, _, heading = link.partition("#")
        assert (page.parent / target).exists(), link
        assert target or heading in headings, link
    assert links


def test_every_room_is_on_the_way() -> None:
    """architecture.md names each module outside the lab that has code, in one of its two ways."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    package = ROOT / "cachepool_lib"
    rooms = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.name != "__init__.py" and "lab" not in path.parts
    }
    named = set(re.findall(r"\(\.\./cachepool_lib/([\w/]+\.py)\)", text))
    assert rooms - named == set()


def test_no_note_of_the_authors_is_left() -> None:
    """Nothing to be checked later stands in a page that people read."""
    for page in PAGES:
        assert "<!--" not in page.read_text("utf-8"), page.name
