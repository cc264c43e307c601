"""Thousands of tasks that are cancelled at random, on both event loops."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from tests.tools.loops import LOOPS
from tests.tools.pool_tools import Hold, pool, witness
from tests.tools.redis_tools import until

TASKS, ASKS, CONNECTIONS = 2_000, 5, 8


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_cancelled_at_random(anyio_backend: Any) -> None:
    """2,000 tasks ask five times each, in every way, and are cancelled now and then.

    There are never more connections than max_size, but for those that a busy machine did not let
    end in time; each who stays gets the answer that is theirs,
    and in the end everything can be had.
    """
    chance = random.Random(11)
    outcomes = Counter[str]()
    async with witness() as seen, pool(seen, 2, CONNECTIONS, acquire_timeout=120) as made:

        async def ask(number: int) -> int:
            match number % 4:
                case 0:
                    return int(await made.fetchval("SELECT $1::int", number))
                case 1:
                    async with made.acquire() as connection:
                        return int(await connection.fetchval("SELECT $1::int", number))
                case 2:
                    async with made.transaction() as connection:
                        return int(await connection.fetchval("SELECT $1::int", number))
                case _:
                    connection = await made.acquire()
                    try:
                        statement = await connection.prepare("SELECT $1::int")
                        return int(await statement.fetchval(number))
                    finally:
                        await made.release(connection)

        async def work(first: int) -> None:
            for number in range(first, first + ASKS):
                try:
                    assert await ask(number) == number
                    outcomes["answered"] += 1
                except asyncio.CancelledError:
                    outcomes["cancelled"] += 1

        async with seen.watch(CONNECTIONS, made):
            tasks = [asyncio.create_task(work(ASKS * number)) for number in range(TASKS)]
            await asyncio.sleep(0)  # each has begun
            pending = set(tasks)
            while pending:
                for task in chance.sample(sorted(pending, key=id), min(len(pending), 20)):
                    task.cancel()
                _, pending = await asyncio.wait(pending, timeout=0.02)
            await asyncio.gather(*tasks)
        print(f"{made.stats().lost} connections did not end in time")
        assert outcomes.total() == TASKS * ASKS
        assert min(outcomes["answered"], outcomes["cancelled"]) > 500
        await until(lambda: made.stats().idle == made.stats().size)
        async with Hold(made, CONNECTIONS):
            assert (made.stats().size, made.stats().waiting) == (CONNECTIONS, 0)
        await made.close()
        await seen.count(0)
