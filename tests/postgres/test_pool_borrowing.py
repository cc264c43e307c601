"""What a borrower of a connection has in hand, and for how long."""

import asyncio
import gc
import linecache
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from cachepool_lib import PoolTimeout
from tests.tools.pool_tools import pool, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio


async def test_awaited_and_given_back_by_hand() -> None:
    """As asyncpg's pool can be used; giving back twice, or in a block as well, does no harm."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        connection = await made.acquire()
        assert await connection.fetchval("SELECT 1") == 1
        assert made.stats().in_use == 1
        await made.release(connection)
        await made.release(connection)
        async with made.acquire() as connection:
            await made.release(connection)
            with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
                await connection.fetchval("SELECT 1")
        async with made.acquire():  # one connection, and none too many
            with pytest.raises(PoolTimeout):
                await made.acquire(timeout=0)
        with pytest.raises(TypeError, match="was not borrowed from a pool"):
            await made.release(seen.admin)


async def test_leaving_a_block_twice_adds_no_connection() -> None:
    """`__aexit__` by hand, for one."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        borrowing = made.acquire()
        await borrowing.__aenter__()
        for _ in range(2):
            await borrowing.__aexit__(None, None, None)
        async with made.acquire():
            with pytest.raises(PoolTimeout):
                await made.acquire(timeout=0)
        assert made.stats().size == 1


async def kept(connection: Any) -> dict[str, Callable[[], Any]]:
    """Everything that a borrower can keep: calls on the connection and on what it hands out."""
    statement = await connection.prepare("SELECT 7")
    transaction = connection.transaction()
    await transaction.start()
    cursor = await connection.cursor("SELECT 7")
    calls = {
        "fetchval": lambda: connection.fetchval("SELECT 7"),
        "execute": lambda: connection.execute("SELECT 7"),
        "transaction": lambda: connection.transaction(),
        "cursor": lambda: connection.cursor("SELECT 7"),
        "get_server_pid": lambda: connection.get_server_pid(),
        "statement.fetchval": lambda: statement.fetchval(),
        "statement.cursor": lambda: statement.cursor(),
        "statement.get_query": lambda: statement.get_query(),
        "cursor.fetch": lambda: cursor.fetch(1),
        "transaction.rollback": lambda: transaction.rollback(),
        "transaction.start": lambda: connection.transaction().start(),
    }
    await transaction.rollback()
    return calls


async def in_any_way(call: Callable[[], Any]) -> Any:
    result = call()
    return await result if isinstance(result, Awaitable) else result


async def test_nothing_that_was_kept_reaches_the_next_borrowers_session() -> None:
    """Not even where there is a next borrower, in a transaction that somebody could end."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        async with made.acquire() as connection:
            calls = await kept(connection)
            assert isinstance(connection, asyncpg.Connection)
        async with made.acquire() as next_one, next_one.transaction():
            await next_one.execute("CREATE TEMPORARY TABLE mine (n int) ON COMMIT DROP")
            for name, call in calls.items():
                with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
                    await in_any_way(call)
                assert await next_one.fetchval("SELECT count(*) FROM mine") == 0, name
        assert await made.fetchval("SELECT 1") == 1


async def test_a_call_that_is_awaited_too_late_is_not_made() -> None:
    """It was begun in the block, and its coroutine kept."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        async with made.acquire() as connection:
            statement = await connection.prepare("SELECT set_config('search_path', 'kept', false)")
            late = [
                connection.execute("SET search_path = kept"),
                statement.fetchval(),
                connection.transaction().start(),
            ]
        async with made.acquire() as next_one:
            for call in late:
                with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
                    await call
            assert await next_one.fetchval("SHOW search_path") != "kept"
            assert not next_one.is_in_transaction()


async def test_what_is_handed_out_is_of_asyncpgs_classes() -> None:
    """For isinstance; and it works: statements, cursors, transactions, all that there is."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        async with made.acquire() as connection:
            statement = await connection.prepare("SELECT generate_series(1, $1::int) AS n")
            assert isinstance(statement, asyncpg.prepared_stmt.PreparedStatement)
            assert [row["n"] for row in await statement.fetch(3)] == [1, 2, 3]
            assert statement.get_attributes()[0].name == "n"
            async with connection.transaction() as nothing:
                assert nothing is None
                assert [row["n"] async for row in statement.cursor(3)] == [1, 2, 3]
                cursor = await connection.cursor("SELECT 1 AS n")
                assert isinstance(cursor, asyncpg.cursor.Cursor)
                assert (await cursor.fetchrow())["n"] == 1
            assert isinstance(connection.transaction(), asyncpg.transaction.Transaction)
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    raise ZeroDivisionError
            assert await connection.fetchval("SELECT $1::int", 5) == 5
            assert connection.get_settings().server_encoding
            del statement, cursor
            gc.collect()  # asyncpg's own objects go, and complain of nothing
        assert await made.fetchval("SELECT 1") == 1


class Shop(asyncpg.Connection):  # type: ignore[misc]
    """A class of the user's, with a method of its own."""

    async def orders(self) -> int:
        return int(await self.fetchval("SELECT 7"))


