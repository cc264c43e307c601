"""A process with a TieredCache that reads and writes at random, for the tests across processes.

Started with a JSON line of settings; says "ready" once it is connected. At a line "run" it reads
and writes until a line "stop", and then says what it did; at a line "tell" it says, after a
pause, what it has for each key, as `get` answers.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from typing import Any

from cachepool_lib import AsyncCache, CacheUnavailable, RedisCache, TieredCache


class Visitor:
    """What one process does: each of its tasks picks a key and something to do with it."""

    def __init__(self, cache: TieredCache, told: dict[str, Any]) -> None:
        self.cache, self.keys = cache, range(told["keys"])
        self.chance = random.Random(told["seed"])
        self.name = told["seed"]
        self.done: Counter[str] = Counter()
        self.worst = 0.0

    async def visit(self) -> None:
        loop = asyncio.get_running_loop()
        self.stopped = False
        while not self.stopped:
            began = loop.time()
            kind, key = self.chance.random(), ("page", self.chance.choice(self.keys))
            if kind < 0.6:
                await self.cache.get_or_load(key, self.load, 60, stale_while_revalidate=60)
                self.done["reads"] += 1
            elif kind < 0.7:
                await self.cache.get(key)
            elif kind < 0.78:
                await self.cache.get_many([("page", one) for one in self.keys])
            elif kind < 0.86:
                await self.cache.set(key, self.value())
                self.done["sets"] += 1
            elif kind < 0.96:
                await self.cache.delete(key)
                self.done["deletes"] += 1
            elif kind < 0.98:
                await self.cache.refresh(key, self.load)
                self.done["refreshes"] += 1
            else:
                await self.cache.clear("page" if kind < 0.99 else None)
                self.done["clears"] += 1
            self.worst = max(self.worst, loop.time() - began)
            await asyncio.sleep(self.chance.uniform(0, 0.004))

    async def load(self) -> str:
        await asyncio.sleep(self.chance.uniform(0, 0.003))
        self.done["loads"] += 1
        return self.value()

    def value(self) -> str:
        self.done["values"] += 1
        return f"{self.done['values']} of {self.name}"


async def connected(cache: TieredCache) -> None:
    """Connect, however slow a machine is on which several processes start at once."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await cache.connect()
            except CacheUnavailable:
                await asyncio.sleep(0.1)


async def main(told: dict[str, Any]) -> None:
    second = RedisCache(told["url"], namespace=told["namespace"], timeout=told.get("timeout", 2))
    async with TieredCache(AsyncCache(), second, l1_ttl=told["l1_ttl"]) as cache:
        await connected(cache)
        visitor = Visitor(cache, told)
        visits: list[asyncio.Task[None]] = []
        print("ready", flush=True)
        while order := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if order == "run":
                visits = [asyncio.create_task(visitor.visit()) for _ in range(4)]
            elif order == "stop":
                visitor.stopped = True  # a write that is cancelled may still come
                await asyncio.gather(*visits)
                stats = cache.stats()
                near = cache.l1.stats().hits
                told_of = {**visitor.done, "worst": visitor.worst, "hits": stats.hits, "near": near}
                print(json.dumps(told_of), flush=True)
            elif order == "tell":
                await asyncio.sleep(told.get("pause", 0))
                # What was published before this is asked has been sent before the answer.
                await second.get("anything")
                for _ in range(10):  # what has come is heard in the next turns of the loop
                    await asyncio.sleep(0)
                has = [await cache.get(("page", key)) for key in visitor.keys]
                print(json.dumps(has), flush=True)


asyncio.run(main(json.loads(sys.argv[1])))
