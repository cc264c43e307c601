"""DatabasePool when PostgreSQL fails: everybody is answered in time, told why, and it is soon back.

Real servers throughout. What the machine itself costs is measured as the lag of the event loop.
"""

import asyncio
import contextlib
import linecache
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from cachepool_lib import (
    CachePoolError,
    DatabasePool,
    DatabaseUnavailable,
    PoolTimeout,
    QueryTimeout,
    lab,
)
from tests.tools.pool_tools import Hold, Witness, pool, timed, witness
from tests.tools.redis_tools import Lag, until
from tests.tools.stand_in_server import serving

pytestmark = pytest.mark.anyio

LIMIT = 0.3  # acquire_timeout and command_timeout
MORE = 0.5  # that a caller may wait on top
SHORT = {"acquire_timeout": LIMIT, "command_timeout": LIMIT}


async def nothing() -> None:
    pass


@dataclass
class Broken:
    """A server that fails, after it worked where that is possible."""

    seen: Witness
    url: str
    break_it: Callable[[], Awaitable[Any]] = nothing
    mend_it: Callable[[], Awaitable[Any]] = nothing
    works_before: bool = True


def through_a_proxy(
    fault: Callable[[lab.Proxy], Any],
) -> Callable[[], contextlib.AbstractAsyncContextManager[Broken]]:
    @contextlib.asynccontextmanager
    async def broken() -> AsyncIterator[Broken]:
        async with witness() as seen, lab.Proxy(seen.url) as proxy:

            async def break_it() -> None:
                if (waits := fault(proxy)) is not None:
                    await waits

            yield Broken(seen, proxy.url, break_it, proxy.restore)

    return broken


@contextlib.asynccontextmanager
async def killed() -> AsyncIterator[Broken]:
    """An administrator ends all connections."""
    async with witness() as seen:
        yield Broken(seen, seen.url, seen.kill)


@contextlib.asynccontextmanager
async def role(seen: Witness, more: str, password: str = "p") -> AsyncIterator[tuple[str, str]]:
    """A role that nobody else has, and the address with it."""
    name = seen.name.replace("-", "_")
    await seen.admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p' {more}")
    url = urlsplit(seen.url)
    place = f"{name}:{password}@{url.netloc.rpartition('@')[2]}"
    try:
        yield name, urlunsplit(url._replace(netloc=place))
    finally:
        await seen.count(0)
        await seen.admin.execute(f"DROP ROLE {name}")


@contextlib.asynccontextmanager
async def too_many_connections() -> AsyncIterator[Broken]:
    async with witness() as seen, role(seen, "CONNECTION LIMIT 0") as (name, url):

        async def mend() -> None:
            await seen.admin.execute(f"ALTER ROLE {name} CONNECTION LIMIT 10")

        yield Broken(seen, url, mend_it=mend, works_before=False)


@contextlib.asynccontextmanager
async def wrong_password() -> AsyncIterator[Broken]:
    async with witness() as seen, role(seen, "", password="wrong") as (name, url):

        async def mend() -> None:
            await seen.admin.execute(f"ALTER ROLE {name} PASSWORD 'wrong'")

        yield Broken(seen, url, mend_it=mend, works_before=False)


@contextlib.asynccontextmanager
async def database_missing() -> AsyncIterator[Broken]:
    async with witness() as seen:
        name = seen.name.replace("-", "_")

        async def mend() -> None:
            await seen.admin.execute(f"CREATE DATABASE {name}")

        url = urlunsplit(urlsplit(seen.url)._replace(path=f"/{name}"))
        try:
            yield Broken(seen, url, mend_it=mend, works_before=False)
        finally:
            await seen.admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextlib.asynccontextmanager
