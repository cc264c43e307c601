"""Minutes and titles where they are repeated: in the header, in the README, and in notebook 00."""

from __future__ import annotations

import re
from pathlib import Path

from nbformat import NotebookNode

from cachepool_lib.lab.slides.notes import sections

from . import NOTEBOOKS, ROOT, copy, normalise, read, slide_type, write
from .layers import second_half
from .minutes import HEADER, NOTES, Minutes, minutes
from .minutes import told as on_clock

# A row of 00's way through the course in two hours: a part of a notebook, and its minutes.
PART = re.compile(r"^(\| \[\d\d\]\((.+?\.ipynb)\)(?:, (.+?))?) \| (\d+) \|", re.M)


def write_minutes(notebook: NotebookNode) -> None:
    """Put the computed minutes into the line under the title, and into the speaker notes."""
    title = notebook.cells[0]
    title.source = HEADER.sub(minutes(notebook).header, title.source)
    for section, clock in zip(sections(notebook.cells), on_clock(notebook), strict=True):
        for cell in section.cells:
            if slide_type(cell) == "notes":
                cell.source = NOTES.sub(rf"\g<1>{clock}\g<2>", cell.source)


def told(path: Path) -> tuple[str, str, str]:
    """What the notebook says of itself: its title, its minutes, and those of its exercises."""
    source = read(path).cells[0].source
    title = re.match(r"# \d\d · (.+)", source)
    numbers = re.search(r"(\d+) min(?: \+| · exercises) (\d+)", source)
    assert title and numbers, f"{path.name}: the first cell gives no title or no minutes"
    return title[1], numbers[1], numbers[2]


def part(notebook: NotebookNode, what: str) -> NotebookNode:
    """A part of the notebook: "section 3", "to section 3", "from the stop sign to section 7",
    "without Five facts"; all of it if *what* is empty.
    """
    rest = second_half(notebook) if what.startswith("from the stop sign") else copy(notebook)
    asked = re.search(r"(section|to section|without) (.+)$", what)
    if asked is None:
        return rest
    heads = [n for n, cell in enumerate(rest.cells) if cell.source.startswith("## ")]
    [first] = [n for n in heads if rest.cells[n].source.startswith(f"## {asked[2]} ")]
    end = min(n for n in [*heads, len(rest.cells)] if n > first)
    if asked[1] == "without":
        del rest.cells[first:end]
    else:
        rest.cells = rest.cells[first if asked[1] == "section" else 0 : end]
    return rest


def two_hours() -> list[tuple[str, int, Minutes]]:
    """Each row of 00's way in two hours: the part, the minutes it says, and those computed."""
    text = "\n".join(cell.source for cell in read(NOTEBOOKS[0]).cells)
    folder = NOTEBOOKS[0].parent
    return [
        (row[1], int(row[4]), minutes(part(read(folder / row[2]), row[3] or "")))
        for row in PART.finditer(text)
    ]


def write_tables() -> None:
    """Bring README's table and those of notebook 00 up to date."""
    readme, text = ROOT / "README.md", (ROOT / "README.md").read_text(encoding="utf-8")
    start = read(NOTEBOOKS[0])
    for path in NOTEBOOKS:
        title, reading, solving = told(path)
        link = rf"\(notebooks/{re.escape(path.name)}\)"
        line = f"| [{path.name[:2]} {title}](notebooks/{path.name}) | {reading} | {solving} |"
        text = re.sub(rf"^\| \[.+\]{link} \| .+$", lambda _, line=line: line, text, flags=re.M)
        for cell in start.cells:
            cell.source = re.sub(
                rf"^(\| \[\d\d\]\({re.escape(path.name)}\)) \| .+? \| \d+ \| \d+ \|",
                rf"\1 | {title} | {reading} | {solving} |",
                cell.source,
                flags=re.M,
            )
    for row, _, computed in two_hours():
        for cell in start.cells:
            cell.source = re.sub(
                rf"^{re.escape(row)} \| \d+ \|",
                lambda _, row=row, computed=computed: f"{row} | {computed.reading} |",
                cell.source,
                flags=re.M,
            )
    readme.write_text(text, encoding="utf-8")
    normalise(start)
    write(start, NOTEBOOKS[0])
