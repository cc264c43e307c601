"""What a hit costs on asyncio's event loop and on uvloop's, in rounds taken in turn."""

import asyncio
import statistics
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from cachepool_lib import AsyncCache, RedisCache, async_cache
from cachepool_lib.lab.servers.services import services

from .redis_speed import PAGE, at_once, load, took
from .speed import KEY, compiled

Run = Callable[[Coroutine[Any, Any, None]], None]

HITS = {  # the statement, and how many calls make a round
    "AsyncCache.get": ("await memory.get(key)", 20_000),
    "AsyncCache.get_or_load": ("await memory.get_or_load(key, load)", 20_000),
    "async_cache, f(1)": ("await page(1)", 20_000),
    "RedisCache.get": ("await redis.get(key)", 200),
    "RedisCache.get_or_load": ("await redis.get_or_load(key, load)", 200),
    "RedisCache.get for 20 callers at once": ("await at_once(20, redis.get, key)", 20),
}
TIMES: dict[tuple[str, str], list[tuple[float, float]]] = {}  # µs, by the clock and the processor


@async_cache()
async def page(number: int) -> str:
    return "page"


async def one_round(loop: str, share: float, counts: bool) -> None:
    memory = AsyncCache()
    url = (await services()).redis_url
    async with RedisCache(url, namespace="benchmark-loops", timeout=5) as redis:
        for cache in memory, redis:
            await cache.set(KEY, PAGE)
        names = {"memory": memory, "redis": redis, "page": page, "load": load, "at_once": at_once}
        for title, (statement, calls) in HITS.items():
            run = compiled(statement, dict(names))
            await run([KEY] * 10)  # opens connections
            spent = await took(run, max(1, int(calls * share)))
            if counts:
                TIMES.setdefault((title, loop), []).append(spent)
        await redis.clear()


def measure(rounds: int = 15, share: float = 1) -> None:
    """Fill in the figures."""
    loops: dict[str, Run] = {"asyncio": asyncio.run}
    if sys.platform != "win32":
        import uvloop  # has no wheels for Windows

        loops["uvloop"] = uvloop.run
    for number in range(rounds + 1):
        for loop, run in loops.items():
            run(one_round(loop, share, counts=number > 0))


def report() -> None:
    """Print what measure() found."""
    loops = sorted({loop for _, loop in TIMES})
    print("\nA hit, µs by the clock (and of the processor)", *(f"{loop:>20}" for loop in loops))
    for title in HITS:
        columns = ""
        for loop in loops:
            clock, processor = map(statistics.median, zip(*TIMES[title, loop], strict=True))
            columns += f" {clock:11,.2f} ({processor:,.2f})"
        print(f"  {title:43}{columns}")
