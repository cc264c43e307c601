"""async_cache around one function: its options, its methods, its callers."""

import asyncio
import contextvars
import copy
import dataclasses
import functools
import gc
import inspect
import logging
import math
import pickle
import weakref
from datetime import timedelta
from typing import Any

import pytest

import cachepool_lib
from cachepool_lib import AsyncCache, CacheStats, async_cache
from cachepool_lib.decorator import wait_graph
from tests.tools.async_cache_tools import Loads, ManualClock, answer, begin, nothing_left, turns
from tests.tools.decorator_tools import SharedStore

__all__ = ["nothing_left"]

pytestmark = pytest.mark.anyio


@async_cache(ttl=300)
async def page(user: int, lang: str = "en") -> tuple[int, str]:
    """A page."""
    return user, lang


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [60, 60.0, timedelta(minutes=1)])
async def test_a_result_lives_for_its_ttl(ttl: Any) -> None:
    """Served just before, gone exactly then; the cache's own ttl does not matter."""
    clock, runs = ManualClock(), []

    @async_cache(ttl, cache=AsyncCache(10, clock=clock))
    async def now() -> None:
        runs.append(clock.now)

    await now()
    clock.now += 59.9
    await now()
    assert len(runs) == 1
    clock.now += 0.1
    await now()
    assert len(runs) == 2


async def test_without_a_ttl_it_is_that_of_the_cache_or_300_seconds() -> None:
    """What is given to the cache is not overruled by a default."""
    clock, runs = ManualClock(), []
    cache = AsyncCache(10, clock=clock)

    @async_cache(cache=cache)
    async def now() -> None:
        runs.append(clock.now)

    await now()
    clock.now += 10
    await now()
    assert len(runs) == 2
    assert now.cache is cache
    assert repr(async_cache()(answer).cache).endswith("room for 1024, ttl 300 s>")
    assert repr(async_cache(5, maxsize=None)(answer).cache).endswith("no bound, ttl 5 s>")


async def test_ttl_0_stores_nothing_and_still_shares_a_run() -> None:
    """Each crowd runs it once."""
    loads = Loads()
    cached = async_cache(0)(loads.__call__)
    for number in range(2):
        crowd = [await begin(cached()) for _ in range(3)]
        assert len(loads) == number + 1
        loads[number].set_result(number)
        assert await asyncio.gather(*crowd) == [number] * 3


async def test_maxsize_bounds_its_own_cache() -> None:
    """Of a hundred results ten stay."""
    cached = async_cache(maxsize=10)(answer)
    for number in range(100):
        await cached(number)
    assert cached.cache_info().size == cached.cache_info().maxsize == 10


async def test_each_function_under_one_decorator_has_a_cache_of_its_own() -> None:
    """Room for ten is ten of each; a cache that is given is theirs together."""
    decorate = async_cache(maxsize=10)
    one, two = decorate(answer), decorate(answer)
    await one(1)
    assert (one.cache_info().size, two.cache_info().size) == (1, 0)
    decorate = async_cache(cache=AsyncCache())
    assert decorate(answer).cache is decorate(answer).cache


async def test_the_clock_and_the_jitter_are_those_of_its_own_cache() -> None:
    """So its time can be moved by hand, and results made together need not expire together."""
    clock, runs = ManualClock(), 0

    @async_cache(60, clock=clock, jitter=0.5)
    async def page(number: int) -> None:
        nonlocal runs
        runs += 1

    for number in range(100):
        await page(number)
    clock.now += 29.9
    for number in range(100):
        await page(number)
    assert runs == 100
    clock.now += 15
    for number in range(100):
        await page(number)
    assert 100 < runs < 200


async def test_ttl_may_be_a_function_of_the_result() -> None:
    """So what was not found is kept for five seconds, or not at all; None is the cache's own."""
    clock, runs = ManualClock(), 0

    @async_cache(lambda value: {"found": None, "nothing": 5, "never": 0}[value], clock=clock)
    async def find(value: str) -> str:
        nonlocal runs
        runs += 1
        return value

    for wait, loads in ((0, 3), (4.9, 4), (0.1, 6), (294.9, 8), (0.1, 10)):
        clock.now += wait
        for value in ("found", "nothing", "never"):
            assert await find(value) == value
        assert runs == loads, wait
    clock.now += 1
    await find.refresh("nothing")
    clock.now += 4.9
    await find("nothing")
    assert runs == 11


