"""The guard: one process that owns the lab's servers for as long as anybody uses them.

Every kernel keeps a connection to the guard open (a Unix socket in a folder that only its user can
enter). The system closes that connection when the kernel ends, however it ends, SIGKILL included.
So the guard knows at once whose databases to free, and it stops the servers when the last kernel is
gone. It runs in a session of its own: interrupting or killing a kernel's process group misses it.

A lock (flock) on the folder makes starting, joining and leaving happen one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from cachepool_lib.lab.servers.addresses import given_addresses
from cachepool_lib.lab.servers.desk import Desk, check_given
from cachepool_lib.lab.servers.folder import try_lock
from cachepool_lib.lab.servers.provider import (
    BadSetting,
    Died,
    Pair,
    Unavailable,
    reason,
)


@contextlib.asynccontextmanager
async def _given(folder: Path) -> AsyncIterator[Pair]:
    """Both addresses were given: there is nothing to start."""
    yield Pair(redis_url="", database_url="")


async def guard(provider: str, folder: Path) -> None:
    """Start the servers, serve kernels until the last one is gone, stop the servers."""
    if provider == "docker":
        from cachepool_lib.lab.servers.containers import servers
    elif provider == "embedded":
        from cachepool_lib.lab.servers.embedded import servers
    else:
        servers = _given
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end.set)

    given = given_addresses()
    await asyncio.gather(*(check_given(name, url) for name, url in given.items()))
    async with servers(folder) as pair:
        pair.redis_url = given.get("REDIS", pair.redis_url)
        pair.database_url = given.get("DATABASE", pair.database_url)
        async with Desk(pair).opened() as desk:
            kernels: set[asyncio.StreamWriter] = set()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                kernels.add(writer)
                try:
                    number, name = await desk.take()
                    hello = {
                        "redis_url": desk.redis_url(number),
                        "database_url": desk.database_url(name),
                        "versions": desk.versions,
                    }
                    writer.write(json.dumps(hello).encode() + b"\n")
                    with contextlib.suppress(ConnectionError):
                        await reader.read()  # a kernel sends nothing: this ends when it is gone
                    await desk.release(number, name)
                except Exception as error:
                    writer.write(json.dumps({"error": reason(error)}).encode() + b"\n")
                    end.set()  # a server is broken: whoever comes next starts anew
                    raise
                finally:
                    writer.close()
                    kernels.discard(writer)

            door = await asyncio.start_unix_server(serve, folder / "guard")
            async with door:
                print(json.dumps({"ready": True}))
                sys.stdout.flush()
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever started us waits for its end
                endings = [
                    asyncio.ensure_future(ending)
                    for ending in (_unused(folder, kernels), pair.died.wait(), end.wait())
                ]
                await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
                for writer in kernels:
                    writer.transport.abort()


async def _unused(folder: Path, kernels: set[asyncio.StreamWriter]) -> None:
    """Wait until no kernel is left; then nobody finds this guard any more.

    Kernels join under the lock, so that with the lock in hand none is at the door.
    """
    while True:
        if not kernels and (lock := try_lock(folder)) is not None:
            if not kernels:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                return
            os.close(lock)
        await asyncio.sleep(0.1)


def main() -> None:
    """Leave the process that started us, then run the guard; the first line is the answer."""
    provider, folder = sys.argv[1:]
    if os.fork():
        os._exit(0)  # the guard is nobody's child: no zombie, and Jupyter does not find it
    for tries_left in (2, 1, 0):
        try:
            return asyncio.run(guard(provider, Path(folder)))
        except Unavailable as error:
            if not isinstance(error, Died) or not tries_left:
                final = isinstance(error, BadSetting)
                return print(json.dumps({"error": str(error), "final": final}))
