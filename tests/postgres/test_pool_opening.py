"""How connections are opened, how often it is tried, and how long they are kept."""

import asyncio
import random
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from cachepool_lib import DatabaseUnavailable, PoolTimeout, lab
from tests.postgres.test_pool_faults import role
from tests.tools.pool_tools import Hold, pool, timed, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio


async def test_a_server_that_refuses_for_a_moment_fails_nobody() -> None:
    """Not those who come first, nor those who find that their connections were cut."""
    async with witness() as seen, lab.Proxy(seen.url) as proxy:
        await proxy.cut()
        async with pool(seen, 2, 4, url=proxy.url) as made:
            calls = [asyncio.create_task(timed(made.fetchval("SELECT 1"))) for _ in range(6)]
            calls.append(asyncio.create_task(timed(made.initialize())))
            await until(lambda: made.stats().failed >= 2)
            await proxy.restore()
            outcomes = [outcome for outcome, _ in await asyncio.gather(*calls)]
            assert outcomes == [1] * 6 + [None]
            await proxy.cut()
            failed = made.stats().failed
            calls = [asyncio.create_task(timed(made.fetchval("SELECT 1"))) for _ in range(6)]
            await until(lambda: made.stats().failed > failed)
            await proxy.restore()
            assert [outcome for outcome, _ in await asyncio.gather(*calls)] == [1] * 6


async def test_too_many_clients_is_no_error_while_a_connection_is_held() -> None:
    """It comes back, and serves the next one; when nothing does, the error says what it was."""
    async with (
        witness() as seen,
        role(seen, "CONNECTION LIMIT 1") as (_, url),
        pool(seen, 0, 2, url=url, acquire_timeout=60) as made,
    ):
        async with Hold(made) as hold:
            waiting = asyncio.create_task(made.fetchval("SELECT 1"))
            await until(lambda: made.stats().failed >= 1)
            assert not waiting.done()
            with pytest.raises(DatabaseUnavailable, match="too many connections"):
                await made.acquire(timeout=0.2)
            await hold.free()
        assert await waiting == 1


async def test_who_waits_for_a_slow_opening_takes_what_comes_free() -> None:
    """And the one that is opened meanwhile is the next one's."""
    go, begun, opened = asyncio.Event(), asyncio.Event(), 0

    async def connect(*args: Any, **options: Any) -> Any:
        nonlocal opened
        opened += 1
        if opened > 1:
            begun.set()
            await go.wait()
        return await asyncpg.connect(*args, **options)

    async with witness() as seen, pool(seen, 0, 2, connect=connect) as made:
        async with Hold(made) as hold:
            waiting = asyncio.create_task(made.fetchval("SELECT 1"))
            await begun.wait()
            await hold.free()
            assert await waiting == 1
        assert made.stats().size == 1
        go.set()
        await until(lambda: made.stats().size == 2)


async def test_one_after_another_needs_one_connection_of_two() -> None:
    """Its session is reset meanwhile, which takes less time than opening another one."""
    async with witness() as seen, pool(seen, 0, 2) as made:
        for _ in range(20):
            assert await made.fetchval("SELECT 1") == 1
            async with made.acquire() as connection:
                assert await connection.fetchval("SELECT 1") == 1
        assert made.stats().opened == 1


