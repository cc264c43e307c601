"""How long a notebook takes: computed from what it holds, not felt."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from nbformat import NotebookNode

from cachepool_lib.lab.slides.layout import CUT
from cachepool_lib.lab.slides.notes import is_exercise, sections, tagged

from . import FOLDED, PICTURES, code_cells, slide_type, tags

WORDS_A_MINUTE = 200  # of somebody who reads in a second language
LINES_A_MINUTE = 7  # of code that is new: the folded answers count with the exercises
PREDICTION = 1.0  # minutes
CHART = 1.5
# On stage: told at the pace of somebody who is understood in a second language, code pointed at, a
# guess and a chart each with a look into the room.
WORDS_TOLD = 130
LINES_SHOWN = 20
ASKED = SHOWN = 1.0  # minutes for a guess, for a chart
LONGEST_ON_STAGE = 45
STARS = {"★": 5, "★★": 15, "★★★": 30}
HEADING = re.compile(r"### Exercise (\d\d-\d) (★{1,3}) (\d+) min · about \d+ lines?$", re.M)
DETAILS = re.compile(r"<details>.*?</details>", re.S)
TARGET = re.compile(r"\]\([^)]*\)")  # of a link: nobody reads it
HEADER = re.compile(r"(\d+) min \+ (\d+) min of exercises · on stage (\d+) min")
NOTES = re.compile(r"(<summary>Speaker notes · )[^<]*(</summary>)")


class Minutes(NamedTuple):
    reading: int
    exercises: int
    on_stage: int

    @property
    def header(self) -> str:
        """The line under the title of a notebook."""
        solving = f"{self.exercises} min of exercises"
        return f"{self.reading} min + {solving} · on stage {self.on_stage} min"


def minutes(notebook: NotebookNode) -> Minutes:
    """To read, guess and run everything, and to solve the exercises, to the nearest five; and on
    stage, to the next five.
    """
    prose = [c for c in notebook.cells if c.cell_type == "markdown" and slide_type(c) != "notes"]
    code = code_cells(notebook)
    new = [c for c in code if not any(t in FOLDED or t.startswith("exercise-") for t in tags(c))]
    reading = _words(prose) / WORDS_A_MINUTE + _lines(new) / LINES_A_MINUTE
    reading += PREDICTION * _guesses(code) + CHART * _charts(code)
    solving = sum(STARS[stars] for cell in prose for _, stars, _ in HEADING.findall(cell.source))
    on_stage = 5 * math.ceil(told(notebook)[-1].on_stage / 5)
    return Minutes(_nearest_five(reading), _nearest_five(solving), on_stage)


class Clock(NamedTuple):
    """The minutes at the end of a section, if all is told but the exercises; and on stage."""

    whole: float
    on_stage: float

    def __str__(self) -> str:
        return f"{self.whole:.0f} min so far · {self.on_stage:.0f} on stage"


def told(notebook: NotebookNode) -> list[Clock]:
    """What the clock says at the end of each section; the first is what comes before any."""
    whole = on_stage = 0.0
    found = []
    for section in sections(notebook.cells):
        cells = [
            cell
            for at, cell in enumerate(section.cells)
            if slide_type(cell) not in ("skip", "notes") and not is_exercise(section.cells, at)
        ]
        whole += _telling(cells)
        on_stage += _telling([cell for cell in cells if not tagged(cell, CUT)])
        found.append(Clock(whole, on_stage))
    return found


def _telling(cells: Sequence[NotebookNode]) -> float:
    prose = [cell for cell in cells if cell.cell_type == "markdown"]
    code = [cell for cell in cells if cell.cell_type == "code"]
    speaking = _words(prose) / WORDS_TOLD + _lines(code) / LINES_SHOWN
    return speaking + ASKED * _guesses(code) + SHOWN * _charts(code)


def _words(prose: Sequence[NotebookNode]) -> int:
    texts = [TARGET.sub("]", DETAILS.sub("", cell.source)) for cell in prose]
    return sum(len(re.findall(r"\w+", text)) for text in texts)


def _lines(code: Sequence[NotebookNode]) -> int:
    return sum(bool(line.strip()) for cell in code for line in cell.source.splitlines())


def _guesses(code: Sequence[NotebookNode]) -> int:
    return sum(cell.source.count("lab.predict(") for cell in code)


def _charts(code: Sequence[NotebookNode]) -> int:
    return sum(
        any(kind in output.get("data", {}) for kind in PICTURES)
        for cell in code
        for output in cell.outputs
    )


def _nearest_five(exact: float) -> int:
    return 5 * int(exact / 5 + 0.5)
