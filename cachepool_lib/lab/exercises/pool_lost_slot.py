"""Feedback on exercise 04-4, in simulated time: find the calls that lose a slot."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cachepool_lib.lab.exercises.slots import Slots, give, take
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


class _Connection:
    def __init__(self) -> None:
        self.lent = False

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        if not self.lent:
            raise RuntimeError("the connection has been given back")
        await asyncio.sleep(0.01)
        return [1]


class Sound:
    """A pool of one connection, which takes 0.1 s to open; a query takes 0.01 s."""

    acquire_timeout = 10

    def __init__(self, size: int = 1) -> None:
        self.min_size = self.max_size = size
        self.slots = Slots(size)
        self.idle: list[_Connection] = []
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[_Connection]:
        async with asyncio.timeout(self.acquire_timeout):
            connection = await self._borrow()
        connection.lent = True
        try:
            yield connection
        finally:
            await self._give_back(connection)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def _borrow(self) -> _Connection:
        await take(self.slots)
        try:
            return await self._lend()
        except BaseException:
            give(self.slots)
            raise

    async def _lend(self) -> _Connection:
        if not self.idle:
            await asyncio.sleep(0.1)
            self.idle.append(_Connection())
        return self.idle.pop()

    async def _give_back(self, connection: _Connection) -> None:
        try:
            connection.lent = False
            self.idle.append(connection)
            await asyncio.sleep(0.001)
        finally:
            give(self.slots)


class Shorter(Sound):
    """The same, shorter: what goes wrong between take and give loses the slot."""

    async def _borrow(self) -> _Connection:
        await take(self.slots)
        return await self._lend()

    async def _give_back(self, connection: _Connection) -> None:
        connection.lent = False
        self.idle.append(connection)
        await asyncio.sleep(0.001)
        give(self.slots)


class Guarded(Sound):
    """Another right one: asyncio's own semaphore, and no slot is lost."""

    def __init__(self, size: int = 1) -> None:
        super().__init__(size)
        self.semaphore = asyncio.Semaphore(size)

    async def _borrow(self) -> _Connection:
        await self.semaphore.acquire()
        try:
            return await self._lend()
        except BaseException:
            self.semaphore.release()
            raise

    async def _give_back(self, connection: _Connection) -> None:
        connection.lent = False
        self.idle.append(connection)
        self.semaphore.release()


@exercise("04-4", "Calls that lose a slot")
async def breaks(answer: Any) -> str:
    for right in (Sound, Guarded):
        error = await _outcome(answer, right())
        if error is None:
            continue
        if isinstance(error, NotImplementedError | Unmet):
            raise error
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        hint = "What your calls raise on purpose, you have to catch: contextlib.suppress."
        if isinstance(error, TimeoutError):
            hint = "Nobody may hold the one connection and wait for another one; "
            hint += "and a timeout of your own has to be caught."
        raise Unmet(
            expected="no error from a sound pool: on that one your calls must work",
            got=f"A pool that gives every slot back raised {text}."
            if not isinstance(error, _Stuck)
            else "On a pool that gives every slot back your calls never ended.",
            hint=hint,
        )
    error = await _outcome(answer, Shorter())
    if error is None:
        raise Unmet(
            expected="TimeoutError on Shorter: its only slot is lost, and nobody gets in any more",
            got="Shorter answered all your calls.",
            hint="Between take and the `try` of acquire it waits for a connection. "
            "Let somebody leave there; then ask once more.",
        )
    if not isinstance(error, TimeoutError | _Stuck):
        raise Unmet(
            expected="TimeoutError on Shorter: its only slot is lost, and nobody gets in any more",
            got=f"Shorter raised {type(error).__name__}: {error}".removesuffix(": ") + ".",
        )
    return "Shorter has lost its slot; two sound pools answer"


class _Stuck(Exception):
    """The calls of the answer did not end within a minute."""


async def _outcome(answer: Any, pool: Sound) -> Exception | None:
    call = answer(pool)
    if not inspect.isawaitable(call):
        raise Unmet(
            expected="async def breaks(pool)",
            got=f"breaks(pool) gave {call!r}, and nothing to await.",
            hint="Calls of a pool have to be awaited, so breaks is async as well.",
        )
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=60)
    stuck = not task.done()
    left = asyncio.all_tasks() - before
    for one in left:
        one.cancel()
    await asyncio.gather(task, *left, return_exceptions=True)
    if stuck:
        return _Stuck()
    error = None if task.cancelled() else task.exception()
    return error if isinstance(error, Exception) else None
