"""Snapshots of what a cache or a pool did."""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did since it was made. A snapshot: it does not change any more.

    Every request that was answered is one of four: a hit, a stale hit, a miss, or shared (it
    waited for a load that another request had started). A request that was cancelled while it
    waited is none of them.
    """

    hits: int
    """Answered with a fresh value."""
    misses: int
    """Not at hand: `get` answered with its default, `get_or_load` started a load."""
    stale_hits: int
    """Answered with an expired value, as `stale_while_revalidate` or `stale_if_error` allowed."""
    shared: int
    """Answered by a load that another request had started."""
    loads: int
    """Loads that gave a value."""
    load_failures: int
    """Loads that raised an exception."""
    load_seconds: float
    """Seconds spent in loads that gave a value or raised, added up."""
    evictions: int | None
    """Entries that left to make room. None: the store cannot tell."""
    expirations: int | None
    """Entries that left because their time was over. None: the store cannot tell."""
    errors: int
    """Failures of the store itself. Always 0 in memory."""
    size: int | None
    """Entries held now, those kept for a stale window included. None: the store cannot tell."""
    maxsize: int | None
    """Entries that there is room for. None: no bound."""
    dropped: int
    """Values that were loaded and not kept, as their lease was gone. Always 0 in memory."""

    @property
    def hit_rate(self) -> float:
        """Share of the answered requests that did not wait for a load, 0 to 1 (0 if none came)."""
        at_hand = self.hits + self.stale_hits
        answered = at_hand + self.misses + self.shared
        return at_hand / answered if answered else 0.0


@dataclass(frozen=True, slots=True)
class CanaryStats(CacheStats):
    """What a cache did, and what a canary found when it compared hits with the source."""

    fresh: int
    """Hits that the source agreed with, or whose change the cache noticed meanwhile."""
    stale: int
    """Hits that the source did not agree with, while the cache went on holding their value."""
    failed: int
    """Comparisons that raised an error: they say nothing about the hit."""


@dataclass
class Counts:
    """What a store counts while it runs."""

    hits: int = 0
    misses: int = 0
    stale_hits: int = 0
    shared: int = 0
    loads: int = 0
    load_failures: int = 0
    load_seconds: float = 0.0
    errors: int = 0
    dropped: int = 0

    def asked(self, shared: bool) -> None:
        """A request was answered by a load: by its own, or a shared one."""
        if shared:
            self.shared += 1
        else:
            self.misses += 1

    def snapshot(self) -> CacheStats:
        return CacheStats(**vars(self), evictions=None, expirations=None, size=None, maxsize=None)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many took how long. A snapshot: it does not change any more.

    Those of several processes, or of two moments, can be added and subtracted bucket by bucket;
    percentiles can't.
    """

    bounds: tuple[float, ...]
    """Of the buckets, in seconds, the shortest first: a bucket takes what equals its bound, too."""
    counts: tuple[int, ...]
    """How many fell into each bucket; one more at the end, for what exceeds all bounds."""
    sum: float
    """Seconds of all of them, added up."""

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool does now, and did since it was made. A snapshot: it does not change any more."""

    name: str
    """What the pool is called."""
    size: int
    """Connections that are open."""
    idle: int
    """Connections that are open and can be lent at once."""
    in_use: int
    """Connections that are held."""
    resetting: int
    """Connections that were given back, and are just being reset or closed."""
    waiting: int
    """Callers who have asked for a connection and have none yet."""
    min_size: int
    """Connections that are kept open."""
    max_size: int
    """Connections that may be open."""
    acquired: int
    """Connections that were handed out."""
    timeouts: int
    """Callers who got none in time."""
    refused: int
    """Callers who got none because too many waited already."""
    opened: int
    """Connections that were opened."""
    failed: int
    """Attempts to open one that failed."""
    lost: int
    """Connections that ended otherwise than by the pool's closing them, or did not confirm it."""
    wait_p50: float
    """Seconds that a caller waited for a connection: half of the last thousand, at most.

    Who gave up has waited, too: was not served in time, or was cancelled.
    """
    wait_p99: float
    """Seconds that a caller waited: 99 % of the last thousand, at most."""
    hold_p50: float
    """Seconds from the handing out of a connection until it was back: half of the last thousand."""
    hold_p99: float
    """Seconds from the handing out until it was back: 99 % of the last thousand, at most."""
    longest_hold: float
    """Seconds since which a connection is held, of all that are held now the most; else 0.

    A connection that never comes back shows here alone.
    """
    waits: Histogram
    """How long callers waited, those who gave up included."""
    holds: Histogram
    """How long connections were held that are back, or were taken away."""


class Durations:
    """Durations as they come in: all of them counted by length, and the last thousand."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
    REMEMBERED = 1000

    def __init__(self) -> None:
        self._counts = [0] * (len(self.BOUNDS) + 1)
        self._sum = 0.0
        self._last: deque[float] = deque(maxlen=self.REMEMBERED)

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self.BOUNDS, seconds)] += 1
        self._sum += seconds
        self._last.append(seconds)

    def histogram(self) -> Histogram:
        return Histogram(self.BOUNDS, tuple(self._counts), self._sum)

    def percentiles(self) -> tuple[float, float]:
        """What half of the last thousand, and 99 % of them, don't exceed."""
        ordered = sorted(self._last)
        return percentile(ordered, 0.5), percentile(ordered, 0.99)


class PoolCounts:
    """What a pool counts while it runs."""

    def __init__(self) -> None:
        self.acquired = self.timeouts = self.refused = 0
        self.opened = self.failed = self.lost = 0
        self.waits, self.holds = Durations(), Durations()

    def snapshot(
        self,
        *,
        name: str,
        places: tuple[int, int, int],
        waiting: int,
        min_size: int,
        max_size: int,
        longest_hold: float,
    ) -> PoolStats:
        """*places*: how many connections are idle, held, and being reset or closed."""
        wait_p50, wait_p99 = self.waits.percentiles()
        hold_p50, hold_p99 = self.holds.percentiles()
        idle, in_use, resetting = places
        return PoolStats(
            name=name,
            size=sum(places),
            idle=idle,
            in_use=in_use,
            resetting=resetting,
            waiting=waiting,
            min_size=min_size,
            max_size=max_size,
            acquired=self.acquired,
            timeouts=self.timeouts,
            refused=self.refused,
            opened=self.opened,
            failed=self.failed,
            lost=self.lost,
            wait_p50=wait_p50,
            wait_p99=wait_p99,
            hold_p50=hold_p50,
            hold_p99=hold_p99,
            longest_hold=longest_hold,
            waits=self.waits.histogram(),
            holds=self.holds.histogram(),
        )


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a connection now."""

    task: str
    """The name of the task that asked for it."""
    seconds: float
    """How long ago it got the connection."""
    where: str
    """The line of code that asked for it: file, number, function."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of *ordered* that *share* of them don't exceed; 0 if there are none."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0
