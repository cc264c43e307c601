"""A Redis whose memory is full, as notebook 06 shows it: on servers of its own."""

import pytest

from cachepool_lib import lab

pytestmark = pytest.mark.anyio


async def test_each_policy_gives_up_something_else() -> None:
    """New pages, or sessions, or only what has a ttl."""
    seen = await lab.full_redis("noeviction", "allkeys-lru", "volatile-lru", "volatile-ttl")
    assert repr(seen).splitlines() == [
        "noeviction: sessions all kept, new pages refused",
        "allkeys-lru: sessions most are lost, new pages stored",
        "volatile-lru: sessions all kept, new pages stored",
        "volatile-ttl: sessions all kept, new pages stored",
    ]
    assert "<td>noeviction</td><td>all kept</td><td>refused</td>" in seen._repr_html_()


async def test_a_short_lock_is_evicted_and_a_lease_is_not() -> None:
    """The second worker gets a lock of ten seconds, and waits for the lease."""
    assert await lab.locked_loads() == {"SET NX PX 10000": 2, "RedisCache": 1}
