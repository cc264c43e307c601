"""A cache that does not follow a simulation's clock is noticed: in it nothing would ever expire.

AsyncCache's own default, time.monotonic, is real time: ten simulated minutes are a few of its
milliseconds. Every value would be fresh until the end, the hit rate 1.000, and nobody told.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from cachepool_lib.memory.entries import Entry
from cachepool_lib.memory.store import Store


@dataclass(slots=True)
class Seen:
    """What is known of a Store."""

    behind: float  # its clock against the simulated one, when it was first seen
    shortest: float = inf  # ttl of what it was given: once so far behind, it serves what is over


class Clocks:
    """As a context manager: compares with *clock* what caches in memory take for now.

    It concerns this thread alone. Each Store is told the time with every lookup and every put, be
    it that of an AsyncCache, of a decorated function, or the first tier of a TieredCache. Where a
    simulation ends before any ttl does, real time does no harm, and nothing is said.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: WeakKeyDictionary[Store, Seen] = WeakKeyDictionary()
        self._behind: dict[str, float] = {}  # since it was first seen, by what the cache is like
        self._filled: dict[str, int] = {}  # entries of before
        self._lookup, self._put = Store.lookup, Store.put

    @property
    def complaint(self) -> str:
        """What is wrong, and what to do; empty if nothing is."""
        for cache, behind in self._behind.items():
            return (
                f"{cache} has a clock of its own, which went {behind:.3g} s less than the "
                "simulated one: its values stay fresh too long. Give it the clock of the "
                "simulation: AsyncCache(clock=lab.clock) or @async_cache(clock=lab.clock)."
            )
        for cache, size in self._filled.items():
            return (
                f"{cache} held {size} entries before the simulation began, whose clock starts "
                "at 0: they stay fresh too long. Make the cache inside; lab.replay takes a "
                "function that makes it."
            )
        return ""

    def __enter__(self) -> "Clocks":
        here, get_ident = threading.get_ident(), threading.get_ident
        real_lookup, real_put = self._lookup, self._put

        def lookup(store: Store, key: Any, now: float) -> Entry | None:
            if get_ident() == here:
                self._see(store, now)
            return real_lookup(store, key, now)

        def put(store: Store, key: Any, value: Any, ttl: Any, now: float, *rest: Any) -> None:
            if get_ident() == here:
                seen, lives = self._see(store, now), store.default_ttl if ttl is None else ttl
                if lives:  # 0 removes
                    seen.shortest = min(seen.shortest, lives)
            real_put(store, key, value, ttl, now, *rest)

        Store.lookup = Store.at_hand = lookup  # type: ignore[method-assign, assignment]
        Store.put = put  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *raised: object) -> None:
        Store.lookup = Store.at_hand = self._lookup  # type: ignore[method-assign]
        Store.put = self._put  # type: ignore[method-assign]

    def _see(self, store: Store, now: float) -> Seen:
        behind = self._clock() - now
        seen = self._seen.get(store)
        if seen is None:
            seen = self._seen[store] = Seen(behind)
            if len(store) and store.default_ttl < inf:
                self._filled[_describe(store)] = len(store)
        if behind - seen.behind >= seen.shortest:
            self._behind[_describe(store)] = behind - seen.behind
        return seen


def _describe(store: Store) -> str:
    return f"A cache with a ttl of {store.default_ttl:g} s"
