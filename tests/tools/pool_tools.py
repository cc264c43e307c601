"""What the tests of DatabasePool share: the naive pool, a name for its connections, a witness."""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import asyncpg

from cachepool_lib import DatabasePool
from cachepool_lib.lab.servers.services import services

_numbers = itertools.count()


class NaivePool:
    """The pool that the tutorial begins with."""

    def __init__(self, database_url: str, min_size: int = 10, max_size: int = 20):
        self.database_url = database_url
        self.min_size = min_size
        self.max_size = max_size
        self.pool: Any = None

    async def initialize(self) -> None:
        self.pool = await asyncpg.create_pool(
            self.database_url, min_size=self.min_size, max_size=self.max_size
        )

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        if not self.pool:
            await self.initialize()
        async with self.pool.acquire() as connection:
            yield connection

    async def fetch(self, query: str, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def close(self) -> None:
        if self.pool:
            await self.pool.close()


class Witness:
    """Connections of one test, by the name that they give to the server, seen from outside."""

    def __init__(self, url: str, admin: Any) -> None:
        self.name = f"pool-{os.getpid()}-{next(_numbers)}"
        self.as_given = self.named(url)
        # Cancelled in the moment in which it begins to ask for TLS, asyncpg leaves a future with an
        # exception behind that nobody retrieves. The connection is closed, so nothing is lost.
        self.url = f"{self.as_given}&sslmode=disable"
        self.admin = admin

    def named(self, url: str) -> str:
        return f"{url}{'&' if '?' in url else '?'}{urlencode({'application_name': self.name})}"

    async def backends(self, state: str = "%") -> list[int]:
        """The process ids of those that there are, in a state such as "active" or "idle".

        A statement is "active" also while it is only prepared; once pg_sleep runs, it is "PgSleep".
        """
        rows = await self.admin.fetch(
            "SELECT pid FROM pg_stat_activity "
            "WHERE application_name = $1 AND (state LIKE $2 OR wait_event = $2)",
            self.name,
            state,
        )
        return [pid for (pid,) in rows]

    async def count(self, wanted: int, seconds: float = 10, state: str = "%") -> None:
        """Wait until there are exactly so many."""
        deadline = time.monotonic() + seconds
        while len(found := await self.backends(state)) != wanted:
            assert time.monotonic() < deadline, f"{len(found)} backends, expected {wanted}"
            await asyncio.sleep(0.01)

    async def gone(self, *pids: int, seconds: float = 10) -> None:
        """Wait until none of these is left: the server ends a backend a moment after its client."""
        deadline = time.monotonic() + seconds
        while left := set(pids) & set(await self.backends()):
            assert time.monotonic() < deadline, f"backends {sorted(left)} are still there"
            await asyncio.sleep(0.01)

    async def kill(self, *pids: int) -> None:
        """End backends, all if none is given; returns when they are gone."""
        pids = pids or tuple(await self.backends())
        for pid in pids:
            await self.admin.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)

    @contextlib.asynccontextmanager
    async def watch(self, most: int, made: DatabasePool | None = None) -> AsyncIterator[None]:
        """Fail if there are ever more than *most* meanwhile.

        Of *made*, those that it could not end in time may be there, too, until they are called off.
        """
        seen = 0

        async def look() -> None:
            nonlocal seen
            while True:
                seen = max(seen, len(await self.backends()))
                await asyncio.sleep(0.002)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])
        most += made.stats().lost if made else 0
        assert 0 < seen <= most, f"{seen} backends at once, at most {most} were allowed"


async def database_url() -> str:
    return (await services()).database_url


@contextlib.asynccontextmanager
async def witness(url: str | None = None) -> AsyncIterator[Witness]:
    """One on the lab's server; in the end all connections of its name are gone."""
    where = url or await database_url()
    admin = await asyncpg.connect(where)
    try:
        seen = Witness(where, admin)
        yield seen
        await seen.count(0)
    finally:
        await admin.close()


@contextlib.asynccontextmanager
async def pool(
    seen: Witness, min_size: int = 1, max_size: int = 2, **options: Any
) -> AsyncIterator[DatabasePool]:
    """A DatabasePool that *seen* looks at; nobody holds a connection in the end."""
    made = DatabasePool(options.pop("url", seen.url), min_size, max_size, **options)
    try:
        yield made
        assert made.stats().in_use == made.stats().waiting == 0
    finally:
        await made.close(timeout=0)


async def timed(call: Awaitable[Any]) -> tuple[Any, float]:
    """What came of *call*, its exception included, and the seconds it took."""
    started = time.monotonic()
    try:
        outcome = await call
    except Exception as error:
        outcome = error
    return outcome, time.monotonic() - started


class Hold:
    """`async with Hold(pool, 2):` two tasks that hold a connection each."""

    def __init__(self, made: Any, number: int = 1) -> None:
        self._pool, self._number = made, number
        self._free = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Hold":
        ready = asyncio.Semaphore(0)

        async def hold() -> None:
            try:
                async with self._pool.acquire():
                    ready.release()
                    await self._free.wait()
            except BaseException:
                ready.release()  # the test fails with this, instead of waiting for ever
                raise

        self.tasks = [asyncio.create_task(hold()) for _ in range(self._number)]
        for _ in self.tasks:
            await ready.acquire()
        return self

    async def free(self) -> None:
        self._free.set()
        await asyncio.gather(*self.tasks)

    async def __aexit__(self, *exc: object) -> None:
        self._free.set()
        await asyncio.wait(self.tasks)
