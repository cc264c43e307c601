"""Seven days of a watched service: what shows, how soon, and what never does."""

import functools

import pytest

from cachepool_lib import PoolStats, lab
from cachepool_lib.lab.experiments.signals import WatchedDays
from cachepool_lib.lab.experiments.watched_days import FAULTS, SCRAPE

days = functools.cache(lab.watched_days)


def seconds(day: str, signal: str) -> float | None:
    return days().shown[day][signal]


def test_a_healthy_day_shows_nothing() -> None:
    """The limits are those of another healthy day."""
    assert list(days().shown) == list(FAULTS)
    assert set(days().shown["healthy"].values()) == {None}


@pytest.mark.parametrize("day", [day for day in FAULTS if day != "healthy"])
def test_every_bad_day_shows_at_the_first_scrape(day: str) -> None:
    """There is a signal for each fault."""
    assert min(at for at in days().shown[day].values() if at is not None) == SCRAPE


def test_no_signal_shows_every_fault() -> None:
    """That is why one watches more than one."""
    bad = len(FAULTS) - 1
    assert max(days().days_of(signal) for signal in days().shown["healthy"]) < bad
    assert days().days_of("page p99") == 4


def test_a_leak_shows_at_once_in_what_has_not_ended_alone() -> None:
    """Waits and pages tell once all connections are gone, and those served never."""
    assert seconds("leak", "longest hold now") == SCRAPE
    assert seconds("leak", "wait p99, of who got one") is None
    assert seconds("leak", "mean hold, from sums") is None
    late = [
        seconds("leak", name) for name in ("page p99", "callers waiting", "mean wait, from sums")
    ]
    assert all(at is not None and at > 40 for at in late)


def test_what_is_lost_without_invalidation_only_the_canary_sees() -> None:
    shown = days().shown["no invalidation"]
    assert [name for name, at in shown.items() if at is not None] == ["canary: stale hits"]


def test_a_store_that_is_gone_does_not_slow_a_page_where_there_is_room() -> None:
    assert seconds("store gone", "errors of the store") == SCRAPE
    assert seconds("store gone", "hit rate") == SCRAPE
    assert seconds("store gone", "page p99") is None


def test_sums_tell_sooner_than_a_median_of_the_last_thousand() -> None:
    """And a crowd that is through before the next scrape is in the sums, not in the queue."""
    median = seconds("slow database", "hold p50, of the last 1,000")
    assert seconds("slow database", "mean hold, from sums") == SCRAPE
    assert median is not None and median > 8 * SCRAPE
    assert seconds("stampede", "mean wait, from sums") == SCRAPE
    assert seconds("stampede", "callers waiting") is None


def test_the_sum_of_holds_falls_in_a_leak() -> None:
    """What is never given back is in no sum."""
    pools = [scrape.pool for scrape in days().scrapes["leak"]]
    assert pools[1].holds.sum - pools[0].holds.sum > 1
    assert pools[-1].holds.sum == pools[-2].holds.sum
    assert pools[-1].in_use == pools[-1].max_size


def test_advice_is_asked_with_what_the_pool_said_of_each_day() -> None:
    """From the moment of the fault on: how long that was, and who holds longest at its end."""

    def advise(before: PoolStats, after: PoolStats, seconds: float, longest: float) -> str:
        return f"{after.acquired > before.acquired} {seconds:g} {longest > 5}"

    advice = days().advised(advise)
    assert list(advice) == list(FAULTS)
    assert advice["leak"] == "True 80 True"
    assert {advice[day] for day in advice if day != "leak"} == {"True 80 False"}


def test_the_days_are_the_same_every_time() -> None:
    """Two runs differ in nothing that was read."""
    again = lab.watched_days(10)
    scrapes = days().scrapes
    assert all(seen == scrapes[day][: len(seen)] for day, seen in again.scrapes.items())
    assert isinstance(again, WatchedDays) and "healthy: 0 of 10 signals" in repr(again)
