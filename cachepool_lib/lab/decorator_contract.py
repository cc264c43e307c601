"""What a cache decorator promises, one small check each.

A candidate is what stands behind the @: called with a ttl and options, it gives a decorator. What
a crowd and an unknown user may expect of a cache is asked of a decorated function by the very
checks of contract.py. Time is simulated, but where two processes meet at a real Redis.
"""

import asyncio
import gc
import hashlib
import inspect
import secrets
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec, get_overloads
from unittest import mock

import redis.asyncio

from cachepool_lib import AsyncCache, RedisCache

from . import contract, processes
from .checks import Report, Result, Unmet, judge
from .contract import LIMIT, Bench, Load, Source, Value, constructor_options
from .services import services
from .simulation import clock, simulate

__all__ = ["PROMISES", "DecoratorBench", "check", "keys_in_redis"]

Decorated = Callable[..., Any]


class DecoratorBench(Bench):
    """Decorates functions with one candidate, calls them and lets time pass.

    A candidate that lacks an option is called without it, so that it fails by what it does and not
    by a missing argument. *shared*: the stores are shared between processes, where not every
    argument can be part of a key.
    """

    shared = False

    def __init__(self, candidate: Any) -> None:
        super().__init__(candidate)
        self._load: Load = Source().load

    def known(self, **options: Any) -> dict[str, Any]:
        if isinstance(self.candidate, type):
            names = constructor_options(self.candidate)
        else:
            names = set(inspect.signature(self.candidate).parameters)
        return {name: value for name, value in options.items() if name in names}

    def store(self) -> Any:
        """A cache that nobody else uses."""
        return AsyncCache(clock=clock, maxsize=None)

    def decorate(self, function: Callable[..., Any], **options: Any) -> Decorated:
        """The function, cached for 300 seconds in a store of its own unless *options* say more."""
        options = {"ttl": 300, "cache": self.store(), **options}
        decorated: Decorated = self.candidate(**self.known(**options))(function)
        return decorated

    def new(self, default_ttl: float = 300, **options: Any) -> Decorated:
        """A decorated function of a key, for the checks that read through a cache."""

        async def page(key: str) -> Any:
            return await self._load()

        return self.decorate(page, ttl=default_ttl, **options)

    async def read(self, cache: Any, key: Any, load: Load, **options: Any) -> Any:
        self._load = load
        return await cache(key)

    async def forget(self, decorated: Decorated, *args: Any, **kwargs: Any) -> None:
        """Forget a call, as far as the candidate can."""
        if hasattr(decorated, "invalidate"):
            await decorated.invalidate(*args, **kwargs)


Promise = Callable[[DecoratorBench], Coroutine[Any, Any, str]]
PROMISES: dict[str, tuple[str, Promise]] = {}
REAL = {"D12"}  # in real time: they bring other processes


def promise(name: str, title: str) -> Callable[[Promise], Promise]:
    def register(function: Promise) -> Promise:
        PROMISES[name] = title, function
        return function

    return register


def as_a_cache(name: str, its_name: str) -> None:
    """Register a promise of a cache: asked of a decorated function, it is the same."""
    title, function = contract.PROMISES[its_name]
    promise(name, title)(function)


async def check(names: str, *candidates: Any) -> Report:
    """Ask each candidate for the promises in *names*."""

    async def ask(name: str, candidate: Any) -> Result:
        title, function = PROMISES[name]

        async def question() -> str:
            bench = DecoratorBench(candidate)
            if name in REAL:
                return await function(bench)
            return simulate(function(bench), limit=LIMIT)

        return await judge(name, title, question())

    rows = [tuple([await ask(name, c) for c in candidates]) for name in names.split()]
    return Report(tuple(c.__name__ for c in candidates), rows)


async def keys_in_redis(candidate: Any, *, count: int = 2) -> int:
    """Make the same call in so many processes: how many keys does that leave in one Redis?

    The argument is a set of words. Each process has a hash seed of its own, and prints the words in
    an order of its own.
    """
    url, namespace = (await services()).redis_url, f"keys-{secrets.token_hex(8)}"
    job = partial(_one_call, candidate, url, namespace)
    await processes.each(job, count, lambda *_: None)
    async with redis.asyncio.from_url(url) as client:
        names = [name async for name in client.scan_iter(f"{namespace}:*", 1000)]
        if names:
            await client.unlink(*names)
    return len(names)


def _one_call(candidate: Any, url: str, namespace: str) -> None:
    """In a process of its own: call a decorated function once."""

    async def page(tags: frozenset[str]) -> str:
        return f"{len(tags)} tags"

    async def run() -> None:
        async with RedisCache(url, namespace=namespace, timeout=5) as cache:
            await candidate(cache=cache)(_named(page, "shop.page"))(frozenset(TAGS))

    asyncio.run(run())


