"""RedisCache: a cache in Redis (or Valkey), shared by all processes that can reach it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Self, TypeVar, Unpack, cast

from cachepool_lib import loading
from cachepool_lib._validate import Seconds, fraction, seconds, span, whole
from cachepool_lib.errors import CacheClosed
from cachepool_lib.loading import MISSING, TTL, Loader, LoadKeywords, LoadOptions
from cachepool_lib.loading_many import get_or_load_many
from cachepool_lib.redis_cache.client import client_maker, require_client
from cachepool_lib.redis_cache.key_names import Namespace
from cachepool_lib.redis_cache.serializers import JSONSerializer, Serializer
from cachepool_lib.redis_cache.session import Session, Settings, whole_ms
from cachepool_lib.redis_cache.slot import RedisSlot
from cachepool_lib.stats import CacheStats

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class RedisCache:
    """Keep values in Redis for a limited time, shared between processes.

    Redis may go away, and the cache carries on: reads are misses, `get_or_load` loads, and writes
    say False. A circuit breaker then leaves Redis alone, but for a check every half second whether
    it is back. One line in the log tells of each outage. A `set`, `delete` or `clear` that Redis
    did not confirm is owed: what it should have removed is never served by this process, and is
    deleted once Redis is back. Debts die with their process.

    Args:
        redis_url: redis://, rediss:// (TLS) or unix://, with user and password where needed.
        default_ttl: seconds that a value lives where none are given, as a number or a timedelta;
            0 stores nothing, `math.inf` never expires.
        client: a client of redis.asyncio that is ready to use, such as RedisCluster or one from
            Sentinel, made without `decode_responses`. It is used as it is, on the event loop that
            it belongs to, on connections of our own, and never closed here.
        namespace: the first part of every name in Redis; `clear` stays inside it.
        serializer: turns values into bytes and back; JSONSerializer() by default. Another
            serializer needs another namespace: it may take these bytes for another value.
        timeout: seconds that one call may wait for Redis in all. The load, the wait for somebody
            else's load and the wait for a free connection don't count; `clear` has it each step,
            and so has each part of a `get_many` or `set_many` of more than 512 keys or 64 kB.
        max_connections: of each event loop, in a cluster to each node. What callers ask in the same
            turn of it goes out together, so a few serve thousands; nobody is refused.
        jitter: the share of its ttl that an entry may lose at random; it only shortens.
        fail_open: False raises CacheUnavailable where Redis fails, instead of carrying on.
        lock_timeout: seconds after which a load whose process has died may be taken over. A
            process that lives renews its lease, so a load may take longer.

    Raises:
        ValueError, TypeError: for a bad argument, in every method too, before anything changes.

    In a cluster the names of one key share a slot, so all that is promised of one key holds there.
    What concerns many keys is not one moment: `get_many` and `set_many` go to each node by
    itself, so one may fail and another not, and `clear` goes through the nodes one by one. A node
    that can't be used costs its own keys alone, until a replica has taken over: the nodes are asked
    for that twice a second. A primary that fails loses what it had not yet passed on: a value, or
    the lease of a load. Replicas are not asked for values, whatever *client* does.
    """

    shared = True  # between processes: a key must have the same name in all of them

    def __init__(
        self,
        redis_url: str = "redis://localhost:6379",
        default_ttl: Seconds = 300,
        *,
        client: Any = None,
        namespace: str = "cachepool",
        serializer: Serializer | None = None,
        timeout: Seconds = 0.25,
        max_connections: int = 10,
        jitter: float = 0.0,
        fail_open: bool = True,
        lock_timeout: Seconds = 10,
    ) -> None:
        self._settings = Settings(
            namespace=Namespace(namespace),
            default_ttl=seconds("default_ttl", default_ttl),
            serializer=JSONSerializer() if serializer is None else serializer,
            timeout=span("timeout", timeout),
            max_connections=whole("max_connections", max_connections),
            jitter=fraction("jitter", jitter),
            fail_open=fail_open,
            lock_ms=whole_ms(span("lock_timeout", lock_timeout)),
        )
        # A function keeps the password out of vars().
        self._make_client = (
            client_maker(redis_url, self._settings.timeout) if client is None else lambda: client
        )
        require_client(self._make_client())
        self._sessions: dict[asyncio.AbstractEventLoop, Session] = {}
        self._closed = False

    def __repr__(self) -> str:
        circuits = [one.sender.circuit.state.value for one in list(self._sessions.values())]
        state = next((f"circuit {one}" for one in circuits if one != "closed"), "open")
        name, ttl = self._settings.namespace.name, self._settings.default_ttl
        return f"<RedisCache {name!r}: {'closed' if self._closed else state}, ttl {ttl:g} s>"

    # -- opening and closing ------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the cache and make sure that Redis can be used. Not needed: the first call connects.

        Raises CacheUnavailable, whatever `fail_open` says, if Redis does not answer in time, or
        lacks a permission, or is a node of a cluster and *client* no client for one.
        """
        self._closed = False
        await self.session().connect()

    async def close(self) -> None:
        """Cancel what this event loop loads in the background, then close its connections.

        Loads that somebody waits for go on, but are not stored. Deletes that Redis did not confirm
        are tried once more. Safe to call twice. From now on every call raises CacheClosed, until
        `connect` or `async with` opens it again; calls under way get their reply first.
        """
        self._closed = True
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        self._closed = False
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # -- values -------------------------------------------------------------------------------

    async def get(self, key: Hashable, default: Any = None) -> Any:
        """The value of *key* while it is younger than its ttl, else *default*.

        A cached None is a value: pass a *default* of your own to tell it from a miss.
        """
        session = self.session()
        value = await session.read(self._settings.namespace.value(key), session.budget())
        counts = self._settings.counts
        if value is MISSING:
            counts.misses += 1
            return default
        counts.hits += 1
        return value

    async def get_many(self, keys: Iterable[Hashable]) -> dict[Hashable, Any]:
        """The values of those *keys* that are at hand, in one trip; each key is one request."""
        keys = dict.fromkeys(keys)
        found = await self._fresh(keys)
        self._settings.counts.misses += len(keys) - len(found)
        return found

    async def _fresh(self, keys: Iterable[Hashable]) -> dict[Any, Any]:
        session = self.session()
        names = {key: self._settings.namespace.value(key) for key in keys}
        values = await session.read_many(names.values())
        found = {key: values[name] for key, name in names.items() if name in values}
        self._settings.counts.hits += len(found)
        return found

    async def exists(self, key: Hashable) -> bool:
        """Is a value of *key* at hand? Asking counts as no request. False if Redis does not say."""
        session = self.session()
        name = self._settings.namespace.value(key)
        return bool(await session.ask(session.budget(), "EXISTS", name))

    async def set(self, key: Hashable, value: Any, ttl: Seconds | None = None) -> bool:
        """Keep *value* for *ttl* seconds; None means the default ttl, 0 removes what was there.

        A load of *key* that is under way, in any process, will not overwrite it. False if Redis
        did not confirm: then whatever is there is deleted as soon as Redis can be used. Raises
        TypeError or ValueError for a value that would not come back equal.
        """
        return await self.set_many({key: value}, ttl)

    async def set_many(self, items: Mapping[Any, Any], ttl: Seconds | None = None) -> bool:
        """`set` every pair of *items* with the same *ttl*, in one trip."""
        return await self.session().set_many(items, ttl)

    async def delete(self, key: Hashable) -> bool:
        """Forget *key*. True if a value was there, False if not, or if Redis did not confirm.

        A load of *key* that is under way, in any process, still answers those who wait for it,
        but is not stored: it may have read what this delete says has changed. Whoever asks once
        this has returned starts afresh: in any process if Redis confirmed; if not, in this one at
        once, and in the others once this one reaches Redis again, and not if it dies before.
        """
        return bool(await self.session().delete(key))

    async def clear(self, group: Hashable = None) -> bool:
        """Forget every key of the namespace; for loads under way it is a `delete` of each.

        With a *group*, forget the keys alone that are tuples and begin with it, as `(group, 5)`.
        It goes through the whole database in steps, each with the timeout of a call, so others
        are served meanwhile; keys that are set meanwhile may stay. False if Redis did not confirm.
        """
        session = self.session()
        prefix = self._settings.namespace.group(group)
        session.calls.forget_all(group)
        return await session.clear(prefix)

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

        As AsyncCache.get_or_load, for all processes together: one load of a key runs at a time.
        An exception of the loader reaches those who wait for it in the same process; another
        process that waits tries for itself, and waits for no second failure (with *retry_after* 0
        it does: nothing tells it of the first). Where Redis is away each process loads for itself,
        and such a load is not stored. A value that can't be encoded is returned, but not stored;
        that is logged. With *early_refresh* a hit asks, in the same trip, how long the value has
        left, and how long its load took: the load that stores keeps that if it has the option, too.
        """
        options = LoadOptions(
            ttl, stale_while_revalidate, stale_if_error, retry_after, early_refresh
        )
        session = self.session()
        budget, value = session.budget(), MISSING
        if not early_refresh:
            value = await session.read(self._settings.namespace.value(key), budget)
        if value is not MISSING:
            self._settings.counts.hits += 1
        else:
            slot = RedisSlot(session, key, budget=budget)
            value = await loading.get_or_load(slot, loader, options)
        return cast(T, value)

    async def get_or_load_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Awaitable[Mapping[K, T]]],
        ttl: TTL = None,
        **options: Unpack[LoadKeywords],
    ) -> dict[K, T]:
        """AsyncCache.get_or_load_many, for all processes together.

        One trip asks for all values, one for the leases of those that are not there, and one stores
        them (long lists in parts, at the same time). What another process loads is waited for.
        """
        keys, checked = list(keys), LoadOptions(ttl, **options)
        at_hand = {} if checked.early_refresh else await self._fresh(keys)
        slot = partial(RedisSlot, self.session())
        return await get_or_load_many(keys, at_hand, slot, loader, checked)

    async def refresh(
        self, key: Hashable, loader: Loader[T], ttl: TTL = None, **options: Unpack[LoadKeywords]
    ) -> T:
        """Load *key* now, whatever is at hand: AsyncCache.refresh, for all processes together."""
        checked = LoadOptions(ttl, **options)
        return cast(T, await loading.refresh(RedisSlot(self.session(), key), loader, checked))

    def stats(self) -> CacheStats:
        """What this cache did so far, in this process. Any thread may ask."""
        return self._settings.counts.snapshot()

    def session(self) -> Session:
        """What this event loop has of the cache; TieredCache stands on it. Raises CacheClosed."""
        if self._closed:
            raise CacheClosed("this RedisCache is closed: connect() opens it again")
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            for ended in [one for one in list(self._sessions) if one.is_closed()]:
                self._sessions.pop(ended, None)  # another thread may have done so, too
            session = self._sessions[loop] = Session(self._settings, self._make_client())
        return session
