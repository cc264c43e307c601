"""A cache that restarts empty: what never comes back by itself, and what brings it back."""

import asyncio
import functools
from typing import Any

import pytest

from cachepool_lib import AsyncCache, DatabasePool, lab
from cachepool_lib.lab.experiments.cold_start import DEPLOY, END, RESTART, ColdStart

QUERY = "SELECT a page"


async def alone(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
    """Each visitor looks, loads and stores."""
    page = await cache.get(user_id)
    if page is None:
        page = await pool.fetchval(QUERY, user_id)
        await cache.set(user_id, page)
    return page


async def shared(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
    return await cache.get_or_load(user_id, lambda: pool.fetchval(QUERY, user_id))


async def stale_too(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
    windows: Any = {"stale_while_revalidate": 600, "stale_if_error": 600}
    return await cache.get_or_load(user_id, lambda: pool.fetchval(QUERY, user_id), **windows)


async def outliving(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
    load = asyncio.create_task(shared(pool, cache, user_id))
    await asyncio.wait([load])
    return load.result()


@functools.cache
def nothing() -> ColdStart:
    return lab.cold_start(alone)


def test_by_itself_it_never_comes_back() -> None:
    """Nearly every query is given up before it has ended, so nothing gets into the cache."""
    run = nothing()
    assert run.goodput(RESTART) == 1
    assert max(run.goodput(second) for second in range(20, END + 1, 5)) < 0.05
    assert run.ended < run.begun / 100
    assert (run.restarted_at, run.deployed_at, len(run.visits)) == (RESTART, None, END)
    assert repr(run) == "in time at 60 s: 0.02, at 180 s: 0.01"


def test_losing_a_third_heals_and_losing_half_does_not() -> None:
    """What decides is how many of the visits need the database meanwhile."""
    assert lab.cold_start(alone, lost=0).goodput(60) == 1
    assert lab.cold_start(alone, lost=0.3).goodput(60) > 0.99
    half = lab.cold_start(alone, lost=0.5)
    assert 0.5 > half.goodput(60) > half.goodput(END)


@pytest.mark.parametrize(
    ("page", "options", "back_at"),
    [
        pytest.param(alone, {"max_waiting": 18}, 75, id="a limit"),
        pytest.param(stale_too, {"max_waiting": 18}, 75, id="all three"),
        pytest.param(outliving, {}, 90, id="loads that outlive their visitors"),
        pytest.param(shared, {"warm": True}, 85, id="closed and warmed"),
    ],
)
def test_what_brings_it_back(page: Any, options: Any, back_at: int) -> None:
    """From some second on nearly every visitor gets a page in time."""
    run = lab.cold_start(alone, page, **options)
    assert run.deployed_at == DEPLOY
    assert run.goodput(DEPLOY) < 0.05
    assert all(run.goodput(second) > 0.99 for second in range(back_at, END + 1, 5))


@pytest.mark.parametrize(
    ("page", "options"),
    [(shared, {}), (stale_too, {}), (stale_too, {"max_waiting": 40})],
    ids=["single flight", "and stale windows", "a queue that is too long"],
)
def test_what_brings_it_back_slowly(page: Any, options: Any) -> None:
    """A minute after it was deployed half of the visits still get nothing."""
    run = lab.cold_start(alone, page, **options)
    assert 0.3 < run.goodput(90) < 0.6
    assert all(run.goodput(second) > 0.99 for second in range(145, END + 1, 5))


async def of_the_first(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
    """A flight that is cancelled when the first who wanted it leaves."""
    page = await cache.get(user_id)
    if page is not None:
        return page
    if (flight := FLIGHTS.get(user_id)) is not None:
        return await asyncio.shield(flight)
    FLIGHTS[user_id] = flight = asyncio.get_running_loop().create_future()
    try:
        page = await pool.fetchval(QUERY, user_id)
        await cache.set(user_id, page)
        flight.set_result(page)
        return page
    finally:
        flight.cancel()
        del FLIGHTS[user_id]


FLIGHTS: dict[int, asyncio.Future[Any]] = {}


def test_a_flight_heals_because_it_outlives_its_first_visitor() -> None:
    """One that ends with whoever began it stores as little as none."""
    assert lab.cold_start(alone, of_the_first).goodput(END) < 0.1


def test_a_new_pool_or_a_long_queue_alone_does_not_bring_it_back() -> None:
    """What the slow ones have in common is the flight."""
    assert lab.cold_start(alone, alone).goodput(END) < 0.1
    assert lab.cold_start(alone, alone, max_waiting=40).goodput(END) < 0.6


def test_nobody_is_let_in_while_it_is_warmed() -> None:
    """A thousand pages take fifty seconds: nothing, and then everything."""
    run = lab.cold_start(alone, shared, warm=True)
    assert run.in_time[DEPLOY : DEPLOY + 45] == [0] * 45
    assert run.in_time[-5:] == run.visits[-5:]


def test_a_run_is_the_same_each_time() -> None:
    """Notebooks print its figures."""
    assert lab.cold_start(alone) == nothing()


@pytest.mark.parametrize(
    "wrong", [{"max_waiting": 18}, {"warm": True}, {"lost": 1.5}, {"seconds": 59}]
)
def test_what_makes_no_sense_is_refused(wrong: Any) -> None:
    """It says what was expected."""
    with pytest.raises(
        ValueError, match=r"give deploy, too|a share from 0 to 1|60 or more, not 59"
    ):
        lab.cold_start(alone, **wrong)


def test_a_mistake_in_the_page_is_raised() -> None:
    """It does not count as a visitor without a page."""

    async def broken(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
        raise KeyError("a bug")

    with pytest.raises(ExceptionGroup) as raised:
        lab.cold_start(broken)
    assert raised.group_contains(KeyError)
