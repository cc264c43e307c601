"""Exercise 03-1: a right key passes, each common mistake gets its own message."""

import inspect
from functools import partial
from random import Random
from typing import Any

import pytest

from cachepool_lib.lab.exercises.call_key import _random_pair
from tests.tools.exercise_tools import look_at, message


def typed(value: Any, name: Any = repr) -> Any:
    inside = partial(typed, name=name)
    if isinstance(value, tuple):
        return name(tuple), tuple(map(inside, value))
    if isinstance(value, frozenset):
        return name(frozenset), frozenset(map(inside, value))
    return name(type(value)), value


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


def typed_by(name: Any) -> Any:
    """Right but for how a type is named."""

    def answer(func: Any, args: Any, kwargs: Any) -> Any:
        call = bound(func, args, kwargs)
        return typed(call.args, name), typed(tuple(sorted(call.kwargs.items())), name)

    return answer


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


def of_sets(tuples: Any, sets: Any) -> Any:
    """Right but for what it makes of a tuple and of a set."""

    def mark(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple, tuples(map(mark, value))
        if isinstance(value, frozenset):
            return frozenset, sets(map(mark, value))
        return type(value), value

    def answer(func: Any, args: Any, kwargs: Any) -> Any:
        call = bound(func, args, kwargs)
        return tuple(map(mark, call.args)), mark(tuple(sorted(call.kwargs.items())))

    return answer


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
        (
            of_sets(frozenset, frozenset),
            "page((3, 1)) received page((1, 3))'s result. A tuple",
        ),
        (
            of_sets(tuple, tuple),
            "loaded twice. Equal sets may be walked through in",
        ),
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
        (typed_by(lambda kind: kind), "make_key for page(1): type has no name that is the same in"),
        (typed_by(lambda kind: kind.__name__), "A blog.Cents received the result for a shop.Cents"),
        (
            typed_by(lambda kind: f"{kind.__module__}.{kind.__name__}"),
            "A shop.Page.Cents received the result for a shop.Cents. Several types",
        ),
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


def test_another_right_key_passes() -> None:
    assert look_at("03-1", by_parameter).passed


def test_a_tenth_of_the_random_pairs_are_one_call() -> None:
    """Else a key that is never the same would pass."""
    random = Random(3)
    pairs = [_random_pair(random) for _ in range(3_000)]
    alike = [(one, other) for one, other in pairs if one.bound == other.bound]
    assert len(pairs) / 10 < len(alike) < 0.7 * len(pairs)
    assert any(repr(one) != repr(other) for one, other in alike)
