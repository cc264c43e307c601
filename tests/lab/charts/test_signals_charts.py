"""Charts of monitoring: which signal shows which fault, and when a rule fires."""

from dataclasses import dataclass

import pytest
from matplotlib.colors import to_hex

from cachepool_lib.lab import charts
from cachepool_lib.lab.charts.canvas import FAILED, HIT
from cachepool_lib.lab.experiments.alarms import Alarms
from cachepool_lib.lab.experiments.signals import SIGNALS
from cachepool_lib.lab.experiments.watched_days import FAULTS
from tests.lab.charts.test_charts import Guess, assert_readable, title, written


@dataclass(frozen=True)
class Days:
    shown: dict[str, dict[str, float | None]]


DAYS = Days(
    {
        "store gone": {"page p99": None, "hit rate": 5.0},
        "slow database": {"page p99": 15.0, "hit rate": None},
        "leak": {"page p99": 45.0, "hit rate": None},
        "healthy": {"page p99": None, "hit rate": None},
    }
)


def test_a_row_for_each_signal_and_a_column_for_each_day() -> None:
    """Seconds where a signal shows, a dash where it never does; the guess is about one of them."""
    chart = charts.signals(DAYS, guess=Guess(3))
    assert title(chart) == "Page p99 shows 2 of 3 bad days; no signal shows more"
    for words in ("5", "15", "45", "–", "page p99, your guess: 3 days"):
        assert words in written(chart)
    assert "store gone 1 of 2, slow database 1 of 2, leak 1 of 2, healthy 0 of 2" in chart.text
    assert "page p99: 2 of 3 bad days; your guess: 3 days" in chart.text
    assert_readable(chart)
    assert title(charts.signals(DAYS, "hit rate")).endswith("the best signal shows 2")


def test_all_signals_of_all_days_have_room() -> None:
    """As notebook 06 draws them."""
    shown: dict[str, float | None] = dict.fromkeys(SIGNALS, 75.0)
    advice = dict.fromkeys(FAULTS, "hold shorter")
    chart = charts.signals(Days(dict.fromkeys(FAULTS, shown)), advice=advice, guess=Guess(6))
    assert written(chart).count("hold shorter") == len(FAULTS)
    assert "; advice: hold shorter, hold shorter" in chart.text
    assert_readable(chart)


def test_signals_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="signal must be one of page p99, hit rate, not 'x'"):
        charts.signals(DAYS, "x")
    with pytest.raises(ValueError, match="two or more"):
        charts.signals(Days({"healthy": {}}))


def test_a_lane_for_each_rule() -> None:
    """How often each fires for nothing is in the title and in the line."""
    failed = [0.0] * 17_280
    failed[720] = failed[10_440] = failed[10_441] = 0.5
    hasty = Alarms(failed, [(3605.0, 3610.0), (52_205.0, 52_210.0)])
    chart = charts.alarms({"5 s": hasty, "5 min": Alarms(failed, [(52_210.0, 52_560.0)])})
    assert title(chart) == "“5 s” wakes somebody 1 times for nothing, “5 min” 0"
    assert "5 s: 1 false, 5 min: 0 false" in chart.text
    day, near = chart.figure.axes
    assert [to_hex(bar.get_facecolor()).upper() for bar in day.patches] == [FAILED, HIT, HIT]
    outage, *fired = near.patches
    assert outage.get_width() == pytest.approx(10 / 60)  # two steps; a hiccup has one
    assert [bar.get_width() for bar in fired] == pytest.approx([5 / 60, 350 / 60])
    assert_readable(chart)
    with pytest.raises(ValueError, match="rules is empty"):
        charts.alarms({})
