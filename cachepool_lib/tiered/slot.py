"""What a key of two tiers offers to `get_or_load`: the lease of Redis, and both tiers' values."""

from collections.abc import Callable, Hashable
from typing import Any

from cachepool_lib.loading import MISSING, Found, LoadOptions, nothing
from cachepool_lib.memory.slot import MemorySlot
from cachepool_lib.redis_cache.copies import Copy
from cachepool_lib.redis_cache.session import Session
from cachepool_lib.redis_cache.slot import RedisSlot
from cachepool_lib.single_flight import Call
from cachepool_lib.stats import Counts
from cachepool_lib.tiered.first_tier import FirstTier

UNKNOWN = Copy(MISSING, 0, None)  # Redis was not asked yet


class TieredSlot:
    """One key of a TieredCache, for the length of one call of `get_or_load`.

    What Redis says counts, wherever it says something: a stale copy in memory that it has no more
    may be one of a value that was deleted. Where Redis can't be asked, memory is.
    """

    def __init__(
        self,
        session: Session,
        first: FirstTier,
        counts: Counts,
        key: Hashable,
        early: float = 0,
        on_join: Callable[[], None] = nothing,
        looked_up: Copy | None = UNKNOWN,
    ) -> None:
        self.key, self.calls, self.counts, self.on_join = key, session.calls, counts, on_join
        self._first, self._settings = first, session.settings
        self._far = RedisSlot(session, key, on_join)
        self._far.early = early  # the value is in memory, and the next one is due
        self._near = MemorySlot(key, first.store, self.calls, first.clock, counts, early > 0)
        self.clock = self._far.clock
        self._name = self._far.names.value
        self._version = first.version(self._name)  # when the load began
        self._looked_up = looked_up  # what Redis had, or did not say, a moment ago

    async def look(self) -> Copy | None:
        """What Redis has; the first tier keeps it. None if Redis does not say."""
        asked_at, version = self._first.clock(), self._first.version(self._name)
        copy = await self._far.look()
        if copy is not None:
            self._first.keep_copy(self._name, self.key, copy, asked_at, version)
        return copy

    async def find(self, options: LoadOptions, *, failed: bool = False) -> Found | None:
        if self._near.due_early and not failed:
            return await self._near.find(options)
        copy, self._looked_up = self._looked_up, UNKNOWN
        if copy is UNKNOWN or failed:
            copy = await self.look()
        if copy is None:
            return await self._near.find(options, failed=failed)
        if copy.value is not MISSING:
            return self._far.found(copy, options)
        if copy.windows is None or not options.stale:
            return None
        return await self._far.find_stale(options, failed)

    async def may_join(self, call: Call) -> bool:
        return await self._far.may_join(call)

    async def take_lease(self, call: Call, *, seize: bool) -> Any:
        value = await self._far.take_lease(call, seize=seize)
        self._version = self._first.version(self._name)
        return value

    async def store(
        self, call: Call, value: Any, ttl: float | None, options: LoadOptions, took: float
    ) -> None:
        """Keep *value* in both tiers, or where Redis is away in memory alone.

        A load without a lease is not stored in Redis, since no delete elsewhere could have voided
        it; here a message that came meanwhile has.
        """
        first, name, version = self._first, self._name, self._version
        sent_at = first.clock()
        if call.lease:
            unchanged = version == first.version(name)
            number = first.begin(name)
            self._far.origin = first.origin(number)
            kept: bool | None = False
            try:
                kept = await self._far.store(call, value, ttl, options, took)
            finally:
                confirmed = unchanged if kept is None else kept
                version = first.end(name, number, confirmed=confirmed)
        left = self._settings.shortest(ttl)
        first.keep(name, self.key, value, left, sent_at, version, options, took)

    async def release(self, call: Call, retry_after: float) -> None:
        await self._near.release(call, retry_after)
        await self._far.release(call, retry_after)
