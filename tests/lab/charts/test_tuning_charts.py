"""Charts of notebook 06: what to cache, how much room, and what may be computed from counters."""

from typing import Any

import pytest

from cachepool_lib.lab import charts
from cachepool_lib.lab.experiments.loop_turns import Turns
from cachepool_lib.lab.experiments.one_address import Scrapes, one_address
from cachepool_lib.lab.experiments.worth import Worth
from tests.lab.charts.test_charts import Guess, assert_readable, title, written

GAINS = {
    "rate": Worth(0.99, 1.6, 0.0003),
    "page": Worth(0.7, 0.25, 11),
    "recommendation": Worth(0.4, 0.08, 0.4),
    "name": Worth(0.8, 0.07, 2.4),
    "report": Worth(0.5, 0.007, 0.001),
    "search": Worth(0.0, 0.0, 9),
}


@pytest.mark.parametrize("guess", [Guess("report", answered=False), Guess("search"), None])
def test_what_is_worth_caching(guess: Any) -> None:
    """Who saves most is in the title; what saves nothing has a place, too; a guess is ringed."""
    chart = charts.worth(GAINS, guess=guess)
    assert title(chart) == "The rate saves 1.6 s of work each second, the page 0.25 s"
    assert chart.text.startswith("saved each second, simulated: rate 1.6 s, page 0.25 s, reco")
    assert "search 0 s" in chart.text
    assert "search: nothing ↓" in written(chart)
    assert_readable(chart)
    if guess:
        assert chart.text.endswith(f"guess: {guess.guess}")


def test_nothing_worth_caching_is_said() -> None:
    with pytest.raises(ValueError, match="nothing saves anything"):
        charts.worth({"search": GAINS["search"]})
    with pytest.raises(ValueError, match=r"megabytes\[0\] must be a number"):
        charts.worth({"rate": Worth(1, 1, 0)})


def test_turns_of_the_loop() -> None:
    """Whether the loop stood still; how many turns it got is in the picture alone."""
    still = Turns([(0.0, 0.04), (0.05, 0.09)], [0.045, 0.1])
    beside = Turns([(0.0, 0.04)], [0.01, 0.02, 0.03, 0.05])
    chart = charts.loop_turns({"on the loop": still, "in a thread": beside})
    assert title(chart) == "On the loop: the loop stands still while it computes"
    assert chart.text.endswith("real: on the loop none, in a thread some")
    assert "3 turns meanwhile" in written(chart)
    assert_readable(chart)
    assert title(charts.loop_turns({"a": beside})) == "The loop has its turns all the time"
    with pytest.raises(ValueError, match="runs is empty"):
        charts.loop_turns({})


ROOMS = {50: 0.43, 100: 0.50, 200: 0.57, 400: 0.64, 800: 0.70, 1600: 0.76}


@pytest.mark.parametrize("guess", [None, 25, 2, 7, 0, 50, Guess(40, answered=False)])
def test_hit_rate_by_room(guess: Any) -> None:
    """What a doubling brings, in points; the guess is for these."""
    chart = charts.hit_rate_by_room(ROOMS, now=100, mark=200, guess=guess)
    assert title(chart) == "From 100 to 200 entries: +7 points"
    assert "50 0.43, 100 0.50, 200 0.57" in chart.text
    assert_readable(chart)


def test_a_room_that_was_not_measured() -> None:
    with pytest.raises(ValueError, match="mark must be one of the rooms, not 300"):
        charts.hit_rate_by_room(ROOMS, now=100, mark=300)


@pytest.mark.parametrize("guess", [None, 100, Guess(1e6)])
def test_one_address(guess: Any) -> None:
    """What came and what rate() says are in the title; each worker has a line."""
    scrapes = one_address(seconds=300).last(60)
    chart = charts.one_address(scrapes, 2345.6, 100, guess=guess)
    assert title(chart) == "100 visits a second came; rate() says 2,346"
    assert "100 visits a second, and from one address 2,346" in chart.text
    assert "worker 4" in written(chart)
    assert_readable(chart)


def test_one_scrape_is_no_rate() -> None:
    with pytest.raises(ValueError, match="two or more"):
        charts.one_address(Scrapes([5], [0], [[1]]), 1, 1)


FIGURES = {
    "visits a second, one address": (3863, 100, "a second"),
    "visits a second, added up": (99.5, 100, "a second"),
    "hit rate, mean of four": (0.27, 0.36, ""),
    "p99, mean of four": (54, 148, "ms"),
}


@pytest.mark.parametrize("guess", [None, 54, Guess(148), 0, 1e9])
def test_true_and_computed(guess: Any) -> None:
    """How many are not true, within a twentieth, and how far off the worst one is."""
    chart = charts.true_and_computed(FIGURES, guess=guess, of="p99, mean of four")
    assert title(chart) == "3 of 4 figures mislead; the worst is 39 times off"
    assert "p99, mean of four 54 (true 148)" in chart.text
    assert "54 ms, true 148" in written(chart)
    assert_readable(chart)


@pytest.mark.parametrize(("true", "mislead"), [(148, 0), (250, 0), (90, 1), (260, 1)])
def test_the_right_bucket_does_not_mislead(true: float, mislead: int) -> None:
    """No more is known of it than its bounds: it is drawn from one to the other."""
    figures = {"p99, added buckets": (234.0, true, "ms")}
    chart = charts.true_and_computed(figures, buckets={"p99, added buckets": [50, 100, 250, 500]})
    assert title(chart).startswith(f"{mislead} of 1 figures mislead")
    right = f"100 to 250 ms: the right bucket, true {true}"
    assert (right in written(chart)) is not bool(mislead)
    assert_readable(chart)


def test_only_true_figures() -> None:
    chart = charts.true_and_computed({"a": (1, 1, "")})
    assert title(chart) == "0 of 1 figures mislead"
    assert_readable(chart)
    with pytest.raises(ValueError, match="of must be one of the rows"):
        charts.true_and_computed({"a": (1, 1, "")}, guess=3, of="b")
    with pytest.raises(ValueError, match="figures is empty"):
        charts.true_and_computed({})
