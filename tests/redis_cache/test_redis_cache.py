"""RedisCache on a healthy server: what callers get, what is stored, and what is not."""

import asyncio
import logging
import math
import random
import re
import threading
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis.asyncio

from cachepool_lib import (
    CacheClosed,
    CachePoolError,
    JSONSerializer,
    MsgpackSerializer,
    RedisCache,
    lab,
)
from cachepool_lib.redis_cache.session import whole_ms
from tests.tools.async_cache_tools import Loads, answer
from tests.tools.redis_tools import (
    cache,
    loads_of,
    names,
    namespace,
    namespace_of,
    raw,
    shift,
    until,
    until_back,
    url,
)

pytestmark = pytest.mark.anyio


def name_of(made: RedisCache, key: str) -> str:
    """The name in Redis of a key that is a str."""
    return f"{namespace_of(made)}:{{{key}}}"


async def fail() -> Any:
    raise ConnectionError("the database is down")


# -- the naive usage ---------------------------------------------------------------------------


async def test_the_naive_usage_works() -> None:
    """An address, connect, set with a ttl, get, close; and get connects by itself."""
    made = RedisCache(redis_url=await url())
    await made.connect()
    await made.set("test:naive", {"name": "Ada"}, ttl=300)
    assert await made.get("test:naive") == {"name": "Ada"}
    await made.delete("test:naive")
    await made.close()

    lazy = RedisCache(await url())
    assert await lazy.get("test:naive") is None
    await lazy.close()


