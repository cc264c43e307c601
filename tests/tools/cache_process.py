"""A process with a RedisCache and fifty callers, for the tests across processes.

Started with a JSON line of settings; says "ready" once it is connected; at each line on stdin its
callers ask at once. Each load that begins and ends is written to a list in Redis, so that the tests
see it even if the process is killed.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import redis.asyncio

from cachepool_lib import RedisCache


async def main(told: dict[str, Any]) -> None:
    client = redis.asyncio.Redis.from_url(told["url"])

    async def note(what: str) -> None:
        await client.rpush(told["notes"], f"{what} {os.getpid()}")

    async def load() -> str:
        await note("begin")
        for _ in range(told.get("blocks", 0)):
            time.sleep(told["seconds"])  # noqa: ASYNC251
            await asyncio.sleep(0.02)
        await asyncio.sleep(told["seconds"])
        if told.get("fails"):
            await note("fail")
            raise ConnectionError("the database is down")
        await note("end")
        return f"page of {os.getpid()}"

    cache = RedisCache(
        told["url"],
        namespace=told["namespace"],
        lock_timeout=told.get("lock_timeout", 10),
        timeout=2,  # four processes on a machine with a core or two: a reply may take a while
    )
    async with client, cache:
        await cache.connect()
        await client.ping()
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            started = time.monotonic()
            callers = (cache.get_or_load("page", load) for _ in range(told.get("callers", 50)))
            answers = await asyncio.gather(*callers, return_exceptions=True)
            print(
                json.dumps(
                    {
                        "answers": [one if isinstance(one, str) else repr(one) for one in answers],
                        "seconds": time.monotonic() - started,
                    }
                ),
                flush=True,
            )


asyncio.run(main(json.loads(sys.argv[1])))