async def test_a_function_that_is_the_ttl_is_for_the_cache_to_ask() -> None:
    """It is given as it is, also for a refresh."""
    given = []

    class Asked(AnybodysCache):
        async def get_or_load(self, key: Any, loader: Any, ttl: Any = None) -> Any:
            given.append(ttl)
            return await super().get_or_load(key, loader, ttl)

        async def refresh(self, key: Any, loader: Any, ttl: Any = None) -> Any:
            given.append(ttl)
            return await super().refresh(key, loader, ttl)

    def lifetime(page: Any) -> float:
        return 300 if page else 5

    cached = async_cache(lifetime, cache=Asked())(answer)
    assert await cached(1) == await cached.refresh(1) == 1
    assert set(given) == {lifetime}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ttl": -1}, ValueError, "^ttl must be 0 or more, got -1"),
        ({"ttl": math.nan}, ValueError, "ttl"),
        ({"ttl": "60"}, TypeError, "^ttl must be a number"),
        ({"ttl": -1, "cache": AsyncCache()}, ValueError, "ttl"),
        ({"maxsize": 0}, ValueError, "maxsize must be at least 1"),
        ({"maxsize": 10, "cache": AsyncCache()}, TypeError, "maxsize is for the function's own"),
        ({"maxsize": None, "cache": AsyncCache()}, TypeError, "maxsize is for the function's own"),
        ({"stale_while_revalidate": -1}, ValueError, "stale_while_revalidate"),
        ({"stale_if_error": "1"}, TypeError, "stale_if_error"),
        ({"retry_after": math.nan}, ValueError, "retry_after"),
        ({"early_refresh": -1}, ValueError, "early_refresh"),
        (
            {"early_refresh": 1, "cache": SharedStore()},
            TypeError,
            "early_refresh is for caches that take",
        ),
        ({"cache": 5}, TypeError, "cache must be a cache, got 5"),
        ({"cache": AsyncCache}, TypeError, "cache must be a cache"),
        ({"jitter": 1}, ValueError, "jitter must be less than 1"),
        ({"jitter": 0.1, "cache": AsyncCache()}, TypeError, "jitter is for the function's own"),
        ({"clock": ManualClock(), "cache": AsyncCache()}, TypeError, "clock is for the function's"),
        ({"name": 7}, TypeError, "name must be a str"),
        ({"name": ""}, TypeError, "name must be a str"),
    ],
)
async def test_a_bad_option_is_refused_at_once(options: Any, error: Any, words: str) -> None:
    """Before there is a function, with the name of the option."""
    with pytest.raises(error, match=words):
        async_cache(**options)


async def test_without_parentheses_it_says_what_is_missing() -> None:
    """The function would be taken for a ttl."""
    for function in (answer, async_cache()(answer), functools.partial(answer, 1), Loads()):
        with pytest.raises(TypeError, match=r"write @async_cache\(\) with parentheses"):
            async_cache(function)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write @async_cache\(\) with parentheses"):
        async_cache(_stream)


def _sync() -> None: ...


async def _stream() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("what", "hint"),
    [
        (_sync, "_sync is none: for one that is not async there is functools.lru_cache"),
        (functools.partial(_sync), "functools.lru_cache"),
        (_stream, "_stream is none: an async generator can be read once only"),
        (len, "functools.lru_cache"),
        (5, "int is none"),
    ],
)
async def test_what_is_no_async_function_is_refused_when_decorating(what: Any, hint: str) -> None:
    """Not at the first call, in production."""
    with pytest.raises(TypeError, match=hint):
        async_cache()(what)


# -- what it looks like ------------------------------------------------------------------------


async def test_it_looks_like_the_function() -> None:
    """To people, to inspect and to frameworks that ask whether to await it."""
    assert (page.__name__, page.__doc__, page.__module__) == ("page", "A page.", __name__)
    assert str(inspect.signature(page)) == "(user: int, lang: str = 'en') -> tuple[int, str]"
    assert inspect.iscoroutinefunction(page)
    assert not inspect.iscoroutinefunction(page.__wrapped__(1).close())
    assert repr(page) == "<cached page>"
    assert await page.__wrapped__(1) == (1, "en")
    assert inspect.get_annotations(page.__wrapped__) == inspect.get_annotations(page)


