"""What a query through DatabasePool costs beside asyncpg's own pool and the peers, and who waits.

All on one server, in the same rounds, one after another, on asyncio's loop and on uvloop. A round's
figure is divided by that of asyncpg's pool just before it, and the median of the rounds counts. Two
times are taken: the clock's, which is what a caller waits, the server's part included; and the
processor's, of this process alone.
"""

import asyncio
import contextlib
import math
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import psycopg_pool
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from cachepool_lib import DatabasePool
from cachepool_lib.lab.servers.services import services

QUERY = "SELECT 1"
CONNECTIONS = 10
CROWD = 50  # callers at once
WORKERS, SCARCE = 40, 4  # for the wait: callers, and connections
PAGE = "SELECT 1 FROM pg_sleep(0.005)"  # what they ask: it takes as long as a page's query
Ask = Callable[[], Awaitable[Any]]

OURS = "DatabasePool.fetchval"
PSYCOPG = "psycopg_pool"
SQLALCHEMY = "SQLAlchemy, async engine over asyncpg"
CONNECT = "connecting for each query"
BARE = "asyncpg.Pool.fetchval"
SUBJECTS = [OURS, PSYCOPG, SQLALCHEMY, CONNECT]

# At most so many times asyncpg's pool, by callers: clock, processor.
TARGETS = {1: (0.6, 1.0), CROWD: (1.1, 1.0)}
TIMES_FASTER = 10  # than connecting
# Of asyncpg's pool: p99 of the wait at most, queries a second at least.
WAIT, THROUGHPUT = 0.6, 0.95


@dataclass
class Figures:
    """What was measured on one event loop."""

    loop: str
    times: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=dict)
    """µs a query by subject and callers in each round: clock, processor."""
    ratios: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=dict)
    """The same, divided by those of asyncpg's pool just before."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """The p99 of the wait in ms in each run: ours, asyncpg's pool."""
    rates: list[tuple[float, float]] = field(default_factory=list)
    """Queries a second in each run."""

    def middle(self, subject: str, callers: int, what: int) -> float:
        return statistics.median(ratio[what] for ratio in self.ratios[subject, callers])


FIGURES: list[Figures] = []


@asynccontextmanager
async def contenders(url: str) -> AsyncIterator[dict[str, Ask]]:
    """Each pool with the same number of connections to the same server, by title."""
    sizes = {"min_size": CONNECTIONS, "max_size": CONNECTIONS}
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"),
        pool_size=CONNECTIONS,
        max_overflow=0,
    )
    statement = sqlalchemy.text(QUERY)
    async with contextlib.AsyncExitStack() as stack:
        ours = await stack.enter_async_context(DatabasePool(url, **sizes))
        bare = await stack.enter_async_context(asyncpg.create_pool(url, **sizes))
        psycopg = psycopg_pool.AsyncConnectionPool(url, open=False, **sizes)
        await stack.enter_async_context(psycopg)
        stack.push_async_callback(engine.dispose)

        async def with_psycopg() -> Any:
            async with psycopg.connection() as connection:
                row = await (await connection.execute(QUERY)).fetchone()
                return row and row[0]

        async def with_sqlalchemy() -> Any:
            async with engine.connect() as connection:
                return await connection.scalar(statement)

        seats = asyncio.Semaphore(CONNECTIONS)  # as many at once as the pools have

        async def with_a_connection_each() -> Any:
            async with seats:
                connection = await asyncpg.connect(url)
                try:
                    return await connection.fetchval(QUERY)
                finally:
                    await connection.close()

        yield {
            OURS: lambda: ours.fetchval(QUERY),
            BARE: lambda: bare.fetchval(QUERY),
            PSYCOPG: with_psycopg,
            SQLALCHEMY: with_sqlalchemy,
            CONNECT: with_a_connection_each,
        }


async def took(ask: Ask, callers: int, calls: int) -> tuple[float, float]:
    """Microseconds a query, *callers* asking at once, each again and again: clock, processor."""
    number = max(calls, callers)
    rest = iter(range(number))

    async def work() -> None:
        for _ in rest:
            assert await ask() == 1

    began = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(callers)))
    clock, processor = time.perf_counter() - began[0], time.process_time() - began[1]
    return clock / number * 1e6, processor / number * 1e6


async def queue(acquire: Callable[[], Any], calls: int) -> tuple[float, float]:
    """The p99 of the wait in ms, and queries a second: 40 workers that ask again at once."""
    waits: list[float] = []
    rest = iter(range(calls))

    async def work() -> None:
        for _ in rest:
            asked = time.perf_counter()
            async with acquire() as connection:
                waits.append(time.perf_counter() - asked)
                await connection.fetchval(PAGE)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(WORKERS)))
    spent = time.perf_counter() - started
    return sorted(waits)[math.ceil(0.99 * calls) - 1] * 1e3, calls / spent


