"""What CPython's own tests ask of functools.lru_cache, asked of its async twin.

The cases are those of `TestLRU` in CPython's test_functools, written anew. Those in DOES_NOT_APPLY
have no test here, each for the reason given.
"""

import copy
import functools
import pickle
import weakref
from typing import Any

import pytest

from cachepool_lib import AsyncCache, async_cache

pytestmark = pytest.mark.anyio

DOES_NOT_APPLY = {
    "test_lru_cache_parameters": "what it was made with is on `cache`, not in a dict",
    "test_lru_with_maxsize_negative": "it stands for 0 there; here it is a ValueError",
    "test_lru_no_args": "@async_cache without parentheses is refused, with a message",
    "test_lru_cache_typed_is_not_recursive": "here types count inside tuples, too",
    "test_kwargs_order": "here the order of arguments given by name does not matter",
    "test_lru_hash_only_once": "it guards C code against a slow or reentrant __hash__; here an "
    "argument is hashed when the key is checked and for each look-up",
    "test_lru_reentrancy_with_len": "it caches len(), which is not async",
    "test_lru_recursion": "it is about the C stack; a call that waits has a task of its own",
    "test_lru_cache_threaded": "a cache belongs to one event loop, so to one thread",
    "test_lru_cache_threaded2": "as before",
    "test_lru_cache_threaded3": "as before",
    "test_need_for_rlock": "there is no lock: what is changed is changed without an await",
}
THERE = {
    "test_common_signatures",
    "test_copy",
    "test_deepcopy",
    "test_lru",
    "test_lru_bug_35780",
    "test_lru_bug_36650",
    "test_lru_cache_decoration",
    "test_lru_cache_weakrefable",
    "test_lru_method",
    "test_lru_star_arg_handling",
    "test_lru_type_error",
    "test_lru_with_exceptions",
    "test_lru_with_keyword_args",
    "test_lru_with_keyword_args_maxsize_none",
    "test_lru_with_maxsize_none",
    "test_lru_with_types",
    "test_pickle",
}


async def test_no_case_of_cpython_is_forgotten() -> None:
    """Of the Python that runs this, if it came with its tests."""
    theirs = pytest.importorskip("test.test_functools").TestLRU
    names = {name for name in dir(theirs) if name.startswith("test_")}
    assert names <= THERE | DOES_NOT_APPLY.keys()
    assert not THERE & DOES_NOT_APPLY.keys()


async def test_hits_and_misses_are_those_of_any_order_of_calls() -> None:
    """test_lru: 20 slots and 25 pairs; each answer is right, and each request counted."""

    @async_cache(maxsize=20)
    async def total(x: int, y: int) -> int:
        return 3 * x + y

    domain, x, y = range(5), 1, 1
    for _ in range(1000):
        x, y = (3 * x + y + 1) % 5, (x + 2 * y + 3) % 5
        assert x in domain and y in domain
        assert await total(x, y) == 3 * x + y
    info = total.cache_info()
    assert info.hits > info.misses
    assert info.hits + info.misses == 1000
    assert info.size is not None and info.size <= 20 == info.maxsize
    await total.cache_clear()
    assert total.cache_info().size == 0
    await total(x, y)
    assert total.cache_info().misses == info.misses + 1
    assert await total.__wrapped__(x, y) == 3 * x + y
    assert total.cache_info().misses == info.misses + 1


@pytest.mark.parametrize(("ttl", "maxsize", "runs"), [(0, 10, 5), (60, 1, 1), (60, None, 1)])
async def test_sizes_zero_one_and_none(ttl: float, maxsize: int | None, runs: int) -> None:
    """test_lru, test_lru_with_maxsize_none: what maxsize=0 is there, ttl=0 is here."""
    count = 0

    @async_cache(ttl, maxsize=maxsize)
    async def f() -> int:
        nonlocal count
        count += 1
        return 20

    assert [await f() for _ in range(5)] == [20] * 5
    assert count == runs


async def test_a_run_that_fills_the_cache_by_calling_itself_leaves_it_bounded() -> None:
    """test_lru_bug_35780: the entry is stored after the inner calls have stored theirs."""

    @async_cache(maxsize=10)
    async def f(x: int) -> str:
        if x > 15:
            await f(x - 1)
        return f".{x}."

    for x in range(15):
        await f(x)
    assert await f(20) == ".20."
    assert f.cache_info().size == 10
    assert await f(20) == ".20."


async def test_empty_keyword_arguments_are_none() -> None:
    """test_lru_bug_36650: f(0) and f(0, **{}) are one call."""

    @async_cache()
    async def f(x: int) -> None: ...

    await f(0)
    await f(0, **{})
    assert (f.cache_info().hits, f.cache_info().misses) == (1, 1)


async def test_a_tuple_is_not_its_parts() -> None:
    """test_lru_star_arg_handling: f(1, 2) and f((1, 2))."""

    @async_cache()
    async def f(*args: Any) -> Any:
        return args

    assert await f(1, 2) == (1, 2)
    assert await f((1, 2)) == ((1, 2),)


