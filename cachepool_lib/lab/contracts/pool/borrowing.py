"""What a pool promises those who borrow: an end to waiting, an order, a clean connection."""

import asyncio
from typing import Any

from cachepool_lib.lab.contracts.patience import PATIENCE, done, settled
from cachepool_lib.lab.contracts.pool.bench import PoolBench, borrowed, opened
from cachepool_lib.lab.contracts.pool.queue import queue
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.proxy import Proxy

PROMISES: Checks[PoolBench] = Checks()
promise = PROMISES.add


@promise("P3", "Waiting for a connection has an end")
async def waiting_has_an_end(bench: PoolBench) -> str:
    pool = bench.new(max_size=1, acquire_timeout=0.5)
    await opened(pool)
    async with borrowed(pool, 1):
        call = await settled(pool.fetch("SELECT 1"))
    if call is None:
        raise Unmet(
            expected="TimeoutError after acquire_timeout=0.5",
            got=f"still waiting after {PATIENCE:g} s",
            hint="asyncpg's acquire() takes a timeout; without one it waits for ever.",
        )
    if not isinstance(call.exception(), TimeoutError):
        raise Unmet(expected="TimeoutError after acquire_timeout=0.5", got=f"{call!r}")
    await _one_limit_for_all(bench)
    return "TimeoutError"


async def _one_limit_for_all(bench: PoolBench) -> None:
    """Most of the time goes by in the queue; then a new connection has to be opened, in silence."""
    limit = 0.5
    async with Proxy(bench.url) as proxy:
        pool = bench.new(database_url=proxy.url, max_size=1, acquire_timeout=limit)
        await opened(pool)
        held, over = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with pool.acquire() as connection:
                held.set()
                await over.wait()
                connection.terminate()

        holder = asyncio.create_task(hold())
        await held.wait()
        proxy.stall()
        caller = asyncio.ensure_future(pool.fetch("SELECT 1"))
        await asyncio.sleep(0.85 * limit)
        over.set()
        told = await done(caller, 0.55 * limit)
        await proxy.restore()
        await settled(caller)
        await settled(holder)
        if not told or not isinstance(caller.exception(), TimeoutError):
            raise Unmet(
                expected=f"TimeoutError after acquire_timeout={limit}, whatever it waited for",
                got="two limits in a row: one for the queue, one for the connection",
                hint="One asyncio.timeout around all that stands between asking and having.",
            )


@promise("P4", "Whoever borrows twice is told, and the pool lives on")
async def borrowing_twice_ends(bench: PoolBench) -> str:
    pool = bench.new(min_size=2, max_size=2, acquire_timeout=0.5)
    await opened(pool)
    both, holding = asyncio.Event(), 0

    async def page() -> Any:
        nonlocal holding
        async with pool.acquire():
            holding += 1
            if holding == 2:
                both.set()
            await both.wait()
            return await pool.fetch("SELECT 1")  # a second connection, while it holds the first

    pages = asyncio.gather(page(), page(), return_exceptions=True)
    answers = await settled(pages)
    if answers is None:
        raise Unmet(
            expected="a TimeoutError, and the pool works again",
            got=f"2 pages on 2 connections, stuck after {PATIENCE:g} s",
            hint="Each holds what the other waits for. A limit on waiting ends it; "
            "borrowing once avoids it.",
        )
    told = [answer for answer in answers.result() if isinstance(answer, TimeoutError)]
    after = await settled(asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(4))))
    if not told or after is None or after.exception():
        got = "no answers afterwards" if told else f"{answers.result()[0]!r}"
        raise Unmet(expected="a TimeoutError, and the pool works again", got=got)
    return "told, and it works again"


@promise("P5-cancel", "A cancelled caller leaks nothing")
async def cancelling_leaks_nothing(bench: PoolBench) -> str:
    pool = bench.new(max_size=2)
    await pool.initialize()
    callers = [asyncio.create_task(pool.fetch("SELECT pg_sleep(30)")) for _ in range(6)]
    running = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = $1 AND wait_event = 'PgSleep'"  # a connecting one is active, too
    )
    while await bench.admin.fetchval(running, bench.name) < 2:  # noqa: ASYNC110 (the server's event)
        await asyncio.sleep(0.01)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    after = await settled(asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(4))), 2)
    if after is None or after.exception():
        raise Unmet(expected="4 answers after 6 cancelled callers", got="no answer")
    return "4 answers after 6 cancelled"


