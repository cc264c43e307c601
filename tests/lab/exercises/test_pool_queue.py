"""Exercise 04-3: a right way to give back passes; each common mistake gets its own message."""

import asyncio
from typing import Any

import pytest

from tests.tools.exercise_tools import look_at, message


def makes_it_free(slots: Any) -> None:
    slots.free += 1


def wakes_and_makes_it_free(slots: Any) -> None:
    slots.free += 1
    if slots.waiting:
        slots.waiting.popleft().set_result(None)


def the_last_first(slots: Any) -> None:
    while slots.waiting:
        waiter = slots.waiting.pop()
        if not waiter.done():
            waiter.set_result(None)
            return
    slots.free += 1


def wakes_all(slots: Any) -> None:
    for waiter in slots.waiting:
        if not waiter.done():
            waiter.set_result(None)
    slots.waiting.clear()
    slots.free += 1


def never_looks_who_left(slots: Any) -> None:
    if slots.waiting:
        slots.waiting.popleft().set_result(None)
    else:
        slots.free += 1


def lost_with_who_left(slots: Any) -> None:
    if slots.waiting:
        waiter = slots.waiting.popleft()
        if not waiter.done():
            waiter.set_result(None)
    else:
        slots.free += 1


def asks_for_cancelled_alone(slots: Any) -> None:
    while slots.waiting:
        waiter = slots.waiting.popleft()
        if waiter.cancelled() or (waiter.done() and waiter.exception() is None):
            continue
        if not waiter.done():
            waiter.set_result(None)
        return
    slots.free += 1


def stays_in_the_queue(slots: Any) -> None:
    for waiter in slots.waiting:
        if not waiter.done():
            waiter.set_result(None)
            return
    slots.free += 1


def never_free(slots: Any) -> None:
    while slots.waiting:
        waiter = slots.waiting.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return


def forgets_the_return(slots: Any) -> None:
    while slots.waiting:
        waiter = slots.waiting.popleft()
        if not waiter.done():
            waiter.set_result(None)
            break
    slots.free += 1


async def is_async(slots: Any) -> None:
    slots.free += 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (makes_it_free, "Nobody was woken up."),
        (wakes_and_makes_it_free, "slots.free is 3, and caller 4 has a slot as well."),
        (the_last_first, "Caller 4 was served before caller 2."),
        (wakes_all, "1 slot came back, and 3 callers have one."),
        (never_looks_who_left, "InvalidStateError: set_result on the future of somebody"),
        (lost_with_who_left, "The slot went to somebody who has left, and is lost."),
        (asks_for_cancelled_alone, "waiter.done() asks for every way to be done"),
        (stays_in_the_queue, "slots.free is 1, and 3 wait."),
        (never_free, "Where nobody waits, slots.free += 1."),
        (forgets_the_return, "and caller 4 has a slot as well."),
        (is_async, "Nothing has to be awaited here: a plain def."),
    ],
)
def test_a_wrong_way_to_give_back_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("04-3", answer)


def first_who_waits(slots: Any) -> None:
    waiter = next((waiter for waiter in slots.waiting if not waiter.done()), None)
    if waiter is None:
        slots.free += 1
    else:
        slots.waiting.remove(waiter)
        waiter.set_result(None)


def tries(slots: Any) -> None:
    while True:
        try:
            slots.waiting.popleft().set_result(None)
        except asyncio.InvalidStateError:
            continue
        except IndexError:
            slots.free += 1
        return


@pytest.mark.parametrize("answer", [first_who_waits, tries])
def test_another_right_way_passes(answer: Any) -> None:
    assert look_at("04-3", answer).passed
