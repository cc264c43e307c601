"""TieredCache: an AsyncCache in front of a RedisCache, told by pub/sub of what others change."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self, TypeVar, Unpack, cast

from cachepool_lib import loading
from cachepool_lib._validate import Seconds, seconds, span
from cachepool_lib.errors import CacheUnavailable
from cachepool_lib.loading import MISSING, TTL, Loader, LoadKeywords, LoadOptions
from cachepool_lib.loading_many import get_or_load_many
from cachepool_lib.memory.async_cache import AsyncCache
from cachepool_lib.redis_cache.batch import NoReply
from cachepool_lib.redis_cache.client import word
from cachepool_lib.redis_cache.copies import Copy, look
from cachepool_lib.redis_cache.redis_cache import RedisCache
from cachepool_lib.redis_cache.session import Session, unavailable
from cachepool_lib.stats import CacheStats, Counts
from cachepool_lib.tiered.first_tier import FirstTier
from cachepool_lib.tiered.slot import TieredSlot
from cachepool_lib.tiered.subscriber import Subscriber

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class TieredCache:
    """Keep values in Redis, and those that are asked for in the memory of this process, too.

    A hit in memory costs a hundredth of one in Redis. `set`, `delete` and `clear` in one process
    reach the memory of all others by a message, published in the same step as the write: in less
    than a millisecond as a rule. Where messages can't come (Redis is away, the connection is lost),
    memory goes on for *l1_ttl* seconds; once they come again, nothing is fresh until Redis was
    asked. A value with stale windows stays in memory for these: so there is an old page to serve
    where Redis is away, too. What is loaded meanwhile is kept in memory.

    Args:
        l1: the first tier, for this TieredCache alone; its `maxsize` is the bound. Its default_ttl
            is of no use here.
        l2: the second tier. Its namespace may be shared with a RedisCache, whose writes are told,
            too. (Versions of this library without TieredCache tell nothing of theirs.)
        l1_ttl: seconds that a value in memory is fresh, at most; then Redis is asked. This is how
            long it may be wrong in the worst case.
        subscribe: False does without messages, where nobody may have them: then what others change
            is noticed after *l1_ttl* seconds.

    Everything else is as in RedisCache. As an AsyncCache it is not safe to share between threads.

    Raises:
        ValueError, TypeError: for a bad argument, in every method too, before anything changes.
    """

    shared = True  # between processes: a key must have the same name in all of them

    def __init__(
        self, l1: AsyncCache, l2: RedisCache, *, l1_ttl: Seconds = 30, subscribe: bool = True
    ) -> None:
        for name, given, kind in ("l1", l1, AsyncCache), ("l2", l2, RedisCache):
            if not isinstance(given, kind):
                raise TypeError(f"{name} must be a {kind.__name__}, got {type(given).__name__}")
        if len(l1.store):
            raise ValueError("l1 must be empty, and this TieredCache's alone")
        self.l1, self.l2 = l1, l2
        self._first = FirstTier(l1, span("l1_ttl", l1_ttl))
        self._l1_ttl = l1_ttl
        self._lookup, self._subscribe = l1.lookup, subscribe
        self._subscribers: dict[asyncio.AbstractEventLoop, Subscriber] = {}
        self._counts = Counts()

    def __repr__(self) -> str:
        return f"<TieredCache: {self.l1!r} for {self._l1_ttl:g} s, {self.l2!r}>"

    # -- opening and closing ------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the cache and make sure that Redis can be used, and that messages come.

        Not needed: the first call connects. Raises CacheUnavailable as RedisCache.connect does,
        and where this user of Redis may not publish, or subscribe.
        """
        await self.l2.connect()
        session = self._session()
        subscriber = self._subscribers.get(asyncio.get_running_loop())
        if subscriber is None:
            return
        cause: BaseException | None = None
        try:
            allowed = await session.may_publish()
            await subscriber.connect()
        except NoReply as error:
            raise unavailable(error.__cause__) from error.__cause__
        except Exception as error:
            cause, allowed = error, word(error) != "NOPERM"
            if allowed:
                raise unavailable(error) from error
        if not allowed:
            channel = session.settings.namespace.channel.decode("utf-8", "replace")
            raise CacheUnavailable(
                f"this user of Redis may not publish and subscribe on the channel {channel}: "
                f"allow it (ACL SETUSER … +publish +subscribe &{channel}), or pass "
                "subscribe=False, and what others change is noticed after l1_ttl"
            ) from cause

    async def close(self) -> None:
        """End the subscription, forget what is in memory, and close *l2* (see RedisCache.close)."""
        subscriber = self._subscribers.pop(asyncio.get_running_loop(), None)
        if subscriber is not None:
            await subscriber.close()
        await self.l2.close()
        self._first.change_all(b"")

    async def __aenter__(self) -> Self:
        await self.l2.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    # -- values -------------------------------------------------------------------------------

    @property
    def lookup(self) -> Callable[..., Any]:
        """`lookup(key, default)` is `get` in memory alone, without awaiting: AsyncCache.lookup."""
        return self._lookup

    async def get(self, key: Hashable, default: Any = None) -> Any:
        """The value of *key* while it is younger than its ttl, else *default*.

        A cached None is a value: pass a *default* of your own to tell it from a miss.
        """
        value = self._lookup(key, MISSING)
        if value is not MISSING:
            return value
        copy = await self._slot(key).look()
        if copy is None or copy.value is MISSING:
            self._counts.misses += 1
            return default
        self._counts.hits += 1
        return copy.value

    async def get_many(self, keys: Iterable[Hashable]) -> dict[Hashable, Any]:
        """The values of those *keys* that are at hand, in one trip; each key is one request."""
        keys = dict.fromkeys(keys)
        found, _ = await self._look(keys)
        self._counts.misses += len(keys) - len(found)
        return found

    async def _look(
        self, keys: Iterable[Hashable]
    ) -> tuple[dict[Any, Any], dict[Hashable, Copy | None]]:
        """The values that are at hand; and what Redis says of each key that is not in memory."""
        session, first = self._session(), self._first
        found = {key: self._lookup(key, MISSING) for key in keys}
        missing = [key for key, value in found.items() if value is MISSING]
        names = [session.settings.namespace.names(key) for key in missing]
        asked_at, versions = first.clock(), [first.version(each.value) for each in names]
        copies = await look(session, session.budget(), names)
        for key, each, version in zip(missing, names, versions, strict=True):
            if (copy := copies.get(each)) is not None:
                first.keep_copy(each.value, key, copy, asked_at, version)
                found[key] = copy.value
                self._counts.hits += copy.value is not MISSING
        said = dict(zip(missing, map(copies.get, names), strict=True))
        return {key: value for key, value in found.items() if value is not MISSING}, said

    async def exists(self, key: Hashable) -> bool:
        """Is a value of *key* at hand? Asking counts as no request. False if Redis does not say."""
        return await self.l1.exists(key) or await self.l2.exists(key)

    async def set(self, key: Hashable, value: Any, ttl: Seconds | None = None) -> bool:
        """Keep *value* for *ttl* seconds; None means the default ttl of *l2*, 0 removes it.

        As RedisCache.set. What Redis did not confirm is not kept in memory, either.
        """
        return await self.set_many({key: value}, ttl)

    async def set_many(self, items: Mapping[Any, Any], ttl: Seconds | None = None) -> bool:
        """`set` every pair of *items* with the same *ttl*, in one trip."""
        session, first, numbers = self._session(), self._first, dict[bytes, int]()

        def origin(name: bytes) -> bytes:
            first.drop(name)
            numbers[name] = first.begin(name)
            return first.origin(numbers[name])

        sent_at, confirmed = first.clock(), False
        try:
            confirmed = await session.set_many(items, ttl, origin)
        finally:
            left = session.settings.shortest(ttl) if confirmed else 0
            for (key, value), (name, number) in zip(items.items(), numbers.items(), strict=False):
                version = first.end(name, number, confirmed=confirmed)
                first.keep(name, key, value, left, sent_at, version)
        return confirmed

    async def delete(self, key: Hashable) -> bool:
        """Forget *key*, here and in all processes: RedisCache.delete.

        When this returns no process has it in memory, but for a message that is on its way, as a
        rule for less than a millisecond; or if Redis did not confirm, or a process gets no messages
        at the time, for *l1_ttl* at most.
        """
        session, first = self._session(), self._first
        name = session.settings.namespace.value(key)
        first.drop(name)
        number = first.begin(name)
        there = None
        try:
            there = await session.delete(key, first.origin(number))
        finally:
            first.end(name, number, confirmed=there is not None)
            first.drop(name)
        return bool(there)

    async def clear(self, group: Hashable = None) -> bool:
        """Forget every key of the namespace, here and in all processes: RedisCache.clear.

        With a *group*, forget the keys alone that are tuples and begin with it, as `(group, 5)`.
        """
        prefix = self._session().settings.namespace.group(group)
        self._first.change_all(prefix)
        try:
            return await self.l2.clear(group)
        finally:  # what was read meanwhile may be older
            self._first.change_all(prefix)

    # -- loads --------------------------------------------------------------------------------

    async def get_or_load(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[T]],
        ttl: TTL = None,
        *,
        stale_while_revalidate: Seconds = 0,
        stale_if_error: Seconds = 0,
        early_refresh: float = 0,
        retry_after: Seconds = 1,
    ) -> T:
        """The value of *key*, from *loader* where it is not at hand; waits for the load, if any.

        As RedisCache.get_or_load: one load of a key runs at a time, in all processes together.
        Where Redis is away each process loads for itself, and keeps what it has loaded in memory.
        """
        if ttl is not None and (type(ttl) is not int or ttl < 0) and not callable(ttl):
            seconds("ttl", ttl)
        early = early_refresh and self._first.due_early(key, early_refresh)
        if not early and (value := self._lookup(key, MISSING)) is not MISSING:
            return cast(T, value)
        windows = stale_while_revalidate, stale_if_error
        options = LoadOptions(ttl, *windows, retry_after, early_refresh)
        return cast(T, await loading.get_or_load(self._slot(key, early), loader, options))

    async def get_or_load_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Awaitable[Mapping[K, T]]],
        ttl: TTL = None,
        **options: Unpack[LoadKeywords],
    ) -> dict[K, T]:
        """AsyncCache.get_or_load_many, for all: one trip asks, one takes leases, one stores."""
        keys, checked = list(keys), LoadOptions(ttl, **options)
        found, said = await self._look(keys)
        due = self._first.take_due(found, checked.early_refresh)
        self._counts.hits -= len(due)  # their slots count them

        def slot(key: Hashable, on_join: Callable[[], None]) -> TieredSlot:
            return self._slot(key, due.get(key, 0), on_join, said.get(key))

        return await get_or_load_many(keys, found, slot, loader, checked)

    async def refresh(
        self, key: Hashable, loader: Loader[T], ttl: TTL = None, **options: Unpack[LoadKeywords]
    ) -> T:
        """Load *key* now, whatever is at hand: AsyncCache.refresh, for all processes together."""
        checked = LoadOptions(ttl, **options)
        return cast(T, await loading.refresh(self._slot(key), loader, checked))

    def stats(self) -> CacheStats:
        """What this cache did so far, in this process. Any thread may ask.

        Hits are of both tiers (`l1.stats().hits` are those of memory), entries are the first's.
        """
        memory, redis, counts = self.l1.stats(), self.l2.stats(), {**vars(self._counts)}
        counts["hits"] += memory.hits
        return replace(memory, **counts | {"errors": redis.errors, "dropped": redis.dropped})

    def _session(self) -> Session:
        """What this event loop has of *l2*; the subscription begins. Raises CacheClosed."""
        session = self.l2.session()
        loop = asyncio.get_running_loop()
        if self._subscribe and (loop not in self._subscribers or self._subscribers[loop].ended):
            for ended in [one for one in self._subscribers if one.is_closed()]:
                del self._subscribers[ended]
            self._subscribers[loop] = Subscriber(session, self._first)
        return session

    def _slot(self, key: Hashable, *more: Any) -> TieredSlot:
        return TieredSlot(self._session(), self._first, self._counts, key, *more)
