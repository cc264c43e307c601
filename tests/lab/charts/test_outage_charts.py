"""Charts of notebook 02: what a shared hit costs, and how long pages take in an outage."""

from cachepool_lib.lab import charts
from cachepool_lib.lab.simulation.replay import Replay
from tests.lab.charts.test_charts import assert_readable, title, written


def test_latencies_say_nothing_of_a_step_that_differs_from_run_to_run() -> None:
    """A row by its key may be slower than Redis or not: neither title nor text speaks of it."""
    rows = {"memory": [1e-6], "Redis": [1e-4], "one row": [2e-4], "the page": [4e-3]}
    chart = charts.latencies(rows, (10, None, 3))
    assert chart.text == (
        "time for one answer, real: Redis more than 10 times memory, "
        "the page more than 3 times one row"
    )
    assert (
        title(chart)
        == "Redis takes 100 times as long as memory, the page 20 times as long as one row"
    )
    assert_readable(chart)


def test_an_outage_that_costs_no_page_says_what_it_costs() -> None:
    """Where nobody fails the title has the median; what is simulated has it in the text, too."""
    few = Replay([0.1, 0.6, 0.7], [1, 2, 3], [0.001, 0.02, 0.02], ["hit", "miss", "miss"])
    many = Replay([0.1, 0.6, 0.7], [1, 2, 3], [0.001, 0.9, 1.1], ["hit", "miss", "stale"])
    refused = Replay([0.1, 0.6, 0.7], [1, 2, 3], [0.001, 0.1, 0.0], ["hit", "miss", "failed"])
    runs = {"few": few, "many": many}
    chart = charts.pages_through_fault(runs, (0.5, 1), "Redis is down", source="simulated")
    assert title(chart) == "While Redis is down, the median page takes 20 ms, then 1 s"
    assert "few none fail, median 20 ms, all within 1 s" in chart.text
    assert "pink: an old one" in written(chart) and "failure" not in written(chart)
    assert_readable(chart)
    lost = Replay([0.1, 0.6, 0.7], [1, 2, 3], [0.001, 0.1, 0.0], ["hit", "failed", "failed"])
    three = {"few": few, "refused": refused, "lost": lost}
    chart = charts.pages_through_fault(three, (0.5, 1), "Redis is down", source="simulated")
    assert_readable(chart)
    # An error that came at once is no page.
    assert "refused 5 of 10 fail, median 100 ms" in chart.text
    assert "lost all fail, median for ever" in chart.text