TAGS = [f"tag {number}" for number in range(20)]


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function, as if it stood in a module of its own."""
    function.__module__, _, function.__name__ = name.partition(".")
    function.__qualname__ = function.__name__
    return function


# -- keys ---------------------------------------------------------------------------------------


@promise("D1", "Nobody gets a stranger's page")
async def no_strangers(bench: DecoratorBench) -> str:
    class User:
        def __init__(self, number: int) -> None:
            self.number = number

    async def page(user: User) -> int:
        await asyncio.sleep(0)
        return user.number

    cached = bench.decorate(page)

    async def request(number: int) -> Any:
        return await cached(User(number))  # nobody else holds this user

    try:
        pages = [await request(number) for number in range(200)]
    except TypeError:
        if bench.shared:
            return "refused"
        raise
    if pages != list(range(200)):
        raise Unmet(
            expected="each user's own page",
            got="a stranger's page",
            hint="The key holds an address, and addresses are used again. A key must be a value.",
        )
    return "200 own pages"


class Rows:
    """Prints as long arrays do: its ends, and dots between."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash(self.numbers)

    def __repr__(self) -> str:
        return f"[{self.numbers[0]} ... {self.numbers[-1]}]"


@promise("D2", "What prints alike isn't alike")
async def printing_does_not_matter(bench: DecoratorBench) -> str:
    async def total(rows: Rows) -> int:
        return sum(rows.numbers)

    cached, answers = bench.decorate(total), []
    for rows in (Rows(1, 2, 9), Rows(1, 7, 9)):
        try:
            answers.append(await cached(rows))
        except TypeError:
            if bench.shared:
                return "refused"
            raise
    if answers != [12, 17]:
        raise Unmet(
            expected="12, and 17 for other rows",
            got=f"{answers[1]} for [1, 7, 9]",
            hint="repr() is for people, and leaves things out. Put the argument itself in the key.",
        )
    return "17 for [1, 7, 9]"


@promise("D3", "However a call is spelled, it is one entry")
async def spelling_does_not_matter(bench: DecoratorBench) -> str:
    source = Source(seconds=0)

    async def page(user_id: int, orders: int = 20) -> Any:
        return await source.load()

    cached = bench.decorate(page)
    await cached(1)
    await cached(user_id=1)
    await cached(1, 20)
    await cached(orders=20, user_id=1)
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 4 spellings",
            got=f"{source.loads} loads for 4 spellings",
            hint="inspect.signature(func).bind(…) says what Python makes of a call; "
            "apply_defaults() adds the rest.",
        )

    async def search(*words: Any, **filters: Any) -> Any:
        return await source.load()

    found = bench.decorate(search)
    await found(1, a=1, b=2)
    await found(1, b=2, a=1)
    if source.loads != 2:
        raise Unmet(
            expected="1 load for a=1, b=2 and for b=2, a=1",
            got="2 loads",
            hint="Sort what was given by name.",
        )
    await found(("b", 2))
    await found(b=2)
    if source.loads != 4:
        raise Unmet(
            expected="2 loads: f(('b', 2)) is not f(b=2)",
            got="f(b=2) got the answer to f(('b', 2))",
            hint="Keep what was given by place apart from what was given by name.",
        )
    return "1 load for 4 spellings"


@promise("D3-types", "Equal isn't the same: 1, True and 1.0")
async def types_matter(bench: DecoratorBench) -> str:
    async def page(thing: Any) -> str:
        return repr(thing)

    cached = bench.decorate(page)
    for thing in (1, True, 1.0, "1", (1,), (True,), frozenset([1]), frozenset([True])):
        if (answer := await cached(thing)) != repr(thing):
            raise Unmet(
                expected=f"a page of its own for {thing!r}",
                got=f"page({thing!r}) received page({answer})",
                hint="Put the type beside the value, inside tuples and frozensets too.",
            )
    return "8 pages for 8 things"


as_a_cache("D4", "A4")

# -- crowds -------------------------------------------------------------------------------------

as_a_cache("D5", "A9")
as_a_cache("D5-leave", "A9-leave")
as_a_cache("D5-last", "A9-last")
as_a_cache("D5-error", "A9-error")


