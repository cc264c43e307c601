"""Workers with unequal work: what each of them measures, and what all their visitors got."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from cachepool_lib import AsyncCache, CacheStats, Histogram
from cachepool_lib.lab.simulation.database import Database
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.lab.simulation.replay import PageFunction, replay
from cachepool_lib.lab.simulation.traffic import traffic
from cachepool_lib.stats import Durations, percentile

RATES = (400, 50, 50, 50)  # visits a second
WARM = 5  # seconds before the first snapshot


@dataclass(frozen=True, repr=False)
class Workers:
    """Snapshots of each worker's cache, *before* and *after*; and what its pages took meanwhile."""

    before: Sequence[CacheStats]
    after: Sequence[CacheStats]
    seconds: Sequence[Sequence[float]]  # a row a worker
    at_hand: Sequence[Sequence[bool]]  # whether a page came from the cache, a row a worker

    @property
    def hit_rate(self) -> float:
        """The share of all pages that came from a cache, 0 to 1: each visit is looked at."""
        seen = [hit for row in self.at_hand for hit in row]
        return sum(seen) / len(seen)

    @property
    def hit_rates(self) -> list[float]:
        """The hit rate that each worker says it has, since it began."""
        return [stats.hit_rate for stats in self.after]

    @property
    def histograms(self) -> list[Histogram]:
        """How long the pages of each worker took, in buckets."""
        return [_in_buckets(row) for row in self.seconds]

    @property
    def p99s(self) -> list[float]:
        """Seconds that 99 of 100 pages of a worker took at most, for each of them."""
        return [percentile(sorted(row), 0.99) for row in self.seconds]

    @property
    def p99(self) -> float:
        """Seconds that 99 of 100 of all pages took at most."""
        return percentile(sorted(took for row in self.seconds for took in row), 0.99)


def uneven_workers(rates: Sequence[float] = RATES, *, seconds: float = 30) -> Workers:
    """Send visits to workers at these *rates* (a second each), in simulated time.

    Each has a cache of its own with a ttl of one second, and a pool of five connections; a page
    takes the database 22 ms.
    """
    before, after, took, hits = [], [], [], []
    for number, rate in enumerate(rates):
        cache = AsyncCache(1, maxsize=None, clock=clock)
        database = Database(0.022, capacity=5)
        came = traffic(rate, seconds=WARM + seconds, seed=number + 1)
        noted: list[CacheStats] = []
        run = replay(_page(cache, database, noted), came, database=database)
        before.append(noted[0])
        after.append(cache.stats())
        pages = list(zip(run.at, run.seconds, run.outcomes, strict=True))
        took.append([each for at, each, _ in pages if at >= WARM])
        hits.append([outcome == "hit" for at, _, outcome in pages if at >= WARM])
    return Workers(before, after, took, hits)


def _page(cache: AsyncCache, database: Database, noted: list[CacheStats]) -> PageFunction:
    async def page(user_id: int) -> object:
        if not noted and clock() >= WARM:
            noted.append(cache.stats())
        return await cache.get_or_load(user_id, lambda: database.page(user_id))

    return page


def _in_buckets(seconds: Sequence[float]) -> Histogram:
    durations = Durations()
    for took in seconds:
        durations.add(took)
    return durations.histogram()


def bucket_percentile(share: float, *histograms: Histogram) -> float:
    """The seconds that *share* of all took at most, as Prometheus reads them from added buckets.

    It knows in which bucket they lie, and takes them to be spread evenly in it. What exceeds all
    bounds is taken for the last of them. NaN if nothing was counted. All have the same bounds.
    """
    bounds = histograms[0].bounds
    each = zip(*(histogram.counts for histogram in histograms), strict=True)
    counts = list(accumulate(map(sum, each)))  # how many took at most each of the bounds
    if not counts[-1]:
        return math.nan
    rank = share * counts[-1]
    at = bisect_left(counts, rank)
    if at == len(bounds):
        return bounds[-1]
    low, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0)
    return low + (bounds[at] - low) * (rank - below) / (counts[at] - below)
