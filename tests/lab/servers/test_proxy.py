"""The proxy breaks connections as told, and the private servers leave nothing behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from cachepool_lib import lab
from tests.tools.lab_user import eventually, lives
from tests.tools.redis_tools import raw, url

pytestmark = pytest.mark.anyio


async def ping(client: redis.asyncio.Redis, seconds: float = 10) -> bool:
    async with asyncio.timeout(seconds):
        return bool(await client.ping())


async def test_what_is_cut_is_refused_until_it_is_restored() -> None:
    """Open connections too; the port stays the same."""
    async with lab.Proxy(await url()) as proxy, raw(proxy.url) as client:
        assert await ping(client)
        assert proxy.connections == 1
        where = proxy.url
        await proxy.cut()
        assert proxy.connections == 0
        for _ in range(2):
            with pytest.raises(RedisConnectionError):
                await ping(client)
        await proxy.restore()
        assert proxy.url == where
        assert await ping(client)


async def test_what_is_stalled_is_silent_until_it_is_restored() -> None:
    """Nothing comes, and then what was held back."""
    async with lab.Proxy(await url()) as proxy, raw(proxy.url) as client:
        assert await ping(client)
        proxy.stall()
        waiting = asyncio.create_task(ping(client))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await proxy.restore()
        assert await waiting


async def test_what_is_slow_takes_that_much_longer() -> None:
    """Each reply, by so many seconds."""
    async with lab.Proxy(await url()) as proxy, raw(proxy.url) as client:
        assert await ping(client)
        proxy.slow(0.3)
        started = time.monotonic()
        assert await ping(client)
        assert time.monotonic() - started >= 0.3


async def test_a_reply_can_be_cut_in_its_middle() -> None:
    """After so many bytes: what comes before them has come."""
    async with lab.Proxy(await url()) as proxy:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(proxy.url[-8:].split(":")[1].split("/")[0])
        )
        await proxy.cut(after=4)
        writer.write(b"PING\r\n")  # answered by an error: no password
        assert await reader.read() == b"-NOA"
        writer.close()


async def test_the_url_keeps_user_password_and_database() -> None:
    """Only the place is the proxy's; and its repr shows none of it."""
    async with lab.Proxy("redis://me:secret@localhost:1234/5") as proxy:
        assert proxy.url.startswith("redis://me:secret@127.0.0.1:")
        assert proxy.url.endswith("/5")
        assert "secret" not in repr(proxy)


async def test_a_private_server_has_its_settings_and_restarts_in_its_place() -> None:
    """It listens on loopback only, wants its password, and forgets what it held."""
    async with lab.server(maxmemory="7mb") as server:
        async with raw(server.url) as client:
            assert (await client.config_get("maxmemory"))["maxmemory"] == str(7 * 2**20)
            assert (await client.config_get("bind"))["bind"] == "127.0.0.1"
            await client.set("a", 1)
        async with raw("redis://" + server.url.rpartition("@")[2]) as client:
            with pytest.raises(redis.exceptions.AuthenticationError):
                await client.ping()
        before = server.url
        await server.stop()
        async with raw(server.url) as client:
            with pytest.raises(RedisConnectionError):
                await client.ping()
        await server.start()
        assert server.url == before
        async with raw(server.url) as client:
            assert await client.get("a") is None
        assert server.url.split(":")[2].split("@")[0] not in repr(server)


HOLDS = """
import asyncio
from cachepool_lib import lab
async def main():
    async with lab.server() as server:
        print(server.url, flush=True)
        await asyncio.sleep(100)
asyncio.run(main())
"""


@pytest.mark.skipif(
    os.environ.get("CACHEPOOL_SERVICES") == "docker", reason="a container is no child of ours"
)
@pytest.mark.parametrize("end", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_nothing_stays_behind(end: str, tmp_path: Path) -> None:
    """However the process ends that asked for it: no server, no file."""
    tmp_path.chmod(0o755)
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("redis://")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2
    process.send_signal(signal.Signals[end])
    process.wait()
    process.stdout.close()
    assert eventually(lambda: not any(lives(child) for child in children), 10)
    assert eventually(lambda: not [*tmp_path.iterdir()], 10)


async def test_a_bad_setting_is_an_error_and_no_server() -> None:
    """Said at once, and nothing waits for it."""
    with pytest.raises(RuntimeError, match="no private server"):
        async with lab.server(no_such_setting="1"):
            pass
    with contextlib.suppress(psutil.Error):
        assert not [
            c
            for c in psutil.Process().children()
            if "servers.owner import main" in " ".join(c.cmdline())
        ]
