"""What a pool of connections promises, one small check each, against the real PostgreSQL.

A check's connections carry a name of their own, so that the server can tell how many there are. No
check counts on the machine being fast: what happens is ordered by events, and a wait only ends a
check that has failed.
"""

import asyncio
import contextlib
import inspect
import secrets
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from cachepool_lib.serializers import JSONSerializer

from .checks import Report, Unmet
from .contract import ask_all
from .faults import Proxy
from .pool_bench import PATIENCE, PoolBench, borrowed, done, settled, watching
from .pool_experiments import queue
from .services import services

__all__ = ["PROMISES", "check"]

TIMED = {"P3", "P4", "P5", "P8"}


def _said(error: BaseException) -> str:
    return type(error).__name__


Promise = Callable[[PoolBench], Coroutine[Any, Any, str]]
PROMISES: dict[str, tuple[str, Promise]] = {}


def promise(name: str, title: str) -> Callable[[Promise], Promise]:
    def register(function: Promise) -> Promise:
        PROMISES[name] = title, function
        return function

    return register


async def check(names: str, *candidates: type) -> Report:
    """Ask each class for the promises in *names*, against the lab's PostgreSQL."""
    url, seats = (await services()).database_url, asyncio.Semaphore(12)  # connections are scarce

    async def question(function: Promise, candidate: type) -> str:
        async with seats, PoolBench(candidate, url) as bench:
            return await function(bench)

    with watching():
        return await ask_all(PROMISES, names, candidates, question, first=TIMED)


@promise("P1", "However many ask first, it opens once")
async def opens_once(bench: PoolBench) -> str:
    pool = bench.new(min_size=2, max_size=3)
    await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(5)))
    most = await bench.count(3)
    await pool.close()
    left = await bench.count(0)
    if most > 3 or left:
        raise Unmet(
            expected="3 connections at most, and 0 after close",
            got=f"{most} connections, {left} after close",
            hint="Between `if not self.pool` and the assignment there is an await: "
            "a lock, and a second look inside it.",
        )
    return "at most 3 connections, 0 after close"


@promise("P2", "A crowd does not run into the server's limit")
async def stays_below_the_limit(bench: PoolBench) -> str:
    # A role of its own with a limit: the server is shared, and superusers have none.
    role, password = f"limited_{secrets.token_hex(8)}", secrets.token_hex(8)
    await bench.admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}' CONNECTION LIMIT 8")
    try:
        place = urlsplit(bench.url)
        address = place.netloc.rpartition("@")[2]
        url = place._replace(netloc=f"{role}:{password}@{address}").geturl()
        pool = bench.new(database_url=url, min_size=1, max_size=4)
        answers = await asyncio.gather(
            *(pool.fetch("SELECT 1") for _ in range(24)), return_exceptions=True
        )
        await pool.close()
        for opened in bench.opened:
            with contextlib.suppress(asyncpg.InterfaceError):
                opened.terminate()
        await bench.count(0)
    finally:
        await bench.admin.execute(f"DROP ROLE {role}")
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    if failed:
        raise Unmet(
            expected="24 answers: max_size=4, and the server allows 8 connections",
            got=f"{_said(failed[0])} for some of 24 callers",
            hint="A pool for each first caller is a connection for each, or more.",
        )
    return "24 answers with 4 connections"


@promise("P3", "Waiting for a connection has an end")
async def waiting_has_an_end(bench: PoolBench) -> str:
    pool = bench.new(max_size=1, acquire_timeout=0.3)
    await pool.initialize()
    async with borrowed(pool, 1):
        call = await settled(pool.fetch("SELECT 1"))
    if call is None:
        raise Unmet(
            expected="TimeoutError after acquire_timeout=0.3",
            got=f"still waiting after {PATIENCE:g} s",
            hint="asyncpg's acquire() takes a timeout; without one it waits for ever.",
        )
    if not isinstance(call.exception(), TimeoutError):
        raise Unmet(expected="TimeoutError after acquire_timeout=0.3", got=f"{call!r}")
    return "TimeoutError"


@promise("P4", "Whoever borrows twice is told, and the pool lives on")
async def borrowing_twice_ends(bench: PoolBench) -> str:
    pool = bench.new(min_size=2, max_size=2, acquire_timeout=0.3)
    await pool.initialize()
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
    if not told or after is None:
        raise Unmet(expected="a TimeoutError, and the pool works again", got=f"{answers!r}")
    return "told, and it works again"


