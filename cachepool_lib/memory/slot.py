"""What a key in memory offers to `get_or_load`. None of its coroutines ever suspends."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from cachepool_lib.loading import MISSING, Found, LoadOptions, nothing
from cachepool_lib.memory.s3fifo import MAX_USES
from cachepool_lib.memory.store import Store
from cachepool_lib.single_flight import Call, SingleFlight
from cachepool_lib.stats import Counts


@dataclass(slots=True)
class MemorySlot:
    """One key of an AsyncCache, for the length of one call of `get_or_load`.

    Being current is all the lease that there is: nothing but this process can write here.
    """

    key: Hashable
    entries: Store
    calls: SingleFlight
    clock: Callable[[], float]
    counts: Counts
    due_early: bool = False  # the next value is to be loaded although this one is fresh
    on_join: Callable[[], None] = nothing

    async def find(self, options: LoadOptions, *, failed: bool = False) -> Found | None:
        now = self.clock()
        entry = self.entries.peek(self.key, now)
        if entry is None:
            return None
        if now < entry.expires_at:
            return Found(entry.value, stale=False, due=self.due_early)
        due = now >= entry.retry_at
        if not entry.may_be_stale(now, options, failed=failed or not due):
            return None
        entry.uses = min(entry.uses + 1, MAX_USES)  # the policy keeps what is asked for
        return Found(entry.value, stale=True, due=due)

    async def may_join(self, call: Call) -> bool:
        return True

    async def take_lease(self, call: Call, *, seize: bool) -> Any:
        return MISSING

    async def store(
        self, call: Call, value: Any, ttl: float | None, options: LoadOptions, took: float
    ) -> None:
        self.entries.put(self.key, value, ttl, self.clock(), options, took)

    async def release(self, call: Call, retry_after: float) -> None:
        now = self.clock()
        entry = self.entries.peek(self.key, now)
        if entry is not None and self.calls.is_current(self.key, call):
            entry.retry_at = now + retry_after
