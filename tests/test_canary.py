"""A canary says how many hits were wrong, and no reader waits or fails for it."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextvars import ContextVar
from enum import Enum
from itertools import cycle
from typing import Any

import numpy
import pytest

from cachepool_lib import AsyncCache, Canary, CanaryStats, async_cache
from tests.tools import redis_tools, tiered_tools
from tests.tools.async_cache_tools import Loads, ManualClock, answer, begin, nothing_left, turns
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio
__all__ = ["nothing_left"]


class Source:
    """A database with one row; whoever asks waits while it is `slow`."""

    def __init__(self, value: Any = "old") -> None:
        self.value = value
        self.asked = 0
        self.ready = asyncio.Event()
        self.ready.set()

    async def __call__(self) -> Any:
        self.asked += 1
        await self.ready.wait()
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture(params=["memory", "Redis", "two tiers"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Each store that there is."""
    if request.param == "memory":
        async with AsyncCache() as made:
            yield made
    else:
        tools: Any = redis_tools if request.param == "Redis" else tiered_tools
        async with tools.cache() as made:
            yield made


def compared(canary: Canary) -> tuple[int, int, int]:
    stats = canary.stats()
    return stats.fresh, stats.stale, stats.failed


async def judged(canary: Canary, number: int = 1) -> tuple[int, int, int]:
    """What it says once so many comparisons have ended."""
    await until(lambda: sum(compared(canary)) >= number)
    return compared(canary)


# What counts


async def test_hits_are_compared_and_loads_are_not(cache: Any, source: Source) -> None:
    """What has just been loaded is as the source has it; a hit may be anything."""
    async with Canary(cache, share=1) as canary:
        assert await canary.get_or_load("k", source) == "old"
        await turns()
        assert (source.asked, compared(canary)) == (1, (0, 0, 0))
        assert await canary.get_or_load("k", source) == "old"
        assert await judged(canary) == (1, 0, 0)
        assert source.asked == 2


async def test_a_hit_that_the_source_disagrees_with_is_stale(cache: Any, source: Source) -> None:
    """Somebody has changed the row, and nobody told the cache."""
    async with Canary(cache, share=1) as canary:
        await canary.get_or_load("k", source)
        source.value = "new"
        assert await canary.get_or_load("k", source) == "old"
        assert await judged(canary) == (0, 1, 0)
        assert await cache.get("k") == "old"  # it watches, and mends nothing


@pytest.mark.parametrize("change", ["delete", "set"])
async def test_a_write_during_the_comparison_is_not_stale(
    cache: Any, source: Source, change: str
) -> None:
    """The hit was right when it was served, and the cache was told of the write."""
    async with Canary(cache, share=1) as canary:
        await canary.get_or_load("k", source)
        source.ready.clear()
        await canary.get_or_load("k", source)
        await until(lambda: source.asked == 2)
        source.value = "new"
        await (cache.delete("k") if change == "delete" else cache.set("k", "new"))
        source.ready.set()
        assert await judged(canary) == (1, 0, 0)


async def test_who_shared_a_load_had_no_hit(cache: Any, source: Source) -> None:
    """Nothing is compared, whoever began the load: another reader, or the cache's own user."""
    async with Canary(cache, share=1) as canary:
        source.ready.clear()
        readers = [await begin(canary.get_or_load("k", source))]
        await until(lambda: source.asked == 1)
        readers.append(await begin(canary.get_or_load("k", source)))
        own = await begin(cache.get_or_load("k", source))
        source.ready.set()
        assert await asyncio.gather(*readers, own) == ["old", "old", "old"]
        await turns()
        assert (source.asked, compared(canary)) == (1, (0, 0, 0))


async def test_what_a_stale_window_allows_is_not_stale(source: Source) -> None:
    """It was known to be old; the next value is on its way."""
    clock = ManualClock()
    async with AsyncCache(60, clock=clock) as cache, Canary(cache, share=1) as canary:
        await canary.get_or_load("k", source, stale_while_revalidate=60)
        clock.now += 60
        source.value = "new"
        assert await canary.get_or_load("k", source, stale_while_revalidate=60) == "old"
        assert await judged(canary) == (1, 0, 0)


