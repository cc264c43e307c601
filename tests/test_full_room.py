"""What the full room, `python -m tests.tools.full_room`, passes and what it does not."""

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.tools.ci import in_ci
from tests.tools.full_room import fill
from tests.tools.notebook_tools import normalise, write


def notebook_of(path: Path, source: str, text: str) -> Path:
    """A notebook of one cell, stored with this output."""
    output = new_output("execute_result", {"text/plain": text}, execution_count=1)
    cell = new_code_cell(source, execution_count=1, outputs=[output])
    notebook = new_notebook(cells=[cell])
    normalise(notebook)
    write(notebook, path)
    return path


CHART = "class Chart:\n    __repr__ = lambda self: {!r}\nChart()"


@in_ci
@pytest.mark.parametrize(
    ("source", "stored", "passes"),
    [
        ("1 + 1", "2", True),
        ("1 + 1", "3", False),
        (CHART.format("pages, real: 3 fail"), "pages, real: none fails", True),
        (CHART.format("pages, simulated: 3 fail"), "pages, simulated: none fails", False),
        ("1 / 0", "pages, real: none fails", False),
    ],
    ids=["as stored", "another result", "a real chart", "a simulated chart", "a failure"],
)
def test_a_full_room_lets_nothing_differ_but_charts_of_real_time(
    tmp_path: Path, source: str, stored: str, passes: bool
) -> None:
    """And no cell may fail, for none of those who run it."""
    assert fill(notebook_of(tmp_path / "a.ipynb", source, stored), 2) is passes
