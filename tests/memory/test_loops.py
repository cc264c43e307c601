"""Entries outlive an event loop, loads under way don't; eager tasks work too."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from tests.tools.async_cache_tools import Loads, ManualClock, answer, turns


@pytest.fixture
def cache() -> AsyncCache:
    return AsyncCache(clock=ManualClock())


def test_entries_outlive_a_loop(cache: AsyncCache) -> None:
    """What one asyncio.run stored the next one reads."""
    asyncio.run(cache.set("k", "v"))
    assert asyncio.run(cache.get("k")) == "v"
    assert asyncio.run(cache.get_or_load("k", lambda: answer("other"))) == "v"


def test_a_load_ends_with_its_loop(cache: AsyncCache) -> None:
    """A run that ends while a load is under way cancels it; the next run loads afresh."""
    loads = Loads()

    async def abandon() -> None:
        tasks = [asyncio.create_task(cache.get_or_load("k", loads)) for _ in range(3)]
        await turns()
        assert not any(task.done() for task in tasks)

    asyncio.run(abandon())
    assert loads[0].cancelled()
    assert asyncio.run(cache.get_or_load("k", lambda: answer("v"))) == "v"
    assert cache.stats().misses == 1


def test_a_refresh_ends_with_its_loop(cache: AsyncCache) -> None:
    """A background load does not outlive the run either, and the stale value is there still."""
    loads = Loads()
    clock = cache._clock
    assert isinstance(clock, ManualClock)

    async def first() -> None:
        await cache.get_or_load("k", lambda: answer("old"), 10, stale_while_revalidate=60)
        clock.now += 10
        await cache.get_or_load("k", loads, 10, stale_while_revalidate=60)
        await turns()

    async def second() -> Any:
        value = await cache.get_or_load("k", lambda: answer("new"), 10, stale_while_revalidate=60)
        await turns()
        return value, await cache.get("k")

    asyncio.run(first())
    assert loads[0].cancelled()
    assert asyncio.run(second()) == ("old", "new")


def abandoned_in_mid_flight(cache: AsyncCache, stale: bool) -> asyncio.AbstractEventLoop:
    """A loop that was stopped, with nobody told, while a load was under way."""
    loop = asyncio.new_event_loop()
    loads = Loads()
    clock = cache._clock
    assert isinstance(clock, ManualClock)

    async def main() -> None:
        if stale:
            await cache.get_or_load("k", lambda: answer("old"), 10, stale_while_revalidate=60)
            clock.now += 10
            await cache.get_or_load("k", loads, 10, stale_while_revalidate=60)
        else:
            caller = loop.create_task(cache.get_or_load("k", loads))
        await turns()
        assert stale or not caller.done()

    loop.run_until_complete(main())
    assert len(loads) == 1
    return loop


def end(loop: asyncio.AbstractEventLoop) -> None:
    """End a loop that was abandoned, as its owner should have, and look that all ended well."""
    complaints: list[Any] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(turns())
    assert not asyncio.all_tasks(loop)
    loop.close()
    gc.collect()
    assert not complaints


@pytest.mark.parametrize("use", ["get_or_load", "set", "delete", "clear", "close"])
@pytest.mark.parametrize("stale", [False, True], ids=["awaited", "background"])
def test_a_second_loop_beside_an_abandoned_one(cache: AsyncCache, stale: bool, use: str) -> None:
    """Nobody waits for what another loop was loading, and nothing raises."""
    old = abandoned_in_mid_flight(cache, stale)

    async def main() -> None:
        if use == "get_or_load":
            assert await cache.get_or_load("k", lambda: answer("v")) == "v"
        elif use == "set":
            await cache.set("k", "v")
        elif use == "delete":
            assert await cache.delete("k") is False
        elif use == "clear":
            await cache.clear()
        else:
            await cache.close()
        assert await cache.get_or_load("k", lambda: answer("v")) == "v"

    asyncio.run(main())
    end(old)
    assert asyncio.run(cache.get("k")) == "v"


def test_the_abandoned_load_may_go_on(cache: AsyncCache) -> None:
    """If the old loop runs on after all, its load has lost the right to store."""
    old = asyncio.new_event_loop()
    loads = Loads()
    task = old.create_task(cache.get_or_load("k", loads))
    old.run_until_complete(turns())
    assert asyncio.run(cache.get_or_load("k", lambda: answer("new"))) == "new"
    loads[0].set_result("old")
    assert old.run_until_complete(task) == "old"
    assert asyncio.run(cache.get("k")) == "new"
    end(old)


@pytest.mark.parametrize("use", ["get_or_load", "set", "delete", "clear", "close"])
@pytest.mark.parametrize("stale", [False, True], ids=["awaited", "background"])
def test_after_a_loop_that_was_closed_in_mid_flight(
    cache: AsyncCache, stale: bool, use: str
) -> None:
    """Even then: the next loop loads afresh, and no call touches the closed one."""
    old = abandoned_in_mid_flight(cache, stale)
    left = asyncio.all_tasks(old)
    old.close()

    async def main() -> None:
        if use == "set":
            await cache.set("k", "v")
        elif use == "delete":
            assert await cache.delete("k") is False
        elif use == "clear":
            await cache.clear()
        elif use == "close":
            await cache.close()
        assert await cache.get_or_load("k", lambda: answer("v")) == "v"

    asyncio.run(main())
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined] # its owner's fault, not ours
        coroutine: Any = task.get_coro()
        coroutine.close()


if sys.version_info >= (3, 12):

    class TestEagerTasks:
        """With asyncio.eager_task_factory a load begins, and may end, inside the call."""

        pytestmark = pytest.mark.anyio

        @pytest.fixture(autouse=True)
        async def eager(self) -> AsyncIterator[None]:
            loop = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            yield
            loop.set_task_factory(None)

        async def test_a_load_that_never_waits(self, cache: AsyncCache) -> None:
            """It is done before anybody waits for it, and is stored all the same."""
            assert await cache.get_or_load("k", lambda: answer("v")) == "v"
            assert await cache.get("k") == "v"

        async def test_an_error_that_never_waits(self, cache: AsyncCache) -> None:
            """It reaches the caller, and the next one tries again."""

            async def fails() -> Any:
                raise LookupError

            with pytest.raises(LookupError):
                await cache.get_or_load("k", fails)
            assert await cache.get_or_load("k", lambda: answer("v")) == "v"

        async def test_one_load_for_all(self, cache: AsyncCache) -> None:
            """Eager callers share one load."""
            loads = Loads()
            tasks = [asyncio.create_task(cache.get_or_load("k", loads)) for _ in range(100)]
            assert len(loads) == 1
            loads[0].set_result("v")
            assert await asyncio.gather(*tasks) == ["v"] * 100

        async def test_a_loader_that_writes_or_forgets_at_once(self, cache: AsyncCache) -> None:
            """A set or delete inside the eager load voids it, as it does any other."""

            async def sets() -> str:
                await cache.set("k", "set")
                return "returned"

            async def deletes() -> str:
                await cache.delete("k")
                return "returned"

            assert await cache.get_or_load("k", sets) == "returned"
            assert await cache.get("k") == "set"
            await cache.delete("k")
            assert await cache.get_or_load("k", deletes) == "returned"
            assert await cache.get("k") is None

        async def test_a_background_load_that_never_waits(self, cache: AsyncCache) -> None:
            """The stale value is served, and the new one is there next."""
            clock = cache._clock
            assert isinstance(clock, ManualClock)
            await cache.get_or_load("k", lambda: answer("old"), 10, stale_while_revalidate=60)
            clock.now += 10
            value = await cache.get_or_load(
                "k", lambda: answer("new"), 10, stale_while_revalidate=60
            )
            assert value == "old"
            await turns()
            assert await cache.get("k") == "new"

        async def test_a_background_load_that_voids_itself(self, cache: AsyncCache) -> None:
            """A delete inside an eager refresh, before its task is known to the cache."""
            clock = cache._clock
            assert isinstance(clock, ManualClock)

            async def deletes() -> str:
                await cache.delete("k")
                await asyncio.sleep(0)
                return "returned"

            await cache.get_or_load("k", lambda: answer("old"), 10, stale_while_revalidate=60)
            clock.now += 10
            assert await cache.get_or_load("k", deletes, 10, stale_while_revalidate=60) == "old"
            await turns()
            assert await cache.get("k") is None
            await cache.close()
