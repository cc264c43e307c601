"""A service on a bad day: what it stands on breaks, and visits go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from cachepool_lib.lab.experiments.live import Faults
from cachepool_lib.lab.experiments.visits import Visits, visit
from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.lab.servers.serve import SHOP_SERVICE, App, Service, serve
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.shop import make_tables
from cachepool_lib.lab.simulation.traffic import traffic

USERS = 48
TTL = 2
SLOW_SECONDS = 0.2  # that a slow database holds each reply back
QUERY_SECONDS = 0.05  # of the queries in crowded()


@dataclass(frozen=True, repr=False)
class BadDay:
    """Visits, and when what was broken: (from, to) in seconds."""

    visits: Visits
    spans: Mapping[str, tuple[float, float]]

    def __repr__(self) -> str:
        return repr(self.visits)


async def bad_day(
    app: App = SHOP_SERVICE,
    *,
    env: Mapping[str, object] | None = None,
    replace: Mapping[str, Any] | None = None,
    rate: float = 60,
) -> BadDay:
    """*rate* visits a second to *app* while Redis goes away, connections to PostgreSQL are cut, and
    PostgreSQL is slow.

    *app*, *env* and *replace* are those of lab.serve(). In the file of notebook 05 a page is good
    for TTL seconds, unless *replace* says otherwise. Every worker has seen every page when the
    visits begin. Takes eight seconds.
    """
    if not callable(app):
        replace = {"TTL": TTL, **(replace or {})}
    cut = "connections cut"
    spans = {"Redis gone": (1.0, 4.0), cut: (5.0, 5.2), "database slow": (6.0, 7.5)}
    async with breakable(app, env, replace) as (service, redis, database):
        faults: Faults = {
            1.0: redis.cut,
            4.0: redis.restore,
            5.0: database.cut,
            5.2: database.restore,
            6.0: lambda: database.slow(SLOW_SECONDS),
            7.5: database.restore,
        }
        visits = traffic(rate=rate, users=USERS, seconds=8)
        return BadDay(await visit(service.url, visits, faults), spans)


async def crowded(
    app: App = SHOP_SERVICE,
    *,
    env: Mapping[str, object] | None = None,
    replace: Mapping[str, Any] | None = None,
    rate: float = 160,
) -> BadDay:
    """*rate* visits a second to *app* while Redis goes away, and the database can't answer half of
    them.

    Each of four workers has one connection, and a page takes QUERY_SECONDS: 80 pages a second in
    all. In the file of notebook 05 the lab does that; an app of your own gets POOL_SIZE=1 in its
    environment, and has to be as slow. *app*, *env* and *replace* are those of lab.serve(). Every
    worker has seen every page when the visits begin. Takes four seconds.
    """
    env = {"POOL_SIZE": 1, **(env or {})}
    if not callable(app):
        replace = {"load_page": slow_page, **(replace or {})}
    async with breakable(app, env, replace) as (service, redis, _):
        visits = traffic(rate=rate, users=USERS, seconds=4, skew=0)
        faults: Faults = {0.5: redis.cut, 3.0: redis.restore}
        return BadDay(await visit(service.url, visits, faults), {"Redis gone": (0.5, 3.0)})


async def slow_page(pool: Any, user_id: int) -> str:
    """A page that takes the database QUERY_SECONDS."""
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_sleep($1)", QUERY_SECONDS)
    return f'{{"id": {user_id}}}'


@contextlib.asynccontextmanager
async def breakable(
    app: App, env: Mapping[str, object] | None, replace: Mapping[str, Any] | None
) -> AsyncIterator[tuple[Service, Proxy, Proxy]]:
    """Serve *app*, and give the ways to Redis and to PostgreSQL as well.

    Every worker has seen the pages of all USERS.
    """
    where = await services()
    await make_tables(where)
    async with Proxy(where.redis_url) as redis, Proxy(where.database_url) as database:
        env = {"REDIS_URL": redis.url, "DATABASE_URL": database.url, **(env or {})}
        async with serve(app, env=env, replace=replace) as service:
            await _seen_by_all(service, range(USERS))
            yield service, redis, database


async def _seen_by_all(service: Service, users: Sequence[int]) -> None:
    """Visit every page at every worker."""
    async with contextlib.AsyncExitStack() as stack:
        workers: dict[str, aiohttp.ClientSession] = {}
        while len(workers) < len(service.pids):  # a connection goes to whoever takes it first
            session = await stack.enter_async_context(aiohttp.ClientSession())
            async with session.get(f"{service.url}/users/{users[0]}") as answer:
                await answer.read()
                workers.setdefault(answer.headers["x-worker"], session)

        async def walk(session: aiohttp.ClientSession, first: int) -> None:
            for user in [*users[first:], *users[:first]]:
                async with session.get(f"{service.url}/users/{user}") as answer:
                    await answer.read()

        async with asyncio.TaskGroup() as group:
            # Each begins elsewhere, so that they share the loads.
            for number, session in enumerate(workers.values()):
                group.create_task(walk(session, number * len(users) // len(workers)))
