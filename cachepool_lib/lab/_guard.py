"""The guard: one process that owns the lab's servers for as long as anybody uses them.

Every kernel keeps a connection to the guard open (a Unix socket in a folder that only its user can
enter). The system closes that connection when the kernel ends, however it ends, SIGKILL included.
So the guard knows at once whose databases to free, and it stops the servers when the last kernel is
gone. It runs in a session of its own: interrupting or killing a kernel's process group misses it.

A lock (flock) on the folder makes starting, joining and leaving take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

if sys.platform != "win32":
    import fcntl

ANSWER_SECONDS = 3.0  # how long a server may take to answer, once it runs


class Unavailable(Exception):
    """These servers can't be had here; the message says why, in one line without secrets."""


class DeadAddress(Unavailable):
    """An address was given, and nobody answers there."""


class Died(Unavailable):
    """A server of ours ended while it was starting: its port may have been taken meanwhile."""


@dataclass
class Pair:
    """A Redis and a PostgreSQL, with the address and the rights to make databases in them."""

    redis_url: str
    database_url: str
    start_seconds: float = ANSWER_SECONDS  # how long they may take until they answer
    died: asyncio.Event = field(default_factory=asyncio.Event)


def given_addresses() -> dict[str, str]:
    """The addresses in the environment that count: none where CACHEPOOL_SERVICES forces a kind."""
    names = [] if os.environ.get("CACHEPOOL_SERVICES") else ["REDIS", "DATABASE"]
    urls = {name: os.environ.get(f"CACHEPOOL_{name}_URL", "") for name in names}
    return {name: url for name, url in urls.items() if url}


def place(url: str) -> str:
    """Host, port and database of *url*: what may be shown of it."""
    return url.rpartition("://")[2].partition("?")[0].rpartition("@")[2]


def reason(error: BaseException) -> str:
    """The errors of clients are towers of errors: what the lowest one says, in one line."""
    if isinstance(error, ValueError):
        return "that is no address"  # and what the error says may have the password in it
    said = getattr(error, "explanation", None)  # Docker's own words
    while not said and not isinstance(error, TimeoutError):
        if (below := error.__cause__ or error.__context__) is None:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        else:
            error = below
    return str(said or "no answer in time").partition("\n")[0].rstrip(".")[:120]


# -- the folder and its lock ------------------------------------------------------------------


def folder_of(provider: str) -> Path:
    """Where this user's kernels and the guard of *provider* meet."""
    given = json.dumps(given_addresses())
    suffix = f"-{hashlib.sha256(given.encode()).hexdigest()[:8]}" if given != "{}" else ""
    temporary = tempfile.gettempdir()
    if len(temporary) > 60:  # the path of a Unix socket has at most 103 bytes
        temporary = "/tmp"
    return Path(temporary, f"cachepool-{os.geteuid()}-{provider}{suffix}")


def try_lock(folder: Path) -> int | None:
    """Lock *folder*, made if it is not there. None while another process holds the lock.

    The file descriptor is the lock: closing it frees the lock, and so does the end of the process.
    """
    lock = None
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock before may have removed the folder; then it is a lock on nothing.
        if os.path.samestat(os.fstat(lock), os.stat(folder)):
            if os.fstat(lock).st_uid != os.geteuid() or os.fstat(lock).st_mode & 0o077:
                raise Unavailable(f"{folder} is open to other users: remove it")
            held, lock = lock, None
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        raise Unavailable(f"{folder} can't be used: {error.strerror}") from error
    finally:
        if lock is not None:
            os.close(lock)
    return None


# -- a kernel's own databases -----------------------------------------------------------------


async def ping_redis(url: str) -> str:
    """Product and version of the server at *url*."""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as redis:
        info = await redis.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


async def ping_postgres(url: str) -> str:
    """Product and version of the server at *url*."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        version: str = await connection.fetchval("SHOW server_version")
    finally:
        connection.terminate()
    return f"PostgreSQL {version.split()[0]}"


PINGS = {"REDIS": ping_redis, "DATABASE": ping_postgres}


async def check_given(name: str, url: str) -> None:
    """Raise DeadAddress unless a server answers at *url*."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await PINGS[name](url)
    except Exception as error:
        problem = f"no server at {place(url)}: {reason(error)}"
        raise DeadAddress(f"CACHEPOOL_{name}_URL: {problem}") from error


async def started(name: str, url: str, pair: Pair) -> str:
    """Product and version of our own server at *url*, once it has started."""
    deadline = time.monotonic() + pair.start_seconds
    while True:
        try:
            # If our server is dead, somebody else may hold its port, and keep silent.
            async with asyncio.timeout(ANSWER_SECONDS):
                return await PINGS[name](url)
        except Exception as error:
            if pair.died.is_set():
                raise Died(f"the server for {place(url)} stopped at once") from error
            if time.monotonic() > deadline:
                raise Unavailable(f"no server at {place(url)}: {reason(error)}") from error
        await asyncio.sleep(0.02)


class Desk:
    """Hands out a logical database of its own on each server, and takes it back."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.numbers: set[int] = set()  # Redis databases in use

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Desk]:
        """Connect to both servers, waiting until they have started."""
        import asyncpg

        urls = {"REDIS": self.pair.redis_url, "DATABASE": self.pair.database_url}
        versions = [started(name, url, self.pair) for name, url in urls.items()]
        self.versions = " and ".join(await asyncio.gather(*versions))
        async with asyncpg.create_pool(urls["DATABASE"], min_size=1, max_size=4) as self.postgres:
            yield self

    async def take(self) -> tuple[int, str]:
        """Make a database in PostgreSQL, pick an empty one in Redis. Fails if a server is gone."""
        await ping_redis(self.pair.redis_url)
        number = next(n for n in itertools.count() if n not in self.numbers)
        self.numbers.add(number)
        name = f"kernel_{secrets.token_hex(4)}"
        # Locale C: the same order of texts wherever the server comes from.
        await self.postgres.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        )
        return number, name

    async def give_back(self, number: int, name: str) -> None:
        """Empty the one in Redis (unless its address was given), drop the one in PostgreSQL."""
        await self.postgres.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        if "REDIS" not in given_addresses():
            from redis.asyncio import Redis

            async with Redis.from_url(self.redis_url(number)) as redis:
                await redis.flushdb()
        self.numbers.discard(number)

    def redis_url(self, number: int) -> str:
        """A Redis whose address was given is used as it is: its other databases are somebody's."""
        url = self.pair.redis_url
        if "REDIS" in given_addresses():
            return url
        return urlsplit(url)._replace(path=f"/{number}").geturl()

    def database_url(self, name: str) -> str:
        return urlsplit(self.pair.database_url)._replace(path=f"/{name}").geturl()


# -- the process ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _given(folder: Path) -> AsyncIterator[Pair]:
    """Both addresses were given: there is nothing to start."""
    yield Pair(redis_url="", database_url="")


async def guard(provider: str, folder: Path) -> None:
    """Start the servers, serve kernels until the last one is gone, stop the servers."""
    if provider == "docker":
        from ._docker import servers
    elif provider == "embedded":
        from ._embedded import servers
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
                    await desk.give_back(number, name)
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
                final = isinstance(error, DeadAddress)
                return print(json.dumps({"error": str(error), "final": final}))
