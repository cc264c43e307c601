"""What the tests of RedisCache share: a namespace of their own, time to move, late loops."""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio

from cachepool_lib import CacheUnavailable, RedisCache
from cachepool_lib.lab.servers.services import services

_numbers = itertools.count()


def namespace() -> str:
    """One that nobody else uses."""
    return f"test-{os.getpid()}-{next(_numbers)}"


async def url() -> str:
    """The lab's server."""
    return (await services()).redis_url


def namespace_of(cache: RedisCache) -> str:
    """As its repr says."""
    return repr(cache).split("'")[1]


def loads_of(cache: Any) -> dict[Any, Any]:
    """The loads under way on this event loop, by key, of a RedisCache or a TieredCache."""
    second: RedisCache = getattr(cache, "l2", cache)
    return second.session().calls.current


async def names(client: Any, namespace: str) -> list[bytes]:
    return [name async for name in client.scan_iter(match=f"{namespace}:*", count=1000)]


async def shift(client: Any, namespace: str, seconds: float) -> None:
    """Let time pass for what is stored in *namespace*: each name has that much less to live.

    Claims are left alone: to those who hold them, time does not pass.
    """
    there = [name for name in await names(client, namespace) if not name.endswith(b"}:load")]
    if not there:
        return
    reading, writing = client.pipeline(transaction=False), client.pipeline(transaction=False)
    for name in there:
        reading.pexpiretime(name)
    for name, end in zip(there, await reading.execute(), strict=True):
        if end > 0:
            # In the past: it is removed. One less, as a name lives through its last millisecond.
            writing.pexpireat(name, int(end - seconds * 1000) - 1)
    await writing.execute()


@contextlib.asynccontextmanager
async def cache(**options: Any) -> AsyncIterator[RedisCache]:
    """A RedisCache on the lab's server, in a namespace that is empty before and afterwards.

    It is patient, so that a busy machine is no outage: who tests the timeout asks for one.
    """
    where = options.pop("redis_url", None) or await url()
    async with RedisCache(where, **{"namespace": namespace(), "timeout": 5, **options}) as made:
        yield made
        with contextlib.suppress(Exception):
            await made.clear()


@contextlib.asynccontextmanager
async def raw(where: str | None = None) -> AsyncIterator[Any]:
    """A client of redis-py beside the cache."""
    async with redis.asyncio.Redis.from_url(where or await url()) as client:
        yield client


class Lag:
    """How late the loop itself was, at most: what the machine costs, and not what is tested."""

    def __init__(self) -> None:
        self.worst = 0.0
        self.total = 0.0  # of those that are no noise

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        late = now - self._due
        self.worst = max(self.worst, late)
        self.total += late if late > 0.01 else 0
        self._due = now + 0.005

    async def __aenter__(self) -> "Lag":
        self._due = time.monotonic() + 0.005
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._look()  # also how late the last look is
        self._task.cancel()
        await asyncio.wait([self._task])


async def until(holds: Any, seconds: float = 20) -> None:
    """Wait for something that is bound to happen. Fails if it does not."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.002)


async def connected(made: RedisCache) -> None:
    """Have it connect, as soon as a busy machine lets it do so within its timeout."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(CacheUnavailable):
                return await made.connect()


async def until_back(made: RedisCache) -> float:
    """Wait until the server is in use again: the seconds that took."""
    started = time.monotonic()
    while True:
        if await made.set("back", 1):
            return time.monotonic() - started
        await asyncio.sleep(0.02)
