"""`get_or_load_many` in Redis: how many trips it takes, and what other processes have under way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio import RedisCluster

from cachepool_lib import RedisCache, lab
from tests.test_loading_many import ManyLoads, begin, doubled
from tests.tools.async_cache_tools import Loads, answer, nothing_left
from tests.tools.redis_tools import cache, namespace, until, url

pytestmark = pytest.mark.anyio
__all__ = ["nothing_left"]


class Counting(redis.asyncio.Connection):
    """Counts what is sent: each time is a trip."""

    trips = 0

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        Counting.trips += 1
        await super().send_packed_command(*args, **options)


@contextlib.asynccontextmanager
async def counting() -> AsyncIterator[RedisCache]:
    """A cache with connections that count, and are open."""
    pool = redis.asyncio.ConnectionPool.from_url(await url(), connection_class=Counting)
    client = redis.asyncio.Redis(connection_pool=pool)
    async with contextlib.aclosing(pool), cache(client=client) as made:
        await asyncio.gather(*(made.set(n, "x" * 40_000) for n in range(8)))  # a batch each
        Counting.trips = 0
        yield made


async def test_three_trips_where_nothing_is_at_hand() -> None:
    """One asks, one takes the leases, one stores; where all is at hand, one is enough."""
    async with counting() as made:
        keys = list(range(100, 140))
        await made.get_or_load_many(keys, doubled)
        assert Counting.trips == 3
        await made.get_or_load_many(keys, doubled)
        assert Counting.trips == 4
        await made.get_or_load_many(range(130, 160), doubled)
        assert Counting.trips == 7


async def test_a_list_that_is_too_long_for_one_batch_goes_in_parts() -> None:
    """A part is of 64 kB: for 1,000 keys some tens of trips, not thousands; one loader call."""
    loads = ManyLoads()
    async with counting() as made:
        call = begin(made.get_or_load_many(range(1_000, 2_000), loads))
        await loads.begun()
        loads.ends[0].set_result({key: key for key in range(1_000, 2_000)})
        assert len(await call) == 1_000
        assert loads.asked == [list(range(1_000, 2_000))]
        assert Counting.trips < 100
        assert len(await made.get_many(range(1_000, 2_000))) == 1_000


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[RedisCache, RedisCache]]:
    """Two caches on one namespace, as two processes have them."""
    name = namespace()
    async with cache(namespace=name) as one, cache(namespace=name) as other:
        yield one, other


async def test_what_another_process_loads_is_left_out_and_waited_for() -> None:
    """The rest is loaded meanwhile, and what the other one stores is the answer."""
    async with two() as (here, there):
        elsewhere, loads = ManyLoads(), ManyLoads()
        other = begin(there.get_or_load_many([1, 2], elsewhere))
        await elsewhere.begun()
        call = begin(here.get_or_load_many([1, 2, 3], loads))
        await loads.begun()
        assert loads.asked == [[3]]
        loads.ends[0].set_result({3: "here"})
        elsewhere.ends[0].set_result({1: "there", 2: "there"})
        assert await call == {1: "there", 2: "there", 3: "here"}
        assert await other == {1: "there", 2: "there"}
        assert (here.stats().misses, here.stats().shared) == (1, 2)


async def test_where_another_process_fails_one_more_call_loads() -> None:
    """With the keys that it had under way, as many as are heard of by then: each is loaded once."""
    async with two() as (here, there):
        elsewhere, asked = ManyLoads(), list[list[int]]()
        other = begin(there.get_or_load_many([1, 2, 3], elsewhere))
        await elsewhere.begun()

        async def load(keys: list[int]) -> dict[int, int]:
            asked.append(keys)
            return {key: key for key in keys}

        call = begin(here.get_or_load_many([1, 2, 3, 4], load))
        while not asked:
            await asyncio.sleep(0.001)
        elsewhere.ends[0].set_exception(LookupError("there"))
        with pytest.raises(LookupError):
            await other
        assert await call == {1: 1, 2: 2, 3: 3, 4: 4}
        assert asked[0] == [4]
        assert sorted(key for keys in asked[1:] for key in keys) == [1, 2, 3]


async def test_what_another_process_deletes_meanwhile_is_not_stored() -> None:
    """The others of the list are."""
    async with two() as (here, there):
        loads = ManyLoads()
        call = begin(here.get_or_load_many([1, 2], loads))
        await loads.begun()
        await there.delete(1)
        loads.ends[0].set_result({1: "old", 2: "kept"})
        assert await call == {1: "old", 2: "kept"}
        assert await there.get_many([1, 2]) == {2: "kept"}
        assert here.stats().dropped == 1


async def test_a_key_that_is_left_out_is_free_for_other_processes() -> None:
    """They need not wait until its lease runs out, and it is no failure to them."""
    async with two() as (here, there):
        loads, single = ManyLoads(), Loads()
        call = begin(here.get_or_load_many([1, 2], loads))
        await loads.begun()
        other = begin(there.get_or_load(1, single))
        loads.ends[0].set_result({2: 2})
        assert await call == {2: 2}
        await until(lambda: len(single))
        single[0].set_result("there")
        assert await other == "there"


async def test_without_redis_one_call_loads_them_all() -> None:
    """Nothing is stored, and the page gets its list."""
    loads = ManyLoads()
    async with RedisCache("redis://127.0.0.1:1", timeout=5) as made:
        call = begin(made.get_or_load_many([1, 2, 3], loads))
        await loads.begun()
        assert loads.asked == [[1, 2, 3]]
        loads.ends[0].set_result({1: 1, 2: 2, 3: 3})
        assert await call == {1: 1, 2: 2, 3: 3}
        with pytest.raises(LookupError):
            await made.get_or_load_many([1], _fails)


async def _fails(keys: list[Any]) -> Any:
    raise LookupError


async def test_in_a_cluster() -> None:
    """Whose nodes answer one after another: it is one call of the loader."""
    async with (
        lab.cluster(3) as cluster,
        RedisCluster.from_url(cluster.url) as client,
        RedisCache(client=client, timeout=5) as made,
    ):
        loads = ManyLoads()
        keys = list(range(100))
        await made.get_or_load_many(keys[:10], lambda keys: answer(dict.fromkeys(keys, "old")))
        call = begin(made.get_or_load_many(keys, loads))
        await loads.begun()
        assert loads.asked == [keys[10:]]
        loads.ends[0].set_result(dict.fromkeys(keys[10:], "new"))
        values = await call
        assert [values[key] for key in keys] == ["old"] * 10 + ["new"] * 90
        assert len(await made.get_many(keys)) == 100