@pytest.mark.parametrize("maxsize", [None, 10])
async def test_an_argument_that_is_not_hashable_leaks_nothing(maxsize: int | None) -> None:
    """test_lru_type_error: neither the cache nor the argument is kept alive by the error."""

    @async_cache(maxsize=maxsize)
    async def f(o: Any) -> None: ...

    class Argument(list[Any]):
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    with pytest.raises(TypeError, match="unhashable"):
        await f(argument)
    del argument
    assert gone() is None
    assert f.cache_info().size == 0


@pytest.mark.parametrize("maxsize", [None, 128])
async def test_an_exception_comes_as_it_was_raised_and_is_not_kept(maxsize: int | None) -> None:
    """test_lru_with_exceptions: without a chain that hides it."""

    @async_cache(maxsize=maxsize)
    async def f(i: int) -> str:
        return "abc"[i]

    assert await f(0) == "a"
    for _ in range(2):
        with pytest.raises(IndexError) as caught:
            await f(15)
        assert caught.value.__cause__ is caught.value.__context__ is None
    assert f.cache_info().size == 1


@pytest.mark.parametrize("maxsize", [None, 128])
async def test_types_tell_arguments_apart(maxsize: int | None) -> None:
    """test_lru_with_types, for arguments by place and by name."""

    @async_cache(maxsize=maxsize)
    async def square(x: Any) -> Any:
        return x * x

    for x in (3, 3.0):
        for _ in range(2):
            assert repr(await square(x)) == repr(await square(x=x)) == repr(x * x)
    assert (square.cache_info().hits, square.cache_info().misses) == (6, 2)


@pytest.mark.parametrize("maxsize", [None, 128])
async def test_recursion_by_keyword(maxsize: int | None) -> None:
    """test_lru_with_keyword_args, test_lru_with_keyword_args_maxsize_none."""

    @async_cache(maxsize=maxsize)
    async def fib(n: int) -> int:
        return n if n < 2 else await fib(n=n - 1) + await fib(n=n - 2)

    assert [await fib(n=number) for number in range(16)] == [
        *(0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610)
    ]
    assert (fib.cache_info().hits, fib.cache_info().misses) == (28, 16)
    await fib.cache_clear()
    assert fib.cache_info().size == 0


async def test_methods() -> None:
    """test_lru_method, test_common_signatures: instances apart, whatever the parameters' names."""

    class X:
        def __init__(self, number: int) -> None:
            self.number = number

        @async_cache(maxsize=50)
        async def f(self, x: int) -> int:
            return x * 10 + self.number

        @async_cache()
        async def starred(*args: Any, **kwargs: Any) -> Any:
            return args[0].number, args[1:], kwargs

    a, b, c = X(5), X(5), X(7)
    for x in (1, 2, 2, 3, 1, 1, 1, 2, 3, 3):
        assert await a.f(x) == await b.f(x) == await a.f.__wrapped__(x) == 10 * x + 5
        assert await c.f(x) == 10 * x + 7
    assert await a.starred(1, self=2) == await X.starred(a, 1, self=2) == (5, (1,), {"self": 2})
    assert a.f.cache is b.f.cache is X.f.cache


@async_cache()
async def module_function(x: int, y: int) -> int:
    """As if at the top of a module."""
    return x + y


class Holder:
    @async_cache()
    async def method(self, x: int) -> int:
        return x


async def test_it_is_dressed_as_the_function() -> None:
    """test_lru_cache_decoration: all that functools.wraps copies."""
    for name in functools.WRAPPER_ASSIGNMENTS:
        for cached, function in (
            (module_function, module_function.__wrapped__),
            (Holder.method, Holder.method.__wrapped__),
            (Holder().method, Holder.method.__wrapped__),
        ):
            assert getattr(cached, name) == getattr(function, name)
    assert module_function.__doc__ == "As if at the top of a module."


@pytest.mark.parametrize("cached", [module_function, Holder.method], ids=["function", "method"])
async def test_copies_and_pickles_are_the_same_object(cached: Any) -> None:
    """test_copy, test_deepcopy, test_pickle: as for any function."""
    assert copy.copy(cached) is copy.deepcopy(cached) is cached
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(cached, protocol)) is cached


async def test_a_bound_method_is_pickled_with_its_instance() -> None:
    """As any bound method."""
    holder = Holder()
    bound = copy.copy(holder.method)
    assert await bound(1) == 1
    assert bound.args == (holder,)
    assert await pickle.loads(pickle.dumps(holder.method))(2) == 2


async def test_weak_references() -> None:
    """test_lru_cache_weakrefable: to the function, and to a method while it is held."""
    cached = async_cache(cache=AsyncCache())(module_function.__wrapped__)
    for thing in (module_function, Holder.method, cached):
        assert weakref.ref(thing)() is thing
