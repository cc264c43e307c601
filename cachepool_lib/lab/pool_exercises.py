"""Feedback on the exercises of notebook 04, in simulated time: no server is asked.

What would open a connection is replaced meanwhile by something that counts.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import asyncpg

from .checks import Unmet

__all__ = ["EXERCISES"]

Check = Callable[[Any], Coroutine[Any, Any, str]]
EXERCISES: dict[str, tuple[str, Check]] = {}
URL = "postgresql://shop@127.0.0.1/shop"


def _exercise(name: str, title: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        EXERCISES[name] = title, function
        return function

    return register


@contextlib.contextmanager
def _opening_with(function: Callable[..., Any]) -> Iterator[None]:
    """Let *function* stand for what opens a connection or a pool in asyncpg."""
    before = asyncpg.connect, asyncpg.create_pool
    asyncpg.connect = asyncpg.create_pool = function
    try:
        yield
    finally:
        asyncpg.connect, asyncpg.create_pool = before


@_exercise("04-1", "The largest pool for each process")
async def pool_size(answer: Any) -> str:
    for most, reserved, processes, generations in (
        (100, 3, 5, 2),
        (100, 3, 5, 1),
        (500, 20, 12, 3),
    ):
        case = f"pool_size({most}, {reserved}, {processes}, generations={generations})"
        yours, running = most - reserved, processes * generations
        expected = yours // running
        value = answer(most, reserved, processes, generations=generations)
        if isinstance(value, float) and not value.is_integer():
            hint = "// divides and rounds down."
            raise Unmet(expected=f"{expected}", got=f"{case} gave {value:.1f}.", hint=hint)
        if value == expected:
            continue
        hint = f"{yours} connections, shared by {running} processes."
        if value == yours // processes:
            together = f"{generations} × {processes} × {value} = {running * value}"
            got, hint = f"Old and new run together: {together}.", f"{yours} are yours."
        elif isinstance(value, int | float) and running * value > yours:
            got = f"{running * value:g} used; {yours} are yours."
            hint = "Take off what is reserved, and round down."
        else:
            got = f"{case} gave {value!r}."
        raise Unmet(expected=f"{expected}", got=got, hint=hint)
    if answer(100, 3, 5) != 9:
        raise Unmet(expected="9 without generations", got=f"{answer(100, 3, 5)!r}",
                    hint="Old and new run together: generations=2 is the default.")  # fmt: skip
    for arguments in ((10, 3, 4), (3, 3, 1)):
        try:
            value = answer(*arguments)
        except ValueError:
            continue
        yours, running = arguments[0] - arguments[1], 2 * arguments[2]
        raise Unmet(
            expected=f"ValueError: {yours} connections for {running} processes",
            got=f"pool_size{arguments} gave {value!r}.",
            hint="A pool without a connection serves nobody, and rounding up breaks the limit.",
        )
    return "sums, a deploy, too few connections"


class _Opener:
    """Opens pools that are nothing, 0.1 s each, and notes how many and how many at once."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.opened, self.now, self.at_once = fails, 0, 0, 0

    async def __call__(self, *args: Any, **options: Any) -> object:
        self.opened += 1
        self.now += 1
        self.at_once = max(self.at_once, self.now)
        try:
            await asyncio.sleep(0.1)
        finally:
            self.now -= 1
        if self.fails:
            raise ConnectionRefusedError("the server is down")
        return object()


async def _asked(pool: Any, callers: int, leaver: int | None = None) -> list[Any]:
    """What so many first callers get from initialize(): what self.pool is then, or an error."""

    async def caller() -> Any:
        await pool.initialize()
        return pool.pool

    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    if leaver is not None:
        await asyncio.sleep(0.05)
        tasks.pop(leaver).cancel()
    await asyncio.wait(tasks, timeout=60)
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