async def no_postgres_at_all() -> AsyncIterator[Broken]:
    """Something listens there, and answers with something else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()

    async with witness() as seen, serving(serve) as port:
        yield Broken(seen, f"postgresql://a:b@127.0.0.1:{port}/c", works_before=False)


FAULTS = {
    "cut": through_a_proxy(lambda proxy: proxy.cut()),
    "cut in mid-reply": through_a_proxy(lambda proxy: proxy.cut(after=7)),
    "stalled": through_a_proxy(lambda proxy: proxy.stall()),
    "slow": through_a_proxy(lambda proxy: proxy.slow(0.4)),
    "killed": killed,
    "too many connections": too_many_connections,
    "wrong password": wrong_password,
    "database missing": database_missing,
    "no PostgreSQL at all": no_postgres_at_all,
}
SAYS = {
    "cut": "can't connect to the database: .*Connect",
    "stalled": "the server did not open one|no answer|all 2 are in use",
    "too many connections": "TooManyConnectionsError: too many connections",
    "wrong password": "InvalidPasswordError: password authentication failed",
    "database missing": "InvalidCatalogNameError: database .* does not exist",
    "no PostgreSQL at all": "can't connect to the database|the server did not open one",
}
every_fault = pytest.mark.parametrize("fault", FAULTS)


async def in_a_block(made: DatabasePool) -> Any:
    async with made.acquire() as connection:
        return await connection.fetchval("SELECT 1")


async def in_a_transaction(made: DatabasePool) -> Any:
    async with made.transaction() as connection:
        return await connection.fetchval("SELECT 1")


CALLS: list[Callable[[DatabasePool], Awaitable[Any]]] = [
    lambda made: made.fetchval("SELECT 1"),
    lambda made: made.fetchval("SELECT 1 FROM pg_sleep(0.05)"),
    lambda made: made.fetchval("SELECT $1::int", 1),
    in_a_block,
    in_a_transaction,
]


async def back(made: DatabasePool) -> None:
    """Ask until there is an answer; the same pool, opened once."""
    deadline = time.monotonic() + 5
    while isinstance(outcome := (await timed(made.fetchval("SELECT 1")))[0], Exception):
        assert time.monotonic() < deadline, repr(outcome)
        await asyncio.sleep(0.01)


@every_fault
async def test_everybody_is_answered_in_time_and_told_why(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Statements under way, callers in line, and newcomers; and the same pool works again."""
    async with FAULTS[fault]() as broken, pool(broken.seen, url=broken.url, **SHORT) as made:
        if broken.works_before:
            assert await made.fetchval("SELECT 1") == 1
        async with Lag() as lag:
            under_way = [asyncio.create_task(timed(call(made))) for call in 2 * CALLS]
            await asyncio.sleep(0.02)
            await broken.break_it()
            outcomes = await asyncio.gather(*under_way, *(timed(call(made)) for call in 2 * CALLS))
        slowest = max(took for _, took in outcomes)
        assert slowest <= 2 * LIMIT + MORE + lag.worst, (slowest, lag.worst)
        errors = [outcome for outcome, _ in outcomes if isinstance(outcome, Exception)]
        if fault in SAYS:
            assert errors
        for error in errors:
            assert isinstance(error, CachePoolError | asyncpg.PostgresError | TimeoutError)
            assert str(error) or type(error) is TimeoutError  # asyncpg's own
        if not broken.works_before or fault in ("cut", "stalled"):
            # Also newcomers, when nothing is left of what was open.
            error, _ = await timed(made.fetchval("SELECT 1"))
            assert isinstance(error, CachePoolError)
            assert re.search(SAYS[fault], str(error)), str(error)
        stats = made.stats()
        assert (stats.in_use, stats.waiting) == (0, 0)
        await broken.mend_it()
        if fault != "no PostgreSQL at all":
            async with broken.seen.watch(most=2):
                await back(made)
                for call in CALLS:
                    assert await call(made) == 1
            assert await asyncio.gather(
                *(made.fetchval("SELECT $1::int", n) for n in range(9))
            ) == [*range(9)]


