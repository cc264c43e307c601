"""A cluster whose nodes fail: each costs its own keys alone, until a replica has taken over."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError

from cachepool_lib import CacheUnavailable, RedisCache, lab
from tests.tools.redis_tools import Lag
from tests.tools.stand_in_server import requests, serving

pytestmark = pytest.mark.anyio

KEYS = range(60)
TIMEOUT = 0.25


@contextlib.asynccontextmanager
async def cache_on(url: str, **options: Any) -> AsyncIterator[RedisCache]:
    """With a client as it comes, with all of its own limits."""
    client = RedisCluster.from_url(url)
    try:
        async with RedisCache(client=client, namespace="n", timeout=TIMEOUT, **options) as made:
            yield made
    finally:
        await client.aclose()


def shard(key: object, shards: int = 3) -> int:
    slot = key_slot(f"n:{{!i{key};}}".encode())
    return next(n for n in range(shards) if slot < 16_384 * (n + 1) // shards)


async def stored(made: RedisCache, keys: Any = KEYS) -> None:
    async with asyncio.timeout(20):
        while not await made.set_many({key: f"page {key}" for key in keys}):
            await asyncio.sleep(0.05)


async def visit(made: RedisCache, key: int) -> bool:
    """Is it a hit?"""
    hit = True

    async def load() -> str:
        nonlocal hit
        hit = False
        return f"page {key}"

    assert await made.get_or_load(key, load) == f"page {key}"
    return hit


async def has_taken_over(url: str, others: str) -> None:
    """Wait until the replica at *url* is a primary, and the node at *others* knows it."""
    async with Redis.from_url(url) as client, Redis.from_url(others) as other:
        port = str(client.connection_pool.connection_kwargs["port"])
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(RedisError):
                    known = str(await other.execute_command("CLUSTER SLOTS"))
                    if (await client.role())[0] == b"master" and port in known:
                        return
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_primary_fails_and_its_replica_takes_over(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No visit fails; the other shards hit all the time; all hit two seconds after, and one line
    in the log tells of it."""
    async with (
        lab.cluster(3, replicas=1, node_timeout=1) as cluster,
        cache_on(cluster.urls[2]) as made,
    ):
        await stored(made)
        assert all([await visit(made, key) for key in KEYS])
        over = asyncio.Event()
        others: list[bool] = []
        slowest = 0.0

        async def visitor(number: int) -> None:
            nonlocal slowest
            while not over.is_set():
                for key in KEYS[number::4]:
                    async with Lag() as lag:
                        began = time.monotonic()
                        hit = await visit(made, key)
                        slowest = max(slowest, time.monotonic() - began - lag.total)
                    if shard(key) != 0:
                        others.append(hit)
                    await asyncio.sleep(0.002)

        visitors = [asyncio.create_task(visitor(number)) for number in range(4)]
        await getattr(cluster, fault)(0)
        await has_taken_over(cluster.urls[3], cluster.urls[1])
        async with Lag() as lag:
            began = time.monotonic()
            while not all([await visit(made, key) for key in KEYS]):
                assert time.monotonic() <= began + 2 + lag.total
                await asyncio.sleep(0.02)
        over.set()
        await asyncio.gather(*visitors)
        assert len(others) > 100
        assert all(others)
        assert slowest <= TIMEOUT + 0.1
        lines = [line for line in caplog.messages if "circuit is open" in line]
        assert len(lines) == 1
        port = cluster.urls[0].rpartition(":")[2]
        assert lines[0].startswith(f"Redis at 127.0.0.1:{port} can't be used")


async def test_without_a_replica_a_shard_is_away_and_comes_back() -> None:
    """Its keys are misses meanwhile, and what was owed to it is deleted when it is back."""
    async with lab.cluster(3) as cluster, cache_on(cluster.url) as made:
        await stored(made)
        mine = [key for key in KEYS if shard(key) == 1]
        await cluster.freeze(1)
        for _ in range(2):
            got = await made.get_many(KEYS)
            assert sorted(got) == [key for key in KEYS if shard(key) != 1]
        assert await made.delete(mine[0]) is False
        assert await made.clear() is False
        assert "circuit" not in repr(made)
        await cluster.thaw(1)
        async with asyncio.timeout(20), Redis.from_url(cluster.urls[1]) as node:
            while any([name async for name in node.scan_iter(match="n:{*")]):
                await asyncio.sleep(0.02)
        async with asyncio.timeout(20):
            while True:  # the clear is owed until all nodes have confirmed it
                await stored(made)
                if len(await made.get_many(KEYS)) == len(KEYS):
                    break
                await asyncio.sleep(0.02)


