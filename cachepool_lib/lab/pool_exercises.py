"""Feedback on the exercises of notebook 04, in simulated time: no server is asked.

What would open a connection is replaced meanwhile by something that counts.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import asyncpg

from .checks import Unmet

__all__ = ["EXERCISES"]

Check = Callable[[Any], Coroutine[Any, Any, str]]
EXERCISES: dict[str, tuple[str, Check]] = {}
URL = "postgresql://shop@127.0.0.1/shop"
ELSEWHERE = "postgresql://shop@127.0.0.1/elsewhere"


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


# -- 04-1 ---------------------------------------------------------------------------------------


class _Opener:
    """Opens pools that are nothing, 0.1 s each, and notes which, and how many at once.

    Opening ELSEWHERE takes an hour.
    """

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.now, self.at_once = fails, 0, 0
        self.opened: list[tuple[Any, Any, Any]] = []

    async def __call__(
        self, dsn: Any = None, *, min_size: Any = 10, max_size: Any = 10, **options: Any
    ) -> object:
        self.opened.append((dsn, min_size, max_size))
        self.now += 1
        self.at_once = max(self.at_once, self.now)
        try:
            await asyncio.sleep(3600 if dsn == ELSEWHERE else 0.1)
        finally:
            self.now -= 1
        if self.fails:
            raise ConnectionRefusedError("the server is down")
        return object()


WAITS = "waits"  # the outcome of a caller who is not back after a minute
FREE_IT = "What holds the others back has to let go however it ends: async with, or finally."
PER_POOL = "self.opening = asyncio.Lock() in __init__: each pool has its own, a class has one."


def _new(answer: Any) -> Any:
    try:
        pool = answer(URL, 1, 2)
    except TypeError as error:
        raise Unmet(
            expected="a class that is made as NaivePool is: Yours(database_url, 1, 2)",
            got=f"TypeError: {error}",
            hint="def __init__(self, *args, **options) takes whatever NaivePool's takes.",
        ) from None
    if not hasattr(pool, "pool"):
        raise Unmet(
            expected="self.pool, None before anything is open",
            got="The object has no attribute 'pool'.",
            hint="NaivePool's __init__ sets it: call super().__init__(*args, **options) in yours.",
        )
    if pool.pool is not None:
        raise Unmet(
            expected="self.pool, None before anything is open",
            got="A new object has a pool already.",
            hint="Each has a pool of its own: keep it in self.pool, not in the class.",
        )
    return pool


async def _asked(pool: Any, callers: int, leaver: int | None = None) -> list[Any]:
    """What so many first callers get from initialize(): what self.pool is then, or an error."""

    async def caller() -> Any:
        await pool.initialize()
        return pool.pool

    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    if leaver is not None:
        await asyncio.sleep(0.05)
        tasks.pop(leaver).cancel()
    _, waiting = await asyncio.wait(tasks, timeout=60)
    for task in waiting:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    answers = [WAITS if t in waiting else a for t, a in zip(tasks, answers, strict=True)]
    for error in answers:
        _not_a_slip(error)
    return answers


def _not_a_slip(error: Any) -> None:
    """Raise what tells of the code and not of the database."""
    if isinstance(error, RuntimeError) and "event loop" in str(error):
        raise Unmet(expected="a lock for each pool", got=f"RuntimeError: {error}", hint=PER_POOL)
    if isinstance(error, TypeError) and "context manager" in str(error):
        hint = "A lock of asyncio is taken with `async with`."
        raise Unmet(expected="a lock", got=f"TypeError: {error}", hint=hint)
    if isinstance(error, NotImplementedError | TypeError | AttributeError | NameError):
        raise error


@_exercise("04-1", "Open once, however many ask")
async def initialize(answer: Any) -> str:
    opener, pool = _Opener(), _new(answer)
    with _opening_with(opener):
        answers = await _asked(pool, 50)
    opened = len(opener.opened)
    for error in answers:
        if isinstance(error, Exception):
            raise error
    if WAITS in answers:
        raise Unmet(
            expected="50 callers, 1 pool, and nobody who waits",
            got=f"{answers.count(WAITS)} of 50 callers still wait after a minute.",
            hint=FREE_IT,
        )
    if not opened or pool.pool is None:
        raise Unmet(
            expected="1 pool, in self.pool",
            got=f"initialize() returned, and self.pool is {pool.pool!r}.",
            hint="self.pool = await asyncpg.create_pool(…), as before.",
        )
    if opened > 1:
        one_by_one = opener.at_once == 1
        raise Unmet(
            expected="50 callers, 1 pool",
            got="The waiters opened again, one by one."
            if one_by_one
            else f"50 callers, {opened} pools.",
            hint="Look again once you have the lock: somebody may have opened meanwhile."
            if one_by_one
            else "Between the look and the assignment there is an await: a lock lets one in.",
        )
    if None in answers:
        raise Unmet(
            expected="a pool, for everybody whose initialize() has returned",
            got="Some went on before the pool was open.",
            hint="Whoever doesn't open has to wait for the one who does.",
        )
    if opener.opened != [(URL, 1, 2)]:
        [(dsn, low, high)] = opener.opened
        what = f"min_size={low}, max_size={high}" if dsn == URL else f"database_url={dsn!r}"
        raise Unmet(
            expected=f"what the pool was made with: {URL!r}, min_size=1, max_size=2",
            got=f"It opened with {what}.",
            hint="super().initialize() passes on all three.",
        )
    await _two_pools(answer)
    await _fails_then_works(answer)
    await _one_leaves(answer)
    return "50 callers, two pools, a failure, one who leaves"


async def _two_pools(answer: Any) -> None:
    opener, quick = _Opener(), _new(answer)
    with _opening_with(opener):
        slow = answer(ELSEWHERE, 1, 2)
        opening = asyncio.create_task(slow.initialize())
        await asyncio.sleep(0.01)
        [got] = await _asked(quick, 1)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    if (ELSEWHERE, 1, 2) not in opener.opened:
        got = None  # the other pool was taken for this one
    if got is None or got is WAITS or isinstance(got, BaseException):
        raise Unmet(
            expected="two pools of two databases, which have nothing to do with each other",
            got="One pool waits for the other to open."
            if got is WAITS
            else "The second pool didn't open: the first one had.",
            hint=PER_POOL
            if got is WAITS
            else "Keep the pool in self.pool, not in the class: each has its own.",
        )


async def _fails_then_works(answer: Any) -> None:
    opener, pool = _Opener(fails=True), _new(answer)
    with _opening_with(opener):
        answers = await _asked(pool, 5)
        waiting = answers.count(WAITS)
        told = sum(isinstance(error, Exception) for error in answers)
        if told < 5:
            got = f"{5 - told - waiting} of 5 callers returned as if all was well."
            hint = "Let the error out of initialize(), also for those who waited for the opening."
            if waiting:
                got = f"{waiting} of 5 callers still wait after a minute."
                hint = FREE_IT
            if len(opener.opened) > 50:
                got += f" It was tried {len(opener.opened)} times."
                hint = "Let the error out: whoever asks next may try again."
            raise Unmet(
                expected="an error for each of 5 callers: the server is down",
                got=f"The opening failed, and {got}",
                hint=hint,
            )
        opener.fails = False
        [after] = await _asked(pool, 1)
    if after is None or after is WAITS or isinstance(after, BaseException):
        got, hint = "you still fail", "Keep the pool, when there is one, and never the failure."
        if after is None:
            got = "the next caller got no pool"
            hint = "What says that somebody is opening has to be taken back when opening fails."
        elif after is WAITS:
            got, hint = "the next caller waits for ever", FREE_IT
        raise Unmet(
            expected="a pool, now that the server is back",
            got=f"The server is back; {got}.",
            hint=hint,
        )


async def _one_leaves(answer: Any) -> None:
    opener, pool = _Opener(), _new(answer)
    with _opening_with(opener):
        answers = await _asked(pool, 3, leaver=0)
    if any(got is WAITS or got is None or isinstance(got, BaseException) for got in answers):
        others = "the others still wait" if WAITS in answers else "the others have no pool"
        raise Unmet(
            expected="a pool for the two who stay",
            got=f"Caller 1 left while it opened; {others}.",
            hint="Another one has to open then, or the opening has to go on: asyncio.shield.",
        )


# -- 04-2 ---------------------------------------------------------------------------------------

NAME = "SELECT name FROM users WHERE id = $1"
ORDERS = "SELECT day, quantity FROM orders WHERE user_id = $1 ORDER BY id"
USERS = (
    "Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Alan",
    "Donald",
    "Frances",
    "Tony",
    "Jean",
    "Niklaus",
)


class _Lent:
    """A connection of the pool of one; knows the names and orders of the shop's users."""

    def __init__(self) -> None:
        self.back = self.busy = False

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109
        if self.back:
            raise Unmet(
                expected="queries while the page has the connection",
                got="The connection was used after it was given back.",
                hint="It is given back where the `async with` ends: ask for both inside.",
            )
        if self.busy:
            # In asyncpg: InterfaceError, cannot perform operation: another operation is in progress
            raise Unmet(
                expected="one query after the other",
                got="Two queries at once on one connection: asyncpg raises InterfaceError.",
                hint="A connection does one thing at a time: await the first, then ask again.",
            )
        if " ".join(query.split()) not in (NAME, ORDERS) or len(args) != 1:
            raise Unmet(
                expected="NAME or ORDERS, as slow_page has them, and the id of the user",
                got=f"The query {query!r} with {args!r}.",
                hint="Nothing but these two is known here: there is no server behind it.",
            )
        self.busy = True
        try:
            await asyncio.sleep(0.01)
        finally:
            self.busy = False
        name, orders = _shown(*args)
        return [{"name": name}] if " ".join(query.split()) == NAME else orders

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return (await self.fetch(query, *args, **options))[0]

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return next(iter((await self.fetchrow(query, *args, **options)).values()))


