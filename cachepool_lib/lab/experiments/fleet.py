"""Many instances in front of one Redis, and a page that expires: who loads, and who waits."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fakeredis import FakeServer
from fakeredis.aioredis import FakeAsyncRedisConnection, FakeRedis

from cachepool_lib.lab.simulation.loop import clock, simulate
from cachepool_lib.memory.async_cache import AsyncCache
from cachepool_lib.redis_cache.redis_cache import RedisCache

LATENCY = 0.001  # seconds until an answer of Redis is there
PAUSE = 15.0  # seconds before the visits come: meanwhile the page expires
SECONDS = 0.1  # that a load takes, once it has a connection
CONNECTIONS = 20  # that the database has
RATE = 10.0  # visits a second that each instance gets


@dataclass(frozen=True)
class Instance:
    """One of the instances: *shared* is the cache that all have, *near* is its own."""

    shared: Any
    near: AsyncCache


@dataclass(frozen=True)
class Fleet:
    """What came of one page that expired: loads, and the seconds that the slowest visit took."""

    instances: int
    visits: int
    loads: int
    longest: float


Strategy = Callable[[Instance, Callable[[], Awaitable[str]]], Awaitable[Any]]


def fleet(strategy: Strategy, instances: int, *, stand_in: bool = False) -> Fleet:
    """Let a page expire that *instances* ask for with `strategy(instance, load)`; simulated.

    Each gets 10 visits a second, at random moments; a load takes 0.1 s once it has one of the
    database's 20 connections, and an answer of Redis 1 ms. Visits come until the first load is
    stored, and all are waited for. The page must be stored for at most 15 s.

    Each `instance.shared` is a RedisCache, all on one Redis within the simulation (fakeredis). With
    *stand_in* it is one AsyncCache, from which answers take as long: that runs ten times as many
    instances in the same time. *load()* has the same count with either.
    """
    collected = gc.isenabled()
    gc.disable()  # it would take half of the time: a hundred thousand objects, and all are needed
    try:
        return simulate(_run(strategy, instances, _StandIn() if stand_in else _Redis()))
    finally:
        if collected:
            gc.enable()


async def _run(strategy: Strategy, instances: int, shop: "_Redis | _StandIn") -> Fleet:
    all_of_them = [Instance(shop.cache(), AsyncCache(clock=clock)) for _ in range(instances)]
    room = asyncio.Semaphore(CONNECTIONS)
    loads, longest = 0, 0.0

    async def load() -> str:
        nonlocal loads
        loads += 1
        async with room:
            await asyncio.sleep(SECONDS)
        return "page"

    async def visit(instance: Instance) -> None:
        nonlocal longest
        came = clock()
        await strategy(instance, load)
        longest = max(longest, clock() - came)

    await visit(all_of_them[0])
    await asyncio.sleep(PAUSE)
    loads, longest = 0, 0.0
    start, draw, visits, comes = clock(), random.Random(5), list[asyncio.Task[None]](), 0.0
    while comes < SECONDS + 4 * LATENCY:  # until the first load is stored, and a little longer
        await asyncio.sleep(start + comes - clock())
        visits.append(asyncio.create_task(visit(draw.choice(all_of_them))))
        comes += draw.expovariate(RATE * instances)
    await asyncio.gather(*visits)
    await asyncio.sleep(2 * SECONDS)  # what is loaded behind the visits
    await shop.close()
    return Fleet(instances, len(visits), loads, longest)


class _LateConnection(FakeAsyncRedisConnection):
    """Answers as late as a server that is not in the same process; once it is open."""

    _there_at = 0.0
    _opening = False

    async def connect(self) -> None:
        self._opening = True
        await super().connect()  # type: ignore[no-untyped-call]
        self._opening = False

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        await super().send_packed_command(*args, **options)
        if not self._opening:
            self._there_at = clock() + LATENCY

    async def read_response(self, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(max(0, self._there_at - clock()))
        return await super().read_response(*args, **options)


class _Redis:
    """A RedisCache for each instance. They share a client: a thousand would take half the time."""

    def __init__(self) -> None:
        self._client = FakeRedis(server=FakeServer(), connection_class=_LateConnection)
        self._caches: list[RedisCache] = []

    def cache(self) -> RedisCache:
        self._caches.append(RedisCache(client=self._client, timeout=60))
        return self._caches[-1]

    async def close(self) -> None:
        for cache in self._caches:
            await cache.close()
        await self._client.aclose()


class _StandIn:
    """One AsyncCache, for all instances. What Redis does at once when asked, it does, too."""

    def __init__(self) -> None:
        self._cache = AsyncCache(clock=clock)

    def cache(self) -> "_StandIn":
        return self

    async def get(self, key: str) -> Any:
        value = await self._cache.get(key)
        await asyncio.sleep(LATENCY)
        return value

    async def set(self, key: str, value: Any, ttl: float) -> None:
        await self._cache.set(key, value, ttl)
        await asyncio.sleep(LATENCY)

    async def get_or_load(self, key: str, load: Any, ttl: float, **options: Any) -> Any:
        value = await self._cache.get_or_load(key, load, ttl, **options)
        await asyncio.sleep(LATENCY)
        return value

    async def close(self) -> None:
        pass
