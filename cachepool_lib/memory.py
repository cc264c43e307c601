"""AsyncCache: a cache in the memory of one process, for one event loop at a time."""

import math
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from cachepool_lib._arguments import Seconds, fraction, number, seconds, whole
from cachepool_lib._flights import Flight, Flights, require_loader
from cachepool_lib._stats import CacheStats
from cachepool_lib._store import MAX_USES, Entry, Load, Store

T = TypeVar("T")


class AsyncCache:
    """Keep values in memory for a limited time, in a limited room.

    Not safe to share between threads. Entries outlive an event loop, loads under way don't. Values
    are handed out as they are, not copied: cache what nobody changes.

    Args:
        default_ttl: seconds that a value lives where none are given, as a number or a timedelta;
            0 stores nothing, `math.inf` never expires.
        maxsize: how many entries there is room for; when it is full, S3-FIFO decides who leaves.
            None means no bound.
        jitter: the share of its ttl, from 0 up to but not including 1, that an entry may lose at
            random, so that entries made together don't expire together. It only shortens.
        clock: gives the time in seconds. It must not go back, so not `time.time`.

    Raises:
        ValueError, TypeError: for a bad argument, in every method too, before anything changes.
            But for *ttl*, `get_or_load` looks at its arguments where something is to be loaded.
    """

    def __init__(
        self,
        default_ttl: Seconds = 300,
        *,
        maxsize: int | None = 1024,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default_ttl = seconds("default_ttl", default_ttl)
        self._jitter = fraction("jitter", jitter)
        self._clock = clock
        self._store = Store(None if maxsize is None else whole("maxsize", maxsize))
        self._flights = Flights()
        self._misses = self._stale_hits = self._shared = 0
        self._loads = self._load_failures = 0
        self._load_seconds = 0.0

    def __repr__(self) -> str:
        room = "no bound" if self._store.maxsize is None else f"room for {self._store.maxsize}"
        return f"<AsyncCache: {len(self._store)} entries, {room}, ttl {self._default_ttl:g} s>"

    async def get(self, key: Hashable, default: Any = None) -> Any:
        """The value of *key* while it is younger than its ttl, else *default*.

        A cached None is a value: pass a *default* of your own to tell it from a miss.
        """
        entry = self._store.lookup(key, self._clock())
        if entry is None:
            self._misses += 1
            return default
        return entry.value

    async def get_many(self, keys: Iterable[Hashable]) -> dict[Hashable, Any]:
        """The values of those *keys* that are at hand."""
        missing = object()
        found = {key: await self.get(key, missing) for key in keys}
        return {key: value for key, value in found.items() if value is not missing}

    async def set(self, key: Hashable, value: Any, ttl: Seconds | None = None) -> None:
        """Keep *value* for *ttl* seconds; None means the default ttl, 0 removes what was there.

        A load of *key* that is under way will not overwrite it.
        """
        if ttl is not None and (type(ttl) is not int or ttl < 0):  # the usual ttl costs no call
            ttl = seconds("ttl", ttl)
        self._put(key, value, ttl)
        if self._flights.attached:
            self._flights.detach(key)

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
        self._flights.detach(key)
        return fresh

    async def clear(self) -> None:
        """Forget every key; for loads under way it is a `delete` of each."""
        self._store.clear()
        self._flights.detach_all()

    async def get_or_load(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[T]],
        ttl: Seconds | None = None,
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
            ttl: as in `set`, counted from the end of the load. Here and below: what the caller that
                starts a load asks for is what counts, not what others want who join it.
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
        if ttl is not None and (type(ttl) is not int or ttl < 0):
            ttl = seconds("ttl", ttl)
        now = self._clock()
        entry = self._store.lookup(key, now)
        if entry is None or (early_refresh and _is_due_early(entry, now, early_refresh)):
            load = Load(
                seconds("stale_while_revalidate", stale_while_revalidate),
                seconds("stale_if_error", stale_if_error),
                number("early_refresh", early_refresh),
                seconds("retry_after", retry_after),
            )
            if entry is None:
                return cast(T, await self._stale_or_load(key, loader, ttl, load))
            self._refresh(key, loader, ttl, load)
        value: T = entry.value
        return value

    def stats(self) -> CacheStats:
        """What this cache did so far."""
        return CacheStats(
            hits=self._store.hits,
            misses=self._misses,
            stale_hits=self._stale_hits,
            shared=self._shared,
            loads=self._loads,
            load_failures=self._load_failures,
            load_seconds=self._load_seconds,
            evictions=self._store.evictions,
            expirations=self._store.expirations,
            errors=0,
            size=len(self._store),
            maxsize=self._store.maxsize,
        )

    async def close(self) -> None:
        """Cancel what loads in the background, and wait until all cancelled loads have ended.

        Loads that somebody waits for go on, and entries stay: the cache can be used again.
        """
        await self._flights.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _clear_group(self, group: Hashable) -> bool:
        """`delete` all keys in *group*."""
        self._store.remove_group(group, self._clock())
        self._flights.detach_group(group)
        return True

    async def _reload(
        self, key: Hashable, loader: Callable[[], Awaitable[Any]], ttl: float | None, **terms: float
    ) -> Any:
        """Load *key* whatever is at hand, which is served to others meanwhile."""
        self._flights.detach(key)  # it may have read what has changed since
        flight = self._take_off(key, loader, ttl, Load(**terms), background=False)
        return await self._flights.wait(key, flight)

    def _put(self, key: Hashable, value: Any, ttl: float | None, load: Load | None = None) -> None:
        span = self._default_ttl if ttl is None else ttl
        now = self._clock()
        if not span:
            self._store.remove(key, now)
            return
        if self._jitter:
            span *= 1 - self._jitter * random.random()
        self._store.put(key, value, now + span, now, load)

    async def _stale_or_load(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[Any]],
        ttl: float | None,
        load: Load,
    ) -> Any:
        """Serve *key* stale, or wait for the load of it that is under way, or for a new one."""
        now = self._clock()
        stale = self._store.peek(key, now)
        if stale is not None and stale.load is not None:
            due = now >= stale.load.retry_at
            if _in_window(stale, now, load, failed=not due):
                value = self._serve_stale(stale)  # before an eager task of _refresh replaces it
                if due:
                    self._refresh(key, loader, ttl, load)
                return value
        flight = self._flights.under_way(key)
        shared = flight is not None
        if flight is None:
            flight = self._take_off(key, loader, ttl, load, background=False)
        try:
            value = await self._flights.wait(key, flight)
        except Exception:
            now = self._clock()
            stale = self._store.peek(key, now) if load.stale_if_error else None
            if stale is not None and now < stale.expires_at:  # it was set meanwhile
                self._count(shared)
                return stale.value
            if stale is not None and _in_window(stale, now, load, failed=True):
                return self._serve_stale(stale)
            self._count(shared)
            raise
        self._count(shared)
        return value

    def _serve_stale(self, entry: Entry) -> Any:
        self._stale_hits += 1
        entry.uses = min(entry.uses + 1, MAX_USES)  # the policy keeps what is asked for
        return entry.value

    def _count(self, shared: bool) -> None:
        if shared:
            self._shared += 1
        else:
            self._misses += 1

    def _refresh(
        self, key: Hashable, loader: Callable[[], Awaitable[Any]], ttl: float | None, load: Load
    ) -> None:
        """Have *key* loaded in the background, if nobody loads it already."""
        if self._flights.under_way(key) is None:
            self._take_off(key, loader, ttl, load, background=True)

    def _take_off(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[Any]],
        ttl: float | None,
        load: Load,
        *,
        background: bool,
    ) -> Flight:
        require_loader(loader)
        load = load.again()  # the terms may be those of many loads, the record is of this one

        async def fly(flight: Flight) -> Any:
            started = self._clock()
            try:
                value = await loader()
            except Exception:
                now = self._clock()
                self._load_failures += 1
                self._load_seconds += now - started
                stale = self._store.peek(key, now)
                if self._flights.is_attached(key, flight) and stale and stale.load:
                    stale.load.retry_at = now + load.retry_after
                raise
            self._loads += 1
            load.seconds = self._clock() - started
            self._load_seconds += load.seconds
            if self._flights.is_attached(key, flight):
                self._put(key, value, ttl, load)
            return value

        return self._flights.take_off(key, fly, background=background)


def _in_window(entry: Entry, now: float, reader: Load, *, failed: bool) -> bool:
    """May *entry* be served at *now* though it expired: is it in the smaller of two windows?"""
    age = now - entry.expires_at
    stored = entry.load or Load()
    return age < min(reader.stale_while_revalidate, stored.stale_while_revalidate) or (
        failed and age < min(reader.stale_if_error, stored.stale_if_error)
    )


def _is_due_early(entry: Entry, now: float, beta: float) -> bool:
    """XFetch: the dearer the load and the nearer the end, the likelier."""
    load = entry.load
    if not beta or load is None or now < load.retry_at:
        return False
    return now - load.seconds * beta * math.log(1 - random.random()) >= entry.expires_at
