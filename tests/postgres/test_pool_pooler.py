"""DatabasePool behind a pooler in transaction mode: with statement_cache_size=0 all works."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from cachepool_lib import DatabasePool, DatabaseUnavailable, QueryTimeout, lab
from tests.tools.pgbouncer import POOLERS, pooler
from tests.tools.pool_tools import timed
from tests.tools.redis_tools import until
from tests.tools.shared_servers import Database, SharedPostgres, shared_postgres

# One PostgreSQL for all of them: they stay on one worker.
pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("pool behind a pooler")]

Make = Callable[..., Awaitable[DatabasePool]]


@pytest.fixture(scope="module")
def server() -> Iterator[SharedPostgres]:
    with shared_postgres(50) as running:
        yield running


@pytest.fixture
async def database(server: SharedPostgres, anyio_backend: Any) -> AsyncIterator[Database]:
    async with server.database() as mine:
        yield mine


@pytest.fixture(params=POOLERS)
async def make(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Any]:
    """`await make(2, …)`: a pool whose pooler has two connections; `make.admin`, `make.proxy`."""
    made: list[Any] = []
    ways: list[Any] = []

    async def pool(size: int, min_size: int = 2, max_size: int = 10, **options: Any) -> Any:
        way = pooler(request.param, database.url, size)
        pool.proxy = await lab.Proxy(await way.__aenter__()).__aenter__()  # type: ignore[attr-defined]
        ways.extend([way, pool.proxy])  # type: ignore[attr-defined]
        options = {"statement_cache_size": 0} | options
        made.append(DatabasePool(pool.proxy.url, min_size, max_size, **options))  # type: ignore[attr-defined]
        return made[-1]

    pool.admin = await asyncpg.connect(database.admin_url)  # type: ignore[attr-defined]
    yield pool
    for one in made:
        await one.close(timeout=1)
    for way in reversed(ways):
        await way.__aexit__(None, None, None)
    await pool.admin.close()  # type: ignore[attr-defined]


async def test_a_crowd_is_answered_by_few_connections(make: Any) -> None:
    """Giving back does not wait in the pooler's line, so no connection is lost by it."""
    pool = await make(2, 10, 50)
    calls = (pool.fetchval("SELECT $1::int FROM pg_sleep(0.005)", n) for n in range(200))
    assert await asyncio.gather(*calls) == [*range(200)]

    async def page(number: int) -> Any:
        async with pool.acquire() as connection:
            return await connection.fetchval("SELECT $1::int", number)

    assert await asyncio.gather(*map(page, range(100))) == [*range(100)]
    assert pool.stats().lost == 0


async def test_a_transaction_that_was_left_open_is_rolled_back(make: Any) -> None:
    """By a block that ends without an end to it; the pooler's connection is free again."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: said.append(what["message"]))
    pool = await make(1, 1, 2)
    await pool.execute("CREATE TABLE t (x int)")
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO t VALUES (1)")
    assert await pool.fetchval("SELECT count(*) FROM t") == 0
    with pytest.raises(ZeroDivisionError):
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError
    assert await pool.fetchval("SELECT count(*) FROM t") == 0
    assert pool.stats().lost == 0
    assert len(said) == 1
    assert "active transaction" in said[0]  # by asyncpg, who knows that somebody forgot it


async def test_a_reset_of_ones_own_is_called_all_the_same(make: Any) -> None:
    """After each borrowing."""
    resets = 0

    async def reset(connection: Any) -> None:
        nonlocal resets
        resets += 1

    pool = await make(1, 1, 1, reset=reset)
    await pool.fetchval("SELECT 1")
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT 1")
    await until(lambda: resets == 2)


async def test_without_a_pooler_everything_is_reset(database: Database) -> None:
    """Though nothing is prepared there, either: the session is the next borrower's."""
    async with DatabasePool(database.url, 1, 1, statement_cache_size=0) as pool:
        await pool.execute("SET my.tenant = 'ada'")
        assert await pool.fetchval("SELECT current_setting('my.tenant', true)") in (None, "")


@pytest.mark.parametrize("way", ["command_timeout", "cancelled"])
async def test_a_statement_that_is_given_up_ends_at_the_server(make: Any, way: str) -> None:
    """And others get the pooler's connection."""
    pool = await make(1, 1, 2, command_timeout=0.5)
    call = asyncio.ensure_future(timed(pool.fetchval("SELECT 1 FROM pg_sleep(60)")))
    asleep = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    async with asyncio.timeout(20):
        while not await make.admin.fetchval(asleep):
            await asyncio.sleep(0.01)
        if way == "cancelled":
            call.cancel()
            await asyncio.wait([call])
        else:
            assert isinstance((await call)[0], QueryTimeout)
        while await make.admin.fetchval(asleep):
            await asyncio.sleep(0.01)
        while (await timed(pool.fetchval("SELECT 1")))[0] != 1:
            await asyncio.sleep(0.01)


async def test_connections_that_are_cut_are_replaced(make: Any) -> None:
    """Whoever had one is told; nobody's statement is ended for it, and the pool goes on."""
    pool = await make(2, 2, 4)
    await pool.initialize()
    async with pool.acquire() as connection:
        await make.proxy.cut()
        assert isinstance((await timed(connection.fetchval("SELECT 1")))[0], Exception)
    with pytest.raises(DatabaseUnavailable):
        async with pool.acquire(timeout=2):
            pass
    await make.proxy.restore()
    assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(20))) == [1] * 20
