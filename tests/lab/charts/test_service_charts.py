"""Charts of notebook 05: a service at its door, on a bad day, and while workers come and go."""

import pytest

from cachepool_lib.lab import charts
from cachepool_lib.lab.experiments.bad_days import BadDay
from cachepool_lib.lab.experiments.deploys import Generations, Leaving
from cachepool_lib.lab.experiments.freshness import StaleAfter
from cachepool_lib.lab.experiments.holding import Holding
from cachepool_lib.lab.experiments.visits import FullLoad, Visits
from tests.lab.charts.test_charts import Guess, assert_readable, title, written


def visits(*outcomes: str, seconds: float = 0.01) -> Visits:
    count = len(outcomes)
    return Visits(
        at=[0.1 * i for i in range(count)],
        keys=[0] * count,
        seconds=[seconds] * count,
        outcomes=list(outcomes),
        pids=[0 if outcome == "failed" else 11 + i % 3 for i, outcome in enumerate(outcomes)],
    )


def test_the_door_says_whether_it_is_many_times_as_much() -> None:
    """Figures are in the picture; the line has what is true on every machine."""
    slow = FullLoad(16, [0.05, 0.2], 96.0, 0)
    fast = FullLoad(16, [0.003, 0.02], 4073.0, 0)
    chart = charts.at_the_door({"connect": slow, "two tiers": fast}, guess=Guess(3))
    assert title(chart) == "two tiers: 42 times as many pages as connect"
    assert "two tiers: more than 10 times as many pages as connect; your guess: 3" in chart.text
    assert "4,100" in written(chart)
    assert_readable(chart)
    assert "not more than 10" in charts.at_the_door({"a": fast, "b": slow}).text
    with pytest.raises(ValueError, match="two or more"):
        charts.at_the_door({"connect": slow})


def test_what_a_request_holds() -> None:
    """The count of those that borrow, and a hold that goes on after the answer."""
    each = Holding([(i, i + 0.01) for i in range(10)], [(i, i, i + 0.01) for i in range(10)], [])
    once = Holding(each.requests, [(0, 0.002, 0.005)], [])
    chart = charts.holding({"Depends": each, "in the load": once}, guess=Guess(1, answered=False))
    assert title(chart) == "Who borrows? Depends: 10 of 10; in the load: 1 of 10"
    assert_readable(chart)
    on = charts.holding({"a task": Holding([(0, 0.01)], [(0, 0.001, 0.5)], ["PoolTimeout"])})
    assert "holds on" in written(on)
    assert_readable(on)


def test_old_reads_are_seen() -> None:
    """For how long is in the picture, and whether it was nearly the ttl in the line."""
    times = [0.02 * i for i in range(120)]
    old = StaleAfter([(at, 0.4 < at < 1.2) for at in times], [0.3, 1.5], 1.0)
    new = StaleAfter([(at, False) for at in times], [0.3, 1.5], 1.0)
    chart = charts.old_reads({"before": old, "after": new}, guess=0.1)
    assert title(chart) == "before: old for 0.88 s of a ttl of 1 s"
    assert "before old for nearly the ttl, after never old" in chart.text
    assert_readable(chart)
    assert title(charts.old_reads({"after": new})) == "Nobody reads an old page"


def test_generations_against_the_limit() -> None:
    """How many new workers start, for each size."""
    counts = {5: [5, 10, 15, 20], 4: [4, 8, 12, 16, 20], 2: [2 * n for n in range(1, 9)]}
    run = Generations(4, 20, counts)
    assert repr(run) == "of 8 workers start: 4 with size 5, 5 with size 4, 8 with size 2"
    chart = charts.generations(run, guess=Guess(4))
    assert title(chart) == "With pools of 5 no new worker starts, with 2 all do"
    assert "size 5 0, size 4 1, size 2 4" in chart.text
    assert_readable(chart)


def test_a_bad_day_has_its_spans() -> None:
    """What broke when; what nobody noticed is said so."""
    spans = {"Redis gone": (0.2, 0.5), "cut": (0.7, 0.7)}
    well = BadDay(visits(*["hit", "stale", "miss"] * 4), spans)
    ill = BadDay(visits(*["hit", "failed", "refused"] * 4), spans)
    chart = charts.bad_day({"two tiers": well})
    assert title(chart) == "Nothing failed; some pages were old"
    assert_readable(chart)
    chart = charts.bad_day({"Redis": ill, "two tiers": well}, guess=Guess(20))
    assert title(chart) == "8 of 24 pages fail"
    assert "Redis some failed, two tiers none failed" in chart.text
    assert_readable(chart)


def test_three_mends_without_room() -> None:
    """Of each: whether pages fail; and where the median of those who got a page is lowest."""
    span = {"Redis gone": (0.2, 1.0)}
    runs = {
        "Redis": BadDay(visits(*["miss"] * 12, seconds=0.5), span),
        "max_waiting": BadDay(visits(*["miss", *["refused"] * 2] * 4, seconds=0.2), span),
        "tiers": BadDay(visits(*["hit"] * 12, seconds=0.002), span),
    }
    chart = charts.no_room(runs, span["Redis gone"], "Redis is gone")
    assert chart.text == (
        "pages while Redis is gone, real: "
        "Redis none fail; max_waiting some fail; tiers none fail; quickest: tiers"
    )
    assert_readable(chart)


def test_workers_that_leave() -> None:
    """Whether pages were lost; the one that left has the first lane."""
    term = Leaving("SIGTERM", visits(*["miss"] * 20), 0.9, 11, 0.3, 0)
    kill = Leaving("SIGKILL", visits(*["miss", "miss", "failed", "miss"] * 5), 0.9, 11, 0.01, 0)
    assert repr(term) == "SIGTERM: no page lost, 0 connections left"
    assert repr(kill) == "SIGKILL: some pages lost, 0 connections left"
    chart = charts.workers({"SIGTERM": term, "SIGKILL": kill}, guess=Guess(3))
    assert title(chart) == "SIGTERM loses 0 pages; SIGKILL loses 5 pages"
    assert "SIGTERM no page lost, SIGKILL some pages lost" in chart.text
    assert_readable(chart)