async def test_a_connection_is_replaced_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle one at once, a held one when it comes back; up to a tenth earlier, at random."""
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    async with witness() as seen, pool(seen, 2, 3, max_lifetime=0.2) as made:
        await made.initialize()
        first = set(await seen.backends())
        async with made.acquire() as connection:
            held = connection.get_server_pid()
            await until(lambda: made.stats().opened >= 3)  # one for the idle one
            assert await connection.fetchval("SELECT 1") == 1
        await until(lambda: made.stats().opened >= 4)
        await seen.gone(held, *first)
        assert set(asked) == {(0.9, 1)}
        assert made.stats().lost == 0


async def test_what_is_not_used_is_closed_down_to_min_size() -> None:
    """After max_inactive_connection_lifetime; those that are kept are the same."""
    options = {"max_inactive_connection_lifetime": 0.1}
    async with witness() as seen, pool(seen, 2, 5, **options) as made:
        await made.initialize()
        async with Hold(made, 5):
            assert made.stats().size == 5
        held = made.stats().hold_p99
        await until(lambda: made.stats().size == 2)
        await seen.count(2)
        assert made.stats().hold_p99 == held  # nobody held them meanwhile
        kept = await seen.backends()
        await asyncio.sleep(0.3)
        assert sorted(await seen.backends()) == sorted(kept)
        assert made.stats().opened == 5


async def test_max_queries_counts_borrowings() -> None:
    """Then a connection is replaced."""
    async with witness() as seen, pool(seen, 1, 1, max_queries=3) as made:
        pids = [await made.fetchval("SELECT pg_backend_pid()") for _ in range(7)]
        assert len(set(pids[:3])) == len(set(pids[3:6])) == 1
        assert len(set(pids)) == 3


async def test_expire_connections_replaces_all_and_refuses_nobody() -> None:
    """As after a failover, or with a new password: under load, and with one that is held."""
    password = "p"
    asked = 0

    def current() -> str:
        nonlocal asked
        asked += 1
        return password

    async with witness() as seen, role(seen, "") as (name, url):
        place = urlsplit(url)
        host = place.netloc.rpartition("@")[2]
        plain = urlunsplit(place._replace(netloc=f"{name}@{host}"))
        async with pool(seen, 2, 3, url=plain, password=current, max_waiting=40) as made:
            await made.initialize()
            before = set(await seen.backends())
            held = made.acquire()
            connection = await held.__aenter__()
            outcomes: list[Any] = []

            async def work() -> None:
                for _ in range(20):
                    outcomes.append((await timed(made.fetchval("SELECT 1")))[0])

            working = [asyncio.create_task(work()) for _ in range(4)]
            await until(lambda: len(outcomes) > 10)
            password = "new"
            await seen.admin.execute(f"ALTER ROLE {name} PASSWORD 'new'")
            await made.expire_connections()
            await asyncio.gather(*working)
            assert outcomes == [1] * 80
            assert await connection.fetchval("SELECT 1") == 1
            await held.__aexit__(None, None, None)
            await until(lambda: made.stats().size >= 2)
            await seen.gone(*before)
            assert asked == made.stats().opened


async def test_what_was_opened_failed_and_lost_is_counted() -> None:
    """And the pool has a name, in stats, in its repr, and where it logs."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, 2, 2, url=proxy.url, name="orders") as made,
    ):
        await made.initialize()
        stats = made.stats()
        assert (stats.name, stats.opened, stats.failed, stats.lost) == ("orders", 2, 0, 0)
        assert repr(made) == "<DatabasePool orders: open, 0 of 2 in use, 0 waiting>"
        await proxy.cut()
        waiting = asyncio.create_task(made.fetchval("SELECT 1"))
        await until(lambda: made.stats().failed > 0)
        assert made.stats().lost == 2
        await proxy.restore()
        assert await waiting == 1
        assert made.stats().opened > 2


async def test_a_pool_of_one_is_back_soon_after_the_network() -> None:
    """Packets were dropped: an attempt that hangs holds nobody up for longer than its own time."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, 0, 1, url=proxy.url, acquire_timeout=0.5) as made,
    ):
        proxy.stall()
        for _ in range(2):
            outcome, _ = await timed(made.fetchval("SELECT 1"))
            assert isinstance(outcome, PoolTimeout | DatabaseUnavailable)
        lost = asyncio.create_task(timed(made.fetchval("SELECT 1")))
        await until(lambda: made.stats().waiting == 1)
        await proxy.cut()  # what was on its way never comes
        await proxy.restore()
        assert await made.fetchval("SELECT 1") == 1
        assert (await lost)[0] == 1