@promise("P5", "A leaked connection does not stop close")
async def close_returns(bench: PoolBench) -> str:
    pool = bench.new()
    await pool.initialize()
    leak = pool.acquire()
    await leak.__aenter__()  # and nobody gives it back
    limit = {"timeout": 0.2} if "timeout" in inspect.signature(pool.close).parameters else {}
    try:
        closing = await settled(pool.close(**limit))
        left = await bench.count(0) if closing else -1
    finally:
        with contextlib.suppress(Exception):
            await leak.__aexit__(None, None, None)
    if closing is None:
        raise Unmet(
            expected="close(timeout=0.2) returns",
            got=f"close still waits after {PATIENCE:g} s",
            hint="Give the borrowers a while, then terminate: asyncio.timeout around close.",
        )
    if left:
        raise Unmet(expected="0 connections after close", got=f"{left} connections after close")
    return "closed, 0 connections"


@promise("P5-cancel", "A cancelled caller leaks nothing")
async def cancelling_leaks_nothing(bench: PoolBench) -> str:
    pool = bench.new(max_size=2)
    await pool.initialize()
    callers = [asyncio.create_task(pool.fetch("SELECT pg_sleep(30)")) for _ in range(6)]
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'"
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
        pass
    try:
        await connection.fetch("SELECT 1")
    except Exception as error:
        return _said(error)
    raise Unmet(expected="an error", got="an answer, from somebody else's connection")


