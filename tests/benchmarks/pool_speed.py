"""What a query through DatabasePool costs beside asyncpg's own pool and the peers, and who waits.

All on one server, in the same rounds, one after another. A round's figure is divided by that of
asyncpg's pool just before it, and the median of the rounds counts. Time is the clock's: what a
caller waits, the server's part included.
"""

import asyncio
import contextlib
import math
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import psycopg_pool
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from cachepool_lib import DatabasePool
from cachepool_lib.lab.services import services

QUERY = "SELECT 1"
CONNECTIONS = 10
CROWD = 50  # callers at once
WORKERS, SCARCE = 40, 4  # for the wait: callers, and connections
PAGE = "SELECT 1 FROM pg_sleep(0.005)"  # what they ask: it takes as long as a page's query
Ask = Callable[[], Awaitable[Any]]


@dataclass
class Subject:
    """A way to ask, what it took in each round in µs, and that divided by asyncpg's pool."""

    title: str
    alone: float | None = None  # at most so many times asyncpg's pool, with one caller
    crowd: float | None = None  # and with 50
    us: dict[int, list[float]] = field(default_factory=lambda: {1: [], CROWD: []})
    ratios: dict[int, list[float]] = field(default_factory=lambda: {1: [], CROWD: []})


OURS = Subject("DatabasePool.fetchval", alone=1.2, crowd=1.4)
PSYCOPG = Subject("psycopg_pool")
SQLALCHEMY = Subject("SQLAlchemy, async engine over asyncpg")
CONNECT = Subject("connecting for each query")
BARE = Subject("asyncpg.Pool.fetchval")
SUBJECTS = [OURS, PSYCOPG, SQLALCHEMY, CONNECT]
TIMES_FASTER = 10  # than connecting

WAIT, THROUGHPUT = (
    0.75,
    0.88,
)  # of asyncpg's pool: p99 of the wait at most, queries a second at least


@dataclass
class Fairness:
    """p99 of the wait in ms and queries a second in each run: ours, asyncpg's pool."""

    waits: list[tuple[float, float]] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)


FAIRNESS = Fairness()


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
            OURS.title: lambda: ours.fetchval(QUERY),
            BARE.title: lambda: bare.fetchval(QUERY),
            PSYCOPG.title: with_psycopg,
            SQLALCHEMY.title: with_sqlalchemy,
            CONNECT.title: with_a_connection_each,
        }


async def took(ask: Ask, callers: int, calls: int) -> float:
    """Microseconds a query, *callers* asking at once, each again and again."""
    rest = iter(range(max(calls, callers)))

    async def work() -> None:
        for _ in rest:
            assert await ask() == 1

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(callers)))
    return (time.perf_counter() - started) / max(calls, callers) * 1e6


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


async def compare(asks: dict[str, Ask], share: float, *, counts: bool) -> None:
    """One round: each subject, and asyncpg's pool just before it."""
    for callers, calls in (1, 200), (CROWD, 500):
        for subject in SUBJECTS:
            few = 0.1 if subject is CONNECT else 1
            bare = await took(asks[BARE.title], callers, int(calls * share))
            spent = await took(asks[subject.title], callers, int(calls * share * few))
            if counts:
                BARE.us[callers].append(bare)
                subject.us[callers].append(spent)
                subject.ratios[callers].append(spent / bare)


async def measure(rounds: int = 15, share: float = 1) -> None:
    """Fill in the figures of all subjects.

    The pools are opened anew every few rounds: where the scheduler has put a backend decides about
    a third of what one caller waits, and stays as it is for long.
    """
    url = (await services()).database_url
    for _ in range(max(1, rounds // 3)):
        async with contenders(url) as asks:
            for number in range(4):
                await compare(asks, share, counts=number > 0)  # the first one warms up
    sizes = {"min_size": SCARCE, "max_size": SCARCE}
    async with DatabasePool(url, **sizes) as ours, asyncpg.create_pool(url, **sizes) as bare_pool:
        for _ in range(max(1, rounds // 2)):
            calls = int(400 * share) + WORKERS
            mine, its = await queue(ours.acquire, calls), await queue(bare_pool.acquire, calls)
            FAIRNESS.waits.append((mine[0], its[0]))
            FAIRNESS.rates.append((mine[1], its[1]))


def report() -> bool:
    """Print what measure() found. True if all targets are met."""
    missed = []
    for callers in (1, CROWD):
        title = "one caller" if callers == 1 else f"{callers} callers on {CONNECTIONS} connections"
        print(f"\nPostgreSQL, {QUERY}, {title:38} µs  x asyncpg's pool  target")
        print(f"  {BARE.title:54} {statistics.median(BARE.us[callers]):7,.0f} {1:8.2f}")
        middle = {one.title: statistics.median(one.ratios[callers]) for one in SUBJECTS}
        for one in SUBJECTS:
            target = one.alone if callers == 1 else one.crowd
            ratio = middle[one.title]
            shown = "" if target is None else f"  <= {target:g}"
            print(
                f"  {one.title:54} {statistics.median(one.us[callers]):7,.0f} {ratio:8.2f}{shown}"
            )
            if target is not None and ratio > target:
                missed.append(f"{one.title} with {title} is above {target:g} x asyncpg's pool")
        for peer in PSYCOPG, SQLALCHEMY:
            if middle[peer.title] <= middle[OURS.title]:
                missed.append(f"{peer.title} is faster with {title}")
        times = middle[CONNECT.title] / middle[OURS.title]
        print(f"  {times:.1f} times faster than connecting, target >= {TIMES_FASTER}")
        if times < TIMES_FASTER:
            missed.append(f"not {TIMES_FASTER} times faster than connecting, with {title}")
    wait = statistics.median(ours / bare for ours, bare in FAIRNESS.waits)
    rate = statistics.median(ours / bare for ours, bare in FAIRNESS.rates)
    print(f"\n{WORKERS} workers on {SCARCE} connections {'DatabasePool':>28} {'asyncpg.Pool':>14}")
    for what, rows in ("p99 of the wait, ms", FAIRNESS.waits), ("queries a second", FAIRNESS.rates):
        ours, bare = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"  {what:50} {ours:8,.1f} {bare:14,.1f}")
    print(f"  the wait is {wait:.2f} x, target <= {WAIT}; throughput {rate:.2f} x, >= {THROUGHPUT}")
    if wait > WAIT:
        missed.append("the queue is not fair enough")
    if rate < THROUGHPUT:
        missed.append("the queue costs too much")
    for line in missed:
        print(f"MISSED  {line}")
    if not missed:
        print("All targets are met, ahead of psycopg_pool and SQLAlchemy.")
    return not missed
