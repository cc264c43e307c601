"""Charts of notebook 06's first sections: stale answers by ttl, the knee, a deploy."""

import pytest

from cachepool_lib.lab import charts
from cachepool_lib.lab.charts import Step
from cachepool_lib.lab.experiments.lost_delete import Deploy
from cachepool_lib.lab.experiments.staleness import Answers, Staleness
from tests.lab.charts.test_charts import Guess, assert_readable, title, written

PAGE = Staleness(
    {
        1: Answers(0.5, 0.004, 0.3),
        10: Answers(0.91, 0.07, 3.3),
        60: Answers(0.984, 0.36, 21),
        1_000: Answers(0.999, 0.94, 470),
    },
    visits=1,
    changes=1 / 60,
)


@pytest.mark.parametrize("guess", [None, 0.05, 0.36, 0.9, 1.0, Guess(0.5, answered=False)])
def test_hits_and_stale_answers_stand_side_by_side(guess: float | Guess | None) -> None:
    """Both figures at the ttl that is asked for, in the title and beside their dots."""
    chart = charts.stale_by_ttl(PAGE, mark=60, guess=guess)
    assert title(chart) == "At a ttl of 60 s, 98 % of answers are hits, and 36 % are stale"
    assert "hits: 0.98" in written(chart) and "stale: 0.36" in written(chart)
    assert "60 s 0.98 and 0.36" in chart.text
    assert_readable(chart)


def test_a_ttl_that_was_not_measured_cannot_be_marked() -> None:
    """It says which one was asked for."""
    with pytest.raises(ValueError, match="mark must be one of the ttls, not 30"):
        charts.stale_by_ttl(PAGE, mark=30)


@pytest.mark.parametrize("changes", [1 / 240, 1 / 60, 1 / 15])
def test_the_knee_is_where_the_sum_is_lowest(changes: float) -> None:
    """Its ttl is in the title, and the line says where the measured sum is least."""
    chart = charts.knee(Staleness(PAGE.by_ttl, 1, changes))
    if changes == 1 / 60:
        assert title(chart).endswith("a ttl of about 11 s")
    assert chart.text.endswith("measured least at 10 s, 0.16")
    assert_readable(chart)


def deploy(canary: list[float]) -> Deploy:
    return Deploy([60 * n for n in range(1, 7)], [0.72] * 3 + [0.78] * 3, canary, 180)


@pytest.mark.parametrize("canary", [[], [0, 0, 0.01, 0.4, 0.6, 0.6], [0.5] * 6, [0.72] * 6])
def test_a_deploy_has_a_before_and_an_after(canary: list[float]) -> None:
    """Both means of the hit rate, and of the canary if there is one."""
    chart = charts.over_the_deploy(deploy(canary))
    assert title(chart).startswith("The hit rate rises from 0.72 to 0.78")
    assert ("canary" in chart.text) == bool(canary)
    assert_readable(chart)


def test_a_step_may_come_too_early() -> None:
    """The title says which one, and how."""
    steps = [Step("writer", "deletes the key", True), Step("writer", "commits")]
    chart = charts.race(steps, fault="too early")
    assert title(chart) == "Step 1 comes too early: the writer deletes the key"
    assert "(too early)" in chart.text
    assert title(charts.race(steps[1:], fault="too early")).endswith("and none comes too early")


@pytest.mark.parametrize("name", ["short", "a name that is as long as this one"])
def test_guesses_beside_long_names_have_readable_ticks(name: str) -> None:
    """Where the axis is narrow, every second tick is named."""
    far = Guess(200, name=name, result=2), Guess(1, name="far", result=1_000)
    words = Guess("admin's report", name="words", result="exchange rate")
    chart = charts.guesses([*far, words])
    assert_readable(chart)
    assert ("× 10" in written(chart).split("× 100")[0]) == (name == "short")
