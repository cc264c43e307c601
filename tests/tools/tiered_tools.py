"""What the tests of TieredCache share: tiers on the lab's server, and caches that stand for others.

A second TieredCache with an AsyncCache of its own is what another process would have.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from cachepool_lib import AsyncCache, RedisCache, TieredCache
from tests.tools import redis_tools
from tests.tools.redis_tools import until


def tiers(where: str, namespace: str, **options: Any) -> TieredCache:
    """A TieredCache as a process would have it. Options of both tiers are told apart by name."""
    mine = {name: options.pop(name) for name in ("l1_ttl", "subscribe") if name in options}
    near = {name: options.pop(name) for name in ("maxsize", "clock") if name in options}
    far = {"namespace": namespace, "timeout": 5, **options}
    return TieredCache(AsyncCache(**near), RedisCache(where, **far), **mine)


@contextlib.asynccontextmanager
async def several(number: int = 2, **options: Any) -> AsyncIterator[list[TieredCache]]:
    """So many on one namespace of the lab's server, all subscribed."""
    where = options.pop("redis_url", None) or await redis_tools.url()
    namespace = options.pop("namespace", redis_tools.namespace())
    async with contextlib.AsyncExitStack() as stack:
        made = [tiers(where, namespace, **options) for _ in range(number)]
        for one in made:
            await stack.enter_async_context(one)
            await one.connect()
        yield made
        with contextlib.suppress(Exception):
            await made[0].clear()


@contextlib.asynccontextmanager
async def cache(**options: Any) -> AsyncIterator[TieredCache]:
    """One of them, in a namespace that is empty before and afterwards."""
    async with several(1, **options) as [made]:
        yield made


async def forgotten(made: TieredCache, key: Any) -> None:
    """Wait until *made* has no fresh value of *key* in memory."""
    missing = object()
    await until(lambda: made.lookup(key, missing) is missing)


def namespace_of(made: TieredCache) -> str:
    """As its repr says."""
    return repr(made).split("'")[1]


async def until_held(made: TieredCache, key: Any) -> None:
    """Have *made* read *key*, until it keeps it: messages of before may be on their way."""
    missing = object()
    async with asyncio.timeout(20):
        while made.lookup(key, missing) is missing:
            await made.get(key)
            await asyncio.sleep(0.001)
