"""AsyncCache keeps values for a limited time, in a limited room, and says what it did."""

import gc
import math
import random
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from cachepool_lib import AsyncCache, CacheStats
from tests.tools.async_cache_tools import Loads, ManualClock, answer, begin, nothing_left

pytestmark = pytest.mark.anyio
__all__ = ["nothing_left"]

NOT_SECONDS = [
    (-1, ValueError),
    (-0.001, ValueError),
    (-math.inf, ValueError),
    (math.nan, ValueError),
    (timedelta(seconds=-1), ValueError),
    (True, TypeError),
    (False, TypeError),
    ("60", TypeError),
    (1j, TypeError),
    ([], TypeError),
]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> AsyncCache:
    return AsyncCache(clock=clock)


# How long a value lives


async def test_value_is_gone_at_its_ttl(cache: AsyncCache, clock: ManualClock) -> None:
    """Served just before ttl seconds, gone exactly at ttl."""
    await cache.set("k", "v", ttl=60)
    clock.now = math.nextafter(1060, 0)
    assert await cache.get("k") == "v"
    clock.now = 1060
    assert await cache.get("k") is None


async def test_no_ttl_is_the_default_ttl(clock: ManualClock) -> None:
    """None, or no ttl at all, is the default ttl, in set and in get_or_load."""
    cache = AsyncCache(default_ttl=10, clock=clock)
    await cache.set("a", 1)
    await cache.set("b", 1, ttl=None)
    await cache.get_or_load("c", lambda: answer(1))
    clock.now += 9
    assert await cache.get_many("abc") == {"a": 1, "b": 1, "c": 1}
    clock.now += 1
    assert await cache.get_many("abc") == {}


async def test_default_ttl_is_five_minutes(cache: AsyncCache, clock: ManualClock) -> None:
    """Who says nothing gets 300 seconds."""
    await cache.set("k", "v")
    clock.now += 299
    assert await cache.get("k") == "v"
    clock.now += 1
    assert await cache.get("k") is None


@pytest.mark.parametrize("ttl", [0, 0.0, timedelta(0)])
async def test_ttl_zero_stores_nothing_and_removes(cache: AsyncCache, ttl: Any) -> None:
    """A ttl of 0 is not the default: nothing is kept, and what was there is gone."""
    await cache.set("k", "old")
    await cache.set("k", "new", ttl=ttl)
    assert await cache.get("k") is None
    assert await cache.get_or_load("k", lambda: answer("new"), ttl) == "new"
    assert await cache.get("k") is None
    assert cache.stats().size == 0


async def test_default_ttl_zero_stores_nothing() -> None:
    """default_ttl=0 switches the cache off, but for values with a ttl of their own."""
    cache = AsyncCache(default_ttl=0)
    await cache.set("a", 1)
    await cache.set("b", 1, ttl=60)
    assert await cache.get_many("ab") == {"b": 1}


async def test_infinite_ttl_never_expires(cache: AsyncCache, clock: ManualClock) -> None:
    """math.inf is a ttl like others."""
    await cache.set("k", "v", ttl=math.inf)
    clock.now = 1e300
    assert await cache.get("k") == "v"


@pytest.mark.parametrize("ttl", [90, 90.0, timedelta(minutes=1, seconds=30)])
async def test_ttl_in_three_spellings(cache: AsyncCache, clock: ManualClock, ttl: Any) -> None:
    """An int, a float and a timedelta are the same 90 seconds."""
    await cache.set("k", "v", ttl=ttl)
    clock.now += 89.5
    assert await cache.get("k") == "v"
    clock.now += 0.5
    assert await cache.get("k") is None


@pytest.mark.parametrize(("ttl", "error"), NOT_SECONDS)
async def test_bad_ttl_is_refused_before_anything_changes(
    cache: AsyncCache, ttl: Any, error: type[Exception]
) -> None:
    """A ttl that is no length of time raises; the old value stays and no loader is called."""
    await cache.set("k", "old")
    loads = Loads()
    with pytest.raises(error, match="ttl"):
        await cache.set("k", "new", ttl)
    with pytest.raises(error, match="ttl"):
        await cache.set_many({"k": "new"}, ttl)
    with pytest.raises(error, match="ttl"):
        await cache.set_many({}, ttl)
    for key in "k", "other":
        with pytest.raises(error, match="ttl"):
            await cache.get_or_load(key, loads, ttl)
    assert await cache.get("k") == "old"
    assert len(loads) == 0
    assert cache.stats().size == cache.stats().hits == 1


