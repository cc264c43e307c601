"""One contract, two stores: what AsyncCache promises in memory, RedisCache promises on a server.

The promises are those of the course. They run on a server, and on a cluster of three nodes.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from cachepool_lib import RedisCache, lab
from cachepool_lib.lab.contracts.cache.contract import PROMISES
from tests.tools import redis_tools
from tests.tools.redis_bench import OverRedis

pytestmark = pytest.mark.anyio

# What a store in another process can't promise, or has not to.
NOT_IN_REDIS = {
    "A3": "no clock of this process decides: the server's own does",
    "A6": "the server removes what has expired, from its own memory",
    "A7": "the server has the bound: its maxmemory and maxmemory-policy",
    "A18": "the server chooses what leaves: its maxmemory-policy",
}


class RedisBench(OverRedis):
    """The promises of a cache, with caches in Redis."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, RedisCache)

    def new(self, **options: Any) -> RedisCache:
        return self.cache(**self.known(**options))


@contextlib.asynccontextmanager
async def one_server() -> AsyncIterator[Any]:
    async with redis_tools.raw() as client:
        yield client


@contextlib.asynccontextmanager
async def three_nodes() -> AsyncIterator[Any]:
    async with (
        lab.cluster(3) as cluster,
        RedisCluster.from_url(cluster.url) as client,
    ):
        yield client


@pytest.mark.parametrize("store", [one_server, three_nodes])
async def test_redis_cache_keeps_the_promises_of_a_cache(store: Any) -> None:
    """All but those named above, each with its reason."""
    async with store() as client:
        for name, (_, promise) in PROMISES.items():
            if name not in NOT_IN_REDIS:
                bench = RedisBench(client)
                await promise(bench)
                await bench.close()
                assert bench.caches, name


def test_what_is_left_out_is_in_the_contract() -> None:
    """A promise that is renamed does not slip away."""
    assert NOT_IN_REDIS.keys() < PROMISES.keys()
