"""Charts of visits in time, through a restart."""

from typing import Any

import pytest

from cachepool_lib.lab import charts
from cachepool_lib.lab.experiments.cold_start import ColdStart
from tests.lab.charts.test_charts import Guess, assert_readable, title, written


def run(*shares: float, deployed_at: int | None = 30) -> ColdStart:
    """100 visits a second; each share holds for ten seconds."""
    in_time = [round(100 * share) for share in shares for _ in range(10)]
    return ColdStart(in_time, [100] * len(in_time), 900, 20, 10, deployed_at)


STUCK = run(1, 0.03, 0.02, 0.02, 0.02, 0.02, 0.03, 0.03, 0.01, deployed_at=None)
BACK = run(1, 0.03, 0.02, 0.4, 0.6, 0.8, 1, 1, 1)
NEVER = run(1, 0.03, 0.02, 0.2, 0.2, 0.2, 0.2, 0.3, 0.5)


@pytest.mark.parametrize("guess", [None, 0, 0.02, 0.5, 1, 3, Guess(1, answered=False)])
def test_one_run_is_read_at_a_second(guess: Any) -> None:
    """The figure is in the title, beside its dot, and in the line of text."""
    chart = charts.goodput({"nothing": STUCK}, at=60, guess=guess)
    assert title(chart) == "50 s after the restart, 2 % of the visits get their page in time"
    assert "0.02 at 60 s" in written(chart)
    assert chart.text.startswith("visits in time, simulated: nothing 0.02 at 60 s")
    assert_readable(chart)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_remedies_stand_side_by_side(count: int) -> None:
    """A panel for each, which says where it ends, and the title how many of them help."""
    runs = {"nothing": STUCK, "+ 18 may wait": BACK, "stale windows, one flight": NEVER}
    runs |= {"loads outlive visitors": BACK, "closed and warmed": BACK, "+ 40 may wait": NEVER}
    chart = charts.goodput(dict(list(runs.items())[:count]))
    back = {2: "1 of 1", 3: "1 of 2", 6: "3 of 5"}[count]
    assert title(chart) == f"{back} remedies bring the pages back, after 30 s"
    assert "nothing 0.01 at 90 s, + 18 may wait back after 30 s" in chart.text
    assert "after 30 s" in written(chart) and "not back" in written(chart)
    assert "remedy" in written(chart) and "restart" in written(chart)
    assert_readable(chart)


def test_the_title_says_how_soon_they_come_back() -> None:
    """The fastest and the slowest; from when on all is well until the end."""
    later = run(1, 0.03, 0.02, 1, 0.6, 0.8, 0.9, 1, 1)
    chart = charts.goodput({"nothing": STUCK, "a": BACK, "b": later})
    assert title(chart) == "All 2 remedies bring the pages back, after 30 to 40 s"
    chart = charts.goodput({"nothing": STUCK, "a": NEVER})
    assert title(chart) == "0 of 1 remedies bring the pages back"


@pytest.mark.parametrize(
    ("runs", "at", "problem"),
    [
        ({}, None, "runs is empty"),
        ({"a": STUCK, "b": run(1, 1)}, None, "as many seconds"),
        ({"a": STUCK}, 100, "at must be a second from 5 to 90, not 100"),
        ({"a": ColdStart([1], [1], 0, 0, 10, None)}, None, "as many seconds, 5 or more"),
        ({"a": ColdStart([-1] * 5, [1] * 5, 0, 0, 10, None)}, None, "in_time of a"),
    ],
)
def test_what_cannot_be_drawn_is_refused(runs: Any, at: int | None, problem: str) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match=problem):
        charts.goodput(runs, at=at)
