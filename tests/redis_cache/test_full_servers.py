"""A server that is full, and evicts by one policy or another: what becomes of leases."""

import asyncio
import itertools
from typing import Any

import pytest

from cachepool_lib import RedisCache, lab
from cachepool_lib.redis_cache import slot
from tests.tools.redis_tools import raw

pytestmark = pytest.mark.anyio

LOADS = 300
PAGE = "x" * 2000


async def thrown_away(policy: str, ttl: float) -> int:
    """So many of 300 loaded values are not kept, on a server that is full of older pages."""
    numbers = itertools.count()
    async with (
        lab.server(maxmemory="6mb", maxmemory_policy=policy) as server,
        raw(server.url) as client,
        RedisCache(server.url, ttl, namespace="n", timeout=20) as made,
    ):

        async def add(pages: int) -> None:
            await made.set_many({next(numbers): PAGE for _ in range(pages)})

        async def evicted() -> int:
            return int((await client.info("stats"))["evicted_keys"])

        while not await evicted():
            await add(100)
        last = f"n:{{!i{next(numbers) - 1};}}"
        while policy.endswith("lru"):  # it tells ages by the second
            idle = await client.object("idletime", last)
            if idle is None or idle >= 3:
                break
            await asyncio.sleep(0.1)

        async def load() -> Any:
            await add(3)  # others write meanwhile
            return PAGE

        before = await evicted()
        slots = asyncio.Semaphore(20)

        async def ask(number: int) -> None:
            async with slots:
                assert await made.get_or_load(("page", number), load) == PAGE

        await asyncio.gather(*map(ask, range(LOADS)))
        assert await evicted() - before > LOADS
        stats = made.stats()
        assert stats.loads == LOADS
        print(policy, ttl, stats.dropped, await evicted() - before)
        return stats.dropped


@pytest.mark.parametrize("ttl", [60, 3600])
@pytest.mark.parametrize("policy", ["volatile-ttl", "volatile-lru", "allkeys-lru"])
async def test_what_is_loaded_on_a_full_server_is_kept(policy: str, ttl: float) -> None:
    """The lease of a load is not among the first that go, however long values live."""
    assert await thrown_away(policy, ttl) < 3


async def test_leases_that_would_end_first_are_the_first_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the test before would see if a lease lived as long as its deadline is away."""
    monkeypatch.setattr(slot.RedisSlot, "_life", 10_000)
    assert await thrown_away("volatile-ttl", 60) >= 10


@pytest.mark.parametrize("policy", ["allkeys-lfu", "allkeys-random"])
async def test_what_is_thrown_away_is_counted_and_said_once(
    policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Policies that take fresh names too: a lease that is gone is a value that is not kept."""
    dropped = await thrown_away(policy, 60)
    assert 0 < dropped < LOADS / 3
    assert caplog.text.count("a loaded value was not kept") == 1
