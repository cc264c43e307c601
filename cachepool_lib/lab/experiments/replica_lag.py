"""A page that is loaded from a replica which has not heard of the last write yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from cachepool_lib import AsyncCache
from cachepool_lib.lab.servers.private import Postgres

OLD, NEW = 100, 200  # cents
TTL = 60.0  # seconds that the price is kept
PATIENCE = 30  # seconds, real ones, that the replica may take to catch up

Write = Callable[[Any, Any], Awaitable[object]]
Read = Callable[[Any, Any, Any], Awaitable[int]]
Later = tuple[float, Callable[[Any], Awaitable[object]]]

_TABLE = """
DROP TABLE IF EXISTS prices;
CREATE TABLE prices (product int PRIMARY KEY, cents int);
INSERT INTO prices VALUES (7, 100);
"""
_CENTS = "SELECT cents FROM prices WHERE product = 7"


@dataclass(frozen=True, repr=False)
class ReplicaLag:
    """What readers saw after the write, second by second: (seconds, cents) in order of time."""

    lag: float  # seconds until the replica shows the write
    ttl: float  # seconds that the cache keeps what it loads
    cache: Sequence[tuple[float, int]]  # what the reader got

    @property
    def old_for(self) -> float:
        """How many seconds after the write the last old price was read; 0 if none was."""
        step = self.cache[1][0] - self.cache[0][0]
        return max((at + step for at, cents in self.cache if cents == OLD), default=0)

    def __repr__(self) -> str:
        return f"the replica is old for {self.lag:g} s, readers for {self.old_for:g} s"


async def from_replica(
    database: Postgres, write: Write, read: Read, *, lag: float = 1, later: Later | None = None
) -> ReplicaLag:
    """Let *write* change the price of product 7 to 200 cents, and *read* it four times a second.

    `write(primary, cache)` and `read(primary, replica, cache)` get connections to the *database*
    and to its replica, and one AsyncCache; `later` may be seconds after the write, and what is done
    then: `again(cache)`. The replica's replay stands still from the write on, and goes on *lag*
    seconds later. These seconds, and those of the cache, are counted by hand: what anything takes
    in truth does not matter. Reads go on for two seconds longer than the ttl.
    """
    if lag * 4 != int(lag * 4) or not 0 <= lag < TTL:
        raise ValueError(f"lag must be quarters of a second, less than {TTL:g} s, got {lag}")
    now = 0.0
    cache = AsyncCache(TTL, clock=lambda: now)
    primary = await asyncpg.connect(database.url)
    replica = await asyncpg.connect(database.replica_url)
    got = []
    try:
        await primary.execute(_TABLE)
        await _shows(replica, OLD)
        await read(primary, replica, cache)  # it is in the cache
        await database.pause_replay()
        try:
            await write(primary, cache)
            for quarter in range(int(4 * (TTL + 2))):
                now = quarter / 4
                if now == lag:
                    await database.resume_replay()
                    await _shows(replica, NEW)
                if later is not None and now == later[0]:
                    await later[1](cache)
                got.append((now, await read(primary, replica, cache)))
        finally:
            await database.resume_replay()
    finally:
        await primary.close()
        await replica.close()
    return ReplicaLag(lag, TTL, got)


async def _shows(replica: asyncpg.Connection, cents: int) -> None:
    """Wait until the replica has this price."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if await replica.fetchval(_CENTS) == cents:
                    return
            except asyncpg.UndefinedTableError:
                pass  # not even the table is there
            await asyncio.sleep(0.005)