async def test_a_slot_that_moves_is_followed() -> None:
    """While it is on its way (ASK), and once it is there (MOVED): every value is still a hit."""
    async with lab.cluster(2) as cluster, cache_on(cluster.url) as made:
        await stored(made)
        assert len(await made.get_many(KEYS)) == len(KEYS)
        slots = sorted({key_slot(f"n:{{!i{key};}}".encode()) for key in KEYS if shard(key, 2) == 0})
        async with (
            Redis.from_url(cluster.urls[0]) as here,
            Redis.from_url(cluster.urls[1]) as there,
        ):
            names = [await node.execute_command("CLUSTER MYID") for node in (here, there)]
            for slot in slots:
                await there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[0])
                await here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[1])
                keys = await here.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
                password = there.connection_pool.connection_kwargs["password"]
                port = there.connection_pool.connection_kwargs["port"]
                target = "127.0.0.1", port, "", 0, 5000, "AUTH", password, "KEYS", *keys
                await here.execute_command("MIGRATE", *target)
            assert len(await made.get_many(KEYS)) == len(KEYS)
            for slot in slots:
                for node in (there, here):
                    await node.execute_command("CLUSTER SETSLOT", slot, "NODE", names[1])
        for _ in range(2):
            assert len(await made.get_many(KEYS)) == len(KEYS)
            assert await made.set_many(dict.fromkeys(KEYS, "new"))
        assert set((await made.get_many(KEYS)).values()) == {"new"}
        assert made.stats().errors == 0


async def test_no_node_at_all_is_an_outage_of_the_whole() -> None:
    """`connect` says so, visits load, and nobody waits for longer than the timeout."""
    async with lab.cluster(2) as cluster, cache_on(cluster.url) as made:
        await made.connect()
        await stored(made)
        await cluster.stop()
        async with Lag() as lag:
            began = time.monotonic()
            assert not await visit(made, 1)
            assert time.monotonic() - began <= TIMEOUT + 0.1 + lag.total
        with pytest.raises(CacheUnavailable):
            await made.connect()
        await cluster.start()
        async with asyncio.timeout(20):
            while not await visit(made, 1):
                await asyncio.sleep(0.02)
    async with cache_on("redis://127.0.0.1:1") as made:
        with pytest.raises(CacheUnavailable, match=r"Connect call failed|Connection refused"):
            await made.connect()
        assert not await visit(made, 1)
    async with lab.server() as single, cache_on(single.url) as made:
        with pytest.raises(CacheUnavailable, match="cluster support disabled"):
            await made.connect()


@pytest.mark.parametrize("says", [b"*0\r\n", b":7\r\n", b"*1\r\n*1\r\n:0\r\n"], ids=str)
async def test_a_cluster_that_makes_no_sense_is_an_outage(says: bytes) -> None:
    """Without any slots, or with an answer of another kind: nobody waits, and everybody loads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for words in requests(reader):
            writer.write(says if words[0] == b"CLUSTER" else b"+OK\r\n")

    async with serving(serve) as port, cache_on(f"redis://127.0.0.1:{port}") as made:
        async with asyncio.timeout(20):
            assert not await visit(made, 1)
            assert await made.get("a", "miss") == "miss"
            assert await made.clear() is False
            with pytest.raises(CacheUnavailable):
                await made.connect()


async def test_where_all_nodes_are_others_the_given_addresses_are_asked_again() -> None:
    """As when a cluster is made anew behind the same name."""
    from redis.asyncio.cluster import ClusterNode

    async with lab.cluster(2) as first, lab.cluster(2) as second:
        ports = [int(cluster.url.rpartition(":")[2]) for cluster in (first, second)]
        nodes = [ClusterNode("127.0.0.1", port) for port in ports]
        password = first.url.split(":")[2].partition("@")[0]
        await second.stop()
        client = RedisCluster(startup_nodes=nodes, password=password)
        async with RedisCache(client=client, namespace="n", timeout=TIMEOUT) as made:
            await stored(made)
            await first.stop()
            await second.start()
            for url in second.urls:
                async with Redis.from_url(url) as node:
                    await node.config_set("requirepass", password)
            await stored(made)
            assert len(await made.get_many(KEYS)) == len(KEYS)
        await client.aclose()


async def test_of_the_addresses_that_are_given_one_is_enough() -> None:
    """Whichever it is: the others may be dead, or silent."""
    async with lab.cluster(3, replicas=1, node_timeout=1) as cluster:
        await cluster.freeze(0)
        await has_taken_over(cluster.urls[3], cluster.urls[1])
        from redis.asyncio.cluster import ClusterNode

        ports = [1, 2, 3, *(int(url.rpartition(":")[2]) for url in cluster.urls[:2])]
        password = cluster.url.split(":")[2].partition("@")[0]
        nodes = [ClusterNode("127.0.0.1", port) for port in ports]
        client = RedisCluster(startup_nodes=nodes, password=password)
        async with RedisCache(client=client, namespace="n", timeout=TIMEOUT) as made:
            await made.connect()
            await stored(made)
            assert len(await made.get_many(KEYS)) == len(KEYS)
        await client.aclose()
