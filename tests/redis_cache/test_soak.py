"""Two days of a bad network, compressed: faults at random under fifty callers who read and write.

Bounded in time: CACHEPOOL_SOAK_SECONDS, 8 if it is not set.
"""

import asyncio
import contextlib
import math
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from cachepool_lib import RedisCache, lab
from tests.tools.redis_tools import Lag, raw, until

pytestmark = pytest.mark.anyio

SECONDS = float(os.environ.get("CACHEPOOL_SOAK_SECONDS", "8"))
TIMEOUT = 0.25
MORE = 0.1
KEYS = 30


@dataclass
class Process:
    """A cache behind a proxy of its own, and what it must not fall behind any more.

    *floor* is by its own writes. *told* is by those that Redis confirmed to others: where it can't
    ask Redis, it may still join a load of its own that began before.
    """

    proxy: lab.Proxy
    cache: RedisCache
    floor: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(KEYS), 0))
    told: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(KEYS), 0))


class Soak:
    def __init__(self, server: lab.Server, client: Any, processes: list[Process]) -> None:
        self.server = server
        self.client = client
        self.processes = processes
        self.rows = dict.fromkeys(range(KEYS), 0)  # the database: a version of each row
        self.done: Counter[str] = Counter()
        self.slowest = 0.0
        self.chance = random.Random(7)
        self.end = math.inf  # of the story, as soon as it has begun well

    async def caller(self, number: int) -> None:
        process = self.processes[number % len(self.processes)]
        chance = random.Random(number)
        while time.monotonic() < self.end:
            key = chance.randrange(KEYS)
            work = chance.choice([self.read, self.read, self.look, self.write, self.leave])
            await work(process, key, chance)
            self.done[work.__name__] += 1
            await asyncio.sleep(chance.random() * 0.01)

    async def read(self, process: Process, key: int, chance: random.Random) -> None:
        async def load() -> int:
            version = self.rows[key]
            await asyncio.sleep(chance.random() * 0.02)
            return version

        floor = process.floor[key]
        got = await process.cache.get_or_load(key, load, stale_while_revalidate=5)
        assert got >= floor, "this process served what it had replaced"

    async def look(self, process: Process, key: int, chance: random.Random) -> None:
        floor = max(process.floor[key], process.told[key])
        got = await self.timed(process.cache.get(key))
        assert got is None or got >= floor, "this process served what was replaced"

    async def write(self, process: Process, key: int, chance: random.Random) -> None:
        """The row changes, then its page is deleted. (A `set` may arrive after a later one.)"""
        self.rows[key] += 1
        version = self.rows[key]
        confirmed = await self.timed(process.cache.delete(key))  # False is also: nothing was there
        await self.timed(process.cache.set(("other", key), version))
        self.done["confirmed" if confirmed else "unconfirmed"] += 1
        process.floor[key] = max(process.floor[key], version)
        for one in self.processes if confirmed else []:
            one.told[key] = max(one.told[key], version)

    async def leave(self, process: Process, key: int, chance: random.Random) -> None:
        task = asyncio.create_task(self.read(process, key, chance))
        await asyncio.sleep(chance.random() * 0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None

    async def timed(self, call: Any) -> Any:
        started = time.monotonic()
        async with Lag() as lag:
            got = await call
        self.slowest = max(self.slowest, time.monotonic() - started - lag.total)
        return got

    async def faults(self) -> None:
        await until(lambda: self.done["confirmed"])
        self.end = time.monotonic() + SECONDS
        while time.monotonic() < self.end - 1:
            await asyncio.sleep(self.chance.random())
            fault = self.chance.choice(
                [self.cut, self.stall, self.slow, self.restart, self.evict, self.read_only]
            )
            await fault(self.chance.choice(self.processes).proxy)
            self.done[fault.__name__] += 1

    async def pause(self) -> None:
        await asyncio.sleep(self.chance.random())

    async def cut(self, proxy: lab.Proxy) -> None:
        await proxy.cut()
        await self.pause()
        await proxy.restore()

    async def stall(self, proxy: lab.Proxy) -> None:
        proxy.stall()
        await self.pause()
        await proxy.restore()

    async def slow(self, proxy: lab.Proxy) -> None:
        proxy.slow(self.chance.random() * 0.3)
        await self.pause()
        await proxy.restore()

    async def restart(self, proxy: lab.Proxy) -> None:
        await self.server.stop()
        await self.server.start()

    async def evict(self, proxy: lab.Proxy) -> None:
        with contextlib.suppress(Exception):
            for _ in range(20):
                if name := await self.client.randomkey():
                    await self.client.unlink(name)

    async def read_only(self, proxy: lab.Proxy) -> None:
        with contextlib.suppress(Exception):
            await self.client.replicaof("127.0.0.1", 1)
            await asyncio.sleep(0.2)
        await self.client.replicaof("NO", "ONE")


@contextlib.asynccontextmanager
async def soak() -> AsyncIterator[Soak]:
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(lab.server())
        client = await stack.enter_async_context(raw(server.url))
        processes = []
        for _ in range(2):
            proxy = await stack.enter_async_context(lab.Proxy(server.url))
            # As many connections as callers: the wait for a turn is no wait for Redis.
            cache = RedisCache(
                proxy.url, namespace="n", timeout=TIMEOUT, lock_timeout=1, max_connections=50
            )
            processes.append(Process(proxy, await stack.enter_async_context(cache)))
        yield Soak(server, client, processes)


async def test_a_bad_network(caplog: pytest.LogCaptureFixture) -> None:
    """No caller waits for long or sees an error, no old value is served, and nothing is left."""
    before = len(psutil.Process().net_connections())
    tasks = asyncio.all_tasks()
    async with soak() as story:
        async with asyncio.TaskGroup() as group:
            group.create_task(story.faults())
            for number in range(50):
                group.create_task(story.caller(number))
        for process in story.processes:
            async with asyncio.timeout(20):
                while not await process.cache.set("back", 1):
                    await asyncio.sleep(0.05)
        async with raw(story.server.url) as client, asyncio.timeout(20):
            while [name async for name in client.scan_iter(match="n:*:load")]:
                await asyncio.sleep(0.05)
    print(dict(story.done), f"the slowest call waited {story.slowest:.3f} s")
    assert story.slowest <= TIMEOUT + MORE
    assert story.done["confirmed"] and story.done["unconfirmed"]
    assert asyncio.all_tasks() == tasks
    assert len(psutil.Process().net_connections()) <= before
    outages = [line for line in caplog.messages if "circuit is open" in line]
    refusals = [line for line in caplog.messages if "refuses" in line]
    kinds = ("cut", "stall", "slow", "restart")
    assert len(outages) <= len(story.processes) * sum(story.done[kind] for kind in kinds)
    assert len(refusals) <= len(story.processes)  # one for READONLY, in a minute
