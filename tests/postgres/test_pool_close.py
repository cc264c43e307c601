"""Closing a DatabasePool in every state that it may be in: it is in time, and leaves nothing."""

import asyncio
import contextlib
import math
import time
from typing import Any

import asyncpg
import pytest

from cachepool_lib import DatabasePool, PoolClosed, lab
from tests.tools.pool_tools import Hold, pool, timed, witness
from tests.tools.redis_tools import Lag, until

pytestmark = pytest.mark.anyio

MORE = 0.5  # that close may take on top of its timeout


async def test_it_waits_for_those_who_hold_and_refuses_all_others() -> None:
    """At once, also those who were in line; and the holder's last statement is done."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        async with made.acquire() as connection:
            waiting = [asyncio.create_task(timed(made.fetch("SELECT 1"))) for _ in range(5)]
            await until(lambda: made.stats().waiting == 5)
            closing = asyncio.create_task(made.close())
            for outcome, _ in await asyncio.gather(*waiting):
                assert isinstance(outcome, PoolClosed)
                assert "while this caller waited" in str(outcome)
            with pytest.raises(PoolClosed, match=r"initialize\(\) opens it again"):
                await made.fetch("SELECT 1")
            assert made.stats().waiting == 0
            assert not closing.done()
            assert await connection.fetchval("SELECT 1") == 1
        await closing
        await seen.count(0)


async def test_who_holds_on_is_terminated_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """In mid-statement too: nothing runs on, and the error says that the pool was closed."""
    async with witness() as seen, pool(seen, 2, 2) as made:

        async def hold() -> None:
            async with made.acquire() as connection:
                await connection.fetch("SELECT pg_sleep(60)")

        holding = [asyncio.create_task(timed(hold()), name=f"page {n}") for n in range(2)]
        await seen.count(2, state="PgSleep")
        async with Lag() as lag:
            _, took = await timed(made.close(timeout=0.1))
        assert 0.1 <= took <= 0.1 + MORE + lag.worst
        for outcome, _ in await asyncio.gather(*holding):
            assert isinstance(outcome, PoolClosed)
            assert "while this connection was held" in str(outcome)
            assert isinstance(outcome.__cause__, asyncpg.PostgresError)
        await seen.count(0)
        assert len(caplog.messages) == 2
        assert "page 0 has held for 0." in caplog.messages[0]
        assert "test_pool_close.py" in caplog.messages[0]


@pytest.mark.parametrize("holders", [0, 2])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_silent_server_does_not_hold_it_up(holders: int, tls: bool) -> None:
    """Nobody answers the good-bye: it is cut short, and the backends go when the server is back.

    Where asyncpg asks for TLS first, its request to cancel a statement waits for an answer to that;
    there the server is told with the next connection.
    """
    async with witness() as seen, lab.Proxy(seen.as_given if tls else seen.url) as proxy:
        made = DatabasePool(proxy.url, 2, 2)
        await made.initialize()
        calls = [
            asyncio.create_task(timed(made.fetch("SELECT pg_sleep(60)"))) for _ in range(holders)
        ]
        await seen.count(holders, state="PgSleep")
        proxy.stall()
        async with Lag() as lag:
            _, took = await timed(made.close(timeout=0.1))
        assert took <= 0.1 + MORE + lag.worst
        for outcome, _ in await asyncio.gather(*calls):
            assert isinstance(outcome, PoolClosed)
        await proxy.restore()
        if tls:
            async with made:
                assert await made.fetchval("SELECT 1") == 1
        await seen.count(0)


async def test_twice_and_from_two_tasks_at_once() -> None:
    """Each returns when it is closed; the shortest timeout counts."""
    async with witness() as seen, pool(seen) as made:
        await made.close()  # was never open
        await made.close()
        async with made:  # closed is not the end
            leak = made.acquire()
            await leak.__aenter__()
            patient = asyncio.create_task(made.close(timeout=math.inf))
            await asyncio.sleep(0)
            also = asyncio.create_task(made.close(timeout=30))
            await asyncio.sleep(0.05)
            assert not patient.done()
            assert not also.done()
            async with Lag() as lag:
                _, took = await timed(made.close(timeout=0.05))
                await asyncio.gather(patient, also)
            assert took <= 0.05 + MORE + lag.worst
            await seen.count(0)
            await made.close()
            await leak.__aexit__(None, None, None)


async def test_one_of_two_that_close_may_leave() -> None:
    """The other one goes on; the last one out terminates all."""
    async with witness() as seen, pool(seen) as made:
        async with Hold(made):
            first = asyncio.create_task(made.close())
            second = asyncio.create_task(made.close())
            await asyncio.sleep(0.01)
            first.cancel()
            await asyncio.wait([first], timeout=1)
            assert first.cancelled()
            await asyncio.sleep(0.01)
            assert not second.done()
        await second
        await made.initialize()
        async with Hold(made):
            only = asyncio.create_task(made.close())
            await asyncio.sleep(0.01)
            only.cancel()
            await asyncio.wait([only])
            await seen.count(0)
        await made.initialize()
        assert await made.fetchval("SELECT 1") == 1


class Prepares(asyncpg.Connection):  # type: ignore[misc]
    """Once a statement is prepared, waits for *go* before it has it done."""

    prepared: asyncio.Event
    go: asyncio.Event

    async def _get_statement(self, *args: Any, **options: Any) -> Any:
        statement = await super()._get_statement(*args, **options)
        self.prepared.set()
        await self.go.wait()
        return statement


@pytest.mark.parametrize("block", [False, True])
async def test_who_is_between_two_answers_of_the_server_is_told(
    block: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg itself comes upon None there. An AttributeError of the block's own stays one."""
    monkeypatch.setattr(Prepares, "prepared", asyncio.Event(), raising=False)
    monkeypatch.setattr(Prepares, "go", asyncio.Event(), raising=False)
    async with witness() as seen:
        made = DatabasePool(seen.url, 1, 1, connection_class=Prepares)

        async def hold() -> None:
            async with made.acquire() as connection:
                await connection.fetch("SELECT 1")

        async def mistake() -> None:
            async with made.acquire():
                Prepares.prepared.set()
                await Prepares.go.wait()
                None.fetch("SELECT 1")  # type: ignore[attr-defined]

        for call in (hold if block else lambda: made.fetch("SELECT 1"), mistake):
            Prepares.go.set()
            await made.initialize()
            Prepares.prepared.clear()
            Prepares.go.clear()
            holding = asyncio.create_task(timed(call()))
            await Prepares.prepared.wait()
            await made.close(timeout=0)
            Prepares.go.set()
            outcome, _ = await holding
            assert isinstance(outcome, AttributeError if call is mistake else PoolClosed)


