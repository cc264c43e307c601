"""How long a notebook takes: computed from what it holds, not felt."""

from __future__ import annotations

import re
from typing import NamedTuple

from nbformat import NotebookNode

from . import FOLDED, PICTURES, code_cells, slide_type, tags

WORDS_A_MINUTE = 200  # of somebody who reads in a second language
LINES_A_MINUTE = 7  # of code that is new: the folded answers count with the exercises
PREDICTION = 1.0  # minutes
CHART = 1.5
STARS = {"★": 5, "★★": 15, "★★★": 30}
HEADING = re.compile(r"### Exercise (\d\d-\d) (★{1,3}) (\d+) min · about \d+ lines?$", re.M)
DETAILS = re.compile(r"<details>.*?</details>", re.S)
TARGET = re.compile(r"\]\([^)]*\)")  # of a link: nobody reads it
HEADER = re.compile(r"(\d+) min \+ (\d+) min of exercises · on stage (\d+) min")


class Minutes(NamedTuple):
    reading: int
    exercises: int

    def header(self, on_stage: int) -> str:
        """The line under the title of a notebook."""
        return f"{self.reading} min + {self.exercises} min of exercises · on stage {on_stage} min"


def minutes(notebook: NotebookNode) -> Minutes:
    """To read, guess and run everything, and to solve the exercises; each to the nearest five."""
    prose = [c for c in notebook.cells if c.cell_type == "markdown" and slide_type(c) != "notes"]
    texts = [TARGET.sub("]", DETAILS.sub("", cell.source)) for cell in prose]
    words = sum(len(re.findall(r"\w+", text)) for text in texts)
    lines = sum(
        bool(line.strip())
        for cell in code_cells(notebook)
        if not any(tag in FOLDED or tag.startswith("exercise-") for tag in tags(cell))
        for line in cell.source.splitlines()
    )
    predictions = sum(cell.source.count("lab.predict(") for cell in code_cells(notebook))
    charts = sum(
        any(kind in output.get("data", {}) for kind in PICTURES)
        for cell in code_cells(notebook)
        for output in cell.outputs
    )
    reading = words / WORDS_A_MINUTE + lines / LINES_A_MINUTE
    reading += PREDICTION * predictions + CHART * charts
    solving = sum(STARS[stars] for cell in prose for _, stars, _ in HEADING.findall(cell.source))
    return Minutes(_nearest_five(reading), _nearest_five(solving))


def _nearest_five(exact: float) -> int:
    return 5 * int(exact / 5 + 0.5)
