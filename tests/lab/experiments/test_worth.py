"""What is worth caching, and who keeps the loop waiting: what notebook 06 measures."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from cachepool_lib import AsyncCache, lab

Compute = Callable[[int], int]


def test_what_a_cache_saves_is_calls_times_hits_times_seconds() -> None:
    """One key, asked for often: all but one call in each ttl are saved, in the room of one."""
    gain = lab.worth(lab.Calls(seconds=0.08, rate=20, keys=1, kb=0.3), ttl=60)
    assert gain.hit_rate > 0.99
    assert gain.saved == pytest.approx(1.6, rel=0.01)
    assert gain.megabytes == pytest.approx(0.0003)
    assert repr(gain) == "hit rate 1.00, 1.6 s saved a second, 0.0003 MB"


def test_what_nobody_asks_for_twice_saves_nothing_and_takes_room() -> None:
    """Each of the calls of a ttl is held."""
    gain = lab.worth(lab.Calls(seconds=0.01, rate=30, keys=None, kb=5), ttl=60)
    assert gain.saved == 0
    assert gain.megabytes == pytest.approx(30 * 60 * 5 / 1000, rel=0.1)


def test_rare_calls_are_watched_for_longer() -> None:
    """Once a minute with a ttl of a minute: half of the calls, as theory says."""
    gain = lab.worth(lab.Calls(seconds=1, rate=1 / 60, keys=1, kb=1), ttl=60)
    assert gain.hit_rate == pytest.approx(0.5, abs=0.05)


async def on_the_loop(compute: Compute, user_id: int) -> int:
    return compute(user_id)


@pytest.mark.anyio
async def test_the_loop_gets_no_turn_while_it_computes() -> None:
    """With a cache it computes less often, and the loop stands still all the same."""
    cache = AsyncCache(60)

    async def cached(compute: Compute, user_id: int) -> object:
        return await cache.get_or_load(user_id, partial(on_the_loop, compute, user_id))

    plain = await lab.turns(on_the_loop, seconds=0.01)
    assert (len(plain.computed), plain.meanwhile) == (6, 0)
    seen = await lab.turns(cached, seconds=0.01)
    assert repr(seen) == "computed 2 times, no turn of the loop meanwhile"


@pytest.mark.anyio
async def test_the_loop_goes_on_beside_a_thread() -> None:
    """It gets several turns for each computation of many milliseconds."""

    async def in_a_thread(compute: Compute, user_id: int) -> object:
        return await asyncio.to_thread(compute, user_id)

    seen = await lab.turns(in_a_thread, visits=[1, 1])
    assert seen.meanwhile > 3
    assert repr(seen) == "computed 2 times, the loop went on meanwhile"


@pytest.mark.anyio
async def test_nothing_is_left_of_a_way_that_fails() -> None:
    """The error reaches the caller, and the task that took the turns has ended."""

    async def fails(compute: Compute, user_id: int) -> None:
        raise ValueError("no recommendation")

    others = asyncio.all_tasks()
    with pytest.raises(ValueError, match="no recommendation"):
        await lab.turns(fails)
    assert asyncio.all_tasks() == others
