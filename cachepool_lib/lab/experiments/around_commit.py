"""A row changes in a real transaction, and somebody reads it just before the commit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from cachepool_lib import AsyncCache, DatabasePool
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.shop import make_tables

if TYPE_CHECKING:  # charts bring matplotlib, which is slow to import
    from cachepool_lib.lab.charts import Step

PRODUCT = 7
OLD = 100  # cents
WRITE = "UPDATE products SET cents = $2 WHERE id = $1"
READ = "SELECT cents FROM products WHERE id = $1"


@dataclass(frozen=True, repr=False)
class AroundCommit:
    """What happened, in order; what the next reader saw, and what the row says (cents)."""

    steps: Sequence[Step]
    seen: int
    row: int

    def __repr__(self) -> str:
        return f"the next reader sees {self.seen}, the row says {self.row}"


async def around_commit(change: Callable[[Any, Any], Awaitable[object]]) -> AroundCommit:
    """Let *change* change the price of product 7, which is 100 cents, and the cache know of it.

    `change(pool, cache)` gets a DatabasePool's `transaction()` and an AsyncCache's `set` and
    `delete`; the price is cached at "price". When it has done all that it does inside its
    transaction, and just before the commit, a reader asks for the price; another one does so at the
    end. What the database refuses is rolled back, and the price is read as well. No clock is
    involved: the order is always the same. At the end the row is as before.
    """
    where = await services()
    await make_tables(where)
    async with DatabasePool(where.database_url, min_size=0, max_size=3) as pool:
        before = await pool.fetchval(READ, PRODUCT)
        await pool.execute(WRITE, PRODUCT, OLD)
        try:
            run = _Run(pool)
            await run.read("first reader")
            with suppress(asyncpg.PostgresError):  # refused, and rolled back: a step says so
                await change(run, run)
            seen = await run.read("next reader")
            row = await pool.fetchval(READ, PRODUCT)
            return AroundCommit(run.steps(wrong=seen != row), seen, row)
        finally:
            await pool.execute(WRITE, PRODUCT, before)


class _Run:
    """The pool and the cache, as *change* gets them: what is asked of them is noted."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool, self._cache = pool, AsyncCache(60)
        self._steps: list[tuple[str, str]] = []  # who, what
        self._ended: int | None = None  # after how many of them the transaction ended

    async def read(self, who: str) -> int:
        loaded = False

        async def load() -> int:
            nonlocal loaded
            loaded = True
            cents: int = await self._pool.fetchval(READ, PRODUCT)
            return cents

        cents = await self._cache.get_or_load("price", load)
        if who != "first reader":  # she only fills the cache
            self._steps.append((who, f"{'loads' if loaded else 'finds'} {cents}"))
        return cents

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[_Connection]:
        try:
            async with self._pool.transaction() as connection:
                yield _Connection(connection, self._steps)
                await self.read("reader")
        except asyncpg.PostgresError:
            self._steps.append(("writer", "rolls back"))
            raise
        else:
            self._steps.append(("writer", "commits"))
        finally:
            self._ended = len(self._steps)

    async def delete(self, key: str) -> bool:
        self._steps.append(("writer", "deletes the key"))
        return await self._cache.delete(key)

    async def set(self, key: str, value: int) -> None:
        self._steps.append(("writer", f"sets {value}"))
        await self._cache.set(key, value)

    def steps(self, *, wrong: bool) -> list[Step]:
        """All of them; where it went *wrong*, what the cache was told before the end is."""
        from cachepool_lib.lab.charts import Step

        early = self._steps[: self._ended or 0]
        told = [who == "writer" and what.startswith(("deletes", "sets")) for who, what in early]
        faults = [wrong and one for one in told] + [False] * (len(self._steps) - len(early))
        return [Step(*step, fault) for step, fault in zip(self._steps, faults, strict=True)]


class _Connection:
    """Changes rows; what the database refuses is no change."""

    def __init__(self, connection: asyncpg.Connection, steps: list[tuple[str, str]]) -> None:
        self._connection, self._steps = connection, steps

    async def execute(self, query: str, *args: object) -> str:
        status: str = await self._connection.execute(query, *args)
        self._steps.append(("writer", "changes the row"))
        return status
