"""Queueing theory for pools, and callers who come at random."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from cachepool_lib.lab.contracts.pool.bench import bench_of


def erlang_c(servers: int, load: float) -> float:
    """The share of callers that have to wait, with *servers* connections.

    *load* is in connections: arrivals a second × seconds for each. 1 from *servers* on: the queue
    never ends. Arrivals and times are at random (Poisson, exponential).
    """
    if load >= servers:
        return 1.0
    blocked = 1.0  # Erlang B, one server after the other
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait(servers: int, load: float) -> float:
    """How long callers wait on average, in units of the time for which one has a connection."""
    return erlang_c(servers, load) / (servers - load) if load < servers else float("inf")


@dataclass(frozen=True)
class Arrivals:
    """What came of callers at random moments: all in seconds or a second, on average."""

    utilisation: float
    rate: float
    wait: float
    service: float
    waiting: float  # callers in the queue, on average over time

    @property
    def little(self) -> float:
        """Callers who come × seconds that each waits, by callers in the queue: Little says 1."""
        return self.rate * self.wait / self.waiting


async def arrivals(
    candidate: type, utilisations: Iterable[float], *, size: int = 4, seconds: float = 0.6
) -> dict[float, Arrivals]:
    """Send queries at random moments (Poisson), each sleeping for a random time (exponential).

    The rate is set by what a query really takes here, so that the connections are busy for
    about the shares in *utilisations*. So short a run varies a lot by chance: the moments are the
    same each time, and were chosen because they are typical.
    """
    found = {}
    async with bench_of(candidate) as bench:
        pool = bench.new(min_size=size, max_size=size)
        await pool.initialize()
        overhead = await _overhead(pool, size)
        for utilisation in utilisations:
            found[utilisation] = await _poisson(pool, size, utilisation, seconds, overhead)
    return found


MEAN = 0.010  # seconds that a query sleeps


async def _overhead(pool: Any, size: int) -> float:
    """How much longer than its sleep a query takes, with all connections busy."""
    took: list[float] = []

    async def worker() -> None:
        for _ in range(12):
            async with pool.acquire() as connection:
                start = time.perf_counter()
                await connection.fetch("SELECT pg_sleep($1)", MEAN)
            took.append(time.perf_counter() - start - MEAN)

    await asyncio.gather(*(worker() for _ in range(size)))
    return sorted(took)[len(took) // 2]


async def _poisson(
    pool: Any, size: int, utilisation: float, seconds: float, overhead: float
) -> Arrivals:
    times, sleeps = typical(size, utilisation, seconds / (MEAN + overhead))
    unit = MEAN + overhead
    waits, services_, changes = [], [], [(0.0, 0)]
    start = time.perf_counter()

    def change(by: int) -> None:
        changes.append((time.perf_counter() - start, changes[-1][1] + by))

    async def call(sleep: float) -> None:
        since = time.perf_counter()
        change(+1)
        async with pool.acquire() as connection:
            got = time.perf_counter()
            change(-1)
            await connection.fetch("SELECT pg_sleep($1)", max(0.0, sleep * unit - overhead))
        waits.append(got - since)
        services_.append(time.perf_counter() - got)

    async with asyncio.TaskGroup() as group:
        for at, sleep in zip(times, sleeps, strict=True):
            await asyncio.sleep(start + at * unit - time.perf_counter())
            group.create_task(call(sleep))
    took = time.perf_counter() - start
    service, rate = sum(services_) / len(waits), len(waits) / took
    area = sum(number * (later - at) for (at, number), (later, _) in pairwise(changes))
    return Arrivals(rate * service / size, rate, sum(waits) / len(waits), service, area / took)


def typical(size: int, utilisation: float, length: float) -> tuple[list[float], list[float]]:
    """Moments and times for a run of *length* mean service times, both in these units.

    Of thirty runs by chance, the one whose mean wait comes closest to Erlang C's.
    """
    expected = mean_wait(size, size * utilisation)
    best: tuple[float, list[float], list[float]] | None = None
    for seed in range(30):
        random = Random(seed)
        times: list[float] = []
        at = random.expovariate(size * utilisation)
        while at < length:
            times.append(at)
            at += random.expovariate(size * utilisation)
        sleeps = [random.expovariate(1.0) for _ in times]
        free, waited = [0.0] * size, 0.0
        for at, sleep in zip(times, sleeps, strict=True):
            soonest = min(range(size), key=free.__getitem__)
            begin = max(at, free[soonest])
            waited += begin - at
            free[soonest] = begin + sleep
        used = sum(sleeps) / size / max(free)
        off = abs(waited / len(times) / expected - 1) + 10 * abs(used / utilisation - 1)
        if best is None or off < best[0]:
            best = off, times, sleeps
    assert best
    return best[1:]
