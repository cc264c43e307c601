"""RedisCache when Redis fails: no page fails with it, none waits for it, and it is soon back.

Real servers throughout. What the machine itself costs is measured as the lag of the event loop.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import OutOfMemoryError

from cachepool_lib import CachePoolError, CacheUnavailable, RedisCache, lab
from tests.tools.async_cache_tools import answer
from tests.tools.redis_tools import (
    Lag,
    cache,
    connected,
    namespace,
    namespace_of,
    raw,
    until,
    until_back,
    url,
)
from tests.tools.stand_in_server import requests, serving

pytestmark = pytest.mark.anyio

TIMEOUT = 0.25  # the default
MORE = 0.1  # that a call may take on top


async def nothing() -> None:
    pass


@dataclass
class Broken:
    """A server that does not work, after one that did where that is possible."""

    url: str
    break_it: Callable[[], Awaitable[Any]] = nothing
    mend_it: Callable[[], Awaitable[Any]] | None = None  # None: it stays as it is


def through_a_proxy(
    fault: Callable[[lab.Proxy], Any],
) -> Callable[[], contextlib.AbstractAsyncContextManager[Broken]]:
    @contextlib.asynccontextmanager
    async def broken() -> AsyncIterator[Broken]:
        async with lab.Proxy(await url()) as proxy:

            async def break_it() -> None:
                if (waits := fault(proxy)) is not None:
                    await waits

            yield Broken(proxy.url, break_it, proxy.restore)

    return broken


@contextlib.asynccontextmanager
async def restarted() -> AsyncIterator[Broken]:
    async with lab.server() as server:
        yield Broken(server.url, server.stop, server.start)


async def fill(client: Any) -> None:
    """Use all the memory that it may have, then allow it half: what it frees makes no room."""
    allowed = int((await client.config_get("maxmemory"))["maxmemory"])
    with contextlib.suppress(OutOfMemoryError):
        for number in range(100_000):
            await client.set(f"filling:{number}", "x" * 10_000)
    await client.config_set("maxmemory", allowed // 2)


@contextlib.asynccontextmanager
async def out_of_memory() -> AsyncIterator[Broken]:
    async with (
        lab.server(maxmemory="10mb", maxmemory_policy="noeviction") as server,
        raw(server.url) as client,
    ):
        yield Broken(
            server.url, lambda: fill(client), lambda: client.config_set("maxmemory", "100mb")
        )


@contextlib.asynccontextmanager
async def wrong_password() -> AsyncIterator[Broken]:
    yield Broken(f"redis://:wrong@{(await url()).rpartition('@')[2]}")


@contextlib.asynccontextmanager
async def read_only_replica() -> AsyncIterator[Broken]:
    """Its primary is gone, and it serves what it has."""
    async with lab.server(replicaof="127.0.0.1 1") as server:
        yield Broken(server.url)


@contextlib.asynccontextmanager
async def no_redis_at_all() -> AsyncIterator[Broken]:
    """Something listens there, and answers everything with something else."""
    chance = random.Random(1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            says = [
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                b"$abc\r\n",
                b"*-7\r\n",
                b"%2\r\n:x\r\n",
            ]
            writer.write(chance.choice([*says, chance.randbytes(40) + b"\r\n"]))
            await writer.drain()

    async with serving(serve) as port:
        yield Broken(f"redis://127.0.0.1:{port}")


FAULTS = {
    "refused": through_a_proxy(lambda proxy: proxy.cut()),
    "cut in mid-reply": through_a_proxy(lambda proxy: proxy.cut(after=7)),
    "stalled": through_a_proxy(lambda proxy: proxy.stall()),
    "slower than the timeout": through_a_proxy(lambda proxy: proxy.slow(0.4)),
    "slow": through_a_proxy(lambda proxy: proxy.slow(0.15)),
    "restarted": restarted,
    "out of memory": out_of_memory,
    "wrong password": wrong_password,
    "read-only replica": read_only_replica,
    "no Redis at all": no_redis_at_all,
}
every_fault = pytest.mark.parametrize("fault", FAULTS)


def calls(made: RedisCache, number: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """One of each, for a key that is stored, one that is not, and one that can't be."""
    stale: dict[str, Any] = {"stale_while_revalidate": 60, "stale_if_error": 60}
    return {
        "get": lambda: made.get("stored", "miss"),
        "get_many": lambda: made.get_many(["stored", "other", number]),
        "set": lambda: made.set(number, number),
        "set 0": lambda: made.set(number, number, ttl=0),
        "set_many": lambda: made.set_many({number: 1, "other": 2}),
        "delete": lambda: made.delete(number),
        "get_or_load": lambda: made.get_or_load(("load", number % 7), lambda: answer("loaded")),
        "with stale": lambda: made.get_or_load(("s", number), lambda: answer("loaded"), **stale),
        "not encodable": lambda: made.get_or_load(("o", number), lambda: answer({1, 2})),
    }


