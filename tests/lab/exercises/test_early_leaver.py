"""Exercise 06-4: calls after which a connection is missing pass; all others are told why not."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.tools.exercise_tools import look_at, message


async def timeout(pool: Any, report: Any) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.005):
            await report(pool, 7)
    assert not pool.holders()


async def cancel(pool: Any, report: Any) -> None:
    task = asyncio.create_task(report(pool, 7))
    await asyncio.sleep(0.005)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert pool.holders() == []


async def empties_it(pool: Any, report: Any) -> None:
    tasks = [asyncio.create_task(report(pool, user)) for user in range(1, 5)]
    await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        async with asyncio.timeout(1):
            await report(pool, 5)
    except TimeoutError:
        raise AssertionError("nobody gets in any more") from None


async def leave(pool: Any, report: Any) -> None:
    task = asyncio.create_task(report(pool, 7))
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])


async def in_use(pool: Any, report: Any) -> None:
    await leave(pool, report)
    assert pool.stats().in_use == 0


async def counted(pool: Any, report: Any) -> None:
    before = pool.stats()
    assert before.idle == before.max_size
    await leave(pool, report)
    assert pool.stats().acquired == pool.stats().holds.count == pool.stats().waits.count
    assert pool.stats().idle == before.idle


async def held_longest(pool: Any, report: Any) -> None:
    await leave(pool, report)
    await asyncio.sleep(1)
    assert pool.stats().longest_hold < 1


@pytest.mark.parametrize("answer", [timeout, cancel, empties_it, in_use, counted, held_longest])
def test_calls_that_lose_a_connection_pass(answer: Any) -> None:
    """However one leaves, and however one looks."""
    result = look_at("06-4", answer)
    assert result.passed, result


async def stub(pool: Any, report: Any) -> None:
    raise NotImplementedError


async def calls_it(pool: Any, report: Any) -> None:
    await report(pool, 7)
    assert not pool.holders()


async def unknown_user(pool: Any, report: Any) -> None:
    await report(pool, 999)
    assert not pool.holders()


async def an_error(pool: Any, report: Any) -> None:
    with suppress(TypeError):
        await report(pool, "seven")
    assert not pool.holders()


async def too_early(pool: Any, report: Any) -> None:
    task = asyncio.create_task(report(pool, 7))
    await asyncio.sleep(0.005)
    assert not pool.holders()
    await task


async def before_it_begins(pool: Any, report: Any) -> None:
    task = asyncio.create_task(report(pool, 7))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert not pool.holders()


async def too_late(pool: Any, report: Any) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await report(pool, 7)
    assert not pool.holders()


async def no_assert(pool: Any, report: Any) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.005):
            await report(pool, 7)


async def its_own(pool: Any, report: Any) -> None:
    await pool.acquire()
    assert not pool.holders()


async def always_fails(pool: Any, report: Any) -> None:
    await no_assert(pool, report)
    raise AssertionError


async def not_caught(pool: Any, report: Any) -> None:
    async with asyncio.timeout(0.005):
        await report(pool, 7)


async def a_fifth(pool: Any, report: Any) -> None:
    for _ in range(4):
        await pool.acquire()
    await report(pool, 7)


def not_async(pool: Any, report: Any) -> None:
    return None


CAME_BACK = "Every connection came back. After an Exception it is given back."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (calls_it, CAME_BACK),
        (unknown_user, CAME_BACK),
        (an_error, CAME_BACK),
        (too_late, CAME_BACK),
        (
            before_it_begins,
            "Every connection came back. A task that is cancelled before its first turn has "
            "borrowed nothing. Wait a few milliseconds first: leave while the query runs.",
        ),
        (too_early, "Your assert failed, and yet every connection came back."),
        (no_assert, "A connection is still held, and your calls ended well. Say what has to"),
        (its_own, "A report that gives back with `async with` fails on your calls."),
        (always_fails, "A report that gives back with `async with` fails on your calls."),
        (not_caught, "TimeoutError. What your calls raise on purpose, you have to catch"),
        (a_fifth, "After an hour they had not ended. The pool has four connections"),
        (not_async, "breaks(pool, report) gave None, and nothing to await."),
    ],
)
def test_calls_that_lose_nothing_are_explained(answer: Any, expected: str) -> None:
    """Each is told what came, and where to look."""
    assert message("06-4", answer).startswith(expected)


def test_the_stub_is_not_solved_yet() -> None:
    """Who has not begun has not failed."""
    assert look_at("06-4", stub).status == "not solved yet"