async def test_a_statement_is_never_sent_twice() -> None:
    """Cut at any moment: each INSERT was done once or not at all, and once if it was confirmed."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, 2, 4, url=proxy.url, acquire_timeout=1) as made,
    ):
        table = seen.name.replace("-", "_")
        await seen.admin.execute(f"CREATE TABLE {table} (number int)")
        try:
            confirmed, numbers = [], iter(range(10_000))

            async def insert() -> None:
                number = next(numbers)
                done, _ = await timed(made.execute(f"INSERT INTO {table} VALUES ($1)", number))
                if done == "INSERT 0 1":
                    confirmed.append(number)

            for delay in [*[0, 0.001, 0.003, 0.006, 0.01] * 3, None]:
                calls = [asyncio.create_task(insert()) for _ in range(20)]
                if delay is None:
                    await until(lambda: bool(confirmed))
                else:
                    await asyncio.sleep(delay)
                await proxy.cut()
                await proxy.restore()  # who has sent nothing yet goes on
                await asyncio.gather(*calls)
                await back(made)
            rows = await seen.admin.fetch(f"SELECT number, count(*) FROM {table} GROUP BY number")
        finally:
            await made.close(timeout=0)
            await seen.admin.execute(f"DROP TABLE {table}")
        assert {count for _, count in rows} == {1}
        assert set(confirmed) <= {number for number, _ in rows}


class Stalls(asyncpg.Connection):  # type: ignore[misc]
    """Falls silent once an answer is here."""

    proxy: lab.Proxy

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        value = await super().fetchval(*args, **options)
        self.proxy.stall()
        return value


@pytest.mark.parametrize("hook", ["init", "setup"])
async def test_a_server_that_falls_silent_in_a_hook_holds_nobody_up(hook: str) -> None:
    """acquire_timeout holds there too, and so does close: asyncpg itself would say goodbye first,
    and wait for an answer.
    """
    async with witness() as seen, lab.Proxy(seen.url) as proxy:

        async def ask(connection: Any) -> None:
            proxy.stall()
            await connection.fetchval("SELECT 1")

        options = {hook: ask, "acquire_timeout": 0.2, "command_timeout": 60}
        async with pool(seen, 0, 1, url=proxy.url, **options) as made, Lag() as lag:
            outcome, took = await timed(made.fetchval("SELECT 1"))
            assert isinstance(outcome, PoolTimeout)
            assert took <= 0.2 + MORE + lag.worst
        await proxy.restore()


async def test_a_reset_of_the_callers_holds_nobody_up() -> None:
    """What it waits for need not be the connection."""

    async def reset(connection: Any) -> None:
        await asyncio.Event().wait()

    async with witness() as seen, pool(seen, 1, 1, reset=reset) as made:
        for _ in range(2):
            async with Lag() as lag:
                started = time.monotonic()
                async with made.acquire() as connection:
                    assert await connection.fetchval("SELECT 1") == 1
            assert time.monotonic() - started <= 2 * MORE + lag.worst


async def test_a_connection_that_cannot_be_given_back_is_replaced() -> None:
    """As one with a listener on it where warnings are errors, which asyncpg gives there."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        async with made.acquire() as connection:
            await connection.add_listener("orders", lambda *args: None)
        async with asyncio.timeout(5):
            assert await made.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("way", ["fetchval", "acquire"])
async def test_a_stall_while_giving_back_changes_no_outcome(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was here, so the caller gets it; an error of the block stays itself."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, url=proxy.url, connection_class=Stalls, acquire_timeout=5) as made,
    ):
        monkeypatch.setattr(Stalls, "proxy", proxy, raising=False)
        await made.initialize()
        if way == "fetchval":
            async with Lag() as lag:
                outcome, took = await timed(made.fetchval("SELECT 7"))
            assert outcome == 7
            assert took <= MORE + lag.worst
        else:
            with pytest.raises(LookupError):
                async with made.acquire() as connection:
                    assert await connection.fetchval("SELECT 7") == 7
                    raise LookupError
        await proxy.restore()
        assert await made.execute("SELECT 1") == "SELECT 1"


async def test_rolling_back_waits_for_no_silent_server() -> None:
    """No longer than giving back does, and the block's own error stays; COMMIT says what it was."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, url=proxy.url, command_timeout=1.5) as made,
    ):
        await made.initialize()

        async def fail() -> None:
            async with made.transaction() as connection:
                await connection.execute("SELECT 1")
                proxy.stall()
                raise LookupError

        async with Lag() as lag:
            outcome, took = await timed(fail())
        assert isinstance(outcome, LookupError)
        assert took <= MORE + lag.worst
        await proxy.restore()

        async def commit() -> None:
            async with made.transaction() as connection:
                await connection.execute("SELECT 1")
                proxy.stall()

        outcome, took = await timed(commit())
        assert isinstance(outcome, QueryTimeout)
        assert "COMMIT" in str(outcome)
        await proxy.restore()
        await back(made)


@pytest.mark.parametrize("step", ["BEGIN", "COMMIT"])
async def test_cancelled_while_a_transaction_begins_or_ends(step: str) -> None:
    """Nobody knows how it stands: the connection goes, and nothing of it stays or complains."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, 1, 1, url=proxy.url) as made,
    ):
        await made.initialize()
        under_way = asyncio.Event()

        async def change() -> None:
            if step == "BEGIN":
                proxy.slow(0.1)
                under_way.set()
            async with made.transaction() as connection:
                await connection.execute("SELECT 1")
                proxy.slow(0.1)
                under_way.set()

        task = asyncio.create_task(change())
        await under_way.wait()
        await asyncio.sleep(0.05)  # it waits for the answer, which is on its way
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await proxy.restore()
        await back(made)
        async with made.acquire() as connection:
            assert not connection.is_in_transaction()