@pytest.mark.parametrize("fault", ["none", "stalled"])
async def test_while_it_opens(fault: str) -> None:
    """Those who open it are told at once, and no connection comes after."""
    async with witness() as seen, lab.Proxy(seen.url) as proxy:
        made = DatabasePool(proxy.url, 3, 5)
        for turns in range(12 if fault == "none" else 1):
            if fault == "stalled":
                proxy.stall()
            callers = [
                asyncio.create_task(timed(call))
                for call in (made.initialize(), made.fetch("SELECT 1"), made.fetch("SELECT 1"))
            ]
            await asyncio.sleep(turns * 0.003 if fault == "none" else 0.05)
            async with Lag() as lag:
                _, took = await timed(made.close(timeout=0))
            left = [task for task in asyncio.all_tasks() if "Openings" in repr(task)]
            assert not left, "something is still opening"
            assert took <= MORE + lag.worst
            for outcome, _ in await asyncio.gather(*callers):
                assert outcome is None or outcome == [(1,)] or isinstance(outcome, PoolClosed)
            await proxy.restore()
            await seen.count(0)
            assert repr(made).startswith("<DatabasePool: closed, 0 of 5 in use, 0 waiting")


async def test_while_a_connection_is_opened_for_somebody() -> None:
    """The pool is open, the caller has its turn, and the server is silent."""
    async with witness() as seen, lab.Proxy(seen.url) as proxy:
        made = DatabasePool(proxy.url, 1, 2)
        async with made.acquire():
            proxy.stall()
            caller = asyncio.create_task(timed(made.fetch("SELECT 1")))
            await until(lambda: proxy.connections == 2)
            closing = asyncio.create_task(made.close(timeout=0.2))
            outcome, _ = await caller
            assert isinstance(outcome, PoolClosed)
            await closing
        await proxy.restore()
        await seen.count(0)