async def test_it_is_pickled_and_copied_as_a_function_is() -> None:
    """By its name; so it can be sent to another process, and what holds it can be copied."""
    assert pickle.loads(pickle.dumps(page)) is page
    assert copy.copy(page) is copy.deepcopy(page) is page


async def test_it_can_be_told_apart_and_weakly_referenced() -> None:
    """It is hashable, equal to itself alone, and collected with its results."""
    cached = async_cache()(answer)
    assert len({cached, async_cache()(answer)}) == 2
    await cached(1)
    gone = weakref.ref(cached)
    del cached
    gc.collect()
    assert gone() is None


async def test_the_library_exports_it() -> None:
    """By name, without the client of Redis."""
    assert "async_cache" in cachepool_lib.__all__


# -- invalidate, refresh, clear, info ----------------------------------------------------------


async def test_invalidate_forgets_one_call_however_it_is_spelled() -> None:
    """And says whether there was one."""
    runs: list[int] = []

    @async_cache()
    async def page(user: int, lang: str = "en") -> None:
        runs.append(user)

    await page(1)
    await page(2)
    assert await page.invalidate(lang="en", user=1) is True
    assert await page.invalidate(1) is False
    await page(1)
    await page(2)
    assert runs == [1, 2, 1]


@pytest.mark.parametrize("forget", ["invalidate", "cache_clear"])
async def test_what_is_forgotten_while_it_loads_is_not_kept(forget: str) -> None:
    """Those who wait get it; whoever comes after starts afresh."""
    loads = Loads()
    cached: Any = async_cache()(loads.__call__)
    before = await begin(cached())
    await getattr(cached, forget)()
    after = await begin(cached())
    assert len(loads) == 2
    loads[0].set_result("old")
    loads[1].set_result("new")
    assert [await before, await after, await cached()] == ["old", "new", "new"]


async def test_cache_clear_leaves_the_others_of_the_cache_alone() -> None:
    """Other functions, and what is in the cache by keys of its own."""
    cache = AsyncCache()
    one, two = (async_cache(cache=cache)(answer) for _ in range(2))
    await one(1)
    await two(1)
    await cache.set("key", 1)
    await cache.set(("tuple", 1), 1)
    await cache.set((), 1)
    assert await one.cache_clear() is True
    assert cache.stats().size == 4
    await two(1)
    assert cache.stats().hits == 1


async def test_cache_info_is_that_of_the_cache() -> None:
    """Hits, misses and shared runs, for all functions that share it together."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    crowd = [await begin(cached()) for _ in range(3)]
    loads[0].set_result(None)
    await asyncio.gather(*crowd)
    assert await cached() is None
    info = cached.cache_info()
    assert info == cached.cache.stats()
    assert (info.hits, info.misses, info.shared, info.loads, info.size) == (1, 1, 2, 1, 1)


async def test_refresh_serves_the_old_result_until_the_new_one_is_there() -> None:
    """To others; whoever refreshes waits and gets the new one."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    first = await begin(cached())
    loads[0].set_result("old")
    await first
    refresh = await begin(cached.refresh())
    assert await cached() == "old"
    loads[1].set_result("new")
    assert await refresh == await cached() == "new"


async def test_a_failed_refresh_raises_and_leaves_the_old_result() -> None:
    """An old page beats none."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    first = await begin(cached())
    loads[0].set_result("old")
    await first
    refresh = await begin(cached.refresh())
    loads[1].set_exception(ConnectionError("down"))
    with pytest.raises(ConnectionError):
        await refresh
    assert await cached() == "old"


async def test_refresh_joins_no_run_that_may_have_read_what_has_changed() -> None:
    """The run before is not kept; who comes after joins the refresh."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    before = await begin(cached())
    refresh = await begin(cached.refresh())
    after = await begin(cached())
    assert len(loads) == 2
    loads[1].set_result("new")
    assert await refresh == await after == "new"
    loads[0].set_result("old")
    assert await before == "old"
    assert await cached() == "new"


