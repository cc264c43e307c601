"""A process that reads, writes and loads at random for a while, for the test of four of them.

Rows and what was confirmed of them are kept in Redis, beside the cache. Started with a JSON line of
settings; says "ready", waits for a line, and says at its end what it did and which reads were old.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

import redis.asyncio

from cachepool_lib import RedisCache

CALLERS = 8
DELETED = ["a", "b"]  # keys that are deleted; each process has one of its own that it sets


async def main(told: dict[str, Any]) -> None:
    chance = random.Random(told["seed"])
    client = redis.asyncio.Redis.from_url(told["url"])
    rows, confirmed = f"{told['namespace']}-rows", f"{told['namespace']}-confirmed"
    keys = [*DELETED, *(f"of {number}" for number in range(told["processes"]))]
    own = f"of {told['number']}"
    done: Counter[str] = Counter()
    old: list[str] = []
    setting = asyncio.Lock()

    async def read(cache: RedisCache) -> None:
        key = chance.choice(keys)
        known = await client.zscore(confirmed, key) or 0

        async def load() -> float:
            row = await client.zscore(rows, key) or 0
            seconds = chance.choice([0, 0.02, 0.1, 3 * told["lock_timeout"]])
            if chance.random() < 0.1:
                done["blocked"] += 1
                time.sleep(seconds)  # noqa: ASYNC251
            else:
                await asyncio.sleep(seconds)
            done["long loads"] += seconds > told["lock_timeout"]
            return float(row)

        (how,) = chance.choices(["get", "load", "stale", "refresh"], [2, 5, 2, 1])
        done[how] += 1
        ttl = chance.choice([0.1, 5])
        match how:
            case "get":
                value = await cache.get(key, known)
            case "load":
                value = await cache.get_or_load(key, load, ttl)
            case "stale":
                value = await cache.get_or_load(key, load, ttl, stale_while_revalidate=5)
            case _:
                value = await cache.refresh(key, load, ttl)
        if value < known:
            old.append(f"{how} of {key!r} gave {value:g} after {known:g} was confirmed")

    async def write(cache: RedisCache) -> None:
        # Two who set at once may do so in either order: each key is set by one, step by step.
        if chance.random() < 0.4:
            async with setting:
                row = await client.zincrby(rows, 1, own)
                await cache.set(own, row)
                await client.zadd(confirmed, {own: row}, gt=True)
            done["set"] += 1
            return
        key, how = chance.choice(DELETED), chance.choice(["delete", "clear"])
        row = await client.zincrby(rows, 1, key)
        await (cache.clear() if how == "clear" else cache.delete(key))
        await client.zadd(confirmed, {key: row}, gt=True)
        done[how] += 1

    async def caller(cache: RedisCache, end: float) -> None:
        while time.monotonic() < end:
            await (write(cache) if chance.random() < 0.1 else read(cache))
            await asyncio.sleep(chance.uniform(0, 0.02))

    cache = RedisCache(
        told["url"],
        namespace=told["namespace"],
        lock_timeout=told["lock_timeout"],
        timeout=20,
        fail_open=False,  # what Redis does not confirm ends the test
    )
    async with client, cache:
        await cache.connect()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        end = time.monotonic() + told["seconds"]
        await asyncio.gather(*(caller(cache, end) for _ in range(CALLERS)))
        stats = cache.stats()
        done.update(loads=stats.loads, dropped=stats.dropped, shared=stats.shared)
    print(json.dumps({"done": done, "old": old}), flush=True)


asyncio.run(main(json.loads(sys.argv[1])))
