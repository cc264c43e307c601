"""Notebook 03's exercises: the right answer passes; each common mistake gets its own message."""

import asyncio
import inspect
import logging
import time
from random import Random
from typing import Any

import pytest

from cachepool_lib.lab import decorator_exercises
from cachepool_lib.lab.decorator_exercises import EXERCISES
from tests.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "03-cache-with-one-line.ipynb",
    {"03-1": "make_key", "03-2": "Forgets", "03-3": "stale_get"},
)


def test_every_exercise_is_tested_here() -> None:
    assert set(EXERCISES) == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


# 03-1


def typed(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple, tuple(map(typed, value))
    if isinstance(value, frozenset):
        return frozenset, frozenset(map(typed, value))
    return type(value), value


def bound(func: Any, args: Any, kwargs: Any) -> Any:
    call = inspect.signature(func).bind(*args, **kwargs)
    call.apply_defaults()
    return call


def by_parameter(func: Any, args: Any, kwargs: Any) -> Any:
    """Another right answer: by the names of the parameters."""
    arguments = bound(func, args, kwargs).arguments
    return tuple(
        (name, typed(tuple(sorted(value.items()))) if isinstance(value, dict) else typed(value))
        for name, value in arguments.items()
    )


def no_defaults(func: Any, args: Any, kwargs: Any) -> Any:
    call = inspect.signature(func).bind(*args, **kwargs)
    return typed(call.args), typed(tuple(sorted(call.kwargs.items())))


def untyped(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return call.args, tuple(sorted(call.kwargs.items()))


def typed_outside(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    values = tuple((type(value), value) for value in call.args)
    return values, typed(tuple(sorted(call.kwargs.items())))


def typed_in_tuples(func: Any, args: Any, kwargs: Any) -> Any:
    def mark(value: Any) -> Any:
        return (
            (tuple, tuple(map(mark, value))) if isinstance(value, tuple) else (type(value), value)
        )

    call = bound(func, args, kwargs)
    return mark(call.args), mark(tuple(sorted(call.kwargs.items())))


def flattened(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return tuple(map(typed, (*call.args, *sorted(call.kwargs.items()))))


def unsorted(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return typed(call.args), typed(tuple(call.kwargs.items()))


def a_dict(func: Any, args: Any, kwargs: Any) -> Any:
    return args, bound(func, args, kwargs).arguments


def one_for_all(func: Any, args: Any, kwargs: Any) -> Any:
    return func.__name__


def text(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return ", ".join(map(str, call.args)) + str(sorted(call.kwargs.items()))


def values_of_kwargs_untyped(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return typed(call.args), tuple(sorted(call.kwargs.items()))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            lambda func, args, kwargs: (args, tuple(sorted(kwargs.items()))),
            "page(1) and page(1, b=2), its default, loaded twice.",
        ),
        (no_defaults, "page(1) and page(1, b=2), its default, loaded twice."),
        (untyped, "page(True) got page(1)'s result."),
        (flattened, "f(('b', 2)) and f(b=2) share a key."),
        (typed_outside, "page((True,)) got page((1,))'s result."),
        (typed_in_tuples, "page(frozenset({True})) got page(frozenset({1}))'s result."),
        (unsorted, "f(a=1, b=2) and f(b=2, a=1) loaded twice."),
        (a_dict, "make_key for page(1): unhashable type: "),
        (one_for_all, "page(1) and page(3) share a key."),
        (text, "page('1') got page(1)'s result."),
        (lambda func, args, kwargs: args[1], "make_key for page(1) raised IndexError"),
        (values_of_kwargs_untyped, "share a key. Put the type beside the value."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_key_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("03-1", answer)


def test_another_right_key_passes() -> None:
    assert look_at("03-1", by_parameter).passed


def test_a_tenth_of_the_random_pairs_are_one_call() -> None:
    """Else a key that is never the same would pass."""
    random = Random(3)
    pairs = [decorator_exercises._random_pair(random) for _ in range(3_000)]
    alike = [(one, other) for one, other in pairs if one.bound == other.bound]
    assert len(pairs) / 10 < len(alike) < 0.7 * len(pairs)
    assert any(repr(one) != repr(other) for one, other in alike)


# 03-2


def forgetting(forget: Any) -> Any:
    """The stub with an answer in it: *forget(self, func, args, kwargs)*."""

    class Answer(COURSE.notebook["OneFlight"]):  # type: ignore[misc]
        def __call__(self, func: Any) -> Any:
            wrapper = super().__call__(func)

            async def invalidate(*args: Any, **kwargs: Any) -> None:
                await forget(self, func, args, kwargs)

            wrapper.invalidate = invalidate
            return wrapper

    return Answer


async def raw_key(self: Any, func: Any, args: Any, kwargs: Any) -> None:
    typed = tuple((f"builtins.{type(value).__name__}", value) for value in (*args, 20))
    key = func.__name__, ("builtins.tuple", typed), ("builtins.tuple", ())
    await self.cache.delete(key)


async def clears_all(self: Any, func: Any, args: Any, kwargs: Any) -> None:
    await self.cache.clear()


async def entry_only(self: Any, func: Any, args: Any, kwargs: Any) -> None:
    key = self._key(func, args, kwargs)
    if await self.cache.get(key) is not None:
        await self.cache.delete(key)


async def nothing(self: Any, func: Any, args: Any, kwargs: Any) -> None:
    pass


async def mistaken(self: Any, func: Any, args: Any, kwargs: Any) -> None:
    await self.cache.delete(self._key(func, *args, **kwargs))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (raw_key, "invalidate(user_id=1) left page(1)."),
        (clears_all, "page(2) went too."),
        (entry_only, "The running load put the old page back."),
        (nothing, "invalidate(1) left page(1)."),
        (mistaken, "invalidate(1) raised TypeError: "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_invalidate_is_explained(answer: Any, expected: str) -> None:
    assert message("03-2", forgetting(answer)).startswith(expected)


# 03-3


def stale_get(
    *, waits: bool = False, once: bool = True, catches: bool = True, forgets: bool = True,
    stores: bool = True, eager: bool = False,
) -> Any:  # fmt: skip
    """An answer that is right but for what is asked for."""

    async def answer(cache: Any, key: Any, load: Any) -> Any:
        async def refresh() -> None:
            try:
                value = await load()
                if stores:
                    cache.entries[key] = value, time.monotonic() + cache.ttl
            except Exception:
                if not catches:
                    raise
                logging.getLogger("shop").info("failed", exc_info=True)
            finally:
                if forgets:
                    cache.refreshes.pop(key, None)

        value, expires = cache.entries[key]
        due = eager or time.monotonic() >= expires
        if due and not (once and key in cache.refreshes):
            cache.refreshes[key] = asyncio.create_task(refresh())
            if waits:
                await asyncio.wait([cache.refreshes[key]])
        return value

    return answer


async def loads_new(cache: Any, key: Any, load: Any) -> Any:
    value, expires = cache.entries[key]
    if time.monotonic() >= expires:
        value = await load()
        cache.entries[key] = value, time.monotonic() + cache.ttl
    return value


async def a_flag_that_stays(cache: Any, key: Any, load: Any) -> Any:
    """Clears its flag only when all went well."""

    async def refresh() -> None:
        try:
            cache.entries[key] = await load(), time.monotonic() + cache.ttl
            del cache.refreshes[key]
        except ConnectionError:
            pass

    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        cache.refreshes[key] = asyncio.create_task(refresh())
    return value


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (loads_new, "The reader waited 200 ms for what was meant for later."),
        (stale_get(waits=True), "The reader waited 200 ms for what was meant for later."),
        (stale_get(once=False), "40 stale hits, 40 loads."),
        (stale_get(catches=False), "The refresh failed and nobody looked."),
        (stale_get(forgets=False), "1 refresh, and then no more."),
        (stale_get(stores=False), "The refresh is over, and the old page is still there."),
        (stale_get(eager=True), "A fresh page was loaded again."),
        (a_flag_that_stays, "A refresh failed once, and was never tried again."),
    ],
)
def test_a_wrong_stale_get_is_explained(answer: Any, expected: str) -> None:
    assert message("03-3", answer).startswith(expected)


def test_a_right_stale_get_of_another_kind_passes() -> None:
    assert look_at("03-3", stale_get()).passed