@promise("D6", "A call can be forgotten, and hits are counted")
async def calls_can_be_forgotten(bench: DecoratorBench) -> str:
    row, reading, go = ["old"], asyncio.Event(), asyncio.Event()
    go.set()

    async def page(user_id: int, orders: int = 20) -> str:
        text = row[0]
        reading.set()
        await go.wait()
        return text

    cached: Any = bench.decorate(page)
    await cached(1)
    await cached(2)
    row[0] = "new"
    await bench.forget(cached, user_id=1)
    if (value := await cached(1)) != "new":
        raise Unmet(
            expected="'new', after the row was changed",
            got=f"{value!r}, for 300 s",
            hint="invalidate(*args) makes the key of that call, and deletes it.",
        )
    if await cached(2) != "old":
        raise Unmet(expected="page(2) stays: it was not asked to go", got="page(2) went too")

    row[0] = "old"
    go.clear()
    reading.clear()
    under_way = asyncio.create_task(cached(3))
    await reading.wait()
    row[0] = "new"
    await bench.forget(cached, 3)
    go.set()
    await under_way
    if await cached(3) != "new":
        raise Unmet(
            expected="'new': the row was changed while its page was loading",
            got="the load under way put the old page back",
            hint="Delete the key even if there is nothing yet: that voids a load under way.",
        )
    await cached.cache_clear()
    if await cached(2) != "new":
        raise Unmet(expected="'new', after cache_clear()", got="'old'")
    if (hits := cached.cache_info().hits) != 1:
        raise Unmet(expected="1 hit, from cache_info()", got=f"{hits} hits")
    if not bench.shared:  # there a method needs a key=
        await _calls_of_a_method_can_be_forgotten(bench)
    return "'new'"


async def _calls_of_a_method_can_be_forgotten(bench: DecoratorBench) -> None:
    """By way of the class; and by way of the instance, or else it is a TypeError."""

    class User:
        text = "old"

    async def page(self: Any) -> str:
        return str(self.text)

    User.page = bench.decorate(page)  # type: ignore[attr-defined]
    for way in ("user.page.invalidate()", "User.page.invalidate(user)"):
        user: Any = User()
        await user.page()
        user.text = "new"
        try:
            if way.startswith("user"):
                await user.page.invalidate()
            else:
                await User.page.invalidate(user)  # type: ignore[attr-defined]
        except TypeError:
            if way.startswith("user"):
                continue
            raise
        except Exception as error:
            raise Unmet(
                expected=f"a call of a method forgotten by {way}, or a TypeError",
                got=f"{way} raised {type(error).__name__}",
                hint="The attribute is the function's, and does not know the instance: say so.",
            ) from None
        if await user.page() != "new":
            raise Unmet(expected=f"'new', after {way}", got=f"'old', after {way}")


@promise("D7", "The number of entries is bounded")
async def entries_are_bounded(bench: DecoratorBench) -> str:
    held: weakref.WeakSet[Value] = weakref.WeakSet()

    async def page(number: int) -> Value:
        held.add(value := Value())
        return value

    cached = bench.decorate(page, cache=None, maxsize=100)
    for number in range(1_000):
        await cached(number)
    gc.collect()
    if len(held) > 100:
        raise Unmet(
            expected="at most 100 values with maxsize=100",
            got=f"{len(held):,} values",
            hint="AsyncCache takes a maxsize, and 1,024 is its default.",
        )
    return "100 values"


@promise("D8", "What it can't cache it refuses at once")
async def others_are_refused(bench: DecoratorBench) -> str:
    def not_async() -> str:
        return "page"

    async def generator() -> Any:
        yield "page"

    for what, function in (("a sync function", not_async), ("an async generator", generator)):
        try:
            bench.decorate(function)
        except TypeError:
            continue
        raise Unmet(
            expected=f"a refusal when {what} is decorated",
            got=f"{what} is taken, and its calls fail",
            hint="Ask inspect.iscoroutinefunction(func) when decorating.",
        )
    return "refused at the @"


@promise("D9", "Names, parameters and types stay")
async def the_signature_stays(bench: DecoratorBench) -> str:
    async def page(user_id: int, orders: int = 20) -> str:
        """A user and their orders."""
        return "page"

    cached: Any = bench.decorate(page)
    for name in ("__name__", "__doc__", "__wrapped__"):
        wanted = page if name == "__wrapped__" else getattr(page, name)
        if (got := getattr(cached, name, None)) != wanted:
            raise Unmet(
                expected=f"the function's own {name}",
                got=f"{name} is {got!r}",
                hint="functools.wraps copies what says who a function is.",
            )
    if inspect.signature(cached) != inspect.signature(page):
        got = f"the parameters {inspect.signature(cached)}"
        raise Unmet(expected=f"the parameters {inspect.signature(page)}", got=got)
    decorates: Any = bench.candidate
    if isinstance(decorates, type):
        decorates = decorates.__call__
    returned = inspect.get_annotations(decorates).get("return")
    calls = get_overloads(returned.__call__) if isinstance(returned, type) else []  # an object
    kinds = [returned, *(inspect.get_annotations(call).get("return") for call in calls)]
    if not any(isinstance(p, ParamSpec) for k in kinds for p in getattr(k, "__parameters__", ())):
        raise Unmet(
            expected="annotations that say: the same parameters, the same result",
            got="no types: mypy lets any call pass",
            hint="A ParamSpec stands for the parameters: Callable[P, Awaitable[T]] goes in and "
            "comes out.",
        )
    return "all kept"


