"""Which calls of a cached function are the same call: those that Python binds alike."""

import asyncio
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepool_lib import async_cache
from tests.decorator_tools import Counted, SharedStore


class Point(NamedTuple):
    x: Any
    y: Any


# Nearly equal, and equal but of other types. Small domains, so that calls are often the same.
NEAR: list[Any] = [1, True, 1.0, "1", b"1", None, "", 0, False, 2]
VALUES: list[Any] = [
    *NEAR,
    *[(value,) for value in (1, True, 1.0)],
    ("b", 2),
    Point("b", 2),
    Point("b", 2.0),
    ((1,),),
    ((True,),),
    ("builtins.bool", True),
    frozenset({1}),
    frozenset({True}),
    frozenset({("b", 2)}),
]

MARKED: Any = [(int, 1), (bool, True), (tuple, 1), int]  # what a key may look like inside

SIGNATURES: list[Callable[..., Any]] = [
    lambda a: 0,
    lambda a, b=2: 0,
    lambda a=1, b=True: 0,
    lambda a, /, b=None: 0,
    lambda a, *, b=1: 0,
    lambda a=1, /, b="", *, c=0: 0,
    lambda *a: 0,
    lambda *a, b=2: 0,
    lambda **a: 0,
    lambda a, /, **b: 0,
    lambda a=1, *b, c=2, **d: 0,
]

Call = tuple[tuple[Any, ...], dict[str, Any]]
values = st.sampled_from(VALUES)
calls = st.tuples(
    st.lists(values, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from("abcz"), values, max_size=2),
)


def bind(function: Callable[..., Any], call: Call) -> inspect.BoundArguments:
    """What *call* binds to, with defaults. Raises TypeError if *function* can't be called so."""
    args, kwargs = call
    function(*args, **kwargs)  # Python itself is asked, too: bind of 3.13.0 takes f(a=1) of f(a, /)
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound


