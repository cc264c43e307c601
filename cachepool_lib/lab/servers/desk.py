"""A kernel's own databases: handed out on servers that answer, emptied when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from cachepool_lib.lab.servers.addresses import given_addresses
from cachepool_lib.lab.servers.provider import (
    ANSWER_SECONDS,
    BadSetting,
    Died,
    Pair,
    Unavailable,
    place,
    reason,
)
from cachepool_lib.lab.servers.proxy import Proxy


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


async def _use_redis(url: str) -> None:
    """What the course does with it first, done once."""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as redis:
        info = await redis.info("server")
        mode = info.get("server_mode") or info["redis_mode"]  # Valkey's word, and Redis's
        if mode != "standalone":
            raise Unavailable(f"it runs as {mode}, and the course needs a single server")
        key = f"cachepool-{secrets.token_hex(8)}"
        await redis.set(key, "", ex=10)
        await redis.eval("return redis.call('DEL', KEYS[1])", 1, key)


async def _use_postgres(url: str) -> None:
    """What the course does with it first, done once."""
    import asyncpg

    admin = await asyncpg.connect(url)
    try:
        if admin.get_server_version().major < 13:
            raise Unavailable("the course needs PostgreSQL 13 or newer")
        may = "SELECT rolsuper OR rolcreatedb AND rolcreaterole FROM pg_roles WHERE rolname = user"
        if not await admin.fetchval(may):
            raise Unavailable("its user needs the rights CREATEDB and CREATEROLE")
        role = f"cachepool_{secrets.token_hex(8)}"
        await admin.execute(f"CREATE ROLE {role}")
        await admin.execute(f"DROP ROLE {role}")
    finally:
        admin.terminate()


USES = {"REDIS": _use_redis, "DATABASE": _use_postgres}


async def check_given(name: str, url: str) -> None:
    """Raise BadSetting unless a server answers at *url*, also through a proxy, and will do."""
    problem = "no server at"
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await PINGS[name](url)
        problem = "the course can't work with the server at"
        async with asyncio.timeout(ANSWER_SECONDS), Proxy(url) as proxy:
            await USES[name](proxy.url)
    except Exception as error:
        what = f"CACHEPOOL_{name}_URL: {problem} {place(url)}: {reason(error)}"
        raise BadSetting(
            f"{what}.\nStart that server, or name another; or unset the variable: then the lab"
            " runs its own"
        ) from error


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
                raise Died(f"a server stopped at once: {pair.said()}") from error
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

    async def release(self, number: int, name: str) -> None:
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
