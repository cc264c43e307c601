"""What a pool promises of queries: silence ends, the dead are replaced, half is nothing."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg

from cachepool_lib.lab.contracts.password import hides_the_password
from cachepool_lib.lab.contracts.patience import PATIENCE, done, settled
from cachepool_lib.lab.contracts.pool.bench import PoolBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.redis_cache.serializers import JSONSerializer

PROMISES: Checks[PoolBench] = Checks()
promise = PROMISES.add


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


@promise("P18", "A statement has a limit, too")
async def statements_end(bench: PoolBench) -> str:
    pool = bench.new(command_timeout=0.3)
    await pool.initialize()
    call = await settled(pool.fetch("SELECT pg_sleep(30)"))
    if call is None or not isinstance(call.exception(), TimeoutError):
        raise Unmet(
            expected="TimeoutError after command_timeout=0.3",
            got=f"still waiting after {PATIENCE:g} s",
            hint="asyncpg takes command_timeout; by default there is none.",
        )
    return "TimeoutError"


@promise("P9", "A connection that has ended fails nobody")
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
            got=f"{type(failed[0]).__name__} for {len(failed)} of 2",
            hint="An idle connection with something to read has ended: look before you lend it.",
        )
    await _an_answer_stays(bench)
    return "2 answers"


async def _an_answer_stays(bench: PoolBench) -> None:
    pool = bench.new(min_size=1, max_size=1)

    async def page() -> Any:
        async with pool.acquire() as connection:
            rows = await connection.fetch("SELECT 1")
            bench.kill_idle()
            return rows

    call = await settled(page(), 5)
    if call is None or call.exception():
        raise Unmet(
            expected="the page's answer: it came before the server ended the connection",
            got=f"{type(call.exception()).__name__ if call else 'no end'}, after the answer",
            hint="A failure to give back is no failure of the page.",
        )


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
    return type(error).__name__


@promise("P15", "The password shows nowhere")
async def the_password_stays_hidden(bench: PoolBench) -> str:
    return hides_the_password(bench.candidate("postgresql://shop:s3cret@127.0.0.1/shop", 1, 2))


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
