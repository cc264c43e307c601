"""Callers who wait for one connection while others come: who is served when."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from itertools import pairwise

from cachepool_lib.lab.contracts.pool.bench import PoolBench, borrowed


@dataclass
class Queue:
    """Callers, numbered as they asked: in which order they were served, how long each waited (s, in
    the order of asking), and at which moments they were served (s).

    The first *waiting* of them asked while nobody was served yet.
    """

    waiting: int
    served: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    @property
    def overtaken(self) -> int:
        """How many who asked later were served before the unluckiest caller."""
        return max(
            sum(later > caller for later in self.served[:place])
            for place, caller in enumerate(self.served)
        )

    @property
    def longest_pause(self) -> float:
        """Seconds between two callers who were served one after the other, at most."""
        return max(later - earlier for earlier, later in pairwise(self.moments))


async def queue(bench: PoolBench, *, waiting: int = 20, newcomers: int = 20) -> Queue:
    """Let so many callers wait for one connection; and whenever it comes back, somebody new asks.

    Each has the connection for two milliseconds. The newcomer asks after the connection came back,
    and before the first of those who wait has been woken up: that is one turn of the event loop, so
    it needs no luck, and happens on every machine alike.
    """
    run = Queue(waiting)

    async def call(number: int) -> None:
        since = time.perf_counter()
        async with pool.acquire() as connection:
            run.waits[number] = time.perf_counter() - since
            run.served.append(number)
            run.moments.append(time.perf_counter())
            await connection.fetch("SELECT pg_sleep(0.002)")

    async with asyncio.TaskGroup() as group:

        def come() -> None:
            if len(run.waits) < waiting + newcomers:
                group.create_task(call(len(run.waits)))
                run.waits.append(0.0)

        bench.when_released(come)
        pool = bench.new(min_size=1, max_size=1)
        await pool.initialize()
        async with borrowed(pool, 1):
            for _ in range(waiting):
                come()
            for _ in range(10):  # turns of the event loop, in which each gets as far as it can
                await asyncio.sleep(0)
    assert len(run.served) == waiting + newcomers, "a newcomer for each connection that came back"
    return run