async def test_a_class_of_the_users_is_kept() -> None:
    """Its methods are there, and end with the borrowing."""
    async with witness() as seen, pool(seen, 1, 1, connection_class=Shop) as made:
        async with made.acquire() as connection:
            assert isinstance(connection, Shop)
            assert await connection.orders() == 7
        with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
            await connection.orders()


async def test_callbacks_get_what_the_borrower_has_and_end_with_it() -> None:
    """They are told of nothing that the next borrower does."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        told: list[Any] = []

        async def notified(connection: Any, pid: int, channel: str, payload: str) -> None:
            told.append((connection, payload))

        def logged(connection: Any, message: Any) -> None:
            told.append((connection, message.message))

        def asked(record: Any) -> None:
            told.append(record.query)

        def ended(connection: Any) -> None:
            told.append("ended")

        speak = "DO $$ BEGIN RAISE NOTICE 'hello'; END $$"
        async with made.acquire() as connection:
            await connection.add_listener("orders", notified)
            connection.add_log_listener(logged)
            connection.add_termination_listener(ended)
            connection.add_query_logger(callback=asked)
            await connection.execute("NOTIFY orders, '7'")
            await connection.execute(speak)
            await until(lambda: len(told) == 4)
            assert {each for each in told if isinstance(each, tuple)} == {
                (connection, "7"),
                (connection, "hello"),
            }
            assert [each for each in told if isinstance(each, str)] == [
                "NOTIFY orders, '7'",
                speak,
            ]
            await connection.remove_listener("orders", notified)
            await connection.execute("NOTIFY orders, '8'")
            await until(lambda: len(told) == 5)
        told.clear()
        async with made.acquire() as connection:
            await connection.execute("LISTEN orders; NOTIFY orders, '9'")
            await connection.execute(speak)
            await connection.close()
        await asyncio.sleep(0)
        assert told == []


async def test_the_line_of_a_holder_is_the_users() -> None:
    """Also where a task, `gather` or `wait_for` runs the call: it is noted where it was made."""
    sleep = "SELECT pg_sleep(60)"
    async with witness() as seen, pool(seen, 1, 1) as made:

        async def block() -> None:
            async with made.acquire() as connection:
                await connection.execute(sleep)

        async def change() -> None:
            async with made.transaction() as connection:
                await connection.execute(sleep)

        calls: list[tuple[str, Callable[[], asyncio.Future[Any]]]] = [
            ("task", lambda: asyncio.create_task(made.fetch(sleep))),
            ("gather", lambda: asyncio.gather(made.fetchval(sleep), asyncio.sleep(0))),
            ("wait_for", lambda: asyncio.ensure_future(asyncio.wait_for(made.execute(sleep), 60))),
            ("block", lambda: asyncio.create_task(block())),
            ("change", lambda: asyncio.create_task(change())),
        ]
        for name, call in calls:
            under_way = call()
            await until(lambda: made.holders())
            [holder] = made.holders()
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way
            file, number, function = holder.where.replace(" in ", ":").split(":")
            line = linecache.getline(__file__, int(number))
            assert (file, function) == (
                "test_pool_borrowing.py",
                name if name in ("block", "change") else "<lambda>",
            )
            assert "made." in line, line


async def test_more_ways_to_ask() -> None:
    """Whatever asyncpg's pool passes on: a column, a class for records, many rows, COPY."""
    async with witness() as seen, pool(seen, 1, 2) as made:
        table = seen.name.replace("-", "_")
        await seen.admin.execute(f"CREATE TABLE {table} (n int, word text)")
        try:

            class Row(asyncpg.Record):  # type: ignore[misc]
                def double(self) -> int:
                    return 2 * int(self["n"])

            rows = [(1, "one"), (2, "two")]
            assert (
                await made.copy_records_to_table(table, records=rows, columns=["n", "word"])
                == "COPY 2"
            )
            query = f"SELECT n, word FROM {table} ORDER BY n"
            assert await made.fetchval(query, column=1) == "one"
            assert await made.fetchval(query, column="word") == "one"
            assert [row.double() for row in await made.fetch(query, record_class=Row)] == [2, 4]
            assert (await made.fetchrow(query, record_class=Row)).double() == 2
            asked = await made.fetchmany(f"SELECT word FROM {table} WHERE n = $1", [(1,), (2,)])
            assert [word for (word,) in asked] == ["one", "two"]
            text = bytearray()

            async def keep(data: bytes) -> None:
                text.extend(data)

            assert await made.copy_from_query(query, output=keep, format="csv") == "COPY 2"
            assert text == b"1,one\n2,two\n"
            text.clear()
            assert await made.copy_from_table(table, output=keep, columns=["word"]) == "COPY 2"
            assert text == b"one\ntwo\n"

            async def more() -> Any:
                yield b"3,three\n"

            assert await made.copy_to_table(table, source=more(), format="csv") == "COPY 1"
            assert await made.fetchval(f"SELECT count(*) FROM {table}") == 3
        finally:
            await seen.admin.execute(f"DROP TABLE {table}")
