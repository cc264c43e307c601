"""DatabasePool on a server that works: the tutorial's usage, arguments, limits, transactions."""

import asyncio
import itertools
import math
import subprocess
import sys
from typing import Any

import asyncpg
import pytest

import cachepool_lib
from cachepool_lib import (
    CachePoolError,
    DatabasePool,
    DatabaseUnavailable,
    PoolFull,
    PoolTimeout,
)
from tests.tools.pool_tools import Hold, pool, timed, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio

URL = "postgresql://user:s3cret@localhost:5432/shop"


async def test_the_usage_from_the_tutorial() -> None:
    """Names, signatures and the opening by the first caller are those of the naive pool."""
    async with witness() as seen:
        database = DatabasePool(seen.url, min_size=2, max_size=4)
        await database.initialize()
        assert len(await seen.backends()) == 2

        async def get_user_data(user_id: int) -> Any:
            return await database.fetch("SELECT $1::int AS id, 'Ada' AS name", user_id)

        [row] = await get_user_data(7)
        assert (row["id"], row["name"]) == (7, "Ada")
        async with database.acquire() as connection:
            assert await connection.fetchval("SELECT 1") == 1
            assert isinstance(connection, asyncpg.Connection)
        await database.close()
        assert await seen.backends() == []
        lazy = DatabasePool(seen.url, min_size=0)
        assert await lazy.fetch("SELECT 1 AS one") == [(1,)]
        await lazy.close()


def test_the_defaults_are_those_of_the_tutorial() -> None:
    """Ten connections to begin with, twenty at most; nothing is opened yet."""
    stats = DatabasePool(URL).stats()
    assert (stats.min_size, stats.max_size, stats.size, stats.wait_p99) == (10, 20, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_size": -1}, "min_size must be at least 0, got -1"),
        ({"min_size": 3, "max_size": 2}, "min_size must be at most max_size=2, got 3"),
        ({"max_size": 0, "min_size": 0}, "max_size must be at least 1, got 0"),
        ({"max_size": 2.5}, "max_size must be a whole number, got 2.5"),
        ({"min_size": True}, "min_size must be a whole number, got True"),
        ({"acquire_timeout": 0}, "acquire_timeout must be more than 0 and not infinite, got 0"),
        ({"acquire_timeout": math.nan}, "acquire_timeout must be 0 or more, got nan"),
        ({"acquire_timeout": None}, "acquire_timeout must be a number, got None"),
        ({"command_timeout": -1}, "command_timeout must be 0 or more, got -1"),
        ({"command_timeout": "1"}, "command_timeout must be a number, got '1'"),
        ({"max_waiting": -1}, "max_waiting must be at least 0, got -1"),
        ({"max_wait": 1}, "asyncpg knows no option 'max_wait'"),
        ({"init_size": 1}, "asyncpg knows no option 'init_size'"),
    ],
)
def test_a_bad_argument_is_named_at_once(arguments: dict[str, Any], message: str) -> None:
    """With its value, and before anything is opened."""
    with pytest.raises((ValueError, TypeError)) as told:
        DatabasePool(URL, **arguments)
    assert message in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:s3cret@localhost/shop",
        "postgresql://user:s3cret/2@localhost/shop",
        "postgresql://user:s3cret#2@localhost/shop",
        "postgresql://user@localhost:s3cret/shop",
        "postgresql://user:p@s3cret@localhost/shop",
        "postgresql://user:p@x:s3cret@localhost/shop",
        "postgresql://user:?s3cret@localhost/shop",
        "postgresql://user:/s3cret@localhost/shop",
        "postgresql://localhost/shop?user=shop&s3cret",
        "postgresql://user:s3cret\uff1a@localhost/shop",
        "user:s3cret@localhost",
        b"postgresql://user:s3cret@localhost",
        None,
    ],
)
def test_a_url_that_can_not_be_read_is_refused_and_not_shown(url: Any) -> None:
    """It may have the password in it, and a password with a slash is how it comes to that: asyncpg
    would show what it took for a port, a host or a parameter.
    """
    with pytest.raises(ValueError, match="database_url can't be read: expected postgresql://") as e:
        DatabasePool(url)
    assert "s3cret" not in str(e.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://localhost",
        "postgresql://",
        "postgresql:///shop?host=/run/postgresql",
        "postgresql://user:p%2Fw@[::1]:5432/shop?sslmode=require",
        "postgresql://user:p%40w@one:5432,two:5433/shop?target_session_attrs=primary",
    ],
)
def test_a_url_that_asyncpg_reads_is_taken(url: str) -> None:
    """One server or several, sockets, parameters."""
    assert repr(DatabasePool(url)) == "<DatabasePool: not open yet, 0 of 20 in use, 0 waiting>"


