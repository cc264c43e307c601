"""Shadow: what it says is what a real cache of that size does on the same requests."""

import asyncio
import gc
import tracemalloc
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, cast

import pytest

from cachepool_lib import AsyncCache, CacheStats, Shadow, async_cache
from cachepool_lib.memory.store import Store
from tests.tools.async_cache_tools import ManualClock, answer
from tests.tools.real_traces import real_trace

pytestmark = pytest.mark.anyio

TTL = 20


def seen(stats: CacheStats) -> CacheStats:
    """Without what a shadow does not count: loads, and who shared one."""
    return replace(stats, loads=0, load_failures=0, load_seconds=0.0)


class Pair:
    """A cache with its shadow, and beside it a real cache of the shadow's size."""

    def __init__(self, maxsize: int, shadow_size: int | None) -> None:
        self.clock = ManualClock()
        self.cache = AsyncCache(TTL, maxsize=maxsize, clock=self.clock)
        self.shadow = Shadow(self.cache, maxsize=shadow_size)
        self.real = AsyncCache(TTL, maxsize=shadow_size, clock=self.clock)

    def agree(self) -> None:
        assert self.shadow.stats() == seen(self.real.stats())


@pytest.mark.parametrize("shadow_size", [5, 20, 40, 80, None])
@pytest.mark.parametrize("seed", range(3))
async def test_as_a_real_cache(shadow_size: int | None, seed: int) -> None:
    """Hits, misses, evictions, expirations, size: after every step as with a cache of that size."""
    pair, random = Pair(20, shadow_size), Random(seed)
    for _ in range(3_000):
        key, what = int(random.paretovariate(0.6)) % 150, random.random()
        ttl = [None, 5, 50, 0.5][key % 4]  # a hit does not say with which ttl one would have loaded
        for cache in (pair.cache, pair.real):
            if what < 0.85:
                await cache.get_or_load(key, partial(answer, "page"), ttl)
            elif what < 0.9:
                await cache.set(key, "page", ttl)
            elif what < 0.95:
                await cache.delete(key)
            elif what < 0.951:
                await cache.clear()
        if what > 0.951:
            pair.clock.now += random.choice([0.1, 1, 3])
        pair.agree()
    assert pair.shadow.stats().hits > 500
    assert pair.shadow.stats().expirations > 50


@pytest.mark.parametrize("ttl", [None, 400])
@pytest.mark.parametrize("name", ["web12", "orm-busy"])
async def test_as_a_real_cache_on_a_real_trace(name: str, ttl: float | None) -> None:
    """Twice the room on real traces, a request a second: the hit rate to the last digit."""
    clock = ManualClock()
    cache = AsyncCache(1e9 if ttl is None else ttl, maxsize=300, clock=clock)
    shadow = Shadow(cache, maxsize=600)
    real = AsyncCache(cache.store.default_ttl, maxsize=600, clock=clock)
    for key in real_trace(name)[:30_000]:
        clock.now += 1
        for one in (cache, real):
            if await one.get(key) is None:
                await one.set(key, "page")
    assert shadow.stats().hit_rate == real.stats().hit_rate > cache.stats().hit_rate
    assert shadow.stats() == real.stats()


async def test_a_group_is_forgotten_in_the_shadow_too() -> None:
    """`clear(group)` takes out what only the shadow holds as well."""
    pair = Pair(2, 40)
    for key in [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("c", 1)]:
        for cache in (pair.cache, pair.real):
            await cache.set(key, "page")
    for cache in (pair.cache, pair.real):
        await cache.clear("a")
        await cache.get(("a", 1))
        await cache.get(("b", 1))
    pair.agree()
    assert pair.shadow.stats().size == 3