@_exercise("04-2", "Open once, however many ask")
async def initialize(answer: Any) -> str:
    opener, pool = _Opener(), answer(URL, 1, 2)
    with _opening_with(opener):
        answers = await _asked(pool, 50)
    for error in answers:
        if isinstance(error, Exception):
            raise error
    if opener.opened == 0 or pool.pool is None:
        raise Unmet(
            expected="1 pool, in self.pool",
            got=f"initialize() returned, and self.pool is {pool.pool!r}.",
            hint="self.pool = await asyncpg.create_pool(…), as before.",
        )
    if opener.opened > 1:
        one_by_one = opener.at_once == 1
        raise Unmet(
            expected="50 callers, 1 pool",
            got="The waiters opened again, one by one."
            if one_by_one
            else f"50 callers, {opener.opened} pools.",
            hint="Look again once you have the lock: somebody may have opened meanwhile."
            if one_by_one
            else "Between the look and the assignment there is an await: a lock lets one in.",
        )
    if None in answers:
        raise Unmet(
            expected="a pool, for everybody whose initialize() has returned",
            got="Some went on before the pool was open.",
            hint="Who doesn't open has to wait for the one who does.",
        )
    await _fails_then_works(answer)
    opener, pool = _Opener(), answer(URL, 1, 2)
    with _opening_with(opener):
        answers = await _asked(pool, 3, leaver=0)
    if any(isinstance(got, BaseException) or got is None for got in answers):
        raise Unmet(
            expected="a pool for the two who stay",
            got="Caller 1 left while it opened; the others have no pool.",
            hint="Another one has to open then, or the opening has to go on: asyncio.shield.",
        )
    return "50 callers, a failure, one who leaves"


async def _fails_then_works(answer: Any) -> None:
    opener, pool = _Opener(fails=True), answer(URL, 1, 2)
    with _opening_with(opener):
        answers = await _asked(pool, 5)
        if not all(isinstance(error, ConnectionRefusedError) for error in answers):
            raise Unmet(
                expected="ConnectionRefusedError for each of 5 callers",
                got="The opening failed, and somebody was not told.",
            )
        opener.fails = False
        [after] = await _asked(pool, 1)
    if after is None or isinstance(after, BaseException):
        raise Unmet(
            expected="a pool, now that the server is back",
            got="The server is back; you still fail.",
            hint="Keep the pool, when there is one, and never the failure.",
        )


class _Lent:
    """A connection of the pool of one; knows the shop's users and orders."""

    def __init__(self) -> None:
        self.back = False

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[dict[str, Any]]:
        if self.back:
            raise RuntimeError("this connection has been given back")
        await asyncio.sleep(0.01)
        [user_id] = args
        if "users" in query:
            return [{"name": f"user {user_id}"}]
        return [{"day": day, "quantity": user_id} for day in (1, 2)]

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> dict[str, Any]:
        return (await self.fetch(query, *args))[0]

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return next(iter((await self.fetchrow(query, *args)).values()))


class _One:
    """A pool of one connection, which notes whether somebody gives it another size."""

    def __init__(self) -> None:
        self.turns, self.max_size = asyncio.Semaphore(1), 1

    @contextlib.asynccontextmanager
    async def acquire(  # as the notebook's classes and the library's are asked
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncIterator[_Lent]:
        async with asyncio.timeout(timeout):
            await self.turns.acquire()
        lent = _Lent()
        try:
            yield lent
        finally:
            lent.back = True
            self.turns.release()

    async def fetch(self, query: str, *args: Any) -> list[dict[str, Any]]:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)


@_exercise("04-3", "Ten pages on a pool of one")
async def page(answer: Any) -> str:
    pool, others = _One(), 0

    def another(*args: Any, **options: Any) -> Any:
        nonlocal others
        others += 1
        raise ConnectionRefusedError("the server allows one connection")

    with _opening_with(another):
        pages = [asyncio.ensure_future(answer(pool, user_id)) for user_id in range(10)]
        await asyncio.wait(pages, timeout=60)
        stuck = sum(not page.done() for page in pages)
        for waiting in pages:
            waiting.cancel()
        answers = await asyncio.gather(*pages, return_exceptions=True)
    expected = "10 pages, with one connection"
    if others:
        raise Unmet(expected=expected, got="Your budget was one connection.",
                    hint="The pool that you are given is all there is.")  # fmt: skip
    if pool.max_size != 1:
        raise Unmet(
            expected=expected,
            got="Stuck again at that size. The number wasn't the fault.",
            hint="As many pages as connections, and each needs one more.",
        )
    if stuck:
        raise Unmet(
            expected=expected,
            got=f"{stuck} of 10 pages are stuck.",
            hint="Who holds the connection waits for another one. Borrow once, "
            "and hand the connection on to who needs it.",
        )
    errors = [error for error in answers if isinstance(error, BaseException)]
    if any(isinstance(error, TimeoutError) for error in errors):
        raise Unmet(
            expected=expected,
            got="Pages failed; none had to.",
            hint="A limit ends the wait, and nothing more. Borrow once.",
        )
    for error in errors:
        raise error
    for user_id, got in enumerate(answers):
        name, orders = f"user {user_id}", [{"day": day, "quantity": user_id} for day in (1, 2)]
        if got != (name, orders):
            raise Unmet(
                expected="(name, orders), as the page had it",
                got=f"The page of user {user_id} is {got!r}.",
            )
    return "10 pages, one connection"
