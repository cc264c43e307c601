"""Exercises 01-2, 01-3 and 01-4: other right answers pass, each mistake is told for what it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.tools.exercise_tools import look_at, message

# 01-2


def finally_in_the_task(flights: Any, key: Any, load: Any) -> Any:
    async def run() -> Any:
        try:
            return await load()
        finally:
            if flights.get(key) is asyncio.current_task():
                del flights[key]

    return flights.get(key) or flights.setdefault(key, asyncio.create_task(run()))


def ensured(flights: Any, key: Any, load: Any) -> Any:
    try:
        return flights[key]
    except KeyError:
        task = flights[key] = asyncio.ensure_future(load())
        task.add_done_callback(lambda _: flights.get(key) is task and flights.pop(key))
        return task


@pytest.mark.parametrize("answer", [finally_in_the_task, ensured])
def test_another_right_join_passes(answer: Any) -> None:
    """The check looks at what happens, not at how it is written."""
    assert look_at("01-2", answer).passed


def a_load_each(flights: Any, key: Any, load: Any) -> Any:
    return asyncio.create_task(load())


async def awaits(flights: Any, key: Any, load: Any) -> Any:
    return await load()


def the_coroutine(flights: Any, key: Any, load: Any) -> Any:
    return flights.setdefault(key, load())


def keeps_them(flights: Any, key: Any, load: Any) -> Any:
    if key not in flights:
        flights[key] = asyncio.create_task(load())
    return flights[key]


def looks_whether_done(flights: Any, key: Any, load: Any) -> Any:
    if key not in flights or flights[key].done():
        flights[key] = asyncio.create_task(load())
    return flights[key]


def one_for_all(flights: Any, key: Any, load: Any) -> Any:
    return finally_in_the_task(flights, "the key", load)


def keeps_failures(flights: Any, key: Any, load: Any) -> Any:
    async def run() -> Any:
        value = await load()
        flights.pop(key)
        return value

    if key not in flights:
        flights[key] = asyncio.create_task(run())
    return flights[key]


def keeps_the_cancelled(flights: Any, key: Any, load: Any) -> Any:
    async def run() -> Any:
        try:
            return await load()
        except Exception:
            raise
        finally:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                flights.pop(key)

    if key not in flights:
        flights[key] = asyncio.create_task(run())
    return flights[key]


def pops_whatever_is_there(flights: Any, key: Any, load: Any) -> Any:
    if key not in flights:
        flights[key] = asyncio.create_task(load())
        flights[key].add_done_callback(lambda _: flights.pop(key, None))
    return flights[key]


def deletes_what_is_gone(flights: Any, key: Any, load: Any) -> Any:
    if key not in flights:
        flights[key] = asyncio.create_task(load())
        flights[key].add_done_callback(lambda _: flights.pop(key))
    return flights[key]


def shields(flights: Any, key: Any, load: Any) -> Any:
    return asyncio.shield(finally_in_the_task(flights, key, load))


def hides_the_task(flights: Any, key: Any, load: Any) -> Any:
    async def wait(task: Any) -> Any:
        return await asyncio.shield(task)

    return asyncio.create_task(wait(finally_in_the_task(flights, key, load)))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (a_load_each, "100 callers, 100 loads."),
        (awaits, "It gave a coroutine, which nobody has started. `def`, not `async def`"),
        (the_coroutine, "It gave a coroutine, which nobody has started."),
        (keeps_them, "The load ended, and its task is still on the list."),
        (looks_whether_done, "The load ended, and its task is still on the list."),
        (one_for_all, "Key b waited for key a. Flights are by key."),
        (keeps_failures, "The load failed, and its task is still on the list."),
        (keeps_the_cancelled, "The load was cancelled, and its task is still on the list."),
        (pops_whatever_is_there, "When the first one ended, it took the second off."),
        (deletes_what_is_gone, "and its end raised KeyError('a')."),
        (shields, "It gave Future. Return the task that is on the list"),
        (hides_the_task, "Callers got another task than the one that loads."),
    ],
)
def test_a_wrong_join_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("01-2", answer)


# 01-3


def leave(flights: Any, waiters: Any, key: Any, task: Any) -> None:
    """The right end of a wait."""
    waiters[task] -= 1
    if waiters[task] == 0:
        waiters.pop(task)
        if flights.get(key) == task:
            flights.pop(key)
        task.cancel()


async def with_a_future(flights: Any, waiters: Any, key: Any, task: Any) -> Any:
    """Without shield: each waits for a future of its own."""
    waiters.update([task])
    try:
        done, _ = await asyncio.wait([task])
        return done.pop().result()
    finally:
        leave(flights, waiters, key, task)


def test_another_right_wait_passes() -> None:
    """asyncio.wait doesn't cancel what it waits for."""
    assert look_at("01-3", with_a_future).passed


def wrong_wait(**but: Any) -> Any:
    """A right wait, but for one thing."""
    end, shield = but.get("end", leave), but.get("shield", asyncio.shield)
    catch = but.get("catch", ())

    async def wait(flights: Any, waiters: Any, key: Any, task: Any) -> Any:
        waiters[task] += 1
        try:
            return await shield(task)
        except catch:
            return await task if but.get("waits_on") else None
        finally:
            end(flights, waiters, key, task)

    return wait


def cancels_first(flights: Any, waiters: Any, key: Any, task: Any) -> None:
    waiters[task] -= 1
    if not waiters[task]:
        del waiters[task]
        task.cancel()
        task.add_done_callback(lambda _: flights.get(key) is task and flights.pop(key))


