"""A cluster loses a primary while pages are visited: killed, or frozen."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from cachepool_lib.lab.experiments.cluster_rules import SHARDS, shard_of
from cachepool_lib.lab.experiments.live import Screen
from cachepool_lib.lab.notebook.logged import logged
from cachepool_lib.lab.servers.private import Server
from cachepool_lib.lab.simulation.database import Database
from cachepool_lib.lab.simulation.replay import Replay, Watch
from cachepool_lib.redis_cache.key_names import Namespace

PAGES = range(36)
LOAD = 0.02  # seconds for a page
BETWEEN = 0.012  # seconds from one visit to the next
BEFORE = 0.3  # seconds until the fault
AFTER = 0.2  # seconds to look on when all is well again
PATIENCE = 40  # seconds


class Cache(Protocol):
    async def get_or_load(self, key: Any, loader: Any) -> Any: ...
    async def set_many(self, items: Any) -> bool: ...


@dataclass(frozen=True)
class ShardAway:
    """The visits, and the moments (seconds) in which something happened to shard *away*."""

    away: int
    fault: Literal["kill", "freeze"]
    visits: Replay
    shards: Sequence[int]
    """Of each visit the shard of its page, from 0."""
    gone: float
    """The primary was gone."""
    taken_over: float
    """Its replica was the primary, and another node knew it."""
    log: Sequence[str] = field(default=(), repr=False)
    """What the library logged meanwhile."""

    @property
    def again(self) -> float:
        """When the last visit that was no hit had come, or the replica took over."""
        rows = zip(self.visits.at, self.visits.outcomes, strict=True)
        return max([self.taken_over, *(at for at, outcome in rows if outcome != "hit")])

    @property
    def failed(self) -> int:
        """Visits that got no page."""
        return self.visits.counts["failed"]

    def missed(self, shard: int) -> float:
        """Of the visits to pages of *shard* in the gap, the share that had to load: 0 to 1."""
        rows = zip(self.visits.at, self.shards, self.visits.outcomes, strict=True)
        gap = [o for at, s, o in rows if s == shard and self.gone <= at < self.taken_over]
        counts = Counter(gap)
        return 1 - counts["hit"] / len(gap) if gap else 0.0

    @property
    def missing(self) -> list[int]:
        """The shards that missed more than half of the time: a visit may be slow for its own."""
        return [shard for shard in range(SHARDS) if self.missed(shard) > 0.5]

    def __str__(self) -> str:
        return f"{self.failed} failed, a replica took over, hits again"


async def shard_away(
    cache: Cache,
    cluster: Server,
    fault: Literal["kill", "freeze"],
    shard: int = 0,
    *,
    namespace: str,
) -> ShardAway:
    """Visit pages through *cache*, and *kill* or *freeze* the primary of *shard*.

    *cluster* has three primaries with a replica each; that of *shard* must still be what it was at
    the start, and *namespace* is that of the cache. All pages are in the cache at first; to load
    one takes 20 ms. Back when the replica has taken over and all pages have been hits again.
    Raises TimeoutError where that takes longer than 40 s.
    """
    moments: dict[str, float] = {}
    screen = Screen(4.0)
    replica, other = cluster.urls[shard + SHARDS], cluster.urls[2 - shard // 2]

    async def visit(key: int) -> None:
        with contextlib.suppress(OSError, RedisError):  # the visit has failed
            await watch(key)

    async def visits() -> None:
        async with asyncio.TaskGroup() as group:
            while not _is_over(run, database.now(), moments.get("taken over", inf)):
                # In turns, so that in the gap each shard is asked as often.
                group.create_task(visit(PAGES[len(run) % len(PAGES)]))
                await asyncio.sleep(BETWEEN)
                if screen.live.seen and not len(run) % 8:
                    screen.live.show(screen.svg(run, database.now()))

    async def happen() -> None:
        await asyncio.sleep(BEFORE)
        moments["gone"] = database.now()
        await getattr(cluster, fault)(shard)
        await _until_primary(replica, other)
        moments["taken over"] = database.now()

    with logged() as log:
        try:
            async with asyncio.timeout(PATIENCE):
                await _fill(cache, cluster.urls[shard], replica)
                database = Database(LOAD, maker=lambda key: f"page {key}")
                watch = Watch(
                    lambda key: cache.get_or_load(key, lambda: database.page(key)), database
                )
                run = watch.replay
                async with asyncio.TaskGroup() as group:
                    group.create_task(visits())
                    group.create_task(happen())
        finally:
            screen.live.close()
    names = Namespace(namespace)
    shards = [shard_of(names.value(key)) for key in run.keys]
    return ShardAway(shard, fault, run, shards, moments["gone"], moments["taken over"], log)


def _is_over(run: Replay, now: float, taken_over: float) -> bool:
    """All pages were hits, in one round after the replica took over, and a little longer."""
    rows = zip(run.at, run.seconds, run.outcomes, strict=True)
    # A visit that still waits has taken infinity.
    others = [at + seconds for at, seconds, outcome in rows if outcome != "hit"]
    return now > max([taken_over, *others]) + len(PAGES) * BETWEEN + AFTER


async def _fill(cache: Cache, primary: str, replica: str) -> None:
    """All pages are in the cache, and the replica has its own."""
    pages = {key: f"page {key}" for key in PAGES}
    while not await cache.set_many(pages):  # noqa: ASYNC110 - another process decides
        await asyncio.sleep(0.05)
    async with Redis.from_url(primary) as one, Redis.from_url(replica) as two:
        while await one.dbsize() != await two.dbsize():  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.02)


async def _until_primary(replica: str, other: str) -> None:
    """Back when the *replica* says that it is a primary, and the node at *other* knows it."""
    new: Any
    node: Any
    async with Redis.from_url(replica) as new, Redis.from_url(other) as node:
        port = new.connection_pool.connection_kwargs["port"]
        while True:
            with contextlib.suppress(RedisError):  # it is busy taking over
                slots = await node.execute_command("CLUSTER SLOTS")
                known = {primary[1] for first, last, primary, *replicas in slots}
                if (await new.role())[0] == b"master" and port in known:
                    return
            await asyncio.sleep(0.02)