async def timed(call: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    started = time.monotonic()
    return await call(), time.monotonic() - started


@every_fault
async def test_no_caller_sees_an_error_or_waits(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every call answers, within its timeout; one line is logged; and soon it is in use again."""
    async with (
        FAULTS[fault]() as broken,
        cache(redis_url=broken.url, timeout=TIMEOUT) as made,
    ):
        works = await made.set("stored", {"name": "Ada"})
        assert works == (broken.mend_it is not None)
        await broken.break_it()
        async with Lag() as lag:
            slowest = {}
            for number in range(12):
                mix = calls(made, number)
                outcomes = await asyncio.gather(*map(timed, mix.values()))
                for (name, _), (got, took) in zip(mix.items(), outcomes, strict=True):
                    slowest[name] = max(slowest.get(name, 0), took)
                    if name in ("get_or_load", "with stale"):
                        assert got == "loaded"
                    elif name == "not encodable":
                        assert got == {1, 2}
                    elif name == "get":
                        assert got in ("miss", {"name": "Ada"})
                await asyncio.sleep(0.1)
        assert max(slowest.values()) <= TIMEOUT + MORE + lag.worst, (slowest, lag.worst)
        lines = [one.getMessage() for one in caplog.records if "encode" not in one.getMessage()]
        lines = [line for line in lines if "can't be cached" not in line]
        if fault != "slow":
            assert len(lines) <= 1, lines
        if fault not in ("slow", "cut in mid-reply"):
            assert len(lines) == 1
            assert made.stats().errors
        if broken.mend_it is not None:
            await broken.mend_it()
            async with Lag() as lag:
                assert await until_back(made) <= 1 + lag.worst
            assert await made.get_or_load("back", lambda: answer(0)) == 1


@every_fault
async def test_with_fail_open_off_the_error_is_clear(fault: str) -> None:
    """A CacheUnavailable, which is a ConnectionError, within the timeout; and no other error."""
    async with (
        FAULTS[fault]() as broken,
        RedisCache(broken.url, namespace=namespace(), fail_open=False) as made,
    ):
        await broken.break_it()
        raised = 0
        async with Lag() as lag:
            for name, call in calls(made, 1).items():
                started = time.monotonic()
                try:
                    await call()
                except CacheUnavailable as error:
                    raised += 1
                    assert isinstance(error, ConnectionError)
                    assert str(error).startswith("Redis is not available: "), name
                assert time.monotonic() - started <= TIMEOUT + MORE + lag.worst
        assert raised or fault in ("slow", "cut in mid-reply")
        if broken.mend_it:
            await broken.mend_it()


@pytest.mark.parametrize("fault", ["refused", "stalled", "wrong password", "no Redis at all"])
async def test_connect_always_raises(fault: str) -> None:
    """Also where everything else carries on; within the timeout, and at once when it is back."""
    async with FAULTS[fault]() as broken, RedisCache(broken.url, namespace=namespace()) as made:
        await broken.break_it()
        for _ in range(3):
            with pytest.raises(CacheUnavailable):
                await made.connect()
        if broken.mend_it:
            await broken.mend_it()
            await connected(made)
            assert "circuit" not in repr(made)  # the next call asks Redis


async def test_a_crowd_does_not_wait_for_a_silent_server() -> None:
    """1,000 callers and 50 connections: nobody waits for a turn to wait."""
    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, timeout=TIMEOUT) as made,
    ):
        await made.set("stored", 1)
        proxy.stall()

        async def crowd() -> float:
            """The seconds of the slowest."""
            started = time.monotonic()
            callers = (made.get_or_load(n % 100, lambda: answer("loaded")) for n in range(1_000))
            assert await asyncio.gather(*callers) == ["loaded"] * 1_000
            return time.monotonic() - started

        slowest = await crowd()
        await until(lambda: "circuit open" in repr(made))
        alone = await crowd()  # what the crowd costs by itself, now that Redis is not asked
        assert slowest <= TIMEOUT + MORE + 3 * alone
        await proxy.restore()


async def test_while_the_circuit_is_open_nobody_waits() -> None:
    """Not even for the checks of a server that is silent: they run by themselves."""
    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, timeout=TIMEOUT) as made,
    ):
        await made.set("stored", 1)
        proxy.stall()
        await made.get("stored")
        await until(lambda: "circuit open" in repr(made))
        seen, slowest = set(), 0.0
        async with Lag() as lag:
            for _ in range(60):
                got, took = await timed(lambda: made.get("stored"))
                assert got is None
                slowest = max(slowest, took)
                seen.add(repr(made).split(":")[1].split(",")[0])
                await asyncio.sleep(0.02)
        assert seen == {" circuit open", " circuit half-open"}
        assert slowest <= MORE + lag.worst
        await proxy.restore()


async def test_each_outage_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """Two that follow within five seconds are one; how it came back is no news."""
    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, timeout=TIMEOUT) as made,
    ):
        stop = asyncio.Event()

        async def traffic() -> None:
            while not stop.is_set():
                await made.get_or_load("a", lambda: answer(1), ttl=0.01)
                await asyncio.sleep(0.001)

        workers = [asyncio.create_task(traffic()) for _ in range(20)]
        for fault in (proxy.cut, proxy.stall):
            await asyncio.sleep(0.2)
            if (waits := fault()) is not None:
                await waits
            await asyncio.sleep(1.2)
            await proxy.restore()
            async with Lag() as lag:
                assert await until_back(made) <= 2 + lag.worst
        stop.set()
        await asyncio.gather(*workers)
    assert [one.getMessage().split(" (")[0] for one in caplog.records] == ["Redis can't be used"]


async def test_a_server_without_memory_is_not_filled_further() -> None:
    """What it refuses to set, it drops: an old value is not served as if the new one were there."""
    async with (
        out_of_memory() as broken,
        raw(broken.url) as client,
        cache(redis_url=broken.url) as made,
    ):
        await made.set("a", "old")
        await broken.break_it()
        before = await client.dbsize()
        big = "x" * 50_000
        for number in range(100):
            assert await made.set(number, big) is False
            assert await made.get_or_load(("load", number), lambda: answer(big)) == big
        assert await made.set("a", "new" * 1_000) is False
        assert await made.get("a") is None
        assert await client.dbsize() == before - 1
        assert await made.delete("a") is False
        await broken.mend_it()
        assert await made.set("a", "new") is True


async def copied(replica: Any, name: str) -> None:
    async with asyncio.timeout(30):
        while True:
            if await replica.exists(name):
                return
            await asyncio.sleep(0.02)


async def test_a_read_only_replica_still_serves(caplog: pytest.LogCaptureFixture) -> None:
    """What it has; it can't store, nor lock, so each load is its process's own."""
    async with (
        lab.server(repl_diskless_sync_delay="0") as primary,
        raw(primary.url) as client,
    ):
        async with RedisCache(primary.url, namespace="n", timeout=5) as made:
            await made.set("a", 1)
        async with lab.server() as server, raw(server.url) as replica:
            password, _, port = primary.url.removeprefix("redis://:").partition("@127.0.0.1:")
            await replica.config_set("masterauth", password)
            await replica.replicaof("127.0.0.1", port)
            await copied(replica, "n:{a}")
            async with RedisCache(server.url, namespace="n", timeout=5) as made:
                assert await made.get("a") == 1
                assert await made.get_or_load("a", lambda: answer(2)) == 1
                assert await made.get_or_load("b", lambda: answer(2)) == 2
                assert await made.set("b", 3) is False
                assert await made.delete("b") is False
                assert await made.get("a") == 1
                assert "READONLY" in caplog.text
            await client.set("n:{corrupt}", b"{")
            await copied(replica, "n:{corrupt}")
            async with RedisCache(server.url, namespace="n", timeout=5) as made, asyncio.timeout(5):
                assert await made.get_or_load("corrupt", lambda: answer(2)) == 2


async def test_a_late_loop_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    """Something else kept the loop busy for longer than the timeout: the replies have come."""
    async with cache(timeout=TIMEOUT) as made:
        await made.set("a", 1)
        await asyncio.gather(*(made.get("a") for _ in range(100)))  # opens connections
        for _ in range(3):
            hits = [asyncio.create_task(made.get("a")) for _ in range(20)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(TIMEOUT * 1.2)  # noqa: ASYNC251
            assert await asyncio.gather(*hits) == [1] * 20
    assert not caplog.records


async def test_the_wait_for_anothers_load_counts_for_nothing_but_silence_does() -> None:
    """Waiting is unlimited while Redis answers; when it falls silent, the budget is what it was."""
    begun = asyncio.Event()
    end = asyncio.Event()

    async def load() -> str:
        begun.set()
        await end.wait()
        return "page"

    async with (
        cache() as holder,
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, namespace=namespace_of(holder), timeout=TIMEOUT) as made,
    ):
        holding = asyncio.create_task(holder.get_or_load("a", load))
        await begun.wait()
        waiting = asyncio.create_task(made.get_or_load("a", lambda: answer("mine")))
        await asyncio.sleep(2 * TIMEOUT)
        assert not waiting.done()
        async with Lag() as lag:
            proxy.stall()
            started = time.monotonic()
            assert await waiting == "mine"
            assert time.monotonic() - started <= TIMEOUT + MORE + 0.1 + lag.worst  # a pause of 0.1
        await proxy.restore()
        end.set()
        assert await holding == "page"


async def test_a_server_without_memory_takes_none_of_the_values_of_a_turn() -> None:
    """They share a script, and what it removes for the first makes room for none of the others."""
    async with out_of_memory() as broken, RedisCache(broken.url, namespace="n") as made:
        assert await made.set_many(dict.fromkeys(range(20), "old")) is True
        await broken.break_it()
        assert await asyncio.gather(*(made.set(key, "new") for key in range(20))) == [False] * 20
        assert await made.get_many(range(20)) == {}
        async with raw(broken.url) as client:
            assert await client.keys("n:*") == []


async def test_an_outage_does_not_reach_the_log_with_what_is_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither keys, nor values, nor passwords."""
    caplog.set_level(logging.DEBUG)
    async with lab.server(maxmemory="3mb", maxmemory_policy="noeviction") as server:
        password = server.url.split(":")[2].split("@")[0]
        async with (
            RedisCache(server.url, namespace="n", timeout=5) as made,
            raw(server.url) as client,
        ):
            await fill(client)
            assert await made.set("key-of-ada", {"iban": "DE00"}) is False
            await server.stop()
            assert await made.set("key-of-ada", {"iban": "DE00"}) is False
            with pytest.raises(CachePoolError) as error:
                await made.connect()
    assert len(caplog.records) >= 2
    shown = caplog.text + repr(error.value) + repr(error.value.__cause__)
    assert not [word for word in ("key-of-ada", "DE00", password) if word in shown]


@contextlib.asynccontextmanager
async def without(unknown: str) -> AsyncIterator[str]:
    """The address of a server that has all but this command: it repeats what it was sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for words in requests(reader):
            name, *arguments = [word.decode() for word in words]
            if name == unknown:
                says = f"-ERR unknown command '{name}', with args beginning with: {arguments}"
            else:
                says = {"GET": "$-1", "EVAL": "*1\r\n:2"}.get(name, "+OK")
            writer.write(says.encode() + b"\r\n")

    async with serving(serve) as port:
        yield f"redis://:s3cret@127.0.0.1:{port}"


async def test_a_server_without_hello_is_one() -> None:
    """Such as Redis 5: nothing that the cache needs is new."""
    async with without("HELLO") as address, RedisCache(address, timeout=5) as made:
        await made.connect()
        assert await made.get("a", "miss") == "miss"
        assert made.stats().errors == 0


@pytest.mark.parametrize("unknown", ["AUTH", "HELLO", "EVAL"])
async def test_what_a_server_repeats_is_shown_to_nobody(
    unknown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who doesn't know a command says what it was sent with: a password, a key, a value."""
    async with without(unknown) as address:
        client = redis.asyncio.Redis.from_url(address, protocol=3)
        options: Any = {"client": client} if unknown == "HELLO" else {"redis_url": address}
        async with RedisCache(timeout=5, fail_open=False, **options) as made:
            with pytest.raises(CacheUnavailable, match=f"'{unknown}'$") as error:
                await made.set("key-of-ada", {"iban": "DE00"})
        await client.aclose()
    assert 1 <= len(caplog.records) <= 2  # the other one: closed with a delete that is owed
    shown = caplog.text
    thing: BaseException | None = error.value
    while thing is not None:
        shown += f"{thing} {thing.args}"
        thing = thing.__cause__ or thing.__context__
    assert not [word for word in ("key-of-ada", "DE00", "s3cret") if word in shown]


async def test_a_limit_that_the_client_loses_comes_again() -> None:
    """Before Python 3.12 a call to asyncio.wait_for can swallow what should end it."""

    class Deaf(redis.asyncio.Connection):
        """It must be told twice to end."""

        async def connect(self) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

    pool = redis.asyncio.ConnectionPool(connection_class=Deaf)
    made = RedisCache(client=redis.asyncio.Redis(connection_pool=pool), timeout=TIMEOUT)
    async with Lag() as lag, asyncio.timeout(5):
        _, took = await timed(lambda: made.get("a"))
        await made.close()
    assert took <= TIMEOUT + MORE + lag.worst
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_no_call_goes_through_what_loses_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client made from a URL sends without asyncio.wait_for."""
    monkeypatch.delattr(asyncio, "wait_for")
    async with cache() as made:
        await made.set_many({"a": 1, "b": 2})
        assert await made.get_many(["a", "b"]) == {"a": 1, "b": 2}
        assert await made.get_or_load("c", lambda: answer(3)) == 3
        assert made.stats().errors == 0


async def test_a_refused_pipeline_shows_no_key(caplog: pytest.LogCaptureFixture) -> None:
    """redis-py names the command of the pipeline that was refused."""
    async with without("PTTL") as address, RedisCache(address, timeout=5) as made:
        assert await made.get_or_load("key-of-ada", lambda: answer(1), stale_if_error=60) == 1
    assert "PTTL" in caplog.text
    assert "key-of-ada" not in caplog.text
