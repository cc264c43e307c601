"""A page that expires in front of many instances: what notebook 07 counts in simulated time."""

import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.experiments.fleet import Instance

Load = Callable[[], Awaitable[str]]


async def nothing(instance: Instance, load: Load) -> Any:
    page = await instance.shared.get("page")
    if page is None:
        page = await load()
        await instance.shared.set("page", page, ttl=10)
    return page


async def own_flight(instance: Instance, load: Load) -> Any:
    return await instance.near.get_or_load("page", lambda: nothing(instance, load), ttl=0)


async def lease(instance: Instance, load: Load) -> Any:
    return await instance.shared.get_or_load("page", load, ttl=10)


async def stale(instance: Instance, load: Load) -> Any:
    options = {"stale_while_revalidate": 60}
    return await instance.shared.get_or_load("page", load, ttl=10, **options)


ALL = [nothing, own_flight, lease, stale]


@pytest.mark.parametrize("instances", [10, 100])
@pytest.mark.parametrize("strategy", ALL)
def test_the_stand_in_counts_the_loads_that_redis_counts(strategy: Any, instances: int) -> None:
    """Of the same visits: that is why it may stand in where RedisCache would take too long."""
    real = lab.fleet(strategy, instances)
    stands_in = lab.fleet(strategy, instances, stand_in=True)
    assert (real.loads, real.visits) == (stands_in.loads, stands_in.visits)
    if strategy in (nothing, own_flight):
        assert real.longest == pytest.approx(stands_in.longest)


def test_who_shares_nothing_loads_once_a_visit() -> None:
    """A flight in each instance lowers that; a lease or a stale window makes it one."""
    loads = [lab.fleet(strategy, 100).loads for strategy in ALL]
    assert 90 < loads[0] < 120
    assert 55 < loads[1] < 75  # of 100, those with a visit within the load: 1 − 1/e
    assert loads[2:] == [1, 1]


def test_a_run_is_the_same_each_time() -> None:
    """To the last microsecond: its figures are printed in the notebook."""
    assert lab.fleet(nothing, 50) == lab.fleet(nothing, 50)


def test_with_few_connections_the_last_waits_for_all_before() -> None:
    """A hundred loads of 0.1 s on twenty connections take half a second, those in vain included."""
    assert lab.fleet(nothing, 100).longest == pytest.approx(0.5, abs=0.1)
    assert lab.fleet(stale, 100).longest < 0.01


@pytest.mark.parametrize("before", [True, False])
def test_garbage_is_collected_again(before: bool) -> None:
    """As it was before, also where the strategy fails."""

    async def fails(instance: Instance, load: Load) -> None:
        raise ValueError("no page")

    was = gc.isenabled()
    (gc.enable if before else gc.disable)()
    try:
        with pytest.raises(ValueError, match="no page"):
            lab.fleet(fails, 10)
        assert gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()


def test_one_key_and_what_acts_before_it_expires() -> None:
    """Jitter moves the moment; an early refresh loads before it, and nobody waits."""
    seen = lab.one_key(
        {
            "no option": {},
            "jitter=0.1": {"jitter": 0.1},
            "early_refresh=1": {"early_refresh": 1},
        }
    )
    plain, jittered, early = seen.rows.values()
    assert plain[0] == jittered[0] == early[0] == 2
    assert plain[1] > 10 < jittered[1]
    assert early[1] == 0
    assert "early_refresh=1: 2 loads, 0 visits waited" in repr(seen)
    assert "<td>early_refresh=1</td><td>2</td><td>0</td>" in seen._repr_html_()
