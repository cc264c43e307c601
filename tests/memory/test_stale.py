"""An old value beats none: served stale for as long as both sides allow, refreshed behind."""

import asyncio
import logging
import math
import random
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from tests.tools.async_cache_tools import Loads, ManualClock, answer, begin, nothing_left, turns

pytestmark = pytest.mark.anyio
__all__ = ["nothing_left"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> AsyncCache:
    return AsyncCache(clock=clock)


@pytest.fixture
def loads() -> Loads:
    return Loads()


async def stored(cache: AsyncCache, value: Any = "old", **terms: Any) -> None:
    """*value* is loaded under "k" with a ttl of 10 s and the windows in *terms*."""
    await cache.get_or_load("k", lambda: answer(value), 10, **terms)


# Stale while revalidate


async def test_a_stale_value_is_served_at_once(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Within the window nobody waits; one load runs behind, and its value is what comes next."""
    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    for _ in range(3):
        assert await cache.get_or_load("k", loads, 10, stale_while_revalidate=60) == "old"
        await turns()
    assert len(loads) == 1
    loads[0].set_result("new")
    await turns()
    assert await cache.get_or_load("k", loads, 10, stale_while_revalidate=60) == "new"
    stats = cache.stats()
    assert (stats.misses, stats.stale_hits, stats.hits, stats.loads) == (1, 3, 1, 2)


async def test_the_window_ends_when_it_says(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Stale just before the end of the window; at its end everybody waits for a load."""
    await stored(cache, stale_while_revalidate=60)
    clock.now = math.nextafter(1070, 0)
    assert await cache.get_or_load("k", loads, stale_while_revalidate=60) == "old"
    await cache.close()
    clock.now = 1070
    caller = await begin(cache.get_or_load("k", loads, stale_while_revalidate=60))
    assert not caller.done()
    loads[-1].set_result("new")
    assert await caller == "new"


@pytest.mark.parametrize(("stored_window", "own_window"), [(30, 60), (60, 30), (30, 30)])
@pytest.mark.parametrize("name", ["stale_while_revalidate", "stale_if_error"])
async def test_the_smaller_window_counts(
    cache: AsyncCache, clock: ManualClock, name: str, stored_window: int, own_window: int
) -> None:
    """The reader's or that of the load that stored the value, whichever is smaller."""

    async def fails() -> Any:
        raise LookupError

    await stored(cache, **{name: stored_window})
    clock.now = 1039.5
    assert await cache.get_or_load("k", fails, retry_after=0, **{name: own_window}) == "old"
    await turns()
    clock.now = 1040
    with pytest.raises(LookupError):
        await cache.get_or_load("k", fails, retry_after=0, **{name: own_window})


async def test_each_window_is_compared_with_its_own_kind(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Kept for one window, a value is not served for the other."""

    async def fails() -> Any:
        raise LookupError

    await stored(cache, stale_while_revalidate=60, stale_if_error=30)
    clock.now = 1040
    with pytest.raises(LookupError):
        await cache.get_or_load("k", fails, stale_if_error=60, retry_after=0)
    await stored(cache, stale_while_revalidate=30, stale_if_error=60)
    clock.now += 40
    caller = await begin(cache.get_or_load("k", loads, 10, stale_while_revalidate=60))
    assert not caller.done()
    loads[0].set_result("new")
    assert await caller == "new"


async def test_get_serves_nothing_stale(cache: AsyncCache, clock: ManualClock) -> None:
    """Kept for those who ask for stale values, an expired value is a miss for get and delete."""
    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    assert await cache.get("k") is None
    assert await cache.get_many(["k"]) == {}
    assert await cache.delete("k") is False


async def test_who_wants_no_stale_value_waits_for_the_refresh(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """A caller without a window joins the load that another one's stale read began."""
    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    assert await cache.get_or_load("k", loads, stale_while_revalidate=60) == "old"
    strict = await begin(cache.get_or_load("k", loads))
    assert not strict.done()
    loads[0].set_result("new")
    assert await strict == "new"
    assert len(loads) == 1
    assert cache.stats().shared == 1


@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
async def test_set_leaves_no_window(cache: AsyncCache, clock: ManualClock, window: str) -> None:
    """A value that was set is gone at its ttl, even where a loaded one had a window."""

    async def fails() -> Any:
        raise LookupError

    await stored(cache, **{window: 60})
    await cache.set("k", "set", ttl=10)
    clock.now += 10
    with pytest.raises(LookupError):
        await cache.get_or_load("k", fails, **{window: 60})


@pytest.mark.parametrize("forget", ["delete", "clear", "set"])
async def test_a_deleted_value_is_not_served_stale(
    cache: AsyncCache, clock: ManualClock, loads: Loads, forget: str
) -> None:
    """Neither the old value nor the refresh that was under way survives a delete."""
    await stored(cache, stale_while_revalidate=60, stale_if_error=60)
    clock.now += 10
    terms: Any = {"stale_while_revalidate": 60, "stale_if_error": 60}
    assert await cache.get_or_load("k", loads, 10, **terms) == "old"
    await turns()
    if forget == "delete":
        await cache.delete("k")
    elif forget == "clear":
        await cache.clear()
    else:
        await cache.set("k", "x", ttl=0)
    caller = await begin(cache.get_or_load("k", loads, 10, **terms))
    loads[0].set_result("older")
    loads[1].set_exception(LookupError())
    with pytest.raises(LookupError):
        await caller
    assert cache.stats().size == 0


async def test_a_refresh_that_was_voided_runs_to_its_end(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Joined, then voided: it answers who joined, whoever leaves, and stores nothing."""
    for leave in False, True:
        await stored(cache, stale_while_revalidate=60)
        clock.now += 10
        await cache.get_or_load("k", loads, stale_while_revalidate=60)
        joined = await begin(cache.get_or_load("k", loads))
        await cache.delete("k")
        if leave:
            joined.cancel()
            await turns()
        assert not loads[-1].done()
        loads[-1].set_result("v")
        await turns()
        assert leave or await joined == "v"
        assert await cache.get("k") is None


@pytest.mark.parametrize("write", ["delete", "clear", "set"])
async def test_a_refresh_may_write_to_the_cache_itself(
    cache: AsyncCache, clock: ManualClock, write: str
) -> None:
    """A loader in the background that voids its own load is not cancelled by that."""
    ended = asyncio.Event()

    async def loader() -> str:
        if write == "delete":
            await cache.delete("k")
        elif write == "clear":
            await cache.clear()
        else:
            await cache.set("k", "set by the loader")
        await turns()
        ended.set()
        return "loaded"

    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    assert await cache.get_or_load("k", loader, stale_while_revalidate=60) == "old"
    await ended.wait()
    await turns()
    assert await cache.get("k") == ("set by the loader" if write == "set" else None)
    assert cache.stats().loads == 2


async def test_an_older_load_that_fails_does_not_delay_the_newer_value(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """retry_after counts from a failure to renew this very entry, not from one before it."""
    terms: Any = {"stale_while_revalidate": 60, "retry_after": 30}
    old = await begin(cache.get_or_load("k", loads, 10, **terms))
    await cache.delete("k")
    await stored(cache, "new", **terms)
    loads[0].set_exception(LookupError())
    with pytest.raises(LookupError):
        await old
    clock.now += 10
    assert await cache.get_or_load("k", loads, 10, **terms) == "new"
    await turns()
    assert len(loads) == 2
    await cache.close()


async def test_a_failed_refresh_is_logged_and_counted(
    cache: AsyncCache, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for a refresh, so its error goes to the log, and nowhere else."""

    async def fails() -> Any:
        raise LookupError("the database is down")

    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    with caplog.at_level(logging.WARNING, "cachepool_lib"):
        assert await cache.get_or_load("k", fails, stale_while_revalidate=60) == "old"
        await turns()
    assert [record.getMessage() for record in caplog.records] == [
        "loading 'k' failed while nobody waited"
    ]
    assert "the database is down" in caplog.text
    assert cache.stats().load_failures == 1


async def test_a_refresh_with_ttl_zero_forgets(cache: AsyncCache, clock: ManualClock) -> None:
    """ttl=0 means: do not keep it, also for the load behind a stale read."""
    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    assert (
        await cache.get_or_load("k", lambda: answer("new"), 0, stale_while_revalidate=60) == "old"
    )
    await turns()
    assert cache.stats().size == 0


# Stale if error


async def test_an_old_value_in_place_of_an_error(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """All who wait for a load that fails get the old value, within the window."""
    await stored(cache, stale_if_error=60)
    clock.now += 10
    tasks = [
        asyncio.create_task(cache.get_or_load("k", loads, 10, stale_if_error=60)) for _ in range(3)
    ]
    await turns()
    assert not any(task.done() for task in tasks)
    loads[0].set_exception(ConnectionError())
    assert await asyncio.gather(*tasks) == ["old"] * 3
    assert (cache.stats().stale_hits, cache.stats().load_failures) == (3, 1)
    clock.now = 1070
    caller = await begin(cache.get_or_load("k", loads, 10, stale_if_error=60))
    loads[1].set_exception(ConnectionError())
    with pytest.raises(ConnectionError):
        await caller


async def test_the_window_is_asked_when_the_load_has_failed(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """A load that fails after the end of the window raises, though it began within it."""
    await stored(cache, stale_if_error=60)
    clock.now = 1069
    caller = await begin(cache.get_or_load("k", loads, 10, stale_if_error=60))
    clock.now = 1070
    loads[0].set_exception(ConnectionError())
    with pytest.raises(ConnectionError):
        await caller


async def test_each_waiter_has_its_own_window(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Of two who share a load that fails, who allows a stale value gets it, the other the error."""
    await stored(cache, stale_if_error=60)
    clock.now += 10
    strict = await begin(cache.get_or_load("k", loads))
    lenient = await begin(cache.get_or_load("k", loads, stale_if_error=60))
    loads[0].set_exception(ConnectionError())
    assert await lenient == "old"
    with pytest.raises(ConnectionError):
        await strict
    assert (cache.stats().stale_hits, cache.stats().misses) == (1, 2)


async def test_a_value_that_was_set_meanwhile_is_not_stale(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Whose load fails gets it, and it counts as the miss that it was."""
    await stored(cache, stale_if_error=60)
    clock.now += 10
    caller = await begin(cache.get_or_load("k", loads, stale_if_error=60))
    await cache.set("k", "set")
    loads[0].set_exception(ConnectionError())
    assert await caller == "set"
    assert (cache.stats().stale_hits, cache.stats().misses) == (0, 2)


@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
async def test_a_stale_value_that_is_asked_for_stays(clock: ManualClock, window: str) -> None:
    """However much is written: stale hits are uses, too, and it is the outage that needs it."""
    terms = {window: 3600, "retry_after": 3600}
    cache = AsyncCache(10, maxsize=100, clock=clock)
    await cache.get_or_load("hot", lambda: answer("old"), **terms)
    clock.now += 10

    async def fails() -> str:
        raise ConnectionError

    for n in range(1000):
        for _ in range(5):
            assert await cache.get_or_load("hot", fails, **terms) == "old"
        await turns()
        await cache.set(n, n, ttl=1000)


async def test_cancellation_is_no_error(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """A caller that is cancelled is cancelled: it does not get an old value instead."""
    await stored(cache, stale_if_error=60)
    clock.now += 10
    caller = await begin(cache.get_or_load("k", loads, stale_if_error=60))
    caller.cancel()
    await turns()
    assert caller.cancelled()


@pytest.mark.parametrize("window", ["stale_while_revalidate", "stale_if_error"])
async def test_retry_after(
    cache: AsyncCache, clock: ManualClock, loads: Loads, window: str
) -> None:
    """After a failure the old value is served without an attempt, for retry_after seconds."""

    async def ask() -> Any:
        caller = await begin(cache.get_or_load("k", loads, 10, retry_after=5, **{window: 60}))
        if loads and not loads[-1].done():
            loads[-1].set_exception(ConnectionError())
        return await caller

    await stored(cache, **{window: 60})
    clock.now += 10
    attempts = []
    for _ in range(12):
        assert await ask() == "old"
        await turns()
        attempts.append(len(loads))
        clock.now += 1
    assert attempts == [1] * 5 + [2] * 5 + [3] * 2


async def test_after_an_outage_the_new_value_comes(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """The first good load ends the stale time."""
    await stored(cache, stale_if_error=60)
    clock.now += 10
    first = await begin(cache.get_or_load("k", loads, 10, stale_if_error=60))
    loads[0].set_exception(ConnectionError())
    assert await first == "old"
    clock.now += 1
    second = await begin(cache.get_or_load("k", loads, 10, stale_if_error=60))
    loads[1].set_result("new")
    assert await second == "new"
    assert await cache.get("k") == "new"


async def test_an_unknown_key_still_fails(cache: AsyncCache) -> None:
    """Where there is no old value, the error is the answer."""

    async def fails() -> Any:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await cache.get_or_load("k", fails, stale_while_revalidate=60, stale_if_error=60)


async def test_stale_entries_leave_when_their_window_ends(
    cache: AsyncCache, clock: ManualClock
) -> None:
    """Kept through the longer of both windows, then swept like any other."""
    for n in range(100):
        await cache.get_or_load(n, lambda: answer(1), 10, stale_if_error=60)
    clock.now = 1069
    await cache.set_many({n: n for n in range(100, 300)}, ttl=1000)
    assert cache.stats().size == 300
    clock.now = 1070
    await cache.set_many({n: n for n in range(300, 600)}, ttl=1000)
    assert cache.stats().size == 500


# Early refresh


async def early_refreshes(beta: float, load_seconds: float, values: int) -> list[float]:
    """How many seconds before their ends *values* of 100 s are refreshed, those that are."""
    random.seed(1)
    left = []
    clock = ManualClock()
    async with AsyncCache(100, clock=clock) as cache:
        for key in range(values):
            loads = Loads()
            first = await begin(cache.get_or_load(key, loads, early_refresh=beta))
            clock.now += load_seconds
            loads[0].set_result("v")
            await first
            end = clock.now + 100
            clock.now += 90
            while len(loads) == 1 and clock.now < end:
                await cache.get_or_load(key, loads, early_refresh=beta)
                await asyncio.sleep(0)
                clock.now += 0.25
            if len(loads) == 2:
                left.append(end - clock.now + 0.25)
            await cache.delete(key)
            await asyncio.sleep(0)
    return left


async def test_early_refresh_never_by_default(cache: AsyncCache, clock: ManualClock) -> None:
    """Without early_refresh a fresh value causes no load, until the very end."""
    loads = Loads()
    first = await begin(cache.get_or_load("k", loads, 10))
    clock.now += 5
    loads[0].set_result("v")
    await first
    clock.now = math.nextafter(1015, 0)
    for _ in range(100):
        assert await cache.get_or_load("k", loads) == "v"
    assert len(loads) == 1


async def test_early_refresh_follows_xfetch(
    cache: AsyncCache, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, loads: Loads
) -> None:
    """Due when now - seconds of the load x beta x ln(random) reaches the end; served all the same.

    A load of 2 s, beta 1.5 and ln(random) = -1 make 3 s before the end.
    """
    monkeypatch.setattr("random.random", lambda: 1 - math.exp(-1))
    first = await begin(cache.get_or_load("k", loads, 10, early_refresh=1.5))
    clock.now += 2
    loads[0].set_result("old")
    await first
    clock.now = 1008.5
    assert await cache.get_or_load("k", loads, 10, early_refresh=1.5) == "old"
    assert len(loads) == 1
    clock.now = 1009.5
    for _ in range(3):
        assert await cache.get_or_load("k", loads, 10, early_refresh=1.5) == "old"
        await turns()
    assert len(loads) == 2
    loads[1].set_result("new")
    await turns()
    assert await cache.get_or_load("k", loads, 10) == "new"
    assert cache.stats().hits == 5


async def test_early_refresh_is_rare_early_and_sure_late() -> None:
    """Read four times a second, nearly all values are refreshed in time, most of them late."""
    left = await early_refreshes(beta=1, load_seconds=1, values=300)
    assert len(left) > 290
    assert sum(seconds < 5 for seconds in left) > 270
    eager = await early_refreshes(beta=3, load_seconds=1, values=300)
    assert sum(eager) / len(eager) > 1.5 * sum(left) / len(left)


async def test_a_failed_early_refresh_waits_too(
    cache: AsyncCache, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, loads: Loads
) -> None:
    """The value stays fresh until its ttl, and the next attempt waits retry_after seconds."""
    monkeypatch.setattr("random.random", lambda: 0.999)

    async def ask() -> Any:
        value = await cache.get_or_load("k", loads, 100, early_refresh=1, retry_after=5)
        await turns()
        return value

    first = await begin(ask())
    clock.now += 2
    loads[0].set_result("v")
    await first
    clock.now += 95
    assert await ask() == "v"
    assert len(loads) == 2
    loads[1].set_exception(ConnectionError())
    await turns()
    assert await ask() == "v"
    assert len(loads) == 2
    clock.now += 4
    assert await ask() == "v"
    assert len(loads) == 2
    await cache.close()


async def test_what_was_set_is_not_refreshed_early(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Nobody knows how long its load would take."""
    await cache.set("k", "v", 10)
    clock.now = math.nextafter(1010, 0)
    for _ in range(100):
        assert await cache.get_or_load("k", loads, early_refresh=100) == "v"
    assert len(loads) == 0


# Closing


async def test_close_cancels_the_background_and_waits(
    cache: AsyncCache, clock: ManualClock
) -> None:
    """When close returns, every refresh has ended, its cleaning up included."""
    steps = []

    async def slow() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            await turns(5)
            steps.append("cleaned up")

    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    assert await cache.get_or_load("k", slow, stale_while_revalidate=60) == "old"
    await turns()
    await cache.close()
    steps.append("closed")
    assert steps == ["cleaned up", "closed"]


async def test_leaving_the_block_closes(clock: ManualClock, loads: Loads) -> None:
    """`async with` closes, by an exception too."""
    with pytest.raises(ZeroDivisionError):
        async with AsyncCache(clock=clock) as cache:
            await stored(cache, stale_while_revalidate=60)
            clock.now += 10
            await cache.get_or_load("k", loads, stale_while_revalidate=60)
            await turns()
            raise ZeroDivisionError
    assert loads[0].cancelled()


async def test_close_leaves_those_who_wait_alone(cache: AsyncCache, loads: Loads) -> None:
    """A load that somebody waits for goes on, and the cache can be used on."""
    caller = await begin(cache.get_or_load("k", loads))
    await cache.close()
    loads[0].set_result("v")
    assert await caller == "v"
    assert await cache.get("k") == "v"


async def test_a_refresh_that_was_joined_and_left_ends_with_close(
    cache: AsyncCache, clock: ManualClock, loads: Loads
) -> None:
    """Also the load that was voided, and then left by who had joined it, is not left behind."""
    await stored(cache, stale_while_revalidate=60)
    clock.now += 10
    await cache.get_or_load("k", loads, stale_while_revalidate=60)
    joined = await begin(cache.get_or_load("k", loads))
    await cache.delete("k")
    joined.cancel()
    await turns()
    await cache.close()
    assert loads[0].cancelled()