@st.composite
def pairs(draw: st.DrawFn, function: Callable[..., Any]) -> tuple[Call, Call]:
    """Two calls: of any kind, or one call spelled in two ways, perhaps with one value nearly so."""
    one = draw(calls)
    try:
        bound = bind(function, one)
    except TypeError:
        return one, draw(calls)
    if draw(st.integers(0, 3)) == 0:
        return one, draw(calls)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    by_name = draw(st.booleans())
    for name, parameter in bound.signature.parameters.items():
        value = bound.arguments[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            by_name = by_name and not value
            args += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= dict(draw(st.permutations(list(value.items()))))
        elif value is parameter.default and draw(st.booleans()):
            by_name = True  # left out: what follows can't be given by place
        elif parameter.kind is parameter.KEYWORD_ONLY or (
            parameter.kind is parameter.POSITIONAL_OR_KEYWORD and by_name
        ):
            kwargs[name] = value
        else:
            args.append(value)
    if args and draw(st.booleans()):
        args[draw(st.integers(0, len(args) - 1))] = draw(values)
    return one, (tuple(args), kwargs)


def alike(one: Any, other: Any) -> bool:
    """Equal and of the same types, inside tuples and frozensets (and by name) too."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, tuple):
        return all(map(alike, one, other))
    if isinstance(one, frozenset):
        return all(any(alike(part, another) for another in other) for part in one)
    if isinstance(one, dict):
        return all(alike(one[name], other[name]) for name in one)
    return True


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.mark.parametrize("where", ["memory", "shared"])
def test_two_calls_share_an_entry_exactly_if_python_binds_them_alike(
    run: Callable[..., Any], where: str
) -> None:
    """To equal arguments of the same types, however they are spelled, in every kind of store."""
    seen = {True: 0, False: 0}

    @settings(max_examples=1500, deadline=None)
    @given(st.sampled_from(SIGNATURES).flatmap(lambda f: st.tuples(st.just(f), pairs(f))))
    def check(drawn: tuple[Callable[..., Any], tuple[Call, Call]]) -> None:
        like, (one, other) = drawn
        function = Counted(like)
        cached: Any = async_cache(cache=None if where == "memory" else SharedStore())(function)  # type: ignore[arg-type]
        bound = []
        for args, kwargs in (one, other):
            try:
                bound.append(bind(like, (args, kwargs)).arguments)
            except TypeError:
                with pytest.raises(TypeError, match="page"):
                    run(cached(*args, **kwargs))
                assert function.runs == 0
        if len(bound) < 2:
            return
        same = alike(*bound)
        answers = [run(cached(*args, **kwargs)) for args, kwargs in (one, other)]
        assert function.runs == (1 if same else 2)
        assert answers[0] == one
        assert answers[1] == (one if same else other)
        assert run(cached.invalidate(*other[0], **other[1])) is True
        assert run(cached.invalidate(*one[0], **one[1])) is not same
        seen[same] += 1

    check()
    assert seen[True] >= 0.1 * sum(seen.values()), "too few of the pairs are equal"
    assert seen[False] >= 0.1 * sum(seen.values()), "too few of the pairs differ"


@pytest.mark.parametrize("where", ["memory", "shared"])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: (0, v), lambda v: frozenset({v})])
def test_every_pair_of_nearly_equal_values(
    run: Callable[..., Any], wrap: Callable[[Any], Any], where: str
) -> None:
    """All against all in one cache: each value gets its own answer, by place and by name."""
    function = Counted(lambda a: 0)
    cached: Any = async_cache(cache=None if where == "memory" else SharedStore())(function)  # type: ignore[arg-type]
    samples = VALUES + MARKED if where == "memory" else VALUES
    for value in samples:
        ((answer,), _) = run(cached(wrap(value)))
        assert alike(answer, wrap(value))
        assert run(cached(a=wrap(value))) == run(cached(wrap(value)))
    assert function.runs == len(samples)


class Tagged(tuple[Any, ...]):
    """A tuple that is more than its parts, and says so."""

    tag = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tagged) and self.tag == other.tag and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash((self.tag, tuple(self)))


def test_a_tuple_with_an_equality_of_its_own_is_asked(run: Callable[..., Any]) -> None:
    """Its parts are not all there is to it."""
    cached: Any = async_cache()(Counted(lambda a: 0))
    one, other = Tagged((1,)), Tagged((1,))
    other.tag = "other"
    run(cached(one))
    ((answer,), _) = run(cached(other))
    assert answer is other
    ((answer,), _) = run(cached(Tagged((1,))))
    assert answer is one


class Loud:
    """Prints like all of its kind, and is equal to none."""

    def __repr__(self) -> str:
        return "loud"


def test_neither_str_nor_repr_nor_an_address_is_looked_at(run: Callable[..., Any]) -> None:
    """Objects that print alike differ; and one that is gone is not taken for its successor."""
    cached: Any = async_cache(maxsize=None)(Counted(lambda a: 0))
    for _ in range(300):
        argument = Loud()
        ((answer,), _) = run(cached(argument))
        assert answer is argument
        del argument, answer


@pytest.mark.parametrize("bad", [[], {}, set(), (1, [2]), bytearray(b"x")])
def test_what_is_not_hashable_is_refused_before_the_function_runs(
    run: Callable[..., Any], bad: Any
) -> None:
    """With the name of the parameter, and what to do; by place, by name, with stars, as default."""
    function = Counted(lambda a, *b, **c: 0)
    cached: Any = async_cache()(function)
    with pytest.raises(TypeError, match=r"page: a can't be part of a key .*unhashable.*key="):
        run(cached(bad))
    with pytest.raises(TypeError, match=r"page: \*b can't"):
        run(cached(1, bad))
    with pytest.raises(TypeError, match=r"page: \*\*c can't"):
        run(cached(1, z=bad))
    as_default = Counted(lambda a=bad: 0)
    with pytest.raises(TypeError, match="page: a can't"):
        run(async_cache()(as_default)())
    assert function.runs == as_default.runs == 0
    for ask in (cached.invalidate, cached.refresh):
        with pytest.raises(TypeError, match="page: a can't"):
            run(ask(bad))


def test_the_error_does_not_show_the_argument(run: Callable[..., Any]) -> None:
    """It may be a secret."""
    with pytest.raises(TypeError) as caught:
        run(async_cache()(Counted(lambda a: 0))(["hunter2"]))
    assert "hunter2" not in str(caught.value)


# -- key= --------------------------------------------------------------------------------------


def test_key_is_given_the_call_and_decides(run: Callable[..., Any]) -> None:
    """What it leaves out tells nothing apart; what it returns keeps its types."""
    function = Counted(lambda a, session=None: 0)
    cached: Any = async_cache(key=lambda a, session=None: a)(function)
    run(cached(1, session=[]))
    run(cached(1, [2]))
    assert function.runs == 1
    run(cached(True))
    run(cached("1"))
    assert function.runs == 3
    assert run(cached.invalidate(1, session={})) is True
    run(cached(1))
    assert function.runs == 4


def test_key_may_make_hashable_what_is_not(run: Callable[..., Any]) -> None:
    """And is told if it does not."""
    cached: Any = async_cache(key=lambda a: tuple(a))(Counted(lambda a: 0))
    assert run(cached([1, 2])) is run(cached([1, 2]))
    cached = async_cache(key=lambda a: a)(Counted(lambda a: 0))
    with pytest.raises(TypeError, match="what key= returns can't be part of a key"):
        run(cached([1, 2]))


async def _a_key(a: Any) -> Any:
    return a


@pytest.mark.parametrize("key", [_a_key, "user", 1])
def test_a_key_that_is_no_plain_function_is_refused(key: Any) -> None:
    """When decorating."""
    with pytest.raises(TypeError, match="key must be a plain function"):
        async_cache(key=key)


# -- in a store that processes share -----------------------------------------------------------


async def page(
    user: Any, /, lang: str = "en", *tags: Any, deep: bool = False, **filters: Any
) -> str:
    return "page"


SAMPLE: list[Call] = [
    ((1,), {}),
    ((True,), {"lang": "de"}),
    ((1.0, "en", b"x", None), {"z": 1, "a": (1, 2)}),
    ((frozenset({"a", "b", "c", "d"}),), {"tags": frozenset(range(20))}),
    ((UUID(int=7), "en", frozenset({("a", 1), ("b", True)})), {"deep": True}),
    ((Point(1, "x"),), {"b": "1", "a": 1}),
]


def names_of_sample() -> list[str]:
    store = SharedStore()
    cached: Any = async_cache(cache=store)(page)  # type: ignore[arg-type]

    async def ask() -> None:
        for args, kwargs in SAMPLE:
            await cached(*args, **kwargs)

    asyncio.run(ask())
    return list(store.values)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_gives_the_same_names(seed: str) -> None:
    """Strings have another hash there, and sets another order."""
    code = "from tests.test_async_cache_decorator_keys import *; print(names_of_sample())"
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    here = names_of_sample()
    assert elsewhere == f"{here}\n"
    assert len(here) == len(SAMPLE)
    assert all("tests.test_async_cache_decorator_keys.page" in name for name in here)


def test_what_has_no_stable_name_needs_one() -> None:
    """A function inside of another, or of __main__: refused when decorating, in such a store."""

    async def local() -> None: ...

    async def of_main() -> None: ...

    of_main.__module__, of_main.__qualname__ = "__main__", "of_main"
    store: Any = SharedStore()
    for function in (local, of_main):
        with pytest.raises(TypeError, match=r"no name that is the same .*name="):
            async_cache(cache=store)(function)
        async_cache(cache=store, name="local")(function)
        async_cache()(function)


@pytest.mark.parametrize(
    "argument",
    [object(), Loud(), print, Counted, lambda: 0],
    ids=["object", "loud", "builtin", "class", "lambda"],
)
def test_an_argument_without_a_stable_name_is_refused(
    run: Callable[..., Any], argument: Any
) -> None:
    """Before the function runs; key= helps."""
    function = Counted(lambda a: 0)
    store: Any = SharedStore()
    with pytest.raises(TypeError, match="key="):
        run(async_cache(cache=store)(function)(argument))
    assert function.runs == 0
    run(async_cache(cache=store, key=lambda a: "it")(function)(argument))


def test_functions_of_one_short_name_have_entries_of_their_own(run: Callable[..., Any]) -> None:
    """In one store, module and qualified name tell them apart; name= makes them one."""

    def two(**options: Any) -> list[Any]:
        blog, shop = Counted(lambda a: 0), Counted(lambda a: 0)
        blog.__module__ = "blog.pages"
        cached = [async_cache(cache=store, **options)(f) for f in (shop, blog)]
        for each in cached:
            run(each(1))  # type: ignore[call-arg]
        return [shop.runs, blog.runs]

    store: Any = SharedStore()
    assert two() == [1, 1]
    assert two(name="page") == [1, 0]


def test_what_functools_wraps_says_of_parameters_is_not_believed(run: Callable[..., Any]) -> None:
    """A decorator below may take other arguments than it says, as one that adds a connection."""
    import functools

    async def page(connection: str, user: int) -> tuple[str, int]:
        return connection, user

    @functools.wraps(page)
    async def connected(*args: Any) -> Any:
        return await page("connection", *args)

    cached: Any = async_cache()(connected)
    assert run(cached(7)) == ("connection", 7)
