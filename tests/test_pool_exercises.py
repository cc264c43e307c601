"""Notebook 04's exercises: the right answer passes; each common mistake gets its own message."""

import asyncio
import contextlib
import math
from typing import Any

import asyncpg
import pytest

from cachepool_lib.lab.pool_exercises import EXERCISES
from tests.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "04-pool-your-connections.ipynb", {"04-1": "pool_size", "04-2": "Yours", "04-3": "page"}
)
NaivePool = COURSE.notebook["NaivePool"]
NAME, ORDERS = "SELECT name FROM users WHERE id = $1", "SELECT day, quantity FROM orders"
COURSE.notebook.update(NAME=NAME, ORDERS=ORDERS)  # the solution of 04-3 uses them


def test_every_exercise_is_tested_here() -> None:
    assert set(EXERCISES) == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


# 04-1


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
        (lambda m, r, p, generations=2: None, "gave None."),
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
    assert expected in message("04-1", answer)


# 04-2


class Locks(NaivePool):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lock = asyncio.Lock()
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None


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
        (Swallows, "The opening failed, and somebody was not told."),
        (GoesOnAtOnce, "Some went on before the pool was open."),
        (OneTask, "Caller 1 left while it opened; the others have no pool."),
        (OpensElsewhere, "initialize() returned, and self.pool is None."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_opening_is_explained(answer: Any, expected: str) -> None:
    assert message("04-2", answer).startswith(expected)


def test_another_right_opening_passes() -> None:
    """A task that belongs to no caller opens once, too."""
    assert look_at("04-2", OneShieldedTask).passed


# 04-3


async def orders(pool: Any, user_id: int, limit: float | None = None) -> Any:
    async with pool.acquire(timeout=limit) as connection:
        return await connection.fetch(ORDERS, user_id)


async def borrows_twice(pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetchval(NAME, user_id), await orders(pool, user_id)


async def larger(pool: Any, user_id: int) -> Any:
    pool.max_size = 20
    return await borrows_twice(pool, user_id)


async def with_a_limit(pool: Any, user_id: int) -> Any:
    async with pool.acquire(timeout=1) as connection:
        return await connection.fetchval(NAME, user_id), await orders(pool, user_id, 1)


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


async def one_after_the_other(pool: Any, user_id: int) -> Any:
    """Right as well: it gives back before it borrows again."""
    async with pool.acquire() as connection:
        name = await connection.fetchval(NAME, user_id)
    return name, await orders(pool, user_id)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (borrows_twice, "10 of 10 pages are stuck. Who holds the connection waits for another"),
        (larger, "Stuck again at that size. The number wasn't the fault."),
        (with_a_limit, "Pages failed; none had to."),
        (second_pool, "Your budget was one connection."),
        (connects, "Your budget was one connection."),
        (forgets_the_orders, "The page of user 0 is 'user 0'."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_page_is_explained(answer: Any, expected: str) -> None:
    assert message("04-3", answer).startswith(expected)


def test_a_connection_that_was_given_back_is_noticed() -> None:
    assert "given back" in look_at("04-3", too_late).got


def test_another_right_page_passes() -> None:
    """Borrowing twice, one after the other, locks nobody out."""
    assert look_at("04-3", one_after_the_other).passed
