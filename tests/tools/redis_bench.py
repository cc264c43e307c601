"""A bench whose caches are in Redis, for the contracts that hold over both stores."""

import asyncio
import time
from typing import Any

from cachepool_lib import RedisCache
from cachepool_lib.lab.contracts.cache.bench import Bench, Load
from tests.tools import redis_tools


class OverRedis(Bench):
    """Time moves by what is left of each key. From its first move on, real time stands still.

    A load that is under way when time moves ends after that, however long the move takes.

    Stands before the Bench that it changes: `class RedisBench(OverRedis, DecoratorBench)`.
    """

    def __init__(self, client: Any, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.client = client
        self.caches: list[tuple[RedisCache, str]] = []
        self.loading = asyncio.Event()
        self.reads: set[asyncio.Task[Any]] = set()
        self.seen: float | None = None
        self.still = asyncio.Event()  # no move is under way
        self.still.set()

    def cache(self, **options: Any) -> RedisCache:
        """A cache that nobody else uses."""
        namespace = redis_tools.namespace()
        cache = RedisCache(client=self.client, namespace=namespace, **{"timeout": 5, **options})
        self.caches.append((cache, namespace))
        self.seen = None
        return cache

    async def read(self, cache: Any, key: Any, load: Load, **options: Any) -> Any:
        async def loading() -> Any:
            self.loading.set()
            try:
                return await load()
            finally:
                await self.still.wait()

        me = asyncio.current_task()
        assert me is not None
        self.reads.add(me)
        try:
            return await super().read(cache, key, loading, **options)
        finally:
            self.reads.discard(me)

    async def advance(self, seconds: float) -> None:
        """Also wait until a read that has begun has come as far as its load."""
        await asyncio.sleep(0)
        if self.reads:
            await self.loading.wait()
        self.loading.clear()
        now = time.monotonic()
        spent = 0 if self.seen is None else now - self.seen
        self.seen = now
        self.still.clear()
        for _, namespace in self.caches[-1:]:
            await redis_tools.shift(self.client, namespace, seconds - spent)
        self.still.set()

    async def close(self) -> None:
        for cache, _ in self.caches:
            await cache.clear()
            await cache.close()
