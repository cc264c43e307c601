"""The entries that stay are those that S3-FIFO, as its paper writes it, would keep."""

import pytest

from cachepool_lib import AsyncCache
from cachepool_lib.lab.policies import lru
from cachepool_lib.lab.policies import s3fifo as store
from cachepool_lib.lab.traffic import TRACES, trace
from tests.benchmarks.reference import s3fifo as reference

ROOM = 1_000
LENGTH = 40_000  # the benchmarks take 200,000


@pytest.mark.anyio
@pytest.mark.parametrize("kind", TRACES)
async def test_hit_ratio_is_that_of_the_paper(kind: str) -> None:
    """Store and AsyncCache are within 0.01 of a plain S3-FIFO on the same keys, and above LRU."""
    keys = trace(kind, LENGTH)
    expected = reference(keys, ROOM)
    assert abs(store(keys, ROOM) - expected) < 0.01
    cache = AsyncCache(maxsize=ROOM)
    for key in keys:
        if await cache.get(key) is None:
            await cache.set(key, "page")
    assert abs(cache.stats().hit_rate - expected) < 0.01
    assert cache.stats().hit_rate > lru(keys, ROOM)


@pytest.mark.parametrize("room", [1, 2, 5, 10, 19, 100])
def test_small_rooms_too(room: int) -> None:
    """Where a tenth of the room is not a whole number, or nothing at all."""
    keys = trace("zipf 1.0", 10_000)
    assert abs(store(keys, room) - reference(keys, room)) < 0.01
