"""Stand-ins for the servers of exercise 05-3: a database of known capacity, a Redis that goes away.

In simulated time; what they raise is what DatabasePool raises.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cachepool_lib import AsyncCache, PoolFull, PoolTimeout
from cachepool_lib.lab.notebook.checks import Unmet
from cachepool_lib.lab.simulation.loop import clock

SIZE, QUERY = 4, 0.05  # connections, and seconds for a page: 80 pages a second


class _Connection:
    def __init__(self, database: "Pool") -> None:
        self.database, self.back = database, False

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        if self.back:
            raise Unmet(
                expected="a query while the load has the connection",
                got="The connection was used after it was given back.",
                hint="Whoever loads borrows: the `async with` belongs into the load.",
            )
        if "SELECT" not in str(query).upper() or len(args) != 1:
            raise Unmet(
                expected="PAGE, and the id of the user",
                got=f"The query {query!r} with {args!r}.",
                hint="Nothing else is known here: there is no server behind it.",
            )
        await asyncio.sleep(QUERY)
        if self.database.bug:
            raise TypeError("a bug of yours")
        self.database.loads += 1
        return f"page {self.database.version} of user {args[0]}"


class Pool:
    """Lends SIZE connections, first come, first served; what it raises is DatabasePool's."""

    def __init__(self, max_waiting: int | None) -> None:
        self.free, self.max_waiting = asyncio.Semaphore(SIZE), max_waiting
        self.waiting = self.borrowed = self.loads = self.version = 0
        self.bug = False

    @asynccontextmanager
    async def acquire(self, timeout: float | None = None) -> AsyncIterator[_Connection]:  # noqa: ASYNC109
        if self.max_waiting is not None and self.free.locked() and self.waiting >= self.max_waiting:
            raise PoolFull(f"{self.waiting} callers wait already")
        self.waiting += 1
        try:
            async with asyncio.timeout(60 if timeout is None else timeout):
                await self.free.acquire()
        except TimeoutError:
            raise PoolTimeout("no connection came free in time") from None
        finally:
            self.waiting -= 1
        self.borrowed += 1
        connection = _Connection(self)
        try:
            yield connection
        finally:
            connection.back = True
            self.free.release()

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)


class Redis:
    """What all processes share, with the face of RedisCache; while *down*, everybody loads."""

    def __init__(self) -> None:
        self.down, self.asked = False, 0
        self.old_pages = (
            "near.get_or_load(…, stale_while_revalidate=60): the old page at once, the "
        )
        self.old_pages += "new one behind it."
        self.there = AsyncCache(60, maxsize=None, clock=clock)
        self.away = AsyncCache(0, clock=clock)  # stores nothing, and lets nobody load twice at once

    async def get_or_load(self, key: Any, loader: Any, ttl: Any = None, **options: Any) -> Any:
        self.asked += 1
        if any(name.startswith("stale") for name in options):
            self.old_pages = "The old pages were in Redis. Which cache is still there?"
        if self.down:
            return await self.away.get_or_load(key, loader)
        await asyncio.sleep(0.001)
        return await self.there.get_or_load(key, loader, ttl, **options)

    async def get(self, key: Any, default: Any = None) -> Any:
        await asyncio.sleep(0.001)
        return default if self.down else await self.there.get(key, default)

    async def set(self, key: Any, value: Any, ttl: Any = None) -> None:
        await asyncio.sleep(0.001)
        if not self.down:
            await self.there.set(key, value, ttl)

    async def delete(self, key: Any) -> bool:
        return await self.there.delete(key)