async def test_the_limit_of_a_statement_is_for_all_of_its_steps() -> None:
    """Preparing it, looking up a type that asyncpg does not know, and doing it."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, url=proxy.url, command_timeout=LIMIT) as made,
    ):
        await made.initialize()
        name = seen.name.replace("-", "_")
        await seen.admin.execute(f"CREATE TYPE {name} AS (a int, b int)")
        try:
            proxy.slow(0.8 * LIMIT)  # each step is in time, all together are not
            async with Lag() as lag:
                outcome, took = await timed(made.fetchval(f"SELECT ROW(1, 2)::{name}"))
            assert isinstance(outcome, QueryTimeout)
            assert took <= LIMIT + 0.25 + 0.1 + lag.worst
            await proxy.restore()
            assert await made.fetchval(f"SELECT ROW(1, 2)::{name}") == (1, 2)
        finally:
            await seen.admin.execute(f"DROP TYPE {name}")


async def test_what_a_silent_server_owes_is_called_off_when_it_is_back() -> None:
    """Connections that were given up in mid-statement are called off before others replace them."""
    async with (
        witness() as seen,
        lab.Proxy(seen.as_given) as proxy,
        pool(seen, 2, 2, url=proxy.url, **SHORT) as made,
    ):
        await made.initialize()
        calls = [asyncio.create_task(timed(made.fetch("SELECT pg_sleep(60)"))) for _ in range(2)]
        await seen.count(2, state="PgSleep")
        first = await seen.backends()
        proxy.stall()
        for outcome, _ in await asyncio.gather(*calls):
            assert isinstance(outcome, QueryTimeout)
        assert isinstance((await timed(made.fetch("SELECT 1")))[0], PoolTimeout)
        await proxy.restore()
        await seen.gone(*first, seconds=30)  # by themselves they would end after a minute
        await back(made)
        assert len(await seen.backends()) <= 2


async def test_what_was_cut_in_mid_statement_is_called_off() -> None:
    """The server would work on for a minute without noticing, beside those that replaced them."""
    async with (
        witness() as seen,
        lab.Proxy(seen.as_given) as proxy,
        pool(seen, 0, 3, url=proxy.url) as made,
    ):
        calls = [asyncio.create_task(timed(made.fetch("SELECT pg_sleep(60)"))) for _ in range(3)]
        await seen.count(3, state="PgSleep")
        await proxy.cut()
        for outcome, _ in await asyncio.gather(*calls):
            assert isinstance(outcome, asyncpg.ConnectionDoesNotExistError)
        assert len(await seen.backends()) == 3
        await proxy.restore()
        async with seen.watch(most=4):  # the next connection ends them, before there are others
            for _ in range(3):
                await asyncio.gather(*(made.fetch("SELECT pg_sleep(0.02)") for _ in range(3)))
        assert len(await seen.backends()) == 3


async def test_a_server_that_restarts() -> None:
    """Stopped under load and started again: everybody is told, and the same pool goes on."""
    async with lab.postgres() as server:
        [admin] = server.admin_urls
        async with witness(admin) as seen:
            url = seen.url
        made = DatabasePool(url, 2, 4, **SHORT)
        try:
            stop = asyncio.Event()
            outcomes: list[Any] = []

            async def work() -> None:
                while not stop.is_set():
                    outcome, took = await timed(made.fetchval("SELECT 1 FROM pg_sleep(0.005)"))
                    outcomes.append((outcome, took))
                    await asyncio.sleep(0.005)

            workers = [asyncio.create_task(work()) for _ in range(8)]
            async with Lag() as lag:
                await until(lambda: len(outcomes) > 50)
                await server.stop()
                down = len(outcomes)
                await until(lambda: len(outcomes) > down + 50)
                await server.start()
                up = len(outcomes)
                await until(lambda: sum(one == 1 for one, _ in outcomes[up:]) > 50)
                stop.set()
                await asyncio.gather(*workers)
            assert max(took for _, took in outcomes) <= 2 * LIMIT + MORE + lag.worst
            errors = {type(one) for one, _ in outcomes if isinstance(one, Exception)}
            assert DatabaseUnavailable in errors
            assert all(issubclass(e, CachePoolError | asyncpg.PostgresError) for e in errors)
            # Frozen: the operating system answers for it, PostgreSQL does not.
            await server.freeze()
            async with Lag() as lag:
                calls = (timed(call(made)) for call in 2 * CALLS)
                for outcome, took in await asyncio.gather(*calls):
                    assert isinstance(outcome, TimeoutError)
                    assert took <= 2 * LIMIT + MORE + lag.worst
            await server.thaw()
            await back(made)
        finally:
            await made.close(timeout=0)


async def test_an_error_of_the_statement_is_the_callers_and_costs_no_connection() -> None:
    """Disk full, for one: as asyncpg says it, once, and the connection serves the next caller."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        pid = await made.fetchval("SELECT pg_backend_pid()")
        fail = "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
        with pytest.raises(asyncpg.DiskFullError, match="no space left"):
            await made.execute(fail)
        with pytest.raises(asyncpg.DiskFullError, match="no space left"):
            async with made.transaction() as connection:
                await connection.execute(fail)
        with pytest.raises(asyncpg.OutOfMemoryError):
            await made.execute(fail.replace("disk_full", "out_of_memory"))
        assert await made.fetchval("SELECT pg_backend_pid()") == pid