async def test_nothing_in_it_is_deprecated() -> None:
    """Neither redis-py nor Python warns of anything, from the first call to the last."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with cache() as made:
            await made.set_many({"a": 1, "b": 2})
            await made.get_many(["a", "b"])
            await made.get_or_load("c", lambda: answer(3), stale_while_revalidate=1)
            await made.clear()


# -- ttl ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "least", "most"),
    [
        (0.5, 1, 500),
        (60, 1, 60_000),
        (timedelta(minutes=2), 60_001, 120_000),
        (None, 120_001, 300_000),
        (0.0001, 0, 1),
        (math.inf, -1, -1),
        (1e300, -1, -1),
    ],
)
async def test_ttl_is_kept_to_the_millisecond(ttl: Any, least: int, most: int) -> None:
    """Parts of a second count, a timedelta is one, None is the default, inf is for ever."""
    async with cache() as made, raw() as client:
        assert await made.set("a", 1, ttl) is True
        left = await client.pttl(name_of(made, "a"))
        assert least <= left <= most or (most == 1 and left == -2)


@pytest.mark.parametrize(
    ("ttl", "px"), [(2.007, 2007), (4.35, 4350), (0.0015, 2), (1e-9, 1), (0, 0), (1e-320, 1)]
)
def test_ttl_is_rounded_to_a_millisecond(ttl: float, px: int) -> None:
    """No odd one on top because a float is a little more than it says; and none is none."""
    assert whole_ms(ttl) == px


async def test_zero_stores_nothing_and_removes_what_was_there() -> None:
    """As a ttl of a call, and as the default of a cache."""
    async with cache() as made:
        await made.set("a", 1)
        assert await made.set("a", 2, ttl=0) is True
        assert await made.get("a") is None
    async with cache(default_ttl=0) as made:
        await made.set("a", 1)
        assert await made.get_or_load("b", lambda: answer(2)) == 2
        assert await made.get_many(["a", "b"]) == {}


@pytest.mark.parametrize(
    ("ttl", "error"),
    [(-1, ValueError), (math.nan, ValueError), ("60", TypeError), (True, TypeError)],
)
async def test_a_bad_ttl_is_refused_before_anything_changes(
    ttl: Any, error: type[Exception]
) -> None:
    """The old value stays, nothing is loaded, and a load under way may still store."""
    loads = Loads()
    async with cache() as made:
        await made.set("a", 1)
        running = asyncio.create_task(made.get_or_load("b", loads))
        await until(lambda: len(loads))
        for call in (
            made.set("a", 2, ttl),
            made.set("b", 2, ttl),
            made.set_many({"a": 2, "b": 2}, ttl),
            made.set_many({}, ttl),
            made.get_or_load("a", fail, ttl),  # also where a value is at hand
            made.get_or_load("c", fail, ttl),
            made.get_or_load("c", fail, stale_if_error=ttl),
        ):
            with pytest.raises(error):
                await call
        loads[0].set_result("loaded")
        await running
        assert await made.get_many(["a", "b", "c"]) == {"a": 1, "b": "loaded"}


@pytest.mark.parametrize(
    "options",
    [
        {"default_ttl": -1},
        {"timeout": 0},
        {"timeout": math.inf},
        {"lock_timeout": 0},
        {"lock_timeout": math.inf},
        {"max_connections": 0},
        {"jitter": 1},
        {"namespace": ""},
        {"namespace": "a{b}"},
        {"redis_url": "http://localhost"},
        {"redis_url": "redis://localhost:port"},
        {"redis_url": "redis://localhost?decode_responses=True"},
        {"redis_url": "redis://localhost?db=first"},
        {"client": redis.asyncio.Redis(decode_responses=True)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_bad_argument_is_refused_at_once(options: dict[str, Any]) -> None:
    """When the cache is made, not when a page first needs it."""
    with pytest.raises(ValueError):
        RedisCache(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"client": object()},
        {"client": redis.Redis()},
        {"redis_url": "redis://localhost?nonsense=1"},
    ],
    ids=["no client", "a client that blocks", "an option nobody knows"],
)
def test_what_can_never_work_is_refused_when_the_cache_is_made(options: dict[str, Any]) -> None:
    """Else each call would be a miss, and the server would be blamed."""
    with pytest.raises((TypeError, ValueError)):
        RedisCache(**options)


async def test_jitter_only_shortens() -> None:
    """Each entry loses up to its share at random."""
    async with cache(jitter=0.5) as made, raw() as client:
        await made.set_many(dict.fromkeys(range(200), 1), ttl=100)
        left = [await client.pttl(name) for name in await names(client, namespace_of(made))]
        assert 40_000 < min(left) < 60_000
        assert 90_000 < max(left) <= 100_000


# -- keys and namespaces -----------------------------------------------------------------------


async def test_equal_keys_are_one_entry() -> None:
    """As in memory: 1, 1.0 and True; "1" is another, and so is what looks like a stored name."""
    async with cache() as made:
        await made.set(1, "one")
        assert await made.get(True) == "one"
        assert await made.get(1.0) == "one"
        assert await made.get("1") is None
        assert await made.get("!i1;") is None
        assert await made.get_many([1.0, "1"]) == {1.0: "one"}


@pytest.mark.parametrize("key", ["", "!", "a b\r\n", "{", "}:load", "\ud800", "é", ("a", None)])
async def test_any_key_can_be_set_read_loaded_and_deleted(key: Any) -> None:
    """However odd."""
    async with cache() as made:
        assert await made.set(key, 1)
        assert await made.get(key) == 1
        assert await made.delete(key) is True
        assert await made.get_or_load(key, lambda: answer(2)) == 2
        assert await made.get_many([key]) == {key: 2}


async def test_a_key_that_has_no_name_is_refused() -> None:
    """By every method that takes one, with what to do about it."""
    async with cache() as made:
        for call in (
            made.get(object()),
            made.get_many([object()]),
            made.set(object(), 1),
            made.delete(object()),
            made.get_or_load(object(), fail),
        ):
            with pytest.raises(TypeError, match="key="):
                await call


@pytest.mark.parametrize("odd", ["a*", "a?", "[ab]", "a\\", "a:b", "é\ud800"])
async def test_clear_stays_in_its_namespace(odd: str) -> None:
    """Characters that mean something in a pattern mean themselves."""
    here = namespace() + odd
    neighbours = [here[:-1] + "b", here + "b", here.replace("*", "xyz") + ":b", here[:-1]]
    others = [RedisCache(await url(), namespace=other) for other in neighbours if other != here]
    async with cache(namespace=here) as made:
        await made.set_many({number: number for number in range(1_500)})
        for other in others:
            await other.set("a", 1)
        assert await made.clear() is True
        assert await made.get_many(range(1_500)) == {}
        for other in others:
            assert await other.get("a") == 1
            await other.clear()
            await other.close()


async def test_clear_leaves_no_name_behind() -> None:
    """Neither stale copies, nor claims, nor marks of failures."""
    loads = Loads()
    async with cache() as made, raw() as client:
        await made.get_or_load("a", lambda: answer(1), stale_if_error=60)
        with pytest.raises(ConnectionError):
            await made.get_or_load("b", fail)
        running = asyncio.create_task(made.get_or_load("c", loads))
        await until(lambda: len(loads))
        assert len(await names(client, namespace_of(made))) == 4
        await made.clear()
        assert await names(client, namespace_of(made)) == []
        loads[0].set_result(1)
        await running
        assert await names(client, namespace_of(made)) == []


# -- values ------------------------------------------------------------------------------------


async def test_nothing_is_a_value_and_a_default_tells_a_miss() -> None:
    """None, 0, "" and [] are hits."""
    missing = object()
    async with cache() as made:
        for value in (None, 0, "", [], False):
            await made.set("a", value)
            assert await made.get("a", missing) == value
        assert await made.get("b", missing) is missing
        assert made.stats().hits == 5


async def test_set_refuses_what_would_not_come_back() -> None:
    """It names the place, and what was there stays."""
    async with cache() as made:
        await made.set("a", 1)
        with pytest.raises(TypeError, match=re.escape("orders[1].total: Decimal")):
            await made.set("a", {"orders": [{}, {"total": Decimal(1)}]})
        with pytest.raises(TypeError, match="the value: tuple"):
            await made.set_many({"a": 2, "b": (1,)})
        assert await made.get_many(["a", "b"]) == {"a": 1}


async def test_what_can_not_be_encoded_is_still_given_to_who_loaded_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not stored, counted, logged with its place; and no claim stays behind."""
    page = {"orders": [{"total": Decimal(1)}]}
    async with cache() as made, raw() as client:
        loads = Loads()
        callers = [asyncio.create_task(made.get_or_load("a", loads)) for _ in range(10)]
        await until(lambda: len(loads))
        await until(lambda: [len(one.waiters) for one in loads_of(made).values()] == [10])
        loads[0].set_result(page)
        assert await asyncio.gather(*callers) == [page] * 10
        assert made.stats().errors == 1
        assert await client.exists(name_of(made, "a"), name_of(made, "a") + ":load") == 0
    (record,) = caplog.records
    assert "orders[0].total: Decimal" in record.getMessage()


