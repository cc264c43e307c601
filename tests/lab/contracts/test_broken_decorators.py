"""Each promise of a decorator is broken by hand, twice: the check says so, and by which symptom."""

import asyncio
import contextvars
import functools
import hashlib
import inspect
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cachepool_lib import async_cache, lab
from cachepool_lib.lab.contracts.decorator.contract import PROMISES
from tests.tools.notebook_tools import ROOT, definitions, read

pytestmark = pytest.mark.anyio

NOTEBOOK = definitions(read(ROOT / "notebooks" / "03-cache-with-one-line.ipynb"))
Base = NOTEBOOK["MyDecorator"]

Decorate = Callable[[Any], Any]


def version(change: Callable[[dict[str, Any]], Decorate]) -> Any:
    """A decorator like async_cache, but for what *change* makes of its options."""

    @functools.wraps(async_cache)
    def broken(**options: Any) -> Decorate:
        return change(options)

    return broken


def told(**changes: Any) -> Any:
    """async_cache with other options than those that it is given."""
    return version(lambda options: async_cache(**{**options, **changes}))


def by_key(key: Callable[..., Any]) -> Any:
    return told(key=key)


def lacking(*names: str) -> Any:
    """async_cache that does not hear some of its options."""
    return version(
        lambda options: async_cache(**{n: options[n] for n in options if n not in names})
    )


def around(answer: Callable[..., Any] | None = None, **attributes: Callable[[Any], Any]) -> Any:
    """A plain function around a cached one: *answer(cached, args, kwargs)* is how it is called,
    and *attributes* make what else it has from the cached one.
    """

    def change(options: dict[str, Any]) -> Decorate:
        def decorate(function: Any) -> Any:
            cached: Any = async_cache(**options)(function)

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                if answer is None:
                    return await cached(*args, **kwargs)
                return await answer(cached, args, kwargs)

            for name, make in attributes.items():
                setattr(wrapper, name, make(cached))
            return wrapper

        return decorate

    return version(change)


def unless(bad: Callable[[Any], bool]) -> Any:
    """Forgets at once what it should have kept."""

    async def answer(cached: Any, args: Any, kwargs: Any) -> Any:
        value = await cached(*args, **kwargs)
        if bad(value):
            await cached.invalidate(*args, **kwargs)
        return value

    return around(answer)


def loading(load: Callable[..., Any]) -> Any:
    """A decorator that caches nothing: *load(calls, key, start)* is how a call is answered."""

    def change(options: dict[str, Any]) -> Decorate:
        def decorate(function: Any) -> Any:
            calls: dict[Any, Any] = {}

            async def wrapper(*args: Any) -> Any:
                return await load(calls, args, functools.partial(function, *args))

            return wrapper

        return decorate

    return version(change)


async def without_shield(calls: Any, key: Any, start: Any) -> Any:
    if key not in calls:
        calls[key] = asyncio.ensure_future(start())
    return await calls[key]


async def by_the_first(calls: Any, key: Any, start: Any) -> Any:
    """The first one loads in its own task, and the others wait for what it will say."""
    if key in calls:
        return await asyncio.shield(calls[key])
    calls[key] = asyncio.get_running_loop().create_future()
    value = await start()
    calls[key].set_result(value)
    return value


async def cancelled_and_still_listed(calls: Any, key: Any, start: Any) -> Any:
    call = calls.setdefault(key, [None, 0])
    call[0] = call[0] or asyncio.ensure_future(start())
    call[1] += 1
    try:
        return await asyncio.shield(call[0])
    finally:
        call[1] -= 1
        if not call[1]:
            call[0].cancel()


async def forgotten_and_not_cancelled(calls: Any, key: Any, start: Any) -> Any:
    call = calls.setdefault(key, [None, 0])
    call[0] = call[0] or asyncio.ensure_future(start())
    call[1] += 1
    try:
        return await asyncio.shield(call[0])
    finally:
        call[1] -= 1
        if not call[1]:
            calls.pop(key, None)


async def errors_are_kept(calls: Any, key: Any, start: Any) -> Any:
    if key not in calls:
        calls[key] = asyncio.ensure_future(start())
    return await asyncio.shield(calls[key])


async def only_the_first_is_told(calls: Any, key: Any, start: Any) -> Any:
    if key in calls:
        await asyncio.wait([calls[key]])
        return None
    calls[key] = asyncio.ensure_future(start())
    try:
        return await asyncio.shield(calls[key])
    finally:
        del calls[key]


