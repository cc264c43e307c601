"""RedisCache: a cache in Redis (or Valkey), shared by all processes that can reach it."""

import asyncio
import contextlib
import logging
import math
import os
import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError, ResponseError

from cachepool_lib._arguments import Seconds, fraction, seconds, span, whole
from cachepool_lib._errors import CacheClosed, CacheUnavailable
from cachepool_lib._flights import Flight, Flights, require_loader
from cachepool_lib._keys import group_prefix, key_name
from cachepool_lib._stats import CacheStats, Counts
from cachepool_lib.serializers import JSONSerializer, Serializer

T = TypeVar("T")

logger = logging.getLogger("cachepool_lib")


LONGEST = 1e10  # seconds, three hundred years: a ttl beyond is for ever
AGAIN_SECONDS = 0.25  # after which a call that was told to end, and did not, is told again
CALM_SECONDS = 5.0  # a full server stores now this, now that: so long without a refusal ends them
PROBE_SECONDS = 0.5  # while Redis is away, one call in so many seconds tries it again


# Each key has four names, all in one slot of a cluster: its value, the copy that may be served
# stale, the claim of the load under way, and the claim of a load that failed a moment ago. What
# must happen at once is one script. Sending its text costs less than finding out that the server
# doesn't know it.
#
# SET comes first: a script that has written already is let through by a server without memory.
# If it is refused, the old value goes all the same.
_STORE = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
local put = {err = false}
if ARGV[3] == '' then put = redis.pcall('SET', KEYS[1], ARGV[2])
elseif ARGV[3] ~= '0' then put = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else redis.call('UNLINK', KEYS[1]) end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
if put.err then
  redis.call('UNLINK', KEYS[1])
  return put
