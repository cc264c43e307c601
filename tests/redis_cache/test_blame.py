"""Whom to blame: what one command, key, value or connection suffers is no outage of the server.

Each with a default cache (a timeout of 0.25 s) on a server that works.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from cachepool_lib import CacheUnavailable, RedisCache, lab
from tests.tools.async_cache_tools import answer
from tests.tools.redis_tools import cache, namespace, raw, until, url
from tests.tools.stand_in_server import requests, serving

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def cache_on(address: str, **options: Any) -> AsyncIterator[RedisCache]:
    """A default cache, which has a value and an open connection."""
    async with RedisCache(address, namespace=namespace(), **options) as made:
        assert await made.set("stored", "v") is True
        yield made


async def hits(made: RedisCache, number: int = 100) -> int:
    return [await made.get("stored") for _ in range(number)].count("v")


async def until_hit(made: RedisCache) -> float:
    """The seconds until Redis is in use again."""
    started = time.monotonic()
    while await made.get("stored") != "v":
        assert time.monotonic() - started < 10
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def outages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "circuit is open" in line]


async def test_a_value_over_the_query_buffer_limit(caplog: pytest.LogCaptureFixture) -> None:
    """The server ends the connection that sends it; others are not concerned."""
    async with lab.server(client_query_buffer_limit="1mb") as server, cache_on(server.url) as made:
        big = "x" * 2_000_000
        for _ in range(3):
            assert await made.get_or_load("big", lambda: answer(big)) == big
            assert await made.set("big", big) is False
            assert await hits(made) == 100
    assert not outages(caplog)


async def test_a_value_of_tens_of_megabytes(caplog: pytest.LogCaptureFixture) -> None:
    """It may be too much for the timeout; that is its own fault alone."""
    async with cache_on(await url()) as made:
        huge = asyncio.create_task(made.set("huge", "x" * 16_000_000))
        await asyncio.wait([huge])
        await until_hit(made)
        assert await hits(made) == 100
        await made.delete("huge")
    assert not outages(caplog)


async def test_a_batch_of_tens_of_thousands(caplog: pytest.LogCaptureFixture) -> None:
    """It goes in parts, so it is no silence, and nobody else's."""
    async with cache_on(await url()) as made:
        items = dict.fromkeys(range(30000), "x" * 100)
        writing = asyncio.create_task(made.set_many(items))
        while not writing.done():
            assert await made.get("stored") == "v"
        assert await writing is True
        assert len(await made.get_many(items)) == 30_000
        assert await made.clear() is True
    assert not outages(caplog)


async def test_a_server_that_is_full_of_clients(caplog: pytest.LogCaptureFixture) -> None:
    """Those of our connections that are open serve everybody."""
    async with contextlib.AsyncExitStack() as others:
        server = await others.enter_async_context(lab.server(maxclients="8"))
        made = await others.enter_async_context(cache_on(server.url))
        with contextlib.suppress(redis.ConnectionError):
            for _ in range(8):
                client = redis.asyncio.Redis.from_url(server.url, single_connection_client=True)
                await others.enter_async_context(client)
                await client.ping()
        crowd = [made.get("stored") for _ in range(1_500)]
        assert (await asyncio.gather(*crowd)).count("v") == 1_500
        large = dict.fromkeys(range(30), "x" * 60000)  # a batch each
        assert (
            await asyncio.gather(*(made.set(n, value) for n, value in large.items())) == [True] * 30
        )
        assert (await asyncio.gather(*map(made.get, large))) == list(large.values())
    assert not outages(caplog)


async def test_a_client_whose_pool_others_use_up() -> None:
    """What is cached goes on connections of its own, as many as that pool may have."""
    async with lab.server() as server, raw(server.url) as look:
        client = redis.asyncio.Redis.from_url(server.url, max_connections=1)
        async with RedisCache(client=client, namespace="n") as made:
            await made.set("stored", "v")
            taking = asyncio.create_task(client.blpop(["nothing"], timeout=0))
            while not (await look.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0.01)
            assert await hits(made) == 100
            await look.rpush("nothing", "something")
            await taking
        await client.aclose()


@contextlib.asynccontextmanager
async def saying(says: dict[str, bytes]) -> AsyncIterator[str]:
    """The address of a server that answers each command as it is told, GET with "v" if not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for words in requests(reader):
            known = {"GET": b'$3\r\n"v"\r\n', "EVAL": b"*1\r\n:2\r\n"} | says
            writer.write(known.get(words[0].decode(), b"+OK\r\n"))

    async with serving(serve) as port:
        yield f"redis://127.0.0.1:{port}"


ERRORS = [
    "ERR something else",
    "NOPERM this user has no permissions to run the command",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Redis is configured to save RDB snapshots",
    "READONLY You can't write against a read only replica.",
    "NOSCRIPT No matching script.",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOREPLICAS Not enough good replicas to write.",
    "UNKILLABLE whatever",
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.split(" ")[0])
async def test_an_error_reply_is_that_commands(
    error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it says: others' keys are still hits."""
    async with (
        saying({"EVAL": f"-{error}\r\n".encode()}) as address,
        RedisCache(address, namespace="n") as made,
    ):
        for number in range(30):
            assert await made.set(number, 1) is False
            assert await made.get("stored") == "v"
    assert not outages(caplog)
    assert len([line for line in caplog.messages if "refuses" in line]) == 1


