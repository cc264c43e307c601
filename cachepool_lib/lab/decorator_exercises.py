"""Feedback on the exercises of notebook 03, in simulated time."""

import asyncio
import gc
import inspect
import itertools
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from .checks import Unmet
from .contract import Source
from .decorator_contract import DecoratorBench
from .simulation import clock

__all__ = ["EXERCISES"]

Check = Callable[[Any], Coroutine[Any, Any, str]]
EXERCISES: dict[str, tuple[str, Check]] = {}


def _exercise(name: str, title: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        EXERCISES[name] = title, function
        return function

    return register


# -- 03-1 ---------------------------------------------------------------------------------------


async def page(a: Any, b: Any = 2) -> None: ...


async def f(*args: Any, **kwargs: Any) -> None: ...


class Call:
    """A call as somebody writes it."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.name = function.__name__

    def __repr__(self) -> str:
        given = [repr(value) for value in self.args]
        given += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(given)})"

    @property
    def bound(self) -> Any:
        """What Python makes of it, with the type of everything."""
        arguments = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        arguments.apply_defaults()
        return {name: _with_types(value) for name, value in arguments.arguments.items()}


def _with_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_types(part) for name, part in value.items()}
    if isinstance(value, tuple | frozenset):
        return type(value), type(value)(map(_with_types, value))
    return type(value), value


NEARLY_EQUAL = (
    *(1, True, 1.0, "1", 2, 2.0, None, "", (1,), (True,), ("b", 2)),
    *(frozenset([1]), frozenset([True])),
)


def _spellings(a: Any, b: Any) -> tuple[list[Call], list[Call]]:
    """Calls of each function with these arguments."""
    of_page = [Call(page, a, b), Call(page, a, b=b), Call(page, b=b, a=a)]
    if b is page.__defaults__[0]:  # type: ignore[index]
        of_page += [Call(page, a), Call(page, a=a)]
    return of_page, [Call(f, a, b), Call(f, a, b=b), Call(f, a=a, b=b), Call(f, b=b, a=a)]


def _random_pair(random: Random) -> tuple[Call, Call]:
    """Two calls of one function; half of the pairs with the same arguments."""
    a, b = random.choice(NEARLY_EQUAL), random.choice((2, 2, *NEARLY_EQUAL))
    which = random.randrange(2)
    one = random.choice(_spellings(a, b)[which])
    if random.random() < 0.5:
        a = random.choice(NEARLY_EQUAL)
    return one, random.choice(_spellings(a, b)[which])


@_exercise("03-1", "Same call, same key; other types, other keys")
async def make_key(answer: Any) -> str:
    def key(call: Call) -> Any:
        case = f"make_key for {call!r}"
        try:
            made = answer(call.function, call.args, call.kwargs)
        except NotImplementedError:
            raise
        except Exception as error:
            got = f"{case} raised {type(error).__name__}: {error}"
            raise Unmet(expected="a key", got=got) from None
        try:
            hash(made)
        except TypeError as error:
            raise Unmet(
                expected="something that a dict takes as a key",
                got=f"{case}: {error}.",
                hint="Turn a dict into tuple(sorted(kwargs.items())).",
            ) from None
        return made

    def same(one: Call, other: Call, got: str, hint: str) -> None:
        if key(one) != key(other):
            raise Unmet(expected=f"one key for {one} and {other}", got=got, hint=hint)

    def differ(one: Call, other: Call, got: str, hint: str) -> None:
        if key(one) == key(other):
            raise Unmet(expected=f"two keys for {one} and {other}", got=got, hint=hint)

    bind = "inspect.signature(func).bind(*args, **kwargs) says what Python makes of a call; "
    bind += "its apply_defaults() adds the rest."
    types = "Put the type beside the value."
    differ(Call(page, 1), Call(page, 3), "page(1) and page(3) share a key.", "Use the arguments.")
    same(
        Call(page, 1), Call(page, 1, b=2), "page(1) and page(1, b=2), its default, loaded twice.",
        bind,
    )  # fmt: skip
    same(Call(page, 1), Call(page, a=1), "page(1) and page(a=1) loaded twice.", bind)
    same(
        Call(f, a=1, b=2), Call(f, b=2, a=1), "f(a=1, b=2) and f(b=2, a=1) loaded twice.",
        "Sort what was given by name.",
    )  # fmt: skip
    differ(Call(page, "1"), Call(page, 1), "page('1') got page(1)'s result.", types)
    differ(Call(page, True), Call(page, 1), "page(True) got page(1)'s result.", types)
    differ(
        Call(f, ("b", 2)), Call(f, b=2), "f(('b', 2)) and f(b=2) share a key.",
        "Keep what was given by place apart from what was given by name.",
    )  # fmt: skip
    inside = "Look into tuples and frozensets: call yourself for what is in them."
    for ones in (((1,), (True,)), (frozenset([1]), frozenset([True]))):
        got = f"page({ones[1]}) got page({ones[0]})'s result."
        differ(Call(page, ones[0]), Call(page, ones[1]), got, inside)
    random = Random(3)
    for _ in range(3_000):
        one, other = _random_pair(random)
        if one.bound == other.bound:
            same(one, other, f"{one} and {other} loaded twice.", bind)
        else:
            differ(one, other, f"{one} and {other} share a key.", types)
    return "3,000 pairs of calls"


# -- 03-2 ---------------------------------------------------------------------------------------


@_exercise("03-2", "Forget one call, however it is spelled")
async def invalidate(answer: Any) -> str:
    row = ["old"]

    async def user_page(user_id: int, orders: int = 20) -> str:
        text = row[0]
        await asyncio.sleep(0.02)
        return text

    async def forget(cached: Any, call: Call) -> None:
        try:
            await cached.invalidate(*call.args, **call.kwargs)
        except NotImplementedError:
            raise
        except Exception as error:
            got = f"{call} raised {type(error).__name__}: {error}"
            raise Unmet(expected="a call forgotten", got=got) from None

    for call in (Call(user_page, 1), Call(user_page, user_id=1)):
        call.name = "invalidate"
        row[0], cached = "old", DecoratorBench(answer).decorate(user_page)
        await cached(1)
        await cached(2)
        row[0] = "new"
        await forget(cached, call)
        if await cached(1) != "new":
            raise Unmet(
                expected="page(1) is loaded again",
                got=f"{call} left page(1).",
                hint="Make the key as a call does: self._key(func, args, kwargs).",
            )
        if await cached(2) != "old":
            raise Unmet(
                expected="page(2) stays in the cache",
                got="page(2) went too.",
                hint="Delete one key, and leave the others.",
            )
        row[0] = "old"
        under_way = asyncio.create_task(cached(4))
        await asyncio.sleep(0.01)
        row[0] = "new"
        await forget(cached, Call(user_page, 4))
        await under_way
        if await cached(4) != "new":
            raise Unmet(
                expected="page(4) is loaded again: its row was changed while it was loading",
                got="The running load put the old page back.",
                hint="There may be no entry yet. The cache's delete voids a load as well.",
            )
    return "two spellings, a neighbour, a load under way"


# -- 03-3 ---------------------------------------------------------------------------------------


class OldPages:
    """What stale_get is given: a page that everybody has seen, and its time is over."""

    def __init__(self) -> None:
        self.ttl = 60
        self.entries = {"user:1": ("old", clock() + self.ttl)}
        self.refreshes: dict[Any, Any] = {}


@_exercise("03-3", "Refresh behind the reader's back, once")
async def stale_get(answer: Any) -> str:
    unseen: list[Any] = []
    handler = lambda _, context: unseen.append(context)  # noqa: E731
    asyncio.get_running_loop().set_exception_handler(handler)
    cache, source = OldPages(), Source("new", seconds=0.2)

    async def read(expected: str) -> None:
        start = clock()
        value = await answer(cache, "user:1", source.load)
        if clock() > start:
            raise Unmet(
                expected=f"{expected!r}, at once",
                got=f"The reader waited {1000 * (clock() - start):.0f} ms for what was meant for "
                "later.",
                hint="Start a task that loads and stores, and return what is at hand.",
            )
        if value != expected:
            raise Unmet(expected=repr(expected), got=f"The reader got {value!r}.")

    def loads() -> int:
        return source.loads

    await read("old")
    await asyncio.sleep(1)
    if loads():
        raise Unmet(
            expected="no load: the page is fresh",
            got="A fresh page was loaded again.",
            hint="It is fresh while time.monotonic() < expires.",
        )
    await asyncio.sleep(60)
    for _ in range(40):
        await read("old")
        await asyncio.sleep(0.001)
    if loads() != 1:
        raise Unmet(
            expected="1 load for 40 stale hits",
            got=f"40 stale hits, {loads()} load{'s' * (loads() != 1)}.",
            hint="Note in cache.refreshes which key is being refreshed, and look there first.",
        )
    await asyncio.sleep(1)
    if cache.entries["user:1"][0] != "new" or cache.entries["user:1"][1] < clock() + 50:
        raise Unmet(
            expected="'new' in cache.entries, for 60 seconds from then on",
            got="The refresh is over, and the old page is still there.",
            hint="Store the pair: the value, and time.monotonic() + cache.ttl.",
        )
    source.value = ConnectionError("down")
    for attempt in itertools.count(2):
        await asyncio.sleep(61)
        await read("new")
        await asyncio.sleep(1)
        if loads() < attempt:
            raise Unmet(
                expected="another refresh, now that the page has expired again",
                got=f"{loads()} refresh, and then no more."
                if attempt == 2
                else "A refresh failed once, and was never tried again.",
                hint="When the refresh ends, well or not, take its key out of cache.refreshes.",
            )
        if attempt == 3:
            break
    cache.refreshes.clear()
    gc.collect()
    if unseen:
        raise Unmet(
            expected="somebody who hears that the refresh failed",
            got="The refresh failed and nobody looked.",
            hint="Inside the task: try, except Exception, and log it.",
        )
    return "fresh, stale, forty at once, a failure"
