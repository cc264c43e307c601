"""A pool's dashboard, moving and still, and bars of waits and holds."""

import re
from xml.etree import ElementTree

import pytest

from cachepool_lib.lab import charts
from cachepool_lib.lab.charts.pool_watched import frame
from cachepool_lib.lab.experiments.pool_watched import Reading, Watched
from tests.lab.charts.test_charts import GUESSES, Guess, assert_readable, dashed, title, written

FULL = [Reading(0.1 * i, 8, 5 * i, 0.03 * i, 0.052) for i in range(1, 16)]
EASY = [Reading(0.1 * i, 1 + i % 4, 2 * (i % 5 == 0), 0.001, 0.011) for i in range(1, 16)]
IDLE = [Reading(0.1 * i, 0, 0, None, None) for i in range(1, 16)]
EIGHT = Watched(8, 1.5, FULL, 0.33, 0.052)
SIXTEEN = Watched(16, 1.5, EASY, 0.0011, 0.052)
FOUR = Watched(4, 1.5, EASY, 0.0021, 0.011)
RUNS = {"8, held": EIGHT, "16, held": SIXTEEN, "4, given back": FOUR}


def words(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter() if node.tag == "text"]


def test_a_frame_says_what_is_so_now() -> None:
    """The four graphs, the last value of each, and what a screen reader says of it."""
    shown = words(frame(FULL[:9], 8, 1.5))
    assert shown[0::3] == ["connections busy", "callers waiting", "mean wait", "mean hold"]
    assert shown[1::3] == ["8 of 8", "45", "270 ms", "52 ms"]
    assert shown[2::3] == ["8", "45", "270", "270"], "waits and holds have one scale"
    picture = ElementTree.fromstring(frame(FULL, 8, 1.5))
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == (
        "Dashboard of a pool of 8 while visits come: "
        "connections busy, callers waiting, mean wait, mean hold"
    )


@pytest.mark.parametrize("readings", [[], IDLE, FULL, [*FULL, Reading(9.0, 8, 900, 9.0, 9.0)]])
def test_a_frame_stays_in_its_place(readings: list[Reading]) -> None:
    """Before anybody came, without any visit, and when the last visits take longer than planned."""
    picture = ElementTree.fromstring(frame(readings, 8, 1.5))
    width, height = float(picture.get("width", "")), float(picture.get("height", ""))
    for path in picture.iter("path"):
        for x, y in re.findall(r"[ML]?([\d.]+) ([\d.]+)", path.get("d", "")):
            assert 0 <= float(x) <= width and 0 <= float(y) <= height
    assert "nan" not in frame(readings, 8, 1.5)


def test_the_last_frame_stays() -> None:
    """As a chart with the same four graphs; its line is the same on every machine."""
    chart = charts.dashboard(EIGHT)
    assert title(chart) == "A pool of 8: callers wait most of the time"
    assert chart.text == "dashboard of a pool of 8, real: callers wait most of the time"
    for words in ("connections busy 8 of 8", "callers waiting 75", "mean wait 450 ms"):
        assert words in written(chart)
    assert_readable(chart)
    easy = charts.dashboard(FOUR)
    assert easy.text == "dashboard of a pool of 4, real: callers wait seldom or never"
    assert_readable(easy)
    assert_readable(charts.dashboard(Watched(4, 1.5, IDLE, 0, 0)))
    with pytest.raises(ValueError, match="readings is empty"):
        charts.dashboard(Watched(4, 1.5, [], 0, 0))


def test_bars_of_waits_and_holds() -> None:
    """Who waits much less than with the first pool is in the line, and milliseconds aren't."""
    chart = charts.wait_and_hold(RUNS)
    assert title(chart) == "4 connections instead of 8: hardly a wait any more"
    assert chart.text == (
        "wait for a connection, real: over 5 times shorter than with 8, held: "
        "16, held; 4, given back"
    )
    assert "waits 330, holds 52" in written(chart)
    assert_readable(chart)
    sooner = charts.wait_and_hold({"8": EIGHT, "4": FOUR, "2": Watched(2, 1.5, FULL, 0.3, 0.01)})
    assert title(sooner) == title(chart), "not of the last, where that is too small"
    other = charts.wait_and_hold({"4": FOUR, "8": EIGHT})
    assert title(other) == "8 connections instead of 4: the wait is still there"
    assert other.text == "wait for a connection, real: no shorter"
    assert_readable(other)
    with pytest.raises(ValueError, match="two or more"):
        charts.wait_and_hold({"8": EIGHT})


@pytest.mark.parametrize("guess", GUESSES, ids=str)
@pytest.mark.parametrize("runs", [RUNS, dict(reversed(RUNS.items()))], ids=["down", "up"])
def test_any_guess_is_readable(runs: dict[str, Watched], guess: float | Guess) -> None:
    """It has a box of its own, and hides nothing."""
    chart = charts.wait_and_hold(runs, guess=guess)
    assert_readable(chart)
    assert "guess: " in written(chart) and "guess: " in chart.text
    assert len(dashed(chart)) == 1