# -- a store that others share ------------------------------------------------------------------


@promise("D10", "Two functions of one name have two entries")
async def names_do_not_collide(bench: DecoratorBench) -> str:
    async def of_the_shop(user_id: int) -> str:
        return "the shop's page"

    async def of_the_blog(user_id: int) -> str:
        return "the blog's page"

    store = bench.store()
    shop = bench.decorate(_named(of_the_shop, "shop.page"), cache=store, name=None)
    blog = bench.decorate(_named(of_the_blog, "blog.page"), cache=store, name=None)
    await shop(1)
    if (page := await blog(1)) != "the blog's page":
        raise Unmet(
            expected="the blog's page, in the blog",
            got=f"{page}, in the blog",
            hint="__name__ is short for people. The module and __qualname__ tell functions apart.",
        )
    return "each its own page"


@promise("D11", "A hit costs a look-up, and no digest")
async def hits_are_cheap(bench: DecoratorBench) -> str:
    async def page(user_id: int) -> str:
        return "page"

    cached = bench.decorate(page)
    await cached(1)
    with mock.patch("hashlib.md5", wraps=hashlib.md5) as md5:
        for _ in range(10):
            await cached(1)
    if md5.call_count:
        raise Unmet(
            expected="no digest",
            got=f"{md5.call_count} digests for 10 hits",
            hint="A tuple is a key as it is. Some systems refuse md5 altogether.",
        )
    return "no digest"


@promise("D12", "The same call is the same key in every process")
async def processes_agree(bench: DecoratorBench) -> str:
    keys = await keys_in_redis(bench.candidate)
    if keys != 1:
        raise Unmet(
            expected="1 key for one call in 2 processes",
            got=f"{keys} keys for one call",
            hint="A set prints in the order of its hashes, which differ from process to process.",
        )
    return "1 key for one call"


# -- lives --------------------------------------------------------------------------------------


@promise("D13", "An instance can go, and nobody gets its pages")
async def instances_can_go(bench: DecoratorBench) -> str:
    loads = 0

    async def page(self: Any) -> Any:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return self.number

    class User:
        def __init__(self, number: int) -> None:
            self.number = number

    User.page = bench.decorate(page)  # type: ignore[attr-defined]
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    async def request(number: int) -> Any:
        alive.add(user := User(number))
        first, second = await user.page(), await user.page()  # type: ignore[attr-defined]
        return first if first == second else None

    try:
        pages = [await request(number) for number in range(100)]
    except TypeError:
        if bench.shared:
            return "refused"
        raise
    if pages != list(range(100)):
        raise Unmet(
            expected="each instance's own page",
            got="the page of its predecessor",
            hint="The next instance may get the address of the last one.",
        )
    if loads != 100:
        raise Unmet(expected="1 load for each of 100 instances", got=f"{loads} loads")
    gc.collect()
    if alive:
        raise Unmet(
            expected="0 of 100 still alive",
            got=f"{len(alive)} of 100 still alive",
            hint="A key is a reference. Hold the instance by a weak one: WeakKeyDictionary.",
        )
    return "0 of 100 still alive"


@promise("D14", "A failing database is left alone, and the old page served")
async def an_old_page_beats_none(bench: DecoratorBench) -> str:
    source = Source("page", seconds=0)

    async def page(user_id: int) -> Any:
        return await source.load()

    cached = bench.decorate(page, ttl=60, stale_if_error=300, retry_after=1)
    await bench.read(cached, 1, source.load)
    await bench.advance(61)
    source.value, source.loads, failed = ConnectionError("down"), 0, 0
    for _ in range(40):  # within one simulated second
        try:
            await bench.read(cached, 1, source.load)
        except ConnectionError:
            failed += 1
        await bench.advance(0.01)
    if failed or source.loads > 1:
        raise Unmet(
            expected="40 old pages, 1 attempt",
            got=f"{40 - failed} pages, {source.loads} attempts",
            hint="stale_if_error serves the old page; retry_after is how long the next attempt "
            "waits.",
        )
    await bench.advance(300)
    try:
        await bench.read(cached, 1, source.load)
    except ConnectionError:
        return "40 old pages, 1 attempt"
    raise Unmet(expected="ConnectionError: the page is too old", got="a page, too old")
