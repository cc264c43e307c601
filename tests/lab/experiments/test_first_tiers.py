"""First tiers of several instances, and a hot key in a cluster: what notebook 07 shows of them."""

from typing import Any

import pytest
from redis.asyncio import RedisCluster

from cachepool_lib import AsyncCache, RedisCache, TieredCache, lab

pytestmark = pytest.mark.anyio


async def test_a_write_reaches_all_first_tiers() -> None:
    """All had the old value in memory, and nothing but a message could end that."""
    seen = await lab.agree((await lab.services()).redis_url, 8)
    assert (seen.instances, seen.old, seen.new) == (8, 8, 8)
    assert seen.seconds >= 0
    assert repr(seen) == (
        "before the write 8 of 8 had the old page in memory, after it 8 have the new one"
    )


@pytest.mark.parametrize(("ttl", "l1_ttl", "old_for"), [(300, 30, 30), (300, 5, 5), (20, 30, 20)])
async def test_without_messages_a_page_is_old_for_its_first_ttl(
    ttl: float, l1_ttl: float, old_for: float
) -> None:
    """For exactly l1_ttl seconds; a value never outlives what is left of it in Redis."""
    assert lab.untold(ttl=ttl, l1_ttl=l1_ttl) == old_for


async def hear(messages: Any, l1: Any) -> None:
    async for message in messages:
        if message["type"] == "subscribe":
            await l1.clear()
        elif message["type"] == "message":
            await l1.delete(message["data"].decode())


async def hear_messages_alone(messages: Any, l1: Any) -> None:
    async for message in messages:
        if message["type"] == "message":
            await l1.delete(message["data"].decode())


@pytest.mark.parametrize(
    ("answer", "after_cut"), [(hear, "nothing"), (hear_messages_alone, "x, y")]
)
async def test_what_a_listener_makes_of_a_line_that_was_cut(answer: Any, after_cut: str) -> None:
    """Of a real one: what changed meanwhile was told to nobody."""
    seen = await lab.hear_changes((await lab.services()).redis_url, answer)
    assert (
        repr(seen) == f"'x' changed: y kept; 'x' changed while the line was cut: {after_cut} kept"
    )


async def test_a_listener_that_fails_is_told() -> None:
    """What it raised reaches the caller; nobody waits for a minute."""

    async def fails(messages: Any, l1: Any) -> None:
        async for _ in messages:
            raise ValueError("no messages")

    with pytest.raises(ValueError, match="no messages"):
        await lab.hear_changes((await lab.services()).redis_url, fails)


async def test_a_listener_that_ends_is_told() -> None:
    """It would hear no more."""

    async def hears_one(messages: Any, l1: Any) -> None:
        await anext(messages)

    with pytest.raises(RuntimeError, match=r"hear\(\) has ended"):
        await lab.hear_changes((await lab.services()).redis_url, hears_one)


async def test_a_copy_in_front_splits_what_shards_cannot() -> None:
    """One key is in one shard, however many there are; a first tier asks once for each key."""
    wanted = [n % 20 if n % 10 == 0 else 7 for n in range(200)]
    async with lab.cluster(3) as shards, RedisCluster.from_url(shards.url) as client:
        shared = RedisCache(client=client, namespace="hot", timeout=5)
        near = TieredCache(AsyncCache(), RedisCache(client=client, namespace="hot", timeout=5))
        async with shared, near:
            await shared.set_many(dict.fromkeys(range(20), "page"))
            await near.connect()
            gets = await lab.gets_by_shard(shards, shared, wanted)
            assert len(gets) == 3
            assert sum(gets) == 200
            assert max(gets) >= 180
            assert max(await lab.gets_by_shard(shards, near, wanted)) < 20
