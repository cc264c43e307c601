"""The lab's pooler in transaction mode does what PgBouncer does, in everything that is shown."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from cachepool_lib import lab
from tests.tools.pgbouncer import POOLERS, pooler
from tests.tools.shared_servers import Database, SharedPostgres, shared_postgres

# One PostgreSQL for all of them: they stay on one worker.
pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("pooler")]

Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[SharedPostgres]:
    with shared_postgres(50) as running:
        yield running


@pytest.fixture
async def database(server: SharedPostgres, anyio_backend: Any) -> AsyncIterator[Database]:
    async with server.database() as mine:
        yield mine


@pytest.fixture(params=POOLERS)
async def pooled(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Any]:
    """`await pooled(size)` puts one of so many connections in front of a PostgreSQL: connect."""
    ways: list[Any] = []
    clients: list[Any] = []

    async def put(size: int) -> Connect:
        way = pooler(request.param, database.url, size)
        url = await way.__aenter__()
        ways.append(way)

        async def connect(**options: Any) -> Any:
            client = await asyncpg.connect(url, **{"statement_cache_size": 0} | options)
            clients.append(client)
            return client

        return connect

    yield put
    for client in clients:
        client.terminate()
    for way in ways:
        await way.__aexit__(None, None, None)


async def test_a_hundred_clients_share_five_connections(pooled: Any, database: Database) -> None:
    """All are answered, and the server never has more than five."""
    connect = await pooled(5)
    clients = await asyncio.gather(*(connect() for _ in range(100)))
    admin = await asyncpg.connect(database.admin_url)
    count = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE usename = 'shop' AND datname = current_database()"
    )
    asked = [client.fetchval("SELECT $1::int FROM pg_sleep(0.01)", n) for n, client in
             enumerate(clients)]  # fmt: skip
    answers = asyncio.gather(*asked)
    most = 0
    while not answers.done():
        most = max(most, await admin.fetchval(count))
    assert await answers == [*range(100)]
    assert most == 5
    await admin.close()


async def test_statements_that_stay_prepared_are_not_there_next_time(pooled: Any) -> None:
    """statement_cache_size=0 mends that, in transactions, too."""
    connect = await pooled(2)
    first, busy = await connect(statement_cache_size=100), await connect()
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        for _ in range(10):
            assert await first.fetchval("SELECT $1::int", 1) == 1
            async with busy.transaction():  # has that connection, so next time it is the other one
                await busy.execute("SELECT 1")
                await first.fetchval("SELECT $1::int", 1)
    mended = await connect()
    for number in range(10):
        assert await mended.fetchval("SELECT $1::int", number) == number
        async with mended.transaction():
            assert await mended.fetchval("SELECT $1::int", number) == number


async def test_the_next_client_has_what_the_last_one_set(pooled: Any) -> None:
    """SET and an advisory lock stay with the connection, SET LOCAL goes with the transaction."""
    connect = await pooled(1)
    ada, ben = await connect(), await connect()
    await ada.execute("SET my.tenant = 'ada'")
    assert await ben.fetchval("SELECT current_setting('my.tenant')") == "ada"
    async with ben.transaction():
        await ben.execute("SET LOCAL my.tenant = 'ben'")
        assert await ben.fetchval("SELECT current_setting('my.tenant')") == "ben"
    assert await ada.fetchval("SELECT current_setting('my.tenant')") == "ada"
    for client in (ada, ben):
        assert await client.fetchval("SELECT pg_try_advisory_lock(7)") is True


async def test_who_listens_hears_nothing(pooled: Any) -> None:
    """The connection that LISTENs belongs to somebody else by then."""
    connect = await pooled(1)
    ada, ben = await connect(), await connect()
    heard: list[Any] = []
    await ada.add_listener("news", lambda *told: heard.append(told))
    await ben.execute("NOTIFY news, 'one'")
    await ada.fetchval("SELECT 1 FROM pg_sleep(0.05)")
    assert heard == []
    await ada.remove_listener("news", lambda *told: None)


async def test_what_it_can_not_give_is_refused(pooled: Any) -> None:
    """A setting of the session at the start; and a wrong password."""
    connect = await pooled(1)
    with pytest.raises(asyncpg.ProtocolViolationError, match="statement_timeout"):
        await connect(server_settings={"statement_timeout": "1s"})
    refused = asyncpg.InvalidPasswordError, asyncpg.ProtocolViolationError
    with pytest.raises(refused):
        await connect(password="wrong")
    assert await (await connect(server_settings={"application_name": "a"})).fetchval("SELECT 1")


async def test_a_statement_that_is_given_up_is_cancelled(pooled: Any) -> None:
    """At the server, and the next one gets its connection."""
    connect = await pooled(1)
    client, other = await connect(), await connect()
    with pytest.raises(TimeoutError):
        await client.fetchval("SELECT 1 FROM pg_sleep(60)", timeout=0.2)
    assert await other.fetchval("SELECT 1", timeout=10) == 1
    assert await client.fetchval("SELECT 2", timeout=10) == 2


async def test_who_leaves_in_the_middle_of_a_transaction_leaves_nothing(pooled: Any) -> None:
    """It is rolled back, and the connection is replaced."""
    connect = await pooled(1)
    client, other = await connect(), await connect()
    await client.execute("CREATE TABLE t (x int)")
    pid = await client.fetchval("SELECT pg_backend_pid()")
    await client.transaction().start()
    await client.execute("INSERT INTO t VALUES (1)")
    client.terminate()
    assert await other.fetchval("SELECT count(*) FROM t", timeout=10) == 0
    assert await other.fetchval("SELECT pg_backend_pid()") != pid


async def test_transactions_follow_one_another_on_a_connection(database: Database) -> None:
    """`turns` says who had it, from when to when."""
    async with lab.Pooler(database.url, 2) as made:
        assert repr(made) == "<Pooler: 0 clients>"
        clients = [await asyncpg.connect(made.url, statement_cache_size=0) for _ in range(6)]
        made.turns.clear()
        await asyncio.gather(*(client.execute("SELECT pg_sleep(0.01)") for client in clients))
        assert sorted(turn.client for turn in made.turns) == [1, 2, 3, 4, 5, 6]
        for connection in (1, 2):
            mine = [turn for turn in made.turns if turn.connection == connection]
            assert mine
            for earlier, later in itertools.pairwise(mine):
                assert earlier.ended is not None
                assert earlier.ended <= later.began
        for client in clients:
            await client.close()


@pytest.mark.parametrize("size", [0, -1])
def test_a_pooler_has_at_least_one_connection(size: int) -> None:
    with pytest.raises(ValueError, match=f"size must be at least 1, got {size}"):
        lab.Pooler("postgresql://u:p@127.0.0.1/d", size)
