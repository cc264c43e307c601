"""What one borrower leaves behind, the next one does not find."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from cachepool_lib import DatabasePool
from tests.tools.pool_tools import pool, witness

pytestmark = pytest.mark.anyio

WAYS = ["acquire", "fetch", "transaction"]


async def borrowed(made: DatabasePool, way: str, *statements: str) -> None:
    """Do *statements* in one borrowing, or each in one."""
    if way == "acquire":
        async with made.acquire() as connection:
            for statement in statements:
                await connection.execute(statement)
    elif way == "transaction":
        async with made.transaction() as connection:
            for statement in statements:
                await connection.execute(statement)
    else:
        await made.execute("; ".join(statements))


@pytest.mark.parametrize("way", WAYS)
async def test_a_role_ends_with_its_borrowing(way: str) -> None:
    """With a role for each tenant, the next borrower would be somebody else."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        role = seen.name.replace("-", "_")
        await seen.admin.execute(f"CREATE ROLE {role}")
        try:
            me = await made.fetchrow("SELECT session_user, current_user")
            for change in f"SET ROLE {role}", f"SET SESSION AUTHORIZATION {role}":
                await borrowed(made, way, change)
                assert await made.fetchrow("SELECT session_user, current_user") == me
        finally:
            await seen.admin.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("way", WAYS)
async def test_temporary_tables_end_with_their_borrowing(way: str) -> None:
    """Their names are free, and nobody reads what was in them."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        for _ in range(2):
            await borrowed(made, way, "CREATE TEMPORARY TABLE cart (n int)")
            assert await made.fetchval("SELECT to_regclass('pg_temp.cart')") is None


@pytest.mark.parametrize("way", WAYS)
async def test_settings_locks_and_transactions_end_with_their_borrowing(way: str) -> None:
    """However they were made."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        await borrowed(
            made,
            way,
            "SET statement_timeout = 12345",
            "SELECT set_config('work_mem', '77MB', false)",
            "SELECT pg_advisory_lock(5)",
            "LISTEN orders",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        )
        asked = "current_setting('statement_timeout'), current_setting('work_mem') <> '77MB'"
        assert await made.fetchrow(f"SELECT {asked}") == ("0", True)
        assert await made.fetch("SELECT * FROM pg_listening_channels()") == []
        assert await made.fetch("SELECT * FROM pg_cursors WHERE name = 'c'") == []
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1"
        assert await seen.admin.fetchval(locks, (await seen.backends())[0]) == 0


@pytest.mark.parametrize("ask", ["fetch", "fetchrow", "fetchval", "execute"])
async def test_a_setting_of_a_single_statement_ends_with_it(ask: str) -> None:
    """No method of the pool leaves the reset out, though it costs a trip to the server."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        await getattr(made, ask)("SELECT set_config('work_mem', '77MB', false)")
        assert await made.fetchval("SHOW work_mem") != "77MB"
        await getattr(made, ask)("SELECT pg_advisory_lock(6)")
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1"
        assert await made.fetchval(locks, (await seen.backends())[0]) == 0


async def test_a_transaction_that_was_left_open_ends() -> None:
    """Also one that a single statement began; asyncpg says that somebody forgot it."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: said.append(what["message"]))
    async with witness() as seen, pool(seen, 1, 1) as made:
        pid = await made.fetchval("SELECT pg_backend_pid()")
        await made.execute("BEGIN")
        async with made.acquire() as connection:
            assert not connection.is_in_transaction()
            assert connection.get_server_pid() == pid
            async with connection.transaction():
                assert await connection.fetchval("SELECT 1") == 1
            await connection.transaction().start()
        assert await made.fetchval("SELECT pg_backend_pid()") == pid
    assert len(said) == 2
    assert "active transaction" in said[0]


