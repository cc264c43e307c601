"""TieredCache on a server: what one changes, the others forget; nobody keeps what is old."""

import asyncio
import math
import time
from typing import Any

import pytest

from cachepool_lib import (
    AsyncCache,
    CacheClosed,
    CacheUnavailable,
    RedisCache,
    TieredCache,
    async_cache,
    lab,
)
from tests.tools import redis_tools, tiered_tools
from tests.tools.async_cache_tools import Loads, ManualClock, answer
from tests.tools.redis_tools import until
from tests.tools.tiered_tools import forgotten, several, tiers, until_held

pytestmark = pytest.mark.anyio


async def test_what_one_changes_the_others_forget() -> None:
    """By set, also of many at once, set_many, delete, clear, clear of a group, and refresh."""
    group = ("g", 1)
    ways: dict[str, Any] = {
        "set": lambda one: one.set(group, "new"),
        "set of many": lambda one: asyncio.gather(*(one.set(key, "new") for key in ("g", group))),
        "set_many": lambda one: one.set_many({group: "new"}),
        "ttl 0": lambda one: one.set(group, "new", ttl=0),
        "delete": lambda one: one.delete(group),
        "clear": lambda one: one.clear(),
        "clear of its group": lambda one: one.clear("g"),
        "refresh": lambda one: one.refresh(group, lambda: answer("new")),
    }
    async with several(2) as [here, there]:
        for way, change in ways.items():
            await here.set_many({group: "old", "g": 2})
            async with asyncio.timeout(20):  # until the message of before has come, and no "new"
                while there.lookup(group) != "old":
                    await there.get(group)
                    await asyncio.sleep(0.001)
            await change(here)
            await forgotten(there, group)
            expected = "new" if way in ("set", "set of many", "set_many", "refresh") else None
            assert await there.get(group) == await here.get(group) == expected, way


async def test_a_plain_redis_cache_in_the_namespace_is_heard() -> None:
    """Whatever it writes; also a debt that it pays."""
    async with several(1) as [tiered]:
        namespace = tiered_tools.namespace_of(tiered)
        async with RedisCache(await redis_tools.url(), namespace=namespace, timeout=5) as plain:
            changes: list[Any] = [plain.clear, lambda: plain.delete("a"), lambda: plain.set("a", 2)]
            for change in changes:
                await plain.set("a", 1)
                await until_held(tiered, "a")
                await change()
                await forgotten(tiered, "a")


async def test_ones_own_value_stays_in_memory() -> None:
    """What one has set or loaded needs no trip to be read, though its own message comes back."""
    async with several(2) as [here, there]:
        await here.set("a", 1)
        await here.get_or_load("b", lambda: answer(2))
        await until_held(there, "b")
        await there.set("c", 3)
        await here.get("c")
        await there.delete("c")
        await forgotten(here, "c")  # messages of before it have come, too
        assert (here.lookup("a"), here.lookup("b")) == (1, 2)


async def test_a_value_that_is_on_its_way_when_it_is_deleted_is_not_kept() -> None:
    """A reader was sent the old value; the message of the delete overtakes it."""
    async with (
        lab.server() as server,  # nobody else asks it anything
        lab.Proxy(server.url) as slow,
        redis_tools.raw(slow.url) as client,
        redis_tools.raw(server.url) as direct,
        several(1, redis_url=server.url) as [other],
        RedisCache(client=client, namespace=tiered_tools.namespace_of(other), timeout=5) as l2,
    ):
        await l2.get("a")
        # Commands go on the connection that there is, and it is slow; messages come directly.
        client.connection_pool.make_connection = direct.connection_pool.make_connection
        reader = TieredCache(AsyncCache(), l2)
        await other.set_many({"a": "old", "b": 1})
        await reader.get("b")
        await reader.connect()
        await until_held(reader, "b")
        asked = await times_looked(direct)
        slow.slow(1.5)
        reading = asyncio.create_task(reader.get("a"))
        while await times_looked(direct) == asked:
            await asyncio.sleep(0.001)
        await other.delete("a")
        await other.delete("b")
        await forgotten(reader, "b")  # so that of "a" has come, too
        assert not reading.done()
        assert await reading == "old"
        assert reader.lookup("a") is None
        assert await reader.get("a") is None
        await reader.close()


async def times_looked(client: Any) -> int:
    """How often the server was asked what it has of a key."""
    stats = await client.info("commandstats")
    return int(stats.get("cmdstat_getrange", {"calls": 0})["calls"])


async def test_an_entry_in_memory_ends_before_that_in_redis() -> None:
    """Whoever reads it late keeps it for what is left; nobody for longer than l1_ttl."""
    clock = ManualClock()
    async with several(1, clock=clock) as [reader], redis_tools.raw() as client:
        namespace = tiered_tools.namespace_of(reader)
        async with RedisCache(await redis_tools.url(), namespace=namespace, timeout=5) as plain:
            await plain.set("a", 1, ttl=20)
            await redis_tools.shift(client, namespace, 10)
            await until_held(reader, "a")
            clock.now += 9
            assert reader.lookup("a") == 1
            clock.now += 1
            assert reader.lookup("a") is None
            await plain.set("b", 1, ttl=math.inf)
            await until_held(reader, "b")
            clock.now += 29
            assert reader.lookup("b") == 1
            clock.now += 1
            assert reader.lookup("b") is None


