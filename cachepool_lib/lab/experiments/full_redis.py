"""A Redis whose memory is full, on a private server: who has to leave, and what of a lock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from cachepool_lib import RedisCache
from cachepool_lib.lab.servers.private import Server, server

SESSIONS = 200  # without a ttl: whoever is logged in
PAGES = 4000  # of 2 kB, for a minute: four times as much as there is room for
ROOM = "3mb"  # an empty server takes a third of it


@dataclass(frozen=True)
class Full:
    """What a policy did: how many of the sessions are left, and how many pages were refused."""

    sessions: int
    refused: int

    @property
    def words(self) -> tuple[str, str]:
        """Both in words that are true on every machine: which keys leave is partly chance."""
        kept = "all kept" if self.sessions == SESSIONS else "some lost"
        if self.sessions < SESSIONS / 2:
            kept = "most are lost"
        return kept, "refused" if self.refused else "stored"


@dataclass(frozen=True, repr=False)
class FullRedis:
    """What each policy did, as a table."""

    policies: Mapping[str, Full]

    def __repr__(self) -> str:
        rows = ((policy, *full.words) for policy, full in self.policies.items())
        return "\n".join(
            f"{policy}: sessions {kept}, new pages {new}" for policy, kept, new in rows
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{text}</th>" for text in ("maxmemory-policy", "sessions", "new pages"))
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in (policy, *full.words))}</tr>"
            for policy, full in self.policies.items()
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


async def full_redis(*policies: str) -> FullRedis:
    """Give a Redis of each policy sessions without a ttl, then more pages than there is room for.

    Takes a second: all servers at once.
    """
    fulls = await asyncio.gather(*map(_full, policies))
    return FullRedis(dict(zip(policies, fulls, strict=True)))


async def _full(policy: str) -> Full:
    async with _server(policy) as (_, redis):
        await _in_one_trip(redis, [("SET", f"session:{n}", b"s" * 500) for n in range(SESSIONS)])
        refused = await fill(redis)
        left = await redis.exists(*(f"session:{n}" for n in range(SESSIONS)))
        return Full(left, refused)


async def fill(redis: Redis) -> int:
    """Store pages until long after the memory is full; return how many were refused."""
    refused = 0
    for start in range(0, PAGES, 200):
        pages = range(start, start + 200)
        refused += await _in_one_trip(
            redis, [("SET", f"page:{n}", b"p" * 2000, "EX", 60) for n in pages]
        )
    return refused


async def _in_one_trip(redis: Redis, commands: list[tuple[Any, ...]]) -> int:
    """Send all at once; return how many were refused."""
    pipeline = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = await pipeline.execute(raise_on_error=False)
    return sum(isinstance(answer, ResponseError) for answer in answers)


@contextlib.asynccontextmanager
async def _server(policy: str) -> AsyncIterator[tuple[Server, Redis]]:
    async with server(maxmemory=ROOM, maxmemory_policy=policy) as full:
        redis = Redis.from_url(full.url)
        try:
            yield full, redis
        finally:
            await redis.aclose()


Load = Callable[[], Coroutine[Any, Any, str]]
Worker = Callable[[Load], Coroutine[Any, Any, object]]


async def locked_loads() -> dict[str, int]:
    """How many loads of one page two workers make, when the memory fills up during the first.

    "volatile-ttl" evicts what would expire first. Once they share a lock that expires after ten
    seconds, once they have a RedisCache each. The second worker comes when the first still loads.
    """
    async with _server("volatile-ttl") as (full, redis):

        async def with_a_lock(load: Load) -> None:
            # Whoever doesn't get it would wait and look again: here they leave.
            if await redis.set("lock:page", "mine", nx=True, px=10_000):
                await load()

        by_hand = await _two_workers(redis, with_a_lock, with_a_lock)
        async with (
            RedisCache(full.url, timeout=2, lock_timeout=10) as first,
            RedisCache(full.url, timeout=2, lock_timeout=10) as second,
        ):
            ours = await _two_workers(redis, _through(first), _through(second))
    return {"SET NX PX 10000": by_hand, "RedisCache": ours}


def _through(cache: RedisCache) -> Worker:
    async def worker(load: Load) -> object:
        return await cache.get_or_load("page", load)

    return worker


async def _two_workers(redis: Redis, first: Worker, second: Worker) -> int:
    loads, loading, filled = 0, asyncio.Event(), asyncio.Event()

    async def load() -> str:
        nonlocal loads
        loads += 1
        if loads == 1:
            loading.set()
            await filled.wait()
        return "the page"

    async with asyncio.TaskGroup() as group:
        group.create_task(first(load))
        await loading.wait()
        await fill(redis)
        other = group.create_task(second(load))
        # It has loaded or left by then, or it waits for the first.
        await asyncio.wait([other], timeout=0.5)
        filled.set()
    return loads