async def compare(asks: dict[str, Ask], share: float, figures: Figures | None) -> None:
    """One round: each subject, and asyncpg's pool just before it."""
    for callers, calls in (1, 200), (CROWD, 500):
        for subject in SUBJECTS:
            few = 0.1 if subject == CONNECT else 1
            bare = await took(asks[BARE], callers, int(calls * share))
            spent = await took(asks[subject], callers, int(calls * share * few))
            if figures is not None:
                ratio = spent[0] / bare[0], spent[1] / bare[1]
                figures.times.setdefault((BARE, callers), []).append(bare)
                figures.times.setdefault((subject, callers), []).append(spent)
                figures.ratios.setdefault((subject, callers), []).append(ratio)


async def on_this_loop(url: str, loop: str, rounds: int, share: float) -> None:
    """The pools are opened anew every few rounds: where the scheduler has put a backend decides
    about a third of what one caller waits, and stays as it is for long.
    """
    figures = Figures(loop)
    for _ in range(max(1, rounds // 3)):
        async with contenders(url) as asks:
            for number in range(4):
                await compare(asks, share, figures if number else None)  # the first one warms up
    sizes = {"min_size": SCARCE, "max_size": SCARCE}
    async with DatabasePool(url, **sizes) as ours, asyncpg.create_pool(url, **sizes) as bare_pool:
        for _ in range(max(1, rounds // 2)):
            calls = int(400 * share) + WORKERS
            mine, its = await queue(ours.acquire, calls), await queue(bare_pool.acquire, calls)
            figures.waits.append((mine[0], its[0]))
            figures.rates.append((mine[1], its[1]))
    FIGURES.append(figures)


def with_uvloop(work: Coroutine[Any, Any, None]) -> None:
    import uvloop  # has no wheels for Windows

    uvloop.run(work)


async def measure(rounds: int = 15, share: float = 1) -> None:
    """Fill in the figures, on both loops."""
    url = (await services()).database_url
    await on_this_loop(url, "asyncio", rounds, share)
    if sys.platform != "win32":
        work = on_this_loop(url, "uvloop", rounds, share)
        await asyncio.to_thread(with_uvloop, work)  # while this loop has nothing to do


def table(figures: Figures, callers: int) -> list[str]:
    """Print what a query costs; returns the targets that were missed."""
    title = "one caller" if callers == 1 else f"{callers} callers on {CONNECTIONS} connections"
    print(f"\nOn PostgreSQL, {figures.loop}, {QUERY}, {title}")
    print(f"  {'':40} {'clock µs':>10} {'x asyncpg':>10} {'processor':>10} {'x asyncpg':>10}")
    for subject in [BARE, *SUBJECTS]:
        columns = ""
        for what in range(2):
            us = statistics.median(time[what] for time in figures.times[subject, callers])
            ratio = 1 if subject == BARE else figures.middle(subject, callers, what)
            columns += f" {us:10,.0f} {ratio:10.2f}"
        print(f"  {subject:40}{columns}")
    clock, processor = TARGETS[callers]
    print(f"  {'targets for DatabasePool':40} {'<= ':>10} {clock:10g} {'<= ':>10} {processor:10g}")
    missed = []
    for what, target, name in (0, clock, "clock"), (1, processor, "processor"):
        ours = figures.middle(OURS, callers, what)
        if ours > target:
            missed.append(f"{OURS} with {title}, {name}: {ours:.2f} x asyncpg's pool")
        for peer in PSYCOPG, SQLALCHEMY:
            if figures.middle(peer, callers, what) <= ours:
                missed.append(f"{peer} is faster with {title}, {name}")
    times = figures.middle(CONNECT, callers, 0) / figures.middle(OURS, callers, 0)
    print(f"  {times:.1f} times faster than connecting, target >= {TIMES_FASTER}")
    if times < TIMES_FASTER:
        missed.append(f"not {TIMES_FASTER} times faster than connecting, with {title}")
    return missed


def fairness(figures: Figures) -> list[str]:
    """Print who waits for how long; returns the targets that were missed."""
    wait = statistics.median(ours / bare for ours, bare in figures.waits)
    rate = statistics.median(ours / bare for ours, bare in figures.rates)
    heading = f"{figures.loop}, {WORKERS} workers on {SCARCE} connections"
    print(f"\n{heading:44} {'DatabasePool':>14} {'asyncpg.Pool':>14}")
    rows = ("p99 of the wait, ms", figures.waits), ("queries a second", figures.rates)
    for what, column in rows:
        ours, bare = (statistics.median(each) for each in zip(*column, strict=True))
        print(f"  {what:42} {ours:14,.1f} {bare:14,.1f}")
    print(f"  the wait is {wait:.2f} x, target <= {WAIT}; throughput {rate:.2f} x, >= {THROUGHPUT}")
    missed = []
    if wait > WAIT:
        missed.append("the queue is not fair enough")
    if rate < THROUGHPUT:
        missed.append("the queue costs too much")
    return missed


def report() -> bool:
    """Print what measure() found. True if all targets are met."""
    missed = []
    for figures in FIGURES:
        found = [*table(figures, 1), *table(figures, CROWD), *fairness(figures)]
        missed += [f"{figures.loop}: {line}" for line in found]
    for line in missed:
        print(f"MISSED  {line}")
    if not missed:
        print("All targets are met, ahead of psycopg_pool and SQLAlchemy, on both loops.")
    return not missed
