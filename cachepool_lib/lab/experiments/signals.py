"""Which signal shows which fault, and after how many seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cachepool_lib import Histogram, PoolStats
from cachepool_lib.lab.experiments.scraped_service import QUERY, Scrape
from cachepool_lib.lab.experiments.watched_days import FAULTS, watched_day
from cachepool_lib.lab.simulation.loop import simulate
from cachepool_lib.stats import percentile

WORSE = 1.5  # times as bad as ever on a healthy day: then a signal shows
NOTICED = QUERY / 2  # seconds: a shorter wait concerns nobody

Read = Callable[[Scrape, Scrape], float]
"""A signal at the second of two scrapes: the more, the worse."""
Advise = Callable[[PoolStats, PoolStats, float, float], str]
"""What exercise 06-3 asks for: before, after, the seconds between them, and the longest hold."""


def misses(first: Scrape, then: Scrape) -> float:
    """1 − hit rate, of the requests between the two."""
    hits = then.cache.hits - first.cache.hits
    waited = then.cache.misses + then.cache.shared - first.cache.misses - first.cache.shared
    return waited / (hits + waited) if waited else 0.0


def mean(first: Histogram, then: Histogram) -> float:
    """Seconds, of what ended between the two."""
    number = then.count - first.count
    return (then.sum - first.sum) / number if number else 0.0


def p99(seconds: Sequence[float]) -> float:
    return percentile(sorted(seconds), 0.99)


SIGNALS: dict[str, Read] = {
    "page p99": lambda first, then: p99(then.pages),
    "hit rate": misses,
    "errors of the store": lambda first, then: then.cache.errors - first.cache.errors,
    "canary: stale hits": lambda first, then: then.stale - first.stale,
    "callers waiting": lambda first, then: then.pool.waiting,
    "wait p99, of who got one": lambda first, then: p99(then.served),
    "mean wait, from sums": lambda first, then: mean(first.pool.waits, then.pool.waits),
    "hold p50, of the last 1,000": lambda first, then: then.pool.hold_p50,
    "mean hold, from sums": lambda first, then: mean(first.pool.holds, then.pool.holds),
    "longest hold now": lambda first, then: then.pool.longest_hold,
}
SECONDS = {name for name in SIGNALS if "wait p99" in name or "mean wait" in name}


@dataclass(frozen=True, repr=False)
class WatchedDays:
    """What was read on each day, and how many seconds after the fault which signal showed."""

    scrapes: Mapping[str, Sequence[Scrape]]
    shown: Mapping[str, Mapping[str, float | None]]

    def days_of(self, signal: str) -> int:
        """On how many days *signal* showed."""
        return sum(shown[signal] is not None for shown in self.shown.values())

    def advised(self, advise: Advise) -> dict[str, str]:
        """What *advise* says of the pool on each day, from its fault on."""
        found = {}
        for day, seen in self.scrapes.items():
            before, after = seen[0].pool, seen[-1].pool
            found[day] = advise(before, after, seen[-1].at - seen[0].at, after.longest_hold)
        return found

    def __repr__(self) -> str:
        return ", ".join(
            f"{day}: {sum(at is not None for at in shown.values())} of {len(shown)} signals"
            for day, shown in self.shown.items()
        )


def watched_days(seconds: float = 80) -> WatchedDays:
    """Watch six bad days and a healthy one, each for so many seconds from its fault on.

    A signal shows when it is WORSE times as bad as it ever was on another healthy day; waits under
    NOTICED seconds are nobody's concern. Simulated, and the same every time.
    """
    well = simulate(watched_day(FAULTS["healthy"], 120, seed=7))
    limits = {
        name: max(
            WORSE * max(read(*two) for two in pairwise(well)), NOTICED if name in SECONDS else 0
        )
        for name, read in SIGNALS.items()
    }
    scrapes = {day: simulate(watched_day(fault, seconds)) for day, fault in FAULTS.items()}
    shown = {
        day: {name: _first(seen, read, limits[name]) for name, read in SIGNALS.items()}
        for day, seen in scrapes.items()
    }
    return WatchedDays(scrapes, shown)


def _first(scrapes: Sequence[Scrape], read: Read, limit: float) -> float | None:
    for first, then in pairwise(scrapes):
        if read(first, then) > limit:
            return then.at - scrapes[0].at
    return None
