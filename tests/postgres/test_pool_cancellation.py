"""Cancelled at any point: nothing leaks, and whoever stays gets an answer, and their own."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from cachepool_lib import PoolTimeout
from tests.tools.pool_tools import Hold, pool, timed, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio

TASKS, ACQUIRES = 200, 200


async def test_two_hundred_tasks_that_are_cancelled_again_and_again() -> None:
    """200 × 200 acquires on 8 connections, cancelled at random points: all is back afterwards."""
    chance = random.Random(5)
    outcomes = Counter[str]()
    async with witness() as seen, pool(seen, 4, 8, acquire_timeout=60) as made:

        async def once(number: int) -> None:
            async with made.acquire() as connection:
                if number % 40 == 0:  # a statement for some: they alone would take minutes
                    assert await connection.fetchval("SELECT $1::int", number) == number
                else:
                    for _ in range(number % 3):
                        await asyncio.sleep(0)
            outcomes["answered"] += 1

        async def work(first: int) -> None:
            for number in range(first, first + ACQUIRES):
                try:
                    await once(number)
                except asyncio.CancelledError:
                    outcomes["cancelled"] += 1

        def disturb() -> None:
            for _ in range(12):
                chance.choice(tasks).cancel()

        tasks = [asyncio.create_task(work(n * ACQUIRES)) for n in range(TASKS)]
        await asyncio.sleep(0)  # each has begun
        while not all(task.done() for task in tasks):
            disturb()
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        await until(lambda: made.stats().in_use == 0)  # what was given back by the cancelled
        stats = made.stats()
        assert stats.waiting == 0
        assert outcomes["answered"] + outcomes["cancelled"] == TASKS * ACQUIRES
        assert min(outcomes["answered"], outcomes["cancelled"]) > 1_000
        async with Hold(made, 8):  # every turn is there, and none too many
            with pytest.raises(PoolTimeout):
                await made.acquire(timeout=0).__aenter__()
        await made.close()
        await seen.count(0)


@pytest.mark.parametrize("way", ["fetch", "transaction", "in line", "opening"])
async def test_cancelled_one_turn_later_each_time(way: str) -> None:
    """At every await of a call in turn, until it was done before it could be cancelled."""
    size = 0 if way == "opening" else 1
    async with witness() as seen, pool(seen, size, 1) as made:

        async def call() -> Any:
            if way != "transaction":
                return await made.fetchval("SELECT 7")
            async with made.transaction() as connection:
                return await connection.fetchval("SELECT 7")

        turns, done, cancelled = 0, 0, 0
        while done < 3:
            if way == "opening":
                await made.close()
                await made.initialize()  # opens none: min_size is 0
            hold = Hold(made) if way == "in line" else None
            if hold:
                await hold.__aenter__()
            task = asyncio.create_task(call())
            for turn in range(turns):
                if hold and turn == turns // 2:
                    await hold.__aexit__()
                await asyncio.sleep(0.0005)
            task.cancel()
            if hold:
                await hold.__aexit__()
            outcome, _ = await timed(asyncio.wait_for(asyncio.wait([task]), 5))
            assert not isinstance(outcome, Exception)
            if task.cancelled():
                cancelled += 1
            else:
                assert task.result() == 7
                done += 1
            turns += 1
            async with asyncio.timeout(5):
                assert await made.fetchval("SELECT 8") == 8
            assert made.stats().waiting == 0
        assert cancelled
        await until(lambda: made.stats().in_use == 0)
        assert len(await seen.backends()) <= 1


async def test_a_shutdown_right_after_an_answer_loses_no_connection() -> None:
    """It cancels the task that resets the session before that has begun."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        before = asyncio.all_tasks()
        assert await made.fetchval("SELECT 7") == 7
        [resetting] = asyncio.all_tasks() - before
        resetting.cancel()
        async with asyncio.timeout(5):
            assert await made.fetchval("SELECT 8") == 8


async def test_a_cancelled_statement_stops_in_the_server() -> None:
    """And its connection serves the next caller."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        pid = await made.fetchval("SELECT pg_backend_pid()")
        task = asyncio.create_task(made.fetch("SELECT pg_sleep(60)"))
        await seen.count(1, state="PgSleep")
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await seen.count(0, state="active")
        assert await made.fetchval("SELECT pg_backend_pid()") == pid


async def test_who_is_cancelled_in_line_gives_the_turn_to_the_next() -> None:
    """In the very moment in which it came."""
    async with witness() as seen, pool(seen, 1, 1) as made, Hold(made) as hold:
        first, second = (asyncio.create_task(made.fetchval("SELECT 1")) for _ in range(2))
        await until(lambda: made.stats().waiting == 2)
        hold._free.set()
        for _ in range(100_000):  # looks at every turn of the loop
            if made.stats().waiting == 1:
                break  # the first one was given the connection
            await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.wait_for(second, 5) == 1
        await asyncio.wait([first])


def test_the_first_caller_leaves_while_it_opens_the_pool() -> None:
    """The others still get it; and when all leave, the next one opens it afresh."""

    async def story() -> None:
        async with witness() as seen, pool(seen, 2, 3) as made:
            first, second = (asyncio.create_task(made.fetchval("SELECT 1")) for _ in range(2))
            await asyncio.sleep(0.002)
            first.cancel()
            assert await second == 1
            await made.close()
            callers = [asyncio.create_task(made.initialize()) for _ in range(2)]
            await asyncio.sleep(0.002)
            for caller in callers:
                caller.cancel()
            await asyncio.wait(callers)
            await made.initialize()
            assert await made.fetchval("SELECT 1") == 1
            assert made.stats().size == 2

    asyncio.run(story())  # its loop logs what asyncpg 0.30 leaves: tests/conftest.py