end
if ARGV[4] ~= '0' then redis.call('SET', KEYS[2], ARGV[5] .. ARGV[2], 'PX', ARGV[3] + ARGV[4]) end
return 1"""
_DELETE = """
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
return redis.call('UNLINK', KEYS[1])"""
# A claim of this very cache is what an outage left behind: its load is no longer attached.
_CLAIM = """
local value = redis.call('GET', KEYS[1])
if value then return {1, value} end
local holder = redis.call('GET', KEYS[3])
if holder and string.sub(holder, 1, #ARGV[3]) ~= ARGV[3] and redis.call('PTTL', KEYS[3]) > 0 then
  return {0, holder, redis.call('GET', KEYS[4])}
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return {2}"""
_RENEW = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[3], ARGV[2])"""
_GIVE_UP = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[3])
if ARGV[2] ~= '0' then redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2]) end
return 1"""


class _Away(Exception):
    """Redis did not do what was asked; why is the cause."""


class _Budget:
    """The seconds that one call may still spend on Redis."""

    __slots__ = ("left",)

    def __init__(self, left: float) -> None:
        self.left = left


class _Link:
    """A client for one event loop, with turns for its connections and a limit for each reply.

    Ten turns at first, and one more for each answer that comes while others wait: a crowd that met
    no open connection would be busy for longer than a timeout with opening one for each.
    """

    def __init__(self, client: Any, most: int, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        pool = getattr(client, "connection_pool", None)
        self.most = min(most, getattr(pool, "max_connections", most))
        self.turns = min(10, self.most)
        self.free = asyncio.Semaphore(self.turns)
        # Of the replies awaited: when they end, and who awaits them.
        self.limits: dict[asyncio.Timeout, tuple[float, asyncio.Task[Any]]] = {}
        self.closed = False
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def answered(self) -> None:
        if self.turns < self.most and self.free.locked() and not self.closed:
            self.turns += 1
            self.free.release()

    async def close(self) -> None:
        """Give nobody a turn any more; wait until those who have one are answered, or give up."""
        self.closed = True
        for _ in range(self.turns):
            await self.free.acquire()

    def watch(self, limit: asyncio.Timeout, due: float, task: asyncio.Task[Any]) -> None:
        """End *limit* at *due* if it is still there. One timer for all costs less than one each."""
        self.limits[limit] = due, task
        if self._timer is None or due < self._timer.when():
            self._look_at(due)

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look, due)

    def _look(self, due: float, grace: float = 0.05) -> None:
        """End what is due, with a little grace if the loop itself is late: then the reply is, too.

        Something else kept the loop busy; that is no silent server.
        """
        if grace:
            now = self._loop.time()
            self._timer = self._loop.call_later(min(now - due, grace), self._look, now, 0)
            return
        self._timer = None
        for limit, (end, task) in self.limits.items():
            if end > due:
                continue
            self.limits[limit] = due + AGAIN_SECONDS, task
            if limit.expired():  # and yet it is here: the client has lost the cancelling
                task.cancel()
                task.uncancel()
            else:
                limit.reschedule(0)
        if self.limits:
            self._look_at(min(end for end, _ in self.limits.values()))


class _Terms(NamedTuple):
    """What the caller of a load asks for, in milliseconds."""

    px: int | str
    stale_while_revalidate: int
    stale_if_error: int
    retry_after: int

    @property
    def window(self) -> int:
        return max(self.stale_while_revalidate, self.stale_if_error)


class RedisCache:
    """Keep values in Redis for a limited time, shared between processes.

    Redis may go away, and the cache carries on: reads are misses, `get_or_load` loads, and writes
    say False. After a failure Redis is left alone, but for one call every half second that tries
    whether it is back. One line in the log tells of each outage.

    Args:
        redis_url: redis://, rediss:// (TLS) or unix://, with user and password where needed.
        default_ttl: seconds that a value lives where none are given, as a number or a timedelta;
            0 stores nothing, `math.inf` never expires.
        client: a client of redis.asyncio that is ready to use, such as RedisCluster or one from
            Sentinel, made without `decode_responses`. It is used as it is, on the event loop that
            it belongs to, and never closed here.
        namespace: the first part of every name in Redis; `clear` stays inside it.
        serializer: turns values into bytes and back; JSONSerializer() by default. Another
            serializer needs another namespace: it may take these bytes for another value.
        timeout: seconds that one call may spend on Redis in all. The load, the wait for somebody
            else's load and the wait for a free connection don't count; `clear` has it each step.
        max_connections: connections of each event loop; who finds none free waits for its turn.
        jitter: the share of its ttl that an entry may lose at random; it only shortens.
        fail_open: False raises CacheUnavailable where Redis fails, instead of carrying on.
        lock_timeout: seconds after which a load whose process has died may be taken over. A
            process that lives renews its claim, so a load may take longer.

    Raises:
        ValueError, TypeError: for a bad argument, in every method too, before anything changes.
            But for *ttl*, `get_or_load` looks at its arguments where something is to be loaded.

    In a cluster the names of one key share a slot, so all that is promised of one key holds there.
    What concerns many keys is not one moment: `get_many` and `set_many` go to each node by
    itself, so one may fail and another not, and `clear` goes through the nodes one by one. A node
    that does not answer is an outage of the whole: the others' keys are misses, too. A primary
    that fails loses what it had not yet passed on: a value, or the claim of a load.
    """

    def __init__(
        self,
        redis_url: str = "redis://localhost:6379",
        default_ttl: Seconds = 300,
        *,
        client: Any = None,
        namespace: str = "cachepool",
        serializer: Serializer | None = None,
        timeout: Seconds = 0.25,
        max_connections: int = 50,
        jitter: float = 0.0,
        fail_open: bool = True,
        lock_timeout: Seconds = 10,
    ) -> None:
        if not isinstance(namespace, str) or not namespace or set("{}") & set(namespace):
            raise ValueError(f"namespace must be a str with no braces, got {namespace!r}")
        self._default_ttl = seconds("default_ttl", default_ttl)
        self._timeout = span("timeout", timeout)
        self._lock_ms = _ms(span("lock_timeout", lock_timeout))
        self._jitter = fraction("jitter", jitter)
        self._namespace = namespace
        self._serializer = JSONSerializer() if serializer is None else serializer
        self._max_connections = whole("max_connections", max_connections)
        self._fail_open = fail_open
        # A function keeps the password out of vars().
        self._make_client = (
            _maker(redis_url, max_connections, self._timeout) if client is None else lambda: client
        )
        self._owns_client = client is None
        if self._make_client().get_encoder().decode_responses:
            raise ValueError("the client must give bytes: make it without decode_responses")
        self._links: dict[asyncio.AbstractEventLoop, _Link] = {}
        self._closed = False
        self._away = False
        self._changed_at = 0.0  # when Redis went away, or came back
        self._probe_at = 0.0
        self._refused_at: float | None = None
        self._holder = secrets.token_hex(8)
        self._loads: dict[asyncio.AbstractEventLoop, Flights] = {}
        self._counts = Counts()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "away" if self._away else "open"
        return f"<RedisCache {self._namespace!r}: {state}, ttl {self._default_ttl:g} s>"

    @property
    def _flights(self) -> Flights:
        """The loads of this event loop: those of another are like those of another process."""
        loop = asyncio.get_running_loop()
        if loop not in self._loads:
            _drop_ended(self._loads)
            self._loads[loop] = Flights()
        return self._loads[loop]

    # -- opening and closing ------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the cache and make sure that Redis answers. Not needed: the first call connects.

        Raises CacheUnavailable, whatever `fail_open` says, if Redis does not answer in time.
        """
        self._closed = False
        try:
            await self._ask(self._begin(), lambda client: client.ping(), try_now=True)
        except _Away as away:
            raise self._unavailable(away) from away.__cause__

    async def close(self) -> None:
        """Cancel what this event loop loads in the background, then close its connections.

        Loads that somebody waits for go on, but are not stored. Safe to call twice. From now on
        every call raises CacheClosed, until `connect` or `async with` opens it again; calls under
        way get their reply first.
        """
        self._closed = True
        await self._flights.close()
        await asyncio.gather(
            *(
                self._give_up(self._names(key), flight.claim, _Budget(self._timeout))
                for key, flight in self._flights.attached.items()
                if flight.claim
            )
        )
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link is not None:
            try:
                await link.close()
            finally:
                if self._owns_client:
                    await link.client.aclose()

    async def __aenter__(self) -> Self:
        self._closed = False
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # -- values -------------------------------------------------------------------------------

    async def get(self, key: Hashable, default: Any = None) -> Any:
        """The value of *key* while it is younger than its ttl, else *default*.

        A cached None is a value: pass a *default* of your own to tell it from a miss.
        """
        value = await self._read(self._name(key), self._begin())
        if value is _MISSING:
            self._counts.misses += 1
            return default
        self._counts.hits += 1
        return value

    async def get_many(self, keys: Iterable[Hashable]) -> dict[Hashable, Any]:
        """The values of those *keys* that are at hand, fetched in one trip."""
        budget = self._begin()
        names = {key: self._name(key) for key in keys}
        if not names:
            return {}
        try:
            replies = await self._ask(budget, lambda c: _get_many(c, list(names.values())))
        except _Away as away:
            self._carry_on(away)
            replies = [None] * len(names)
        values = {
            key: self._decode(data)
            for key, data in zip(names, replies, strict=True)
            if data is not None
        }
        found = {key: value for key, value in values.items() if value is not _MISSING}
        if len(found) < len(values):
            await self._drop(budget, *(names[key] for key in values if key not in found))
        self._counts.hits += len(found)
        self._counts.misses += len(names) - len(found)
        return found

    async def set(self, key: Hashable, value: Any, ttl: Seconds | None = None) -> bool:
        """Keep *value* for *ttl* seconds; None means the default ttl, 0 removes what was there.

        A load of *key* that is under way, in any process, will not overwrite it. False if Redis
        did not confirm. Raises TypeError or ValueError for a value that would not come back equal.
        """
        return await self.set_many({key: value}, ttl)

    async def set_many(self, items: Mapping[Any, Any], ttl: Seconds | None = None) -> bool:
        """`set` every pair of *items* with the same *ttl*, in one trip."""
        budget = self._begin()
        if ttl is not None:
            seconds("ttl", ttl)  # also where there are no items
        rows = [
            (*self._names(key), b"", self._serializer.encode(value), self._milliseconds(ttl), 0, "")
            for key, value in items.items()
        ]
        for key in items:
            self._flights.detach(key)
        try:
            if rows:
                await self._put(budget, rows)
        except _Away as away:
            self._carry_on(away)
            return False
        return True

    async def delete(self, key: Hashable) -> bool:
        """Forget *key*. True if a value was there, False if not, or if Redis did not confirm.

        A load of *key* that is under way, in any process, still answers those who wait for it,
        but is not stored: it may have read what this delete says has changed. Whoever asks once
        this has returned True starts afresh, in any process.
        """
        budget, names = self._begin(), self._names(key)
        self._flights.detach(key)
        try:
            return bool(await self._ask(budget, lambda client: client.eval(_DELETE, 4, *names)))
        except _Away as away:
            self._carry_on(away)
            return False

    async def clear(self) -> bool:
        """Forget every key of the namespace; for loads under way it is a `delete` of each.

        It goes through the whole database in steps, each with the timeout of a call, so others
        are served meanwhile; keys that are set meanwhile may stay. False if Redis did not confirm.
        """
        self._begin()
        self._flights.detach_all()
        return await self._remove_all("")

    async def _clear_group(self, group: Hashable) -> bool:
        """`delete` all keys in *group*, as `clear` does."""
        self._begin()
        self._flights.detach_group(group)
        return await self._remove_all(group_prefix(group))

    async def _remove_all(self, prefix: str) -> bool:
        """Remove what belongs to the keys whose names begin with *prefix*."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", f"{self._namespace}:{{{prefix}") + "*"
        try:
            # Claims first: else a load could store behind the cursor's back.
            for names in pattern + "}:load", pattern:
                await self._unlink(names.encode("utf-8", "surrogatepass"))
        except _Away as away:
            self._carry_on(away)
            return False
        return True

    # -- loads --------------------------------------------------------------------------------

    async def get_or_load(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[T]],
        ttl: Seconds | None = None,
        *,
        stale_while_revalidate: Seconds = 0,
        stale_if_error: Seconds = 0,
        retry_after: Seconds = 1,
    ) -> T:
        """The value of *key*, from *loader* where it is not at hand; waits for the load, if any.

        As AsyncCache.get_or_load, for all processes together: one load of a key runs at a time.
        An exception of the loader reaches those who wait for it in the same process; another
        process that waits tries for itself, and waits for no second failure (with *retry_after* 0
        it does: nothing tells it of the first). Where Redis is away each process loads for itself,
        and such a load is not stored. A value that can't be encoded is returned, but not stored;
        that is logged.
        """
        budget, names = self._begin(), self._names(key)
        if ttl is not None:
            seconds("ttl", ttl)
        require_loader(loader)
        value = await self._read(names[0], budget)
        if value is not _MISSING:
            self._counts.hits += 1
            return cast(T, value)
        terms = self._terms(ttl, stale_while_revalidate, stale_if_error, retry_after)
        if terms.window:
            stale, due = await self._read_stale(names, terms, budget)
            if stale is not _MISSING:
                if due and self._flights.under_way(key) is None:
                    self._take_off(key, names, loader, terms, self._begin(), background=True)
                self._counts.stale_hits += 1
                return cast(T, stale)
        flight = await self._flight_to_join(key, names, budget)
        shared = flight is not None
        if flight is None:
            flight = self._take_off(key, names, loader, terms, budget, background=False)
        try:
            value, loaded_here = await self._flights.wait(key, flight)
        except Exception:
            if terms.stale_if_error:
                stale, _ = await self._read_stale(names, terms, budget, failed=True)
                if stale is not _MISSING:
                    self._counts.stale_hits += 1
                    return cast(T, stale)
            self._counts.asked(shared)
            raise
        self._counts.asked(shared or not loaded_here)
        return cast(T, value)

    async def _reload(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[Any]],
        ttl: Seconds | None,
        **terms: Seconds,
    ) -> Any:
        """Load *key* whatever is at hand, which is served to others meanwhile."""
        budget, names = self._begin(), self._names(key)
        self._flights.detach(key)  # it may have read what has changed since
        flight = self._take_off(
            key, names, loader, self._terms(ttl, **terms), budget, background=False, anew=True
        )
        value, _ = await self._flights.wait(key, flight)
        return value

    def stats(self) -> CacheStats:
        """What this cache did so far, in this process."""
        return self._counts.snapshot()

    async def _flight_to_join(
        self, key: Hashable, names: "_Names", budget: _Budget
    ) -> Flight | None:
        """The load of *key* under way in this process, unless another has voided its claim.

        A load without a claim can't be voided: it is joined only where Redis can't be asked.
        """
        flight = self._flights.under_way(key)
        if flight is not None and flight.claim is not None:
            with contextlib.suppress(_Away):
                holder = await self._ask(budget, lambda client: client.get(names[2]))
                if holder != flight.claim and self._flights.is_attached(key, flight):
                    self._flights.detach(key)
            flight = self._flights.under_way(key)  # it took a while to ask
        return flight

    def _take_off(
        self,
        key: Hashable,
        names: "_Names",
        loader: Callable[[], Awaitable[Any]],
        terms: _Terms,
        budget: _Budget,
        *,
        background: bool,
        anew: bool = False,
    ) -> Flight:
        async def fly(flight: Flight) -> tuple[Any, bool]:
            """Load and store, or wait until another process has: the value, and was it us?"""
            # A fork is another process, and a loop beside this one is like one.
            prefix = f"{self._holder}.{os.getpid()}.{id(flight.loop)}.".encode()
            claim = prefix + secrets.token_hex(8).encode()
            attached = partial(self._flights.is_attached, key, flight)
            try:
                if anew:
                    value = await self._seize(names, claim, budget)
                else:
                    value = await self._claim(names, prefix, claim, budget, attached)
                if value is not _CLAIMED and value is not _MISSING:
                    return value, False
                flight.claim = claim if value is _CLAIMED else b""  # none
                async with self._renewing(names, flight.claim):
                    value = await self._time(loader)
                if flight.claim and attached():
                    await self._store(names, claim, value, terms, budget)
                elif flight.claim:
                    await self._give_up(names, claim, budget)
                return value, True
            except BaseException as error:
                # It may have the claim and not know it, if it was cancelled while it asked; or
                # have it still, if that was before it could store.
                failed = isinstance(error, Exception)
                await self._give_up(names, claim, budget, terms.retry_after if failed else 0)
                raise

        return self._flights.take_off(key, fly, background=background)

    async def _time(self, loader: Callable[[], Awaitable[Any]]) -> Any:
        started = time.monotonic()
        try:
            value = await loader()
        except Exception:
            self._counts.load_failures += 1
            self._counts.load_seconds += time.monotonic() - started
            raise
        self._counts.loads += 1
        self._counts.load_seconds += time.monotonic() - started
        return value

    async def _claim(
        self,
        names: "_Names",
        prefix: bytes,
        claim: bytes,
        budget: _Budget,
        attached: Callable[[], bool],
    ) -> Any:
        """Take the right to load. Waits as long as another process has it.

        Returns _CLAIMED, or the value that the other process stored, or _MISSING where each loads
        for itself: where Redis is away, after somebody else's load that it waited for failed, and
        once it is detached: the claim belongs to its successor.
        """
        pause, waited_for = 0.01, None
        while attached():
            left = budget.left
            try:
                state, *told = await self._ask(
                    budget,
                    lambda client: client.eval(_CLAIM, 4, *names, claim, self._lock_ms, prefix),
                )
            except _Away as away:
                self._carry_on(away)
                return _MISSING
            if state == 2:
                return _CLAIMED
            if state == 1:
                value = self._decode(told[0])
                if value is _MISSING:
                    await self._drop(budget, names[0])
                return value
            holder, failed = told
            if failed is not None and failed == waited_for:
                return _MISSING
            waited_for = holder
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.1)
            budget.left = left  # asking was part of the wait
        return _MISSING

    async def _seize(self, names: "_Names", claim: bytes, budget: _Budget) -> Any:
        """Take the right to load from whoever has it; as for `_claim`, _MISSING if that fails."""
        try:
            await self._ask(budget, lambda c: c.set(names[2], claim, px=self._lock_ms))
        except _Away as away:
            self._carry_on(away)
            return _MISSING
        return _CLAIMED

    @contextlib.asynccontextmanager
    async def _renewing(self, names: "_Names", claim: bytes) -> AsyncIterator[None]:
        """Keep the claim for as long as this process lives and nobody voids it."""

        async def renew() -> None:
            held = bool(claim)
            while held:
                await asyncio.sleep(self._lock_ms / 3000)
                with contextlib.suppress(_Away):  # it may be back before the claim has run out
                    held = await self._ask(
                        _Budget(self._timeout),
                        lambda client: client.eval(_RENEW, 4, *names, claim, self._lock_ms),
                    )

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _store(
        self, names: "_Names", claim: bytes, value: Any, terms: _Terms, budget: _Budget
    ) -> None:
        try:
            data = self._serializer.encode(value)
        except Exception as error:
            self._counts.errors += 1
            logger.warning("a loaded value can't be cached: %s", error)
            await self._give_up(names, claim, budget, terms.retry_after)
            return
        window = terms.window if terms.px else 0  # what never expires is never stale
        header = b"%d %d " % (terms.stale_while_revalidate, terms.stale_if_error)
        with contextlib.suppress(_Away):
            await self._put(budget, [(*names, claim, data, terms.px, window, header)])

    async def _give_up(
        self, names: "_Names", claim: bytes, budget: _Budget, pause: int = 0
    ) -> None:
        """Free the claim; with *pause*, tell all processes for so many milliseconds that it failed.

        They don't try again while they have something stale to serve, and whoever waits for this
        load waits for no other.
        """
        with contextlib.suppress(_Away):
            await self._ask(budget, lambda client: client.eval(_GIVE_UP, 4, *names, claim, pause))

    # -- what goes to Redis and comes back ----------------------------------------------------

    def _name(self, key: Hashable) -> bytes:
        return f"{self._namespace}:{{{key_name(key)}}}".encode("utf-8", "surrogatepass")

    def _names(self, key: Hashable) -> "_Names":
        name = self._name(key)
        return name, name + b":stale", name + b":load", name + b":failed"

    def _milliseconds(self, ttl: Seconds | None) -> int | str:
        """The ttl as Redis takes it: at least 1 ms, unless 0; an empty str never expires."""
        length = self._default_ttl if ttl is None else seconds("ttl", ttl)
        if self._jitter:
            length *= 1 - self._jitter * random.random()
        return "" if length > LONGEST else _ms(length)

    def _terms(
        self,
        ttl: Seconds | None,
        stale_while_revalidate: Seconds,
        stale_if_error: Seconds,
        retry_after: Seconds,
    ) -> _Terms:
        return _Terms(
            self._milliseconds(ttl),
            _window("stale_while_revalidate", stale_while_revalidate),
            _window("stale_if_error", stale_if_error),
            _window("retry_after", retry_after),
        )

    async def _read(self, name: bytes, budget: _Budget) -> Any:
        value = _MISSING
        try:
            data = await self._ask(budget, lambda client: client.get(name))
            if data is None or (value := self._decode(data)) is not _MISSING:
                return value
        except _Away as away:
            if not _is_foreign(away.__cause__):
                self._carry_on(away)
                return _MISSING
        await self._drop(budget, name)
        return _MISSING

    def _decode(self, data: bytes) -> Any:
        """The value in *data*, or _MISSING for what this serializer can't read."""
        try:
            return self._serializer.decode(data)
        except Exception:
            self._counts.errors += 1
            return _MISSING

    async def _drop(self, budget: _Budget, *names: bytes) -> None:
        """Remove what can't be read."""
        with contextlib.suppress(_Away):
            await self._ask(budget, partial(_unlink, names))

    async def _read_stale(
        self, names: "_Names", reader: _Terms, budget: _Budget, *, failed: bool = False
    ) -> tuple[Any, bool]:
        """The copy that may be served stale, or _MISSING; and whether a new load is due.

        The copy begins with the windows that its load allowed, and Redis drops it at the end of
        the longer one: what is left of that tells how long ago the value expired, with no clock
        of ours.
        """

        def read(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            return pipeline.get(names[1]).pttl(names[1]).exists(names[3]).execute()

        try:
            data, left, paused = await self._ask(budget, read)
        except _Away:
            return _MISSING, True
        if data is None:
            return _MISSING, True
        try:
            *windows, data = data.split(b" ", 2)
            while_revalidate, if_error = map(int, windows)
            age = max(while_revalidate, if_error) - left
            allowed = age < min(reader.stale_while_revalidate, while_revalidate) or (
                (failed or paused) and age < min(reader.stale_if_error, if_error)
            )
            value = self._serializer.decode(data) if allowed else _MISSING
        except Exception:
            self._counts.errors += 1
            await self._drop(budget, names[1])
            return _MISSING, True
        return value, not paused

    async def _put(self, budget: _Budget, rows: list[tuple[Any, ...]]) -> None:
        """Run _STORE for each of *rows*. Raises _Away."""

        def write(client: Any) -> Any:
            if len(rows) == 1:
                return client.eval(_STORE, 4, *rows[0])
            pipeline = client.pipeline(transaction=False)
            for row in rows:
                pipeline.eval(_STORE, 4, *row)
            return pipeline.execute()

        await self._ask(budget, write)
        if self._refused_at is not None and time.monotonic() > self._refused_at + CALM_SECONDS:
            self._refused_at = None

    async def _unlink(self, pattern: bytes) -> None:
        """Remove all names that match *pattern*. Raises _Away."""

        async def nodes(client: Any) -> list[dict[str, Any]]:
            if not hasattr(client, "get_primaries"):
                return [{}]
            await client.initialize()  # a cluster that was not asked before knows of no nodes
            return [{"target_nodes": node} for node in client.get_primaries()]

        for node in await self._ask(self._begin(), nodes):
            cursor: Any = 0
            while True:
                scan = partial(_scan, cursor=cursor, match=pattern, count=1000, **node)
                cursor, names = await self._ask(self._begin(), scan)
                if names:
                    await self._ask(self._begin(), partial(_unlink, names))
                if isinstance(cursor, dict):  # of a cluster: by node
                    (cursor,) = cursor.values()
                if not cursor:
                    break

    # -- whether Redis is there ---------------------------------------------------------------

    def _begin(self) -> _Budget:
        """What a call may spend on Redis. Raises CacheClosed."""
        if self._closed:
            raise CacheClosed("this RedisCache is closed: connect() opens it again")
        return _Budget(self._timeout)

    async def _ask(
        self, budget: _Budget, command: Callable[[Any], Awaitable[Any]], *, try_now: bool = False
    ) -> Any:
        """Send a command once a connection is free. Raises _Away, with the reason, if it fails."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        link = self._links.get(loop) or self._link(loop)
        probing = try_now or self._may_probe()
        async with link.free:  # waiting here is no outage, and costs nothing of the budget
            if budget.left <= 0 or link.closed or (self._away and not probing):
                raise _Away
            started, patience = time.monotonic(), budget.left
            try:
                async with asyncio.timeout(None) as limit:
                    link.watch(limit, loop.time() + patience, task)
                    try:
                        reply = await command(link.client)
                    finally:
                        link.limits.pop(limit, None)
            except Exception as error:  # of any kind, if what answers is no Redis
                _cancel_if_lost(task, cancelled)
                _cut(error)
                self._counts.errors += 1
                self._failed(error, started, patience)
                raise _Away from error
            finally:
                budget.left -= time.monotonic() - started
        _cancel_if_lost(task, cancelled)
        link.answered()
        if self._away and started >= self._changed_at:
            self._away, self._changed_at = False, time.monotonic()
        return reply

    def _may_probe(self) -> bool:
        """While Redis is away: is it this call's turn to try? Raises _Away if not."""
        if not self._away:
            return False
        now = time.monotonic()
        if now < self._probe_at:
            raise _Away
        self._probe_at = now + PROBE_SECONDS
        return True

    def _failed(self, error: Exception, started: float, patience: float) -> None:
        """Note an outage; log its beginning."""
        if isinstance(error, MaxConnectionsError) or _is_foreign(error):
            return  # others use the client too, or the name
        now = time.monotonic()
        if isinstance(error, ResponseError):  # it is there, and says no: out of memory, read-only
            if self._refused_at is None:
                logger.warning("Redis refuses (%s); the cache carries on without", error)
            self._refused_at = now
            return
        if isinstance(error, TimeoutError) and patience < self._timeout / 2:
            return  # the rest of a budget was too little to tell a slow server from a silent one
        if self._away or started < self._changed_at:
            return  # known already; or it was sent before Redis came back
        logger.warning("Redis is away (%s); the cache carries on without", _say(error))
        self._away, self._changed_at, self._probe_at = True, now, now + PROBE_SECONDS

    def _carry_on(self, away: _Away) -> None:
        if not self._fail_open:
            raise self._unavailable(away) from away.__cause__

    def _unavailable(self, away: _Away) -> CacheUnavailable:
        why = _say(away.__cause__) if away.__cause__ else "it failed a moment ago"
        return CacheUnavailable(f"Redis is not available: {why}")

    def _link(self, loop: asyncio.AbstractEventLoop) -> _Link:
        if self._closed:  # since the call began
            raise _Away
        _drop_ended(self._links)
        link = self._links[loop] = _Link(self._make_client(), self._max_connections, loop)
        return link


_MISSING: Any = object()
_CLAIMED: Any = object()

_Names = tuple[bytes, bytes, bytes, bytes]


def _drop_ended(by_loop: dict[asyncio.AbstractEventLoop, Any]) -> None:
    """Drop what belonged to event loops that have ended. Other threads may do so, too."""
    for loop in list(by_loop):
        if loop.is_closed():
            by_loop.pop(loop, None)


def _ms(length: float) -> int:
    """Seconds in whole milliseconds: at least 1, unless it is 0."""
    return round(length * 1000) or math.ceil(length * 1000)


def _window(name: str, value: Seconds) -> int:
    return _ms(min(seconds(name, value), LONGEST))


def _is_foreign(error: BaseException | None) -> bool:
    """Has somebody else put something under our name that is no string?"""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error) or 'no answer in time'}"


