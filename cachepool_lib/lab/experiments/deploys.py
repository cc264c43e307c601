"""Workers that come and go: two generations at once, and a worker that leaves under load."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from cachepool_lib.lab.experiments.visits import Visits, visit
from cachepool_lib.lab.servers.serve import SHOP_SERVICE, ServiceFailed, serve
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.simulation.traffic import Traffic, traffic

QUERY_SECONDS = 0.3  # of the queries that leave() interrupts
PATIENCE_SECONDS = 2  # that a worker tries to get its connections


@dataclass(frozen=True, repr=False)
class Generations:
    """For each size of the pool: the connections after each worker that started, one by one."""

    workers: int  # of one generation; there are two
    limit: int  # of connections, at the server
    connections: Mapping[int, Sequence[int]]

    @property
    def started(self) -> dict[int, int]:
        """How many workers ran at last, by size of the pool."""
        return {size: len(counts) for size, counts in self.connections.items()}

    def __repr__(self) -> str:
        parts = [f"{count} with size {size}" for size, count in self.started.items()]
        return f"of {2 * self.workers} workers start: {', '.join(parts)}"


async def generations(
    sizes: Iterable[int] = (5, 4, 3, 2), *, workers: int = 4, limit: int = 20
) -> Generations:
    """Deploy the service of notebook 05: start *workers*, and beside them as many of the next.

    Each opens a pool of one of these *sizes*; the server allows *limit* connections. A deploy ends
    with the first worker that can't start. Takes some seconds.
    """

    async def deploy(size: int) -> list[int]:
        counts: list[int] = []
        limits = {"LIMITS": {"acquire_timeout": PATIENCE_SECONDS}}
        async with _limited(limit) as url:
            env = {"DATABASE_URL": url, "POOL_SIZE": size}
            async with serve(SHOP_SERVICE, workers=1, env=env, replace=limits) as service:
                counts.append(await service.connections())
                with contextlib.suppress(ServiceFailed):
                    while len(counts) < 2 * workers:
                        await service.start()
                        counts.append(await service.connections())
        return counts

    sizes = list(sizes)
    deploys = await asyncio.gather(*map(deploy, sizes))
    return Generations(workers, limit, dict(zip(sizes, deploys, strict=True)))


@contextlib.asynccontextmanager
async def _limited(limit: int) -> AsyncIterator[str]:
    """The address for a user who may have so many connections. The lab's own has no such limit."""
    url = (await services()).database_url
    role, password = f"shop_{secrets.token_hex(4)}", secrets.token_hex(12)
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{password}' CONNECTION LIMIT {limit}"
        )
        try:
            where = urlsplit(url)
            server = where.netloc.rpartition("@")[2]
            yield urlunsplit(where._replace(netloc=f"{role}:{password}@{server}"))
        finally:
            await admin.execute(f"DROP ROLE {role}")
    finally:
        await admin.close()


@dataclass(frozen=True, repr=False)
class Leaving:
    """What became of the visits while one worker of several was told to leave, or killed."""

    signal: str
    visits: Visits
    at: float  # when the signal was sent (seconds)
    pid: int  # to whom
    gone_after: float  # seconds until the process had ended
    left: int  # connections at the server after all had ended

    @property
    def lost(self) -> int:
        """Visits without a page."""
        return self.visits.failed + self.visits.refused

    def __repr__(self) -> str:
        lost = "some pages lost" if self.lost else "no page lost"
        return f"{self.signal}: {lost}, {self.left} connections left"


async def _slow_page(pool: Any, user_id: int) -> str:
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_sleep($1)", QUERY_SECONDS)
    return "{}"


async def leave(
    signal: Literal["SIGTERM", "SIGKILL"],
    *,
    workers: int = 4,
    rate: float = 60,
    seconds: float = 2.0,
) -> Leaving:
    """Send a *signal* to a worker of the service of notebook 05 in the middle of *rate* visits a
    second.

    Every visit needs a query of QUERY_SECONDS. The signal goes to the worker that has answered most
    so far.
    """
    times = traffic(rate=rate, seconds=seconds).times
    visits = Traffic(times, range(len(times)))  # a page that nobody has asked for, each
    told: list[tuple[int, float]] = []
    seen = Visits()
    env = {"POOL_SIZE": 10}
    async with serve(
        SHOP_SERVICE, workers=workers, env=env, replace={"load_page": _slow_page}
    ) as service:

        async def tell() -> None:
            pid = max(service.pids, key=seen.pids.count)
            end = service.term if signal == "SIGTERM" else service.kill
            told.append((pid, await end(pid)))

        await visit(service.url, visits, {seconds / 2: tell}, into=seen)
        await service.stop()
        left = await service.connections(0)
    [(pid, gone_after)] = told
    return Leaving(signal, seen, seconds / 2, pid, gone_after, left)
