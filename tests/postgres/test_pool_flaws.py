"""P1 to P17: each promise is asked of DatabasePool, which keeps it, and of the naive pool.

The naive pool fails each of them, or this file fails: that is what `xfail` says here, as strict as
pytest is told to be.
"""

import asyncio
import contextlib
import gc
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from cachepool_lib import DatabasePool, JSONSerializer, PoolClosed, PoolTimeout, lab
from tests.tools.pool_tools import Hold, NaivePool, Witness, timed, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio

T = TypeVar("T")

OLD = asyncpg.__version__.split(".")[:2] in (["0", "30"], ["0", "31"])
PATIENCE = 2.0  # seconds, after which somebody counts as forgotten


class Pools:
    """Makes pools of one kind. What they leave open is closed in the end."""

    def __init__(self, kind: Any, seen: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind, self.seen = kind, seen
        self.opened: list[Any] = []
        self.options: dict[str, Any] = {}  # for asyncpg's create_pool
        create_pool = asyncpg.create_pool

        def noted(*args: Any, **options: Any) -> Any:
            self.opened.append(create_pool(*args, **{**options, **self.options}))
            return self.opened[-1]

        monkeypatch.setattr(asyncpg, "create_pool", noted)

    def __call__(self, min_size: int = 1, max_size: int = 2, **options: Any) -> Any:
        url = options.pop("url", self.seen.url)
        if self.kind is NaivePool:
            options = {}  # it knows none
        return self.kind(url, min_size, max_size, **options)

    def terminate(self) -> None:
        for opened in self.opened:
            with contextlib.suppress(asyncpg.InterfaceError):
                opened.terminate()


@pytest.fixture(
    params=[
        DatabasePool,
        pytest.param(
            NaivePool,
            marks=[
                pytest.mark.skipif(OLD, reason="asyncpg itself hangs there"),
                pytest.mark.xfail(reason="it is naive", strict=True),
            ],
        ),
    ]
)
async def pools(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pools]:
    naive = request.param is NaivePool
    asyncio_log = logging.getLogger("asyncio")
    async with witness() as seen:
        asyncio_log.disabled = naive  # it forgets futures and tasks
        try:
            made = Pools(request.param, seen, monkeypatch)
            yield made
        finally:
            made.terminate()
            gc.collect()
            asyncio_log.disabled = False


async def forgotten(call: Any, seconds: float = PATIENCE) -> bool:
    """Is *call* not done in time? Then it is cancelled."""
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=seconds)
    in_time = task.done()
    task.cancel()
    await asyncio.wait([task], timeout=1)
    if task.done() and not task.cancelled():
        task.exception()  # now it counts as seen
    return not in_time


