"""Exercise 05-2: change a row, then forget; each common mistake gets its own message."""

import contextlib
from typing import Any

import pytest

from cachepool_lib.lab.exercises.service_move import MOVE
from tests.lab.exercises.test_service_lifespan import COURSE
from tests.tools.exercise_tools import look_at, message


def test_the_query_is_the_notebooks() -> None:
    """The check knows no other."""
    assert COURSE.notebook["MOVE"] == MOVE


async def change(pool: Any, user_id: int, city: str) -> None:
    async with pool.transaction() as connection:
        await connection.execute(MOVE, user_id, city)


async def forget(cache: Any, user_id: int) -> None:
    await cache.delete(("user", user_id))
    await cache.delete("version")


async def deletes_first(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await forget(cache, user_id)
    await change(pool, user_id, city)


async def deletes_inside(pool: Any, cache: Any, user_id: int, city: str) -> None:
    async with pool.transaction() as connection:
        await connection.execute(MOVE, user_id, city)
        await forget(cache, user_id)


async def sets(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await change(pool, user_id, city)
    await cache.set(("user", user_id), {"id": user_id, "city": city})
    await cache.delete("version")


async def sets_the_city(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await change(pool, user_id, city)
    await cache.set(("user", user_id), city)


async def the_row_only(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await change(pool, user_id, city)
    await cache.delete(("user", user_id))


async def the_list_only(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await change(pool, user_id, city)
    await cache.delete("version")


async def in_finally(pool: Any, cache: Any, user_id: int, city: str) -> None:
    try:
        await change(pool, user_id, city)
    finally:
        await forget(cache, user_id)


async def clears(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await change(pool, user_id, city)
    await cache.clear()


async def swallows(pool: Any, cache: Any, user_id: int, city: str) -> None:
    with contextlib.suppress(ValueError):
        await change(pool, user_id, city)
        await forget(cache, user_id)


async def sets_before_the_commit(pool: Any, cache: Any, user_id: int, city: str) -> None:
    async with pool.transaction() as connection:
        await connection.execute(MOVE, user_id, city)
        await cache.set(("user", user_id), {"id": user_id, "city": city})
    await forget(cache, user_id)


async def changes_nothing(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await forget(cache, user_id)


async def never_commits(pool: Any, cache: Any, user_id: int, city: str) -> None:
    async with pool.acquire() as connection:
        with contextlib.suppress(KeyError):
            async with connection.transaction():
                await connection.execute(MOVE, user_id, city)
                raise KeyError
    await forget(cache, user_id)


async def the_other_way_round(pool: Any, cache: Any, user_id: int, city: str) -> None:
    async with pool.transaction() as connection:
        await connection.execute(MOVE, city, user_id)


async def another_query(pool: Any, cache: Any, user_id: int, city: str) -> None:
    await pool.execute(f"UPDATE users SET city = '{city}'")


def not_async(pool: Any, cache: Any, user_id: int, city: str) -> None:
    return None


async def one_statement(pool: Any, cache: Any, user_id: int, city: str) -> None:
    """Right: one statement is a transaction of its own."""
    await pool.execute(MOVE, user_id, city)
    await forget(cache, user_id)


async def a_connection_first(pool: Any, cache: Any, user_id: int, city: str) -> None:
    """Right: the same in two steps, and the list first."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute(MOVE, user_id, city)
        await cache.delete("version")
        await cache.delete(("user", user_id))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (deletes_first, "A reader put the old page back: what it loaded was not committed yet."),
        (deletes_inside, "A reader put the old page back: what it loaded was not committed yet."),
        (sets, "Two writers; the first one's value stayed. Deleting can't be wrong for long"),
        (sets_the_city, "The next reader of (\"user\", 1) got 'Rome'. Leave it to the next reader"),
        (the_row_only, "The list still has her in Paris. What else shows the city?"),
        (
            the_list_only,
            '("user", 1) still has the old page. await cache.delete(("user", user_id))',
        ),
        (in_finally, "Rolled back, and a good page thrown away. `finally` runs after an error"),
        (clears, "4 loads after the move: the pages of others went, too. Name the keys"),
        (swallows, "The move was rolled back, and nobody was told. Let the error pass."),
        (sets_before_the_commit, "Rolled back, and everybody sees a city that was never commit"),
        (changes_nothing, "The database has {1: 'Paris', 2: 'Paris', 3: 'Paris'}."),
        (never_commits, "The database has {1: 'Paris', 2: 'Paris', 3: 'Paris'}."),
        (the_other_way_round, "The database refuses 'Rome' for an id and 1 for a city."),
        (another_query, "The query \"UPDATE users SET city = 'Rome'\" with ()."),
        (not_async, "move(…) gave None, and nothing to await."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_move_is_explained(answer: Any, expected: str) -> None:
    assert message("05-2", answer).startswith(expected)


@pytest.mark.parametrize("answer", [one_statement, a_connection_first])
def test_another_right_move_passes(answer: Any) -> None:
    assert look_at("05-2", answer).passed