async def test_bad_arguments_of_a_call_change_nothing() -> None:
    """Timeouts that are none, before a connection is taken."""
    async with witness() as seen, pool(seen) as made:
        for call in (
            lambda: made.fetch("SELECT 1", timeout=0),
            lambda: made.fetch("SELECT 1", timeout=-1),
            lambda: made.acquire(timeout=math.nan).__aenter__(),
            lambda: made.close(timeout=-1),
        ):
            with pytest.raises(ValueError, match="timeout must be"):
                await call()
        assert made.stats().acquired == 0
        assert await made.fetchval("SELECT 1") == 1
        with pytest.raises(ValueError, match="isolation"):
            async with made.transaction(isolation="none"):
                pass


async def test_every_option_reaches_asyncpg() -> None:
    """Settings of the server, functions of its own, and a `connect` that is somebody else's."""
    used = []

    async def connect(*args: Any, **options: Any) -> Any:
        used.append("connect")
        return await asyncpg.connect(*args, **options)

    async def init(connection: Any) -> None:
        used.append("init")

    async with (
        witness() as seen,
        pool(
            seen,
            connect=connect,
            init=init,
            server_settings={"statement_timeout": "7s"},
            statement_cache_size=0,
        ) as made,
    ):
        assert await made.fetchval("SHOW statement_timeout") == "7s"
        assert used == ["connect", "init"]


