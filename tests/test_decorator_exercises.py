"""Notebook 03's exercises: the right answer passes; each common mistake gets its own message."""

import asyncio
import inspect
import logging
import time
import traceback
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


def as_printed(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return repr((call.args, sorted(call.kwargs.items())))


def typed_and_printed(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return str(typed(call.args)), str(typed(tuple(sorted(call.kwargs.items()))))


def addresses(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    named = tuple((name, id(value)) for name, value in sorted(call.kwargs.items()))
    return tuple(map(id, call.args)), named


def addresses_of_objects(func: Any, args: Any, kwargs: Any) -> Any:
    """Right but for what has no equality of its own."""

    def mark(value: Any) -> Any:
        return id(value) if type(value).__eq__ is object.__eq__ else typed(value)

    call = bound(func, args, kwargs)
    return tuple(map(mark, call.args)), typed(tuple(sorted(call.kwargs.items())))


def hashed(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return hash((typed(call.args), typed(tuple(sorted(call.kwargs.items())))))


def flattened_names(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return typed(call.args + sum(sorted(call.kwargs.items()), ()))


def a_list(func: Any, args: Any, kwargs: Any) -> Any:
    call = bound(func, args, kwargs)
    return [*call.args, *sorted(call.kwargs.items())]


async def waits(func: Any, args: Any, kwargs: Any) -> Any:
    return untyped(func, args, kwargs)


def forgotten_name(func: Any, args: Any, kwargs: Any) -> Any:
    return not_there(args)  # type: ignore[name-defined]  # noqa: F821


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
        (untyped, "page(True) received page(1)'s result."),
        (flattened, "f(('b', 2)) and f(b=2) share a key. Keep what was given by place apart"),
        (flattened_names, "f('a', 1) and f(a=1) share a key. Keep what was given by place apart"),
        (typed_outside, "page((True,)) received page((1,))'s result."),
        (typed_in_tuples, "page(frozenset({True})) received page(frozenset({1}))'s result."),
        (as_printed, "page(rows) received the result for other rows, which print alike. repr()"),
        (typed_and_printed, "page(rows) received the result for other rows, which print alike."),
        (hashed, "page(-1) received page(-2)'s result: the two have one hash. A hash is no value"),
        (addresses, "page(Name(text='Ada')), an equal one, loaded twice. id() and the default"),
        (addresses_of_objects, "A new user received the result of one who is gone. id() and the"),
        (a_list, "make_key for page(1): unhashable type: 'list'. A list can change, a tuple can't"),
        (waits, "make_key is async: its call makes a coroutine, and no key yet. Write `def"),
        (forgotten_name, "name 'not_there' is not defined Nothing has that name: define it"),
        (unsorted, "f(a=1, b=2) and f(b=2, a=1) loaded twice."),
        (a_dict, "make_key for page(1): unhashable type: 'dict'. Turn a dict into"),
        (one_for_all, "page(1) and page(3) share a key."),
        (text, "page('1') received page(1)'s result."),
        (lambda func, args, kwargs: args[1], "make_key for page(1) raised IndexError"),
        (values_of_kwargs_untyped, "share a key. Put the type beside the value."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_key_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("03-1", answer)


def test_the_call_is_shown_with_the_function_that_it_calls() -> None:
    """f(a=1, b=2) means nothing without the line that defines f."""
    expected = [look_at("03-1", answer).expected for answer in (one_for_all, unsorted)]
    assert expected == [
        "two keys for page(1) and page(3) (async def page(a, b=2))",
        "one key for f(a=1, b=2) and f(b=2, a=1) (async def f(*args, **kwargs))",
    ]
    result = look_at("03-2", forgetting(nothing))
    assert result.expected == "page(1) is loaded again (async def page(user_id, orders=20))"


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


def having(make: Any) -> Any:
    """The stub with an answer in it: *make(self, func)* gives the function `invalidate`."""

    class Answer(COURSE.notebook["OneFlight"]):  # type: ignore[misc]
        def __call__(self, func: Any) -> Any:
            wrapper = super().__call__(func)
            wrapper.invalidate = make(self, func)
            return wrapper

    return Answer


def forgetting(forget: Any) -> Any:
    """The stub with an answer in it: *forget(self, func, args, kwargs)*."""

    def make(self: Any, func: Any) -> Any:
        async def invalidate(*args: Any, **kwargs: Any) -> None:
            await forget(self, func, args, kwargs)

        return invalidate

    return having(make)


def for_one_signature(self: Any, func: Any) -> Any:
    async def invalidate(user_id: Any) -> None:
        await self.cache.delete(self._key(func, (user_id,), {}))

    return invalidate


def for_one_function(self: Any, func: Any) -> Any:
    async def invalidate(user_id: Any, orders: Any = 20) -> None:
        await self.cache.delete(self._key(func, (user_id, orders), {}))

    return invalidate


def by_place_only(self: Any, func: Any) -> Any:
    async def invalidate(*args: Any) -> None:
        await self.cache.delete(self._key(func, args, {}))

    return invalidate


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


async def not_awaited(self: Any, func: Any, args: Any, kwargs: Any) -> None:
    self.cache.delete(self._key(func, args, kwargs))


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
        (not_awaited, "invalidate(1) left page(1). An `await` is missing"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_invalidate_is_explained(answer: Any, expected: str) -> None:
    assert message("03-2", forgetting(answer)).startswith(expected)


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (by_place_only, "invalidate(user_id=1)"),
        (for_one_signature, "invalidate(1, 20)"),
        (for_one_function, "invalidate(name='Ada')"),
    ],
)
def test_invalidate_takes_what_the_function_takes(make: Any, call: str) -> None:
    """Parameters of its own fit one function, or not even that."""
    told = message("03-2", having(make))
    assert told.startswith(f"{call} raised TypeError: ")
    assert told.endswith("It takes whatever the function takes: `*args, **kwargs`, passed on as "
                         "self._key(func, args, kwargs).")  # fmt: skip


# 03-3


def warn() -> None:
    logging.getLogger("shop").warning("failed", exc_info=True)


def stale_get(
    *, waits: bool = False, once: Any = "for its key", catches: bool = True, forgets: bool = True,
    stores: bool = True, due: Any = lambda now, expires: now >= expires, holds: bool = True,
    attempts: int = 1, tells: Any = warn,
) -> Any:  # fmt: skip
    """An answer that is right but for what is asked for."""

    async def answer(cache: Any, key: Any, load: Any) -> Any:
        async def refresh() -> None:
            try:
                for attempt in range(attempts):
                    try:
                        value = await load()
                        break
                    except ConnectionError:
                        if attempt == attempts - 1:
                            raise
                if stores:
                    cache.entries[key] = value, time.monotonic() + cache.ttl
            except Exception:
                if not catches:
                    raise
                tells()
            finally:
                if forgets:
                    cache.refreshes.pop(key, None)

        value, expires = cache.entries[key]
        busy = {"for its key": key in cache.refreshes, "for all": bool(cache.refreshes), "": False}
        if due(time.monotonic(), expires) and not busy[once]:
            task = asyncio.create_task(refresh())
            cache.refreshes[key] = task if holds else True
            if waits:
                await asyncio.wait([task])
        return value

    return answer


async def for_ever(cache: Any, key: Any, load: Any) -> Any:
    """Tries again until it has a page."""

    async def refresh() -> None:
        while True:
            try:
                cache.entries[key] = await load(), time.monotonic() + cache.ttl
                del cache.refreshes[key]
                return
            except Exception:
                warn()

    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        cache.refreshes[key] = asyncio.create_task(refresh())
    return value


async def only_calls(cache: Any, key: Any, load: Any) -> Any:
    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        cache.refreshes[key] = load()
    return value


async def never(cache: Any, key: Any, load: Any) -> Any:
    return cache.entries[key][0]


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
        (stale_get(once=""), "40 stale hits, 40 loads."),
        (never, "40 stale hits, and no load. Start a task"),
        (only_calls, "40 stale hits, and no load. An `await` is missing"),
        (stale_get(catches=False), "The refresh failed and nobody looked."),
        (stale_get(tells=lambda: None), "The refresh failed, and its error went nowhere. Log it"),
        (
            stale_get(tells=lambda: logging.getLogger("shop").info("failed")),
            "The refresh failed, and said so at the level INFO, which nobody sees. Log it as a w",
        ),
        (stale_get(forgets=False), "1 refresh, and then no more."),
        (stale_get(stores=False), "The refresh is over, and the old page is still there."),
        (stale_get(due=lambda now, expires: True), "A fresh page was loaded again."),
        (
            stale_get(due=lambda now, expires: now > expires),
            "At time.monotonic() == expires the page was taken for a fresh one.",
        ),
        (stale_get(once="for all"), "user:2 was stale, and not refreshed: a refresh of user:1 was"),
        (stale_get(holds=False), "The refresh vanished half-way: nobody held its task."),
        (for_ever, "1 reader, and 1,500 attempts while the database is down. No loop"),
        (stale_get(attempts=3), "1 reader, and 3 attempts while the database is down."),
        (a_flag_that_stays, "A refresh failed once, and was never tried again."),
    ],
)
def test_a_wrong_stale_get_is_explained(answer: Any, expected: str) -> None:
    assert message("03-3", answer).startswith(expected)


def test_who_hears_of_a_failure_may_read_what_is_printed(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not only the log. The check keeps both to itself."""
    assert look_at("03-3", stale_get(tells=lambda: print("failed"))).passed
    assert look_at("03-3", stale_get(tells=traceback.print_exc)).passed
    assert look_at("03-3", stale_get()).passed
    assert "failed" not in "".join(capsys.readouterr()) + caplog.text


held: set[Any] = set()


async def told_by_a_callback(cache: Any, key: Any, load: Any) -> Any:
    """Holds its tasks in a place of its own, and logs when they are done."""

    async def refresh() -> None:
        cache.entries[key] = await load(), time.monotonic() + cache.ttl

    def done(task: Any) -> None:
        held.discard(task)
        del cache.refreshes[key]
        if not task.cancelled() and task.exception():
            logging.getLogger("shop").error("failed", exc_info=task.exception())

    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        task = asyncio.create_task(refresh())
        held.add(task)
        cache.refreshes[key] = True
        task.add_done_callback(done)
    return value


@pytest.mark.parametrize("answer", [stale_get(), told_by_a_callback])
def test_a_right_stale_get_of_another_kind_passes(answer: Any) -> None:
    assert look_at("03-3", answer).passed
