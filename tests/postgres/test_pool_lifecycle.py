"""Opened, closed and forgotten, from several tasks, loops and programs."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from cachepool_lib import DatabasePool, PoolClosed, WrongEventLoop
from tests.tools.pool_tools import Hold, pool, timed, witness

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("last", ["close", "initialize"])
@pytest.mark.parametrize("held", [False, True])
async def test_of_several_that_open_and_close_the_last_one_wins(last: str, held: bool) -> None:
    """Whatever comes before it, and whether somebody holds on meanwhile."""
    async with witness() as seen, pool(seen, 1, 2) as made:
        await made.initialize()
        hold = Hold(made)
        if held:
            await hold.__aenter__()
        steps = {"close": lambda: made.close(timeout=0.05), "initialize": made.initialize}
        first = "initialize" if last == "close" else "close"
        tasks = []
        for name in (last, first, last, first, last):
            tasks.append(asyncio.create_task(timed(steps[name]())))
            await asyncio.sleep(0)  # in this order
        for outcome, _ in await asyncio.gather(*tasks):
            assert outcome is None or isinstance(outcome, PoolClosed)
        if held:
            await asyncio.wait(hold.tasks, timeout=0)
            hold._free.set()
            await asyncio.gather(*hold.tasks, return_exceptions=True)
        if last == "close":
            with pytest.raises(PoolClosed):
                await made.fetchval("SELECT 1")
            await seen.count(0)
        else:
            assert await made.fetchval("SELECT 1") == 1
            assert len(await seen.backends()) <= 2


async def test_two_loops_that_open_one_pool_at_once_orphan_nothing() -> None:
    """It belongs to one of them; the other is told."""
    async with witness() as seen:
        for _ in range(5):
            made, both = DatabasePool(seen.url, 2, 4), threading.Barrier(2)
            outcomes: list[Any] = []

            async def use(made: DatabasePool, both: threading.Barrier, outcomes: list[Any]) -> None:
                both.wait()
                outcome, _ = await timed(made.initialize())
                outcomes.append(outcome)
                both.wait()  # both have tried
                if outcome is None:
                    await made.close()

            threads = [
                threading.Thread(target=lambda: asyncio.run(use(made, both, outcomes)))  # noqa: B023
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            assert sorted(type(outcome).__name__ for outcome in outcomes) == [
                "NoneType",
                WrongEventLoop.__name__,
            ]
            await seen.count(0)


SCRIPT = """
import asyncio, sys
from cachepool_lib import DatabasePool

async def main(url, way):
    pool = DatabasePool(url, 2, 4)
    await pool.initialize()
    if way == "after a query":
        await pool.fetchval("SELECT 1")
    elif way == "holding":
        await pool.acquire()
    elif way == "in a statement":
        tasks = [asyncio.create_task(pool.fetch("SELECT pg_sleep(60)")) for _ in range(30)]
        while pool.stats().in_use < 4:
            await asyncio.sleep(0.01)
    elif way == "an error":
        async with pool.acquire():
            raise SystemExit(0)
    elif way == "exit":
        sys.exit(0)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("way", ["idle", "after a query", "holding", "in a statement", "an error"])
async def test_a_script_that_forgets_to_close_ends_in_silence(way: str) -> None:
    """Nothing on its standard error, and nothing left in the server."""
    async with witness() as seen:
        command = [sys.executable, "-c", SCRIPT, seen.url, way]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        await seen.count(0)
