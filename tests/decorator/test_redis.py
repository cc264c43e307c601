"""async_cache over Redis: what the contract does not ask, as clearing and refreshing among others.

Two RedisCaches in one namespace stand for two processes: neither knows of the other's loads.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cachepool_lib import MsgpackSerializer, RedisCache, async_cache, lab
from tests.tools import redis_tools
from tests.tools.async_cache_tools import Loads, answer, begin
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def two_processes(**options: Any) -> AsyncIterator[tuple[RedisCache, RedisCache]]:
    namespace = redis_tools.namespace()
    async with (
        redis_tools.cache(namespace=namespace, **options) as one,
        redis_tools.cache(namespace=namespace, **options) as two,
    ):
        yield one, two


async def begun(loads: Loads, number: int) -> None:
    await until(lambda: len(loads) >= number)


async def test_what_one_process_loaded_is_a_hit_in_another() -> None:
    """By the module and name of the function; typed as in memory."""
    async with two_processes() as (one, two):
        loads = Loads()

        async def page(user: Any) -> Any:
            return await loads()

        here, there = (async_cache(cache=cache, name="page")(page) for cache in (one, two))
        task = await begin(here(1))
        await begun(loads, 1)
        loads[0].set_result("page of 1")
        assert await task == await there(user=1) == "page of 1"
        assert two.stats().hits == there.cache_info().hits == 1
        task = await begin(there(True))
        await begun(loads, 2)
        loads[1].set_result("page of True")
        assert await task == await here(True) == "page of True"


@pytest.mark.parametrize("name", ["page", "p*ge", "pa{g}e", "pa%7Be", "[p]age", "Zoë", "!(s4:page"])
async def test_cache_clear_removes_this_functions_keys_alone(name: str) -> None:
    """Not those of names that begin like it, nor what is stored by hand; in every process."""
    async with two_processes() as (one, two):
        others = {"pag", f"{name}s", f"{name}:", f"{name})", "page", "paage"} - {name}
        functions = {n: async_cache(cache=one, name=n)(answer) for n in (name, *others)}
        for function in functions.values():
            await function(1)
            await function("two")
        await one.set(name, "by hand")
        await one.set(("user", name), "by hand")
        before = one.stats().loads
        assert await async_cache(cache=two, name=name)(answer).cache_clear() is True
        for other in others:
            await functions[other](1)
            await functions[other]("two")
        assert one.stats().loads == before
        assert await one.get(name) == await one.get(("user", name)) == "by hand"
        await functions[name](1)
        await functions[name]("two")
        assert one.stats().loads == before + 2


async def test_cache_clear_works_on_a_cluster() -> None:
    """On each of its nodes."""
    from redis.asyncio import RedisCluster

    async with (
        lab.cluster(3) as cluster,
        RedisCluster.from_url(cluster.url) as client,
        RedisCache(client=client, namespace="clearing") as cache,
    ):
        kept, cleared = (async_cache(cache=cache, name=n)(answer) for n in ("kept", "cleared"))
        for number in range(20):
            await kept(number)
            await cleared(number)
        await cleared.cache_clear()
        for number in range(20):
            await kept(number)
            await cleared(number)
        assert cache.stats().loads == 60


@pytest.mark.parametrize("forget", ["invalidate", "cache_clear"])
async def test_forgetting_in_one_process_voids_the_run_in_another(forget: str) -> None:
    """What was read before is not stored after."""
    async with two_processes() as (one, two):
        loads = Loads()
        here, there = (async_cache(cache=cache, name="page")(loads) for cache in (one, two))
        before = await begin(here())
        await begun(loads, 1)
        await getattr(there, forget)()
        loads[0].set_result("old")
        assert await before == "old"
        after = await begin(there())
        await begun(loads, 2)
        loads[1].set_result("new")
        assert await after == await here() == "new"


async def test_refresh_serves_the_old_result_meanwhile_in_every_process() -> None:
    """And then the new one."""
    async with two_processes() as (one, two):
        loads = Loads()
        here, there = (async_cache(cache=cache, name="page")(loads) for cache in (one, two))
        first = await begin(here())
        await begun(loads, 1)
        loads[0].set_result("old")
        await first
        refresh = await begin(here.refresh())
        await begun(loads, 2)
        assert await here() == await there() == "old"
        loads[1].set_result("new")
        assert await refresh == await here() == await there() == "new"


async def test_refresh_takes_over_from_a_run_in_another_process() -> None:
    """That one may have read what has changed: it is not stored, whichever ends first."""
    async with two_processes() as (one, two):
        loads = Loads()
        here, there = (async_cache(cache=cache, name="page")(loads) for cache in (one, two))
        before = await begin(there())
        await begun(loads, 1)
        refresh = await begin(here.refresh())
        await begun(loads, 2)
        loads[1].set_result("new")
        assert await refresh == "new"
        loads[0].set_result("old")
        assert await before == "old"
        assert await here() == await there() == "new"


async def test_a_failed_refresh_leaves_the_old_result() -> None:
    """Nothing of its claim stays behind, so the next run is stored."""
    async with two_processes() as (one, _):
        loads = Loads()
        cached = async_cache(cache=one, name="page")(loads)
        for number, outcome in enumerate(["old", ConnectionError("down"), "new"]):
            task = await begin(cached.refresh())
            await begun(loads, number + 1)
            if isinstance(outcome, str):
                loads[number].set_result(outcome)
                assert await task == await cached() == outcome
            else:
                loads[number].set_exception(outcome)
                with pytest.raises(ConnectionError, match="down"):
                    await task
                assert await cached() == "old"


async def test_without_redis_the_function_runs() -> None:
    """Calls and refreshes are answered, each crowd by one run; invalidate can't confirm."""
    async with redis_tools.cache(redis_url="redis://127.0.0.1:1", timeout=0.1) as cache:
        cached = async_cache(cache=cache, name="page")(answer)
        assert await asyncio.gather(*(cached(7) for _ in range(20))) == [7] * 20
        assert cache.stats().loads == 1
        assert await cached.refresh(7) == 7
        assert await cached.invalidate(7) is False
        assert await cached.cache_clear() is False


async def test_a_cycle_is_found_over_redis_too() -> None:
    """Within one process, as the docstring says."""
    async with two_processes() as (cache, _):

        @async_cache(cache=cache, name="one")
        async def one(n: int) -> Any:
            return await two(n)

        @async_cache(cache=cache, name="two")
        async def two(n: int) -> Any:
            return await one(n)

        with pytest.raises(RuntimeError, match="would wait for itself"):
            await asyncio.wait_for(one(1), 20)


async def test_one_name_in_two_caches_is_no_cycle() -> None:
    """A near cache before a far one, both by the function's own name."""
    async with redis_tools.cache() as near, redis_tools.cache() as far:
        cached = async_cache(cache=near, name="page")(async_cache(cache=far, name="page")(answer))
        assert await cached(7) == await cached(7) == 7
        assert (near.stats().hits, far.stats().loads) == (1, 1)


async def test_what_redis_brings_back_is_what_the_function_returned() -> None:
    """With the serializer of the cache; None is a result, too."""
    async with redis_tools.cache(serializer=MsgpackSerializer()) as cache:
        cached = async_cache(cache=cache, name="page")(answer)
        for value in (None, (1, "two"), frozenset({1}), b"x"):
            assert await cached(value) == await cached(value) == value
        assert cache.stats().loads == 4