async def test_a_refresh_is_void_if_the_call_is_forgotten_meanwhile() -> None:
    """The lease rule holds for it too; and it is cancelled with the last who waits."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    refresh = await begin(cached.refresh())
    await cached.invalidate()
    loads[0].set_result("void")
    assert await refresh == "void"
    assert cached.cache_info().size == 0
    refresh = await begin(cached.refresh())
    refresh.cancel()
    await turns()
    assert loads[1].cancelled()


async def test_a_cache_that_does_more_in_get_or_load_is_asked_each_time() -> None:
    """A subclass that counts, or logs, sees the hits, too."""
    asked = []

    class Watched(AsyncCache):
        async def get_or_load(self, key: Any, *args: Any, **options: Any) -> Any:
            asked.append(key)
            return await super().get_or_load(key, *args, **options)

    cached = async_cache(cache=Watched())(answer)
    assert [await cached(1) for _ in range(3)] == [1, 1, 1]
    assert len(asked) == 3
    assert cached.cache_info().hits == 2


# -- anybody's cache ---------------------------------------------------------------------------


class AnybodysCache:
    """As somebody might write one who has read `Cache`."""

    shared = False

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}

    async def get_or_load(self, key: Any, loader: Any, ttl: Any = None) -> Any:
        return self.values[key] if key in self.values else await self.refresh(key, loader, ttl)

    async def refresh(self, key: Any, loader: Any, ttl: Any = None) -> Any:
        self.values[key] = value = await loader()
        return value

    async def delete(self, key: Any) -> bool:
        return self.values.pop(key, self) is not self

    async def clear(self, group: Any = None) -> bool:
        self.values = {key: value for key, value in self.values.items() if key[0] != group}
        return True

    def stats(self) -> CacheStats:
        return dataclasses.replace(AsyncCache().stats(), size=len(self.values))


async def test_anybodys_cache_can_be_the_cache() -> None:
    """It needs the methods of Cache and no more: neither a base class nor to be hashable."""
    theirs = AnybodysCache()
    runs = 0

    class Shop:
        @async_cache(cache=theirs)
        async def page(self, user: int, filters: Any = []) -> int:  # noqa: B006
            nonlocal runs
            runs += 1
            return user

    @async_cache(cache=theirs)
    async def nested(user: int) -> int:
        return await shop.page(user)

    shop = Shop()
    assert await nested(1) == await shop.page(1, []) == await shop.page(user=1) == 1
    assert runs == 1
    assert await shop.page.refresh(1) == 1
    assert runs == 2
    assert await shop.page.invalidate(1) is True
    assert await shop.page.invalidate(1) is False
    await shop.page(2)
    assert shop.page.cache_info().size == 2
    assert await Shop.page.cache_clear() is True
    assert list(theirs.values) == [nested.cache_key(1)]
    assert shop.page.cache is theirs


@pytest.mark.parametrize("name", ["shared", "get_or_load", "refresh", "delete", "clear", "stats"])
async def test_a_cache_that_lacks_a_method_is_refused_by_its_name(name: str) -> None:
    """When decorating, with where to read what is needed."""
    members = {key: value for key, value in vars(AnybodysCache).items() if key != name}
    lacking: Any = type("Lacking", (), members)()
    with pytest.raises(TypeError, match=rf"cache must be a cache, .* it lacks {name}; see .*Cache"):
        async_cache(cache=lacking)


@pytest.mark.parametrize("option", ["stale_while_revalidate", "stale_if_error", "retry_after"])
async def test_an_option_that_the_cache_does_not_take_is_refused(option: str) -> None:
    """When decorating, and not at the first call; the usual value is not passed on."""
    options: Any = {option: 5}
    with pytest.raises(TypeError, match=rf"{option} is for .* AnybodysCache\.get_or_load does not"):
        async_cache(cache=AnybodysCache(), **options)
    options = {option: 1 if option == "retry_after" else 0}
    assert await async_cache(cache=AnybodysCache(), **options)(answer)(1) == 1


async def test_a_lookup_is_asked_before_get_or_load() -> None:
    """Where a cache has one: a hit then needs no coroutine of the cache."""
    asked = []

    class Quick(AnybodysCache):
        async def get_or_load(self, key: Any, loader: Any, ttl: Any = None) -> Any:
            asked.append("get_or_load")
            return await super().get_or_load(key, loader, ttl)

        def lookup(self, key: Any, default: Any = None) -> Any:
            asked.append("lookup")
            return self.values.get(key, default)

    cached = async_cache(cache=Quick())(answer)
    assert [await cached(value) for value in (None, None, 1.5, 1.5)] == [None, None, 1.5, 1.5]
    assert asked == ["lookup", "get_or_load", "lookup"] * 2


# -- stale -------------------------------------------------------------------------------------


async def test_stale_while_revalidate_serves_at_once_and_loads_behind() -> None:
    """After the ttl the old result, then the new one."""
    clock, loads = ManualClock(), Loads()
    cached = async_cache(60, cache=AsyncCache(clock=clock), stale_while_revalidate=30)(
        loads.__call__
    )
    first = await begin(cached())
    loads[0].set_result("old")
    await first
    clock.now += 89
    assert await cached() == await cached() == "old"
    await turns()
    assert len(loads) == 2
    loads[1].set_result("new")
    await turns()
    assert await cached() == "new"
    assert cached.cache_info().stale_hits == 2


async def test_stale_if_error_serves_the_old_result_and_waits_with_the_next_attempt() -> None:
    """Forty callers within retry_after: one attempt."""
    clock, runs = ManualClock(), 0

    @async_cache(60, cache=AsyncCache(clock=clock), stale_if_error=300, retry_after=5)
    async def page() -> str:
        nonlocal runs
        runs += 1
        if runs > 1:
            raise ConnectionError("down")
        return "old"

    await page()
    clock.now += 61
    assert [await page() for _ in range(40)] == ["old"] * 40
    assert runs == 2
    clock.now += 5
    await page()
    assert runs == 3
    clock.now += 300
    with pytest.raises(ConnectionError):
        await page()


async def test_early_refresh_loads_before_the_end() -> None:
    """With a beta so large that it is always due: each hit is served, and loads behind."""
    clock, runs = ManualClock(), 0

    @async_cache(60, cache=AsyncCache(clock=clock), early_refresh=1e9)
    async def page() -> int:
        nonlocal runs
        runs += 1
        clock.now += 0.1
        return runs

    assert await page() == await page() == 1
    await turns()
    assert await page() == 2
    await turns()


# -- callers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("leaver", [0, 2])
async def test_any_caller_may_leave_and_the_others_get_the_result(leaver: int) -> None:
    """The first included."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    callers = [await begin(cached()) for _ in range(5)]
    callers.pop(leaver).cancel()
    await turns()
    loads[0].set_result("page")
    assert await asyncio.gather(*callers) == ["page"] * 4
    assert len(loads) == 1


