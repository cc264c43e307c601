"""What callers ask in the same turn of the event loop goes out together, unmixed."""

import asyncio
import contextlib
import math
import random
import socket
import struct
from typing import Any

import pytest
import redis.asyncio

from cachepool_lib import RedisCache, lab
from tests.tools.async_cache_tools import answer
from tests.tools.loops import LOOPS
from tests.tools.redis_tools import cache, namespace_of, raw, url
from tests.tools.stand_in_server import requests, serving

pytestmark = pytest.mark.anyio


async def commands(client: Any) -> dict[str, int]:
    """How often the server was asked for each command."""
    stats = await client.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}


async def test_readers_of_one_turn_share_a_trip() -> None:
    """Twenty callers, one MGET."""
    async with lab.server() as server, cache(redis_url=server.url) as made, raw(server.url) as look:
        await made.set_many({key: key for key in range(20)})
        await look.config_resetstat()
        assert await asyncio.gather(*map(made.get, range(20))) == list(range(20))
        asked = await commands(look)
        assert (asked.get("mget"), asked.get("get")) == (1, None)


async def test_writers_of_one_turn_share_a_script() -> None:
    """Twenty callers, one EVAL and one message; each has its own answer."""
    async with lab.server() as server, cache(redis_url=server.url) as made, raw(server.url) as look:
        await made.get("a")
        await look.config_resetstat()
        assert await asyncio.gather(*(made.set(key, key) for key in range(20))) == [True] * 20
        done = await commands(look)
        assert (done["eval"], done["set"], done["publish"]) == (1, 20, 1)
        assert await made.get_many(range(20)) == {key: key for key in range(20)}


async def test_what_can_not_go_together_goes_apart() -> None:
    """As behind a proxy that shares keys out among servers; here, at a single node of a cluster."""
    async with lab.cluster(3) as nodes, cache(redis_url=nodes.url) as made:
        here = [key for key in range(40) if await made.set(key, key)]
        assert 0 < len(here) < 40
        await made.set_many(dict.fromkeys(range(40), "old"))
        for _ in range(2):  # the first time it is found out
            written = await asyncio.gather(*(made.set(key, key) for key in range(40)))
            assert [key for key in range(40) if written[key]] == here
            found = await asyncio.gather(*map(made.get, range(40)))
            assert [key for key in range(40) if found[key] == key] == here


@pytest.mark.parametrize(
    ("ttls", "left"), [((60, 60), 2), ((60, 0), None), ((0, 60), 2), ((math.inf, 60), 2)]
)
async def test_writes_of_one_key_in_one_turn_come_in_their_order(
    ttls: tuple[float, float], left: Any
) -> None:
    """The last one counts, also where one of them removes what was there."""
    async with cache() as made:
        await made.set("a", 0)
        writes = [made.set("a", 1, ttls[0]), made.set("b", 1), made.set("a", 2, ttls[1])]
        assert await asyncio.gather(*writes) == [True] * 3
        assert await made.get_many("ab") == ({"a": left} if left else {}) | {"b": 1}


async def test_a_set_voids_a_load_that_stores_in_the_same_turn() -> None:
    """Whichever of the two comes first; a load of another key is kept."""
    async with cache() as made:
        end = asyncio.Event()
        begun: list[str] = []

        async def load(key: str) -> str:
            begun.append(key)
            await end.wait()
            return "loaded"

        def ask(key: str) -> "asyncio.Task[str]":
            return asyncio.create_task(made.get_or_load(key, lambda: load(key)))

        loads = [ask(key) for key in "abc"]
        async with asyncio.timeout(20):
            while len(begun) < 3:
                await asyncio.sleep(0.001)
            end.set()
            await asyncio.gather(made.set("a", "written"), made.set("b", "written"), *loads)
        assert await made.get_many("abc") == {"a": "written", "b": "written", "c": "loaded"}


async def test_a_turn_may_mix_reads_and_writes() -> None:
    """Each caller gets what it asked for, errors included."""
    async with cache() as made, raw() as client:
        await made.set_many({"a": 1, "b": 2, "c": 3})
        await client.rpush(f"{namespace_of(made)}:{{list}}", "not ours")
        calls = [
            *(made.get("a"), made.set("d", 4), made.get("b"), made.delete("c"), made.get("no")),
            *(made.exists("a"), made.get_or_load("e", lambda: answer(5)), made.get("list")),
        ]
        assert await asyncio.gather(*calls) == [1, True, 2, True, None, True, 5, None]
        assert await made.get_many("abcde") == {"a": 1, "b": 2, "d": 4, "e": 5}


async def test_3000_hits_at_once_are_3000_hits() -> None:
    """A few connections are enough, and nobody waits for one for longer than a timeout."""
    async with (
        lab.server() as server,
        cache(redis_url=server.url, timeout=1) as made,
        raw(server.url) as client,
    ):
        await made.set_many({key: key for key in range(100)})
        hits = await asyncio.gather(*(made.get(n % 100) for n in range(3_000)))
        assert hits == [n % 100 for n in range(3_000)]
        assert (await client.info("clients"))["connected_clients"] <= 10 + 1


async def test_10000_cancelled_callers_mix_up_no_replies() -> None:
    """Whoever stays gets its own value, whatever moment the others leave in."""
    chance = random.Random(5)
    async with cache() as made:
        await made.set_many({key: f"value of {key}" for key in range(200)})
        for _ in range(50):
            tasks = {key: asyncio.create_task(made.get(key)) for key in range(200)}
            leaving = chance.sample(sorted(tasks), 199)
            for key in leaving:
                if chance.random() < 0.05:
                    await asyncio.sleep(0)
                tasks[key].cancel()
            for key, task in tasks.items():
                with contextlib.suppress(asyncio.CancelledError):
                    assert await task == f"value of {key}"
        assert made.stats().errors == 0


