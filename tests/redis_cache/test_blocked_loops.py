"""Loaders that block their event loop for longer than their lease lasts."""

import asyncio
import time
from typing import Any

import pytest

from cachepool_lib import lab
from tests.redis_cache.test_processes import ask_all, workers
from tests.tools.redis_tools import cache, until, url

pytestmark = pytest.mark.anyio

SAYS = "the event loop was blocked"


async def test_a_loader_that_blocks_the_loop_loads_once(caplog: pytest.LogCaptureFixture) -> None:
    """Again and again longer than lock_timeout: its lease ran out, and nobody took it. So what it
    loads is kept; and the log says once what was wrong."""
    loads = 0

    async def load() -> str:
        nonlocal loads
        loads += 1
        for _ in range(3):
            time.sleep(0.5)  # noqa: ASYNC251
            await asyncio.sleep(0)
        return "page"

    async with cache(lock_timeout=0.3) as made:
        for _ in range(3):
            assert await made.get_or_load("a", load) == "page"
        assert loads == 1
        assert made.stats().dropped == 0
    assert caplog.text.count(SAYS) == 1


async def test_a_loader_that_never_lets_go_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    """It returns without having let anything else run."""

    async def load() -> str:
        time.sleep(0.5)  # noqa: ASYNC251
        return "page"

    async with cache(lock_timeout=0.3) as made:
        await made.get_or_load("a", load)
        assert await made.get("a") == "page"
    assert caplog.text.count(SAYS) == 1


async def test_a_slow_server_is_no_blocked_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Who waits longer than lock_timeout for its reply has a loop that runs."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def load() -> str:
        begun.set()
        await end.wait()
        return "page"

    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, lock_timeout=0.1) as made,
    ):
        caller = asyncio.create_task(made.get_or_load("a", load))
        await begun.wait()
        proxy.stall()
        started = time.monotonic()
        await until(lambda: time.monotonic() > started + 0.5)
        await proxy.restore()
        end.set()
        assert await caller == "page"
    assert SAYS not in caplog.text


async def test_of_two_processes_that_block_one_keeps_its_page() -> None:
    """One may take over from the other; each loads once at most, and what is kept is one's own."""
    async with workers(2, seconds=0.4, blocks=3, lock_timeout=0.2, callers=5) as every:
        answers = await ask_all(every)
        loaded = await every.notes("end")
        assert len(loaded) == len(set(loaded))
        pages = {f"page of {one}" for one in loaded}
        assert {page for answer in answers for page in answer["answers"]} <= pages
        assert await every.cache.get("page") in pages


async def test_a_delete_voids_loads_of_processes_that_block() -> None:
    """Whichever of them has the lease: what began before the delete is not kept."""
    async with workers(2, seconds=0.4, blocks=3, lock_timeout=0.2, callers=5) as every:
        asking: Any = asyncio.create_task(ask_all(every))
        await every.noted("begin")
        before = set(await every.notes("begin"))
        await every.cache.delete("page")
        await asking
        kept = await every.cache.get("page")
        assert kept not in {f"page of {one}" for one in before}
