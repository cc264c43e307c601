"""Charts of a cluster: which keys move, how equal the shares are, and pages without a primary."""

import pytest

from cachepool_lib import lab
from cachepool_lib.lab import charts
from cachepool_lib.lab.experiments.key_owners import Moves
from cachepool_lib.lab.experiments.shard_away import ShardAway
from cachepool_lib.lab.simulation.replay import Outcome, Replay
from tests.lab.charts.test_charts import GUESSES, Guess, assert_readable, dashed, title, written

MODULO = Moves(list("ABCDE") * 20, list("ABCD") * 25)
SLOTS = Moves(list("ABCDE") * 20, list("ABCDA") * 20)


def away(
    fault: str = "kill", shard: int = 0, gap: float = 1.5, failed: int = 0, others: int = 0
) -> ShardAway:
    """Visits in turn to three shards, from 0.3 s on without the primary of *shard*."""
    run, shards = Replay(), []
    for number in range(int((gap + 1) / 0.02)):
        at, of = 0.02 * number, number % 3
        misses = 0.3 <= at < 0.5 + gap and (of == shard or of < others)
        outcome: Outcome = "miss" if misses else "hit"
        if misses and failed:
            outcome, failed = "failed", failed - 1
        slow = 0.27 if fault == "freeze" and at < 0.8 else 0.021
        run.at.append(at)
        run.seconds.append(slow if misses else 0.0004)
        run.outcomes.append(outcome)
        run.keys.append(number)
        shards.append(of)
    assert fault in ("kill", "freeze")
    return ShardAway(shard, "kill" if fault == "kill" else "freeze", run, shards, 0.3, 0.3 + gap)


def test_moved_keys_says_which_share_moves() -> None:
    """Of one way in the title alone, of several beside each."""
    chart = charts.moved_keys({"modulo": MODULO})
    assert title(chart) == "80 % of the keys move"
    assert chart.text == "share of keys that move, simulated: modulo 0.80"
    assert_readable(chart)
    chart = charts.moved_keys({"modulo": MODULO, "ring": SLOTS, "slots": SLOTS})
    assert title(chart) == "Of the keys move: modulo 80 %, ring 20 %, slots 20 %"
    assert_readable(chart)
    with pytest.raises(ValueError, match="runs is empty"):
        charts.moved_keys({})


def test_ring_shares_says_how_full_the_fullest_is() -> None:
    """As a multiple of an equal share, by the number of points."""
    chart = charts.ring_shares({1: [[0.5, 0.2, 0.3, 0.0, 0.0]] * 3, 100: [[0.2] * 5] * 3})
    assert title(chart) == "1 point a node: the fullest has 2.5 × its share; 100: 1 ×"
    assert chart.text == "fullest node by points on the ring, simulated: 1 2.5 ×, 100 1 ×"
    assert_readable(chart)
    assert_readable(charts.ring_shares({points: lab.ring_shares(points) for points in (1, 3, 10)}))
    with pytest.raises(ValueError, match="shares is empty"):
        charts.ring_shares({})


@pytest.mark.parametrize("gap", [0.6, 1.5, 12.0])
@pytest.mark.parametrize(("fault", "done"), [("kill", "killed"), ("freeze", "frozen")])
def test_pages_by_shard_names_the_shard_that_loads(fault: str, done: str, gap: float) -> None:
    """However long the gap; the line of text has no figure that differs from run to run."""
    chart = charts.pages_by_shard(away(fault, 1, gap))
    assert title(chart) == f"A primary is {done}: no visit fails, shard 2 must load"
    assert chart.text == (
        f"pages while a primary is {done}, real: no visit fails; loaded meanwhile: "
        "shard 1 hardly any, shard 2 most, shard 3 hardly any"
    )
    assert "shard 2: 100 % load" in written(chart) and "shard 1: 0 % load" in written(chart)
    assert "later" in written(chart) and f"{done}: no primary for" in written(chart)
    assert_readable(chart)


def test_pages_by_shard_says_so_where_others_suffer() -> None:
    """Visits that fail are counted, and shards that were well and missed are named."""
    chart = charts.pages_by_shard(away(failed=3, others=2))
    assert title(chart) == "A primary is killed: 3 visits fail, shard 1 and shard 2 must load"
    assert "shard 2 most, shard 3 hardly any" in chart.text
    assert_readable(chart)


@pytest.mark.parametrize("guess", GUESSES, ids=str)
def test_any_guess_is_readable(guess: float | Guess) -> None:
    """It has a box of its own, and hides nothing."""
    for chart in (
        charts.moved_keys({"modulo": MODULO}, guess=guess),
        charts.pages_by_shard(away(), guess=guess),
        charts.pages_by_shard(away("freeze", 2), guess=guess),
    ):
        assert_readable(chart)
        assert "guess: " in written(chart) and "guess: " in chart.text
        assert len(dashed(chart)) == 1
