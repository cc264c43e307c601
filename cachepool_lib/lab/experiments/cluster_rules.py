"""What a cluster says to a client that asks the wrong node, and how many copies a write has."""

from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisError

from cachepool_lib.lab.servers.private import Server

KEYS = [f"user:{number}" for number in range(1, 1_001)]
SLOTS = 16_384
SHARDS = 3


async def cluster_rules(cluster: Server) -> list[str]:
    """A line for each of four rules, tried on a *cluster* of three primaries with a replica each.

    The replica of the third stands still for a tenth of a second.
    """
    async with Redis.from_url(cluster.urls[0]) as first, Redis.from_url(cluster.urls[2]) as third:
        answers = [await _says(first, "GET", key) for key in KEYS]
        moved = sum(answer.startswith("MOVED") for answer in answers)
        rules = [f"GET, {len(KEYS):,} keys at one node: {moved} times MOVED"]
        here, other = [key for key in KEYS if shard_of(key) == 0][:2]
        for names in ((here, other), (f"{{{here}}}:name", f"{{{here}}}:cart")):
            rules.append(f"MGET {' '.join(names)}: {await _says(first, 'MGET', *names)}")
        key = next(key for key in KEYS if shard_of(key) == 2)
        # Ten seconds at most: on a busy machine a copy may come late.
        rules.append(f"SET {key}, then WAIT: {await _set_and_wait(third, key, 10_000)} copy")
        await cluster.freeze(5)
        try:
            copies = await _set_and_wait(third, key, 100)
        finally:
            await cluster.thaw(5)
        rules.append(f"the same while the replica stands still: OK, {copies or 'no'} copy")
    return rules


def shard_of(key: str | bytes, shards: int = SHARDS) -> int:
    """The shard, from 0, that has *key* in a private cluster of so many primaries."""
    slot = key_slot(key.encode() if isinstance(key, str) else key)
    return next(n for n in range(shards) if slot < SLOTS * (n + 1) // shards)


async def _says(client: Any, *command: str) -> str:
    try:
        await client.execute_command(*command)
    except MovedError as error:
        return f"MOVED {error}"
    except RedisError as error:
        return str(error)
    return "OK"


async def _set_and_wait(client: Any, key: str, milliseconds: int) -> Any:
    """WAIT counts for the connection that wrote: one of the two must not go to another."""
    async with client.client() as connection:
        await connection.set(key, "new")
        return await connection.execute_command("WAIT", 1, milliseconds)