async def test_a_value_that_its_reader_has_changed_is_stale() -> None:
    """In memory all readers share one object: the cache is wrong, though the source never was."""
    async with AsyncCache() as cache, Canary(cache, share=1) as canary:
        page = await canary.get_or_load("k", lambda: answer(["order"]))
        page.append("of the reader")
        await canary.get_or_load("k", lambda: answer(["order"]))
        assert await judged(canary) == (0, 1, 0)


@pytest.mark.parametrize(("share", "asked"), [(0, 0), (0.25, 25), (1, 100)])
async def test_so_many_of_the_hits_are_compared(share: float, asked: int) -> None:
    """None, a quarter, each: as `random` draws."""
    draws = cycle([0.0, 0.25, 0.5, math.nextafter(1, 0)])
    source = Source()
    async with AsyncCache() as cache:
        await cache.set("k", "old")
        async with Canary(cache, share, random=lambda: next(draws)) as canary:
            for _ in range(100):
                await canary.get_or_load("k", source)
                await turns()
        assert (source.asked, compared(canary)) == (asked, (asked, 0, 0))


# Nobody waits, nobody fails


async def test_no_reader_waits_for_a_comparison(cache: Any, source: Source) -> None:
    """The source is silent, and readers have their hits; one comparison waits, and no more."""
    async with Canary(cache, share=1) as canary:
        await canary.get_or_load("k", source)
        source.ready.clear()
        readers = [canary.get_or_load("k", source) for _ in range(5)]  # on one trip to Redis
        assert await asyncio.gather(*readers) == ["old"] * 5
        assert await canary.get_or_load("k", source) == "old"
        await until(lambda: source.asked == 2)
        await turns()
        assert source.asked == 2
        source.ready.set()
        assert await judged(canary) == (1, 0, 0)
        await canary.get_or_load("k", source)
        assert await judged(canary, 2) == (2, 0, 0)


SECRET = "password of user 7"


class NoBool:
    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError(SECRET)


class NoEquality:
    pass


FAILURES: dict[str, tuple[Any, Any]] = {
    "the source raises": ("old", KeyError(SECRET)),
    "the source was cancelled by others": ("old", asyncio.CancelledError(SECRET)),
    "an answer that is no bool": (NoBool(), NoBool()),
    "an array of answers": (numpy.arange(3), numpy.arange(3)),
    "no equality": (NoEquality(), NoEquality()),
}