async def test_the_last_to_leave_cancels_the_run_and_the_next_starts_afresh() -> None:
    """Even one who comes before the cancelled run has ended."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    callers = [await begin(cached()) for _ in range(3)]
    for caller in callers:
        caller.cancel()
    newcomer = await begin(cached())
    assert loads[0].cancelled()
    loads[1].set_result("page")
    assert await newcomer == "page"


async def test_an_exception_reaches_all_and_is_kept_nowhere() -> None:
    """Each gets one of their own; the next call runs again."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    callers = [await begin(cached()) for _ in range(3)]
    loads[0].set_exception(ConnectionError("down"))
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert [str(error) for error in errors] == ["down"] * 3
    assert len({id(error) for error in errors}) == 3
    again = await begin(cached())
    loads[1].set_result("page")
    assert await again == "page"


user: contextvars.ContextVar[str] = contextvars.ContextVar("user")


async def test_context_variables_do_not_go_from_caller_to_caller() -> None:
    """The run has a copy of the first caller's: what it sets is seen by none of those who wait."""
    go = asyncio.Event()

    @async_cache()
    async def page() -> str:
        await go.wait()
        seen = user.get()
        user.set("the run's own")
        return seen

    async def call(name: str) -> tuple[str, str]:
        user.set(name)
        return await page(), user.get()

    callers = [await begin(call(name)) for name in ("first", "second", "third")]
    go.set()
    assert await asyncio.gather(*callers) == [
        ("first", "first"),
        ("first", "second"),
        ("first", "third"),
    ]
    assert user.get("nobody") == "nobody"