def meanwhile(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do *work* on another event loop while this one stands still.

    Two loops that run at once with one connection of asyncpg crash the interpreter.
    """
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(asyncio.run(work())))
    thread.start()
    thread.join()
    return done[0]


async def test_p1_ten_first_callers_open_one_pool(pools: Pools) -> None:
    """However many ask first, and close leaves nothing."""
    pool = pools(3, 5)
    async with pools.seen.watch(most=5):
        await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(10)))
    await pool.close()
    await pools.seen.count(0, seconds=PATIENCE)


async def test_p2_a_crowd_of_first_callers_gets_its_answers(pools: Pools) -> None:
    """From a server that allows eight connections, with a pool of five."""
    role = pools.seen.name.replace("-", "_")
    admin = pools.seen.admin
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 8")
    try:
        url = urlsplit(pools.seen.url)
        place = f"{role}:p@{url.netloc.rpartition('@')[2]}"
        pool = pools(1, 5, url=urlunsplit(url._replace(netloc=place)))
        calls = (pool.fetch("SELECT $1::int", number) for number in range(30))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await pool.close()
    finally:
        pools.terminate()
        await pools.seen.count(0)
        await admin.execute(f"DROP ROLE {role}")
    assert answers == [[(number,)] for number in range(30)]


async def test_p3_waiting_has_an_end(pools: Pools) -> None:
    """An exhausted pool answers with PoolTimeout, which is a TimeoutError and says who is why."""
    pool = pools(1, 1, acquire_timeout=1)
    async with Hold(pool):
        assert not await forgotten(pool.fetch("SELECT 1"))
        with pytest.raises(PoolTimeout, match=r"all 1 are in use; .* \(pool_tools.py") as told:
            await pool.fetch("SELECT 1")
        assert isinstance(told.value, TimeoutError)
    assert pool.stats().timeouts == 2
    await pool.close()


async def test_p4_who_borrows_twice_is_told(pools: Pools) -> None:
    """Two tasks hold one each and want another one: both end, and the error says why."""
    pool, both = pools(2, 2, acquire_timeout=1), asyncio.Barrier(2)
    await pool.initialize()

    async def page() -> Any:
        async with pool.acquire():
            await both.wait()
            return await pool.fetch("SELECT 1")

    calls = [asyncio.ensure_future(timed(page())) for _ in range(2)]
    ended, waiting = await asyncio.wait(calls, timeout=PATIENCE)
    for call in waiting:
        call.cancel()
    await asyncio.wait(calls)
    assert not waiting
    assert "this task holds one itself" in str([call.result()[0] for call in ended])
    assert await pool.fetch("SELECT 1")
    await pool.close()


async def test_p5_a_leaked_connection_does_not_stop_close(
    pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    """It is terminated after the timeout, and the log says who held it, for how long, and where."""
    pool = pools()
    leak = pool.acquire()
    connection = await leak.__aenter__()
    limit = {"timeout": 0.1} if pools.kind is DatabasePool else {}
    assert not await forgotten(pool.close(**limit))
    await pools.seen.count(0)
    [line] = caplog.messages
    assert "has held for 0." in line
    assert "test_pool_flaws.py" in line
    with pytest.raises(asyncpg.InterfaceError):
        await connection.fetch("SELECT 1")
    await leak.__aexit__(None, None, None)  # too late does not matter


async def test_p6_a_closed_pool_says_so_and_can_be_opened_again(pools: Pools) -> None:
    """By initialize, and by `async with`."""
    pool = pools()
    await pool.fetch("SELECT 1")
    await pool.close()
    told, _ = await timed(pool.fetch("SELECT 1"))
    assert isinstance(told, PoolClosed)
    assert isinstance(told, RuntimeError)
    assert "initialize() opens it again" in str(told)
    await pool.initialize()
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()
    async with pool:
        assert await pool.fetchval("SELECT 1") == 1


async def test_p7_close_tells_those_who_wait_and_lets_those_who_hold_end(pools: Pools) -> None:
    """Two get their answer, ten get PoolClosed, nobody an error about the state of a protocol."""
    pool = pools(2, 2)
    await pool.initialize()
    go, held = asyncio.Event(), asyncio.Semaphore(0)

    async def call() -> Any:
        async with pool.acquire() as connection:
            held.release()
            await go.wait()
            return await connection.fetchval("SELECT 1 FROM pg_sleep(0.02)")

    calls = [asyncio.create_task(timed(call())) for _ in range(12)]
    for _ in range(2):
        await held.acquire()
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    go.set()
    answers = [outcome for outcome, _ in await asyncio.gather(*calls)]
    await closing
    assert answers[:2] == [1, 1]
    assert {type(answer) for answer in answers[2:]} == {PoolClosed}


async def test_p8_a_timeout_around_a_query_holds_when_the_server_is_silent(pools: Pools) -> None:
    """Giving back waits for the server too, and has a limit of its own."""
    async with lab.Proxy(pools.seen.url) as proxy:
        pool = pools(url=proxy.url)
        await pool.fetch("SELECT 1")
        proxy.stall()

        async def call() -> Any:
            async with asyncio.timeout(0.1):
                return await pool.fetch("SELECT 1")

        try:
            assert not await forgotten(call())
            assert isinstance((await timed(call()))[0], TimeoutError)
        finally:
            await proxy.restore()
        assert await pool.fetchval("SELECT 1") == 1
        await pool.close()


async def test_p9_what_died_idle_is_replaced_before_anybody_gets_it(pools: Pools) -> None:
    """Also while the event loop was busy with something else and could not see it."""
    pool = pools(3, 3)
    await pool.initialize()

    async def kill() -> None:
        async with witness() as other:
            other.name, name = pools.seen.name, other.name
            await other.kill()
            other.name = name

    meanwhile(kill)  # returns when they are gone
    answers = await asyncio.gather(
        *(pool.fetch("SELECT 1") for _ in range(6)), return_exceptions=True
    )
    assert answers == [[(1,)]] * 6
    await pool.close()


@pytest.mark.parametrize(("low", "high"), [(5, 2), (0, 0), (-1, 2), (1, -1)])
async def test_p10_sizes_that_can_not_be_are_refused_at_once(
    pools: Pools, low: int, high: int
) -> None:
    """By the constructor, with a ValueError that says which value."""
    with pytest.raises(ValueError, match=r"(min|max)_size must be at (least|most)"):
        pools(low, high)


async def test_p11_a_transaction_happens_as_a_whole_or_not_at_all(pools: Pools) -> None:
    """And fetchrow, fetchval, execute and executemany are there."""
    async with contextlib.AsyncExitStack() as stack:
        pool, table = pools(), pools.seen.name.replace("-", "_")
        stack.push_async_callback(pool.close)
        await pools.seen.admin.execute(f"CREATE TABLE {table} (cents int CHECK (cents >= 0))")
        stack.push_async_callback(pools.seen.admin.execute, f"DROP TABLE {table}")
        await pool.executemany(f"INSERT INTO {table} VALUES ($1)", [(100,), (200,)])
        with pytest.raises(asyncpg.CheckViolationError):
            async with pool.transaction() as connection:
                await connection.execute(f"INSERT INTO {table} VALUES (50)")
                await connection.execute(f"UPDATE {table} SET cents = cents - 150")
        total = f"SELECT sum(cents)::int AS total FROM {table}"
        assert await pool.fetchval(total) == 300
        async with pool.transaction(isolation="serializable") as connection:
            await connection.execute(f"INSERT INTO {table} VALUES (50)")
        assert dict(await pool.fetchrow(total)) == {"total": 350}
        assert await pool.execute(f"DELETE FROM {table}") == "DELETE 3"
        assert await pool.fetchrow(f"SELECT * FROM {table}") is None


async def test_p12_it_can_be_watched(pools: Pools) -> None:
    """How many are open, idle, held and wanted; how long it took; who holds one, and where."""
    pool = pools(1, 2)
    async with Hold(pool, 2):
        waiting = [asyncio.create_task(pool.fetch("SELECT 1")) for _ in range(3)]
        await asyncio.sleep(0.02)
        stats = pool.stats()
        assert (stats.size, stats.idle, stats.in_use, stats.waiting) == (2, 0, 2, 3)
        assert (stats.min_size, stats.max_size, stats.acquired) == (1, 2, 2)
        first, second = pool.holders()
        assert first.seconds >= second.seconds >= 0.02
        assert first.where.startswith("pool_tools.py:")
        assert first.where.endswith(" in hold")
    await asyncio.gather(*waiting)
    await until(lambda: pool.stats().idle == 2)  # the last one is reset after its answer
    stats = pool.stats()
    assert (stats.in_use, stats.waiting, stats.acquired) == (0, 0, 5)
    assert stats.wait_p99 >= 0.02
    assert stats.hold_p99 >= 0.02 > 0 < stats.hold_p50 < stats.hold_p99
    await pool.close()


async def test_p13_first_come_first_served(pools: Pools) -> None:
    """Nobody overtakes who waits, not even by asking when a connection has just come back."""
    order = []
    callers: list[asyncio.Task[None]] = []

    async def call(number: int) -> None:
        async with pool.acquire():
            order.append(number)

    def come() -> None:
        callers.append(asyncio.create_task(call(len(callers))))

    async def reset(connection: Any) -> None:
        await connection.reset()
        if len(callers) < 20:
            come()  # the connection is put back, and who waits woken up, after this

    pools.options["reset"] = reset
    pool = pools(1, 1, reset=reset)
    async with Hold(pool):
        for _ in range(10):
            come()
        await asyncio.sleep(0)
    for caller in callers:  # they get more meanwhile
        await caller
    await pool.close()
    assert order == list(range(20))


async def test_p14_another_event_loop_is_told_so(pools: Pools) -> None:
    """By every call, and with what to do."""
    pool = pools()
    await pool.fetch("SELECT 1")
    for call in pool.fetch, pool.close, pool.initialize:
        args = ["SELECT 1"] if call == pool.fetch else []
        told, _ = meanwhile(lambda c=call, a=args: timed(c(*a)))
        assert isinstance(told, RuntimeError)
        assert "was opened on another event loop: close it there" in str(told)
    assert await pool.fetch("SELECT 1")
    await pool.close()


async def test_p15_the_password_is_in_no_attribute_and_no_message(
    pools: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in the repr, the log or the error of a server that refuses it."""
    url = urlsplit(pools.seen.url)
    place = f"postgres:s3cret@{url.netloc.rpartition('@')[2]}"
    pool = pools(url=urlunsplit(url._replace(netloc=place)))
    told, _ = await timed(pool.fetch("SELECT 1"))
    shown = [repr(pool), str(vars(pool)), repr(told), repr(told.__cause__), caplog.text]
    assert "password" in str(told)  # was refused
    assert not [text for text in shown if "s3cret" in text]


async def test_p16_the_end_of_the_block_closes_the_pool(pools: Pools) -> None:
    """However it ends."""
    with pytest.raises(ZeroDivisionError):
        async with pools(2, 2) as pool:
            assert await pool.fetch("SELECT 1")
            raise ZeroDivisionError
    await pools.seen.count(0, seconds=PATIENCE)


async def test_p17_a_row_is_cached_as_a_dict_and_the_error_says_so(pools: Pools) -> None:
    """Each pool with the serializer that it came with: the tutorial's is json alone."""
    pool = pools()
    encode = json.dumps if pools.kind is NaivePool else JSONSerializer().encode
    [row] = await pool.fetch("SELECT 7 AS id, 'Ada' AS name")
    await pool.close()
    assert JSONSerializer().decode(JSONSerializer().encode(dict(row))) == {"id": 7, "name": "Ada"}
    with pytest.raises(TypeError, match=r"pass dict\(row\)"):
        encode(row)
