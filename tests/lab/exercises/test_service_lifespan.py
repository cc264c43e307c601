"""Exercise 05-1: what an app opens, it closes; each common mistake gets its own message."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cachepool_lib.lab.exercises.exercise import WHERE
from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "05-put-it-into-a-service.ipynb",
    {
        "05-1": "lifespan_mine",
        "05-2": "move_mine",
        "05-3": "page_mine",
        "05-4": "breaks",
    },
)


def test_every_exercise_is_tested() -> None:
    assert {name for name in WHERE if name.startswith("05")} == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


@asynccontextmanager
async def no_exit_stack(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    app.state.pool, app.state.cache = make_pool(), make_cache()
    await app.state.pool.initialize()
    await app.state.cache.connect()
    try:
        yield
    finally:
        await app.state.cache.close()
        await app.state.pool.close()


@asynccontextmanager
async def no_finally(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    app.state.pool, app.state.cache = make_pool(), make_cache()
    await app.state.pool.initialize()
    await app.state.cache.connect()
    yield
    await app.state.cache.close()
    await app.state.pool.close()


ONE_FOR_ALL: list[Any] = []


@asynccontextmanager
async def made_at_import(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    if not ONE_FOR_ALL:
        ONE_FOR_ALL.append(make_pool())
    async with ONE_FOR_ALL[0] as app.state.pool, make_cache() as app.state.cache:
        yield


@asynccontextmanager
async def a_pool_per_request(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    app.state.pool = make_pool
    async with make_cache() as app.state.cache:
        yield


@asynccontextmanager
async def never_opened(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    app.state.pool, app.state.cache = make_pool(), make_cache()
    yield


@asynccontextmanager
async def kept_elsewhere(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    async with make_pool(), make_cache():
        yield


@asynccontextmanager
async def never_closed(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    app.state.pool = await make_pool().__aenter__()
    app.state.cache = await make_cache().__aenter__()
    yield


@asynccontextmanager
async def cache_first(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    async with make_cache() as app.state.cache, make_pool() as app.state.pool:
        yield


@asynccontextmanager
async def two_pools(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    make_pool()
    async with make_pool() as app.state.pool, make_cache() as app.state.cache:
        yield


@asynccontextmanager
async def one_finally(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    app.state.pool, app.state.cache = make_pool(), make_cache()
    try:
        await app.state.pool.initialize()
        await app.state.cache.connect()
        yield
    finally:
        await app.state.cache.close()
        await app.state.pool.close()


@asynccontextmanager
async def swallows(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    with contextlib.suppress(RuntimeError):
        async with make_pool() as app.state.pool, make_cache() as app.state.cache:
            yield


@asynccontextmanager
async def starts_without(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        app.state.pool = await stack.enter_async_context(make_pool())
        with contextlib.suppress(ConnectionError):
            app.state.cache = await stack.enter_async_context(make_cache())
        yield


@asynccontextmanager
async def closes_on_errors(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    pool = app.state.pool = make_pool()
    await pool.initialize()
    try:
        async with make_cache() as app.state.cache:
            yield
    except Exception:
        await pool.close()
        raise
    else:
        await pool.close()


async def not_a_context(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    yield


LATEST: list[Any] = []


@asynccontextmanager
async def keeps_the_latest(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    LATEST[:] = [make_pool()]
    app.state.pool = await LATEST[0].__aenter__()
    try:
        async with make_cache() as app.state.cache:
            yield
    finally:
        await LATEST[0].close()


@asynccontextmanager
async def with_finally(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    """Right: what AsyncExitStack does, by hand."""
    app.state.pool, app.state.cache = make_pool(), make_cache()
    await app.state.pool.initialize()
    try:
        await app.state.cache.connect()
        try:
            yield
        finally:
            await app.state.cache.close()
    finally:
        await app.state.pool.close()


@asynccontextmanager
async def in_one_line(app: Any, make_pool: Any, make_cache: Any) -> AsyncIterator[None]:
    """Right as well."""
    async with make_pool() as app.state.pool, make_cache() as app.state.cache:
        yield


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (no_exit_stack, "The second start failed; 3 connections are left."),
        (no_finally, "An error, and 4 connections are left. The yield raises, and the lines"),
        (made_at_import, "WrongEventLoop in the second test: its pool was opened on the event"),
        (a_pool_per_request, "app.state.pool makes a pool each time: 20 visitors, 60 connections."),
        (never_opened, "The pool in app.state.pool is not open. `async with make_pool()` opens"),
        (kept_elsewhere, "The first visitor finds None in app.state.pool. app.state.pool = …"),
        (never_closed, "The app ended, and 4 connections are left. An `async with` closes"),
        (cache_first, "cache opened, pool opened, pool closed, cache closed. What was opened"),
        (two_pools, "One start made 2 pools and 1 caches."),
        (one_finally, "Closing the cache failed, and 3 connections are left. Each close needs"),
        (swallows, "The app ended by a RuntimeError, and nobody heard of it."),
        (starts_without, "The cache could not be opened, and the app started as if all was well"),
        (closes_on_errors, "Cancelled, and 3 connections are left."),
        (not_a_context, "`async with lifespan_mine(…)` can't be written. Keep the line above"),
        (keeps_the_latest, "Two apps ended, and 3 connections are left. Keep what you open in"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_lifespan_is_explained(answer: Any, expected: str) -> None:
    ONE_FOR_ALL.clear()
    assert message("05-1", answer).startswith(expected)


@pytest.mark.parametrize("answer", [with_finally, in_one_line])
def test_another_right_lifespan_passes(answer: Any) -> None:
    assert look_at("05-1", answer).passed