async def test_the_first_callers_context_is_let_go_after_the_run() -> None:
    """An entry that lives for hours does not hold what belonged to one request."""

    class Request:
        pass

    request: contextvars.ContextVar[Any] = contextvars.ContextVar("request")
    cached = async_cache()(answer)

    async def serve() -> Any:
        request.set(Request())
        await cached(1)
        return weakref.ref(request.get())

    alive = await asyncio.create_task(serve())
    await turns()
    gc.collect()
    assert alive() is None
    assert cached.cache_info().size == 1


async def test_results_outlive_an_event_loop() -> None:
    """A call left behind in a loop that was closed does not block those of the next."""
    loads = Loads()
    cached = async_cache()(loads.__call__)

    async def leave() -> None:
        await begin(cached())

    async def come() -> Any:
        task = await begin(cached())
        loads[1].set_result("page")
        return await task

    await asyncio.to_thread(asyncio.run, leave())
    assert await asyncio.to_thread(asyncio.run, come()) == "page"
    assert await cached() == "page"


# -- waiting for oneself -----------------------------------------------------------------------


@async_cache(maxsize=None)
async def fibonacci(n: int) -> int:
    return n if n < 2 else sum(await asyncio.gather(fibonacci(n - 1), fibonacci(n - 2)))


async def test_a_function_may_call_itself_with_other_arguments() -> None:
    """Each is run once; two that are gathered may wait for the same third."""
    assert await fibonacci(200) == 280571172992510140037611932413038677189525
    assert fibonacci.cache_info().loads == 201


@async_cache()
async def loop(n: int) -> Any:
    return await loop(n)


@async_cache()
async def gathering(n: int) -> Any:
    return await asyncio.gather(answer(1), gathering(n))


@async_cache()
async def one(n: int) -> Any:
    return await two(n)


@async_cache()
async def two(n: int) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(three(n=n))
    return task.result()


@async_cache()
async def three(n: int) -> Any:
    return await one(n)


@async_cache()
async def refreshing(n: int) -> Any:
    return await refreshing.refresh(n)


@pytest.mark.parametrize(
    ("function", "cycle"),
    [
        (loop, "loop -> loop"),
        (gathering, "gathering -> gathering"),
        (one, "three -> one -> two -> three"),
        (refreshing, "refreshing -> refreshing"),
    ],
)
async def test_a_call_that_would_wait_for_itself_is_an_error(function: Any, cycle: str) -> None:
    """It names the cycle, and no argument; nobody waits for ever, and nothing is kept."""
    for _ in range(2):
        with pytest.raises((RuntimeError, ExceptionGroup)) as caught:
            await asyncio.wait_for(function(7), 10)
        error: Any = caught.value
        while isinstance(error, ExceptionGroup):
            (error,) = error.exceptions
        assert str(error) == f"this call would wait for itself: {cycle}"
    assert function.cache_info().size == 0


async def test_two_runs_that_begin_apart_do_not_wait_for_each_other() -> None:
    """Neither is the other's caller: the cycle closes where one joins the other's run."""
    meet = asyncio.Barrier(2)

    @async_cache(key=lambda: "left")
    async def left() -> Any:
        await meet.wait()
        return await right()

    @async_cache(key=lambda: "right")
    async def right() -> Any:
        await meet.wait()
        return await left()

    answers = await asyncio.wait_for(
        asyncio.gather(left(), right(), return_exceptions=True), timeout=10
    )
    assert [type(a) for a in answers] == [RuntimeError, RuntimeError]
    names = [text.rpartition(".")[2] for text in str(answers[0]).split(" -> ")]
    assert names[0] == names[2] != names[1]


async def test_a_cycle_is_found_although_its_first_run_was_overtaken() -> None:
    """A refresh of it ended meanwhile: those who wait for the run before wait still."""
    overtaken, runs = asyncio.Event(), 0

    @async_cache()
    async def first(n: int) -> Any:
        nonlocal runs
        runs += 1
        if runs > 1:
            return n
        await overtaken.wait()
        return await last(n)

    @async_cache()
    async def middle(n: int) -> Any:
        return await first(n)

    @async_cache()
    async def last(n: int) -> Any:
        return await middle(n)

    task = await begin(middle(1))
    assert await first.refresh(1) == 1
    overtaken.set()
    with pytest.raises(RuntimeError, match=r"last -> .*middle -> .*first -> .*last"):
        await asyncio.wait_for(task, 10)
    assert wait_graph.running == {}


