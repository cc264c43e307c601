"""Promises of the traffic and of the policies that are compared on it."""

from collections import Counter

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.simulation.policies import fifo, foresight, lru


def test_traffic_is_the_same_each_time() -> None:
    """A seed gives one traffic; another seed another."""
    one, same, other = lab.traffic(), lab.traffic(), lab.traffic(seed=2)
    assert (one.times, one.keys) == (same.times, same.keys)
    assert one.times != other.times and one.keys != other.keys
    assert repr(one) == "Traffic(59,587 requests for 7,312 pages in 600 s)"


def test_traffic_comes_at_its_rate_in_order_of_time() -> None:
    """About rate × seconds requests, the moments ascending, all within the seconds."""
    traffic = lab.traffic(rate=50, seconds=200, users=10)
    assert list(traffic.times) == sorted(traffic.times)
    assert traffic.times[0] > 0 and traffic.times[-1] < 200
    assert len(traffic) == pytest.approx(10_000, rel=0.03)
    assert set(traffic.keys) == set(range(10))


def test_popularity_is_as_skewed_as_asked() -> None:
    """Key k comes 1 / (k + 1) as often as key 0 at skew 1, and equally often at skew 0."""
    counts = Counter(lab.traffic(seconds=2_000, users=100).keys)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.15)
    even = Counter(lab.traffic(seconds=2_000, users=10, skew=0).keys)
    assert even[0] / even[9] == pytest.approx(1, rel=0.05)


def test_traces_are_what_they_say() -> None:
    """A third of the one-hit trace never comes again; the moving one changes its favourites."""
    one_hit = Counter(lab.trace("one-hit", length=50_000))
    assert sum(one_hit[key] for key in one_hit if key >= 100_000) == pytest.approx(15_000, rel=0.05)
    assert max(one_hit[key] for key in one_hit if key >= 100_000) == 1
    moving = lab.trace("moving", length=40_000)
    assert not set(moving[:20_000]) & set(moving[20_000:])
    assert all(lab.trace(kind, length=100) == lab.trace(kind, length=100) for kind in lab.TRACES)
    with pytest.raises(ValueError, match="there are zipf"):
        lab.trace("zipf 2.0")


def test_policies_let_the_right_one_leave() -> None:
    """Room for two: FIFO drops the oldest, LRU the least recently used, foresight knows."""
    keys = ["a", "b", "a", "c", "a", "b"]
    assert fifo(keys, 2) * 6 == 1  # c pushes out a, a pushes out b
    assert lru(keys, 2) * 6 == 2  # c pushes out b
    assert foresight(keys, 2) * 6 == 3  # c, which never comes again, is not kept


def test_hit_rates_of_the_story() -> None:
    """At room for 1 % of the users: what notebook 01 tells, within a point."""
    rates = lab.hit_rates(lab.traffic().keys, [100])
    expected = {"FIFO": 0.34, "LRU": 0.39, "S3-FIFO": 0.50, "foresight": 0.58}
    assert {name: rate for name, [rate] in rates.items()} == pytest.approx(expected, abs=0.01)
