"""What AsyncCache promises in memory, TieredCache promises in two tiers."""

from typing import Any

import pytest

from cachepool_lib import AsyncCache, MsgpackSerializer, RedisCache, TieredCache
from cachepool_lib.lab.contracts.cache.contract import PROMISES
from tests.redis_cache.test_cache_contract import one_server, three_nodes
from tests.tools.async_cache_tools import ManualClock
from tests.tools.redis_bench import OverRedis

pytestmark = pytest.mark.anyio

# What a cache cannot promise whose second tier is a server.
NOT_IN_TIERS = {
    "A3": "no clock of this process decides alone: the server's own does, too",
    "A6": "its values are none that Redis could hold; AsyncCache keeps it in the first tier",
    "A7": "the same; what the server holds, its maxmemory and maxmemory-policy bound",
    "A18": "what the first tier lets go is in Redis: it costs a trip, not a load",
}


class TieredBench(OverRedis):
    """The promises of a cache, with caches in two tiers: time moves in both."""

    def __init__(self, client: Any) -> None:
        # Values are shared, as in AsyncCache: so the page of A11 is one that nobody can change.
        super().__init__(client, RedisCache, lambda: (3, 1, 2))
        self.tiers: list[TieredCache] = []
        self.clock = ManualClock()  # of the first tier, where real time stands still, too

    def new(self, **options: Any) -> TieredCache:
        second = self.cache(serializer=MsgpackSerializer(), **self.known(**options))
        first = AsyncCache(clock=self.clock)
        # A12 reads 300 values 64 times: from memory, since real time counts while Redis is asked.
        l1_ttl = 3600 if "jitter" in options else 30
        self.tiers.append(TieredCache(first, second, l1_ttl=l1_ttl))
        return self.tiers[-1]

    async def advance(self, seconds: float) -> None:
        await super().advance(seconds)
        self.clock.now += seconds

    async def close(self) -> None:
        for tiered in self.tiers:
            await tiered.clear()
            await tiered.close()


@pytest.mark.parametrize("store", [one_server, three_nodes])
async def test_tiered_cache_keeps_the_promises_of_a_cache(store: Any) -> None:
    """All but those named above, each with its reason."""
    async with store() as client:
        for name, (_, promise) in PROMISES.items():
            if name not in NOT_IN_TIERS:
                bench = TieredBench(client)
                await promise(bench)
                await bench.close()
                assert bench.tiers, name


def test_what_is_left_out_is_in_the_contract() -> None:
    """A promise that is renamed does not slip away."""
    assert NOT_IN_TIERS.keys() < PROMISES.keys()
