"""Which calls of a cached function are the same call: those that Python binds alike."""

import asyncio
import functools
import gc
import inspect
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepool_lib import AsyncCache, async_cache
from tests.tools.async_cache_tools import answer
from tests.tools.decorator_tools import Counted, SharedStore
from tests.tools.decorator_tools import bound as spelled


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
    lambda a=1.0, /, b=(1,), *, c=False: 0,
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
        assert answers[0] == spelled(like, *one)
        assert answers[1] == spelled(like, *(one if same else other))
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
    """With the name of the parameter, and what to do; by place, by name and with stars."""
    function = Counted(lambda a, *b, **c: 0)
    cached: Any = async_cache()(function)
    with pytest.raises(TypeError, match=r"page: a can't be part of a key .*unhashable.*key="):
        run(cached(bad))
    with pytest.raises(TypeError, match=r"page: \*b can't"):
        run(cached(1, bad))
    with pytest.raises(TypeError, match=r"page: \*\*c can't"):
        run(cached(1, z=bad))
    assert function.runs == 0
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
    code = "from tests.decorator.test_call_key import *; print(names_of_sample())"
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
    assert all("tests.decorator.test_call_key.page" in name for name in here)


def test_what_has_no_stable_name_needs_one() -> None:
    """A function inside of another, or of __main__: refused when decorating, in such a store."""

    async def local() -> None: ...

    async def of_main() -> None: ...

    of_main.__module__, of_main.__qualname__ = "__main__", "of_main"
    store: Any = SharedStore()
    for function in (local, of_main):
        with pytest.raises(TypeError, match=r"no name that is the same .*name="):
            async_cache(cache=store)(function)
        async_cache(cache=store, name=function.__name__)(function)
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
    """In one store, module and qualified name tell them apart."""
    store: Any = SharedStore()
    blog, shop = Counted(lambda a: 0), Counted(lambda a: 0)
    blog.__module__ = "blog.pages"
    cached: Any = [async_cache(cache=store)(function) for function in (shop, blog)]
    for each in cached:
        run(each(1))
    assert shop.runs == blog.runs == 1


def _page(user: int) -> Any:
    async def page() -> int:
        return user

    return page


async def _other() -> None: ...


async def _shop_page(self: Any) -> None: ...


class _Other:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "other",
    [
        _other,
        functools.partial(_other),
        functools.partial(answer, 2),
        _Other(),
        async_cache()(_other),
    ],
    ids=["function", "partial", "other arguments", "object", "cached"],
)
@pytest.mark.parametrize("first", [_page(1), functools.partial(answer, 1)])
def test_a_name_is_that_of_one_function_in_a_store(first: Any, other: Any) -> None:
    """Each would get the results of the other: refused when the second is decorated."""
    store: Any = SharedStore()
    kept = async_cache(cache=store, name="user")(first)
    with pytest.raises(ValueError, match="name='user' is that of another function in this store"):
        async_cache(cache=store, name="user")(other)
    elsewhere: Any = SharedStore()
    async_cache(cache=elsewhere, name="user")(other)
    async_cache(cache=store, name="other")(other)
    in_memory = AsyncCache()
    for function in first, other:  # there the function itself is part of the key
        async_cache(cache=in_memory, name="user")(function)
    assert kept.cache is store


def test_a_function_that_is_decorated_again_keeps_its_name() -> None:
    """As after a reload: of the same module and qualified name it is the same function."""
    store: Any = SharedStore()
    kept = [async_cache(cache=store, name="user")(_page(number)) for number in range(3)]
    kept += [async_cache(cache=store, name="of 1")(functools.partial(answer, 1)) for _ in range(3)]
    assert len(set(kept)) == 6


