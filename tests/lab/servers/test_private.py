"""Private servers: a cluster whose primaries fail, a PostgreSQL with few places, a replica."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from cachepool_lib import lab

pytestmark = pytest.mark.anyio


async def read(url: str, names: range) -> list[bytes | None]:
    """What the cluster has, as soon as it answers for all of them."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with RedisCluster.from_url(url, socket_timeout=1) as client:
                    found: list[bytes | None] = await client.mget_nonatomic(*names)
                    return found
            except RedisError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_replica_takes_over_from_a_primary(fault: str) -> None:
    """Whether that is gone or stands still; what was stored is there."""
    async with lab.cluster(3, replicas=1, node_timeout=0.5) as cluster:
        assert len(cluster.urls) == 6
        async with RedisCluster.from_url(cluster.url) as client:
            for number in range(50):
                await client.set(number, number)
            for node in client.get_primaries():
                await client.execute_command("WAIT", 1, 5000, target_nodes=node)
        await getattr(cluster, fault)(0)
        got = await read(cluster.urls[1], range(50))
        assert got == [str(number).encode() for number in range(50)]
        async with Redis.from_url(cluster.urls[3]) as client:
            assert (await client.role())[0] == b"master"
        await cluster.stop()
        await cluster.start()  # a frozen one was stopped, too
        async with RedisCluster.from_url(cluster.urls[0]) as client:
            assert await client.dbsize(target_nodes=RedisCluster.PRIMARIES) == 0


async def test_a_frozen_server_goes_on_where_it_was() -> None:
    """Nothing answers meanwhile, and connections stay open."""
    async with lab.server() as server, Redis.from_url(server.url) as client:
        await client.set("a", 1)
        await server.freeze()
        asked = asyncio.ensure_future(client.get("a"))
        assert not (await asyncio.wait([asked], timeout=0.1))[0]
        await server.thaw()
        assert await asked == b"1"


async def test_in_a_cluster_each_node_tells_all_others() -> None:
    """From the first moment on: a message that one publishes reaches whoever listens at another."""
    async with lab.cluster(4) as cluster:
        nodes = [Redis.from_url(url) for url in cluster.urls]
        heard = []
        for node in nodes:
            listener = node.pubsub(ignore_subscribe_messages=False)
            await listener.subscribe("news")
            await listener.get_message(timeout=5)
            heard.append(listener)
        for number, node in enumerate(nodes):
            await node.publish("news", str(number))
        for listener in heard:
            told = {(await listener.get_message(timeout=5) or {}).get("data") for _ in nodes}
            assert told == {b"0", b"1", b"2", b"3"}
            await listener.aclose()
        for node in nodes:
            await node.aclose()


async def test_the_last_three_connections_are_for_administrators() -> None:
    """Of max_connections=6 anybody else gets three."""
    async with lab.postgres(max_connections=6) as server:
        taken = [await asyncpg.connect(server.url) for _ in range(3)]
        with pytest.raises(asyncpg.TooManyConnectionsError, match="reserved"):
            await asyncpg.connect(server.url)
        taken.append(await asyncpg.connect(server.admin_urls[0]))
        for connection in taken:
            await connection.close()


async def test_a_replica_shows_what_the_primary_has_until_its_replay_is_paused() -> None:
    """Then old rows, until it may catch up; and it takes no writes. All that outlives a restart."""
    async with lab.postgres(max_connections=20, replica=True) as server:
        primary = await asyncpg.connect(server.url)
        await primary.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
        replica = await asyncpg.connect(server.replica_url)

        async def until_shown(number: int) -> None:
            async with asyncio.timeout(20):
                while True:
                    try:
                        if await replica.fetchval("SELECT max(x) FROM t") == number:
                            return
                    except asyncpg.UndefinedTableError:
                        pass
                    await asyncio.sleep(0.01)

        await until_shown(1)
        await server.pause_replay()
        await primary.execute("INSERT INTO t VALUES (2)")
        assert await replica.fetchval("SELECT max(x) FROM t") == 1
        await server.resume_replay()
        await until_shown(2)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await replica.execute("INSERT INTO t VALUES (3)")
        for connection in (primary, replica):
            await connection.close()
        await server.stop()
        await server.start()
        replica = await asyncpg.connect(server.replica_url)
        await until_shown(2)
        await replica.close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: lab.postgres(shared_buffers="no size"), "shared_buffers"),
        (lambda: lab.server(maxmemory_policy="nonsense"), "must be one of the following"),
    ],
    ids=["PostgreSQL", "Redis"],
)
async def test_a_server_that_does_not_start_says_why(make: object, says: str) -> None:
    """In one line, and nothing is left of it."""
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    with pytest.raises(RuntimeError, match=f"no private server: .*{says}"):
        async with make():  # type: ignore[operator]
            pass
    assert {one.pid for one in psutil.Process().children(recursive=True)} <= before


async def test_nothing_can_be_asked_of_what_is_not_started() -> None:
    """Which is said, with what to do; nor of a server that there is not."""
    with pytest.raises(RuntimeError, match=r"not started: await server\.start\(\)"):
        await lab.server().stop()
    async with lab.server() as server:
        with pytest.raises(RuntimeError, match="no server number 1 is running"):
            await server.kill(1)
        await server.stop()
        with pytest.raises(RuntimeError, match="no server number 0 is running"):
            await server.freeze()
        await server.start()


ASKS = """
import asyncio
from cachepool_lib import lab
async def main():
    made = [lab.cluster(2, node_timeout=1), lab.postgres(replica=True)]
    for one in made:
        await one.start()
    await made[0].freeze(1)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


KILLED = ["the one that asked"]
# An engine does not know who has asked it, and only Linux ties a process to its parent.
if os.environ.get("CACHEPOOL_SERVICES") != "docker" and sys.platform == "linux":
    KILLED.append("the owners, too")


@pytest.mark.parametrize("whom", KILLED)
async def test_when_the_one_that_asked_dies_all_are_gone(whom: str) -> None:
    """Even by SIGKILL, even those that stand still, and even if their owners are killed."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-c", ASKS], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
    everybody = psutil.Process(process.pid).children(recursive=True)
    owners = [one for one in everybody if one.ppid() == process.pid]
    assert len(everybody) >= len(owners) + 4
    places = [Path(one.cwd()) for one in everybody]
    folders = {
        path
        for place in places
        for path in (place, *place.parents)
        if path.name.startswith("cachepool-")
    }
    assert len(folders) in (0, 2)  # none where they are in containers
    process.send_signal(signal.SIGKILL)
    for one in owners if whom != "the one that asked" else []:
        one.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while left := [one for one in everybody if one.is_running() and one.status() != "zombie"]:
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.05)
    for folder in folders:  # an owner that is killed can't remove its own
        assert whom != "the one that asked" or not folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
