"""Notebook 04's exercises: the right answer passes; each common mistake gets its own message."""

import asyncio
import contextlib
import math
from typing import Any

import asyncpg
import pytest

from cachepool_lib.lab import exercises
from cachepool_lib.lab.pool_exercises import EXERCISES, NAME, ORDERS
from tests.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "04-pool-your-connections.ipynb", {"04-1": "Yours", "04-2": "page", "04-3": "pool_size"}
)
NaivePool = COURSE.notebook["NaivePool"]
COURSE.notebook.update(NAME=NAME, ORDERS=ORDERS)  # the solution of 04-2 uses them


def test_every_exercise_is_tested_here() -> None:
    assert set(EXERCISES) == set(COURSE.answers)


def test_the_queries_are_the_notebooks() -> None:
    """The check knows no other; the notebook's are what slow_page asks."""
    cells = [cell.source for cell in COURSE.source.cells]
    assert any(f'NAME = "{NAME}"\nORDERS = "{ORDERS}"' in source for source in cells)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


# 04-1


class Locks(NaivePool):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lock = asyncio.Lock()
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None


class Plain(NaivePool):  # type: ignore[misc]
    """Right but for what a test changes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lock = asyncio.Lock()

    async def initialize(self) -> None:
        async with self.lock:
            if not self.pool:
                await self.open()

    async def open(self) -> None:
        await NaivePool.initialize(self)


class LooksOnly(NaivePool):  # type: ignore[misc]
    async def initialize(self) -> None:
        if self.pool is None:
            await super().initialize()


class NoSecondLook(Locks):
    async def initialize(self) -> None:
        if self.pool is None:
            async with self.lock:
                await NaivePool.initialize(self)


class KeepsTheFailure(Locks):
    async def initialize(self) -> None:
        async with self.lock:
            if self.error:
                raise self.error
            if not self.pool:
                try:
                    await NaivePool.initialize(self)
                except OSError as error:
                    self.error = error
                    raise


class Swallows(Locks):
    async def initialize(self) -> None:
        async with self.lock:
            if not self.pool:
                with contextlib.suppress(OSError):
                    await NaivePool.initialize(self)


class GoesOnAtOnce(Locks):
    opening = False

    async def initialize(self) -> None:
        if not self.opening:
            self.opening = True
            try:
                await NaivePool.initialize(self)
            finally:
                self.opening = False


class OneTask(Locks):
    async def initialize(self) -> None:
        if self.pool:
            return
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(NaivePool.initialize(self))
        await self.task


class OpensElsewhere(Locks):
    async def initialize(self) -> None:
        await asyncpg.create_pool(self.database_url)


class OwnSizes(Plain):
    async def open(self) -> None:
        self.pool = await asyncpg.create_pool(self.database_url)


class OneLockForAll(Plain):
    for_all = asyncio.Lock()

    async def initialize(self) -> None:
        async with self.for_all:
            if not self.pool:
                await self.open()


class Pools(Plain):
    """Keeps the one pool in the class."""

    found: Any = None

    async def initialize(self) -> None:
        async with self.lock:
            if not Pools.found:
                await self.open()
                Pools.found = self.pool
            self.pool = Pools.found


class PoolOfTheClass(Plain):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool = PoolOfTheClass.found

    found: Any = None

    async def open(self) -> None:
        await NaivePool.initialize(self)
        PoolOfTheClass.found = self.pool


class NeverFree(Plain):
    async def initialize(self) -> None:
        await self.lock.acquire()
        if not self.pool:
            await self.open()


class NotFreeAfterAnError(Plain):
    async def initialize(self) -> None:
        await self.lock.acquire()
        if not self.pool:
            await self.open()
        self.lock.release()


class EventNeverSet(Plain):
    opened: asyncio.Event | None = None

    async def initialize(self) -> None:
        if self.pool:
            return
        if self.opened:
            await self.opened.wait()
            return
        self.opened = asyncio.Event()
        await self.open()
        self.opened.set()


class Again(Plain):
    async def open(self) -> None:
        while not self.pool:
            with contextlib.suppress(OSError):
                await NaivePool.initialize(self)


class AgainWhateverHappens(Plain):
    async def initialize(self) -> None:
        while True:
            try:
                await NaivePool.initialize(self)
            except BaseException:
                await asyncio.sleep(0)


class SleepsAndHopes(Plain):
    opening = False

    async def initialize(self) -> None:
        if self.opening:
            await asyncio.sleep(1)
        elif not self.pool:
            self.opening = True
            await self.open()


class FlagStays(Plain):
    opening = False

    async def initialize(self) -> None:
        while self.opening and not self.pool:
            await asyncio.sleep(0.01)
            if self.error:
                raise self.error
        if self.pool:
            return
        self.opening = True
        try:
            await self.open()
        except OSError as error:
            self.error = error
            raise

    error: Exception | None = None


class NothingAfterAnError(Plain):
    failed = False

    async def initialize(self) -> None:
        async with self.lock:
            if self.pool:
                return
            if self.failed and not self.told():
                return
            self.failed = True
            await self.open()

    asked = 0

    def told(self) -> bool:
        self.asked += 1
        return self.asked < 5


class NoSuper(NaivePool):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        self.lock = asyncio.Lock()


class NoArguments(NaivePool):  # type: ignore[misc]
    def __init__(self) -> None:
        self.lock = asyncio.Lock()


class PlainWith(Plain):
    async def initialize(self) -> None:
        with self.lock:  # type: ignore[attr-defined]
            await self.open()


class AnotherError(Plain):
    """Right: all are told, in its own words."""

    async def open(self) -> None:
        try:
            await NaivePool.initialize(self)
        except OSError as error:
            raise RuntimeError("no database") from error


class OneShieldedTask(OneTask):
    """The other way to do it."""

    async def initialize(self) -> None:
        if self.pool:
            return
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(NaivePool.initialize(self))
        await asyncio.shield(self.task)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (LooksOnly, "50 callers, 50 pools."),
        (NoSecondLook, "The waiters opened again, one by one."),
        (KeepsTheFailure, "The server is back; you still fail."),
        (
            Swallows,
            "The opening failed, and 5 of 5 callers returned as if all was well. Let the error out",
        ),
        (OwnSizes, "It opened with min_size=10, max_size=10. super().initialize() passes on all"),
        (OneLockForAll, "One pool waits for the other to open. self.opening = asyncio.Lock() in"),
        (Pools, "The second pool didn't open: the first one had."),
        (PoolOfTheClass, "A new object has a pool already. Each has a pool of its own"),
        (NeverFree, "49 of 50 callers still wait after a minute. What holds the others back has"),
        (
            NotFreeAfterAnError,
            "The opening failed, and 4 of 5 callers still wait after a minute. What holds",
        ),
        (
            EventNeverSet,
            "The opening failed, and 4 of 5 callers still wait after a minute. What holds",
        ),
        (
            SleepsAndHopes,
            "The opening failed, and 4 of 5 callers returned as if all was well. Let the error",
        ),
        (FlagStays, "The server is back; you still fail. Keep the pool"),
        (NothingAfterAnError, "The server is back; the next caller got no pool. What says that"),
        (NoSuper, "The object has no attribute 'pool'. NaivePool's __init__ sets it: call super()"),
        (NoArguments, "TypeError: NoArguments.__init__() takes 1 positional argument but 4 were"),
        (GoesOnAtOnce, "Some went on before the pool was open."),
        (OneTask, "Caller 1 left while it opened; the others have no pool."),
        (OpensElsewhere, "initialize() returned, and self.pool is None."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_opening_is_explained(answer: Any, expected: str) -> None:
    assert message("04-1", answer).startswith(expected)


def test_an_opening_that_is_tried_for_ever_is_explained() -> None:
    """How often is told, and that it is the error that has to get out."""
    text = message("04-1", Again)
    assert text.startswith("The opening failed, and 5 of 5 callers still wait after a minute. It")
    assert text.endswith("Let the error out: whoever asks next may try again.")


def test_a_lock_taken_without_async_is_explained() -> None:
    """Whatever this Python says of it."""
    assert message("04-1", PlainWith).endswith("A lock of asyncio is taken with `async with`.")


def test_one_lock_for_all_is_explained_the_second_time_too() -> None:
    """Then it belongs to the loop of the first time, and asyncio complains."""
    for _ in range(2):
        assert "each pool has its own" in message("04-1", OneLockForAll)


def test_an_opening_that_cannot_be_cancelled_fills_no_screen(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fifty tasks end with a traceback each, and what is wrong is in the message."""
    monkeypatch.setattr(exercises, "LIMIT", 0.5)
    result = look_at("04-1", AgainWhateverHappens)
    assert result.status == "failed"
    assert "Is there a loop that never ends?" in result.got
    assert not capfd.readouterr().err


