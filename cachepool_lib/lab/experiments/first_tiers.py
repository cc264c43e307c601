"""First tiers of several instances: a write that all hear of, one that nobody told, a lost line."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError

from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.lab.simulation.loop import clock, simulate
from cachepool_lib.memory.async_cache import AsyncCache
from cachepool_lib.redis_cache.redis_cache import RedisCache
from cachepool_lib.tiered.tiered_cache import TieredCache

FOR_EVER = 3600.0  # seconds: nothing but a message ends what a first tier holds
PATIENCE = 60.0  # seconds after which an experiment gives up


@dataclass(frozen=True, repr=False)
class Agreed:
    """How many first tiers held the old value, and how many have the new one; when the last had."""

    instances: int
    old: int
    new: int
    seconds: float

    def __repr__(self) -> str:
        return (
            f"before the write {self.old} of {self.instances} had the old page in memory, "
            f"after it {self.new} have the new one"
        )


async def agree(redis_url: str, instances: int = 32) -> Agreed:
    """Write through one of *instances* TieredCaches, and wait until all read the new value.

    Their l1_ttl is an hour, so only a message ends what they hold. A TimeoutError if some still
    read the old value after a minute.
    """
    loop, namespace = asyncio.get_running_loop(), f"agree-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        tiers = [
            await stack.enter_async_context(
                TieredCache(
                    AsyncCache(),
                    RedisCache(redis_url, namespace=namespace, timeout=5),
                    l1_ttl=FOR_EVER,
                )
            )
            for _ in range(instances)
        ]
        writer = tiers[0]
        stack.push_async_callback(writer.delete, "page")
        await asyncio.gather(*(tier.connect() for tier in tiers))

        async def all_hold(value: str) -> int:
            """Read until every first tier holds *value*, all at one moment.

            Who has read it before the message of its write came drops it once more.
            """
            held = 0
            while held < instances:
                await asyncio.gather(*(tier.get("page") for tier in tiers))
                await asyncio.sleep(0)
                held = sum(1 for tier in tiers if tier.lookup("page", None) == value)
            return held

        async with asyncio.timeout(PATIENCE):
            await writer.set("page", "old")
            old = await all_hold("old")
            await writer.set("page", "new")
            written_at = loop.time()
            new = await all_hold("new")
        seconds = loop.time() - written_at
        return Agreed(instances, old, new, seconds)


def untold(*, ttl: float, l1_ttl: float) -> float:
    """For how many seconds an instance shows an old page if no message reaches it; simulated.

    It reads eight times a second, from the moment of another's write on. The page is stored for
    *ttl* seconds in Redis, which is one within the simulation (fakeredis).
    """
    return simulate(_untold(ttl, l1_ttl))


async def _untold(ttl: float, l1_ttl: float) -> float:
    server = FakeServer()
    clients = [FakeRedis(server=server) for _ in range(2)]
    writer, reader = (
        TieredCache(
            AsyncCache(clock=clock),
            RedisCache(client=client, default_ttl=ttl),
            l1_ttl=l1_ttl,
            subscribe=client is clients[0],  # the reader's line is dead
        )
        for client in clients
    )
    await writer.connect()
    await writer.set("page", "old")
    await reader.get("page")
    await writer.set("page", "new")
    written_at = clock()
    while await reader.get("page") != "new":  # noqa: ASYNC110 - visits
        await asyncio.sleep(0.125)  # a binary fraction: nothing is rounded
    old_for = clock() - written_at
    for tier, client in zip((writer, reader), clients, strict=True):
        await tier.close()
        await client.aclose()
    return old_for


Hear = Callable[[Any, Any], Awaitable[None]]


@dataclass(frozen=True, repr=False)
class Heard:
    """What was still in the first tier after each change."""

    told: list[str]
    line_lost: list[str]

    def __repr__(self) -> str:
        kept = [f"{', '.join(keys) or 'nothing'} kept" for keys in (self.told, self.line_lost)]
        return f"'x' changed: {kept[0]}; 'x' changed while the line was cut: {kept[1]}"


async def hear_changes(redis_url: str, hear: Hear) -> Heard:
    """Let `hear(messages, l1)` listen to a real Redis, tell it of a change, and cut its line.

    *messages* are those of redis-py's `pubsub.listen()`, *l1* an AsyncCache that holds "x" and "y".
    Then "x" changes twice: once while the line is well, once while it is cut.
    """
    channel, l1 = f"changes-{secrets.token_hex(4)}", AsyncCache(FOR_EVER)
    subscribed, told = asyncio.Semaphore(0), asyncio.Semaphore(0)
    again = Retry(ConstantBackoff(0.01), 1_000)
    async with (
        Proxy(redis_url) as proxy,
        Redis.from_url(redis_url) as writer,
        Redis.from_url(proxy.url, retry=again) as client,
        client.pubsub() as pubsub,
    ):

        async def messages() -> Any:
            """Each is announced when its successor is asked for: then *hear* is done with it."""
            while True:
                with contextlib.suppress(ConnectionError):  # redis-py 5 raises what 8 retries
                    async for message in pubsub.listen():
                        yield message
                        (subscribed if message["type"] == "subscribe" else told).release()

        async def steps() -> Heard:
            await subscribed.acquire()
            await l1.set_many({"x": "old", "y": "old"})
            await writer.publish(channel, "x")
            await told.acquire()
            after_telling = [key for key in "xy" if await l1.exists(key)]
            await l1.set("x", "old")
            await proxy.cut()
            await writer.publish(channel, "x")
            await proxy.restore()
            await subscribed.acquire()
            return Heard(after_telling, [key for key in "xy" if await l1.exists(key)])

        await pubsub.subscribe(channel)
        both = [asyncio.ensure_future(each) for each in (steps(), hear(messages(), l1))]
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [each for each in both if each.done()]
            for each in both:
                each.cancel()
            await asyncio.wait(both)
    seen = await ended[0]
    if not isinstance(seen, Heard):
        raise RuntimeError("hear() has ended, and the line was still open")
    return seen
