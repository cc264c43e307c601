"""Shadow: the hit rate that a cache would have with other room, read off before it is paid for."""

from collections.abc import Hashable
from typing import Any

from cachepool_lib._validate import whole
from cachepool_lib.loading import LoadOptions
from cachepool_lib.memory.async_cache import AsyncCache
from cachepool_lib.memory.entries import Entry
from cachepool_lib.memory.s3fifo import MAX_USES
from cachepool_lib.memory.store import NO_LOAD, Store
from cachepool_lib.stats import CacheStats, Counts

SPARED = object()  # in place of a value: what the cache is about to load, this one has


class Shadow:
    """What an AsyncCache would do with room for *maxsize* entries, found out by keys alone.

        shadow = Shadow(cache, maxsize=2_000)  # of a cache with room for 1,000
        ...  # an hour of requests
        cache.stats().hit_rate, shadow.stats().hit_rate

    From now on, and until `close`, it is told each request of *cache*, each value that is stored,
    with its ttl and stale windows, each `delete` and `clear`, and goes through the same: its store
    and its eviction are the same code, and it holds no values. It begins empty, so compare it with
    a cache that was empty then, or wait until both are full. A cache may have several shadows.

    A key takes about 200 bytes, 300 where keys leave to make room; a hit of the cache takes two to
    three times as long while it is watched, and what it took before after `close`.

    It is what a real cache would show as long as loads take no time. If they do, it takes what the
    cache loads for loaded when the cache has it. Not for the first tier of a TieredCache, whose
    misses go on to Redis unseen.

    Args:
        cache: an AsyncCache.
        maxsize: entries that there would be room for, more or fewer than *cache* has room for;
            None means no bound.

    Raises:
        TypeError, ValueError: for a bad argument.
    """

    def __init__(self, cache: AsyncCache, maxsize: int | None) -> None:
        if not isinstance(cache, AsyncCache):
            raise TypeError(f"cache must be an AsyncCache, got {type(cache).__name__}")
        room = None if maxsize is None else whole("maxsize", maxsize)
        self._watched = cache.store
        self._store = Store(room, self._watched.default_ttl, self._watched.jitter)
        self._counts = Counts()
        _watch(self._watched, self)

    def __repr__(self) -> str:
        stats = self.stats()
        room = "no bound" if stats.maxsize is None else f"room for {stats.maxsize}"
        return f"<Shadow: {stats.size} keys, {room}, hit rate {stats.hit_rate:.3f}>"

    def stats(self) -> CacheStats:
        """What such a cache would have done since this shadow was made; loads are not counted."""
        return self._store.stats(self._counts)

    def close(self) -> None:
        """Be told nothing any more. What `stats` says stays."""
        _forget(self._watched, self)

    # What the watched store tells.

    def _asked(self, key: Hashable, found: Entry | None, now: float) -> None:
        """*key* was asked for, and the cache *found* this."""
        store = self._store
        entry = store.lookup(key, now)
        if entry is not None:
            if found is None:
                entry.value = SPARED
            return
        entry = store.peek(key, now)
        if entry is not None and entry.may_be_stale(now, entry.options, failed=False):
            entry.uses = min(entry.uses + 1, MAX_USES)
            self._counts.stale_hits += 1
        else:
            self._counts.misses += 1
        if found is not None:  # nobody will load it, so it is loaded here
            store.put(key, None, found.options.ttl_of(found.value), now, found.options)

    def _stored(self, key: Hashable, ttl: float | None, now: float, options: LoadOptions) -> None:
        entry = self._store.peek(key, now)
        if entry is not None and entry.value is SPARED:
            entry.value = None
        else:
            self._store.put(key, None, ttl, now, options)

    def _removed(self, key: Hashable, now: float) -> None:
        self._store.remove(key, now)

    def _removed_group(self, group: Hashable, now: float) -> None:
        self._store.remove_group(group, now)

    def _cleared(self) -> None:
        self._store.clear()


class Watched(Store):
    """A store that tells its shadows what it is asked and what it keeps."""

    shadows: tuple[Shadow, ...]

    def lookup(self, key: Hashable, now: float) -> Entry | None:
        entry = super().lookup(key, now)
        for shadow in self.shadows:
            shadow._asked(key, entry, now)
        return entry

    def at_hand(self, key: Hashable, now: float) -> Entry | None:
        entry = super().at_hand(key, now)
        if entry is not None:  # else the same caller asks once more
            for shadow in self.shadows:
                shadow._asked(key, entry, now)
        return entry

    def put(
        self,
        key: Hashable,
        value: Any,
        ttl: float | None,
        now: float,
        options: LoadOptions = NO_LOAD,
        load_seconds: float = 0,
    ) -> None:
        if options is NO_LOAD and ttl:
            options = LoadOptions(ttl)  # so that _asked can see the ttl
        super().put(key, value, ttl, now, options, load_seconds)
        for shadow in self.shadows:
            shadow._stored(key, ttl, now, options)

    def remove(self, key: Hashable, now: float) -> bool:
        for shadow in self.shadows:
            shadow._removed(key, now)
        return super().remove(key, now)

    def remove_group(self, group: Hashable, now: float) -> None:
        for shadow in self.shadows:
            shadow._removed_group(group, now)
        super().remove_group(group, now)

    def clear(self) -> None:
        for shadow in self.shadows:
            shadow._cleared()
        super().clear()


def _watch(store: Store, shadow: Shadow) -> None:
    # The store itself changes its class: whoever holds it need not be told, and a store that
    # nobody watches has no question to ask at each hit.
    store.__class__ = Watched
    assert isinstance(store, Watched)
    store.shadows = (*getattr(store, "shadows", ()), shadow)


def _forget(store: Store, shadow: Shadow) -> None:
    left = tuple(other for other in getattr(store, "shadows", ()) if other is not shadow)
    if isinstance(store, Watched):
        store.shadows = left
    if not left:
        store.__class__ = Store