async def test_jitter_of_redis_shortens_the_first_tier_too() -> None:
    """Of 100 values none is fresh in memory for longer than there."""
    clock = ManualClock()
    async with several(1, clock=clock, jitter=0.5) as [made], redis_tools.raw() as client:
        began = time.monotonic()
        for key in range(100):
            await made.set(key, key, ttl=20)
        namespace = tiered_tools.namespace_of(made)
        there = await redis_tools.names(client, namespace)
        left = min([await client.pttl(name) for name in there]) / 1000
        clock.now += left + time.monotonic() - began
        fresh = [key for key in range(100) if made.lookup(key) is not None]
        assert not fresh


async def test_a_hit_of_the_second_tier_brings_its_stale_window_along() -> None:
    """So whoever has read a page in time has an old one when Redis goes away."""
    clock = ManualClock()
    async with several(2, clock=clock) as [here, there]:
        await here.get_or_load("a", lambda: answer(1), 40, stale_if_error=60)
        await until_held(there, "a")
        entry = there.l1.store.peek("a", clock())
        assert entry is not None
        clock.now += 99
        assert there.l1.store.peek("a", clock()) is not None
        clock.now += 1
        assert there.l1.store.peek("a", clock()) is None


async def test_get_many_asks_for_what_is_missing_alone() -> None:
    """In one trip; and keeps it."""
    async with several(2) as [here, there]:
        await here.set_many({key: key for key in range(10)})
        await here.set("last", 1)
        await until_held(there, "last")
        await here.delete("last")
        await forgotten(there, "last")  # messages of before have come, too
        before, in_memory = there.stats(), there.l1.stats().hits
        assert await there.get_many(range(5)) == {key: key for key in range(5)}
        assert await there.get_many(range(12)) == {key: key for key in range(10)}
        stats = there.stats()
        assert (stats.hits - before.hits, stats.misses - before.misses) == (15, 2)
        assert there.l1.stats().hits - in_memory == 5
        assert [there.lookup(key) for key in range(10)] == list(range(10))


async def test_a_load_in_one_is_a_hit_in_the_other() -> None:
    """One load of a key runs in all of them, and each keeps its value."""
    async with several(2) as [here, there]:
        loads = Loads()
        callers = [asyncio.create_task(one.get_or_load("a", loads)) for one in (here, there) * 20]
        await until(lambda: len(loads))
        loads[0].set_result("page")
        assert await asyncio.gather(*callers) == ["page"] * 40
        assert len(loads) == 1


async def test_a_load_that_a_delete_elsewhere_voids_is_kept_nowhere() -> None:
    async with several(2) as [here, there]:
        loads = Loads()
        caller = asyncio.create_task(here.get_or_load("a", loads))
        await until(lambda: len(loads))
        await there.delete("a")
        loads[0].set_result("old")
        assert await caller == "old"
        assert await here.get("a") is None
        assert await there.get("a") is None


async def test_what_redis_could_not_hold_memory_does_not_either() -> None:
    """The caller has its value, and `set` raises: as in RedisCache."""
    async with several(1) as [made]:
        assert await made.get_or_load("a", lambda: answer({1})) == {1}
        assert made.lookup("a") is None
        with pytest.raises(TypeError):
            await made.set("a", {1})
        assert await made.get("a") is None


