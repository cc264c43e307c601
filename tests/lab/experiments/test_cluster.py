"""Which node has a key, and a real cluster whose primaries go while pages are visited."""

import pytest
from redis.asyncio import RedisCluster

from cachepool_lib import RedisCache, lab
from cachepool_lib.lab.experiments.key_owners import Moves
from cachepool_lib.lab.experiments.shard_away import ShardAway
from cachepool_lib.lab.simulation.replay import Replay

pytestmark = pytest.mark.anyio


def test_moves_asks_both_for_the_same_keys() -> None:
    """And says which share has another node, and how full the fullest is."""
    seen: list[str] = []

    def before(key: str) -> str:
        seen.append(key)
        return "A" if int(key.partition(":")[2]) % 4 else "B"

    moves = lab.moves(before, lambda key: "A", keys=100)
    assert seen == [f"user:{number}" for number in range(1, 101)]
    assert (moves.share, moves.fullest) == (0.25, 1.5)
    assert Moves(["A", "B"], ["A", "B"]).share == 0


def test_more_points_even_the_shares_out() -> None:
    """All shares of a ring are 1 in all; with a hundred points none is far from a fifth."""
    for points in (1, 100):
        rings = lab.ring_shares(points)
        assert len(rings) == 20
        assert all(sum(ring) == pytest.approx(1) and min(ring) >= 0 for ring in rings)
    assert max(max(ring) for ring in lab.ring_shares(1)) > 0.5
    assert max(max(ring) for ring in lab.ring_shares(100)) < 0.27


def test_a_shard_is_missing_if_most_of_its_visits_in_the_gap_load() -> None:
    """What was before and after does not count, nor a visit that was slow for its own reasons."""
    run = Replay(
        at=[0.1, 0.5, 0.6, 0.7, 0.8, 0.9, 2.5],
        keys=list(range(7)),
        seconds=[0.001] * 7,
        outcomes=["miss", "miss", "miss", "hit", "miss", "hit", "miss"],
    )
    away = ShardAway(0, "kill", run, [1, 0, 0, 1, 1, 1, 2], gone=0.4, taken_over=2.0)
    assert [away.missed(shard) for shard in range(3)] == [1, pytest.approx(1 / 3), 0]
    assert away.missing == [0]
    assert away.again == 2.5
    assert away.failed == 0


async def test_a_primary_goes_and_only_its_own_pages_load() -> None:
    """Killed or frozen: no visit fails, and one shard is loaded until its replica has taken over.

    Before that: what the cluster says to a client that knows of no slots, the same each time.
    """
    async with lab.cluster(3, replicas=1, node_timeout=1) as cluster:
        assert await lab.cluster_rules(cluster) == [
            "GET, 1,000 keys at one node: 668 times MOVED",
            "MGET user:3 user:7: Keys in request don't hash to the same slot",
            "MGET {user:3}:name {user:3}:cart: OK",
            "SET user:4, then WAIT: 1 copy",
            "the same while the replica stands still: OK, no copy",
        ]
        client = RedisCluster.from_url(cluster.url)
        async with RedisCache(client=client, namespace="n") as cache:
            killed = await lab.shard_away(cache, cluster, "kill", 0, namespace="n")
            frozen = await lab.shard_away(cache, cluster, "freeze", 1, namespace="n")
        await client.aclose()
    for run, shard in ((killed, 0), (frozen, 1)):
        assert str(run) == "0 failed, a replica took over, hits again"
        assert run.missing == [shard]
        assert 0 < run.gone < run.taken_over <= run.again < run.visits.at[-1]
        assert any("circuit is open" in line for line in run.log)
