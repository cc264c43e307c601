"""What the speaker sees beside each slide: the notes of its section, and an exercise's answer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from nbformat import NotebookNode

DETAILS = re.compile(
    r"<details><summary>(?P<title>.*?)</summary>\n(?P<text>.*?)</details>\n?", re.S
)


def kind(cell: NotebookNode) -> str:
    """What the cell is on slides: slide, subslide, fragment, notes, skip, or - for none of them."""
    return str(cell.metadata.get("slideshow", {}).get("slide_type", "-"))


def tagged(cell: NotebookNode, *beginnings: str) -> bool:
    """Whether a tag of the cell begins like one of these."""
    return any(tag.startswith(beginnings) for tag in cell.metadata.get("tags", []))


def unfolded(markdown: str) -> str:
    """All that is folded in the text, open and under its title; nothing of the rest."""
    found = DETAILS.finditer(markdown)
    return "\n\n".join(f"**{one['title']}**\n\n{one['text'].strip()}" for one in found)


@dataclass
class Section:
    """The cells from one heading of the second level to the next, and the notes on them."""

    title: str
    cells: list[NotebookNode] = field(default_factory=list)

    @property
    def notes(self) -> str:
        """All of them: each slide has them, also those before the guess."""
        return "\n\n".join(unfolded(cell.source) for cell in self.cells if kind(cell) == "notes")

    def minutes(self, *, stage: bool) -> str:
        """How late it is at its end, as its notes say: with everything, or on *stage*."""
        found = re.search(r"(\d+) min so far · (\d+) on stage", self.notes)
        return f"{found[2 if stage else 1]} min" if found else ""


def sections(cells: Sequence[NotebookNode]) -> list[Section]:
    """The sections; the first is what comes before any, and has no notes of its own."""
    found = [Section("")]
    for cell in cells:
        heading = re.match("## (.+)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            found.append(Section(heading[1]))
        found[-1].cells.append(cell)
    return [section for section in found if section.cells]


def way(found: Sequence[Section], *, stage: bool) -> str:
    """The sections and when each is over: notes for the title."""
    told = [(section.title, section.minutes(stage=stage)) for section in found]
    rows = [f"- {title}: {minutes}" for title, minutes in told if minutes]
    return "\n".join(["**The sections, and the minutes at their end**\n", *rows])


def is_exercise(cells: Sequence[NotebookNode], at: int) -> bool:
    """Whether the cell belongs to an exercise: its words, what learners write, its check."""
    words = at + 1 < len(cells) and tagged(cells[at + 1], "exercise-")
    return words or tagged(cells[at], "exercise-", "check-", "solution-")