@pytest.mark.parametrize("way", ["fetch", "acquire", "statement", "transaction"])
async def test_a_statement_that_takes_too_long_is_cancelled(way: str) -> None:
    """QueryTimeout with the limit; nothing runs on; another connection serves the next caller."""

    async def ask(made: DatabasePool, query: str) -> Any:
        if way == "fetch":
            return await made.fetchval(query)
        if way == "transaction":
            async with made.transaction() as connection:
                return await connection.fetchval(query)
        async with made.acquire() as connection:
            if way == "acquire":
                return await connection.fetchval(query)
            return await (await connection.prepare(query)).fetchval()

    async with witness() as seen, pool(seen, 1, 1, command_timeout=0.1) as made:
        pid = await made.fetchval("SELECT pg_backend_pid()")
        async with seen.watch(most=1):
            with pytest.raises(QueryTimeout, match=r"within 0\.1 s"):
                await ask(made, "SELECT pg_sleep(60)")
            assert await made.fetchval("SELECT pg_backend_pid()") != pid
        await seen.count(0, state="active")


async def test_a_caller_may_give_a_statement_more_or_less_time() -> None:
    """Than the pool's command_timeout, for this time."""
    async with witness() as seen, pool(seen, 1, 1, command_timeout=0.1) as made:
        with pytest.raises(QueryTimeout, match=r"within 0\.05 s"):
            await made.fetch("SELECT pg_sleep(60)", timeout=0.05)
        await seen.count(0, state="active")
        assert await made.fetchval("SELECT 1 FROM pg_sleep(0.2)", timeout=5) == 1
        async with made.acquire() as connection:
            assert await connection.fetchval("SELECT 1 FROM pg_sleep(0.2)", timeout=5) == 1


async def test_a_slow_application_can_be_found() -> None:
    """Holding a connection while waiting for something else shows in the percentiles, by name."""
    async with witness() as seen, pool(seen, 1, 4) as made:
        for _ in range(20):
            await made.fetch("SELECT 1")
        quick = made.stats().hold_p99
        elsewhere = asyncio.Event()

        async def page() -> None:
            async with made.acquire() as connection:  # the line to be found
                await connection.fetch("SELECT 1")
                await elsewhere.wait()

        task = asyncio.create_task(page(), name="the slow page")
        await until(lambda: made.holders())
        async with Hold(made):
            await asyncio.sleep(0.05)
            longest, second = made.holders()
        assert longest.task == "the slow page"
        assert longest.seconds >= second.seconds >= 0.05
        file, line, function = longest.where.replace(" in ", ":").split(":")
        assert (file, function) == ("test_pool_faults.py", "page")
        assert "# the line to be found" in linecache.getline(__file__, int(line))
        await asyncio.sleep(max(0, 5 * quick - longest.seconds))
        elsewhere.set()
        await task
        assert made.stats().hold_p99 >= max(0.05, 5 * quick)
        assert made.holders() == []