async def test_msgpack_keeps_what_json_can_not() -> None:
    """Through a real server and back."""
    value = {("a", 1): [(1, 2), {3}, b"x", datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.50")]}
    async with cache(serializer=MsgpackSerializer()) as made:
        await made.set("a", value)
        assert await made.get("a") == value
        assert await made.get_or_load("a", fail) == value


@pytest.mark.parametrize("how", ["get", "get_or_load", "get_many"])
async def test_a_corrupt_value_is_a_counted_miss_and_is_removed(how: str) -> None:
    """Once: the next caller finds nothing, and a load stores anew."""
    async with cache() as made, raw() as client:
        for key in ("a", "b"):
            await client.set(name_of(made, key), b"\xff{not json")
        if how == "get":
            assert await made.get("a", "miss") == "miss"
        elif how == "get_many":
            assert await made.get_many(["a", "b", "c"]) == {}
        else:
            assert await made.get_or_load("a", lambda: answer(1)) == 1
            assert await made.get("a") == 1
            await made.delete("a")
        assert await client.exists(name_of(made, "a")) == 0
        stats = made.stats()
        assert stats.errors == (2 if how == "get_many" else 1)
        assert stats.misses == (3 if how == "get_many" else 1)


@pytest.mark.parametrize("how", ["get", "get_or_load"])
async def test_something_else_under_the_name_is_a_counted_miss_and_is_removed(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A list, say, that another program put there. It is no outage, and no reason for a log."""
    async with cache() as made, raw() as client:
        await client.lpush(name_of(made, "a"), "x")
        if how == "get":
            assert await made.get("a", "miss") == "miss"
        else:
            assert await made.get_or_load("a", lambda: answer(1)) == 1
            assert await made.get("a") == 1
        assert made.stats().errors == 1
        assert (await client.type(name_of(made, "a"))) != b"list"
    assert not caplog.records


async def test_a_foreign_claim_that_never_ends_is_taken_over() -> None:
    """Nobody waits for ever because somebody wrote where claims are."""
    async with cache() as made, raw() as client:
        await client.set(name_of(made, "a") + ":load", "for ever")
        assert await made.get_or_load("a", lambda: answer(1)) == 1
        assert await made.get("a") == 1


async def test_a_corrupt_stale_copy_is_not_served() -> None:
    """It is removed, and the page is loaded."""
    async with cache() as made, raw() as client:
        for rubbish in (b"no header", b"1 2 \xff", b"a b 1", b"60000 60000 {"):
            await client.set(name_of(made, "a") + ":stale", rubbish, px=50_000)
            page = made.get_or_load("a", lambda: answer(1), stale_while_revalidate=60)
            assert await page == 1
            await made.delete("a")
        assert made.stats().stale_hits == 0


# -- many --------------------------------------------------------------------------------------


async def test_many_keys_are_one_trip() -> None:
    """A hundred trips of a twelfth of a second would take longer than the timeout of five."""
    keys = list(range(100))
    async with lab.Proxy(await url()) as proxy, cache(redis_url=proxy.url) as made:
        await made.connect()
        proxy.slow(0.08)
        assert await made.set_many({key: key for key in keys}) is True
        assert await made.get_many(keys) == {key: key for key in keys}
        await proxy.restore()


async def test_no_keys_are_no_trip() -> None:
    """They need no server at all."""
    async with RedisCache("redis://127.0.0.1:1", fail_open=False) as made:
        assert await made.get_many([]) == {}
        assert await made.set_many({}) is True


async def test_three_thousand_hits_at_once_are_hits() -> None:
    """Waiting longer than the timeout for a turn is no outage; connections stay in their bound."""
    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, max_connections=20, timeout=1) as made,
    ):
        await made.set("a", {"name": "Ada"})
        proxy.slow(0.01)  # 3,000 of them, 20 at a time: a second and a half
        most = 0

        async def hit() -> Any:
            nonlocal most
            value = await made.get("a")
            most = max(most, proxy.connections)
            return value

        values = await asyncio.gather(*(hit() for _ in range(3_000)))
        assert values == [{"name": "Ada"}] * 3_000
        assert made.stats().hits == 3_000
        assert made.stats().errors == 0
        assert most <= 20


@pytest.mark.parametrize("limit", [1, 7])
async def test_a_client_with_fewer_connections_is_waited_for_too(limit: int) -> None:
    """The pool of a client that was passed in, or the URL, may allow fewer than ours would."""
    small = f"{await url()}?max_connections={limit}"
    async with raw(small) as client, cache(client=client) as made:
        await made.set("a", 1)
        assert await asyncio.gather(*(made.get("a") for _ in range(300))) == [1] * 300
    async with cache(redis_url=small) as made:
        await made.set("a", 1)
        assert await asyncio.gather(*(made.get("a") for _ in range(300))) == [1] * 300


async def test_a_client_that_was_passed_in_is_never_closed() -> None:
    """It belongs to whoever made it."""
    async with raw() as client:
        async with RedisCache(client=client, namespace=namespace(), timeout=5) as made:
            await made.set("a", 1, ttl=1)
            assert await client.ping()
        assert client.connection_pool._available_connections
        assert await client.ping()


# -- loads -------------------------------------------------------------------------------------


async def test_a_write_elsewhere_voids_a_load() -> None:
    """delete, clear and set in another process: the load answers its caller, and stores nothing."""
    async with cache() as here, cache(namespace=namespace_of(here)) as elsewhere:
        for write in ("delete", "clear", "set"):
            loads = Loads()
            caller = asyncio.create_task(here.get_or_load("a", loads))
            await until(lambda loads=loads: len(loads))
            if write == "set":
                await elsewhere.set("a", "new")
            elif write == "delete":
                await elsewhere.delete("a")
            else:
                await elsewhere.clear()
            loads[0].set_result("old")
            assert await caller == "old"
            assert await here.get("a") == ("new" if write == "set" else None)
            await here.delete("a")


async def test_who_comes_after_a_delete_elsewhere_starts_afresh() -> None:
    """It does not join the load of its own process that began before."""
    loads = Loads()
    async with cache() as here, cache(namespace=namespace_of(here)) as elsewhere:
        before = [asyncio.create_task(here.get_or_load("a", loads)) for _ in range(3)]
        await until(lambda: len(loads))
        await elsewhere.delete("a")
        after = [asyncio.create_task(here.get_or_load("a", loads)) for _ in range(3)]
        await until(lambda: len(loads) == 2)
        loads[1].set_result("new")
        assert await asyncio.gather(*after) == ["new"] * 3
        loads[0].set_result("old")
        assert await asyncio.gather(*before) == ["old"] * 3
        assert await here.get("a") == await elsewhere.get("a") == "new"
        assert len(loads) == 2


async def test_who_comes_during_a_load_that_nobody_voided_joins_it() -> None:
    """Also late, and also across processes: one load."""
    loads = Loads()
    async with cache() as here, cache(namespace=namespace_of(here)) as elsewhere:
        first = asyncio.create_task(here.get_or_load("a", loads))
        await until(lambda: len(loads))
        late = [
            asyncio.create_task(made.get_or_load("a", loads))
            for made in (here, elsewhere, here, elsewhere)
        ]
        await until(lambda: len(loads_of(elsewhere)) == 1)
        loads[0].set_result("page")
        assert await asyncio.gather(first, *late) == ["page"] * 5
        assert len(loads) == 1
        assert here.stats().misses == 1
        assert here.stats().shared + elsewhere.stats().shared + elsewhere.stats().hits == 4


async def test_a_local_delete_that_redis_did_not_confirm_still_voids_the_load() -> None:
    """The load began before: it may not store, even if its claim is still there."""
    loads = Loads()
    async with lab.Proxy(await url()) as proxy, cache(redis_url=proxy.url) as made:
        caller = asyncio.create_task(made.get_or_load("a", loads))
        await until(lambda: len(loads))
        await proxy.cut()
        assert await made.delete("a") is False
        await proxy.restore()
        await until_back(made)
        loads[0].set_result("old")
        assert await caller == "old"
        assert await made.get("a") is None
        async with asyncio.timeout(5):  # what is owed may go once more
            while await made.get("a") != "new":
                assert await made.get_or_load("a", lambda: answer("new")) == "new"


async def test_a_claim_left_by_an_outage_is_taken_over_by_the_same_cache() -> None:
    """The load could not store, nor say so: the next one here need not wait for the lock."""
    loads = Loads()
    async with lab.Proxy(await url()) as proxy, cache(redis_url=proxy.url) as made, raw() as client:
        caller = asyncio.create_task(made.get_or_load("a", loads))
        await until(lambda: len(loads))
        await proxy.cut()
        loads[0].set_result("old")
        assert await caller == "old"
        assert await client.exists(name_of(made, "a") + ":load") == 1
        await proxy.restore()
        await until_back(made)
        async with asyncio.timeout(5):  # lock_timeout is 10
            assert await made.get_or_load("a", lambda: answer("new")) == "new"
        assert await made.get("a") == "new"


async def test_a_load_begun_while_redis_was_away_does_not_store() -> None:
    """It has no claim, so nobody could have voided it."""
    loads = Loads()
    async with lab.Proxy(await url()) as proxy, cache(redis_url=proxy.url) as made:
        await made.connect()
        await proxy.cut()
        caller = asyncio.create_task(made.get_or_load("a", loads))
        await until(lambda: len(loads))
        await proxy.restore()
        await until_back(made)
        loads[0].set_result("old")
        assert await caller == "old"
        assert await made.get("a") is None


async def test_who_comes_after_a_delete_joins_no_load_without_a_claim() -> None:
    """One begun while Redis was away: the delete elsewhere could not void it."""
    loads = Loads()
    async with lab.Proxy(await url()) as proxy, cache(redis_url=proxy.url) as here:
        await here.connect()
        await proxy.cut()
        before = asyncio.create_task(here.get_or_load("a", loads))
        await until(lambda: len(loads))
        await proxy.restore()
        await until_back(here)
        async with cache(namespace=namespace_of(here)) as elsewhere:
            await elsewhere.delete("a")
        after = asyncio.create_task(here.get_or_load("a", loads))
        await until(lambda: len(loads) == 2)
        loads[1].set_result("new")
        assert await after == "new"
        loads[0].set_result("old")
        assert await before == "old"
        assert await here.get("a") == "new"


async def test_who_waits_for_another_process_takes_no_claim_from_its_successor() -> None:
    """A delete voids the claim that both wait for: it is for whoever came after the delete."""
    loads = Loads()
    async with cache() as here, cache(namespace=namespace_of(here)) as elsewhere, raw() as client:
        callers = [asyncio.create_task(elsewhere.get_or_load("a", loads))]
        await until(lambda: len(loads) == 1)
        callers += [asyncio.create_task(here.get_or_load("a", loads))]
        await until(lambda: loads_of(here))
        waiting = loads_of(here)["a"]
        await here.delete("a")
        callers += [asyncio.create_task(here.get_or_load("a", loads))]
        await until(lambda: len(loads) == 3)  # all three load
        assert waiting is not loads_of(here)["a"]
        holder = loads_of(here)["a"].lease
        assert holder == (await client.get(name_of(here, "a") + ":load")).split()[0]
        for load, page in zip(loads, ["one", "two", "three"], strict=True):
            load.set_result(page)
        await asyncio.gather(*callers)
        assert await here.get("a") == await callers[2]


async def test_a_load_that_takes_longer_than_its_lock_stays_the_only_one() -> None:
    """Its claim is renewed for as long as it takes."""
    loads = Loads()
    async with (
        cache(lock_timeout=0.6) as here,
        cache(namespace=namespace_of(here), lock_timeout=0.6) as elsewhere,
        raw() as client,
    ):
        callers = [asyncio.create_task(made.get_or_load("a", loads)) for made in (here, elsewhere)]
        await until(lambda: len(loads))
        holder, first = (await client.get(name_of(here, "a") + ":load")).split()
        deadline = first
        while int(deadline) < int(first) + 1200:  # twice the lock_timeout
            token, deadline = (await client.get(name_of(here, "a") + ":load")).split()
            assert token == holder
            await asyncio.sleep(0.01)
        assert len(loads) == 1
        loads[0].set_result("page")
        assert await asyncio.gather(*callers) == ["page", "page"]
        assert await elsewhere.get("a") == "page"
        assert await client.exists(name_of(here, "a") + ":load") == 0


async def test_when_all_have_left_the_claim_goes_too() -> None:
    """Another process need not wait for the lock to run out."""
    loads = Loads()
    async with cache() as here, cache(namespace=namespace_of(here)) as elsewhere:
        caller = asyncio.create_task(here.get_or_load("a", loads))
        await until(lambda: len(loads))
        caller.cancel()
        async with asyncio.timeout(5):
            assert await elsewhere.get_or_load("a", lambda: answer("page")) == "page"
        assert await here.get("a") == "page"


async def test_when_all_leave_before_it_is_stored_the_lease_goes_too() -> None:
    """The page was loaded, and its caller leaves while it is on its way to Redis."""
    encoded = asyncio.Event()

    class Tells(JSONSerializer):
        def encode(self, value: Any) -> bytes:
            encoded.set()
            return super().encode(value)

    loads = Loads()
    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, serializer=Tells()) as here,
        cache(namespace=namespace_of(here)) as elsewhere,
    ):
        caller = asyncio.create_task(here.get_or_load("a", loads))
        await until(lambda: len(loads))
        proxy.slow(0.2)
        loads[0].set_result("page")
        await encoded.wait()
        caller.cancel()
        await asyncio.wait([caller])
        async with asyncio.timeout(5):  # lock_timeout is 10
            assert await elsewhere.get_or_load("a", lambda: answer("page")) == "page"


# -- stale -------------------------------------------------------------------------------------


async def test_stale_is_served_while_one_process_loads_anew() -> None:
    """At once, by every process; the next value is stored for all."""
    loads = Loads()
    stale: dict[str, Any] = {"ttl": 60, "stale_while_revalidate": 30}
    async with cache() as one, cache(namespace=namespace_of(one)) as two, raw() as client:
        await one.get_or_load("a", lambda: answer("old"), **stale)
        await shift(client, namespace_of(one), 61)
        for made in (one, two, one, two):
            assert await made.get_or_load("a", loads, **stale) == "old"
        await until(lambda: len(loads))
        loads[0].set_result("new")
        await until(lambda: not (loads_of(one) or loads_of(two)))
        assert await one.get("a") == await two.get("a") == "new"
        assert len(loads) == 1
        assert one.stats().stale_hits == two.stats().stale_hits == 2


async def test_the_smaller_window_counts() -> None:
    """The reader's, or that of the load that stored; `set` leaves none."""
    async with cache() as made, raw() as client:
        for stored, wanted, age, served in [
            (30, 30, 29, True),
            (30, 30, 30, False),
            (30, 10, 11, False),
            (10, 30, 11, False),
            (0, 30, 1, False),
        ]:
            for window in ("stale_while_revalidate", "stale_if_error"):
                await made.delete("a")
                options: dict[str, Any] = {window: stored}
                await made.get_or_load("a", lambda: answer("old"), 60, **options)
                await shift(client, namespace_of(made), 60 + age)
                load = (lambda: answer("new")) if window == "stale_while_revalidate" else fail
                options = {window: wanted}
                try:
                    page = await made.get_or_load("a", load, 60, **options)
                except ConnectionError:
                    page = "failed"
                assert (page == "old") == served, (window, stored, wanted, age)
                await until(lambda: not loads_of(made))
        await made.set("b", "old", 60)
        await shift(client, namespace_of(made), 61)
        with pytest.raises(ConnectionError):
            await made.get_or_load("b", fail, stale_if_error=60, stale_while_revalidate=60)


async def test_after_a_failure_the_next_attempt_waits() -> None:
    """In every process; then it is tried again."""
    tries = 0

    async def down() -> Any:
        nonlocal tries
        tries += 1
        raise ConnectionError("down")

    stale: dict[str, Any] = {"ttl": 60, "stale_if_error": 300, "retry_after": 5}
    async with cache() as one, cache(namespace=namespace_of(one)) as two, raw() as client:
        await one.get_or_load("a", lambda: answer("old"), **stale)
        await shift(client, namespace_of(one), 61)
        for made in (one, two, one, two):
            assert await made.get_or_load("a", down, **stale) == "old"
        assert tries == 1
        await shift(client, namespace_of(one), 5)
        assert await two.get_or_load("a", down, **stale) == "old"
        assert tries == 2


@pytest.mark.parametrize("write", ["set", "delete", "clear"])
async def test_a_write_takes_the_stale_copy_away(write: str) -> None:
    """What was replaced or deleted comes back as no stale page."""
    async with cache() as made, raw() as client:
        await made.get_or_load("a", lambda: answer("old"), 60, stale_if_error=300)
        await {
            "set": lambda: made.set("a", "new", 1),
            "delete": lambda: made.delete("a"),
            "clear": lambda: made.clear(),
        }[write]()
        await shift(client, namespace_of(made), 61)
        with pytest.raises(ConnectionError):
            await made.get_or_load("a", fail, stale_if_error=300)


# -- opening and closing -----------------------------------------------------------------------


async def test_a_closed_cache_says_so() -> None:
    """Every call, until it is opened again; closing twice is fine."""
    made = RedisCache(await url(), namespace=namespace(), timeout=5)
    await made.set("a", 1)
    await made.close()
    await made.close()
    for call in (
        made.get("a"),
        made.get_many(["a"]),
        made.get_many([]),
        made.set("a", 2),
        made.set_many({}),
        made.delete("a"),
        made.clear(),
        made.get_or_load("a", fail),
    ):
        with pytest.raises(CacheClosed, match=r"closed: connect\(\)"):
            await call
    assert issubclass(CacheClosed, CachePoolError)
    assert "closed" in repr(made)
    await made.connect()
    assert await made.get("a") == 1
    async with made:
        await made.delete("a")
    with pytest.raises(CacheClosed):
        await made.get("a")
    await made.close()


async def test_close_lets_calls_under_way_end(caplog: pytest.LogCaptureFixture) -> None:
    """They get their reply, leave no connection behind, and are no outage."""
    async with lab.Proxy(await url()) as proxy, cache(redis_url=proxy.url) as made:
        await made.set("a", 1)
        proxy.slow(0.1)
        hits = [asyncio.create_task(made.get("a")) for _ in range(5)]
        await asyncio.sleep(0)
        await made.close()
        assert await asyncio.gather(*hits) == [1] * 5
        await until(lambda: proxy.connections == 0)
        assert repr(made).startswith(f"<RedisCache {namespace_of(made)!r}: closed")
    assert not caplog.records


async def test_no_load_begins_while_it_closes() -> None:
    """Who comes while a load in the background cleans up would start one that nobody ends."""
    begun, cleaning, end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await end.wait()

    stale = {"stale_while_revalidate": 60}
    async with cache() as made, raw() as client:
        for key in "ab":
            await made.get_or_load(key, lambda: answer("old"), ttl=1, **stale)
        await shift(client, namespace_of(made), 2)
        assert await made.get_or_load("a", slow_to_end, **stale) == "old"
        await begun.wait()
        closing = asyncio.create_task(made.close())
        await cleaning.wait()
        with pytest.raises(CacheClosed):
            await made.get_or_load("b", fail, **stale)
        end.set()
        await closing


async def test_two_may_close_at_once() -> None:
    """Whoever is second has nothing left to do."""
    made = RedisCache(await url(), namespace=namespace(), timeout=5)
    await asyncio.gather(*(made.get("a") for _ in range(20)))
    await asyncio.gather(made.close(), made.close())


# Whoever never closes leaves sockets to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("careful", [True, False])
def test_two_event_loops_in_turn(careful: bool) -> None:
    """Values stay, connections and loads are each loop's own, closed or not at the end of one."""

    async def first() -> None:
        await made.set("a", 1)
        task = asyncio.create_task(made.get_or_load("b", Loads()))
        await until(lambda: len(loads_of(made)))
        if careful:
            task.cancel()
            await asyncio.wait([task])
            await made.close()

    async def second() -> None:
        async with made:
            assert await made.get("a") == 1
            async with asyncio.timeout(5):
                assert await made.get_or_load("b", lambda: answer(2)) == 2
            assert len(made._sessions) == 1
            await made.clear()

    made = RedisCache(asyncio.run(url()), namespace=namespace(), timeout=5)
    asyncio.run(first())
    asyncio.run(second())


def test_two_event_loops_at_once() -> None:
    """One load runs at a time, which both wait for: each loop is to the other like a process."""
    loading = threading.Event()
    waiting = threading.Event()
    loads = 0

    async def load() -> str:
        nonlocal loads
        loads += 1
        loading.set()
        await asyncio.to_thread(waiting.wait, 20)
        return "page"

    async def first() -> list[str]:
        return [await made.get_or_load("a", load)]

    async def second() -> list[str]:
        await asyncio.to_thread(loading.wait, 20)
        tasks = [asyncio.create_task(made.get_or_load("a", load)) for _ in range(2)]
        await until(lambda: [len(one.waiters) for one in loads_of(made).values()] == [2])
        waiting.set()
        return await asyncio.gather(*tasks)

    async def visit(pages: Callable[[], Awaitable[list[str]]]) -> list[str]:
        try:
            return await pages()
        finally:
            await made.close()

    made = RedisCache(asyncio.run(url()), namespace=namespace(), timeout=5)
    with ThreadPoolExecutor() as threads:
        both = [threads.submit(asyncio.run, visit(pages)) for pages in (first, second)]
        assert [one.result() for one in both] == [["page"], ["page", "page"]]
    assert loads == 1


# -- what others see of it ---------------------------------------------------------------------


async def test_the_password_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in repr, vars, the log, nor an error and what it came from."""
    caplog.set_level(logging.DEBUG)
    secret = "s3cret/wort"
    address = (await url()).rpartition("@")[2]
    wrong = f"redis://:{secret.replace('/', '%2F')}@{address}"
    seen = []
    for target in (wrong, f"redis://:{secret}@127.0.0.1:1", f"redis://me:{secret}@[::1"):
        try:
            made = RedisCache(target, fail_open=False)
        except ValueError as error:
            seen += [error]
            continue
        for call in (made.connect, lambda made=made: made.get("a")):
            try:
                await call()
            except CachePoolError as error:
                seen += [error]
        seen += [made, vars(made), *vars(made).values(), made.stats()]
        await made.close()
    shown = [caplog.text]
    for thing in seen:
        while thing is not None:
            shown += [repr(thing), str(thing)]
            thing = getattr(thing, "__cause__", None) or getattr(thing, "__context__", None)
    assert not [text for text in shown if "s3cret" in text or "wort" in text]
    assert len(seen) > 10


@pytest.mark.parametrize("mark", "/?#")
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_password_that_is_not_encoded_is_refused_unseen(scheme: str, mark: str) -> None:
    """Its first part would be taken for a port, or a host, and its rest for a database."""
    for before in (":4711", "shop:6000", "shop"):
        with pytest.raises(ValueError, match="percent-encoded") as error:
            RedisCache(f"{scheme}://{before}{mark}s3cret@127.0.0.1:6379/0")
        assert "s3cret" not in str(error.value)
        assert error.value.__context__ is None
    RedisCache(f"{scheme}://me:4711%2Fs3cret@127.0.0.1:6379/0")


async def test_stats_count_what_was_answered() -> None:
    """A snapshot that does not change: hits, misses, shared, loads, failures, errors."""
    async with cache() as made:
        before = made.stats()
        await made.set("a", 1)
        await made.get("a")
        await made.get("b")
        await made.get_many(["a", "b", "c"])
        loads = Loads()
        callers = [asyncio.create_task(made.get_or_load("d", loads)) for _ in range(3)]
        await until(lambda: len(loads) and len(loads_of(made)["d"].waiters) == 3)
        loads[0].set_result(1)
        await asyncio.gather(*callers)
        with pytest.raises(ConnectionError):
            await made.get_or_load("e", fail)
        stats = made.stats()
        assert (stats.hits, stats.misses) == (2, 5)
        assert (stats.shared, stats.stale_hits) == (2, 0)
        assert (stats.loads, stats.load_failures, stats.errors) == (1, 1, 0)
        assert stats.evictions is stats.size is stats.maxsize is None
        assert before.hits == 0


# -- cancelled calls ---------------------------------------------------------------------------


async def test_a_cancelled_call_gives_its_reply_to_nobody() -> None:
    """10,000 calls, cancelled at random points: each that is told to ends there, and every reply
    that comes is its caller's own."""
    chance = random.Random(1)
    wrong = cancelled = answered = 0
    async with cache(max_connections=10, timeout=5) as made:
        await made.set_many({number: {"number": number} for number in range(200)})

        async def call(number: int) -> None:
            nonlocal wrong, answered
            kind = number % 4
            if kind == 0:
                right = await made.get(number % 200) == {"number": number % 200}
            elif kind == 1:
                some = [(number + step) % 200 for step in range(5)]
                right = await made.get_many(some) == {one: {"number": one} for one in some}
            elif kind == 2:
                page = {"page": number}
                right = await made.get_or_load(("load", number), lambda: answer(page)) == page
            else:
                right = await made.set_many({("set", number): number, ("too", number): 1}) is True
            answered += 1
            wrong += not right

        for batch in range(100):
            tasks = [asyncio.create_task(call(batch * 100 + number)) for number in range(100)]
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            told = set[asyncio.Task[None]]()
            while any(not task.done() for task in tasks):
                told |= {task for task in chance.sample(tasks, 10) if task.cancel()}
                await asyncio.sleep(chance.choice([0, 0, 0, 0.0005, 0.002]))
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            cancelled += len(told)
            assert not [one for one in outcomes if isinstance(one, Exception)]
            assert {task for task in tasks if task.cancelled()} == told  # no cancelling gets lost
        assert wrong == 0
        assert cancelled > 1_000
        assert answered > 1_000
        for number in range(200):
            assert await made.get(number) == {"number": number}
        await until(lambda: not loads_of(made))
