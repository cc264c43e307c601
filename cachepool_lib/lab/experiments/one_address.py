"""Workers behind one address, and a scraper that asks that address: whoever answers, answers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from random import Random

from cachepool_lib.lab.simulation.traffic import traffic

SHARES = (0.4, 0.3, 0.2, 0.1)  # of the visits: clients that keep their connection spread unevenly


@dataclass(frozen=True, repr=False)
class Scrapes:
    """What a scraper read: at *times* (seconds) it asked, and worker *workers[i]* answered.

    *counters* are the visits that each worker had counted at each of the times, a row a worker.
    """

    times: Sequence[float]
    workers: Sequence[int]
    counters: Sequence[Sequence[int]]

    @property
    def seen(self) -> list[tuple[float, int]]:
        """(second, counter), as the scraper got them from one address."""
        return [
            (time, self.counters[worker][number])
            for number, (time, worker) in enumerate(zip(self.times, self.workers, strict=True))
        ]

    def of(self, worker: int) -> list[tuple[float, int]]:
        """(second, counter), as a scraper gets them that asks this worker itself."""
        return list(zip(self.times, self.counters[worker], strict=True))

    @property
    def went_back(self) -> int:
        """How often the counter that came was below the one before."""
        return sum(later < sooner for (_, sooner), (_, later) in pairwise(self.seen))

    def last(self, seconds: float) -> Scrapes:
        """Those of the last so many seconds, both ends included."""
        first = next(n for n, time in enumerate(self.times) if time >= self.times[-1] - seconds)
        return Scrapes(
            self.times[first:], self.workers[first:], [row[first:] for row in self.counters]
        )

    def __repr__(self) -> str:
        return f"{len(self.times)} scrapes, the counter went back {self.went_back} times"


def one_address(
    rate: float = 100,
    *,
    shares: Sequence[float] = SHARES,
    seconds: float = 1_800,
    every: float = 5,
    seed: int = 1,
) -> Scrapes:
    """Send *rate* visits a second to workers that get these *shares* of them, and scrape them.

    One scrape *every* so many seconds, from one of the workers by chance. In simulated time: all
    start to count at 0.
    """
    pick, ends = Random(f"workers {seed}").random, list(accumulate(shares))
    came: list[list[float]] = [[] for _ in shares]
    for at in traffic(rate, 1, seconds, seed=seed).times:
        came[min(bisect_right(ends, pick() * ends[-1]), len(ends) - 1)].append(at)
    times = [every * number for number in range(1, int(seconds / every) + 1)]
    counters = [[bisect_right(row, time) for time in times] for row in came]
    answers = Random(f"scrapes {seed}").random
    return Scrapes(times, [int(answers() * len(shares)) for _ in times], counters)
