"""A service in simulated time that is read every few seconds, as a monitoring system would.

AsyncCache, DatabasePool and all that they count are the library's; the database behind the pool is
simulated.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from cachepool_lib import AsyncCache, CacheStats, DatabasePool, PoolStats, PoolTimeout
from cachepool_lib.lab.simulation.loop import clock

TTL = 30.0  # seconds that a page is kept
QUERY = 0.1  # seconds for a page, up to a half more or less
SIZE, PATIENCE = 6, 1.0  # connections, and seconds that one waits for one of them
COMPARED = 0.05  # of the hits are compared with the database: a canary


class Store:
    """A store outside this process, which fails open as RedisCache does.

    While it is *down*, each request is an error and a load; no two load one page at the same time.
    """

    def __init__(self) -> None:
        self.down, self._errors = False, 0
        self._there = AsyncCache(TTL, maxsize=None, clock=clock)
        self._away = AsyncCache(0, clock=clock)

    async def get_or_load(self, key: Any, load: Callable[[], Awaitable[Any]]) -> Any:
        self._errors += self.down
        return await (self._away if self.down else self._there).get_or_load(key, load)

    async def by_hand(self, key: Any, load: Callable[[], Awaitable[Any]]) -> Any:
        """The same without single flight."""
        if (value := await self._there.get(key)) is None:
            value = await load()
            await self._there.set(key, value)
        return value

    async def delete(self, key: Any) -> None:
        await self._there.delete(key)

    def stats(self) -> CacheStats:
        there, away = self._there.stats(), self._away.stats()
        misses, shared = there.misses + away.misses, there.shared + away.shared
        return replace(there, misses=misses, shared=shared, errors=self._errors)


@dataclass(frozen=True)
class Scrape:
    """What was read at one moment, and the pages since the scrape before."""

    at: float
    cache: CacheStats
    pool: PoolStats
    loads: int
    compared: int  # hits, with the database
    stale: int  # of these
    pages: list[float]  # seconds that each took, or until it failed
    served: list[float]  # seconds that the last thousand waited who got a connection


class Service:
    """Visits ask the store; what it hasn't got is loaded through the pool, which is set later."""

    pool: DatabasePool

    def __init__(self, seed: int) -> None:
        self.store, self.random = Store(), Random(seed)
        self.ask, self.query, self.deletes = self.store.get_or_load, QUERY, True
        self._versions: dict[Any, int] = {}  # of the rows
        self._loads = self._compared = self._stale = 0
        self._pages: list[float] = []
        self._served: deque[float] = deque(maxlen=1000)

    async def answer(self, statement: str, key: Any = None) -> int:
        """What the database does: the version of a row, as it was when it was asked for."""
        version = self._versions.get(key, 0)
        await asyncio.sleep(self.query * self.random.uniform(0.5, 1.5))
        return version

    async def load(self, key: Any) -> Any:
        self._loads += 1
        asked = clock()
        async with self.pool.acquire() as connection:
            self._served.append(clock() - asked)
            return await connection.fetchval("SELECT version FROM users WHERE id = $1", key)

    async def visit(self, key: Any, cached: bool = True) -> None:
        start = clock()
        try:
            version = await (self.ask(key, partial(self.load, key)) if cached else self.load(key))
        except PoolTimeout:
            pass
        else:
            if clock() == start and self.random.random() < COMPARED:  # a hit takes no time
                self._compared += 1
                self._stale += version != self._versions.get(key, 0)
        self._pages.append(clock() - start)

    async def write(self, key: Any) -> None:
        self._versions[key] = self._versions.get(key, 0) + 1
        if self.deletes:
            await self.store.delete(key)

    def scrape(self) -> Scrape:
        pages, self._pages = self._pages, []
        counted = self._loads, self._compared, self._stale
        stats = self.store.stats(), self.pool.stats()
        return Scrape(clock(), *stats, *counted, pages, list(self._served))