# By redis-py of a pipeline, and by a server that doesn't know a command.
_REPEATED = re.compile(r"(?s)Command # .* of pipeline caused error: |, with args.*")


def _cut(error: BaseException | None) -> None:
    """Cut what an error repeats of what was sent: a password, a key, a value."""
    while error is not None:
        error.args = tuple(
            _REPEATED.sub("", part) if isinstance(part, str) else part for part in error.args
        )
        error = error.__cause__


def _maker(url: str, max_connections: int, timeout: float) -> Callable[[], Any]:
    """A function that makes a client: unlike an attribute, it shows the password to nobody."""

    def make() -> Any:
        # The one retry is for connections of the pool that died while nobody used them. The limit
        # for a reply is ours: redis-py would send with asyncio.wait_for, which can lose it before
        # Python 3.12. The newer protocol is no use here, and servers before Redis 6 don't have it.
        return redis.asyncio.Redis.from_url(
            url,
            max_connections=max_connections,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=timeout + 5,
        )

    with contextlib.suppress(ValueError, TypeError, AttributeError):
        # An @ after the host belongs to a password that has a / or the like in it: what stands
        # before that would be taken for the host, and logged.
        if not re.match(r"(?s)rediss?://[^/?#]*[/?#].*@", url):
            make()  # connects to nothing yet
            return make
    # Outside of any `except`: what redis says of a bad URL may have the password in it.
    raise ValueError(
        "redis_url can't be read: expected redis://user:password@host:port/db, or rediss:// or "
        "unix://, with special characters of the password percent-encoded"
    )


def _cancel_if_lost(task: asyncio.Task[Any], before: int) -> None:
    """Before Python 3.12 asyncio.wait_for can lose a cancelling; a client passed in may send so."""
    if task.cancelling() > before:
        raise asyncio.CancelledError


def _scan(client: Any, **options: Any) -> Any:
    return client.scan(**options)


def _unlink(names: Iterable[bytes], client: Any) -> Any:
    return client.unlink(*names)


async def _get_many(client: Any, names: list[bytes]) -> list[bytes | None]:
    """MGET; in a cluster one for each slot, which is not one moment for all of them."""
    get = getattr(client, "mget_nonatomic", client.mget)
    values: list[bytes | None] = await get(names)
    return values