async def test_opened_again_while_it_closes() -> None:
    """First it is closed, then it opens; who held on from before disturbs nobody."""
    async with witness() as seen, pool(seen, 1, 1) as made, Hold(made) as hold:
        closing = asyncio.create_task(made.close(timeout=0.05))
        await asyncio.sleep(0)
        await made.initialize()
        assert closing.done()
        assert await made.fetchval("SELECT 1") == 1
        await hold.free()
        async with Hold(made):
            assert (made.stats().in_use, made.stats().size) == (1, 1)
            with pytest.raises(TimeoutError):
                async with made.acquire(timeout=0):
                    pass


@pytest.mark.parametrize("again", ["close", "initialize"])
async def test_after_a_close_that_was_cancelled(again: str) -> None:
    """It has terminated all, and the pool can be closed, or opened, as after any other."""
    async with witness() as seen, pool(seen, 1, 2) as made, Hold(made) as hold:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await made.close()
        if again == "initialize":
            await made.initialize()
            assert await made.fetchval("SELECT 1") == 1
        else:
            await made.close()
            await seen.count(0)
        with contextlib.suppress(PoolClosed):
            await hold.free()


async def test_opened_again_while_an_opening_is_ended() -> None:
    """Who opened it before is told that it was closed; who opens it now gets it open."""
    begun: Any = asyncio.Event()

    async def init(connection: Any) -> None:
        begun.set()
        await asyncio.sleep(0.01)

    async with witness() as seen, pool(seen, 1, 1, init=init) as made:
        first = asyncio.create_task(timed(made.initialize()))
        await begun.wait()
        closing = asyncio.create_task(made.close())
        await asyncio.sleep(0)
        await made.initialize()
        await closing
        assert isinstance((await first)[0], PoolClosed)
        assert await made.fetchval("SELECT 1") == 1


async def test_an_error_that_was_there_before_close_came_stays_one() -> None:
    """What the server had answered is an outcome, though it is raised later."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        failed, go = asyncio.Event(), asyncio.Event()

        async def fail() -> None:
            async with made.acquire() as connection:
                try:
                    await connection.fetchval("SELECT 1 / 0")
                finally:
                    failed.set()
                    await go.wait()

        failing = asyncio.create_task(timed(fail()))
        await failed.wait()
        await made.close(timeout=0)
        go.set()
        outcome, _ = await failing
        assert isinstance(outcome, asyncpg.DivisionByZeroError)


@pytest.mark.parametrize("failing", [False, True])
async def test_the_end_of_the_block_closes_it(failing: bool) -> None:
    """And whoever waits is told."""
    async with witness() as seen:
        with contextlib.suppress(LookupError):
            async with DatabasePool(seen.url, 1, 1) as made:
                held: Any = asyncio.Event()

                async def hold(made: DatabasePool = made, held: Any = held) -> None:
                    async with made.acquire() as connection:
                        held.set()
                        await connection.fetch("SELECT pg_sleep(0.05)")

                task = asyncio.create_task(timed(hold()))
                await held.wait()
                if failing:
                    raise LookupError
        assert (await task)[0] is None
        assert await seen.backends() == []


async def test_close_from_within_a_borrowed_block_ends() -> None:
    """Who closes what it holds itself waits for itself, and no longer than the timeout."""
    async with witness() as seen, pool(seen) as made:
        async with Lag() as lag:
            started = time.monotonic()
            async with made.acquire():
                await made.close(timeout=0.05)
        assert time.monotonic() - started <= 0.05 + MORE + lag.worst
        await seen.count(0)


class ClosesFirst(asyncpg.Connection):  # type: ignore[misc]
    """Has the pool closed when an answer is here, and then gives the answer."""

    pool: DatabasePool

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        value = await super().fetchval(*args, **options)
        await self.pool.close(timeout=0)
        return value


async def test_an_answer_that_came_before_the_end_stays_an_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Close ended the connection between the answer and the moment in which its caller runs on."""
    async with witness() as seen, pool(seen, 1, 1, connection_class=ClosesFirst) as made:
        monkeypatch.setattr(ClosesFirst, "pool", made, raising=False)
        assert await made.fetchval("SELECT 7") == 7
        assert "terminated the connection" in caplog.text
        await seen.count(0)
