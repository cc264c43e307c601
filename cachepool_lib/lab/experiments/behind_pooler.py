"""Two clients on one connection: what the one leaves there, and the other finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from cachepool_lib.lab.servers.pooler import Pooler
from cachepool_lib.lab.servers.private import Postgres

TENANT = "SELECT coalesce(current_setting('shop.tenant', true), '')"


@dataclass(frozen=True)
class Statement:
    """One statement: who sent it, what came back, and what its connection carries after it.

    *carries* is the tenant that is set there, "" for none. *read* says whether it read rows.
    """

    who: str
    text: str
    answer: str
    carries: str
    read: bool = False


@dataclass(frozen=True, repr=False)
class TwoClients:
    """What *way* returned or raised, and all statements in their order (on one connection)."""

    answer: Any
    statements: Sequence[Statement]

    def __repr__(self) -> str:
        return str(self.answer)


async def two_clients(
    database: Postgres,
    way: Callable[[Any, Any], Awaitable[Any]],
    *,
    size: int = 1,
    **options: Any,
) -> TwoClients:
    """Let *way* use two clients, Ada and Ben, of a pooler in transaction mode.

    The pooler has *size* connections to the *database*. `way(ada, ben)` gets asyncpg's connections;
    the *options* are those of asyncpg.connect, statement_cache_size=0 unless they say otherwise.
    What the server refuses is the answer, by the name of the error. With one connection it is noted
    who sent what, and which tenant the connection then carries (shop.tenant).
    """
    options = {"statement_cache_size": 0} | options
    notes: list[Statement] = []
    async with Pooler(database.url, size) as pooler:
        real = [await asyncpg.connect(pooler.url, **options) for _ in range(2)]
        clients = [
            _Client(name, each, notes if size == 1 else None)
            for name, each in zip(("Ada", "Ben"), real, strict=True)
        ]
        try:
            answer = await way(*clients)
        except asyncpg.PostgresError as error:
            answer = type(error).__name__
        finally:
            for each in real:
                await each.close()
    return TwoClients(answer, notes)


class _Client:
    """A client of the pooler; what it sends is noted, where there are *notes*."""

    def __init__(self, name: str, real: asyncpg.Connection, notes: list[Statement] | None) -> None:
        self._name, self._real, self._notes = name, real, notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        return await self._ask("execute", query, args, options)  # type: ignore[no-any-return]

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[Any]:
        return await self._ask("fetch", query, args, options)  # type: ignore[no-any-return]

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._ask("fetchrow", query, args, options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._ask("fetchval", query, args, options)

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        block = self._real.transaction(**options)
        await block.start()
        await self._note("BEGIN")
        try:
            yield
        except BaseException:
            await block.rollback()
            await self._note("ROLLBACK")
            raise
        await block.commit()
        await self._note("COMMIT")

    async def _ask(self, method: str, query: str, args: Any, options: Any) -> Any:
        answer = await getattr(self._real, method)(query, *args, **options)
        for number, arg in enumerate(args, 1):
            query = query.replace(f"${number}", repr(arg))
        read = " FROM " in query
        await self._note(query, str(answer) if read else "", read)
        return answer

    async def _note(self, text: str, answer: str = "", read: bool = False) -> None:
        if self._notes is not None:
            carries = await self._real.fetchval(TENANT)
            self._notes.append(Statement(self._name, text, answer, carries, read))
