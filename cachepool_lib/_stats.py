"""Snapshots of what a cache or a pool did."""

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass


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

    @property
    def hit_rate(self) -> float:
        """Share of the answered requests that did not wait for a load, 0 to 1 (0 if none came)."""
        at_hand = self.hits + self.stale_hits
        answered = at_hand + self.misses + self.shared
        return at_hand / answered if answered else 0.0


@dataclass(slots=True)
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

    def asked(self, shared: bool) -> None:
        """A request was answered by a load: by its own, or a shared one."""
        if shared:
            self.shared += 1
        else:
            self.misses += 1

    def snapshot(self) -> CacheStats:
        return CacheStats(**asdict(self), evictions=None, expirations=None, size=None, maxsize=None)


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool does now, and did since it was made. A snapshot: it does not change any more."""

    size: int
    """Connections that are open."""
    idle: int
    """Connections that are open and that nobody holds; one may still be reset after a query."""
    in_use: int
    """Connections that are held."""
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
    wait_p50: float
    """Seconds that a caller waited for a connection: half of the last thousand, at most."""
    wait_p99: float
    """Seconds that a caller waited: 99 % of the last thousand, at most."""
    hold_p50: float
    """Seconds from the handing out of a connection until it was back: half of the last thousand."""
    hold_p99: float
    """Seconds from the handing out until it was back: 99 % of the last thousand, at most."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a connection now."""

    task: str
    """The name of the task that asked for it."""
    seconds: float
    """How long ago it got the connection."""
    where: str
    """The line of code that asked for it: file, number, function."""


def percentile(values: Collection[float], share: float) -> float:
    """The smallest of *values* that *share* of them don't exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0
