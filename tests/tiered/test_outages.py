"""Where Redis is away, or messages are: reads carry on, and afterwards nobody has what is old."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cachepool_lib import CacheUnavailable, RedisCache, TieredCache, lab
from cachepool_lib.tiered import subscriber
from tests.tools import redis_tools
from tests.tools.async_cache_tools import ManualClock, answer
from tests.tools.redis_tools import until, until_back
from tests.tools.tiered_tools import forgotten, tiers, until_held

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def behind_a_proxy(
    clock: ManualClock, **options: Any
) -> AsyncIterator[tuple[lab.Proxy, TieredCache, RedisCache]]:
    """Two tiers that are reached through a proxy, and a RedisCache beside it that is not."""
    where, namespace = await redis_tools.url(), redis_tools.namespace()
    async with (
        lab.Proxy(where) as proxy,
        RedisCache(where, namespace=namespace, timeout=5) as plain,
        tiers(proxy.url, namespace, clock=clock, **options) as tiered,
    ):
        await tiered.connect()
        yield proxy, tiered, plain
        await plain.clear()


async def cut(proxy: lab.Proxy, tiered: TieredCache) -> None:
    """Cut the connections, and wait until the cache knows."""
    await proxy.cut()
    await until_circuit(tiered, "open")


async def until_circuit(tiered: TieredCache, state: str) -> None:
    while f"circuit {state}" not in repr(tiered):
        await tiered.get("nothing")
        await asyncio.sleep(0.01)


OLD = {"stale_while_revalidate": 60, "stale_if_error": 60}


async def fails() -> str:
    raise LookupError("the database is down")


async def test_in_an_outage_memory_goes_on_for_l1_ttl_and_then_serves_old_pages() -> None:
    """At once, while a load in the background fetches the next, which is kept in memory."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (proxy, tiered, _):
        await tiered.get_or_load("a", lambda: answer("old"), 300, **OLD)
        await cut(proxy, tiered)
        clock.now += 29
        assert await tiered.get_or_load("a", fails) == "old"
        clock.now += 1
        assert await tiered.get("a") is None
        assert await tiered.get_or_load("a", lambda: answer("new"), 300, **OLD) == "old"
        assert tiered.stats().stale_hits == 1
        await until(lambda: tiered.lookup("a") == "new")
        clock.now += 30
        assert tiered.lookup("a") is None


async def test_in_an_outage_an_old_page_beats_none() -> None:
    """Until its window ends, which begins at the end of its ttl; one try each retry_after."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (proxy, tiered, _):
        await tiered.get_or_load("a", lambda: answer("old"), 300, stale_if_error=60)
        await cut(proxy, tiered)
        for seconds in (30, 200, 129):
            clock.now += seconds
            for _ in range(3):
                assert await tiered.get_or_load("a", fails, 300, stale_if_error=60) == "old"
        assert tiered.stats().load_failures == 3
        clock.now += 1
        with pytest.raises(LookupError):
            await tiered.get_or_load("a", fails, 300, stale_if_error=60)


async def test_in_an_outage_nothing_is_served_old_that_has_no_window() -> None:
    """Not beyond l1_ttl, though its ttl is not over."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (proxy, tiered, _):
        await tiered.get_or_load("a", lambda: answer("old"), 300)
        await tiered.get_or_load("b", lambda: answer("old"), 300, **OLD)
        await cut(proxy, tiered)
        clock.now += 30
        assert await tiered.get_or_load("a", lambda: answer("new"), **OLD) == "new"
        assert await tiered.get_or_load("b", lambda: answer("new")) == "new"


async def test_a_delete_in_an_outage_counts_here_at_once() -> None:
    """For old pages, too; what is loaded after it is kept in memory, and the debt is paid."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (proxy, tiered, plain):
        for key in ("a", "b", "c"):
            await tiered.get_or_load(key, lambda: answer("old"), 300, **OLD)
        await cut(proxy, tiered)
        assert await tiered.delete("a") is False
        assert await tiered.set("b", "set") is False
        assert await tiered.clear() is False
        for key in ("a", "b", "c"):
            assert tiered.lookup(key) is None
            assert await tiered.get_or_load(key, lambda: answer("new"), 300, **OLD) == "new"
            assert tiered.lookup(key) == "new"
        await proxy.restore()
        async with asyncio.timeout(20):
            while await plain.get_many(["a", "b", "c"]) != {}:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("windows", [OLD, {}], ids=["with windows", "without"])
async def test_after_an_outage_nothing_is_served_that_was_deleted_in_it(windows: Any) -> None:
    """Neither as a fresh page nor as an old one: Redis is asked, and what it says counts."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (proxy, tiered, plain):
        await tiered.get_or_load("a", lambda: answer("old"), 300, **windows)
        await cut(proxy, tiered)
        await plain.delete("a")
        assert await tiered.get_or_load("a", fails) == "old"
        await proxy.restore()
        await forgotten(tiered, "a")
        await until_back(tiered.l2)
        assert await tiered.get_or_load("a", lambda: answer("new"), 300, **windows) == "new"