@pytest.mark.parametrize(("ttl", "error"), NOT_SECONDS)
async def test_bad_default_ttl_is_refused(ttl: Any, error: type[Exception]) -> None:
    """What is no length of time is no default either, and None is no number."""
    with pytest.raises(error, match="default_ttl"):
        AsyncCache(ttl)
    with pytest.raises(TypeError):
        AsyncCache(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "error"), NOT_SECONDS)
@pytest.mark.parametrize(
    "name", ["stale_while_revalidate", "stale_if_error", "early_refresh", "retry_after"]
)
async def test_bad_terms_are_refused_before_the_load(
    cache: AsyncCache, name: str, seconds: Any, error: type[Exception]
) -> None:
    """A window that is no length of time raises, and no loader is called."""
    if name == "early_refresh" and isinstance(seconds, timedelta):
        error = TypeError  # it is a factor, not a time
    loads = Loads()
    with pytest.raises(error, match=name):
        await cache.get_or_load("k", loads, **{name: seconds})
    assert len(loads) == 0


async def test_set_again_starts_a_new_life(cache: AsyncCache, clock: ManualClock) -> None:
    """The ttl of the last set counts, be it longer, shorter or the default."""
    await cache.set("k", 1, ttl=10)
    await cache.set("k", 2, ttl=1000)
    clock.now += 999
    assert await cache.get("k") == 2
    await cache.set("k", 3)
    clock.now += 300
    assert await cache.get("k") is None


async def test_ttl_counts_from_the_end_of_the_load(cache: AsyncCache, clock: ManualClock) -> None:
    """A load that takes five of ten seconds leaves its value all ten."""
    loads = Loads()
    caller = await begin(cache.get_or_load("k", loads, ttl=10))
    clock.now += 5
    loads[0].set_result("v")
    assert await caller == "v"
    clock.now += 9
    assert await cache.get("k") == "v"
    clock.now += 1
    assert await cache.get("k") is None


async def test_jitter_only_shortens(clock: ManualClock) -> None:
    """With jitter 0.5 every value lives between half its ttl and all of it, and they differ."""
    cache = AsyncCache(100, maxsize=None, jitter=0.5, clock=clock)
    random.seed(1)
    await cache.set_many({n: n for n in range(1000)})
    alive = []
    for _ in range(101):
        alive.append(sum([await cache.get(n) is not None for n in range(1000)]))
        clock.now += 1
    assert alive[50] == 1000
    assert alive[100] == 0
    assert 400 < alive[75] < 600


async def test_seeding_random_repeats_the_jitter(clock: ManualClock) -> None:
    """The same seed gives the same moments."""

    async def lives() -> list[bool]:
        random.seed(7)
        cache = AsyncCache(100, jitter=0.9, clock=clock)
        await cache.set_many({n: n for n in range(50)})
        clock.now += 50
        return [await cache.get(n) is None for n in range(50)]

    assert await lives() == await lives()


@pytest.mark.parametrize("jitter", [1, 1.5, -0.1, math.nan, True, "0.1", None])
async def test_bad_jitter_is_refused(jitter: Any) -> None:
    """Jitter is a share from 0 up to but not including 1."""
    with pytest.raises((TypeError, ValueError), match="jitter"):
        AsyncCache(jitter=jitter)


async def test_default_clock_does_not_follow_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the wall clock changes nothing."""
    cache = AsyncCache()
    await cache.set("k", "v", ttl=60)
    monkeypatch.setattr("time.time", lambda: 1e12)
    assert await cache.get("k") == "v"


# Keys and values


@pytest.mark.parametrize("value", [None, 0, "", [], False, {}])
async def test_nothing_is_a_value(cache: AsyncCache, value: Any) -> None:
    """A cached None, 0 or [] is a hit, and is not loaded again."""
    missing = object()
    await cache.set("set", value)
    assert await cache.get("set", missing) is value
    loads = Loads()
    for _ in range(3):
        caller = await begin(cache.get_or_load("load", loads))
        if not loads[0].done():
            loads[0].set_result(value)
        assert await caller is value
    assert len(loads) == 1
    assert await cache.get_many(["set", "load", "other"]) == {"set": value, "load": value}


async def test_default_tells_a_miss_apart(cache: AsyncCache) -> None:
    """get answers with the caller's default if and only if nothing is there."""
    missing = object()
    assert await cache.get("k", missing) is missing
    assert await cache.get("k", default=7) == 7
    assert await cache.get("k") is None


async def test_equal_keys_are_one_key(cache: AsyncCache) -> None:
    """What Python calls equal is one key; anything hashable will do."""
    await cache.set(1, "one")
    assert await cache.get(1.0) == await cache.get(True) == "one"
    assert await cache.get("1") is None
    await cache.set(("user", 7, frozenset({"a"})), "page")
    assert await cache.get(("user", 7, frozenset({"a"}))) == "page"


