"""One key that most visitors want, in a cluster: which shard answers how often."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Protocol

from redis.asyncio import Redis

from cachepool_lib.lab.servers.private import Server


class Readable(Protocol):
    """What both RedisCache and TieredCache are."""

    async def get(self, key: Hashable, /) -> Any: ...


async def gets_by_shard(cluster: Server, cache: Readable, keys: Iterable[Hashable]) -> list[int]:
    """Read *keys* through *cache*, one after the other; how many GETs had each primary?

    The servers count them (INFO commandstats), those within a script, too: whoever reads there
    meanwhile is counted as well.
    """
    before = await _gets(cluster)
    for key in keys:
        await cache.get(key)
    after = await _gets(cluster)
    return [after[url] - before[url] for url in after]


async def _gets(cluster: Server) -> dict[str, int]:
    """The GETs that each primary has answered since it started."""
    counts = {}
    for url in cluster.urls:
        async with Redis.from_url(url) as node:
            if (await node.role())[0] in (b"master", "master"):
                stats: Any = await node.info("commandstats")
                counts[url] = int(stats.get("cmdstat_get", {"calls": 0})["calls"])
    return counts
