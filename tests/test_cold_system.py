"""The library's own classes together: a system that is cold, with too many at the door."""

from typing import Any

import pytest

from cachepool_lib import AsyncCache, DatabasePool, lab

SECONDS = 120
# Pages end sooner than the database could load all of them anew: 22 loads a second, of 20.
TTL = 35


async def by_hand(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
    page = await cache.get(user_id)
    if page is None:
        page = await pool.fetchval("SELECT a page", user_id)
        await cache.set(user_id, page)
    return page


def loading(**windows: float) -> Any:
    async def page(pool: DatabasePool, cache: AsyncCache, user_id: int) -> Any:
        load = lambda: pool.fetchval("SELECT a page", user_id)  # noqa: E731
        return await cache.get_or_load(user_id, load, **windows)

    return page


WINDOWS = {"stale_while_revalidate": 600.0, "stale_if_error": 600.0}


def after(page: Any, max_waiting: int | None) -> float:
    """The share of visits in time in the last 20 s, where *page* was deployed at 30 s."""
    run = lab.cold_start(by_hand, page, max_waiting=max_waiting, ttl=TTL, seconds=SECONDS)
    return run.goodput(SECONDS, span=20)


def test_max_waiting_stale_windows_and_single_flight_bring_a_cold_system_back() -> None:
    """By DatabasePool's own rule: from nobody to nearly everybody, and it stays so."""
    assert lab.cold_start(by_hand, ttl=TTL, seconds=SECONDS).goodput(SECONDS, span=60) < 0.01
    assert after(loading(**WINDOWS), max_waiting=18) > 0.995


@pytest.mark.parametrize(
    ("page", "max_waiting", "most"),
    [
        pytest.param(by_hand, 18, 0.92, id="a limit alone"),
        pytest.param(loading(), None, 0.35, id="single flight alone"),
        pytest.param(loading(**WINDOWS), None, 0.7, id="no limit"),
        pytest.param(loading(), 18, 0.95, id="no stale windows"),
    ],
)
def test_without_one_of_them_it_does_not_come_back(
    page: Any, max_waiting: int | None, most: float
) -> None:
    """Each of the three has its share in it."""
    assert after(page, max_waiting) < most
