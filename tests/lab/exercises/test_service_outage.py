"""Exercise 05-3: a page while Redis is gone; each common mistake gets its own message."""

from typing import Any

import pytest
from fastapi import HTTPException

from cachepool_lib import PoolFull, PoolTimeout
from tests.tools.exercise_tools import look_at, message

PAGE = "SELECT a page"
ROOM = (PoolFull, PoolTimeout)


async def ask(pool: Any, user_id: int, timeout: float | None = 0.5) -> Any:  # noqa: ASYNC109
    async with pool.acquire(timeout=timeout) as connection:
        return await connection.fetchval(PAGE, user_id)


async def connection_outside(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    async with pool.acquire(timeout=0.5) as connection:

        async def load() -> Any:
            return await connection.fetchval(PAGE, user_id)

        key = ("user", user_id)
        return await near.get_or_load(key, lambda: shared.get_or_load(key, load))


def told(near_options: Any, shared_options: Any = None, catch: Any = ROOM, **others: Any) -> Any:
    """An answer with these options in either cache."""

    async def page(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
        key = ("user", user_id)

        async def load() -> Any:
            return await ask(pool, user_id, others.get("timeout", 0.5))

        async def second() -> Any:
            return await shared.get_or_load(key, load, **(shared_options or {}))

        try:
            return await near.get_or_load(key, second, **near_options)
        except catch:
            raise HTTPException(others.get("status", 503)) from None

    return page


OLD = {"stale_while_revalidate": 60}


async def returns_none(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    try:
        return await told(OLD, catch=())(near, shared, pool, user_id)
    except ROOM:
        return None


async def no_shared(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    return await near.get_or_load(("user", user_id), lambda: ask(pool, user_id), **OLD)


async def no_near(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    return await shared.get_or_load(("user", user_id), lambda: ask(pool, user_id), **OLD)


async def no_cache(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    return await ask(pool, user_id)


async def one_key(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    return await near.get_or_load("user", lambda: ask(pool, user_id), **OLD)


async def another_query(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetchval("UPDATE users SET city = ''")


async def too_late(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    async with pool.acquire() as connection:
        pass
    return await connection.fetchval(PAGE, user_id)


async def no_return(near: Any, shared: Any, pool: Any, user_id: int) -> None:
    await told(OLD)(near, shared, pool, user_id)


def not_async(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    return "page"


async def stale_if_error_too(near: Any, shared: Any, pool: Any, user_id: int) -> Any:
    """Right: old pages in both places, and after errors."""
    old = {**OLD, "stale_if_error": 60}
    return await told(old, old)(near, shared, pool, user_id)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (connection_outside, "Ten hits borrowed 10 connections. Borrow inside the function that"),
        (told({}, OLD), "Redis gone: 76 of 480 pages failed, with HTTPException. The old pages"),
        (
            told({}, OLD, timeout=None),
            "Redis gone: the slowest visitor waited 1.5 s. The old page",
        ),
        (told({}), "Redis gone: 76 of 480 pages failed, with HTTPException. near.get_or_load("),
        (told(OLD, timeout=None), "The last visitor waited 3 s. pool.acquire(timeout=0.5) waits"),
        (told(OLD, timeout=0), "Twelve came at once, and 8 of them were sent away. A little"),
        (told(OLD, catch=Exception), "Your TypeError became a 503. Name what you catch"),
        (told(OLD, catch=PoolTimeout), "Too many came, and one of them got PoolFull."),
        (told(OLD, catch=PoolFull), "Too many came, and one of them got PoolTimeout."),
        (told(OLD, status=500), "Too many came, and one of them got status 500."),
        (told({**OLD, "ttl": 60}), "2 s after a change, a second reader still got the old page."),
        (returns_none, "Too many came, and one of them got None. What is returned goes out"),
        (no_shared, "The second process loaded 200 of 200 pages again. What near has to load is"),
        (no_near, "Ten hits, and 10 of them asked Redis. near stands in front"),
        (no_cache, "Ten visits to a page that was there made 10 loads."),
        (one_key, "The page of user 1 is 'page 0 of user 0'. Each user has a page, and so a key."),
        (another_query, "The query \"UPDATE users SET city = ''\" with ()."),
        (too_late, "The connection was used after it was given back. Whoever loads borrows"),
        (no_return, "The page of user 0 is None. `return` what get_or_load gives."),
        (not_async, "page(…) gave 'page', and nothing to await."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_page_is_explained(answer: Any, expected: str) -> None:
    assert message("05-3", answer).startswith(expected)


def test_old_pages_in_both_places_are_right_too() -> None:
    assert look_at("05-3", stale_if_error_too).passed


def test_what_fails_behind_old_pages_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Loads fail there as they should: the learner's cell has the check's answer, and no more."""
    assert look_at("05-3", told(OLD)).passed
    assert caplog.messages == []