def _shown(user_id: int) -> tuple[str, list[dict[str, int]]]:
    """What the page of a user shows."""
    return USERS[user_id], [{"day": day, "quantity": 3 * user_id + day} for day in (1, 2)]


class _One:
    """A pool of one connection, which can do what NaivePool can."""

    def __init__(self) -> None:
        self.turns, self.min_size, self.max_size = asyncio.Semaphore(1), 1, 1
        self.database_url, self.lent, self.waiting = URL, 0, 0

    def __getattr__(self, name: str) -> Any:
        raise Unmet(
            expected="acquire or fetch, which NaivePool has",
            got=f"NaivePool has no {name}.",
            hint="A connection can do more: `async with pool.acquire() as connection`.",
        )

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[_Lent]:
        self.waiting += 1
        try:
            await self.turns.acquire()
        finally:
            self.waiting -= 1
        self.lent += 1
        lent = _Lent()
        try:
            yield lent
        finally:
            lent.back = True
            self.turns.release()

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)


@_exercise("04-2", "Ten pages on a pool of one")
async def page(answer: Any) -> str:
    pool, others = _One(), 0
    expected = "10 pages, with one connection"

    def another(*args: Any, **options: Any) -> Any:
        nonlocal others
        others += 1
        raise ConnectionRefusedError("the server allows one connection")

    async def show(user_id: int) -> Any:
        made = answer(pool, user_id)
        if not inspect.isawaitable(made):
            raise Unmet(
                expected="async def page(pool, user_id)",
                got=f"page(pool, {user_id}) gave {made!r}, and nothing to await.",
                hint="A query has to be awaited, so the page is async as well.",
            )
        return await made

    with _opening_with(another):
        pages = [asyncio.create_task(show(user_id)) for user_id in range(len(USERS))]
        await asyncio.wait(pages, timeout=60)
        stuck, waiting = sum(not page.done() for page in pages), pool.waiting
        held = pool.turns.locked()
        for page_ in pages:
            page_.cancel()
        answers = await asyncio.gather(*pages, return_exceptions=True)
    if others:
        raise Unmet(expected=expected, got="Your budget was one connection.",
                    hint="The pool that you are given is all there is.")  # fmt: skip
    if pool.max_size != 1:
        raise Unmet(
            expected=expected,
            got="Stuck again at that size. The number wasn't the fault.",
            hint="As many pages as connections, and each needs one more.",
        )
    errors = [error for error in answers if isinstance(error, Exception)]
    for error in errors:
        if isinstance(error, Unmet | NotImplementedError):
            raise error
    if stuck:
        hint = "The page that has the connection waits for something else than the pool: for what?"
        if not held:
            hint = "Nobody has the connection, and nobody waits for it: what do they wait for?"
        elif waiting >= stuck:
            hint = "The page that has the connection waits for another one. Borrow once, "
            hint += "and hand the connection on to whoever needs it."
        raise Unmet(expected=expected, got=f"{stuck} of 10 pages are stuck.", hint=hint)
    if any(isinstance(error, TimeoutError) for error in errors):
        raise Unmet(
            expected=expected,
            got="Pages failed; none had to.",
            hint="A limit ends the wait, and nothing more. Borrow once.",
        )
    for error in errors:
        raise error
    for user_id, got in enumerate(answers):
        if got == _shown(user_id):
            continue
        text, hint = f"The page of user {user_id} is {got!r}.", "return name, orders"
        if isinstance(got, list) and tuple(got) == _shown(user_id):
            text, hint = f"A list: {got!r}.", "A tuple was asked for: tuple(…) makes one of it."
        elif got is None:
            text, hint = "page returned None.", "A `return` is missing."
        raise Unmet(expected=f"(name, orders): {_shown(user_id)!r}", got=text, hint=hint)
    if pool.lent > len(USERS):
        return "10 pages, one connection; each borrowed twice in turn, and once is enough"
    return "10 pages, one connection"


