"""What a cache in Redis promises on top, one small check each, against the real server.

A check uses keys that nobody else has, through a proxy where the server is to fail. Nothing sleeps
through a ttl: what is left of it is rewritten in the server.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.contracts.redis_cache import connections, entries, loads, writes
from cachepool_lib.lab.contracts.redis_cache.bench import RedisBench, quietly
from cachepool_lib.lab.notebook.checks import Check, Report, ask_all, by_number
from cachepool_lib.lab.servers.services import services

PROMISES = by_number(entries.PROMISES, connections.PROMISES, loads.PROMISES, writes.PROMISES)
TIMED = {"R7", "R8", "R10", "R12", "R12-kill", "R18", "R20"}


async def check(names: str, *candidates: type) -> Report:
    """Ask each class for the promises in *names*, against the lab's Redis."""
    url, seats = (await services()).redis_url, asyncio.Semaphore(2)

    async def question(function: Check[RedisBench], candidate: type) -> str:
        bench = RedisBench(candidate, url, seats)
        try:
            return await function(bench)
        finally:
            await bench.close()

    with quietly():
        return await ask_all(PROMISES, names, candidates, question, first=TIMED)


async def round_trips(candidate: type, values: Iterable[Any]) -> dict[str, str]:
    """What becomes of each value that is read twice, as a page does: the second should be a hit."""
    bench, fate = RedisBench(candidate, (await services()).redis_url), {}
    with quietly():
        cache = bench.new()
        for number, value in enumerate(values):
            source, key = Source(value, seconds=0), f"{bench.key}:{number}"
            try:
                await bench.read(cache, key, source.load)
                again = await bench.read(cache, key, source.load)
            except Exception as error:
                fate[repr(value)] = f"{type(error).__name__}, after the load"
                continue
            if again != value or type(again) is not type(value):
                fate[repr(value)] = f"comes back as {again!r}"
            else:
                fate[repr(value)] = "a hit" if source.loads == 1 else "loaded again"
        await bench.close()
    return fate