def never_cancels(flights: Any, waiters: Any, key: Any, task: Any) -> None:
    waiters[task] -= 1
    if not waiters[task]:
        del waiters[task]
        if flights.get(key) is task:
            del flights[key]


def cancels_at_once(flights: Any, waiters: Any, key: Any, task: Any) -> None:
    waiters.pop(task, None)
    if flights.get(key) is task:
        del flights[key]
    task.cancel()


def keeps_zeros(flights: Any, waiters: Any, key: Any, task: Any) -> None:
    waiters[task] -= 1
    if not waiters[task]:
        if flights.get(key) is task:
            del flights[key]
        task.cancel()


def takes_any_off(flights: Any, waiters: Any, key: Any, task: Any) -> None:
    waiters[task] -= 1
    if not waiters[task]:
        del waiters[task]
        flights.pop(key, None)
        task.cancel()


def takes_what_is_gone(flights: Any, waiters: Any, key: Any, task: Any) -> None:
    waiters[task] -= 1
    if not waiters[task]:
        del waiters[task]
        if not task.done():
            del flights[key]
        task.cancel()


async def counts_by_key(flights: Any, waiters: Any, key: Any, task: Any) -> Any:
    waiters[key] += 1
    try:
        return await asyncio.shield(task)
    finally:
        waiters[key] -= 1
        if not waiters[key]:
            del waiters[key]
            if flights.get(key) is task:
                del flights[key]
            task.cancel()


def no_wait(flights: Any, waiters: Any, key: Any, task: Any) -> Any:
    return task


def identity(task: Any) -> Any:
    return task


cancelled = asyncio.CancelledError


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (wrong_wait(shield=identity), "Visitor 1 left; 4 others lost the page."),
        (wrong_wait(catch=cancelled, waits_on=True), "A visitor left, and is still waiting."),
        (wrong_wait(catch=cancelled), "A visitor left, and was not cancelled."),
        (wrong_wait(catch=ConnectionError), "The load failed; 0 of 5 visitors were told."),
        (wrong_wait(end=never_cancels), "All five left, and the load ran on for nobody."),
        (wrong_wait(end=cancels_first), "a sixth came at that moment, and lost the page: 1 load."),
        (wrong_wait(end=cancels_at_once), "Visitor 1 left; 4 others lost the page."),
        (wrong_wait(end=keeps_zeros), "and waiters still holds 1 task. A count of 0 is an entry"),
        (wrong_wait(end=takes_any_off), "The last visitor of the first took the second off."),
        (wrong_wait(end=takes_what_is_gone), "Who waited for the first left with KeyError('a')."),
        (counts_by_key, "Count by task, not by key"),
        (no_wait, "It is no async function."),
    ],
)
def test_a_wrong_wait_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("01-3", answer)


# 01-4


async def remembers_itself(flights: Any, key: Any, load: Any, store: Any) -> Any:
    """Looks who it is before it waits."""
    me = asyncio.current_task()
    page = await load()
    if key in flights and flights[key] is me:
        store(page)
    return page


def test_another_right_load_passes() -> None:
    assert look_at("01-4", remembers_itself).passed


def wrong_fly(may_store: Any, early: Any = lambda flights, key: None) -> Any:
    async def fly(flights: Any, key: Any, load: Any, store: Any) -> Any:
        seen = early(flights, key)
        page = await load()
        if may_store(flights, key, seen, page):
            store(page)
        return page

    return fly


async def gives_what_was_stored(flights: Any, key: Any, load: Any, store: Any) -> Any:
    page = await load()
    if flights.get(key) is asyncio.current_task():
        store(page)
        return page
    return None


async def stores_after_an_error(flights: Any, key: Any, load: Any, store: Any) -> Any:
    try:
        page = await load()
    except ConnectionError as error:
        page = error
    if flights.get(key) is asyncio.current_task():
        store(page)
    return page


def still_there(flights: Any, key: Any, seen: Any, page: Any) -> bool:
    return flights.get(key) is asyncio.current_task()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (wrong_fly(lambda *_: True), "Deleted during the load, and 'old' was stored."),
        (wrong_fly(lambda *_: False), "Nobody deleted, and it stored []."),
        (
            wrong_fly(lambda flights, key, *_: key in flights),
            "Deleted during the load, and a second load began: stored ['old', 'new'].",
        ),
        (
            wrong_fly(lambda f, key, seen, _: f.get(key) is seen, lambda f, key: f.get(key)),
            "Deleted before the task took its first step, and 'old' was stored.",
        ),
        (
            wrong_fly(lambda f, key, seen, _: f.get(key) is seen, lambda f, key: f[key]),
            "Deleted before the load began: they got KeyError('a').",
        ),
        (
            wrong_fly(lambda f, key, _, page: page and still_there(f, key, _, page)),
            "Nobody deleted, and it stored []. On the list: call store(value) once. Empty",
        ),
        (gives_what_was_stored, "Deleted during the load: they got None. Stored or not"),
        (stores_after_an_error, "The load failed, and stored [ConnectionError('down')]."),
    ],
)
def test_a_wrong_load_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("01-4", answer)


@pytest.mark.parametrize("name", ["01-2", "01-3", "01-4"])
def test_a_function_with_other_arguments_is_told_so(name: str) -> None:
    """A TypeError of Python's own says it best."""

    async def answer(key: Any) -> Any:
        return key

    result = look_at(name, answer)
    assert result.status == "failed"
    assert "TypeError" in result.got
