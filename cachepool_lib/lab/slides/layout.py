"""Cells on slides: what fits stays together, what does not goes on to the next slide."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from cachepool_lib.lab.slides.notes import (
    DETAILS,
    is_exercise,
    kind,
    sections,
    tagged,
    unfolded,
    way,
)
from cachepool_lib.lab.slides.pieces import Piece, code, outputs, prose
from cachepool_lib.lab.slides.sizes import NOTHING, Size, total

CUT = "cut"  # the tag of what goes first where time is short


@dataclass
class Slide:
    """One slide: "slide" begins a new column of them, "subslide" goes on below."""

    begins: str
    notes: str
    cells: list[NotebookNode] = field(default_factory=list)
    size: Size = NOTHING
    last: Piece | None = None

    def add(self, piece: Piece, fragment: bool) -> None:
        """Put the piece below what is there; a *fragment* is seen with the next key only."""
        kind = "fragment" if fragment else "-"
        piece.cell.metadata["slideshow"] = {"slide_type": kind if self.cells else self.begins}
        self.cells.append(piece.cell)
        self.size = total([self.size, piece.size])
        self.last = piece

    def question(self) -> list[Piece]:
        """Take the question off that it ends with, if something stands above it."""
        asks = self.last and re.match(r"\*\*(?:\w+ )?[Qq]uestions?\.\*\*", self.last.cell.source)
        if self.last is None or not asks or len(self.cells) == 1:
            return []
        self.cells.pop()
        return [self.last]

    def written(self) -> list[NotebookNode]:
        """Its cells, the notes second: nbconvert begins a slide with what is seen."""
        notes = new_markdown_cell(self.notes, metadata={"slideshow": {"slide_type": "notes"}})
        return [self.cells[0], notes, *self.cells[1:]]


def lay_out(cells: Sequence[NotebookNode], *, stage: bool = False) -> list[Slide]:
    """The cells on slides. For the *stage* without exercises and without what is tagged "cut"; and
    what is folded is the speaker's.
    """
    slides: list[Slide] = []
    found = sections(cells)
    shown = [one for one in found if not (stage and tagged(one.cells[0], CUT))]
    for section in found:
        notes = section.notes or way(shown, stage=stage)
        begins = "slide"
        for at, cell in enumerate(section.cells):
            exercise = is_exercise(section.cells, at)
            # A check says nothing before somebody has written something.
            if kind(cell) in ("notes", "skip") or tagged(cell, "check-"):
                continue
            if stage and (exercise or tagged(cell, CUT)):
                begins = begins or "subslide"
                continue
            begins = kind(cell) if kind(cell) in ("slide", "subslide") else begins
            beside = section.cells[at:] if exercise else [cell] if stage else []
            _Pen(slides, notes + _answer(beside), begins).write(cell, open=not beside)
            begins = "subslide" if tagged(cell, "exercise-") else ""
    return slides


def _answer(cells: Sequence[NotebookNode]) -> str:
    """All that is folded, to the solution of the exercise if the first cell belongs to one."""
    end = next((n for n, cell in enumerate(cells) if tagged(cell, "solution-")), 0)
    return "".join(f"\n\n{unfolded(cell.source)}" for cell in cells[: end + 1])


@dataclass
class _Pen:
    """Writes the pieces of one cell on the last slide, and on new ones with these notes."""

    slides: list[Slide]
    notes: str
    begins: str  # "slide" or "subslide" if the next piece begins one

    def write(self, cell: NotebookNode, *, open: bool) -> None:
        """Write the cell; what is folded in it if it is to be *open*, else that is in the notes."""
        fragment = kind(cell) == "fragment"
        if cell.cell_type == "code":
            written, shown = code(cell.source), outputs(cell)
            if _fits([*written, *shown]) and not self._fits([*written, *shown]):
                if not self.begins and "lab.predict(" in cell.source:
                    written = self.slides[-1].question() + written  # it goes with its guess
                self.begins = self.begins or "subslide"
            self._put(written, fragment)
            if _fits(shown) and not self._fits(shown):
                self.begins = "subslide"
            self._put(shown, fragment=True)
            return
        for text, folded in _parts(cell.source):
            if folded and not open:
                continue
            self.begins = "subslide" if folded else self.begins
            self._put(prose(text), fragment)

    @property
    def _used(self) -> Size:
        """How much of the slide on which the next piece would be written."""
        return self.slides[-1].size if self.slides and not self.begins else NOTHING

    def _fits(self, pieces: Sequence[Piece]) -> bool:
        return _fits(pieces, self._used)

    def _put(self, pieces: Sequence[Piece], fragment: bool) -> None:
        """Write the pieces on as few slides as will do, all of them about as full."""
        runs = list(_runs(pieces, self._used, 1))
        for share in (0.5, 0.6, 0.7, 0.8, 0.9):
            even = list(_runs(pieces, self._used, share))
            if len(even) == len(runs):
                runs = even
                break
        for at, run in enumerate(runs):
            if run and (at or self.begins):
                self.slides.append(Slide(self.begins or "subslide", self.notes))
                self.begins = ""
            for piece in run:
                self.slides[-1].add(piece, fragment and piece is run[0])


def _fits(pieces: Sequence[Piece], used: Size = NOTHING, share: float = 1) -> bool:
    return total([used, *(piece.size for piece in pieces)]).fits(share)


def _runs(pieces: Sequence[Piece], used: Size, share: float) -> Iterator[list[Piece]]:
    """What goes on each slide if it may be filled to this share; the first is *used* already."""
    run: list[Piece] = []
    for at, piece in enumerate(pieces):
        # What leads on to something goes where that goes.
        last = next((n for n in range(at, len(pieces)) if not pieces[n].leads_on), at)
        led = at > 0 and pieces[at - 1].leads_on and _fits(pieces[at - 1 : at + 1])
        if (
            (run or used.height)
            and not led
            and not _fits([*run, *pieces[at : last + 1]], used, share)
        ):
            yield run
            run, used = [], NOTHING
        run.append(piece)
    yield run


def _parts(markdown: str) -> list[tuple[str, bool]]:
    """What is folded in a text and what is not, in their order; the title becomes a heading."""
    parts, end = [], 0
    for found in DETAILS.finditer(markdown):
        parts += [(markdown[end : found.start()], False)]
        parts += [(f"### {found['title']}\n\n{found['text']}", True)]
        end = found.end()
    return [(text, folded) for text, folded in [*parts, (markdown[end:], False)] if text.strip()]
