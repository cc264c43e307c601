"""One private PostgreSQL for the tests of a module: starting one takes more than such a test."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg

from cachepool_lib import lab

_numbers = itertools.count()


@dataclass
class Database:
    """A database of one test: nobody else's tables, sessions and locks."""

    url: str
    admin_url: str


class SharedPostgres:
    """Gives each test a database of its own."""

    def __init__(self, url: str, admin_url: str) -> None:
        self._url, self._admin_url = url, admin_url

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """Dropped at the end, which is an error where somebody is still connected to it."""
        name = f"test_{next(_numbers)}"
        admin = await asyncpg.connect(self._admin_url)
        try:
            await admin.execute(f"CREATE DATABASE {name} OWNER shop")
            urls = (f"{url.rpartition('/')[0]}/{name}" for url in (self._url, self._admin_url))
            yield Database(*urls)
            # Waits five seconds for backends that are just ending.
            await admin.execute(f"DROP DATABASE {name}")
        finally:
            await admin.close()


@contextlib.contextmanager
def shared_postgres(max_connections: int = 100) -> Iterator[SharedPostgres]:
    """On an event loop of its own, which stands still meanwhile: those of the tests come and go."""
    with asyncio.Runner() as runner:
        server = lab.postgres(max_connections)
        runner.run(server.__aenter__())
        try:
            yield SharedPostgres(server.url, server.admin_urls[0])
        finally:
            runner.run(server.close())
