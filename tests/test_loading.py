"""One `get_or_load` for every store: what it asks of a Slot, and what no store may do otherwise."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from cachepool_lib.loading import MISSING, Found, Loader, LoadOptions, get_or_load
from cachepool_lib.memory.slot import MemorySlot
from cachepool_lib.memory.store import Store
from cachepool_lib.single_flight import Call, SingleFlight
from cachepool_lib.stats import Counts
from tests.tools import redis_tools, tiered_tools
from tests.tools.async_cache_tools import Loads, ManualClock, answer, begin, turns

pytestmark = pytest.mark.anyio

Cache = Any


@pytest.fixture(params=["memory", "Redis", "two tiers"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    """Each store that there is."""
    if request.param == "memory":
        async with AsyncCache() as made:
            yield made
    else:
        tools: Any = redis_tools if request.param == "Redis" else tiered_tools
        async with tools.cache() as made:
            yield made


async def test_a_value_that_was_set_while_the_load_failed_is_the_answer(cache: Cache) -> None:
    """Under stale_if_error: there is something better than an old page, and than an error."""
    loads = Loads()
    caller = asyncio.create_task(cache.get_or_load("k", loads, stale_if_error=60))
    await redis_tools.until(lambda: len(loads))
    await cache.set("k", "set")
    loads[0].set_exception(LookupError("the database is down"))
    assert await caller == "set"
    stats = cache.stats()
    assert (stats.stale_hits, stats.misses, stats.load_failures) == (0, 1, 1)


async def test_without_stale_if_error_the_failure_is_raised(cache: Cache) -> None:
    """Whoever asked for no way out is told what went wrong, whatever was set meanwhile."""
    loads = Loads()
    caller = asyncio.create_task(cache.get_or_load("k", loads))
    await redis_tools.until(lambda: len(loads))
    await cache.set("k", "set")
    loads[0].set_exception(LookupError("the database is down"))
    with pytest.raises(LookupError):
        await caller


TTLS: dict[str, Callable[[Any], Any]] = {
    "not at all": lambda value: 0,
    "the default": lambda value: None,
    "for ever": lambda value: float("inf"),
}


@pytest.mark.parametrize("ttl", TTLS)
async def test_the_ttl_may_be_a_function_of_the_value(cache: Cache, ttl: str) -> None:
    """So an empty page is kept for a moment, or not at all."""
    asked = []

    def length(value: Any) -> Any:
        asked.append(value)
        return TTLS[ttl](value)

    assert await cache.get_or_load("k", lambda: answer(None), ttl=length) is None
    assert await cache.get("k", "nothing") == ("nothing" if ttl == "not at all" else None)
    assert await cache.refresh("k", lambda: answer("v"), ttl=length) == "v"
    assert asked == [None, "v"]


@pytest.mark.parametrize("ttl", [lambda value: -1, lambda value: "soon", lambda: 1])
async def test_a_function_that_gives_no_ttl_fails_its_load(cache: Cache, ttl: Any) -> None:
    """All who wait hear of it; nothing is stored, and the next one may load."""
    with pytest.raises((TypeError, ValueError)):
        await cache.get_or_load("k", lambda: answer("v"), ttl=ttl)
    assert await cache.get("k") is None
    assert cache.stats().load_failures == 1
    assert await cache.get_or_load("k", lambda: answer("w")) == "w"


async def test_a_key_that_is_named_twice_is_one_request(cache: Cache) -> None:
    """`get_many` gives one value for it, and counts it once, in every store."""
    await cache.set("a", 1)
    assert await cache.get_many(["a", "a", "b", "b"]) == {"a": 1}
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)


async def test_exists_counts_as_no_request(cache: Cache) -> None:
    """It only looks, and a cached None is there."""
    await cache.set("a", None)
    assert await cache.exists("a") is True
    assert await cache.exists("b") is False
    await cache.delete("a")
    assert await cache.exists("a") is False
    assert (cache.stats().hits, cache.stats().misses) == (0, 0)


async def test_clear_of_a_group_forgets_its_keys_alone(cache: Cache) -> None:
    """Those that are tuples and begin with it; a load of one that is under way is not kept."""
    loads = Loads()
    await cache.set_many({("g", 1): 1, ("g", 2): 2, ("h", 1): 3, "g": 4})
    caller = asyncio.create_task(cache.get_or_load(("g", 3), loads))
    await redis_tools.until(lambda: len(loads))
    await cache.clear("g")
    loads[0].set_result("old")
    assert await caller == "old"
    assert await cache.get_many([("g", 1), ("g", 2), ("g", 3), ("h", 1), "g"]) == {
        ("h", 1): 3,
        "g": 4,
    }


async def test_refresh_replaces_what_is_at_hand(cache: Cache) -> None:
    """Others are served the old value meanwhile; a load that was under way is not kept."""
    loads = Loads()
    before = asyncio.create_task(cache.get_or_load("k", loads))
    await redis_tools.until(lambda: len(loads))
    after = asyncio.create_task(cache.refresh("k", loads))
    await redis_tools.until(lambda: len(loads) == 2)
    loads[1].set_result("new")
    assert await after == "new"
    loads[0].set_result("old")
    assert await before == "old"
    assert await cache.get("k") == "new"


EARLY: dict[str, Any] = {"ttl": 60, "early_refresh": 1e9}  # always due


async def loaded(cache: Cache, loads: Loads, key: str = "k") -> None:
    """Have *cache* load "old"; that takes longer than 0 s, which would never be early."""
    first = asyncio.create_task(cache.get_or_load(key, loads, **EARLY))
    await redis_tools.until(lambda: len(loads))
    loads[0].set_result("old")
    assert await first == "old"


async def settled(cache: Cache) -> None:
    """Wait until no load is under way on this event loop."""
    if cache.shared:
        await redis_tools.until(lambda: not redis_tools.loads_of(cache))
    else:
        await turns()


async def test_early_refresh_loads_behind_what_it_serves(cache: Cache) -> None:
    """Before the value ends; meanwhile all are served, and one load runs."""
    loads = Loads()
    await loaded(cache, loads)
    for _ in range(3):
        assert await cache.get_or_load("k", loads, **EARLY) == "old"
    await redis_tools.until(lambda: len(loads) == 2)
    assert await cache.get_or_load("k", loads, **EARLY) == "old"
    assert await cache.get_or_load("k", loads) == "old"
    loads[1].set_result("new")
    await settled(cache)
    assert await cache.get("k") == "new"
    assert len(loads) == 2
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.loads) == (6, 1, 2)


async def test_early_refresh_of_many_is_one_call(cache: Cache) -> None:
    """Those keys that are due are loaded behind their values, together."""
    asked: list[list[str]] = []
    end = asyncio.Event()

    async def load(keys: list[str]) -> dict[str, int]:
        asked.append(keys)
        await end.wait()
        return dict.fromkeys(keys, len(asked))

    end.set()
    first = await cache.get_or_load_many("ab", load, **EARLY)
    assert first == {"a": 1, "b": 1}
    await cache.set("c", "set")
    end.clear()
    assert await cache.get_or_load_many("cab", load, **EARLY) == {"c": "set", **first}
    await redis_tools.until(lambda: len(asked) == 2)
    assert asked == [["a", "b"], ["a", "b"]]
    end.set()
    await settled(cache)
    assert await cache.get_many("ab") == {"a": 2, "b": 2}
    assert cache.stats().hits == 5


async def test_what_was_set_is_not_refreshed_early(cache: Cache) -> None:
    """Nobody knows how long its load would take; nor of what was loaded before it was set."""
    loads = Loads()
    await loaded(cache, loads)
    await cache.set("k", "set")
    for _ in range(5):
        assert await cache.get_or_load("k", loads, **EARLY) == "set"
    await settled(cache)
    assert len(loads) == 1


async def test_after_a_failure_the_next_early_refresh_waits(cache: Cache) -> None:
    """The value is served until its ttl ends, and retry_after passes before the next attempt."""
    loads = Loads()
    await loaded(cache, loads)
    patient = {**EARLY, "retry_after": 60}
    assert await cache.get_or_load("k", loads, **patient) == "old"
    await redis_tools.until(lambda: len(loads) == 2)
    loads[1].set_exception(LookupError("the database is down"))
    await settled(cache)
    for _ in range(5):
        assert await cache.get_or_load("k", loads, **patient) == "old"
        await settled(cache)
    assert len(loads) == 2
    assert cache.stats().load_failures == 1


async def test_a_delete_voids_an_early_refresh(cache: Cache) -> None:
    """It may have read what the delete says has changed."""
    loads = Loads()
    await loaded(cache, loads)
    assert await cache.get_or_load("k", loads, **EARLY) == "old"
    await redis_tools.until(lambda: len(loads) == 2)
    await cache.delete("k")
    loads[1].set_result("of before")
    await settled(cache)
    await turns()
    assert await cache.get("k") is None


def run(coroutine: Any) -> Any:
    """What a coroutine returns that never suspends."""
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


def test_slots_in_memory_never_suspend() -> None:
    """So between two loads there is one moment: nobody can come in between."""
    clock, store, calls = ManualClock(), Store(10, 10), SingleFlight()

    slot = MemorySlot("k", store, calls, clock, Counts())
    options = LoadOptions(None, stale_while_revalidate=60, stale_if_error=60)
    call: Any = Call.__new__(Call)
    calls.current["k"] = call
    assert run(slot.find(options)) is None
    assert run(slot.may_join(call)) is True
    assert run(slot.take_lease(call, seize=False)) is MISSING
    assert run(slot.take_lease(call, seize=True)) is MISSING
    run(slot.store(call, "v", None, options, 1.0))
    assert run(slot.find(options)) == Found("v", stale=False, due=False)
    clock.now += 10
    assert run(slot.find(options)) == Found("v", stale=True, due=True)
    run(slot.release(call, 5))
    assert run(slot.find(options)) == Found("v", stale=True, due=False)
    assert run(slot.find(options, failed=True)) == Found("v", stale=True, due=False)


class SlowSlot:
    """Of a store that takes a while to say whether a load may be joined."""

    key = "k"
    clock = staticmethod(lambda: 0.0)

    def __init__(self) -> None:
        self.calls, self.counts = SingleFlight(), Counts()
        self.asked = asyncio.Event()
        self.says: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def find(self, options: LoadOptions, *, failed: bool = False) -> Found | None:
        return None

    async def may_join(self, call: Call) -> bool:
        self.asked.set()
        return await self.says

    async def take_lease(self, call: Call, *, seize: bool) -> Any:
        return MISSING

    async def store(self, *args: Any) -> None:
        pass

    async def release(self, call: Call, retry_after: float) -> None:
        pass


@pytest.mark.parametrize("says", [True, False])
async def test_a_load_that_ends_while_one_asks_for_it_is_not_waited_for(says: bool) -> None:
    """Else its caller would wait for ever: it has told its result already."""
    loads, slot = Loads(), SlowSlot()

    async def ask(loader: Loader[Any]) -> Any:
        return await get_or_load(slot, loader, LoadOptions(None))

    first = await begin(ask(loads))
    second = asyncio.create_task(ask(lambda: answer("another")))
    await slot.asked.wait()
    loads[0].set_result("first")
    assert await first == "first"
    await turns()
    slot.says.set_result(says)
    async with asyncio.timeout(5):
        assert await second == "another"


async def test_who_may_not_join_loads_afresh() -> None:
    """And the one before still answers who waits for it."""
    loads, slot = Loads(), SlowSlot()
    slot.says.set_result(False)
    first = await begin(get_or_load(slot, loads, LoadOptions(None)))
    second = await begin(get_or_load(slot, loads, LoadOptions(None)))
    assert len(loads) == 2
    loads[1].set_result("second")
    loads[0].set_result("first")
    assert (await first, await second) == ("first", "second")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_in_mid_load_leaves_nothing_alive() -> None:
    """Neither the cache, nor, once it is used in another loop, what the load closes over."""

    class Thing:
        pass

    def left_behind(cache: AsyncCache) -> "weakref.ref[Thing]":
        thing = Thing()

        async def load(thing: Thing = thing) -> None:
            await asyncio.Event().wait()

        async def main() -> None:
            for key in "ab":
                task = asyncio.create_task(cache.get_or_load(key, load))
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                waiting.append(task)
            await turns()
            for task in asyncio.all_tasks():
                task._log_destroy_pending = False  # type: ignore[attr-defined]

        waiting: list[Any] = []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        waiting.clear()
        return weakref.ref(thing)

    cache = AsyncCache()
    thing = left_behind(cache)
    assert asyncio.run(cache.get_or_load("a", lambda: answer("v"))) == "v"
    gc.collect()
    assert thing() is None
    dying = AsyncCache()
    thing = left_behind(dying)
    gone = weakref.ref(dying)
    del dying
    gc.collect()
    assert gone() is None
    assert thing() is None
