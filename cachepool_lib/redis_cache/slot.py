"""What a key in Redis offers to `get_or_load`: its value, its stale copy, and its lease.

A lease is the right to load a key, and to store what was loaded. (Nishtala et al., "Scaling
Memcache at Facebook", 2013.) It is a name with a token; `set`, `delete` and `clear` remove it, in
any process, and then whoever loads may not store. It has a deadline by the server's clock, which
its holder moves for as long as it lives: past it, another process may take it over.
"""

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Callable, Hashable
from typing import Any

from cachepool_lib.loading import MISSING, Found, LoadOptions, early, nothing
from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.batch import Budget, NoReply
from cachepool_lib.redis_cache.copies import Copy, header, look, ms, split
from cachepool_lib.redis_cache.session import NOBODY, Session
from cachepool_lib.single_flight import Call

SHORTEST_LIFE_MS = 600_000  # of a lease's name beyond that of values: ten minutes
NO_LEASE = b""  # of a load that asked for one and has none: it may not store
FOUND, TAKEN = 1, 2  # what the reply of take_lease.lua begins with; 0 is to wait


class RedisSlot:
    """One key of a RedisCache, for the length of one call of `get_or_load` that has looked it up.

    Nothing fresh was there; *budget* is what that has left of the call's.
    """

    def __init__(
        self,
        session: Session,
        key: Hashable,
        on_join: Callable[[], None] = nothing,
        budget: Budget | None = None,
    ) -> None:
        self.key = key
        self.on_join = on_join
        self.calls = session.calls
        self.clock = time.monotonic
        self.counts = session.settings.counts
        self._session = session
        self._settings = session.settings
        self._budget = budget or session.budget()
        self.names = session.settings.namespace.names(key)
        self._token: bytes | None = None
        self.origin = NOBODY  # of what it stores, for those who hear of it
        self.early = 0.0  # seconds before its end that a value does not count: one is due before
        self._renewal: asyncio.Task[None] | None = None
        self._asleep = math.inf  # since when the renewal sleeps, by the clock

    async def look(self) -> Copy | None:
        """What Redis holds, as of one moment; None if it does not say."""
        return (await look(self._session, self._budget, [self.names])).get(self.names)

    async def find(self, options: LoadOptions, *, failed: bool = False) -> Found | None:
        if failed:  # it may have been set meanwhile
            value = await self._session.read(self.names.value, self._budget)
            if value is not MISSING:
                return Found(value, stale=False, due=False)
        elif options.early_refresh:  # with what is left of it
            copy = await self.look()
            if copy is not None and copy.value is not MISSING:
                return self.found(copy, options)
        return await self.find_stale(options, failed) if options.stale else None

    def found(self, copy: Copy, options: LoadOptions) -> Found:
        """What *copy* has: it is fresh, and the next one may be due before it ends."""
        self.early = early(copy.load_seconds, options.early_refresh)
        return Found(copy.value, stale=False, due=self.early >= copy.left)

    async def find_stale(self, options: LoadOptions, failed: bool) -> Found | None:
        """The copy that may be served stale.

        It begins with the windows that its load allowed, and Redis drops it at the end of the
        longer one: what is left of that tells how long ago the value expired, with no clock of
        ours.
        """
        name = self.names.stale
        if self._session.owed.covers(self.names.value):
            return None
        data, left, paused = await self._session.sender.ask_all(
            self._budget, [("GET", name), ("PTTL", name), ("EXISTS", self.names.failure)]
        )
        for reply in data, left, paused:
            if isinstance(reply, NoReply):
                self._settings.failed(reply)
                return None
        if data is None:
            return None
        try:
            (while_revalidate, if_error, _), data = split(data)
            age = max(0, max(while_revalidate, if_error) - left)
            allowed = age < min(ms(options.stale_while_revalidate), while_revalidate) or (
                (failed or paused) and age < min(ms(options.stale_if_error), if_error)
            )
        except ValueError:  # no copy of ours
            await self._session.drop(self._budget, name)
            return None
        if not allowed:
            return None
        value = await self._session.decode(self._budget, name, data)
        return None if value is MISSING else Found(value, stale=True, due=not paused)

    async def may_join(self, call: Call) -> bool:
        """A load without a lease can't be voided: it is joined only where Redis can't be asked."""
        if call.lease is None:  # it still asks for one, and has read nothing that could be old
            return True
        try:
            holder = await self._eval(scripts.LEASE_HOLDER)
        except NoReply:
            return True
        return bool(holder != NO_LEASE and holder == call.lease)

    async def take_lease(self, call: Call, *, seize: bool) -> Any:
        """As Slot.take_lease.

        No lease is had where Redis is away, or owes an invalidation of this key; after somebody
        else's load that was waited for failed; and once this load is forgotten: the lease is its
        successor's then. Each such load is for itself, and is not stored.
        """
        if call.background:
            self._budget = self._session.budget()  # its caller is served, and spends nothing on it
        pause, waited_for = 0.01, None
        self._token = (self._session.holder + secrets.token_hex(8)).encode()
        while self.calls.is_current(self.key, call):
            if self._session.owed.covers(self.names.value):
                break
            left, newest = self._budget.left, _newest_waiter(call)
            try:
                state, *told = await self._ask_for_lease(seize)
                if state == FOUND and _newest_waiter(call) is not newest:
                    # Who has joined since may know of a write that this value is older than. What
                    # is asked now is late enough for all of them, and nobody else may join.
                    if self.calls.is_current(self.key, call):
                        self.calls.forget(self.key)
                    state, *told = await self._ask_for_lease(seize)
            except NoReply as error:
                if error.sent:  # nobody knows whether a lease of ours is left: others would wait
                    self._session.payer.owe(self.names.value, lease=True)
                self._settings.failed(error)
                break
            if state == TAKEN:
                call.lease = self._token
                self._asleep = time.monotonic()
                self._renewal = asyncio.create_task(self._renew())
                return MISSING
            if state == FOUND:
                value = await self._session.decode(self._budget, self.names.value, told[0])
                if value is MISSING:
                    break
                return value
            holder, failed = told
            if failed is not None and failed == waited_for:
                break
            waited_for = holder
            self.on_join()
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.1)
            self._budget.left = left  # asking was part of the wait
        call.lease = NO_LEASE
        return MISSING

    async def _ask_for_lease(self, seize: bool) -> list[Any]:
        least = -1 if seize else ms(self.early)
        told = self._token, self._settings.lock_ms, self._life, self._session.holder, least
        reply: list[Any] = await self._eval(scripts.TAKE_LEASE, *told)
        return reply

    async def store(
        self, call: Call, value: Any, ttl: float | None, options: LoadOptions, took: float
    ) -> Any:
        """As Slot.store. True if Redis kept it, False if not, None if it did not say."""
        if not call.lease:
            return False
        try:
            data = self._settings.serializer.encode(value)
        except Exception as error:
            self.counts.errors += 1
            what = _title(self.key)
            self._settings.tell(f"encode {what}", "a value of %s can't be cached: %s", what, error)
            await self.release(call, options.retry_after)
            return False
        await self._stop_renewing()
        px = self._settings.milliseconds(ttl)
        stale = ms(options.stale) if px else 0  # what never expires is never stale
        begins = header(options, took) if px else b""
        told = data, px, self.origin, call.lease, stale, begins
        try:
            kept = await self._eval(scripts.STORE, *told)
        except NoReply as error:
            self._settings.note(error)  # the caller has its value, whatever fail_open says
            return None
        if not kept:
            self.counts.dropped += 1
            self._settings.tell(
                "dropped",
                "a loaded value was not kept, since its lease was gone: another process wrote or "
                "deleted the key, or Redis is full and evicted it",
            )
        return bool(kept)

    async def release(self, call: Call, retry_after: float) -> None:
        await self._stop_renewing()
        if self._token is None:  # it was never asked for
            return
        try:
            await self._eval(scripts.RELEASE_LEASE, self._token, ms(retry_after))
        except NoReply as error:
            if call.lease or error.sent:
                self._session.payer.owe(self.names.value, lease=True)

    @property
    def _life(self) -> int:
        """Milliseconds that the name of a lease lives: longer than the values beside it.

        A full server that evicts by ttl takes first what would expire first.
        """
        return SHORTEST_LIFE_MS + max(self._settings.longest_ms, 60 * self._settings.lock_ms)

    async def _renew(self) -> None:
        """Move the deadline for as long as this process lives and nobody voids the lease."""
        held = True
        while held:
            await asyncio.sleep(self._settings.lock_ms / 3000)
            self._look_for_blocked_loop()
            with contextlib.suppress(NoReply):  # Redis may be back before the deadline
                held = await self._session.sender.ask(
                    self._session.budget(),
                    *("EVAL", scripts.RENEW_LEASE, 4, *self.names),
                    *(self._token, self._settings.lock_ms, self._life),
                )
            self._asleep = time.monotonic()

    async def _stop_renewing(self) -> None:
        if self._renewal is not None:
            self._look_for_blocked_loop()
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
            self._renewal = None

    def _look_for_blocked_loop(self) -> None:
        blocked = time.monotonic() - self._asleep
        self._asleep = math.inf  # waiting for a slow server is something else
        if blocked * 1000 > self._settings.lock_ms:
            self._settings.tell(
                "blocked",
                "the event loop was blocked for %.1f s while a value was loaded, longer than "
                "lock_timeout: another process may have taken the load over",
                blocked,
            )

    async def _eval(self, script: bytes, *args: Any) -> Any:
        return await self._session.sender.ask(self._budget, "EVAL", script, 4, *self.names, *args)


def _newest_waiter(call: Call) -> object:
    return next(reversed(call.waiters), None)


def _title(key: Hashable) -> str:
    """What is said of *key* in the log: the function, or what stands before its first colon."""
    if isinstance(key, tuple) and key and isinstance(key[0], str):
        return key[0]
    if isinstance(key, str) and ":" in key:
        return key.partition(":")[0]
    return f"a key of type {type(key).__name__}"
