"""A server that ends connections at the worst of moments: what was not sent fails nobody."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from cachepool_lib import CachePoolError, DatabasePool, DatabaseUnavailable
from tests.tools.pool_tools import pool, timed, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio

BORROWINGS = 450


class Relay:
    """Passes everything on to the server, but not that it has closed a connection."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self.goodbyes = 0  # how many connections the server has closed

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            user = self._to.netloc.rpartition("@")[0]
            yield urlunsplit(self._to._replace(netloc=f"{user}@127.0.0.1:{port}"))
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(self._to.hostname, self._to.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            self.goodbyes += source is there

        async def both() -> None:
            try:
                backwards = asyncio.create_task(pump(there, writer))
                try:
                    await pump(reader, to_there)
                finally:
                    backwards.cancel()
                    await asyncio.wait([backwards])
            except OSError:
                pass
            finally:
                to_there.transport.abort()
                writer.transport.abort()

        self._tasks.add(asyncio.create_task(both()))


async def in_a_block(made: DatabasePool) -> Any:
    async with made.acquire() as connection:
        return await connection.fetchval("SELECT 1")


async def in_a_transaction(made: DatabasePool) -> Any:
    async with made.transaction() as connection:
        assert connection.is_in_transaction()
        return await connection.fetchval("SELECT 1")


async def alone(made: DatabasePool) -> Any:
    return await made.fetchval("SELECT 1")


async def prepared(made: DatabasePool) -> Any:
    async with made.acquire() as connection:
        return await (await connection.prepare("SELECT 1")).fetchval()


WAYS: list[Callable[[DatabasePool], Awaitable[Any]]] = [
    alone, in_a_block, in_a_transaction, prepared
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_a_connection_whose_goodbye_was_read_is_not_lent(
    way: Callable[[DatabasePool], Awaitable[Any]],
) -> None:
    """Its end has not come yet: asyncpg counts it as connected, and would send nothing."""
    async with witness() as seen, Relay(seen.url).open() as url, pool(seen, 2, 2, url=url) as made:
        await made.initialize()
        before = await seen.backends()
        await seen.kill()
        await asyncio.sleep(0.05)  # the event loop reads what is there
        assert await way(made) == 1
        assert set(before).isdisjoint(await seen.backends())


@pytest.mark.parametrize("way", ["block", "transaction"])
async def test_the_first_statement_of_a_block_is_sent_on_another_connection(way: str) -> None:
    """Where the goodbye came after the lending; in a transaction that has just begun, too."""
    async with witness() as seen:
        relay = Relay(seen.url)
        async with relay.open() as url, pool(seen, 1, 1, url=url) as made:
            borrowing = made.acquire() if way == "block" else made.transaction()
            async with borrowing as connection:
                first = connection.get_server_pid() if way == "transaction" else None
                await seen.kill()
                await until(lambda: relay.goodbyes == 1)
                await asyncio.sleep(0.05)
                if way == "block":
                    assert await connection.fetchval("SELECT pg_backend_pid()") is not None
                    return
                assert await connection.fetchval("SELECT txid_current_if_assigned()") is None
                assert connection.get_server_pid() != first
                assert connection.is_in_transaction()


async def test_no_second_statement_of_a_block_is_sent_elsewhere() -> None:
    """What came before it would be missing: the caller is told, and that nothing was sent."""
    async with witness() as seen:
        relay = Relay(seen.url)
        async with relay.open() as url, pool(seen, 1, 1, url=url) as made:
            async with made.acquire() as connection:
                await connection.execute("SET search_path = mine")
                await seen.kill()
                await until(lambda: relay.goodbyes == 1)
                await asyncio.sleep(0.05)
                with pytest.raises(DatabaseUnavailable, match="nothing was sent"):
                    await connection.fetchval("SHOW search_path")
            assert await made.fetchval("SHOW search_path") != "mine"


class Unknown(asyncpg.Connection):  # type: ignore[misc]
    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        raise asyncpg.InternalClientError("unknown error in protocol implementation")


async def test_an_error_that_says_nothing_of_what_was_sent_stays_what_it_is() -> None:
    """Nobody knows: so the statement is not sent again."""
    async with witness() as seen, pool(seen, 1, 1, connection_class=Unknown) as made:
        with pytest.raises(asyncpg.InternalClientError, match="unknown error"):
            await made.fetchrow("SELECT 1")


async def test_rows_that_are_used_up_are_not_sent_twice() -> None:
    """They come from an iterator: another connection would get what is left of it."""
    async with witness() as seen:
        relay = Relay(seen.url)
        async with relay.open() as url, pool(seen, 1, 1, url=url) as made:
            async with made.acquire() as connection:
                await seen.kill()
                await until(lambda: relay.goodbyes == 1)
                await asyncio.sleep(0.05)
                with pytest.raises(DatabaseUnavailable, match="nothing was sent"):
                    await connection.executemany("SELECT $1::int", iter([(1,)]))
            rows = iter([(1,), (2,)])
            await made.executemany("SELECT $1::int", rows)
            assert list(rows) == []


async def test_a_server_that_ends_connections_just_before_they_are_used() -> None:
    """0 to 4 ms before: who gets an error sees that what was asked may have been done, or that
    nothing of a transaction was. Of a statement that was not sent nobody hears.
    """
    chance = random.Random(7)
    kill = "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid"
    answers = 0
    async with witness() as seen, pool(seen, 3, 5) as made:
        for number in range(BORROWINGS):
            while (await timed(alone(made)))[0] != 1:
                pass
            pids = await seen.backends()
            killing = asyncio.create_task(seen.admin.fetch(kill, pids))
            await asyncio.sleep(chance.random() * 0.004)
            outcome, _ = await timed(WAYS[number % 3](made))
            await killing
            if outcome == 1:
                answers += 1
            elif isinstance(outcome, CachePoolError):
                assert "ended before COMMIT: nothing of the transaction was done" in str(outcome)
            else:
                assert isinstance(outcome, asyncpg.PostgresError), repr(outcome)
                assert "may have been done, or not" in str(outcome.__notes__)
    assert answers > BORROWINGS / 2