async def test_unhashable_key_is_refused_before_the_load(cache: AsyncCache) -> None:
    """A list is no key, in any method."""
    loads, key = Loads(), cast(Any, [])
    calls: list[Callable[[], Any]] = [
        lambda: cache.get(key),
        lambda: cache.set(key, 1),
        lambda: cache.set(key, 1, ttl=0),
        lambda: cache.delete(key),
        lambda: cache.get_or_load(key, loads),
        lambda: cache.get_many([key]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="unhashable"):
            await call()
    assert len(loads) == cache.stats().size == 0


async def test_values_are_shared_not_copied(cache: AsyncCache) -> None:
    """A reader gets the very object that was stored."""
    page = {"user": 1}
    await cache.set("k", page)
    assert await cache.get("k") is page
    assert await cache.get_or_load("k", lambda: answer({"user": 2})) is page


async def test_many_at_once(cache: AsyncCache, clock: ManualClock) -> None:
    """set_many sets each with the same ttl; get_many gives the hits, None among them."""
    await cache.set_many({"a": 1, "b": None}, ttl=10)
    await cache.set("c", 3)
    assert await cache.get_many(["b", "a", "nobody"]) == {"a": 1, "b": None}
    clock.now += 10
    assert await cache.get_many(key for key in "abc") == {"c": 3}
    assert (cache.stats().hits, cache.stats().misses) == (3, 3)


async def test_delete_tells_the_truth(cache: AsyncCache, clock: ManualClock) -> None:
    """True if a value was there that had not expired, and gone it is."""
    assert await cache.delete("k") is False
    await cache.set("k", None, ttl=10)
    assert await cache.delete("k") is True
    assert await cache.delete("k") is False
    await cache.set("k", 1, ttl=10)
    clock.now += 10
    assert await cache.delete("k") is False
    assert cache.stats().size == 0


async def test_clear_forgets_every_key(cache: AsyncCache) -> None:
    """After clear nothing is there, and the cache can be used on."""
    await cache.set_many({n: n for n in range(100)})
    await cache.clear()
    assert cache.stats().size == 0
    assert await cache.get(1) is None
    await cache.set(1, "one")
    assert await cache.get(1) == "one"


# The room


@pytest.mark.parametrize("maxsize", [1, 2, 3, 10, 100])
async def test_never_more_than_maxsize(maxsize: int) -> None:
    """Whatever is written and read, no more than maxsize entries are held."""
    cache = AsyncCache(maxsize=maxsize)
    choose = random.Random(maxsize)
    for _ in range(3000):
        key = choose.randrange(3 * maxsize)
        if choose.random() < 0.5:
            await cache.set(key, key)
        elif choose.random() < 0.9:
            assert await cache.get_or_load(key, lambda key=key: answer(key)) == key
        else:
            await cache.delete(key)
        assert cache.stats().size <= maxsize
    assert cache.stats().size == maxsize
    assert (cache.stats().evictions or 0) > 100


async def test_overwriting_evicts_nobody() -> None:
    """A key that is there needs no new room."""
    cache = AsyncCache(maxsize=3)
    await cache.set_many({"a": 1, "b": 2, "c": 3})
    for _ in range(5):
        await cache.set("b", 4)
    assert await cache.get_many("abc") == {"a": 1, "b": 4, "c": 3}
    assert cache.stats().evictions == 0


async def test_popular_keys_survive_a_scan() -> None:
    """Ten thousand keys that are asked for once do not push out fifty that everybody reads."""
    cache = AsyncCache(maxsize=100)
    for n in range(10_000):
        await cache.get_or_load(("popular", n % 50), lambda: answer(1))
        await cache.get_or_load(("once", n), lambda: answer(1))
    popular = await cache.get_many(("popular", n) for n in range(50))
    assert len(popular) == 50


async def test_no_bound() -> None:
    """maxsize=None holds whatever comes."""
    cache = AsyncCache(maxsize=None)
    await cache.set_many({n: n for n in range(5000)})
    assert cache.stats().size == 5000
    assert cache.stats().evictions == 0


@pytest.mark.parametrize(
    ("maxsize", "error"),
    [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("1", TypeError)],
)
async def test_bad_maxsize_is_refused(maxsize: Any, error: type[Exception]) -> None:
    """Room is a whole number from 1, or None."""
    with pytest.raises(error, match="maxsize"):
        AsyncCache(maxsize=maxsize)


class Value:
    """Something that a weak reference can watch."""


@pytest.mark.parametrize("maxsize", [None, 2000])
async def test_expired_entries_leave_without_being_read(
    clock: ManualClock, maxsize: int | None
) -> None:
    """Writing other keys is enough: as many writes as there were entries, and the old are gone."""
    cache = AsyncCache(maxsize=maxsize, clock=clock)
    old = weakref.WeakSet[Value]()
    for n in range(1000):
        value = Value()
        old.add(value)
        await cache.set(n, value, ttl=10)
    del value
    clock.now += 10
    for n in range(1000, 2000):
        await cache.set(n, "new", ttl=10)
    gc.collect()
    assert len(old) == 0
    assert cache.stats().size == 1000
    assert cache.stats().expirations == 1000


async def test_a_value_that_left_is_not_held(cache: AsyncCache, clock: ManualClock) -> None:
    """Overwritten, deleted, read too late or cleared: at once the cache holds it no longer."""

    async def put(key: str) -> "weakref.ref[Value]":
        value = Value()
        await cache.set(key, value, ttl=10)
        return weakref.ref(value)

    overwritten, deleted, late = [await put(key) for key in "abc"]
    await cache.set("a", None)
    assert overwritten() is None
    await cache.delete("b")
    assert deleted() is None
    clock.now += 10
    await cache.get("c")
    assert late() is None
    cleared = await put("d")
    await cache.clear()
    assert cleared() is None


# What it says of itself


async def test_every_answer_is_counted_once(cache: AsyncCache, clock: ManualClock) -> None:
    """hits + stale hits + misses + shared = requests answered."""
    loads = Loads()
    await cache.set("a", 1)
    await cache.get("a")
    await cache.get("b")
    await cache.get_or_load("a", loads)
    first = await begin(cache.get_or_load("c", loads, 10, stale_while_revalidate=10))
    second = await begin(cache.get_or_load("c", loads))
    assert cache.stats().misses == 1  # an answer counts when it is given
    loads[0].set_result("page")
    assert await first == await second == "page"
    clock.now += 10
    assert await cache.get_or_load("c", loads, 10, stale_while_revalidate=10) == "page"
    await cache.close()
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.shared, stats.stale_hits) == (2, 2, 1, 1)
    assert stats.hit_rate == 3 / 6


