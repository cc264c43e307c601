"""Experiments with pools: who opens how many connections, who has them, who waits."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachepool_lib.lab.contracts.pool.bench import bench_of
from cachepool_lib.lab.contracts.pool.queue import Queue, queue
from cachepool_lib.lab.notebook.live import Live

UNDISTURBED = 0.02  # seconds: ten times what a caller has the connection for


@dataclass(frozen=True)
class Opening:
    """How many connections the server had, as (seconds, number), and when close returned."""

    counts: Sequence[tuple[float, int]]
    closed: float

    @property
    def most(self) -> int:
        return max(number for _, number in self.counts)

    @property
    def left(self) -> int:
        return self.counts[-1][1]

    def __repr__(self) -> str:
        return f"{self.most} connections, {self.left} after close"


async def first_callers(
    candidate: type, callers: int, *, min_size: int = 3, max_size: int = 5
) -> Opening:
    """Let so many callers be the first to ask a new pool, all at once, and then close it."""
    async with bench_of(candidate) as bench:
        pool = bench.new(min_size=min_size, max_size=max_size)
        counts = [(0.0, 0)]
        start = time.perf_counter()

        async def look() -> None:
            number = await bench.count_now()
            counts.append((time.perf_counter() - start, number))
            await asyncio.sleep(0.005)

        async def watched(call: Awaitable[Any]) -> None:
            task = asyncio.ensure_future(call)
            while not task.done():
                await look()
            await task

        await watched(asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(callers))))
        await watched(asyncio.sleep(0.1))
        await watched(pool.close())
        closed = changed = time.perf_counter() - start
        while counts[-1][1] != bench.open_here and counts[-1][0] < changed + 0.5:
            await look()
            if counts[-1][1] != counts[-2][1]:
                changed = counts[-1][0]
        counts.append((max(counts[-1][0], 1.5 * closed), counts[-1][1]))
        return Opening(counts, closed)


@dataclass
class Borrowing:
    """Who had which connection when: (connection, page, from, to) in seconds; and who waited.

    *waiting* has (seconds, number) at every change. *finished* pages of all *pages* came to an end.
    """

    pages: int
    connections: int
    holds: list[tuple[int, int, float, float]] = field(default_factory=list)
    waiting: list[tuple[float, int]] = field(default_factory=list)
    finished: int = 0
    seconds: float = 0.0

    def __repr__(self) -> str:
        return f"{self.finished} of {self.pages} pages finished"


async def pages_that_borrow_twice(candidate: type, pages: int, *, size: int = 10) -> Borrowing:
    """Show pages that need two connections each, on a pool of *size*, and how many finish.

    Each page takes one connection. When all have one (or wait for one), each asks for the second,
    and has both for 20 ms. Whoever has not finished when nothing has moved for a second is
    cancelled.
    """
    run = Borrowing(pages, size)
    screen = Live()
    async with bench_of(candidate) as bench:
        pool = bench.new(min_size=size, max_size=size)
        await pool.initialize()
        start, number = time.perf_counter(), 0
        seen: dict[int, int] = {}  # process of the server: lane
        first, asked = asyncio.Event(), 0

        def now() -> float:
            return time.perf_counter() - start

        def waits(by: int) -> None:
            nonlocal number
            number += by
            run.waiting.append((now(), number))

        @contextlib.asynccontextmanager
        async def borrow(page: int) -> AsyncIterator[None]:
            waits(+1)
            try:
                context = pool.acquire()
                connection = await context.__aenter__()
            finally:
                waits(-1)
            lane = seen.setdefault(connection.get_server_pid(), len(seen))
            since = now()
            try:
                yield
            finally:
                run.holds.append((lane, page, since, now()))
                await context.__aexit__(None, None, None)

        async def show(page: int) -> None:
            nonlocal asked
            async with borrow(page):
                asked += 1
                if asked == min(pages, size):
                    first.set()
                await first.wait()
                async with borrow(page):
                    await asyncio.sleep(0.02)
            run.finished += 1

        tasks = [asyncio.create_task(show(page)) for page in range(pages)]
        changed, state = now(), (0, 0)
        while run.finished < pages and now() < changed + 1:
            await asyncio.sleep(0.02)
            if state != (run.finished, len(run.waiting)):
                changed, state = now(), (run.finished, len(run.waiting))
            screen.show(f"<p style='font-size:2.5em'>{run!r}</p>")
        run.seconds = now()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        screen.close()
    run.holds = [(lane, page, a, min(b, run.seconds)) for lane, page, a, b in run.holds]
    run.waiting = [(at, count) for at, count in run.waiting if at <= run.seconds]
    return run


async def queue_with_newcomers(candidate: type, *, waiting: int = 20, newcomers: int = 20) -> Queue:
    """Show who is served when, while somebody new asks whenever a connection comes back.

    A run that something else on this machine disturbed, so that nobody was served for UNDISTURBED
    seconds, is repeated, up to four times; the calmest counts. The order is the same in all.
    """
    runs: list[Queue] = []
    async with bench_of(candidate) as bench:
        while len(runs) < 5 and (not runs or runs[-1].longest_pause > UNDISTURBED):
            runs.append(await queue(bench, waiting=waiting, newcomers=newcomers))
    return min(runs, key=lambda run: run.longest_pause)


async def price_of_order(
    *candidates: type, callers: int = 50, size: int = 4, queries: int = 500
) -> list[float]:
    """Seconds of this process's processor that a short query takes with each candidate.

    So many callers, on a pool of *size*, send *queries* in all, each the next one when it is
    answered. The candidates take turns, ten times each, and the quickest counts: what else the
    machine does only makes a run longer.
    """
    quickest = [math.inf] * len(candidates)

    async def run(pool: Any) -> float:
        left = queries

        async def caller() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                async with pool.acquire() as connection:
                    await connection.fetch("SELECT 1")

        start = time.process_time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return (time.process_time() - start) / queries

    async with contextlib.AsyncExitStack() as stack:
        pools = []
        for candidate in candidates:
            bench = await stack.enter_async_context(bench_of(candidate))
            pools.append(bench.new(min_size=size, max_size=size))
            await pools[-1].initialize()
        for _ in range(10):
            for number, pool in enumerate(pools):
                quickest[number] = min(quickest[number], await run(pool))
    return quickest