async def test_a_write_whose_caller_leaves_is_sent_all_the_same() -> None:
    """A row has changed: its page must go, whether or not somebody waits for that."""
    async with cache() as made:
        await made.set_many({"a": 1, "b": 1, "c": 1})
        for call in made.delete("a"), made.set("b", 2), made.set_many({"c": 2}):
            task = asyncio.create_task(call)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        for _ in range(100):
            if (found := await made.get_many("abc")) == {"b": 2, "c": 2}:
                break
        assert found == {"b": 2, "c": 2}


async def test_what_is_large_goes_alone() -> None:
    """A value of 20 MB holds up nobody who asks in the same turn, once its size is known."""
    async with lab.server() as server, cache(redis_url=server.url) as made, raw(server.url) as look:
        await made.set_many({key: key for key in range(19)})
        await made.set("large", "x" * 20_000_000)
        await made.get("large")
        await look.config_resetstat()
        large = asyncio.create_task(made.get("large"))
        others = [asyncio.create_task(made.get(key)) for key in range(19)]
        assert await asyncio.gather(*others) == list(range(19))
        assert len(await large) == 20_000_000
        asked = await commands(look)
        assert (asked["get"], asked["mget"]) == (1, 1)


async def test_a_batch_has_a_bound() -> None:
    """40,000 items go in many parts; all are there, and others are served between them."""
    async with cache(timeout=0.25) as made:
        await made.set("other", 1)
        items = dict.fromkeys(range(40000), "x" * 50)
        writing = asyncio.create_task(made.set_many(items))
        hits = 0
        while not writing.done():
            assert await made.get("other") == 1
            hits += 1
        assert await writing is True
        assert hits > 10
        assert await made.get_many(items) == items


async def test_connections_that_died_idle_cost_nobody_a_miss() -> None:
    """Such as those that a server, or a load balancer, ends after a while."""
    async with lab.server() as server, cache(redis_url=server.url) as made, raw(server.url) as look:
        await made.set("a", 1)
        await asyncio.gather(*(made.get("a") for _ in range(3_000)))
        await look.client_kill_filter(_type="normal", skipme=True)
        assert await asyncio.gather(*(made.get("a") for _ in range(20))) == [1] * 20
        assert made.stats().errors == 0


@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_connections_that_were_reset_while_idle_cost_nobody_a_miss(
    anyio_backend: Any,
) -> None:
    """As by a machine that went away: the loop learns of it before anything is sent."""
    replies = {b"HELLO": b"%1\r\n+proto\r\n:3\r\n", b"GET": b"$1\r\n1\r\n"}
    connected: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        async for words in requests(reader):
            writer.write(replies.get(words[0].upper(), b"+OK\r\n"))

    async with (
        serving(serve) as port,
        RedisCache(f"redis://127.0.0.1:{port}", namespace="n", timeout=5) as made,
    ):
        assert await made.get("a") == 1
        [writer] = connected
        at_once = struct.pack("ii", 1, 0)  # closing sends RST
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()
        await asyncio.sleep(0.05)  # until our end has heard of it
        assert await made.get("a") == 1
        assert made.stats().errors == 0


async def test_a_client_that_is_given_keeps_its_connections() -> None:
    """The cache takes none of its pool: others use it, too."""
    client = redis.asyncio.Redis.from_url(await url(), max_connections=1)
    try:
        async with RedisCache(client=client, namespace="given", timeout=5) as made:
            for number in range(3):
                assert await made.set("a", number) is True
                assert await client.get("given:{a}") == str(number).encode()
                hits = await asyncio.gather(*(made.get("a") for _ in range(1_000)))
                assert hits == [number] * 1_000
            await made.clear()
        assert await client.ping()  # close has not closed it
    finally:
        await client.aclose()


async def test_in_a_cluster_each_node_gets_its_part() -> None:
    """One turn, three nodes, every reply its caller's."""
    async with lab.cluster(3) as nodes:
        client = redis.asyncio.RedisCluster.from_url(nodes.url)
        async with RedisCache(client=client, namespace="n", timeout=5) as made:
            await made.connect()
            assert await made.set_many({key: key for key in range(300)}) is True
            assert await asyncio.gather(*map(made.get, range(300))) == list(range(300))
            mixed = [
                made.delete(1),
                made.get(2),
                made.set(3, 4),
                made.get_or_load(2, lambda: answer(0)),
            ]
            assert await asyncio.gather(*mixed) == [True, 2, True, 2]
            assert await made.clear() is True
            assert await made.get_many(range(300)) == {}
        await client.aclose()


async def test_waiting_for_a_turn_is_no_silence() -> None:
    """One connection and a slow network: the last of many batches waits longer than a timeout."""
    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, timeout=1, max_connections=1) as made,
    ):
        await made.set_many(dict.fromkeys(range(40), "x" * 30_000))
        await asyncio.gather(*map(made.get, range(40)))  # how large they are is known from now on
        proxy.slow(0.1)  # for each piece of a reply
        loop = asyncio.get_running_loop()
        started = loop.time()
        got = await asyncio.gather(*map(made.get, range(40)))
        assert loop.time() - started > 1
        assert got == ["x" * 30_000] * 40
        assert made.stats().errors == 0
