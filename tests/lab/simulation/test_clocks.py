"""A cache whose clock stands still in a simulation is an error, not a hit rate of 1.000."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cachepool_lib import AsyncCache, RedisCache, TieredCache, async_cache, lab
from cachepool_lib.lab.simulation.replay import PageFunction
from cachepool_lib.memory.store import Store

MINUTES = lab.traffic(rate=2, users=5, seconds=120)
WHAT_TO_DO = r"ttl of 10 s has a clock of its own, which went .* s less .*clock=lab\.clock"


def page_through(cache: Any, database: lab.Database) -> PageFunction:
    async def page(user_id: int) -> Any:
        return await cache.get_or_load(user_id, lambda: database.page(user_id))

    return page


def decorated(database: lab.Database, **options: Any) -> PageFunction:
    @async_cache(ttl=10, **options)
    async def page(user_id: int) -> Any:
        return await database.page(user_id)

    return page


class Learners(AsyncCache):
    """Takes a clock as a class in a notebook does: what it is by default was read long ago."""

    def __init__(self, ttl: float = 10, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(ttl, clock=clock)


def run(page: Any, database: lab.Database) -> lab.Replay:
    return lab.replay(page, MINUTES, database=database)


REAL: dict[str, Callable[[lab.Database], Any]] = {
    "made inside": lambda db: lambda: page_through(AsyncCache(10), db),
    "made before": lambda db: page_through(AsyncCache(10), db),
    "its clock said": lambda db: page_through(AsyncCache(10, clock=time.monotonic), db),
    "a class of one's own": lambda db: lambda: page_through(Learners(), db),
    "decorated": lambda db: lambda: decorated(db),
    "decorated before": lambda db: decorated(db),
    "decorated, with a cache": lambda db: decorated(db, cache=AsyncCache(10)),
}


@pytest.mark.parametrize("made", REAL.values(), ids=REAL)
def test_a_cache_with_a_real_clock_is_an_error_that_says_what_to_do(
    made: Callable[[lab.Database], Any],
) -> None:
    """Wherever it was made, and whoever made it."""
    database = lab.Database()
    with pytest.raises(RuntimeError, match=WHAT_TO_DO):
        run(made(database), database)


SIMULATED: dict[str, Callable[[lab.Database], Any]] = {
    "lab.clock": lambda db: lambda: page_through(AsyncCache(10, clock=lab.clock), db),
    "made before": lambda db: page_through(AsyncCache(10, clock=lab.clock), db),
    "another zero": lambda db: page_through(AsyncCache(10, clock=lambda: lab.clock() + 1e9), db),
    "the loop's": lambda db: (
        lambda: page_through(AsyncCache(10, clock=asyncio.get_running_loop().time), db)
    ),
    "looked up inside": lambda db: lambda: page_through(AsyncCache(10, clock=time.monotonic), db),
    "a class of one's own": lambda db: page_through(Learners(clock=lab.clock), db),
    "decorated": lambda db: decorated(db, clock=lab.clock),
}


@pytest.mark.parametrize("made", SIMULATED.values(), ids=SIMULATED)
def test_what_follows_the_simulation_is_left_alone(made: Callable[[lab.Database], Any]) -> None:
    """Values expire, and nobody complains."""
    database = lab.Database()
    assert run(made(database), database).hit_rate < 0.97
    assert database.queries > 30


@pytest.mark.parametrize("ttl", [300, 0.02])
def test_a_real_clock_is_an_error_once_it_matters(ttl: float) -> None:
    """When the shortest ttl is over: before, nothing expires by either clock."""

    async def main(seconds: float) -> None:
        cache = AsyncCache(1_000)
        await cache.set("k", "value", ttl)
        await cache.set("gone", "value", ttl=0)
        await asyncio.sleep(seconds)
        await cache.get("k")

    lab.simulate(main(ttl / 2))
    with pytest.raises(RuntimeError, match=r"clock=lab\.clock"):
        lab.simulate(main(ttl * 2))


def test_the_first_of_two_tiers_is_looked_at() -> None:
    """Its AsyncCache has a clock, too."""
    tiers = TieredCache(AsyncCache(10), RedisCache())

    async def main() -> None:
        tiers.l1.store.put("k", "value", 30, tiers.l1.clock())
        await asyncio.sleep(60)
        assert tiers.lookup("k") == "value"

    with pytest.raises(RuntimeError, match=WHAT_TO_DO):
        lab.simulate(main())


def test_a_cache_that_was_filled_before_is_an_error() -> None:
    """Its entries end by another clock: that of the simulation begins at 0 again."""
    database = lab.Database()
    page = page_through(AsyncCache(10, clock=lab.clock), database)
    run(page, database)
    with pytest.raises(RuntimeError, match=r"ttl of 10 s held . entries before .*Make the cache"):
        run(page, database)


def test_what_never_expires_may_be_filled_before() -> None:
    """A cache without a ttl, for its hit rate by room, knows no time."""
    database = lab.Database()
    page = page_through(AsyncCache(math.inf, maxsize=3), database)
    assert run(page, database).counts["miss"] >= run(page, database).counts["miss"] > 0


def test_another_failure_is_told_first() -> None:
    """What the code raised comes through, with a note about the clock: it may be the reason."""

    async def main() -> None:
        cache = AsyncCache(10)
        await cache.set("k", "old")
        await asyncio.sleep(60)
        assert await cache.get("k") is None, "it should have expired"

    with pytest.raises(AssertionError, match="expired") as caught:
        lab.simulate(main())
    assert any("clock=lab.clock" in note for note in caught.value.__notes__)


def test_caches_of_real_time_may_wait_beside_a_simulation() -> None:
    """One that is not used inside is nobody's concern; nor is any, once the simulation is over."""
    cache = AsyncCache(10)

    async def real() -> Any:
        await cache.set("k", "value")
        lab.simulate(asyncio.sleep(60))
        return await cache.get("k")

    assert asyncio.run(real()) == "value"


def test_other_threads_live_in_real_time() -> None:
    """As a service does that goes on beside a simulation."""
    cache = AsyncCache(10)

    async def main() -> None:
        for _ in range(2):
            other = threading.Thread(target=asyncio.run, args=[cache.set("k", "value")])
            other.start()
            other.join()
            await asyncio.sleep(60)

    lab.simulate(main())
    assert asyncio.run(cache.get("k")) == "value"


def test_nothing_is_watched_after_a_simulation() -> None:
    """Outside a hit costs what it did before, also after a simulation that failed."""
    methods = Store.lookup, Store.put

    async def fails() -> None:
        raise LookupError

    lab.simulate(asyncio.sleep(1))
    with pytest.raises(LookupError):
        lab.simulate(fails())
    assert (Store.lookup, Store.put) == methods
