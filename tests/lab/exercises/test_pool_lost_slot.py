"""Exercise 04-4: calls that lose a slot of the faulty pool pass; all others are told why not."""

import asyncio
import contextlib
from typing import Any

import pytest

from cachepool_lib.lab.exercises.no_server import opening_with
from cachepool_lib.lab.exercises.pool_lost_slot import Guarded, Shorter, Sound
from cachepool_lib.lab.simulation.loop import simulate
from tests.lab.exercises.test_pool import COURSE
from tests.tools.exercise_tools import look_at, message


async def a_crowd(pool: Any) -> None:
    await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(10)))


async def borrows_twice(pool: Any) -> None:
    async with pool.acquire():
        await pool.fetch("SELECT 1")


async def lets_its_own_timeout_out(pool: Any) -> None:
    async with asyncio.timeout(0.05):
        await pool.fetch("SELECT 1")


async def raises_itself(pool: Any) -> None:
    await pool.fetch("SELECT 1")
    raise TimeoutError


async def leaves_the_queue(pool: Any) -> None:
    """Who waits for a slot has none to lose."""
    async with pool.acquire():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.fetch("SELECT 1")
    await pool.fetch("SELECT 1")


async def leaves_a_query(pool: Any) -> None:
    """The try of acquire gives it back."""
    await pool.fetch("SELECT 1")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.005):
            await pool.fetch("SELECT 1")
    await pool.fetch("SELECT 1")


async def uses_it_too_late(pool: Any) -> None:
    async with pool.acquire() as connection:
        pass
    await connection.fetch("SELECT 1")


async def waits_for_ever(pool: Any) -> None:
    await pool.fetch("SELECT 1")
    await asyncio.Event().wait()


def not_async(pool: Any) -> None:
    return None


ANSWERED = "Shorter answered all your calls."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (a_crowd, ANSWERED),
        (leaves_the_queue, ANSWERED),
        (leaves_a_query, ANSWERED),
        (borrows_twice, "A pool that gives every slot back raised TimeoutError."),
        (lets_its_own_timeout_out, "A pool that gives every slot back raised TimeoutError."),
        (raises_itself, "A pool that gives every slot back raised TimeoutError."),
        (uses_it_too_late, "raised RuntimeError: the connection has been given back."),
        (waits_for_ever, "your calls never ended"),
        (not_async, "breaks(pool) gave None, and nothing to await."),
    ],
)
def test_calls_that_lose_nothing_are_explained(answer: Any, expected: str) -> None:
    assert expected in message("04-4", answer)


async def cancelled(pool: Any) -> None:
    caller = asyncio.create_task(pool.fetch("SELECT 1"))
    await asyncio.sleep(0.05)
    caller.cancel()
    await asyncio.wait([caller])
    await pool.fetch("SELECT 1")


async def cancelled_while_it_gives_back(pool: Any) -> None:
    caller = asyncio.create_task(pool.fetch("SELECT 1"))
    await asyncio.sleep(0.1105)
    caller.cancel()
    await asyncio.wait([caller])
    await pool.fetch("SELECT 1")


async def with_a_limit_of_its_own(pool: Any) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(pool.fetch("SELECT 1"), 0.05)
    async with asyncio.timeout(5):
        async with pool.acquire() as connection:
            await connection.fetch("SELECT 1")


@pytest.mark.parametrize(
    "answer", [cancelled, cancelled_while_it_gives_back, with_a_limit_of_its_own]
)
def test_other_calls_that_lose_a_slot_pass(answer: Any) -> None:
    assert look_at("04-4", answer).passed


@pytest.mark.parametrize("kind", [Sound, Guarded, Shorter])
def test_a_crowd_is_served_by_all_three(kind: Any) -> None:
    """The fault shows only where somebody leaves."""

    async def crowd() -> None:
        pool = kind()
        await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(20)))
        assert pool.slots.free == 1 or kind is Guarded

    simulate(crowd())


class OfAsyncpg:
    """What create_pool gives, after 0.1 s: one connection, which answers in 0.01 s."""

    async def acquire(self) -> Any:
        return self

    async def release(self, connection: Any, timeout: Any = None) -> None:  # noqa: ASYNC109
        await asyncio.sleep(0.001)

    async def fetch(self, query: str) -> list[int]:
        await asyncio.sleep(0.01)
        return [1]


async def create_pool(*args: Any, **options: Any) -> OfAsyncpg:
    await asyncio.sleep(0.1)
    return OfAsyncpg()


@pytest.mark.parametrize(("name", "loses"), [("Shorter", True), ("Fair", False)])
@pytest.mark.parametrize("calls", [COURSE.solution("04-4"), cancelled, with_a_limit_of_its_own])
def test_the_notebooks_own_classes_lose_a_slot_or_none(calls: Any, name: str, loses: bool) -> None:
    """The check has pools of its own; the notebook's behave like them."""

    async def outcome() -> bool:
        try:
            await calls(COURSE.notebook[name]("postgresql://shop@127.0.0.1/shop", 1, 1))
        except TimeoutError:
            return True
        return False

    with opening_with(create_pool):
        assert simulate(outcome()) is loses
