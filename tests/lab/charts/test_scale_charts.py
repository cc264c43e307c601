"""Charts of notebook 07's last sections: few connections, a replica that lags, nodes counted."""

import pytest

from cachepool_lib.lab import charts
from cachepool_lib.lab.experiments.behind_pooler import Statement, TwoClients
from cachepool_lib.lab.experiments.instances import Instances
from cachepool_lib.lab.experiments.replica_lag import ReplicaLag
from tests.lab.charts.test_charts import Guess, assert_readable, title, written

REFUSED = "remaining connection slots are reserved"
DIRECT = Instances(6, 4, 17, None, [4, 8, 12, 16], REFUSED, 16)
POOLED = Instances(6, 4, 17, 5, [4, 5, 5, 5, 5, 5], "", 24)


def test_instances_against_the_limit() -> None:
    """How many open in each way; who was refused has a cross above the line."""
    assert repr(DIRECT).endswith(f"16 at the server; then: {REFUSED}")
    assert repr(POOLED).endswith("24 connections answer, at most 5 at the server")
    chart = charts.instances({"direct": DIRECT}, guess=Guess(5, answered=False))
    assert title(chart) == "4 of 6 instances open"
    assert "real: direct 4; a common first guess: 5 open" in chart.text
    assert "for you: 17" in written(chart) and "refused" in written(chart)
    assert_readable(chart)
    chart = charts.instances({"direct": DIRECT, "through a pooler": POOLED})
    assert title(chart) == "4 of 6 instances open; through a pooler all 6"
    assert_readable(chart)
    nobody = Instances(3, 30, 17, None, [], REFUSED, 0)
    assert title(charts.instances({"direct": nobody})) == "0 of 3 instances open"
    with pytest.raises(ValueError, match="ways is empty"):
        charts.instances({})


def sent(*statements: tuple[str, str, str, str, bool]) -> TwoClients:
    return TwoClients(None, [Statement(*statement) for statement in statements])


READ = "SELECT string_agg(item, ', ') FROM items"


def test_what_a_connection_carries() -> None:
    """A read as somebody else is said, and in whose name; without one, nothing is."""
    leaks = sent(
        ("Ada", "SET shop.tenant = 'ada'", "", "ada", False),
        ("Ada", READ, "a lamp", "ada", True),
        ("Ben", READ, "a lamp", "ada", True),
    )
    chart = charts.carried(leaks)
    assert title(chart) == "Ben reads what is Ada's"
    assert chart.text.endswith("Ada reads a lamp; Ben reads a lamp (Ada's)")
    assert "tenant: ada" in written(chart)
    assert_readable(chart)
    right = sent(
        ("Ada", "BEGIN", "", "", False),
        ("Ada", "SELECT set_config('shop.tenant', 'ada', true)", "", "ada", False),
        ("Ada", READ, "a lamp", "ada", True),
        ("Ada", "COMMIT", "", "", False),
        ("Ben", READ, "None", "", True),
    )
    chart = charts.carried(right)
    assert title(chart) == "Each reads what is their own"
    assert "Ada set_config(…); Ada reads a lamp; Ada COMMIT; Ben reads nothing" in chart.text
    assert_readable(chart)
    with pytest.raises(ValueError, match="statements is empty"):
        charts.carried(TwoClients(None, []))


def lag(old_for: float) -> ReplicaLag:
    seconds = [quarter / 4 for quarter in range(4 * 62)]
    cache = [(at, 100 if at < old_for else 200) for at in seconds]
    return ReplicaLag(1, 60, cache)


def test_a_replica_that_lags() -> None:
    """For how long the replica is old, and for how long readers are."""
    assert repr(lag(60)) == "the replica is old for 1 s, readers for 60 s"
    assert lag(0).old_for == 0
    chart = charts.replica_lag({"the cache": lag(60)}, guess=Guess(1, "s", answered=False))
    assert title(chart) == "The replica is old for 1 s, readers for 60 s"
    assert chart.text == (
        "old after a write, real: the replica 1 s, the cache 60 s; a common first guess: 1 s"
    )
    assert_readable(chart)
    ways = {"the cache": lag(60), "deleted again": lag(2), "from the primary": lag(0)}
    chart = charts.replica_lag(ways)
    for words in ("old for 60 s", "old for 2 s", "never old"):
        assert words in written(chart)
    assert_readable(chart)
    with pytest.raises(ValueError, match="ways is empty"):
        charts.replica_lag({})


def test_the_scarcest_of_three_decides() -> None:
    """The longest bar; a part of a node is a node."""
    chart = charts.scarcest(
        {"memory": 21, "operations": 10, "network": 1.68}, guess=Guess("network")
    )
    assert title(chart) == "21 nodes: memory decides"
    assert chart.text == (
        "nodes, theory: memory 21, operations 10, network 1.68; memory decides; your guess: network"
    )
    assert_readable(chart)
    assert title(charts.scarcest({"memory": 0.2, "network": 0.1})) == "1 node: memory decides"
    assert_readable(charts.scarcest({"memory": 1001, "operations": 10, "network": 80}))
    with pytest.raises(ValueError, match="nodes is empty"):
        charts.scarcest({})