async def test_writes_are_refused_before_anything_changes() -> None:
    async with several(1) as [made]:
        await made.set("a", 1)
        for bad in (-1, math.nan, "soon"):
            with pytest.raises((TypeError, ValueError)):
                await made.set("a", 2, ttl=bad)  # type: ignore[arg-type]
            with pytest.raises((TypeError, ValueError)):
                await made.get_or_load("a", lambda: answer(2), bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await made.set_many({"a": 2, "b": object()})
        assert made.lookup("a") == 1


async def test_what_can_not_be_two_tiers_is_refused() -> None:
    """By name, and with what was expected."""
    where = await redis_tools.url()
    async with AsyncCache() as l1, RedisCache(where) as l2:
        for one, other, error, text in [
            (l2, l2, TypeError, "l1 must be a AsyncCache, got RedisCache"),
            (l1, l1, TypeError, "l2 must be a RedisCache, got AsyncCache"),
        ]:
            with pytest.raises(error, match=text):
                TieredCache(one, other)  # type: ignore[arg-type]
        for ttl in (0, -1, math.nan, math.inf):
            with pytest.raises(ValueError, match="l1_ttl"):
                TieredCache(l1, l2, l1_ttl=ttl)
        await l1.set("a", 1)
        with pytest.raises(ValueError, match="l1 must be empty"):
            TieredCache(l1, l2)


async def test_closed_it_says_so_and_opens_again() -> None:
    """No hit from memory, which nobody would tell any more; and no task is left."""
    where, namespace = await redis_tools.url(), redis_tools.namespace()
    before = asyncio.all_tasks()
    made = tiers(where, namespace)
    async with made:
        await made.connect()
        await made.set("a", 1)
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() - before == set()
    assert made.lookup("a") is None
    for call in (made.get("a"), made.delete("a"), made.get_or_load("a", lambda: answer(1))):
        with pytest.raises(CacheClosed):
            await call
    await made.close()
    async with made:
        assert await made.get("a") == 1
        await made.clear()


async def test_under_the_decorator() -> None:
    """A hit in memory needs no trip; invalidate and cache_clear reach the others."""
    calls = 0

    async def page(number: int) -> int:
        nonlocal calls
        calls += 1
        return calls

    async with several(2) as made:
        here, there = [async_cache(cache=one, name="page")(page) for one in made]
        assert (await here(1), await there(1), await there(1), await here(1)) == (1, 1, 1, 1)
        assert there.cache_info().hits == 2
        key = there.cache_key(1)
        assert made[1].lookup(key) == 1
        assert await here.invalidate(1) is True
        await forgotten(made[1], key)
        assert await there(1) == 2
        assert await here.cache_clear() is True
        await forgotten(made[1], key)
        early = async_cache(cache=made[0], name="early", early_refresh=1e9)(page)
        assert await early(1) == await early(1) == 3
        await until(lambda: calls == 4)


async def test_in_a_cluster_every_node_tells() -> None:
    """Whichever node has the key, and whichever one listens to."""
    async with lab.cluster(3) as cluster:
        clients = [redis_cluster(cluster.url) for _ in range(2)]
        caches = [
            TieredCache(AsyncCache(), RedisCache(client=client, namespace="n", timeout=5))
            for client in clients
        ]
        here, there = caches
        for one in caches:
            await one.connect()
        for key in range(30):
            await here.set(key, "old")
        assert await there.get_many(range(30)) == dict.fromkeys(range(30), "old")
        for key in range(20):
            await here.delete(key)
            await forgotten(there, key)
        await here.clear()
        for key in range(30):
            await forgotten(there, key)
        assert await there.get_many(range(30)) == {}
        for one, client in zip(caches, clients, strict=True):
            await one.close()
            await client.aclose()


def redis_cluster(url: str) -> Any:
    from redis.asyncio import RedisCluster

    return RedisCluster.from_url(url)


@pytest.mark.parametrize("options", [{"protocol": 3}, {"socket_timeout": 0.1}], ids=str)
async def test_with_a_client_of_ones_own(options: dict[str, Any]) -> None:
    """Of another protocol; or with a limit for replies: a quiet channel is no silent server."""
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(await redis_tools.url(), **options)
    async with client, several(1) as [there]:
        namespace = tiered_tools.namespace_of(there)
        second = RedisCache(client=client, namespace=namespace, timeout=5)
        async with TieredCache(AsyncCache(), second) as here:
            await here.connect()
            for _ in range(3):
                await there.set("a", 1)
                await until_held(here, "a")
                await asyncio.sleep(0.2)
                assert here.lookup("a") == 1
                await there.delete("a")
                await forgotten(here, "a")


# Whoever never closes leaves sockets to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_in_one_event_loop_after_another() -> None:
    """Entries outlive a loop; in the next one messages come again."""

    async def url() -> str:
        return await redis_tools.url()

    where, namespace = asyncio.run(url()), redis_tools.namespace()
    made = tiers(where, namespace)

    async def first() -> None:
        await made.set("a", 1)
        await made.connect()

    async def second() -> None:
        await made.connect()
        async with RedisCache(where, namespace=namespace, timeout=5) as plain:
            await until_held(made, "a")
            await plain.delete("a")
            await forgotten(made, "a")
            assert await made.get("a") is None
        await made.close()

    asyncio.run(first())
    asyncio.run(second())


async def test_without_permission_for_channels() -> None:
    """`connect` says what is missing and what to do without; RedisCache works as ever."""
    async with lab.server() as server, redis_tools.raw(server.url) as client:
        await client.execute_command(
            "ACL", "SETUSER", "shop", "on", ">s3cret", "~*", "+@all", "resetchannels"
        )
        where = server.url.replace("redis://:", "redis://shop:").replace(
            server.url.partition("://:")[2].partition("@")[0], "s3cret"
        )
        async with tiers(where, "n") as made:
            with pytest.raises(CacheUnavailable, match="subscribe=False") as raised:
                await made.connect()
            assert "&n:changed" in str(raised.value)
            assert "s3cret" not in repr(raised.value)
            assert await made.set("a", 1) is True
        async with tiers(where, "n", subscribe=False, l1_ttl=0.05) as made:
            await made.connect()
            async with RedisCache(where, namespace="n", timeout=5) as plain:
                assert await made.get("a") == 1
                assert await plain.set("a", 2) is True
                assert await plain.get_or_load("b", lambda: answer(1)) == 1
                began = time.monotonic()
                while await made.get("a") != 2:
                    await asyncio.sleep(0.005)
                assert time.monotonic() - began < 5
                assert await plain.delete("a") is True
                assert await plain.clear() is True
                assert plain.stats().errors == 0