async def test_what_redis_has_no_more_is_not_served_in_the_next_outage() -> None:
    """It was deleted in one outage, and in between Redis was asked."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (proxy, tiered, plain):
        await tiered.get_or_load("a", lambda: answer("old"), 300, **OLD)
        await cut(proxy, tiered)
        await plain.delete("a")
        await proxy.restore()
        await forgotten(tiered, "a")
        await until_back(tiered.l2)
        assert await tiered.get("a") is None
        await cut(proxy, tiered)
        assert await tiered.get_or_load("a", lambda: answer("new"), 300, **OLD) == "new"


async def test_a_subscription_that_is_lost_leaves_nothing_fresh() -> None:
    """Though Redis is there and answers: messages may have been lost. Then they come again."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (_, tiered, plain), redis_tools.raw() as client:
        await tiered.set("a", "old")
        for _ in range(2):
            channel = tiered.l2.session().settings.namespace.channel
            # Of those who listen, ours alone.
            listening = await client.client_list(_type="pubsub")
            [(_, number)] = await client.pubsub_numsub(channel)
            assert number == 1
            await until_held(tiered, "a")
            for one in listening:
                await client.client_kill_filter(_id=one["id"])
            await forgotten(tiered, "a")
            assert await tiered.get("a") == "old"
        await until_held(tiered, "a")
        await plain.delete("a")
        await forgotten(tiered, "a")


@pytest.mark.parametrize("seconds", [1, 0.01], ids=["shorter than it takes to notice", "longer"])
async def test_a_silent_server_is_left(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Connections stay open and nothing comes: it is noticed, or what is held back is heard."""
    monkeypatch.setattr(subscriber, "SILENT_SECONDS", seconds)
    clock = ManualClock()
    async with behind_a_proxy(clock, timeout=1) as (proxy, tiered, plain):
        await tiered.set("a", "old")
        proxy.stall()
        await plain.delete("a")
        await until_circuit(tiered, "open")
        assert tiered.lookup("a") == "old"
        await proxy.restore()
        await forgotten(tiered, "a")
        assert await tiered.get("a") is None


async def test_an_outage_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is tried; without a password."""
    clock = ManualClock()
    async with lab.server() as server:
        async with tiers(server.url, "n", clock=clock, timeout=1) as tiered:
            await tiered.connect()
            await server.stop()
            await until_circuit(tiered, "open")
            await asyncio.sleep(1.2)
            lines = [one for one in caplog.records if one.levelno >= logging.WARNING]
            assert len(lines) == 1, caplog.text
            with pytest.raises(CacheUnavailable):
                await tiered.connect()
            await server.start()
            await until_back(tiered.l2)
            await tiered.connect()
            await tiered.set("a", 1)
            assert tiered.lookup("a") == 1
        password = server.url.partition("://:")[2].partition("@")[0]
        assert password not in caplog.text


async def test_where_channels_are_forbidden_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To those who do not call `connect`; the cache works as with subscribe=False."""
    async with lab.server() as server, redis_tools.raw(server.url) as client:
        await client.execute_command("ACL", "SETUSER", "default", "resetchannels")
        async with tiers(server.url, "n") as tiered:
            await tiered.set("a", 1)
            await until(lambda: "no messages come from Redis" in caplog.text)
            assert tiered.lookup("a") == 1
            assert await tiered.get_or_load("a", fails) == 1
            assert len(caplog.records) == 1


async def test_fail_open_false_raises_where_redis_is_needed() -> None:
    """A hit in memory needs it not; and nothing that was not confirmed stays."""
    clock = ManualClock()
    async with behind_a_proxy(clock, fail_open=False) as (proxy, tiered, _):
        await tiered.get_or_load("a", lambda: answer("old"), 300, **OLD)
        await tiered.set("b", 1)
        await proxy.cut()
        assert await tiered.get("a") == "old"
        for call in (tiered.get("c"), tiered.set("b", 2), tiered.delete("a")):
            with pytest.raises(CacheUnavailable):
                await call
        assert (tiered.lookup("a"), tiered.lookup("b")) == (None, None)


async def test_a_write_whose_caller_leaves_counts_here_at_once() -> None:
    """Cancelled in the middle, it is sent all the same."""
    clock = ManualClock()
    async with behind_a_proxy(clock) as (proxy, tiered, plain):
        await tiered.set_many({"a": "old", "b": "old"})
        proxy.stall()
        writes = [asyncio.create_task(tiered.delete("a")), asyncio.create_task(tiered.set("b", 1))]
        await asyncio.sleep(0.05)
        for write in writes:
            write.cancel()
        await asyncio.wait(writes)
        assert (tiered.lookup("a"), tiered.lookup("b")) == (None, None)
        await proxy.restore()
        async with asyncio.timeout(20):
            while await plain.get_many(["a", "b"]) != {"b": 1}:
                await asyncio.sleep(0.01)
