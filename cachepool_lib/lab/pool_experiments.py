"""Experiments with pools against the real PostgreSQL; what they find goes into a chart.

Each makes its pools itself, from a class and sizes, and leaves none of their connections behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

from .faults import Proxy
from .live import Live
from .pool_bench import PoolBench, borrowed, watching
from .services import services

SILENCE = 2.0  # seconds for which lab.silence keeps the server silent


@contextlib.asynccontextmanager
async def _bench(candidate: type) -> AsyncIterator[PoolBench]:
    with watching():
        async with PoolBench(candidate, (await services()).database_url) as bench:
            yield bench


# Who opens how many connections


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
    async with _bench(candidate) as bench:
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


# Pages that borrow


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
    async with _bench(candidate) as bench:
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


# Who waits how long


@dataclass
class Queue:
    """Callers, numbered as they asked: in which order they were served, how long each waited (s).

    The first *waiting* of them asked while nobody was served yet.
    """

    waiting: int
    served: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def overtaken(self) -> int:
        """How many who asked later were served before the unluckiest caller."""
        return max(
            sum(later > caller for later in self.served[:place])
            for place, caller in enumerate(self.served)
        )


async def queue(bench: PoolBench, *, waiting: int = 20, newcomers: int = 20) -> Queue:
    """Let so many callers wait for one connection; and whenever it comes back, somebody new asks.

    Each has the connection for two milliseconds. The newcomer asks after the connection came back,
    and before the first of those who wait has been woken up: that is one turn of the event loop, so
    it needs no luck, and happens on every machine alike.
    """
    pool, run = bench.new(min_size=1, max_size=1), Queue(waiting)

    async def call(number: int) -> None:
        since = time.perf_counter()
        async with pool.acquire() as connection:
            run.waits[number] = time.perf_counter() - since
            run.served.append(number)
            await connection.fetch("SELECT pg_sleep(0.002)")

    async with asyncio.TaskGroup() as group:

        def come() -> None:
            if len(run.waits) < waiting + newcomers:
                group.create_task(call(len(run.waits)))
                run.waits.append(0.0)

        bench.when_given_back(come)
        await pool.initialize()
        async with borrowed(pool, 1):
            for _ in range(waiting):
                come()
            for _ in range(10):  # turns of the event loop, in which each gets as far as it can
                await asyncio.sleep(0)
    return run


async def queue_with_newcomers(candidate: type, *, waiting: int = 20, newcomers: int = 20) -> Queue:
    """Show who is served when, while somebody new asks whenever a connection comes back."""
    async with _bench(candidate) as bench:
        return await queue(bench, waiting=waiting, newcomers=newcomers)


# How many connections


SLEEP = "SELECT pg_sleep(0.015)"
"""A query that waits, as one does for a disk, a lock or another machine."""
COMPUTE = "SELECT sum(sqrt(i)) FROM generate_series(1, 20000) AS i"
"""A query that computes: a few milliseconds of one core."""


@dataclass(frozen=True)
class Throughput:
    """Queries a second, and how long 99 of 100 callers waited for a connection at most (s)."""

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
    """Let so many workers send the query again and again, with a pool of each size."""
    found = {}
    async with _bench(candidate) as bench:
        for size in sizes:
            pool = bench.new(min_size=size, max_size=size)
            await pool.initialize()
            waits: list[float] = []
            done = 0
            start = time.perf_counter()

            async def worker(pool: Any = pool, start: float = start) -> None:
                nonlocal done
                while (since := time.perf_counter()) < start + seconds:
                    async with pool.acquire() as connection:
                        waits.append(time.perf_counter() - since)  # noqa: B023
                        if since + waits[-1] < start + seconds:  # noqa: B023
                            await connection.fetch(query)
                            done += 1

            await asyncio.gather(*(worker() for _ in range(workers)))
            rate = done / (time.perf_counter() - start)
            found[size] = Throughput(rate, sorted(waits)[int(0.99 * len(waits))])
            await pool.close()
    return found


# Queueing theory


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
    async with _bench(candidate) as bench:
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


# One hot row


@dataclass(frozen=True)
class HotRow:
    """Where a page's time goes, in seconds on average; and pages a second.

    *work* is from the moment when the page has the row: the sleep, and the trips of the update, the
    commit and giving back.
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
    async with _bench(candidate) as bench:
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


# A silent server


@dataclass(frozen=True)
class Silence:
    """When each caller was answered, in seconds since it asked; None: not as long as we looked."""

    answered: Sequence[float | None]
    promised: float
    watched: float

    @property
    def slowest(self) -> float | None:
        """None if somebody was not answered."""
        seconds = [at for at in self.answered if at is not None]
        return max(seconds) if len(seconds) == len(self.answered) else None


async def silence(candidate: type, *, callers: int = 3, promised: float = 1) -> Silence:
    """Ask a server that has just fallen silent, each caller inside asyncio.timeout(promised).

    A proxy lets nothing through for SILENCE seconds; the connections stay open.
    """
    async with _bench(candidate) as bench, Proxy(bench.url) as proxy:
        pool = bench.new(database_url=proxy.url, min_size=callers, max_size=callers)
        await pool.initialize()
        await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(callers)))
        proxy.stall()
        start = time.perf_counter()
        answered: list[float | None] = [None] * callers

        async def caller(number: int) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(promised):
                    await pool.fetch("SELECT 1")
            if time.perf_counter() < start + SILENCE:
                answered[number] = time.perf_counter() - start

        tasks = [asyncio.create_task(caller(number)) for number in range(callers)]
        await asyncio.wait(tasks, timeout=SILENCE)
        await proxy.restore()
        await asyncio.wait(tasks, timeout=5)
    return Silence(answered, promised, SILENCE)


async def idle_cut(candidate: type, connections: int = 3) -> list[str]:
    """End all idle connections at the server, and ask as many times at once, without a pause."""
    async with _bench(candidate) as bench:
        pool = bench.new(min_size=connections, max_size=connections)
        await pool.initialize()
        bench.kill_idle()
        calls = (pool.fetch("SELECT 1") for _ in range(connections))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        return [type(a).__name__ if isinstance(a, BaseException) else "a row" for a in answers]
