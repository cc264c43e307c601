"""AsyncCache: a cache in the memory of one process, for one event loop at a time."""

import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Any, Self, TypeVar, Unpack

from cachepool_lib import loading
from cachepool_lib._validate import Seconds, fraction, seconds, whole
from cachepool_lib.loading import MISSING, TTL, Loader, LoadKeywords, LoadOptions, nothing
from cachepool_lib.loading_many import get_or_load_many
from cachepool_lib.memory.slot import MemorySlot
from cachepool_lib.memory.store import Store
from cachepool_lib.single_flight import SingleFlight
from cachepool_lib.stats import CacheStats, Counts

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class AsyncCache:
    """Keep values in memory for a limited time, in a limited room.

    Not safe to share between threads. Entries outlive an event loop, loads under way don't. Values
    are handed out as they are, not copied: cache what nobody changes.

    Args:
        default_ttl: seconds that a value lives where none are given, as a number or a timedelta;
            0 stores nothing, `math.inf` never expires.
        maxsize: how many entries there is room for; when it is full, `S3FIFO` decides who leaves.
            None means no bound.
        jitter: the share of its ttl, from 0 up to but not including 1, that an entry may lose at
            random, so that entries made together don't expire together. It only shortens.
        clock: gives the time in seconds. It must not go back, so not `time.time`.

    Raises:
        ValueError, TypeError: for a bad argument, in every method too, before anything changes.
            But for *ttl*, `get_or_load` looks at its arguments where something is to be loaded.
    """

    shared = False  # between processes: a key may be, or hold, whatever this process can tell apart

    def __init__(
        self,
        default_ttl: Seconds = 300,
        *,
        maxsize: int | None = 1024,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._store = Store(
            None if maxsize is None else whole("maxsize", maxsize),
            seconds("default_ttl", default_ttl),
            fraction("jitter", jitter),
        )
        self._calls = SingleFlight()
        self._counts = Counts()

    def __repr__(self) -> str:
        room = "no bound" if self._store.maxsize is None else f"room for {self._store.maxsize}"
        entries, ttl = len(self._store), self._store.default_ttl
        return f"<AsyncCache: {entries} entries, {room}, ttl {ttl:g} s>"

    @property
    def store(self) -> Store:
        """What is kept, without awaiting: TieredCache stands on it."""
        return self._store

    @property
    def clock(self) -> Callable[[], float]:
        """Gives the time in seconds."""
        return self._clock

    def lookup(self, key: Hashable, default: Any = None) -> Any:
        """`get` without awaiting, for a caller who asks `get_or_load` next: a miss is not counted.

        This is the quickest way to a hit; what holds values in this process can have it.
        """
        entry = self._store.at_hand(key, self._clock())
        return default if entry is None else entry.value

    async def get(self, key: Hashable, default: Any = None) -> Any:
        """The value of *key* while it is younger than its ttl, else *default*.

        A cached None is a value: pass a *default* of your own to tell it from a miss.
        """
        entry = self._store.lookup(key, self._clock())
        if entry is None:
            self._counts.misses += 1
            return default
        return entry.value

    async def get_many(self, keys: Iterable[Hashable]) -> dict[Hashable, Any]:
        """The values of those *keys* that are at hand; each key is one request."""
        found = {key: await self.get(key, MISSING) for key in dict.fromkeys(keys)}
        return {key: value for key, value in found.items() if value is not MISSING}

    async def exists(self, key: Hashable) -> bool:
        """Is a value of *key* at hand? Asking counts neither as a request nor as a use."""
        now = self._clock()
        entry = self._store.peek(key, now)
        return entry is not None and now < entry.expires_at

    async def set(self, key: Hashable, value: Any, ttl: Seconds | None = None) -> None:
        """Keep *value* for *ttl* seconds; None means the default ttl, 0 removes what was there.

        A load of *key* that is under way will not overwrite it.
        """
        if ttl is not None and (type(ttl) is not int or ttl < 0):  # the usual ttl costs no call
            ttl = seconds("ttl", ttl)
        self._store.put(key, value, ttl, self._clock())
        if self._calls.current:  # mostly nothing is loaded, and a call costs
            self._calls.forget(key)

    async def set_many(self, items: Mapping[Any, Any], ttl: Seconds | None = None) -> None:
        """`set` every pair of *items* with the same *ttl*."""
        ttl = None if ttl is None else seconds("ttl", ttl)
        for key, value in items.items():
            await self.set(key, value, ttl)

    async def delete(self, key: Hashable) -> bool:
        """Forget *key*. True if a value was there that had not expired.

        A load of *key* that is under way still answers those who wait for it, but is not stored:
        it may have read what this delete says has changed. (Nishtala et al., "Scaling Memcache at
        Facebook", 2013, call the right to store a lease.)
        """
        fresh = self._store.remove(key, self._clock())
        self._calls.forget(key)
        return fresh

    async def clear(self, group: Hashable = None) -> None:
        """Forget every key; for loads under way it is a `delete` of each.

        With a *group*, forget the keys alone that are tuples and begin with it, as `(group, 5)`.
        """
        if group is None:
            self._store.clear()
        else:
            self._store.remove_group(group, self._clock())
        self._calls.forget_all(group)

    async def get_or_load(
        self,
        key: Hashable,
        loader: Loader[T],
        ttl: TTL = None,
        *,
        stale_while_revalidate: Seconds = 0,
        stale_if_error: Seconds = 0,
        early_refresh: float = 0,
        retry_after: Seconds = 1,
    ) -> T:
        """The value of *key*, from *loader* where it is not at hand; waits for the load, if any.

        However many ask at once, one load runs, in a task of its own. Any caller may be cancelled
        and the others still get the value; when the last one leaves, the load is cancelled. An
        exception of the loader reaches all who wait and is not kept: the next caller tries again.

        Args:
            loader: called without arguments where a load is needed; what it returns is awaited.
            ttl: as in `set`, counted from the end of the load; or a function of the loaded value
                that returns one, so that None, say, is kept for a second, or not at all (0). Here
                and below: what the caller that starts a load asks for is what counts, not what
                others want who join it.
            stale_while_revalidate: for so many seconds after its ttl a value is still served, at
                once, while one load in the background fetches the next.
            stale_if_error: for so many seconds after its ttl a value is served if its load fails.
                Of both windows the smaller counts: the reader's, or that of the load that stored
                the value. What `set` stored has none.
            early_refresh: how eagerly a fresh value is loaded anew in the background before it
                expires: the beta of XFetch (Vattani et al., "Optimal Probabilistic Cache Stampede
                Prevention", 2015). 1 is a good start, 0 is never.
            retry_after: after a failed load, seconds in which a stale value is served without
                another attempt.

        A load in the background that fails is counted, and logged if nobody waits for it. A loader
        that asks for its own key waits for itself.
        """
        if ttl is not None and (type(ttl) is not int or ttl < 0) and not callable(ttl):
            seconds("ttl", ttl)  # a bad one is refused at a hit, too; the usual one costs no call
        now = self._clock()
        entry = self._store.lookup(key, now)
        if entry is not None and not (early_refresh and entry.due_early(now, early_refresh)):
            value: T = entry.value
            return value
        options = LoadOptions(
            ttl, stale_while_revalidate, stale_if_error, retry_after, early_refresh
        )
        slot = self._slot(key, due_early=entry is not None)
        if entry is None and not options.stale:  # there is nothing to be found
            value = await loading.join_or_load(slot, loader, options)
        else:
            value = await loading.get_or_load(slot, loader, options)
        return value

    async def get_or_load_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Awaitable[Mapping[K, T]]],
        ttl: TTL = None,
        **options: Unpack[LoadKeywords],
    ) -> dict[K, T]:
        """The values of *keys*, in their order; one call of *loader* loads those not at hand.

        For a page that shows a hundred users:

            async def load_users(keys):  # those that are not at hand
                ids = [id for _, id in keys]
                rows = await pool.fetch("SELECT * FROM users WHERE id = ANY($1)", ids)
                return {("user", row["id"]): dict(row) for row in rows}

            keys = [("user", id) for id in ids]
            users = await cache.get_or_load_many(keys, load_users, ttl=60)

        Each key goes the way of `get_or_load`, with all that is promised there: a key that is under
        way already, from whichever call, is left out and waited for; who asks for one of these keys
        meanwhile waits for this load; a `set` or `delete` meanwhile concerns its key alone; a
        caller may be cancelled and the others still get their values. Where a load that was waited
        for gives no value in the end, *loader* is called once more.

        *loader* is given a list of keys, in their order, and returns a dict. A key that it leaves
        out is absent from the answer, and nothing is stored for it: return None for a user who does
        not exist, and that is cached. Whoever has joined that load through `get_or_load` gets
        NotLoaded, a LookupError. A key in the dict that was not asked for is a ValueError.

        The other arguments are those of `get_or_load`; *ttl* may be a function of each value. Where
        the loader fails, its exception is raised here, unless *stale_if_error* has an old value for
        each of its keys; and it reaches all who have joined. Each key counts as one request, and if
        it is loaded as one load.
        """
        checked = LoadOptions(ttl, **options)
        beta = checked.early_refresh
        keys, now, at_hand, due = list(dict.fromkeys(keys)), self._clock(), {}, set()
        for key in keys:
            entry = self._store.lookup(key, now)
            if entry is not None and beta and entry.due_early(now, beta):
                due.add(key)
            elif entry is not None:
                at_hand[key] = entry.value

        def slot(key: Hashable, on_join: Callable[[], None]) -> MemorySlot:
            return self._slot(key, key in due, on_join)

        return await get_or_load_many(keys, at_hand, slot, loader, checked)

    async def refresh(
        self, key: Hashable, loader: Loader[T], ttl: TTL = None, **options: Unpack[LoadKeywords]
    ) -> T:
        """Load *key* now, whatever is at hand, which is served to others until it is there.

        The arguments are those of `get_or_load`. It joins no load under way, which may have read
        what has changed since; that one is not stored. A failure is raised, and changes nothing.
        """
        slot, checked = self._slot(key), LoadOptions(ttl, **options)
        value: T = await loading.refresh(slot, loader, checked)
        return value

    def stats(self) -> CacheStats:
        """What this cache did so far. Any thread may ask."""
        return self._store.stats(self._counts)

    async def close(self) -> None:
        """Cancel what loads in the background, and wait until all cancelled loads have ended.

        Loads that somebody waits for go on, and entries stay: the cache can be used again.
        """
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    def _slot(
        self, key: Hashable, due_early: bool = False, on_join: Callable[[], None] = nothing
    ) -> MemorySlot:
        calls, clock, counts = self._calls, self._clock, self._counts
        return MemorySlot(key, self._store, calls, clock, counts, due_early, on_join)
