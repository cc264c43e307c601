"""Snapshots of what a cache did."""

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