def test_a_name_keeps_no_cache_alive_and_is_free_after_it(run: Callable[..., Any]) -> None:
    """Nor does it keep the function."""
    store: Any = SharedStore()
    cached = async_cache(cache=store, name="user")(_page(1))
    run(cached())
    gone = weakref.ref(store), weakref.ref(cached)
    del store, cached
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_what_is_bound_to_two_classes_is_two_functions() -> None:
    """A subclass inherits a classmethod: by one name it would get the answers of its parent."""

    class Base:
        @classmethod
        async def get(cls) -> None: ...

    class Sub(Base):
        pass

    store: Any = SharedStore()
    kept = async_cache(cache=store, name="get")(Base.get)
    with pytest.raises(ValueError, match="name='get'"):
        async_cache(cache=store, name="get")(Sub.get)
    assert kept.cache is store


# -- defaults ----------------------------------------------------------------------------------


class Point3(NamedTuple):
    x: Any = 1


class Unequal:
    """As arrays are: compared with another it gives no bool. Not hashable."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return [True]


DEFAULTS: list[tuple[Any, Any, list[Any]]] = [  # the default, its equal, and what is not alike
    ([], [], [()]),
    ([1, (2,)], [1, (2,)], [[True, (2,)], [1, (2.0,)], [1]]),
    ({"a": [1]}, {"a": [1]}, [{"a": [True]}, {}]),
    ({1: 2, "b": 3}, {"b": 3, 1: 2}, [{True: 2, "b": 3}]),
    ({1, "b"}, {"b", 1}, [{True, "b"}, {"b"}]),
    (bytearray(b"x"), bytearray(b"x"), [b"x", bytearray(b"y")]),
    (False, bool(0), [0, 0.0, None]),
    (1.5, 3 / 2, [2]),
    ((1, 2), tuple(range(1, 3)), [(True, 2)]),
    (frozenset({1}), frozenset([1]), [frozenset({True})]),
    ("en", "".join("en"), ["de"]),
    (None, None, [0]),
    (Point3(1), Point3(1), [Point3(True), (1,)]),
]


@pytest.mark.parametrize("where", ["memory", "shared"])
@pytest.mark.parametrize(
    ("default", "equal", "others"), DEFAULTS, ids=[type(row[0]).__name__ for row in DEFAULTS]
)
def test_a_default_is_the_same_call_left_out_or_passed(
    run: Callable[..., Any], default: Any, equal: Any, others: list[Any], where: str
) -> None:
    """Or an equal value of the same types; any other is another call, or refused as an argument."""
    function = Counted(lambda q, filters=default: 0)
    cached: Any = async_cache(cache=None if where == "memory" else SharedStore())(function)
    for _ in range(2):
        assert run(cached("q")) == (("q", default), {})
        assert run(cached("q", equal)) == run(cached(filters=equal, q="q"))
        assert run(cached("q", default)) == (("q", default), {})
    assert function.runs == 1
    for number, other in enumerate(others):
        try:
            hash(other)
        except TypeError:
            with pytest.raises(TypeError, match="page: filters can't be part of a key"):
                run(cached("q", other))
            function.runs += 1
        else:
            assert run(cached("q", other)) == (("q", other), {})
        assert function.runs == number + 2
    assert run(cached.invalidate("q")) is True
    assert run(cached.invalidate("q", equal)) is False


@pytest.mark.parametrize("where", ["memory", "shared"])
@pytest.mark.parametrize(
    "default", [object(), Unequal(), int, print, ...], ids=lambda d: type(d).__name__
)
def test_any_object_may_be_a_default(run: Callable[..., Any], default: Any, where: str) -> None:
    """Also where it has no name in another process, and where `==` says nothing."""
    function = Counted(lambda *a, mark=default, **b: 0)
    cached: Any = async_cache(cache=None if where == "memory" else SharedStore())(function)
    assert run(cached()) == run(cached(mark=default)) == ((), {"mark": default})
    assert function.runs == 1
    if isinstance(default, Unequal):
        with pytest.raises(TypeError, match="mark can't be part of a key"):
            run(cached(mark=Unequal()))


def test_a_default_that_the_function_changes_is_still_its_default(
    run: Callable[..., Any],
) -> None:
    """The well-known mistake stays what it is without the cache."""

    async def page(seen: list[int] = []) -> list[int]:  # noqa: B006
        seen.append(1)
        return seen

    cached = async_cache()(page)
    assert run(cached()) is run(cached()) == [1]


# -- parameters --------------------------------------------------------------------------------


def test_parameters_may_have_any_name(run: Callable[..., Any]) -> None:
    """Also one that the decorator itself uses."""
    names = (
        *("cache", "key", "type", "id", "lookup", "load", "group", "function", "partial", "self"),
        *("call", "bind", "plain", "DEFAULT", "MISSING", "owner", "found", "k", "args", "kwargs"),
        *("_cachepool_k", "_cachepool_key", "_cachepool__type", "Straße", "match", "print"),
    )
    source = f"async def page({', '.join(names)}, *, cls=[], **more): return locals()"
    space: dict[str, Any] = {}
    exec(source, space)
    cached: Any = async_cache()(space["page"])
    values = {name: number for number, name in enumerate(names)}
    answers = {**values, "cls": [], "more": {"first": 1}}
    assert run(cached(**values, first=1)) == answers
    assert run(cached(*values.values(), first=1)) is run(cached(first=1, cls=[], **values))
    assert cached.cache_info().loads == 1
    for name in names:
        assert run(cached(**values | {name: "other"}))[name] == "other"


def test_names_that_a_class_mangles(run: Callable[..., Any]) -> None:
    """A parameter with two underscores has the name of the class in it, and its default too."""

    class Shop:
        @async_cache()
        async def page(self, __user: int, *, __lang: Any = {}) -> Any:  # noqa: B006
            return __user, __lang

    shop: Any = Shop()
    assert run(shop.page(1)) == run(shop.page(_Shop__user=1, _Shop__lang={})) == (1, {})
    assert shop.page.cache_info().loads == 1


def test_a_wrong_call_is_refused_in_the_words_of_python(run: Callable[..., Any]) -> None:
    """As the function itself does: at once, not when it is awaited, by all that take the call."""

    async def page(user: int, /, lang: str = "en", *, deep: bool = False) -> None: ...

    cached: Any = async_cache()(page)
    for args, kwargs in [((), {}), ((1, "en", 2), {}), ((), {"user": 1}), ((1,), {"z": 1})]:
        with pytest.raises(TypeError) as told:
            page(*args, **kwargs)
        for call in cached, cached.cache_key:
            with pytest.raises(TypeError) as caught:
                call(*args, **kwargs)
            assert str(caught.value) == str(told.value)
        for call in cached.invalidate, cached.refresh:
            with pytest.raises(TypeError, match="page"):
                run(call(*args, **kwargs))


def test_cache_key_is_the_key_of_the_call(run: Callable[..., Any]) -> None:
    """In the cache, in memory and in a shared store, for whoever works with the cache itself."""

    async def page(user: int, lang: str = "en", filters: Any = []) -> int:  # noqa: B006
        return user

    for cache in AsyncCache(), SharedStore():
        cached: Any = async_cache(cache=cache, name="page")(page)
        run(cached(1))
        key = cached.cache_key(1)
        assert key == cached.cache_key(lang="en", user=1) != cached.cache_key(2)
        assert run(cache.delete(key)) is True
        assert run(cached.invalidate(1)) is False


def test_what_functools_wraps_says_of_parameters_is_not_believed(run: Callable[..., Any]) -> None:
    """A decorator below may take other arguments than it says, as one that adds a connection."""

    async def page(connection: str, user: int) -> tuple[str, int]:
        return connection, user

    @functools.wraps(page)
    async def connected(*args: Any) -> Any:
        return await page("connection", *args)

    cached: Any = async_cache()(connected)
    assert run(cached(7)) == ("connection", 7)