async def test_a_reply_that_makes_no_sense_is_that_commands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As from a proxy that does not know scripts."""
    async with (
        saying({"EVAL": b"+QUEUED\r\n"}) as address,
        RedisCache(address, namespace="n") as made,
    ):
        for _ in range(30):
            await made.set("a", 1)
            await made.delete("a")
            assert await made.get("stored") == "v"
            assert await made.get_or_load("stored", lambda: answer("w")) == "v"
    assert not outages(caplog)


REFUSALS = [
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN Hash slot not served",
    "NOAUTH Authentication required.",
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.split(" ")[0])
async def test_what_a_server_says_of_itself_opens_the_circuit(
    refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so to everybody; and once it does not any more, it is in use again."""
    says = {"GET": f"-{refusal}\r\n".encode(), "EVAL": f"-{refusal}\r\n".encode()}
    async with saying(says) as address, RedisCache(address, namespace="n") as made:
        assert await made.get("stored") is None
        await until(lambda: "circuit open" in repr(made))
        says.clear()
        assert await until_hit(made) < 1
    assert len(outages(caplog)) == 1


async def test_a_node_of_a_cluster_is_told_at_connect(caplog: pytest.LogCaptureFixture) -> None:
    """And the log says what to do, not which slot it was."""
    async with lab.cluster(3) as nodes, RedisCache(nodes.url, namespace="n") as made:
        with pytest.raises(CacheUnavailable, match=r"client=RedisCluster\.from_url"):
            await made.connect()
        for number in range(20):
            await made.set(number, 1)
            await made.get(number)
    told = [line for line in caplog.messages if "MOVED" in line]
    assert len(told) == 1
    assert "pass client=RedisCluster.from_url(…)" in told[0]
    assert not outages(caplog)


class Switch(lab.Proxy):
    """An address whose server changes, as behind a name in DNS."""

    def to(self, other: str) -> None:
        self._target = lab.Proxy(other)._target


async def test_a_fail_over_behind_one_name_heals(caplog: pytest.LogCaptureFixture) -> None:
    """The old primary is a replica now, and open connections lead there: they are made anew."""
    async with lab.server() as old, lab.server() as new, raw(old.url) as client:
        password = new.url.partition(":")[2].partition(":")[2].partition("@")[0]
        await client.config_set("requirepass", password)  # of one cluster they have one password
        async with Switch(new.url) as name:
            address = name.url
            name.to(old.url)
            async with RedisCache(address, namespace="n") as made:
                assert await made.set("a", 1) is True
                await asyncio.gather(*map(made.get, range(100)))
                await client.replicaof("127.0.0.1", 1)
                name.to(new.url)
                started = time.monotonic()
                while not await made.set("a", 2):
                    await asyncio.sleep(0.02)
                assert time.monotonic() - started < 1
                assert await made.get("a") == 2
    assert not outages(caplog)


async def test_a_new_password_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing helps but the right one; the log has the reason, and not the password."""
    async with lab.server() as server, raw(server.url) as client, cache_on(server.url) as made:
        old = (await client.config_get("requirepass"))["requirepass"]
        await client.config_set("requirepass", "new-s3cret")
        await client.client_kill_filter(_type="normal", skipme=True)
        for _ in range(5):
            await made.get("stored")
            await asyncio.sleep(0.05)
        assert "circuit open" in repr(made)
        await client.config_set("requirepass", old)
        await until_hit(made)
    assert len(outages(caplog)) == 1
    assert "Authentication" in outages(caplog)[0]
    assert "s3cret" not in caplog.text
    assert old not in caplog.text


async def test_what_cannot_be_encoded_is_logged_once_a_function(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By the name of the function, or what stands before the colon; without key or value."""
    async with cache() as made:
        for number in range(50):
            for key in ("shop.page", number), f"user:{number}", ("shop.list", number):
                assert await made.get_or_load(key, lambda: answer({1, 2})) == {1, 2}
    told = [line for line in caplog.messages if "can't be cached" in line]
    assert sorted(line.split(" can't")[0] for line in told) == [
        "a value of shop.list",
        "a value of shop.page",
        "a value of user",
    ]
    assert made.stats().errors == 150


@pytest.mark.parametrize("command", ["eval", "scan"])
async def test_a_missing_permission_is_named_at_connect(command: str) -> None:
    """And the cache carries on as far as it can."""
    async with lab.server() as server, raw(server.url) as client:
        await client.set("n:{stored}", '"v"')
        await client.acl_setuser(
            "shop",
            enabled=True,
            passwords=["+pw"],
            keys=["*"],
            categories=["+@all"],
            commands=[f"-{command}"],
        )
        address = f"redis://shop:pw@{server.url.rpartition('@')[2]}"
        async with RedisCache(address, namespace="n") as made:
            with pytest.raises(CacheUnavailable, match=rf"may not run {command.upper()}"):
                await made.connect()
            assert await made.get("stored") == "v"
            assert await made.get_or_load("a", lambda: answer(1)) == 1
            assert await made.set("a", 1) is (command == "scan")
            assert await made.clear() is (command == "eval")
            assert repr(made).startswith("<RedisCache 'n': open")


async def test_the_log_of_a_refusal_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However many calls are refused; each kind has its own."""
    caplog.set_level(logging.WARNING)
    says = {"EVAL": b"-OOM command not allowed\r\n"}
    async with saying(says) as address, RedisCache(address, namespace="n") as made:
        for number in range(200):
            await made.set(number, 1)
        says["EVAL"] = b"-READONLY replica\r\n"
        for number in range(200):
            await made.set(number, 1)
    told = [line.partition("(")[2].split(" ")[0] for line in caplog.messages if "refuses" in line]
    assert told == ["OutOfMemoryError:", "READONLY:"]
