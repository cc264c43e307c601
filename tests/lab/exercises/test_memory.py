"""The right answer of an exercise passes; each common mistake gets the message meant for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from cachepool_lib.lab.exercises.exercise import WHERE
from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "01-build-a-ttl-cache.ipynb",
    {"01-1": "breaks", "01-2": "join_mine", "01-3": "wait_mine", "01-4": "fly_mine"},
)
Bounded, Hasty = COURSE.notebook["Bounded"], COURSE.notebook["Hasty"]


def test_every_exercise_is_tested_here() -> None:
    assert {name for name in WHERE if name.startswith("01")} == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


@pytest.mark.parametrize("name", COURSE.answers)
def test_what_is_no_answer_is_a_message_too(name: str) -> None:
    """Nothing raises in the learner's face, whatever was given."""
    for answer in (None, 42, AsyncCache, lambda: None):
        assert look_at(name, answer).status == "failed"


# 00-1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda hits, misses: hits / misses, "Divide by all visits"),
        (lambda hits, misses: 100 * hits / (hits + misses), "no percent"),
        (lambda hits, misses: misses / (hits + misses), "share of the misses"),
        (lambda hits, misses: None, "has no `return`"),
        (lambda hits, misses: hits / (hits + misses), "nothing to divide by: return 0"),
        (lambda hits, misses: hits / (hits + misses or hits), "nothing to divide by: return 0"),
        (lambda hits, misses: hits / (hits + misses) if hits + misses else 1, "return 0"),
        (lambda hits, misses: hits / (hits + misses) if hits + misses else None, "return 0"),
        (lambda hits, misses: hits, "divided by hits and misses together"),
    ],
)
def test_a_wrong_share_is_explained(answer: Any, expected: str) -> None:
    """Exercise 00-1: what the hits are divided by, and what comes before the first visit."""
    assert expected in message("00-1", answer)


# 01-1


async def visits(cache: Any, keys: str) -> None:
    for key in keys:
        await cache.set(key, key)


async def no_bug_shown(cache: Any) -> None:
    await visits(cache, "abc")
    assert await cache.get("c") == "c"


async def asks_for_the_oldest(cache: Any) -> None:
    await visits(cache, "abcd")
    assert await cache.get("a") is None
    await visits(cache, "d")
    assert await cache.get("b") == "b"


async def names_the_policy(cache: Any) -> None:
    await visits(cache, "abcd")
    assert [await cache.get(key) for key in "bcd"] == ["b", "c", "d"]
    await visits(cache, "d")
    assert await cache.get("b") == "b"


async def always_fails(cache: Any) -> None:
    raise AssertionError


async def forgets_to_await(cache: Any) -> None:
    await visits(cache, "abcc")
    assert cache.get("a") == "a"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (no_bug_shown, "Hasty passed. Fill the room"),
        (asks_for_the_oldest, "A right cache failed, too (the newest but one leaves). Room for"),
        (names_the_policy, "A right cache failed, too (the newest but one leaves). Room for"),
        (always_fails, "A right cache failed, too (first in, first out)."),
        (forgets_to_await, "An `await` is missing"),
    ],
)
def test_visits_that_show_no_bug_are_explained(answer: Any, expected: str) -> None:
    assert expected in message("01-1", answer)


async def reads_all(cache: Any) -> None:
    await visits(cache, "abcbb")
    assert {await cache.get(key) for key in "abc"} == {"a", "b", "c"}


async def deletes_first(cache: Any) -> None:
    await visits(cache, "xyz")
    await cache.clear()
    await visits(cache, "abc")
    await cache.set("b", 2)
    assert [await cache.get(key) for key in "ac"] == ["a", "c"]
    assert await cache.get("b") == 2


@pytest.mark.parametrize("answer", [reads_all, deletes_first])
def test_other_visits_that_show_the_bug_pass(answer: Any) -> None:
    assert look_at("01-1", answer).passed


def test_the_class_in_the_notebook_has_the_bug_and_others_have_not() -> None:
    """What the check says of its own classes is true of the notebook's and the library's."""
    breaks = COURSE.solution("01-1")
    asyncio.run(breaks(Bounded(maxsize=3)))
    asyncio.run(breaks(AsyncCache(maxsize=3)))
    with pytest.raises(AssertionError):
        asyncio.run(breaks(Hasty(maxsize=3)))


# All of them


def test_an_answer_that_never_ends_is_stopped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Busy in one place, or asking again and again without letting time pass."""

    def busy(flights: Any, key: Any, load: Any) -> Any:
        while True:
            pass

    async def asks(flights: Any, waiters: Any, key: Any, task: Any) -> Any:
        while key in flights:
            await asyncio.sleep(0)

    monkeypatch.setattr("cachepool_lib.lab.exercises.exercise.LIMIT", 0.2)
    for name, answer in (("01-2", busy), ("01-3", asks)):
        result = look_at(name, answer)
        assert result.got == "TimeoutError: not done after 0.2 s. Is there a loop that never ends?"
    assert caplog.text == ""


def test_what_fails_in_an_answer_is_not_printed_beside_the_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A task dies, and nobody takes its exception: the message says it all."""

    def fails(flights: Any, key: Any, load: Any) -> Any:
        async def run() -> None:
            raise LookupError(key)

        return asyncio.create_task(run())

    look_at("01-2", fails)
    assert caplog.text == ""