async def test_what_a_borrower_sets_the_next_one_does_not_see() -> None:
    """Settings, open transactions and locks end with the borrowing, and so does the use of it."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        async with made.acquire() as connection:
            await connection.execute("SET statement_timeout = 12345")
            await connection.execute("SELECT pg_advisory_lock(5)")
        with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
            await connection.fetch("SELECT 1")
        assert await made.fetchval("SHOW statement_timeout") == "0"
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = $1"
        assert await seen.admin.fetchval(locks, (await seen.backends())[0]) == 0


async def test_a_query_is_answered_before_its_session_is_reset() -> None:
    """Its caller goes on; the next one waits until the connection is clean, also who has no
    patience: what the stats call idle is at hand. Close waits, too.
    """
    answered, order = asyncio.Event(), []

    async def reset(connection: Any) -> None:
        await answered.wait()
        await connection.reset()
        order.append("reset")

    async with witness() as seen, pool(seen, 1, 1, reset=reset) as made:
        for number in range(2):
            answered.clear()
            assert await made.fetchval("SELECT 1") == 1
            order.append(f"answer {number}")
            stats = made.stats()
            assert (stats.size, stats.in_use, stats.resetting) == (1, 0, 1)
            if number == 0:
                asyncio.get_running_loop().call_soon(answered.set)
                async with made.acquire(timeout=0):
                    order.append("at hand")
                continue
            with pytest.raises(PoolTimeout, match="all 1 are being reset after a query"):
                await made.acquire(timeout=0.01)
            answered.set()
        await made.close()
        assert order == ["answer 0", "reset", "at hand", "reset", "answer 1", "reset"]


async def test_a_reset_that_never_ends_does_not_stop_close() -> None:
    """It is cancelled when close has waited as long as it was told; nothing of it stays."""

    async def reset(connection: Any) -> None:
        await asyncio.Event().wait()

    async with witness() as seen:
        made, before = DatabasePool(seen.url, 1, 1, reset=reset), asyncio.all_tasks()
        assert await made.fetchval("SELECT 1") == 1
        await made.close(timeout=0)
        assert asyncio.all_tasks() <= before
        await seen.count(0)


async def test_max_waiting_refuses_at_once() -> None:
    """As many as it says may wait in line; 0 is nobody."""
    async with witness() as seen, pool(seen, 1, 1, max_waiting=2) as made:
        async with Hold(made):
            waiting = [asyncio.create_task(made.fetchval("SELECT 1")) for _ in range(2)]
            await until(lambda: made.stats().waiting == 2)
            with pytest.raises(PoolFull, match=r"2 callers wait already \(max_waiting\)"):
                await made.fetchval("SELECT 1")
            assert made.stats().refused == 1
        assert await asyncio.gather(*waiting) == [1, 1]
        none = DatabasePool(seen.url, 1, 1, max_waiting=0)
        async with none, Hold(none):
            with pytest.raises(PoolFull):
                await none.fetchval("SELECT 1")


async def test_a_caller_may_be_more_or_less_patient_than_the_pool() -> None:
    """Longer, shorter, for ever, or not at all: 0 takes what is at hand."""
    async with witness() as seen, pool(seen, 1, 1, acquire_timeout=0.3) as made:
        await made.initialize()
        async with made.acquire(timeout=0) as connection:
            assert await connection.fetchval("SELECT 1") == 1
            with pytest.raises(PoolTimeout, match="no connection within 0 s: all 1 are in use"):
                async with made.acquire(timeout=0):
                    pass
        async with Hold(made) as hold:
            borrowing = made.acquire(timeout=math.inf)
            patient = asyncio.create_task(borrowing.__aenter__())
            with pytest.raises(PoolTimeout, match=r"within 0\.3 s"):
                await made.fetch("SELECT 1")
            await hold.free()
            assert await (await patient).fetchval("SELECT 1") == 1
        await borrowing.__aexit__(None, None, None)


async def test_in_a_crowd_nobody_is_overtaken_by_anybody() -> None:
    """Of 40 that ask again and again for one of 4."""
    async with witness() as seen, pool(seen, 4, 4) as made:
        asked, order = itertools.count(), []

        async def work() -> None:
            for _ in range(10):
                mine = next(asked)
                async with made.acquire() as connection:
                    order.append(mine)
                    await connection.fetch("SELECT 1")

        await made.initialize()
        await asyncio.gather(*(work() for _ in range(40)))
        assert order == list(range(400))


@pytest.mark.parametrize("nested", [False, True])
async def test_a_transaction_is_the_callers_alone(nested: bool) -> None:
    """It commits what it did, or nothing; savepoints of asyncpg work inside."""
    async with witness() as seen, pool(seen, 1, 2) as made:
        table = seen.name.replace("-", "_")
        await seen.admin.execute(
            f"CREATE TABLE {table} (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        )
        try:
            add = f"INSERT INTO {table} VALUES ($1)"
            async with made.transaction() as connection:
                await connection.execute(add, 1)
                assert await made.fetchval(f"SELECT count(*) FROM {table}") == 0
                if nested:
                    with pytest.raises(LookupError):
                        async with connection.transaction():
                            await connection.execute(add, 2)
                            raise LookupError
            pids = await seen.backends()
            for error in LookupError, asyncio.CancelledError:
                with pytest.raises(error):
                    async with made.transaction() as connection:
                        await connection.execute(add, 3)
                        raise error
            # Refused by COMMIT itself: an answer like any other.
            with pytest.raises(asyncpg.UniqueViolationError):
                async with made.transaction() as connection:
                    await connection.execute(add, 1)
            assert await made.fetch(f"SELECT n FROM {table}") == [(1,)]
            assert await seen.backends() == pids
        finally:
            await seen.admin.execute(f"DROP TABLE {table}")


async def test_opening_fails_for_all_who_asked_and_may_be_tried_again() -> None:
    """Each gets an error of their own, with the cause attached."""
    async with witness() as seen:
        made = DatabasePool("postgresql://u:p@127.0.0.1:1/d", 1, 3, acquire_timeout=0.2)
        calls = [timed(made.initialize()), *(timed(made.fetch("SELECT 1")) for _ in range(5))]
        errors = [error for error, _ in await asyncio.gather(*calls)]
        assert len({id(error) for error in errors}) == 6
        for error in errors:
            assert isinstance(error, DatabaseUnavailable)
            assert isinstance(error, ConnectionError)
            assert isinstance(error.__cause__, ConnectionRefusedError)
        with pytest.raises(DatabaseUnavailable):
            async with made:
                pass
        await made.close()
        assert await seen.backends() == []


async def test_one_caller_after_another_needs_one_connection() -> None:
    """The next one waits for the session to be reset, rather than for another to be opened."""
    async with witness() as seen, pool(seen, 1, 5, max_waiting=0) as made:
        for _ in range(20):
            assert await made.fetchval("SELECT 1") == 1
            stats = made.stats()
            assert (stats.size, stats.in_use) == (1, 0)


async def test_nobody_is_refused_for_a_session_that_is_being_reset() -> None:
    """As many callers as connections are never too many, though they don't wait for the reset."""
    async with witness() as seen, pool(seen, 4, 4, max_waiting=0) as made:

        async def work() -> None:
            for _ in range(20):
                await made.fetchval("SELECT 1")

        await asyncio.gather(*(work() for _ in range(4)))
        assert made.stats().refused == 0


