"""Several instances of a service on a database that allows few connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import asyncpg

from cachepool_lib.lab.servers.pooler import Pooler
from cachepool_lib.lab.servers.private import Postgres

_RESERVED = "superuser_reserved_connections"


@dataclass(frozen=True, repr=False)
class Instances:
    """Which of the instances could open their connections, and what the server said to the rest."""

    asked: int  # instances
    size: int  # connections that each of them opens
    limit: int  # of connections at the server, for who is no administrator
    pooler: int | None  # connections of the pooler in front of it, if there is one
    connections: Sequence[int]  # at the server, after each instance that has opened
    refusal: str  # of the first that could not; "" if all have
    answered: int  # of the connections of those that have, asked all at once

    @property
    def opened(self) -> int:
        """How many have all their connections."""
        return len(self.connections)

    def __repr__(self) -> str:
        most = max(self.connections, default=0)
        at = f"at most {self.pooler}" if self.pooler and most <= self.pooler else f"{most}"
        told = f"{self.opened} of {self.asked} instances open, {self.answered} connections answer"
        told += f", {at} at the server"
        return f"{told}; then: {self.refusal}" if self.refusal else told


async def open_instances(
    database: Postgres, count: int, *, size: int = 4, pooler: int | None = None
) -> Instances:
    """Let *count* instances open *size* connections each, one instance after the other.

    They go to the *database*, or to a pooler in front of it that has *pooler* connections. Each
    instance asks something on all of its connections. The first one that is refused ends it; then
    all that are open ask once more, at once. At the end all connections are closed.
    """
    admin = await asyncpg.connect(database.admin_urls[0])
    opened: list[asyncpg.Connection] = []
    counts: list[int] = []
    refusal = ""
    try:
        allowed = int(await admin.fetchval("SHOW max_connections"))
        limit = allowed - int(await admin.fetchval(f"SHOW {_RESERVED}"))
        async with _way(database.url, pooler) as url:
            try:
                while len(counts) < count and not refusal:
                    try:
                        for _ in range(size):
                            opened.append(await asyncpg.connect(url, statement_cache_size=0))
                        await _ask(opened[-size:])
                        counts.append(await _at_the_server(admin))
                    except asyncpg.TooManyConnectionsError as error:
                        refusal = str(error).partition(" for ")[0]
                answered = await _ask(opened[: size * len(counts)])
            finally:
                await asyncio.gather(*(each.close() for each in opened))
    finally:
        await admin.close()
    return Instances(count, size, limit, pooler, counts, refusal, answered)


@contextlib.asynccontextmanager
async def _way(url: str, size: int | None) -> AsyncIterator[str]:
    """The address to connect to."""
    if size is None:
        yield url
    else:
        async with Pooler(url, size) as between:
            yield between.url


async def _ask(connections: Sequence[asyncpg.Connection]) -> int:
    """How many of them answer, asked all at once."""
    answers = (each.fetchval("SELECT 1 FROM pg_sleep(0.01)") for each in connections)
    return sum(await asyncio.gather(*answers))


async def _at_the_server(admin: asyncpg.Connection) -> int:
    """Connections that others than the administrator have there."""
    count: int = await admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND usename <> current_user"
    )
    return count
