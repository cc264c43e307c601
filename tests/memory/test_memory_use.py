"""Memory stays flat: a million keys pass through, and what there is room for stays."""

import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence

import cachetools
import pytest

from cachepool_lib import AsyncCache
from cachepool_lib.memory.store import Store
from tests.tools.async_cache_tools import ManualClock, answer

pytestmark = pytest.mark.anyio

MILLION = 1_000_000
LOADS = 60_000  # each of them is a task of its own, ten times as dear as a set
ROOM = 30_000
FLAT = 1_000  # blocks: what the interpreter itself may come to hold meanwhile; 0.1 % of the keys


def held(fill: Callable[[Sequence[str]], object], keys: Sequence[str]) -> float:
    """Bytes that *fill* leaves behind for each of 30,000 entries; the keys are there before."""
    gc.collect()
    tracemalloc.start()
    result = fill(keys)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result is not None
    return size / ROOM


@pytest.mark.parametrize("passed_through", [1, 2])
def test_an_entry_beside_cachetools(passed_through: int) -> None:
    """An entry takes at most a tenth more than TTLCache's, with the ghosts of those who left."""

    def ours(keys: Sequence[str]) -> Store:
        store = Store(ROOM, 3e9)
        for n, key in enumerate(keys):
            store.put(key, None, None, 0.5 + n)
        return store

    def theirs(keys: Sequence[str]) -> cachetools.TTLCache[str, None]:
        cache: cachetools.TTLCache[str, None] = cachetools.TTLCache(ROOM, 3e9)
        for key in keys:
            cache[key] = None
        return cache

    keys = [f"user:{n}" for n in range(passed_through * ROOM)]
    assert held(ours, keys) <= 1.1 * held(theirs, keys)


async def growth(step: Callable[[int], Awaitable[object]], keys: int) -> int:
    """How many more blocks of memory are held after *keys* steps than after a tenth of them."""
    before = 0
    for n in range(keys):
        if n == keys // 10:
            gc.collect()
            before = sys.getallocatedblocks()
        await step(n)
    gc.collect()
    return sys.getallocatedblocks() - before


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_a_million_sets(clock: ManualClock) -> None:
    """With room for 1,000, a million keys leave 1,000 entries and their ghosts."""
    cache = AsyncCache(maxsize=1_000, clock=clock)
    assert await growth(lambda n: cache.set(n, [n]), MILLION) < FLAT
    assert cache.stats().size == 1_000
    assert cache.stats().evictions == MILLION - 1_000


async def test_sets_and_deletes_beside_what_stays(clock: ManualClock) -> None:
    """What is deleted leaves nothing, though nothing has to leave, and others stay."""
    cache = AsyncCache(maxsize=1_000, clock=clock)
    for n in range(500):
        await cache.set(n, n)
    for _ in range(2):
        await cache.get_many(range(500))
    await growth(lambda n: cache.set(-1 - n, n), 1_000)  # now they stand in the main queue
    for n in range(1_000):
        await cache.delete(-1 - n)

    async def step(n: int) -> None:
        await cache.set(1_000 + n, [n])
        await cache.delete(1_000 + n)

    assert await growth(step, 100_000) < FLAT
    assert cache.stats().size == len(await cache.get_many(range(500)))


async def test_many_loads(clock: ManualClock) -> None:
    """Loads leave no flight, no task and no waiter behind."""
    cache = AsyncCache(maxsize=1_000, clock=clock)
    load = cache.get_or_load
    assert await growth(lambda n: load(n, lambda: answer([n]), 60), LOADS) < FLAT
    assert cache.stats().size == 1_000


async def test_a_million_sets_without_a_bound(clock: ManualClock) -> None:
    """Without a bound the sweep keeps up: where 1,000 entries live, no more than 2,100 are held."""
    cache = AsyncCache(maxsize=None, clock=clock)
    largest = 0

    async def step(n: int) -> None:
        nonlocal largest
        clock.now += 0.01
        await cache.set(n, [n], ttl=10)
        largest = max(largest, cache.stats().size) if n % 1_000 == 0 else largest

    assert await growth(step, MILLION) < FLAT
    assert 1_000 <= largest <= 2_100


async def test_many_loads_without_a_bound(clock: ManualClock) -> None:
    """The same for loads, with windows in which their values are kept a little longer."""
    cache = AsyncCache(maxsize=None, clock=clock)

    async def step(n: int) -> None:
        clock.now += 0.01
        await cache.get_or_load(n, lambda: answer([n]), ttl=5, stale_if_error=5)

    assert await growth(step, LOADS) < FLAT
    assert cache.stats().size <= 2_100


async def test_a_million_misses(clock: ManualClock) -> None:
    """Keys that were only asked for, or deleted, leave nothing at all."""
    cache = AsyncCache(maxsize=None, clock=clock)

    async def step(n: int) -> None:
        await cache.get(n)
        await cache.delete(n)

    assert await growth(step, MILLION) < FLAT
    assert cache.stats().size == 0


async def test_failing_loads(clock: ManualClock) -> None:
    """A load that fails leaves nothing, neither its error nor its key."""
    cache = AsyncCache(maxsize=None, clock=clock)

    async def fails() -> None:
        raise LookupError

    async def step(n: int) -> None:
        with pytest.raises(LookupError):
            await cache.get_or_load(n, fails)

    assert await growth(step, 10_000) < FLAT
    assert cache.stats().size == 0