async def test_failed_and_cancelled_loads_are_counted(
    cache: AsyncCache, clock: ManualClock
) -> None:
    """Loads that gave a value or raised are counted, with their seconds; cancelled ones are not."""
    loads = Loads()
    good = await begin(cache.get_or_load("good", loads))
    clock.now += 2
    loads[0].set_result(1)
    await good
    bad = await begin(cache.get_or_load("bad", loads))
    clock.now += 3
    loads[1].set_exception(LookupError())
    with pytest.raises(LookupError):
        await bad
    gone = await begin(cache.get_or_load("gone", loads))
    gone.cancel()
    await begin(answer(None))
    assert gone.cancelled()
    stats = cache.stats()
    assert (stats.loads, stats.load_failures, stats.load_seconds) == (1, 1, 5)
    assert (stats.misses, stats.errors) == (2, 0)


async def test_leaving_is_counted(clock: ManualClock) -> None:
    """Who made room is an eviction, whose time was over an expiration, who was deleted neither."""
    cache = AsyncCache(maxsize=2, clock=clock)
    await cache.set_many({"a": 1, "b": 2, "c": 3}, ttl=10)
    assert (cache.stats().evictions, cache.stats().expirations) == (1, 0)
    clock.now += 10
    await cache.get_many("abc")
    await cache.set("d", 4)
    await cache.delete("d")
    assert (cache.stats().evictions, cache.stats().expirations) == (1, 2)
    assert cache.stats().size == 0


async def test_hit_rate_of_nothing_is_zero() -> None:
    """A cache that was never asked has a hit rate of 0, not an error."""
    assert AsyncCache().stats().hit_rate == 0.0


async def test_stats_are_a_snapshot(cache: AsyncCache) -> None:
    """What stats() gave does not change any more, and cannot be changed."""
    before = cache.stats()
    await cache.get("k")
    assert before.misses == 0
    assert isinstance(before, CacheStats)
    with pytest.raises(AttributeError):
        before.misses = 1  # type: ignore[misc]


async def test_repr_shows_no_values_and_no_keys(cache: AsyncCache) -> None:
    """One line to recognise a cache by; nothing that was stored is in it."""
    await cache.set("secret-key", "secret-value")
    assert repr(cache) == "<AsyncCache: 1 entries, room for 1024, ttl 300 s>"
    assert repr(AsyncCache(0.5, maxsize=None)) == "<AsyncCache: 0 entries, no bound, ttl 0.5 s>"


async def test_the_cache_outlives_its_block(clock: ManualClock) -> None:
    """`async with` gives the cache itself; what it holds stays when the block is left."""
    async with AsyncCache(clock=clock) as cache:
        await cache.set("k", "v")
    assert await cache.get("k") == "v"
    await cache.close()
    await cache.close()
