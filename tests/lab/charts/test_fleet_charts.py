"""Charts of notebook 07: a hot key in a cluster, and a page that expires before many instances."""

from typing import Any

import pytest

from cachepool_lib.lab import charts
from cachepool_lib.lab.experiments.fleet import Fleet
from tests.lab.charts.test_charts import Guess, assert_readable, title, written

GETS = {"RedisCache": [73, 67, 1860], "TieredCache": [64, 60, 64]}


@pytest.mark.parametrize("guess", [None, 0.33, 0, 1, 0.93, Guess(0.5, answered=False)])
def test_gets_by_shard(guess: Any) -> None:
    """The busiest shard's share is in the title; how often the first tiers asked in the picture."""
    chart = charts.gets_by_shard(GETS, guess=guess)
    assert title(chart) == "One of 3 shards answers 93 % of the reads; TieredCache spares it"
    assert chart.text.startswith(
        "GETs by shard, real: RedisCache 73, 67, 1,860; TieredCache fewer than a fifth of that"
    )
    assert "1,860, RedisCache" in written(chart)
    assert "60, TieredCache" in written(chart)
    assert_readable(chart)


def test_gets_that_can_not_be_compared() -> None:
    with pytest.raises(ValueError, match="two caches"):
        charts.gets_by_shard({"RedisCache": [1, 2, 3]})
    with pytest.raises(ValueError, match="RedisCache asked no shard"):
        charts.gets_by_shard({"RedisCache": [0, 0], "TieredCache": [0, 0]})
    same = charts.gets_by_shard({"RedisCache": [1, 2], "another": [1, 2]})
    assert title(same) == "One of 2 shards answers 67 % of the reads"
    assert same.text.endswith("another not fewer than a fifth of that")


def runs(*rows: tuple[int, float]) -> list[Fleet]:
    return [Fleet(10**n, 10**n, *row) for n, row in enumerate(rows, start=1)]


RUNS = {
    "nothing": runs((11, 0.102), (107, 0.507), (1049, 5.2), (10086, 50.4)),
    "own flight": runs((7, 0.102), (67, 0.32), (658, 3.2), (6335, 31.6)),
    "lease": runs((1, 0.156), (1, 0.156), (1, 0.159), (1, 0.101)),
    "stale window": runs((1, 0.002), (1, 0.005), (1, 0.005), (1, 0.001)),
}


@pytest.mark.parametrize("guess", [None, 1, 1000, 0, 10**9, Guess(1, answered=False)])
def test_loads_by_instances(guess: Any) -> None:
    """What the first and the last strategy cost is in the title; each has its loads in the text."""
    chart = charts.loads_by_instances(RUNS, guess=guess)
    assert title(chart) == "10,000 instances: 10,086 loads with nothing, 1 with stale window"
    assert "nothing 1,049 and 10,086, own flight 658 and 6,335, lease 1 and 1" in chart.text
    assert "nothing 5.2 s, own flight 3.2 s, lease 0.16 s, stale window 0.005 s" in chart.text
    assert "slope 0: as many as ever" in written(chart)
    assert_readable(chart)


def test_strategies_that_can_not_be_compared() -> None:
    with pytest.raises(ValueError, match="from 2 to 4 strategies, not 1"):
        charts.loads_by_instances({"nothing": RUNS["nothing"]})
    with pytest.raises(ValueError, match="lease must have been run with"):
        charts.loads_by_instances({"nothing": RUNS["nothing"], "lease": RUNS["lease"][:3]})
    with pytest.raises(ValueError, match="7 among them"):
        charts.loads_by_instances(RUNS, mark=7)
