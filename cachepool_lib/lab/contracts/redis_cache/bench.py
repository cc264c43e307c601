"""Builds caches of one class on a real server, with keys that nobody else has."""

import asyncio
import contextlib
import logging
import secrets
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import redis.asyncio

from cachepool_lib.lab.contracts.cache.bench import Bench, Source

PATIENT = {"timeout": 5.0}  # where a slow machine must not look like a silent server


class Held:
    """What a page is loaded from, for as long as a check holds the load back.

    `begun` tells that a load has read *value*; it goes on when `go` is set.
    """

    def __init__(self, value: Any) -> None:
        self.value, self.loads = value, 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def load(self) -> Any:
        self.loads += 1
        value = self.value
        self.begun.set()
        await self.go.wait()
        if isinstance(value, Exception):
            raise value
        return value


class RedisBench(Bench):
    """Builds caches of one class on the server at *url*, with keys of its own."""

    def __init__(self, candidate: type, url: str, seats: asyncio.Semaphore | None = None) -> None:
        super().__init__(candidate)
        self.url = url
        self.seats = seats or asyncio.Semaphore(1)  # for checks with processes, or crowds
        self.key = f"user:{secrets.token_hex(8)}"
        self.client: Any = redis.asyncio.from_url(url)
        self._caches: list[Any] = []

    def new(self, **options: Any) -> Any:
        usual = {"redis_url": self.url, "namespace": f"check-{self.key[-16:]}", **PATIENT}
        cache = self.candidate(**self.known(**{**usual, **options}))
        self._caches.append(cache)
        return cache

    async def hits(self, cache: Any, key: Any, source: Source) -> bool:
        """Read until a read is a hit, as it is the second time; for three seconds, and more where
        the machine is busy: there a class may take Redis for silent, and store nothing."""
        for _ in range(30):
            await self.read(cache, key, source.load)
            loads = source.loads
            await self.read(cache, key, source.load)
            if loads == source.loads:
                return True
            await asyncio.sleep(0.1)
        return False

    async def delete(self, cache: Any, key: Any) -> None:
        """Delete, as far as the class can."""
        if hasattr(cache, "delete"):
            await cache.delete(key)

    async def get_many(self, cache: Any, keys: Iterable[Any]) -> dict[Any, Any]:
        if hasattr(cache, "get_many"):
            found: dict[Any, Any] = await cache.get_many(keys)
            return found
        values = {key: await cache.get(key) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    async def names(self) -> list[bytes]:
        """What this check's keys are called in Redis."""
        return [name async for name in self.client.scan_iter(f"*{self.key}*", 1000)]

    async def seconds_left(self) -> float | None:
        """The longest that one of its keys will live: None for ever, 0 for no key."""
        left = [await self.client.pttl(name) for name in await self.names()]
        return None if -1 in left else max(left, default=0) / 1000

    async def now(self) -> float:
        """The server's clock, in seconds."""
        seconds, micro = await self.client.time()
        return float(seconds + micro / 1e6)

    async def ends_at(self) -> float:
        """When the last of its keys ends, by the server's clock; 0 for no key."""
        ends = [0.0]
        for name in await self.names():
            async with self.client.pipeline() as pipe:  # both in one moment
                (seconds, micro), left = await pipe.time().pttl(name).execute()
            ends.append(seconds + micro / 1e6 + left / 1000)
        return max(ends)

    async def age(self, seconds: float) -> None:
        """Take so many seconds off what is left to its keys, as if they had passed."""
        for name in await self.names():
            left = await self.client.pttl(name) - round(1000 * seconds)
            await (self.client.pexpire(name, left) if left > 0 else self.client.unlink(name))

    async def expire(self) -> None:
        """Let a second pass after the ttl of its values: of what ends first."""
        left = [await self.client.pttl(name) / 1000 for name in await self.names()]
        await self.age(min(left, default=0) + 1)

    async def close(self) -> None:
        for cache in self._caches:
            await cache.close()
        if names := await self.names():
            await self.client.unlink(*names)
        await self.client.aclose()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the library's log of each outage, and without the warnings of the naive class: it
    uses what redis-py has deprecated."""
    logger = logging.getLogger("cachepool_lib")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Call to deprecated", DeprecationWarning)
            yield
    finally:
        logger.disabled = before
