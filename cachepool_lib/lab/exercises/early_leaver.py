"""Feedback on exercise 06-4, in simulated time: find the calls that leave a connection behind."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.stats import PoolCounts, PoolStats

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

QUERY_SECONDS = 0.01
USERS, SIZE = 100, 4

Report = Callable[["Pool", int], Awaitable[str]]


class Connection:
    """It answers every query with the name of a user."""

    async def fetchval(self, query: str, user_id: int) -> str | None:
        await asyncio.sleep(QUERY_SECONDS)
        if not isinstance(user_id, int):
            raise TypeError(f"a user's number is an int, not {user_id!r}")
        return f"user {user_id}" if 0 < user_id <= USERS else None


class Pool:
    """Four connections, and who has them."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(SIZE)
        self._held: dict[Connection, float] = {}  # since when
        self._waiting, self._counts = 0, PoolCounts()

    def acquire(self) -> "_Acquired":
        return _Acquired(self)

    async def take(self) -> Connection:
        asked = clock()
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
            self._counts.waits.add(clock() - asked)
        connection = Connection()
        self._held[connection] = clock()
        self._counts.acquired += 1
        return connection

    async def release(self, connection: Connection) -> None:
        if connection in self._held:  # twice does no harm
            self._counts.holds.add(clock() - self._held.pop(connection))
            self._free.release()

    def holders(self) -> list[Connection]:
        return list(self._held)

    def stats(self) -> PoolStats:
        return self._counts.snapshot(
            name="shop",
            places=(SIZE - len(self._held), len(self._held), 0),
            waiting=self._waiting,
            min_size=SIZE,
            max_size=SIZE,
            longest_hold=max((clock() - since for since in self._held.values()), default=0.0),
        )

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Connection]:
        connection = await self.take()
        try:
            yield connection
        finally:
            await self.release(connection)


class _Acquired:
    def __init__(self, pool: Pool) -> None:
        self._pool, self._block = pool, pool.borrowed()

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._pool.take().__await__()

    async def __aenter__(self) -> Connection:
        return await self._block.__aenter__()

    async def __aexit__(self, *exc: Any) -> None:
        await self._block.__aexit__(*exc)


NAME = "SELECT name FROM users WHERE id = $1"


async def colleagues(pool: Pool, user_id: int) -> str:
    """As the notebook shows it: who is cancelled gives nothing back."""
    connection = await pool.acquire()
    try:
        name = await connection.fetchval(NAME, user_id)
    except Exception:
        await pool.release(connection)
        raise
    await pool.release(connection)
    return f"Orders of {name}"


async def in_a_block(pool: Pool, user_id: int) -> str:
    async with pool.acquire() as connection:
        return f"Orders of {await connection.fetchval(NAME, user_id)}"


async def with_finally(pool: Pool, user_id: int) -> str:
    connection = await pool.acquire()
    try:
        return f"Orders of {await connection.fetchval(NAME, user_id)}"
    finally:
        await pool.release(connection)


RIGHT: dict[str, Report] = {"`async with`": in_a_block, "`finally`": with_finally}


async def _fails(answer: Any, pool: Pool, report: Report) -> bool:
    """Whether an assertion of the learner's fails. Whoever still runs after that, ends."""
    call = answer(pool, report)
    if not inspect.isawaitable(call):
        raise Unmet(
            expected="async def breaks(pool, report)",
            got=f"breaks(pool, report) gave {call!r}, and nothing to await.",
            hint="A report has to be awaited, so breaks is async as well.",
        )
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=3600)
    late = not task.done()
    if late:
        task.cancel()
    if others := asyncio.all_tasks() - before - {task}:
        await asyncio.wait(others, timeout=60)
    await asyncio.wait([task], timeout=1)
    if late:
        raise Unmet(
            expected="calls that end",
            got="After an hour they had not ended.",
            hint="The pool has four connections: who takes a fifth waits for ever.",
        )
    error = task.exception() if not task.cancelled() else asyncio.CancelledError()
    if isinstance(error, NotImplementedError):
        raise error
    if error is not None and not isinstance(error, AssertionError):
        hint = "What your calls raise on purpose, you have to catch: contextlib.suppress."
        raise Unmet(
            expected="calls that end, or an `assert` that fails",
            got=f"{type(error).__name__}: {error}".removesuffix(": ") + ".",
            hint=hint,
        )
    return error is not None


@exercise("06-4", "Find the bug: a connection is missing")
async def breaks(answer: Any) -> str:
    pool = Pool()
    failed = await _fails(answer, pool, colleagues)
    if not pool.holders():
        hint = "After an Exception it is given back. What ends a coroutine, and is no Exception? "
        hint += "It has to come while the query runs, within its ten milliseconds."
        if not pool.stats().acquired:
            hint = "A task that is cancelled before its first turn has borrowed nothing. "
            hint += "Wait a few milliseconds first: leave while the query runs."
        raise Unmet(
            expected="a connection that nobody uses any more, and that is still held",
            got="Your assert failed, and yet every connection came back."
            if failed
            else "Every connection came back.",
            hint=hint,
        )
    if not failed:
        raise Unmet(
            expected="an `assert` that fails when a connection is still held",
            got="A connection is still held, and your calls ended well.",
            hint="Say what has to be true afterwards: assert not pool.holders().",
        )
    for how, report in RIGHT.items():
        if await _fails(answer, Pool(), report):
            raise Unmet(
                expected="calls that every right report passes",
                got=f"A report that gives back with {how} fails on your calls.",
                hint="Borrow nothing yourself, and look only when the report has ended.",
            )
    return "who leaves during the query takes the connection along; two others give it back"