async def test_asyncpgs_prepared_statements_stay() -> None:
    """They are what a second query of the same text is quicker by."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        for number in range(3):
            assert await made.fetchval("SELECT $1::int + 1", number) == number + 1
        prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1"
        assert await made.fetchval(prepared, "SELECT $1::int + 1") == 1


async def test_names_of_prepare_end_on_request() -> None:
    """In a `reset` of the user's, which does more than the usual one."""

    async def reset(connection: Any) -> None:
        await connection.reset()
        await connection.execute(
            "DO $$ DECLARE name text; BEGIN"
            " FOR name IN SELECT p.name FROM pg_prepared_statements p WHERE from_sql LOOP"
            " EXECUTE format('DEALLOCATE %I', name); END LOOP; END $$"
        )

    async with witness() as seen:
        async with pool(seen, 1, 1) as made:
            await made.execute("PREPARE mine AS SELECT 7")
            assert await made.fetchval("EXECUTE mine") == 7  # stays, as the docstring says
        async with pool(seen, 1, 1, reset=reset) as made:
            assert await made.fetchval("SELECT $1::int", 5) == 5
            await made.execute("PREPARE mine AS SELECT 7")
            with pytest.raises(asyncpg.InvalidSQLStatementNameError):
                await made.fetchval("EXECUTE mine")
            assert await made.fetchval("SELECT $1::int", 5) == 5  # asyncpg's own are still there


async def test_where_settings_belong() -> None:
    """In `server_settings`, or in `setup`: a SET in `init` is undone, as the docstring says."""

    async def init(connection: Any) -> None:
        await connection.execute("SET work_mem = '71MB'")

    async def setup(connection: Any) -> None:
        await connection.execute("SET maintenance_work_mem = '72MB'")

    settings = {"server_settings": {"temp_buffers": "73MB"}}
    async with witness() as seen, pool(seen, 1, 1, init=init, setup=setup, **settings) as made:
        show: Callable[[str], Awaitable[Any]] = lambda name: made.fetchval(f"SHOW {name}")  # noqa: E731
        for _ in range(3):
            assert await show("maintenance_work_mem") == "72MB"
            assert await show("temp_buffers") == "73MB"
        assert await show("work_mem") != "71MB"


async def test_a_broken_reset_hook_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """It costs a connection for each query: that is no matter for INFO."""

    async def reset(connection: Any) -> None:
        raise LookupError("broken")

    async with witness() as seen, pool(seen, 1, 1, reset=reset, name="shop") as made:
        for _ in range(3):
            async with made.acquire() as connection:
                assert await connection.fetchval("SELECT 1") == 1
        warnings = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "DatabasePool shop" in warnings[0].getMessage()
        assert "LookupError('broken')" in warnings[0].getMessage()
        assert made.stats().opened >= 3


class Bare(asyncpg.Connection):  # type: ignore[misc]
    """Resets nothing, as behind a pooler of transactions."""

    def get_reset_query(self) -> str:
        return ""


async def test_a_reset_query_of_the_users_class_is_the_users() -> None:
    """Who leaves it empty wants no trip."""
    async with witness() as seen, pool(seen, 1, 1, connection_class=Bare) as made:
        await made.execute("SET work_mem = '71MB'")
        assert await made.fetchval("SHOW work_mem") == "71MB"


class Refuses(asyncpg.Connection):  # type: ignore[misc]
    """Answers the first BEGIN as a server does that can't do what is asked."""

    asked = 0

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        if query.startswith("BEGIN"):
            Refuses.asked += 1
            if Refuses.asked == 1:
                raise asyncpg.FeatureNotSupportedError("not on a standby")
        return await super().execute(query, *args, **options)


async def test_a_begin_that_was_refused_is_forgotten() -> None:
    """asyncpg takes it for begun: the next transaction on the connection would be a savepoint."""
    async with witness() as seen, pool(seen, 1, 1, connection_class=Refuses) as made:
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            async with made.transaction():
                pass
        async with made.transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1