async def test_one_acquire_is_one_connection() -> None:
    """Also where two tasks enter it at once: one is told, and no connection is lost."""
    async with witness() as seen, pool(seen, 0, 1) as made:
        one = made.acquire()
        entered = await asyncio.gather(one.__aenter__(), one.__aenter__(), return_exceptions=True)
        assert isinstance(entered[1], RuntimeError)
        await one.__aexit__(None, None, None)
        assert await made.fetchval("SELECT 1") == 1


async def test_connections_that_died_one_by_one_are_all_replaced() -> None:
    """The pool keeps its floor, and never opens more than it may."""
    async with witness() as seen, pool(seen, 3, 4) as made:
        await made.initialize()
        for _ in range(5):
            first, *_ = await seen.backends()
            await seen.kill(first)
            async with seen.watch(most=4):
                calls = (made.fetchval("SELECT 1 FROM pg_sleep(0.01)") for _ in range(12))
                assert await asyncio.gather(*calls) == [1] * 12
        assert made.stats().size >= 3


def test_each_error_is_also_the_builtin_that_one_expects() -> None:
    """Who knows only Python's errors catches them too."""
    for name, builtin in {
        "DatabaseUnavailable": ConnectionError,
        "PoolClosed": RuntimeError,
        "PoolFull": RuntimeError,
        "PoolTimeout": TimeoutError,
        "QueryTimeout": TimeoutError,
        "WrongEventLoop": RuntimeError,
    }.items():
        error = getattr(cachepool_lib, name)
        assert issubclass(error, CachePoolError)
        assert issubclass(error, builtin)


def test_without_asyncpg_the_error_says_what_to_install() -> None:
    """The caches need none of it."""
    code = """
import sys
sys.modules["asyncpg"] = None
import cachepool_lib
cachepool_lib.AsyncCache, cachepool_lib.RedisCache
try:
    cachepool_lib.DatabasePool
except ImportError as error:
    assert "cachepool-lib[postgres]" in str(error), error
else:
    raise SystemExit(1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
