"""What a pool promises of opening and closing: how many, when, and what is left."""

import asyncio
import contextlib
import inspect
import secrets
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from cachepool_lib.lab.contracts.patience import PATIENCE, settled
from cachepool_lib.lab.contracts.pool.bench import PoolBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[PoolBench] = Checks()
promise = PROMISES.add


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
            got=f"{type(failed[0]).__name__} for some of 24 callers",
            hint="A pool for each first caller is a connection for each, or more.",
        )
    return "24 answers with 4 connections"


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


@promise("P6", "Closed says so, and can be opened again")
async def closed_says_so(bench: PoolBench) -> str:
    pool, unopened = bench.new(), bench.new()
    await pool.fetch("SELECT 1")
    for closed in (pool, unopened):
        await closed.close()
        await closed.close()  # twice does no harm
        try:
            await closed.fetch("SELECT 1")
        except Exception as error:
            said = str(error)
            if "initialize" not in said:
                raise Unmet(
                    expected="an error that says what to do: initialize()",
                    got=f"{type(error).__name__}: {said}",
                    hint="The first use opened it by itself; say that after close it does not.",
                ) from None
        else:
            got = "an answer from a closed pool"
            raise Unmet(
                expected="an error: the pool is closed",
                got=got if closed is pool else f"{got}: it was closed before anybody had asked",
            )
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
    await _closed_while_it_opens(bench)
    return "2 answers, 10 told"


async def _closed_while_it_opens(bench: PoolBench) -> None:
    pool = bench.new(min_size=3, max_size=3)
    callers = [asyncio.create_task(pool.fetch("SELECT 1")) for _ in range(3)]
    while not await bench.count_now() and not callers[0].done():  # noqa: ASYNC110 (the server's event)
        await asyncio.sleep(0)
    await settled(pool.close(), 5)
    answers = await settled(asyncio.gather(*callers, return_exceptions=True), 5)
    left = await bench.count(0)
    if answers is None or left:
        raise Unmet(
            expected="0 connections, closed while it opened, and everybody told",
            got=f"{left} connections that nobody closes" if left else "callers who still wait",
            hint="Whoever has opened it looks whether it was closed meanwhile, and closes it.",
        )
    strange = [a for a in answers.result() if not isinstance(a, list | RuntimeError)]
    if strange:
        raise Unmet(expected="an answer, or closed", got=f"{strange[0]!r}")


@promise("P21", "Close says who had a connection for too long")
async def close_names_the_holder(bench: PoolBench) -> str:
    pool, held = bench.new(), asyncio.Event()
    await pool.initialize()

    async def page() -> None:
        async with pool.acquire():
            held.set()
            await asyncio.sleep(3600)

    holder = asyncio.create_task(page(), name="page-of-ada")
    await held.wait()
    limit = {"timeout": 0.1} if "timeout" in inspect.signature(pool.close).parameters else {}
    await settled(pool.close(**limit), 0.5)
    holder.cancel()
    await asyncio.wait([holder], timeout=PATIENCE)
    if not any("page-of-ada" in text for text in bench.logged):
        raise Unmet(
            expected="a line in the log that names the task",
            got="no word of who held it",
            hint="Note the task with each borrowing, and log it where close ends one.",
        )
    return "the task, in the log"


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
