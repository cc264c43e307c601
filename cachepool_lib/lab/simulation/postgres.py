"""A PostgreSQL in simulated time: the library's own DatabasePool, on connections without a network.

What lends, queues, gives up and counts is the library. What the server does is simulated.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from cachepool_lib.postgres.pool import DatabasePool

Answer = Callable[..., Awaitable[Any]]


class Postgres:
    """A server that answers a statement by what the async function *answer* returns.

    *answer* gets the statement with its arguments. A pool on it is made by `pool()`, inside
    simulate(), and closed before the server's `with` ends.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def __enter__(self) -> Self:
        # A pool looks at the socket of a connection before it lends it: on this one nothing comes.
        self.socket, self._other_end = socket.socketpair()
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()
        self._other_end.close()

    def pool(self, size: int, **options: Any) -> DatabasePool:
        """A pool of *size* connections, all open from the beginning; *options* are its own."""
        return DatabasePool("postgresql://simulated", size, size, connect=self._connect, **options)

    async def _connect(self, url: str, **options: Any) -> _Connection:
        return _Connection(self)


@asynccontextmanager
async def simulated_pool(
    size: int, *, seconds: float = 0.002, **options: Any
) -> AsyncIterator[DatabasePool]:
    """An open DatabasePool of *size* connections, on which each statement takes *seconds*.

    For use inside simulate(). A statement answers with its last argument. *options* are those of
    DatabasePool. Ends by `close`.
    """

    async def answer(statement: str, *args: Any) -> Any:
        await asyncio.sleep(seconds)
        return args[-1] if args else None

    with Postgres(answer) as server:
        async with server.pool(size, **options) as pool:
            yield pool


class _Transport:
    """As much as a pool asks of one."""

    def __init__(self, server: Postgres) -> None:
        self.server, self.protocol = server, self

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def data_received(self, data: bytes) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return self.server.socket

    def abort(self) -> None:
        pass


class _Connection:
    """As much as a pool and its borrowers ask of asyncpg's."""

    def __init__(self, server: Postgres) -> None:
        self.server, self.transport, self.closed = server, _Transport(server), False

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self.server.answer(query, *args)

    async def execute(self, query: str, *args: Any) -> Any:
        return await self.server.answer(query, *args)

    async def close(self) -> None:
        self.closed = True

    async def reset(self) -> None:
        pass

    def terminate(self) -> None:
        self.closed = True

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return False

    def get_server_pid(self) -> int:
        return 0

    def get_reset_query(self) -> str:
        return ""  # nothing stays behind, so there is no trip for it

    # By these asyncpg.Connection.fetchval asks, with which the pool finds out what server this is.

    def _check_open(self) -> None:
        pass

    async def _execute(self, *args: Any) -> list[Any]:
        return []