@pytest.mark.parametrize("answer", [OneShieldedTask, AnotherError, Plain])
def test_another_right_opening_passes(answer: type) -> None:
    """A task that belongs to no caller opens once, too; and an error may have its own words."""
    assert look_at("04-1", answer).passed


# 04-2


async def orders(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetch(ORDERS, user_id)


async def borrows_twice(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetchval(NAME, user_id), await orders(pool, user_id)


async def larger(pool: Any, user_id: int) -> Any:
    pool.max_size = 20
    return await borrows_twice(pool, user_id)


async def with_a_limit(pool: Any, user_id: int) -> Any:
    async with asyncio.timeout(1):
        return await borrows_twice(pool, user_id)


async def second_pool(pool: Any, user_id: int) -> Any:
    another = NaivePool("postgresql://shop@127.0.0.1/shop", 1, 1)
    async with pool.acquire() as connection:
        return await connection.fetchval(NAME, user_id), await another.fetch(ORDERS, user_id)


async def connects(pool: Any, user_id: int) -> Any:
    connection = await asyncpg.connect("postgresql://shop@127.0.0.1/shop")
    return await connection.fetchval(NAME, user_id), await orders(pool, user_id)


async def forgets_the_orders(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetchval(NAME, user_id)


async def too_late(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        name = await connection.fetchval(NAME, user_id)
    return name, await connection.fetch(ORDERS, user_id)


async def both_at_once(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        both = connection.fetchval(NAME, user_id), connection.fetch(ORDERS, user_id)
        return tuple(await asyncio.gather(*both))


async def a_task_beside(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        later = asyncio.create_task(connection.fetch(ORDERS, user_id))
        await asyncio.sleep(0)
        try:
            return await connection.fetchval(NAME, user_id), await later
        finally:
            await asyncio.gather(later, return_exceptions=True)


async def asks_the_pool(pool: Any, user_id: int) -> Any:
    both = pool.fetchval(NAME, user_id), pool.fetch(ORDERS, user_id)
    return tuple(await asyncio.gather(*both))


async def guesses_the_name(pool: Any, user_id: int) -> Any:
    return f"user {user_id}", await orders(pool, user_id)


async def a_list(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        name = await connection.fetchval(NAME, user_id)
    return await asyncio.gather(asyncio.sleep(0, name), orders(pool, user_id))


async def holds_for_ever(pool: Any, user_id: int) -> Any:
    async with pool.acquire():
        await asyncio.Event().wait()


async def never_borrows(pool: Any, user_id: int) -> Any:
    await asyncio.Event().wait()


async def another_query(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        rows = await connection.fetch(f"SELECT * FROM users WHERE id = {user_id}")
        return rows[0]["name"], await connection.fetch(ORDERS, user_id)


async def no_return(pool: Any, user_id: int) -> None:
    await one_after_the_other(pool, user_id)


def not_async(pool: Any, user_id: int) -> Any:
    return "Ada", []


async def hands_it_on(pool: Any, user_id: int) -> Any:
    """Right: a helper that takes the connection, and rows from which it takes the name."""

    async def orders_of(connection: Any) -> Any:
        return await connection.fetch(ORDERS, user_id)

    async with pool.acquire() as connection:
        row = await connection.fetchrow(NAME, user_id)
        return row["name"], await orders_of(connection)


async def the_pool_fetches(pool: Any, user_id: int) -> Any:
    """Right: the pool borrows for each query, one after the other."""
    [row] = await pool.fetch(NAME, user_id)
    return row["name"], await pool.fetch(ORDERS, user_id)


async def one_after_the_other(pool: Any, user_id: int) -> Any:
    """Right as well: it gives back before it borrows again."""
    async with pool.acquire() as connection:
        name = await connection.fetchval(NAME, user_id)
    return name, await orders(pool, user_id)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (borrows_twice, "10 of 10 pages are stuck. The page that has the connection waits for"),
        (both_at_once, "Two queries at once on one connection: asyncpg raises InterfaceError. A"),
        (a_task_beside, "Two queries at once on one connection: asyncpg raises InterfaceError."),
        (asks_the_pool, "NaivePool has no fetchval. A connection can do more"),
        (guesses_the_name, "The page of user 0 is ('user 0', "),
        (a_list, "A list: ['Ada', [{'day': 1, 'quantity': 1}, {'day': 2, 'quantity': 2}]]. A tup"),
        (
            holds_for_ever,
            "10 of 10 pages are stuck. The page that has the connection waits for some",
        ),
        (never_borrows, "10 of 10 pages are stuck. Nobody has the connection, and nobody waits"),
        (another_query, "The query 'SELECT * FROM users WHERE id = 0' with (). Nothing but these"),
        (no_return, "page returned None. A `return` is missing."),
        (not_async, "page(pool, 0) gave ('Ada', []), and nothing to await."),
        (larger, "Stuck again at that size. The number wasn't the fault."),
        (with_a_limit, "Pages failed; none had to."),
        (second_pool, "Your budget was one connection."),
        (connects, "Your budget was one connection."),
        (forgets_the_orders, "The page of user 0 is 'Ada'. return name, orders"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_page_is_explained(answer: Any, expected: str) -> None:
    assert message("04-2", answer).startswith(expected)


def test_a_connection_that_was_given_back_is_noticed() -> None:
    assert "given back" in look_at("04-2", too_late).got


@pytest.mark.parametrize("answer", [hands_it_on, one_after_the_other, the_pool_fetches])
def test_another_right_page_passes(answer: Any) -> None:
    """Borrowing twice, one after the other, locks nobody out."""
    assert look_at("04-2", answer).passed


def test_borrowing_more_than_once_is_mentioned() -> None:
    """It is not wrong, and twice the work for the pool."""
    assert "once is enough" in look_at("04-2", one_after_the_other).got
    assert "twice" not in look_at("04-2", hands_it_on).got


# 04-3


def right(m: int, r: int, p: int, generations: int = 2, most: int = 10**9, least: int = 1) -> int:
    size = (m - r) // (p * generations)
    if size < least:
        raise ValueError("too few")
    return min(size, most)


def zero_only(m: int, r: int, p: int, generations: int = 2) -> int:
    size = (m - r) // (p * generations)
    if not size:
        raise ValueError("too few")
    return size


def returns_the_error(m: int, r: int, p: int, generations: int = 2) -> Any:
    try:
        return right(m, r, p, generations)
    except ValueError as error:
        return error


def asserts(m: int, r: int, p: int, generations: int = 2) -> int:
    size = (m - r) // (p * generations)
    assert size >= 1
    return size


async def is_async(m: int, r: int, p: int, generations: int = 2) -> int:
    return right(m, r, p, generations)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda m, r, p, generations=2: m // (p * generations), "100 used; 97 are yours."),
        (
            lambda m, r, p, generations=2: (m - r) // p,
            "Old and new run together: 2 × 5 × 19 = 190. 97 are yours.",
        ),
        (
            lambda m, r, p, generations=2: (m - r) / (p * generations),
            "pool_size(100, 3, 5, generations=2) gave 9.7. // divides and rounds down.",
        ),
        (
            lambda m, r, p, generations=2: math.ceil((m - r) / (p * generations)),
            "100 used; 97 are yours.",
        ),
        (
            lambda m, r, p, generations=2: print(end=""),
            "pool_size(100, 3, 5, generations=2) gave None. A `return` is missing: print()",
        ),
        (
            lambda m, r, p, generations=2: right(m, r, p, generations, most=20),
            "pool_size(1000, 10, 3, generations=2) gave 20.",
        ),
        (
            lambda m, r, p, generations=2: right(m, r, p, generations, least=2),
            "pool_size(11, 3, 4) raised ValueError: too few. There is one for each at least",
        ),
        (zero_only, "pool_size(2, 10, 1) gave -4. More can be reserved than there is."),
        (returns_the_error, "gave ValueError('too few'). An error is raised, not returned"),
        (asserts, "pool_size(10, 3, 4) raised AssertionError. raise ValueError(…) is what says"),
        (
            lambda m, r, p, generations=2: [][0],
            "pool_size(100, 3, 5, generations=2) raised IndexError: list index out of range.",
        ),
        (is_async, "pool_size is async: its call makes a coroutine, and no number yet. Nothing"),
        (lambda m, r, p, generations=1: (m - r) // (p * generations), "generations=2"),
        (
            lambda m, r, p, generations=2: (m - r) // (p * generations),
            "pool_size(10, 3, 4) gave 0. A pool without a connection serves nobody",
        ),
        (
            lambda m, r, p, generations=2: max(1, (m - r) // (p * generations)),
            "pool_size(10, 3, 4) gave 1.",
        ),
    ],
)
def test_a_wrong_size_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("04-3", answer)
