"""What a DatabasePool says of itself, recorded from simulated runs: for exercise 06-3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from cachepool_lib import PoolStats, PoolTimeout
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.lab.simulation.postgres import Postgres

SIZE, PATIENCE = 4, 1.0  # connections, and seconds that a caller waits for one


@dataclass(frozen=True)
class Phase:
    """So many seconds, in which *rate* callers a second each hold a connection for *hold* seconds.

    *crowd* of them come together, at random moments. *forgotten* connections are borrowed a second
    after the beginning and not given back. *workers* borrow again and again.
    """

    seconds: float
    rate: float = 0
    hold: float = 0.05
    crowd: int = 1
    forgotten: int = 0
    workers: int = 0


@dataclass(frozen=True)
class Reading:
    """What advise() is told of the last phase of a run."""

    before: PoolStats
    after: PoolStats
    seconds: float
    longest: float


async def record(*phases: Phase) -> Reading:
    """Run a pool through *phases*, and read it before and after the last one."""
    random = Random(1)

    async def answer(statement: str, seconds: float) -> None:
        await asyncio.sleep(seconds)

    with Postgres(answer) as server:
        pool = server.pool(SIZE, acquire_timeout=PATIENCE)
        kept: list[Any] = []

        async def call(hold: float) -> None:
            try:
                async with pool.acquire() as connection:
                    await connection.execute("SELECT pg_sleep($1)", hold)
            except PoolTimeout:
                pass

        async def come(phase: Phase, start: Callable[[Any], object]) -> None:
            while phase.rate:
                await asyncio.sleep(random.expovariate(phase.rate / phase.crowd))
                for _ in range(phase.crowd):
                    start(call(phase.hold))

        async def work(phase: Phase) -> None:
            while True:
                await call(phase.hold)

        async with pool, asyncio.TaskGroup() as group:
            stats = pool.stats()
            for phase in phases:
                stats, start = pool.stats(), clock()
                busy = [group.create_task(come(phase, group.create_task))]
                busy += [group.create_task(work(phase)) for _ in range(phase.workers)]
                await asyncio.sleep(1)
                kept += [await pool.acquire() for _ in range(phase.forgotten)]
                await asyncio.sleep(start + phase.seconds - clock())
                for task in busy:
                    task.cancel()
            after = pool.stats()
            for connection in kept:
                await pool.release(connection)
    return Reading(stats, after, phases[-1].seconds, after.longest_hold)