@promise("P5-after", "What was given back can't be used")
async def use_after_release(bench: PoolBench) -> str:
    pool = bench.new()
    async with pool.acquire() as connection:
        statement = await connection.prepare("SELECT 1")
    said = ""
    for use in (statement.fetch, lambda: connection.fetch("SELECT 1")):
        try:
            await use()
        except Exception as error:
            said = type(error).__name__
        else:
            raise Unmet(expected="an error", got="an answer, from somebody else's connection")
    return said


@promise("P5-reset", "What one borrower sets, the next does not see")
async def settings_are_reset(bench: PoolBench) -> str:
    pool = bench.new(min_size=1, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute("SET statement_timeout = 12345")
    [[value]] = await pool.fetch("SHOW statement_timeout")
    if value == "12345ms":
        raise Unmet(expected="the server's own setting", got="the last borrower's setting")
    return "reset"


@promise("P19", "The queue has a limit")
async def the_queue_has_a_limit(bench: PoolBench) -> str:
    pool = bench.new(min_size=1, max_size=1, max_waiting=2)
    await pool.initialize()
    async with borrowed(pool, 1):
        callers = [asyncio.create_task(pool.fetch("SELECT 1")) for _ in range(5)]
        await asyncio.sleep(0.01)
        refused = [caller for caller in callers if caller.done()]
    answers = await asyncio.gather(*callers, return_exceptions=True)
    if len(refused) != 3 or sum(isinstance(answer, BaseException) for answer in answers) != 3:
        raise Unmet(
            expected="2 wait, as max_waiting=2 says, and 3 are refused at once",
            got=f"{5 - len(refused)} of 5 callers wait",
            hint="Who would wait longer than a visitor does is better told at once.",
        )
    return "2 wait, 3 refused"


@promise("P22", "Nor is a role or a temporary table the next one's")
async def roles_are_reset(bench: PoolBench) -> str:
    pool, role = bench.new(min_size=1, max_size=1), f"tenant_{bench.name[-8:]}"
    await bench.admin.execute(f"CREATE ROLE {role}; GRANT {role} TO CURRENT_USER")
    try:
        async with pool.acquire() as connection:
            await connection.execute("CREATE TEMPORARY TABLE basket (n int)")
            await connection.execute(f"SET ROLE {role}")
        [row] = await pool.fetch("SELECT current_user AS role, to_regclass('basket') AS basket")
    finally:
        await bench.admin.execute(f"DROP ROLE {role}")
    if row["role"] == role or row["basket"]:
        raise Unmet(
            expected="the pool's own role, and no table",
            got="the last borrower's role",
            hint="RESET ALL leaves them: RESET ROLE and DISCARD TEMP end them.",
        )
    return "reset"


@promise("P20", "It can tell how long they wait and hold")
async def waits_and_holds_are_measured(bench: PoolBench) -> str:
    pool = bench.new(min_size=1, max_size=1)
    await pool.fetch("SELECT pg_sleep(0.01)")
    await pool.fetch("SELECT 1")  # so the first has given it back
    stats = pool.stats() if hasattr(pool, "stats") else None
    if getattr(stats, "wait_p99", None) is None or not getattr(stats, "hold_p99", 0) > 0:
        raise Unmet(
            expected="wait_p99 and hold_p99, in seconds",
            got="nobody measures",
            hint="Long waits with short holds ask for a larger pool; long holds ask who holds.",
        )
    return "wait_p99 and hold_p99"


@promise("P12", "It can tell who has and who waits")
async def it_can_be_watched(bench: PoolBench) -> str:
    pool = bench.new(min_size=1, max_size=1)
    await pool.initialize()
    async with borrowed(pool, 1):
        waiters = [asyncio.create_task(pool.fetch("SELECT 1")) for _ in range(2)]
        await asyncio.sleep(0.01)
        stats = pool.stats() if hasattr(pool, "stats") else None
    await asyncio.gather(*waiters)
    if stats is None:
        raise Unmet(
            expected="1 in use, 2 waiting",
            got="nobody counts",
            hint="Count where they begin and end to wait, and hand out a snapshot.",
        )
    seen = f"{stats.in_use} in use, {stats.waiting} waiting"
    after = pool.stats()
    if seen != "1 in use, 2 waiting" or after.in_use or after.waiting:
        raise Unmet(expected="1 in use, 2 waiting, and 0 and 0 afterwards", got=seen)
    return seen


@promise("P13", "The first to ask is the first served")
async def first_come_first_served(bench: PoolBench) -> str:
    run = await queue(bench)
    if run.overtaken:
        raise Unmet(
            expected="nobody is overtaken",
            got=f"a caller is overtaken by {run.overtaken}",
            hint="Whoever asks when a connection has come back takes it, before those who wait "
            "have woken up. Let all queue in one semaphore.",
        )
    return "nobody is overtaken"
