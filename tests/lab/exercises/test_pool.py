"""Exercise 04-2: the right page passes; each common mistake gets its own message."""

import asyncio
from typing import Any

import asyncpg
import pytest

from cachepool_lib.lab.exercises.exercise import WHERE
from cachepool_lib.lab.exercises.pool import NAME, ORDERS
from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "04-pool-your-connections.ipynb",
    {
        "04-1": "open_once_mine",
        "04-2": "page_mine",
        "04-3": "give_mine",
        "04-4": "breaks",
    },
)
NaivePool = COURSE.notebook["NaivePool"]
COURSE.notebook.update(NAME=NAME, ORDERS=ORDERS)  # the solution of 04-2 uses them


def test_every_exercise_is_tested() -> None:
    assert {name for name in WHERE if name.startswith("04")} == set(COURSE.answers)


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
