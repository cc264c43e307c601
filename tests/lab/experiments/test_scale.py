"""Many clients of one PostgreSQL, and a replica of it that lags, as notebook 07 shows them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from cachepool_lib import lab

pytestmark = pytest.mark.anyio

PRICE = "SELECT cents FROM prices WHERE product = 7"


@pytest.fixture
async def database(anyio_backend: Any) -> AsyncIterator[Any]:
    async with lab.postgres(max_connections=20) as started:
        yield started


@pytest.fixture
async def with_replica(anyio_backend: Any) -> AsyncIterator[Any]:
    async with lab.postgres(max_connections=20, replica=True) as started:
        yield started


async def test_instances_open_until_the_places_are_taken(database: Any) -> None:
    """Who needs more than is left is refused; through a pooler all open on a few, and all are
    answered. At the end nobody is connected.
    """
    direct = await lab.open_instances(database, 6, size=4)
    assert (direct.opened, direct.connections, direct.limit) == (4, [4, 8, 12, 16], 17)
    assert direct.refusal == "remaining connection slots are reserved"
    assert direct.answered == 16
    pooled = await lab.open_instances(database, 6, size=4, pooler=5)
    assert (pooled.opened, pooled.refusal, pooled.answered) == (6, "", 24)
    assert max(pooled.connections) <= 5
    enough = await lab.open_instances(database, 4, size=4)  # so those before are closed
    assert (enough.opened, enough.refusal) == (4, "")


async def test_what_the_server_refuses_is_the_answer(database: Any) -> None:
    """By its name; a mistake of one's own is raised. A statement that stays prepared is one."""

    async def prepare(ada: Any, ben: Any) -> Any:
        await ada.fetchval("SELECT 1")
        async with ben.transaction():
            await ben.execute("SELECT 2")
            return await ada.fetchval("SELECT 1")

    told = await lab.two_clients(database, prepare, size=2, statement_cache_size=100)
    assert told.answer == "InvalidSQLStatementNameError" and not told.statements
    assert (await lab.two_clients(database, prepare, size=2)).answer == 1

    async def mistake(ada: Any, ben: Any) -> Any:
        raise KeyError("mistake")

    with pytest.raises(KeyError, match="mistake"):
        await lab.two_clients(database, mistake)


async def test_it_is_noted_what_the_connection_carries(database: Any) -> None:
    """After each statement, in order; what ends with a transaction is gone after it."""

    async def way(ada: Any, ben: Any) -> Any:
        async with ada.transaction():
            await ada.execute("SELECT set_config('shop.tenant', $1, true)", "ada")
            await ada.fetchval("SELECT 'a lamp' FROM pg_database")
        await ben.execute("SET shop.tenant = 'ben'")
        with pytest.raises(ZeroDivisionError):
            async with ada.transaction():
                await ada.fetchrow("SELECT 1")
                await ada.fetch("SELECT 2")
                raise ZeroDivisionError
        return 1

    told = await lab.two_clients(database, way)
    assert repr(told) == "1"
    noted = [(each.who, each.text.partition(" ")[0], each.carries) for each in told.statements]
    assert noted == [
        ("Ada", "BEGIN", ""),
        ("Ada", "SELECT", "ada"),
        ("Ada", "SELECT", "ada"),
        ("Ada", "COMMIT", ""),
        ("Ben", "SET", "ben"),
        ("Ada", "BEGIN", "ben"),
        ("Ada", "SELECT", "ben"),
        ("Ada", "SELECT", "ben"),
        ("Ada", "ROLLBACK", "ben"),
    ]
    assert told.statements[1].text == "SELECT set_config('shop.tenant', 'ada', true)"
    assert [each.answer for each in told.statements if each.read] == ["a lamp"]


async def write(primary: Any, cache: Any) -> None:
    await primary.execute("UPDATE prices SET cents = 200 WHERE product = 7")
    await cache.delete("price")


async def from_the_replica(primary: Any, replica: Any, cache: Any) -> Any:
    return await cache.get_or_load("price", lambda: replica.fetchval(PRICE))


async def from_the_primary(primary: Any, replica: Any, cache: Any) -> Any:
    return await cache.get_or_load("price", lambda: primary.fetchval(PRICE))


async def without_a_cache(primary: Any, replica: Any, cache: Any) -> Any:
    return await replica.fetchval(PRICE)


async def delete(cache: Any) -> None:
    await cache.delete("price")


async def test_cached_lag_lasts_a_ttl(with_replica: Any) -> None:
    """Unless the page comes from the primary, or its key is deleted once more."""

    async def old_for(read: Any, **options: Any) -> float:
        told = await lab.from_replica(with_replica, write, read, **options)
        return told.old_for

    assert await old_for(from_the_replica) == 60
    assert await old_for(from_the_replica, lag=3.5) == 60
    assert await old_for(without_a_cache) == 1
    assert await old_for(from_the_primary) == 0
    assert await old_for(from_the_replica, later=(2, delete)) == 2
    assert await old_for(from_the_replica, later=(0.5, delete)) == 60.5  # too early


async def test_the_replica_goes_on_after_a_mistake(with_replica: Any) -> None:
    """Whatever the writer or a reader raises; a lag that can't be shown is refused."""

    async def mistake(*args: Any) -> Any:
        raise KeyError("mistake")

    for functions in ((mistake, from_the_replica), (write, mistake)):
        with pytest.raises(KeyError, match="mistake"):
            await lab.from_replica(with_replica, *functions)
    told = await lab.from_replica(with_replica, write, from_the_replica)
    assert repr(told) == "the replica is old for 1 s, readers for 60 s"
    with pytest.raises(ValueError, match="lag must be quarters of a second, less than 60 s"):
        await lab.from_replica(with_replica, write, from_the_replica, lag=0.1)
    connection = await asyncpg.connect(with_replica.replica_url)
    async with asyncio.timeout(30):
        while await connection.fetchval(PRICE) != 200:
            await asyncio.sleep(0.01)
    await connection.close()