@pytest.mark.parametrize("served, current", FAILURES.values(), ids=FAILURES)
async def test_a_comparison_that_fails_is_counted_and_logged_once(
    served: Any, current: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader never hears of it, and the log has its type and place: no key, and no value."""
    source = Source(current)
    async with AsyncCache() as cache, Canary(cache, share=1) as canary:
        await cache.set(SECRET, served)
        for number in range(1, 4):
            assert await canary.get_or_load(SECRET, source) is served
            assert await judged(canary, number) == (0, 0, number)
    [line] = caplog.messages
    assert caplog.records[0].levelno == logging.WARNING
    assert "Error at " in line and ".py:" in line
    assert "user 7" not in caplog.text


async def test_each_type_of_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An outage does not hide the mistake that comes after it."""
    source = Source()
    async with AsyncCache() as cache, Canary(cache, share=1) as canary:
        await cache.set("k", "old")
        for number, kind in enumerate([OSError, LookupError, OSError], 1):
            source.value = kind("away")
            await canary.get_or_load("k", source)
            await judged(canary, number)
    assert ["OSError" in line for line in caplog.messages] == [True, False]


async def test_values_are_compared_as_one_says() -> None:
    """For arrays, and for pages that say when they were made."""
    arrays = numpy.arange(3), numpy.arange(3)
    pages = {"text": "hello", "made": 1}, {"text": "hello", "made": 2}
    ways: list[tuple[Any, Any, tuple[int, int, int]]] = [
        (arrays, numpy.array_equal, (1, 0, 0)),
        (pages, lambda served, current: served["text"] == current["text"], (1, 0, 0)),
        ((NoEquality(), NoEquality()), lambda served, current: True, (1, 0, 0)),
    ]
    for (served, current), equal, expected in ways:
        source = Source(current)
        async with AsyncCache() as cache, Canary(cache, share=1, equal=equal) as canary:
            await cache.set("k", served)
            await canary.get_or_load("k", source)
            assert await judged(canary) == expected


async def test_an_answer_of_whatever_kind_counts_once(source: Source) -> None:
    """A number that is not 0 says yes, as it does in an `if`."""
    source.value = ["new"]
    async with (
        AsyncCache() as cache,
        Canary(cache, share=1, equal=lambda one, other: 7 * (one == other)) as canary,
    ):
        await cache.set("k", ["old"])
        source.ready.clear()
        await canary.get_or_load("k", source)
        await cache.set("k", ["old"])  # equal, and another object
        source.ready.set()
        assert await judged(canary) == (0, 1, 0)


class Colour(Enum):
    RED = 1
    BLUE = 2


@pytest.mark.parametrize(
    "served, current", [(None, "row"), ("row", None), (Colour.RED, Colour.BLUE)]
)
async def test_what_is_there_once_differs_from_all_else(served: Any, current: Any) -> None:
    """None and the members of an Enum have no `__eq__` of their own, and need none."""
    source = Source(current)
    async with AsyncCache() as cache, Canary(cache, share=1) as canary:
        await cache.set("k", served)
        await canary.get_or_load("k", source)
        assert await judged(canary) == (0, 1, 0)


async def test_none_is_a_value(cache: Any) -> None:
    """A user who does not exist is a hit like any other."""
    source = Source(None)
    async with Canary(cache, share=1) as canary:
        await canary.get_or_load("k", source)
        await canary.get_or_load("k", source)
        assert await judged(canary) == (1, 0, 0)


async def test_a_load_that_fails_is_its_callers(cache: Any) -> None:
    """The exception of a loader reaches who asked, and is no failed comparison."""
    source = Source(LookupError("no such user"))
    async with Canary(cache, share=1) as canary:
        with pytest.raises(LookupError, match="no such user"):
            await canary.get_or_load("k", source)
        await turns()
        assert compared(canary) == (0, 0, 0)


async def test_a_reader_who_leaves_starts_nothing_and_stops_nothing(source: Source) -> None:
    """Cancelled during a load: nothing is compared. Cancelled after a hit: its comparison goes on.

    Asked from a task that ends at once, as a request does."""
    async with AsyncCache() as cache, Canary(cache, share=1) as canary:
        source.ready.clear()
        leaving = await begin(canary.get_or_load("k", source))
        leaving.cancel()
        await asyncio.wait([leaving])
        await turns()
        assert (leaving.cancelled(), compared(canary)) == (True, (0, 0, 0))

        await cache.set("k", "old")

        async def request() -> None:
            await canary.get_or_load("k", source)
            await asyncio.sleep(3600)

        cut = await begin(request())
        cut.cancel()
        await asyncio.wait([cut])
        source.ready.set()
        assert await judged(canary) == (1, 0, 0)


tenant: ContextVar[str] = ContextVar("tenant")


async def test_a_comparison_has_the_context_of_its_reader() -> None:
    """What says whose page it is reaches the source as it does in a load."""

    async def page() -> str:
        return f"page of {tenant.get()}"

    async def visit(name: str) -> None:
        tenant.set(name)
        await canary.get_or_load(name, page)

    async with AsyncCache() as cache, Canary(cache, share=1) as canary:
        for number, name in enumerate(["Ada", "Ben"], 1):
            await cache.set(name, f"page of {name}")
            await asyncio.create_task(visit(name))
            assert await judged(canary, number) == (number, 0, 0)


# Closing, and event loops


async def test_close_ends_what_runs_and_keeps_the_cache(source: Source) -> None:
    """Nothing is left, nothing is counted; the cache and the canary can be used again."""
    async with AsyncCache() as cache:
        await cache.set("k", "old")
        canary = Canary(cache, share=1)
        source.ready.clear()
        await canary.get_or_load("k", source)
        await turns()
        await canary.close()
        await canary.close()
        assert (source.asked, compared(canary)) == (1, (0, 0, 0))
        source.ready.set()
        assert await canary.get_or_load("k", source) == "old"
        assert await judged(canary) == (1, 0, 0)


async def test_close_waits_until_the_comparison_has_ended(source: Source) -> None:
    """What the loader has borrowed is back by then."""
    loads, back = Loads(), asyncio.Event()
    steps = []

    async def borrows() -> Any:
        try:
            return await loads()
        finally:
            await back.wait()
            steps.append("given back")

    async with AsyncCache() as cache:
        await cache.set("k", "old")
        canary = Canary(cache, share=1)
        await canary.get_or_load("k", borrows)
        await turns()
        closing = await begin(canary.close())
        assert not closing.done()
        back.set()
        await closing
        assert steps == ["given back"]


async def test_a_comparison_in_another_loop_blocks_none_here() -> None:
    """Tests and scripts run one loop after the other, with the same canary."""
    cache, loads = AsyncCache(), Loads()
    canary = Canary(cache, share=1)

    async def hit(loader: Any) -> None:
        await cache.set("k", "old")
        await canary.get_or_load("k", loader)
        await turns()

    def loops() -> None:
        with asyncio.Runner() as paused:
            paused.run(hit(loads))
            asyncio.run(hit(lambda: answer("old")))
            assert compared(canary) == (1, 0, 0)
            loads[0].set_result("old")
            paused.run(turns())
            assert compared(canary) == (2, 0, 0)
            paused.run(hit(loads))  # cut off in the middle, when its loop is closed
        asyncio.run(hit(lambda: answer("old")))
        assert compared(canary) == (3, 0, 0)

    await asyncio.to_thread(loops)


# As a cache, and as an argument


async def test_its_stats_are_those_of_the_cache_and_three_more(cache: Any, source: Source) -> None:
    """A snapshot that does not change any more."""
    async with Canary(cache, share=1) as canary:
        await canary.get_or_load("k", source)
        await canary.get_or_load("k", source)
        await judged(canary)
        stats = canary.stats()
        assert isinstance(stats, CanaryStats)
        assert (stats.misses, stats.hits, stats.loads, stats.fresh) == (1, 1, 1, 1)
        assert stats.hit_rate == 0.5
        assert (stats.size, stats.errors) == (cache.stats().size, 0)
        with pytest.raises(AttributeError):
            stats.fresh = 0  # type: ignore[misc]


async def test_a_decorated_function_can_have_one(source: Source) -> None:
    """All that a decorated function does goes on as before, beside the comparisons."""
    async with Canary(AsyncCache(60), share=1) as canary:

        @async_cache(cache=canary, early_refresh=1)
        async def page(user_id: int) -> Any:
            return await source()

        assert await page(7) == await page(user_id=7) == "old"
        assert await judged(canary) == (1, 0, 0)
        source.value = "new"
        assert await page(7) == "old"
        assert await judged(canary, 2) == (1, 1, 0)
        assert await page.invalidate(7)
        assert await page(7) == "new"
        source.value = "newer"
        assert await page.refresh(7) == "newer"
        assert await page.cache_clear()
        assert page.cache_info().size == 0
        assert compared(canary) == (1, 1, 0)


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "more than all": ({"share": 1.5}, ValueError, "share must be at most 1.*1.5"),
    "percent": ({"share": 5}, ValueError, "share must be at most 1.*5"),
    "less than none": ({"share": -0.1}, ValueError, "share must be 0 or more"),
    "no number": ({"share": math.nan}, ValueError, "share must be 0 or more"),
    "a text": ({"share": "5 %"}, TypeError, "share must be a number"),
    "a bool": ({"share": True}, TypeError, "share must be a number"),
    "an address": (
        {"cache": "redis://:secret@host"},
        TypeError,
        "cache must be a cache with get, get_or_load, stats, got str$",
    ),
    "a class": ({"cache": AsyncCache}, TypeError, "got the class AsyncCache"),
    "another canary": ({"cache": Canary(AsyncCache())}, TypeError, "got Canary"),
    "no comparison": ({"equal": True}, TypeError, "equal must be a function"),
    "no chance": ({"random": 0.5}, TypeError, "random must be a function"),
}


@pytest.mark.parametrize("arguments, error, message", BAD.values(), ids=BAD)
async def test_a_bad_argument_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """When it is made, with what was expected and what came."""
    with pytest.raises(error, match=message):
        Canary(**{"cache": AsyncCache(), **arguments})


async def test_what_is_no_loader_is_refused_each_time() -> None:
    """At a hit, too, and whatever `random` draws: not one time in twenty."""
    async with AsyncCache() as cache:
        await cache.set("k", "old")
        for share in (0, 1):
            with pytest.raises(TypeError, match="loader must be a function"):
                await Canary(cache, share).get_or_load("k", "page")  # type: ignore[arg-type]