async def test_a_decorated_function_is_a_request_once() -> None:
    """What is at hand is found without a coroutine, and what is not is asked for twice over."""
    pair, random = Pair(20, 40), Random(1)

    async def load(key: int) -> int:
        return key

    pages = [async_cache(ttl=5, cache=cache)(load) for cache in (pair.cache, pair.real)]
    for _ in range(2_000):
        key = int(random.paretovariate(0.6)) % 150
        for page in pages:
            await page(key)
        pair.clock.now += random.choice([0, 0, 0.1])
    pair.agree()


async def test_stale_hits_are_at_hand() -> None:
    """Where the cache may serve an old value, a larger one could as well."""
    pair, random = Pair(20, 40), Random(2)
    for _ in range(2_000):
        key = int(random.paretovariate(0.6)) % 150
        for cache in (pair.cache, pair.real):
            page = partial(answer, "page")
            await cache.get_or_load(key, page, 5, stale_while_revalidate=10)
        for _ in range(5):
            await asyncio.sleep(0)  # the load in the background ends
        pair.clock.now += random.choice([0, 0.1])
    assert pair.shadow.stats().stale_hits > 100
    pair.agree()


async def test_several_at_once_and_each_closed_by_itself() -> None:
    """A curve over room: the shadows don't disturb each other, nor the cache."""
    alone, clock = AsyncCache(TTL, maxsize=20, clock=ManualClock()), ManualClock()
    cache = AsyncCache(TTL, maxsize=20, clock=clock)
    shadows = [Shadow(cache, maxsize=size) for size in (20, 40, 80)]
    for key in (int(Random(n).paretovariate(0.6)) % 150 for n in range(2_000)):
        for one in (cache, alone):
            await one.get_or_load(key, lambda: answer("page"))
    rates = [shadow.stats().hit_rate for shadow in shadows]
    assert cache.stats() == alone.stats()
    assert cache.stats().hit_rate == rates[0] < rates[1] < rates[2]
    shadows[1].close()
    await cache.get("new")
    assert [shadow.stats().misses for shadow in shadows] == [
        seen.stats().misses for seen in shadows
    ]
    assert shadows[1].stats().hit_rate == rates[1]
    assert shadows[0].stats().hit_rate < rates[0]


async def test_after_close_nothing_is_left_on_the_hit_path() -> None:
    """The store is a plain one again, and closing twice is the same as once."""
    cache = AsyncCache(maxsize=10)
    shadow = Shadow(cache, maxsize=20)
    await cache.set("k", "v")
    assert type(cache.store) is not Store
    for _ in range(2):
        shadow.close()
        assert type(cache.store) is Store
    assert await cache.get("k") == "v"
    assert shadow.stats().hits == 0
    assert shadow.stats().size == 1


async def test_it_holds_no_values() -> None:
    """A value that the cache lets go is gone, though its key stays in the shadow."""
    cache = AsyncCache(maxsize=100)
    shadow = Shadow(cache, maxsize=10_000)
    tracemalloc.start()
    for key in range(10_000):
        await cache.set(key, bytearray(10_000))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shadow.stats().size == 10_000
    assert held < 100 * 10_000 + 10_000 * 400  # the cache's values; 400 bytes a key


async def test_bad_arguments_change_nothing() -> None:
    """Refused before the cache is watched."""
    cache = AsyncCache(maxsize=10)
    with pytest.raises(TypeError, match="AsyncCache, got dict"):
        Shadow(cast(Any, {}), maxsize=10)
    with pytest.raises(ValueError, match="maxsize must be at least 1, got 0"):
        Shadow(cache, maxsize=0)
    with pytest.raises(TypeError, match="whole number"):
        Shadow(cache, maxsize=cast(Any, 1.5))
    assert type(cache.store) is Store


async def test_repr_shows_the_rate() -> None:
    """And no key."""
    shadow = Shadow(cache := AsyncCache(maxsize=10), maxsize=20)
    for _ in range(4):
        await cache.get_or_load("secret", lambda: answer("page"))
    assert repr(shadow) == "<Shadow: 1 keys, room for 20, hit rate 0.750>"