# -- 04-3 ---------------------------------------------------------------------------------------


@_exercise("04-3", "The largest pool for each process")
async def pool_size(answer: Any) -> str:
    for most, reserved, processes, generations in (
        (100, 3, 5, 2),
        (100, 3, 5, 1),
        (500, 20, 12, 3),
        (1000, 10, 3, 2),
    ):
        case = f"pool_size({most}, {reserved}, {processes}, generations={generations})"
        yours, running = most - reserved, processes * generations
        expected = yours // running
        value = _size(answer, case, expected, most, reserved, processes, generations=generations)
        if value == expected:
            continue
        hint = f"{yours} connections, shared by {running} processes."
        got = f"{case} gave {value!r}."
        if isinstance(value, float) and not value.is_integer():
            got, hint = f"{case} gave {value:.1f}.", "// divides and rounds down."
        elif value == yours // processes:
            together = f"{generations} × {processes} × {value} = {running * value}"
            got, hint = f"Old and new run together: {together}.", f"{yours} are yours."
        elif isinstance(value, int | float) and running * value > yours:
            got = f"{running * value:g} used; {yours} are yours."
            hint = "Take off what is reserved, and round down."
        raise Unmet(expected=f"{expected}", got=got, hint=hint)
    value = _size(answer, "pool_size(100, 3, 5)", 9, 100, 3, 5)
    if value != 9:
        raise Unmet(expected="9 without generations", got=f"{value!r}",
                    hint="Old and new run together: generations=2 is the default.")  # fmt: skip
    value = _size(answer, "pool_size(11, 3, 4)", 1, 11, 3, 4)
    if value != 1:
        raise Unmet(expected="1", got=f"pool_size(11, 3, 4) gave {value!r}.",
                    hint="8 connections for 8 processes: one for each.")  # fmt: skip
    for arguments in ((10, 3, 4), (3, 3, 1), (2, 10, 1)):
        yours, running = arguments[0] - arguments[1], 2 * arguments[2]
        try:
            value = answer(*arguments)
            got = f"pool_size{arguments} gave {value!r}."
            hint = "A pool without a connection serves nobody, and rounding up breaks the limit."
            if isinstance(value, ValueError):
                hint = "An error is raised, not returned: raise ValueError(…)."
            elif isinstance(value, int) and value < 0:
                hint = "More can be reserved than there is. Ask `size < 1`, not for zero alone."
        except ValueError:
            continue
        except Exception as error:
            got = f"pool_size{arguments} raised {type(error).__name__}."
            hint = "raise ValueError(…) is what says: right type, wrong value."
        raise Unmet(
            expected=f"ValueError: {yours} connections for {running} processes", got=got, hint=hint
        )
    return "sums, a deploy, exactly one, too few connections"


def _size(answer: Any, case: str, expected: int, *arguments: int, **options: int) -> Any:
    """What the answer gives; an Unmet for what is no number."""
    got, hint = "", ""
    try:
        value = answer(*arguments, **options)
    except NotImplementedError:
        raise
    except Exception as error:
        got = f"{case} raised {f'{type(error).__name__}: {error}'.removesuffix(': ')}."
        if isinstance(error, ValueError):
            hint = "There is one for each at least: no reason to refuse."
        raise Unmet(expected=f"{expected}", got=got, hint=hint) from None
    if inspect.iscoroutine(value):
        value.close()
        got = "pool_size is async: its call makes a coroutine, and no number yet."
        hint = "Nothing is awaited here: a plain def."
    elif value is None:
        got, hint = f"{case} gave None.", "A `return` is missing: print() only shows the number."
    elif isinstance(value, Exception):
        got, hint = f"{case} gave {value!r}.", "An error is raised, not returned."
    if got:
        raise Unmet(expected=f"{expected}", got=got, hint=hint)
    return value
