"""Exercise 04-1: every right way to open once passes; each common mistake gets its own message."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tools.exercise_tools import look_at, message

Connect = Callable[[], Awaitable[Any]]


async def looks_only(state: Any, connect: Connect) -> None:
    if state.pool is None:
        state.pool = await connect()


async def no_second_look(state: Any, connect: Connect) -> None:
    if state.pool is None:
        async with state.lock:
            state.pool = await connect()


async def keeps_the_failure(state: Any, connect: Connect) -> None:
    async with state.lock:
        if getattr(state, "error", None):
            raise state.error
        if not state.pool:
            try:
                state.pool = await connect()
            except OSError as error:
                state.error = error
                raise


async def swallows(state: Any, connect: Connect) -> None:
    async with state.lock:
        if not state.pool:
            with contextlib.suppress(OSError):
                state.pool = await connect()


async def another_error(state: Any, connect: Connect) -> None:
    async with state.lock:
        if not state.pool:
            try:
                state.pool = await connect()
            except OSError as error:
                raise ValueError("not open") from error


async def goes_on_at_once(state: Any, connect: Connect) -> None:
    if not hasattr(state, "opening"):
        state.opening = True
        try:
            state.pool = await connect()
        finally:
            del state.opening


async def one_task(state: Any, connect: Connect) -> None:
    if state.pool is not None:
        return
    if getattr(state, "task", None) is None or state.task.done():
        state.task = asyncio.create_task(connect())  # type: ignore[arg-type]
    state.pool = await state.task


async def drops_it(state: Any, connect: Connect) -> None:
    async with state.lock:
        if not state.pool:
            await connect()


async def another_pool(state: Any, connect: Connect) -> None:
    async with state.lock:
        if not state.pool:
            await connect()
            state.pool = object()


async def opens_each_time(state: Any, connect: Connect) -> None:
    async with state.lock:
        state.pool = await connect()


async def only_the_first_time(state: Any, connect: Connect) -> None:
    async with state.lock:
        if not hasattr(state, "opened"):
            state.pool = await connect()
            state.opened = True


async def never_free(state: Any, connect: Connect) -> None:
    await state.lock.acquire()
    if not state.pool:
        state.pool = await connect()


async def not_free_after_an_error(state: Any, connect: Connect) -> None:
    await state.lock.acquire()
    if not state.pool:
        state.pool = await connect()
    state.lock.release()


async def again_whatever_happens(state: Any, connect: Connect) -> None:
    async with state.lock:
        while not state.pool:
            try:
                state.pool = await connect()
            except OSError:
                await asyncio.sleep(0.1)


async def the_first_alone_is_told(state: Any, connect: Connect) -> None:
    if state.pool is not None:
        return
    if not hasattr(state, "event"):
        state.event = asyncio.Event()
        try:
            state.pool = await connect()
        finally:
            state.event.set()
            del state.event
    else:
        await state.event.wait()


async def plain_with(state: Any, connect: Connect) -> None:
    with state.lock:
        state.pool = await connect()


async def goes_on_when_cancelled(state: Any, connect: Connect) -> None:
    async with state.lock:
        while not state.pool:
            with contextlib.suppress(asyncio.CancelledError):
                state.pool = await connect()


LOCKS: list[asyncio.Lock] = []
POOLS: list[Any] = []


async def one_lock_for_all(state: Any, connect: Connect) -> None:
    if not LOCKS:
        LOCKS.append(asyncio.Lock())
    async with LOCKS[0]:
        if not state.pool:
            state.pool = await connect()


async def one_pool_for_all(state: Any, connect: Connect) -> None:
    async with state.lock:
        if not POOLS:
            POOLS.append(await connect())
        state.pool = POOLS[0]


async def no_await(state: Any, connect: Connect) -> None:
    async with state.lock:
        if not state.pool:
            state.pool = connect()


def not_async(state: Any, connect: Connect) -> None:
    state.pool = SimpleNamespace()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (looks_only, "50 callers, 50 pools."),
        (no_second_look, "The waiters opened again, one by one."),
        (opens_each_time, "The waiters opened again, one by one."),
        (keeps_the_failure, "The server is back; you still fail."),
        (swallows, "5 of 5 callers returned as if all was well."),
        (another_error, "callers got ValueError instead of what connect() raised."),
        (goes_on_at_once, "Some went on before the pool was open."),
        (one_task, "Caller 1 left while it opened; the others have no pool."),
        (drops_it, "open_once returned, and state.pool is None."),
        (another_pool, "open_once returned, and state.pool is <object"),
        (only_the_first_time, "Nothing was opened again."),
        (never_free, "49 of 50 callers still wait after a minute."),
        (not_free_after_an_error, "4 of 5 callers still wait after a minute."),
        (again_whatever_happens, "5 of 5 callers still wait after a minute."),
        (the_first_alone_is_told, "4 of 5 callers returned as if all was well."),
        (plain_with, "A lock of asyncio is taken with `async with`."),
        (goes_on_when_cancelled, "Caller 1 was cancelled, and went on."),
        (one_lock_for_all, "One pool waits for the other to open."),
        (one_pool_for_all, "The second pool didn't open: the first one had."),
        (no_await, "An `await` is missing"),
        (not_async, "open_once(state, connect) gave None, and nothing to await."),
    ],
)
def test_a_wrong_opening_is_explained(answer: Any, expected: str) -> None:
    LOCKS.clear()
    POOLS.clear()
    assert expected in message("04-1", answer)


async def looks_twice(state: Any, connect: Connect) -> None:
    if state.pool is None:
        async with state.lock:
            if state.pool is None:
                state.pool = await connect()


async def shielded(state: Any, connect: Connect) -> None:
    """The opening belongs to nobody, as a load in notebook 01."""
    if state.pool is not None:
        return
    if getattr(state, "task", None) is None or state.task.done():

        async def open_it() -> None:
            state.pool = await connect()

        state.task = asyncio.create_task(open_it())
    await asyncio.shield(state.task)


async def releases_itself(state: Any, connect: Connect) -> None:
    await state.lock.acquire()
    try:
        state.pool = state.pool or await connect()
    finally:
        state.lock.release()


@pytest.mark.parametrize("answer", [looks_twice, shielded, releases_itself])
def test_another_right_opening_passes(answer: Any) -> None:
    assert look_at("04-1", answer).passed
