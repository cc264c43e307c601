"""What Redis said a while ago: replies that come when something else has happened since."""

import asyncio
import random
import time
from typing import Any

import pytest

from cachepool_lib import RedisCache
from cachepool_lib.lab.simulation.loop import simulate
from cachepool_lib.redis_cache import scripts
from tests.tools.simulated_redis import HeldWay, SimulatedClient, SimulatedRedis, Way

pytestmark = pytest.mark.anyio


class Two:
    """Two processes with a cache in one simulated server; replies to one of them can be held."""

    def __init__(self) -> None:
        server = SimulatedRedis(lambda: int(time.monotonic() * 1000))
        self.way = HeldWay(server)
        self.here = self._cache(self.way)
        self.elsewhere = self._cache(HeldWay(server))

    def _cache(self, way: HeldWay) -> RedisCache:
        return RedisCache(client=SimulatedClient(way), namespace="n", timeout=60)

    async def __aenter__(self) -> "Two":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.here.close()
        await self.elsewhere.close()


async def test_who_asks_about_a_load_that_ends_meanwhile_has_an_answer() -> None:
    """It may be joined, Redis says; but when that arrives, its callers have been woken already."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def load() -> str:
        begun.set()
        await end.wait()
        return "page"

    async with Two() as two, asyncio.timeout(10):
        first = asyncio.create_task(two.here.get_or_load("a", load))
        await begun.wait()
        two.way.hold(scripts.LEASE_HOLDER)
        second = asyncio.create_task(two.here.get_or_load("a", load))
        await two.way.arrived.wait()
        end.set()
        assert await first == "page"
        two.way.let_go()
        assert await second == "page"
        assert two.here.stats().loads == 1


async def test_who_comes_after_a_delete_is_not_given_what_was_found_before() -> None:
    """A call that waits for its lease is told of a value, which is deleted before that arrives.
    Those who came before the delete may have it; who came after it may not."""

    async def load() -> Any:
        return row

    row = "old"
    async with Two() as two, asyncio.timeout(10):
        two.way.hold("GET")
        before = asyncio.create_task(two.here.get_or_load("a", load))
        await two.way.arrived.wait()
        await two.elsewhere.set("a", row)
        two.way.let_go()
        two.way.hold(scripts.TAKE_LEASE)
        await two.way.arrived.wait()
        row = "new"
        assert await two.elsewhere.delete("a")
        after = asyncio.create_task(two.here.get_or_load("a", load))
        for _ in range(50):
            await asyncio.sleep(0)  # it has found nothing, and joined
        two.way.let_go()
        assert await after == "new"
        assert await before in ("old", "new")


class SlowWay(Way):
    """A way on which replies come after a while, by the name that was asked for."""

    def __init__(self, seconds: dict[bytes, float]) -> None:
        super().__init__(SimulatedRedis(lambda: 0), random.Random(0))
        self._seconds = seconds

    async def there(self, commands: Any) -> None:
        pass

    async def back(self, commands: Any) -> None:
        await asyncio.sleep(self._seconds.get(commands[0][1], 10))


def test_each_call_waits_for_as_long_as_it_may() -> None:
    """However many others wait for replies that do not come, and whenever they began."""

    async def run() -> dict[str, float]:
        way = SlowWay({b"n:{loads}": 0.2, scripts.TAKE_LEASE: 0, b"n:{quick}": 0})
        made = RedisCache(client=SimulatedClient(way), namespace="n", timeout=0.25)
        now = asyncio.get_running_loop().time
        waited: dict[str, float] = {}

        async def call(key: str, after: float, answer: Any) -> None:
            await asyncio.sleep(after)
            began = now()
            await answer(key)
            waited[key] = now() - began

        async def load() -> None:
            await asyncio.sleep(0.3)

        calls = [
            # It has 0.05 s left to store what was loaded.
            call("loads", 0, lambda key: made.get_or_load(key, load)),
            call("before", 0.45, made.get),
            call("quick", 0.46, made.get),
            call("after", 0.52, lambda key: made.set(key, 1)),
        ]
        await asyncio.gather(*calls)
        await made.close()
        await asyncio.wait(way.tasks)
        return waited

    waits = {"quick": 0, "loads": 0.2 + 0.3 + 0.05, "before": 0.25, "after": 0.25}
    assert simulate(run(), limit=100) == pytest.approx(waits, abs=0.001)