@promise("P5-reset", "What one borrower sets, the next does not see")
async def settings_are_reset(bench: PoolBench) -> str:
    pool = bench.new(min_size=1, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute("SET statement_timeout = 12345")
    [[value]] = await pool.fetch("SHOW statement_timeout")
    if value == "12345ms":
        raise Unmet(expected="the server's own setting", got="the last borrower's setting")
    return "reset"


@promise("P6", "Closed says so, and can be opened again")
async def closed_says_so(bench: PoolBench) -> str:
    pool = bench.new()
    await pool.fetch("SELECT 1")
    await pool.close()
    try:
        await pool.fetch("SELECT 1")
    except Exception as error:
        said = str(error)
        if "initialize" not in said:
            raise Unmet(
                expected="an error that says what to do: initialize()",
                got=f"{_said(error)}: {said}",
                hint="The first use opened it by itself; say that after close it does not.",
            ) from None
    else:
        raise Unmet(expected="an error: the pool is closed", got="an answer from a closed pool")
    await pool.initialize()
    await pool.fetch("SELECT 1")
    return "told, then opened again"


@promise("P7", "Callers who wait while it closes are told so")
async def close_tells_the_waiters(bench: PoolBench) -> str:
    pool = bench.new(min_size=2, max_size=2)
    await pool.initialize()
    gate, full, held = asyncio.Event(), asyncio.Event(), 0

    async def caller() -> Any:
        nonlocal held
        async with pool.acquire() as connection:
            held += 1
            if held == 2:
                full.set()
            await gate.wait()
            return await connection.fetchval("SELECT 1 FROM pg_sleep(0.01)")

    callers = [asyncio.create_task(caller()) for _ in range(12)]
    await full.wait()
    closing = asyncio.ensure_future(pool.close())
    await asyncio.sleep(0.01)  # close is under way: it waits for the two
    gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    await settled(closing)
    answered = sum(answer == 1 for answer in answers)
    told = sum(isinstance(answer, RuntimeError) for answer in answers)
    if answered != 2 or told != 10:
        raise Unmet(
            expected="2 answers for the borrowers, 10 × closed for those who wait",
            got="errors from inside asyncpg for those who wait",
            hint="Wake up who waits and tell them, before you close the connections.",
        )
    return "2 answers, 10 told"


@promise("P8", "A silent server does not outwait a timeout")
async def silence_has_an_end(bench: PoolBench) -> str:
    async with Proxy(bench.url) as proxy:
        pool = bench.new(database_url=proxy.url, max_size=1)
        await pool.fetch("SELECT 1")
        proxy.stall()

        async def caller() -> Any:
            async with asyncio.timeout(0.2):
                await pool.fetch("SELECT 1")

        waiting = asyncio.ensure_future(caller())
        back = await done(waiting, PATIENCE)
        await proxy.restore()
        await settled(waiting)
        if not back:
            raise Unmet(
                expected="TimeoutError, as asyncio.timeout(0.2) says",
                got=f"still waiting after {PATIENCE:g} s",
                hint="Giving the connection back waits for the server too. "
                "release() takes a timeout.",
            )
        after = await settled(pool.fetch("SELECT 1"), 5)
        if after is None or after.exception():
            raise Unmet(expected="answers, now that the server is back", got="none")
    return "TimeoutError, then it works again"


@promise("P9", "A connection that died idle is replaced")
async def dead_connections_are_replaced(bench: PoolBench) -> str:
    pool = bench.new(min_size=2, max_size=2)
    await pool.initialize()
    bench.kill_idle()
    calls = (pool.fetch("SELECT 1") for _ in range(2))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    if failed:
        raise Unmet(
            expected="2 answers: nobody had used those connections",
            got=f"{_said(failed[0])} for {len(failed)} of 2",
            hint="An idle connection with something to read has ended: look before you lend it.",
        )
    return "2 answers"


@promise("P10", "Impossible sizes are refused at once")
async def sizes_are_checked(bench: PoolBench) -> str:
    for low, high in ((5, 2), (0, 0), (-1, 2)):
        try:
            bench.new(min_size=low, max_size=high)
        except ValueError:
            continue
        raise Unmet(
            expected=f"ValueError for min_size={low}, max_size={high}",
            got="nothing, until the first query",
            hint="Look at the sizes where they are given: in the constructor.",
        )
    return "ValueError"


@promise("P11", "Half of a change does not stay")
async def all_or_nothing(bench: PoolBench) -> str:
    pool, table = bench.new(), f"accounts_{bench.name[-8:]}"
    await bench.admin.execute(f"CREATE TABLE {table} (cents int CHECK (cents >= 0))")
    await bench.admin.execute(f"INSERT INTO {table} VALUES (100)")
    pay = f"INSERT INTO {table} VALUES (50)", f"UPDATE {table} SET cents = cents - 150"
    try:
        with contextlib.suppress(asyncpg.CheckViolationError):
            if hasattr(pool, "transaction"):
                async with pool.transaction() as connection:
                    for statement in pay:
                        await connection.execute(statement)
            else:  # as the naive class can: one query after the other
                for statement in pay:
                    await pool.fetch(statement)
        rows = await bench.admin.fetchval(f"SELECT count(*) FROM {table}")
    finally:
        await bench.admin.execute(f"DROP TABLE {table}")
    if rows != 1:
        raise Unmet(
            expected="the row as it was: the second statement failed",
            got="the first half stays",
            hint="A transaction needs one connection for all of its statements.",
        )
    if await pool.fetchval("SELECT 1") != 1 or (await pool.fetchrow("SELECT 1, 2"))[1] != 2:
        raise Unmet(expected="1 for fetchval, a row for fetchrow", got="something else")
    await pool.execute("SELECT 1")
    return "nothing of it stays"


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


@promise("P14", "Another event loop is told so")
async def loops_are_told_apart(bench: PoolBench) -> str:
    pool = bench.new(min_size=1, max_size=1)
    await pool.fetch("SELECT 1")

    async def ask() -> Exception | None:
        try:
            async with asyncio.timeout(PATIENCE):
                await pool.fetch("SELECT 1")
        except Exception as error:
            return error
        return None

    # This loop stands still meanwhile, as between two calls of asyncio.run(): asyncpg's connections
    # are in C, and two loops that run at once with one of them end the process.
    with ThreadPoolExecutor(1) as thread:
        error = thread.submit(lambda: asyncio.run(ask())).result()
    if error is None or "event loop" not in str(error):
        raise Unmet(
            expected="an error that says: another event loop",
            got="an error that names another cause" if error else "an answer",
            hint="Remember the loop on which you opened, and compare.",
        )
    return _said(error)


@promise("P15", "The password shows nowhere")
async def the_password_stays_hidden(bench: PoolBench) -> str:
    pool = bench.candidate("postgresql://shop:s3cret@127.0.0.1/shop", 1, 2)
    for where, text in (("vars()", str(getattr(pool, "__dict__", ""))), ("repr()", repr(pool))):
        if "s3cret" in text:
            raise Unmet(
                expected="no password",
                got=f"s3cret in {where}",
                hint="Keep the function that connects, not the address.",
            )
    return "no password"


@promise("P16", "An error leaves nothing open")
async def errors_leave_nothing_open(bench: PoolBench) -> str:
    pool = bench.new(min_size=2, max_size=2)
    try:
        if hasattr(pool, "__aenter__"):
            async with pool:
                await pool.fetch("SELECT 1")
                raise ZeroDivisionError
        await pool.initialize()
        await pool.fetch("SELECT 1")
        raise ZeroDivisionError  # and close() is never reached
    except ZeroDivisionError:
        left = await bench.count(0)
    if left:
        raise Unmet(
            expected="0 connections after an error in the program",
            got=f"{left} connections",
            hint="`async with` closes, however its body ends.",
        )
    return "0 connections"


@promise("P17", "A page made of its rows can be cached")
async def rows_can_be_cached(bench: PoolBench) -> str:
    rows = await bench.new().fetch("SELECT 1 AS id, 'Ada' AS name")
    try:
        JSONSerializer().encode([bench.row(row) for row in rows])
    except TypeError:
        raise Unmet(
            expected="a page that a cache can carry",
            got=f"a {type(rows[0]).__name__}, which JSON can't carry",
            hint="Cache dict(row), not the row.",
        ) from None
    return "the page made dict(row)" if bench.row is dict else "the row itself"