def without_context(options: dict[str, Any]) -> Decorate:
    """The function runs in a task that knows nothing of who called it."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        async def outside(*args: Any) -> Any:
            task = asyncio.create_task(function(*args), context=contextvars.Context())
            return await task

        return async_cache(**options)(outside)

    return decorate


def takes(kind: Callable[[Any], bool]) -> Any:
    def change(options: dict[str, Any]) -> Decorate:
        return lambda function: function if kind(function) else async_cache(**options)(function)

    return version(change)


def renamed(**names: Any) -> Any:
    """A cached function that says something else of itself."""

    def change(options: dict[str, Any]) -> Decorate:
        def decorate(function: Any) -> Any:
            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any: ...

            for name, value in names.items():
                setattr(wrapper, name, value)
            return wrapper

        return decorate

    return version(change)


def nameless(options: dict[str, Any]) -> Decorate:
    def decorate(function: Any) -> Any:
        async def wrapper(*args: Any) -> Any:
            return await options["cache"].get_or_load(args, functools.partial(function, *args))

        return wrapper

    return decorate


async def a_digest_first(cached: Any, args: Any, kwargs: Any) -> Any:
    hashlib.md5(repr(args).encode())
    return await cached(*args, **kwargs)


def forget_then_load(cached: Any) -> Any:
    async def refresh(*args: Any) -> Any:
        await cached.invalidate(*args)
        return await cached(*args)

    return refresh


def clearing(cached: Any) -> Any:
    """Forgets everything, whatever it is asked for."""

    async def forget(*args: Any, **kwargs: Any) -> Any:
        return await cached.cache.clear()

    return forget


def deaf(cached: Any) -> Any:
    async def forget(*args: Any, **kwargs: Any) -> bool:
        return False

    return forget


class OnlyIfThere(Base):  # type: ignore[misc, valid-type]
    def __call__(self, func: Any) -> Any:
        wrapper = super().__call__(func)

        async def invalidate(*args: Any, **kwargs: Any) -> None:
            if await self.cache.get(self._key(func, args, kwargs)):
                await self.cache.delete(self._key(func, args, kwargs))

        wrapper.invalidate = invalidate
        return wrapper


class Flat(Base):  # type: ignore[misc, valid-type]
    def _key(self, func: Any, args: Any, kwargs: Any) -> Any:
        call = inspect.signature(func).bind(*args, **kwargs)
        call.apply_defaults()
        return self._name(func), *call.args, *sorted(call.kwargs.items())


class Unsorted(Base):  # type: ignore[misc, valid-type]
    def _key(self, func: Any, args: Any, kwargs: Any) -> Any:
        call = inspect.signature(func).bind(*args, **kwargs)
        call.apply_defaults()
        return self._name(func), call.args, tuple(call.kwargs.items())


def as_text(*args: Any, **kwargs: Any) -> str:
    return f"{args!s}{sorted(kwargs.items())!s}"


numbers = map(str, itertools.count())  # a name of its own for each, whatever was said

BROKEN = {
    "D1": [
        (by_key(as_text), "a stranger's page"),
        (by_key(lambda user: id(user)), "a stranger's page"),
    ],
    "D2": [
        (by_key(as_text), "12 for Rows(1, 7, 9)"),
        (by_key(lambda rows: len(rows.numbers)), "12 for Rows(1, 7, 9)"),
    ],
    "D3": [
        (
            by_key(lambda *args, **kwargs: (args, tuple(sorted(kwargs.items())))),
            "4 loads for 4 spellings",
        ),
        (Unsorted, "2 loads"),
        (Flat, "f(b=2) got the answer to f(('b', 2))"),
    ],
    "D3-types": [
        (by_key(str), "page('1') received page(1)"),
        (by_key(hash), "page(True) received page(1)"),
    ],
    "D3-key": [
        (lacking("key"), "3 loads for 2 users"),
        (by_key(lambda session, user_id: 0), "1 loads for 2 users"),
    ],
    "D3-default": [
        (NOTEBOOK["MyDecorator"], "the list is refused"),
        (by_key(lambda *args, **kwargs: (args, tuple(kwargs))), "2 loads for 2 spellings"),
    ],
    "D3-told": [
        (around(), "nobody tells"),
        (around(cache_key=lambda cached: lambda *args, **kwargs: args), "None there"),
    ],
    "D4": [
        (unless(lambda value: value is None), "10 queries for 10 visits"),
        (unless(lambda value: not value), "10 queries for 10 visits"),
    ],
    "D4-empty": [
        (unless(lambda value: value == []), "12 queries for 3 values × 10 visits"),
        (unless(lambda value: not value), "30 queries for 3 values × 10 visits"),
    ],
    "D4-ttl": [
        (told(ttl=300), "1 of the page, 1 of None"),
        (told(ttl=5), "2 of the page, 2 of None"),
        (NOTEBOOK["MyDecorator"], "one ttl for all"),
    ],
    "D5": [
        (version(lambda options: lambda function: function), "50 loads"),
        (NOTEBOOK["HalfWay"], "50 loads"),
    ],
    "D5-leave": [(loading(without_shield), "0 pages"), (loading(by_the_first), "0 pages")],
    "D5-last": [
        (loading(cancelled_and_still_listed), "the next caller lost the page"),
        (loading(forgotten_and_not_cancelled), "the load runs on for nobody"),
    ],
    "D5-error": [
        (loading(errors_are_kept), "the next caller got the old error"),
        (loading(only_the_first_is_told), "1 of 5 got it"),
    ],
    "D5-self": [
        (NOTEBOOK["OneFlight"], "waits for ever"),
        (version(without_context), "waits for ever"),
    ],
    "D6": [
        (around(invalidate=deaf), "'old', for 300 s"),
        (around(invalidate=clearing), "page(2) went too"),
        (OnlyIfThere, "the load under way put the old page back"),
    ],
    "D6-class": [
        (around(invalidate=deaf), "'old', for 300 s"),
        (around(invalidate=clearing), "the other user's page went too"),
    ],
    "D6-method": [
        (around(invalidate=lambda cached: cached.invalidate), "it raises TypeError"),
        (around(invalidate=clearing), "the other user's page went too"),
    ],
    "D6-classmethod": [
        (around(invalidate=lambda cached: cached.invalidate), "it raises TypeError"),
        (around(invalidate=deaf), "'old', for 300 s"),
    ],
    "D6-refresh": [
        (around(), "'old', for 300 s"),
        (around(refresh=forget_then_load), "'nothing', then 'new'"),
    ],
    "D6-clear": [
        (around(cache_clear=clearing), "the blog's entries went too"),
        (around(cache_clear=deaf), "'old page', for 300 s"),
    ],
    "D6-info": [
        (around(), "nobody counts"),
        (
            around(cache_info=lambda cached: lambda: replace(cached.cache_info(), hits=4)),
            "4 hits of 5",
        ),
    ],
    "D7": [
        (told(maxsize=None), "1,000 values"),
        (version(lambda options: async_cache(**{**options, "maxsize": 500})), "500 values"),
    ],
    "D8": [
        (
            takes(lambda function: not inspect.iscoroutinefunction(function)),
            "a sync function is taken, and its calls fail",
        ),
        (takes(inspect.isasyncgenfunction), "an async generator is taken, and its calls fail"),
    ],
    "D9": [
        (renamed(__name__="wrapper"), "__name__ is 'wrapper'"),
        (renamed(__signature__=inspect.Signature()), "the parameters ()"),
        (NOTEBOOK["Named"], "no types: mypy lets any call pass"),
    ],
    "D10": [
        (NOTEBOOK["AlmostDone"], "the shop's page, in the blog"),
        (version(nameless), "the shop's page, in the blog"),
    ],
    "D10-taken": [
        (NOTEBOOK["MyDecorator"], "two functions of one name"),
        (
            version(lambda options: async_cache(**{**options, "name": next(numbers)})),
            "two functions of one name",
        ),
    ],
    "D11": [
        (around(a_digest_first), "10 digests for 10 hits"),
        (
            by_key(lambda *args: hashlib.md5(repr(args).encode()).hexdigest()),
            "10 digests for 10 hits",
        ),
    ],
    "D12": [
        (by_key(str), "2 keys for one call"),
        (by_key(hash), "2 keys for one call"),
    ],
    "D12-name": [
        (told(name="page"), "a function made in another one is taken"),
        (NOTEBOOK["MyDecorator"], "a function made in another one is taken"),
    ],
    "D13": [
        (around(), "100 of 100 still alive"),
        (by_key(id), "the page of its predecessor"),
        (version(lambda options: lambda function: function), "200 loads"),
    ],
    "D13-equal": [
        (around(), "Paris for the second Ada"),
        (NOTEBOOK["WeakSelf"], "Paris for the second Ada"),
    ],
    "D14": [
        (lacking("stale_if_error"), "0 pages, 40 attempts"),
        (told(retry_after=0), "40 pages, 40 attempts"),
        (told(stale_if_error=3_000), "a page, too old"),
    ],
    "D14-wait": [
        (lacking("stale_while_revalidate"), "10 of 10 wait"),
        (told(stale_while_revalidate=0.5), "10 of 10 wait"),
    ],
}


def test_every_promise_is_broken_twice() -> None:
    assert BROKEN.keys() == PROMISES.keys()
    assert all(len(versions) >= 2 for versions in BROKEN.values())


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_decorator_fails_what_it_broke(name: str) -> None:
    for number, (candidate, got) in enumerate(BROKEN[name]):
        report = await lab.check(name, candidate)
        assert [result.got for result in report.failed] == [got], number
        assert report.failed[0].expected
