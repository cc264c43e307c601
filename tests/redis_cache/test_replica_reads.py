"""A client whose reads go to replicas, which lag behind: leases are asked of the primary."""

import asyncio
import time
from typing import Any

import pytest
from redis.commands import READ_COMMANDS

from cachepool_lib import RedisCache
from tests.tools.simulated_redis import HeldWay, SimulatedClient, SimulatedRedis

pytestmark = pytest.mark.anyio


class WithReplica(SimulatedRedis):
    """Reads see what was there when the replica was brought up to date last."""

    def __init__(self) -> None:
        super().__init__(lambda: int(time.monotonic() * 1000))
        self.replica = SimulatedRedis(self.clock)

    def catch_up(self) -> None:
        self.replica.held = dict(self.held)

    def execute(self, command: str, *args: Any) -> Any:
        if command in READ_COMMANDS:  # as a proxy may decide it
            return self.replica.execute(command, *args)
        return super().execute(command, *args)


@pytest.mark.parametrize("catches_up", ["never", "during the load", "after the load"])
async def test_a_hundred_callers_load_once_at_any_lag(catches_up: str) -> None:
    """Of two processes; also those who come when the page is stored, but the replica has it not."""
    loads = 0
    begun, end = asyncio.Event(), asyncio.Event()

    async def load() -> str:
        nonlocal loads
        loads += 1
        begun.set()
        await end.wait()
        return "page"

    server = WithReplica()
    caches = [
        RedisCache(client=SimulatedClient(HeldWay(server)), namespace="n", timeout=60)
        for _ in range(2)
    ]

    def ask() -> list[asyncio.Task[str]]:
        return [
            asyncio.create_task(cache.get_or_load("a", load)) for cache in caches for _ in range(25)
        ]

    async with asyncio.timeout(20):
        callers = ask()
        await begun.wait()
        if catches_up == "during the load":
            server.catch_up()
        callers += ask()  # they find the lease, of this process or of the other
        for _ in range(100):
            await asyncio.sleep(0)
        end.set()
        assert await asyncio.gather(*callers) == ["page"] * 100
        if catches_up == "after the load":
            server.catch_up()
        assert await asyncio.gather(*ask()) == ["page"] * 50
        assert loads == 1
        for cache in caches:
            await cache.close()