async def test_what_is_there_is_no_cycle() -> None:
    """A call of oneself is answered if the result is there."""
    depth = 0

    @async_cache()
    async def page() -> int:
        nonlocal depth
        depth += 1
        return depth if depth == 1 else await page()

    assert await page() == 1
    assert await page.refresh() == 1
    assert depth == 2


async def test_a_task_that_outlives_its_run_is_no_part_of_it() -> None:
    """What was started and not waited for may call the function again."""
    left_over: list[asyncio.Task[Any]] = []
    go = asyncio.Event()

    async def later() -> Any:
        await go.wait()
        return await page()

    @async_cache(0)
    async def page() -> str:
        if not left_over:
            left_over.append(asyncio.create_task(later()))
        return "page"

    assert await page() == "page"
    go.set()
    assert await left_over[0] == "page"


def cut_off(start: Any) -> asyncio.AbstractEventLoop:
    """A loop that was closed while what *start* began was under way."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # which complains of that
    task = loop.create_task(start())
    loop.run_until_complete(turns())
    assert not task.done()
    loop.close()
    return loop


async def test_a_run_cut_off_with_its_loop_is_waited_for_by_nobody() -> None:
    """A call the other way round, in the next loop, is no cycle, though the old run is not over."""
    stay: list[Any] = []

    @async_cache(key=lambda: "left")
    async def left() -> Any:
        return "left" if stay else await right()

    @async_cache(key=lambda: "right")
    async def right() -> Any:
        if stay:
            return await left()
        stay.append(asyncio.current_task())
        return await asyncio.Event().wait()

    await asyncio.to_thread(cut_off, left)
    assert await asyncio.to_thread(asyncio.run, asyncio.wait_for(right(), 10)) == "left"
    assert stay


async def test_a_context_of_a_run_that_was_cut_off_is_that_of_no_run() -> None:
    """Whoever kept it may call the function again."""
    contexts: list[contextvars.Context] = []

    @async_cache()
    async def page() -> Any:
        contexts.append(contextvars.copy_context())
        return await asyncio.Event().wait() if len(contexts) == 1 else "page"

    await asyncio.to_thread(cut_off, page)
    assert await asyncio.to_thread(contexts[0].run, asyncio.run, page()) == "page"


async def test_a_loop_that_was_closed_in_mid_load_keeps_nothing_alive() -> None:
    """Neither the caches nor the arguments nor what the functions close over."""

    class Thing:
        pass

    def leave() -> list[Any]:
        thing, argument = Thing(), Thing()

        @async_cache()
        async def page(argument: Any) -> Any:
            return await asyncio.Event().wait(), thing

        @async_cache()
        async def caller(argument: Any) -> Any:
            return await page(argument)

        loop = cut_off(lambda: caller(argument))
        return [weakref.ref(each) for each in (thing, argument, page.cache, caller, loop)]

    gone = await asyncio.to_thread(leave)
    gc.collect()
    assert [reference() for reference in gone] == [None] * 5
    assert wait_graph.running == {}


async def test_nothing_is_left_of_runs_that_ended() -> None:
    """Neither of good ones nor of failed or cancelled ones, in the table that finds cycles."""
    loads = Loads()
    cached = async_cache()(loads.__call__)
    task = await begin(cached())
    assert len(wait_graph.running) == 1
    task.cancel()
    await turns()
    with pytest.raises(RuntimeError):
        await loop(1)
    await fibonacci(10)
    assert wait_graph.running == {}


async def test_a_failed_load_in_the_background_does_not_show_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They may be secrets."""
    clock, runs = ManualClock(), 0

    @async_cache(60, cache=AsyncCache(clock=clock), stale_while_revalidate=60)
    async def page(token: str) -> str:
        nonlocal runs
        runs += 1
        if runs > 1:
            raise ConnectionError("down")
        return "page"

    await page("hunter2")
    clock.now += 61
    with caplog.at_level(logging.WARNING):
        await page("hunter2")
        await turns()
    assert "page, …) failed while nobody waited" in caplog.text
    assert "hunter2" not in caplog.text
