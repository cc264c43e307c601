"""Experiments with the size of a pool: queries a second, and one hot row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cachepool_lib.lab.contracts.pool.bench import bench_of

SLEEP = "SELECT pg_sleep(0.015)"
"""A query that waits, as one does for a disk, a lock or another machine."""
COMPUTE = "SELECT sum(sqrt(i)) FROM generate_series(1, 20000) AS i"
"""A query that computes: a few milliseconds of one core."""


@dataclass(frozen=True)
class Throughput:
    """Queries a second, and in which time 99 of 100 are answered: wait and query together (s)."""

    rate: float
    p99: float


async def throughput(
    candidate: type,
    query: str,
    sizes: Iterable[int],
    *,
    workers: int = 16,
    seconds: float = 0.2,
) -> dict[int, Throughput]:
    """Let so many workers send the query again and again, with a pool of each size.

    For so many *seconds* they ask; who has asked is answered.
    """
    found = {}
    async with bench_of(candidate) as bench:
        for size in sizes:
            pool = bench.new(min_size=size, max_size=size)
            await pool.initialize()
            took: list[float] = []
            start = time.perf_counter()

            async def worker(pool: Any = pool, start: float = start, took: Any = took) -> None:
                while (since := time.perf_counter()) < start + seconds:
                    await pool.fetch(query)
                    took.append(time.perf_counter() - since)

            await asyncio.gather(*(worker() for _ in range(workers)))
            rate = len(took) / (time.perf_counter() - start)
            found[size] = Throughput(rate, sorted(took)[int(0.99 * len(took))])
            await pool.close()
    return found


@dataclass(frozen=True)
class HotRow:
    """Where a page's time goes, in seconds on average; and pages a second.

    *work* is from the moment when the page has the row: the sleep, and the trips of the update, the
    commit and the release.
    """

    pool_wait: float
    lock_wait: float
    work: float
    rate: float


async def hot_row(
    candidate: type,
    sizes: Iterable[int],
    *,
    workers: int = 36,
) -> dict[int, HotRow]:
    """Let all workers change one row again and again; each works for 3 ms while it is locked.

    As many pages as there are workers are not counted: until then the queue is still growing. It
    ends when as many again are done.
    """
    found = {}
    async with bench_of(candidate) as bench:
        table = f"stock_{bench.name[-8:]}"
        await bench.admin.execute(f"CREATE TABLE {table} (n int)")
        await bench.admin.execute(f"INSERT INTO {table} VALUES (0)")
        try:
            for size in sizes:
                pool = bench.new(min_size=size, max_size=size)
                await pool.initialize()
                found[size] = await _hot(pool, table, workers)
                await pool.close()
        finally:
            await bench.admin.execute(f"DROP TABLE {table}")
    return found


async def _hot(pool: Any, table: str, workers: int) -> HotRow:
    spans: list[tuple[float, float, float, float]] = []  # asked, got, locked, done
    ends: list[float] = []
    wanted = 2 * workers

    async def worker() -> None:
        while len(ends) < wanted:
            asked = time.perf_counter()
            async with pool.acquire() as connection:
                got = locked = time.perf_counter()
                if len(ends) < wanted:
                    async with connection.transaction():
                        await connection.execute(f"UPDATE {table} SET n = n + 1")
                        locked = time.perf_counter()
                        await connection.execute("SELECT pg_sleep(0.003)")
            ends.append(time.perf_counter())
            spans.append((asked, got, locked, ends[-1]))

    await asyncio.gather(*(worker() for _ in range(workers)))
    first, last = ends[workers - 1], ends[wanted - 1]

    def each(part: int) -> float:
        """Seconds that all workers spent so between *first* and *last*, for each page: so whoever
        waits all the time counts as well."""
        seen = (min(span[part + 1], last) - max(span[part], first) for span in spans)
        return sum(max(0.0, seconds) for seconds in seen) / (wanted - workers)

    return HotRow(each(0), each(1), each(2), (wanted - workers) / (last - first))
