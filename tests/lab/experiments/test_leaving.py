"""The experiment with visitors who leave: it reports what happened, right or wrong."""

from typing import Any

from cachepool_lib import async_cache, lab


def test_the_last_one_out_is_recorded_as_it_happens() -> None:
    """The load outlives who began it, ends with the last one, and who comes then begins anew."""
    events = lab.last_one_out(async_cache)
    told = [(round(event.seconds, 3), event.who, event.what) for event in events]
    assert told[:3] == [
        (0.0, "visitor 1", "comes"),
        (0.0, "load 1", "load begins"),
        (0.001, "visitor 2", "comes"),
    ]
    assert told[6:] == [
        (0.007, "visitor 1", "leaves"),
        (0.009, "visitor 2", "leaves"),
        (0.011, "visitor 3", "leaves"),
        (0.013, "visitor 4", "leaves"),
        (0.015, "visitor 5", "leaves"),
        (0.015, "visitor 6", "comes"),
        (0.015, "load 1", "load is cancelled"),
        (0.015, "load 2", "load begins"),
        (0.065, "load 2", "load ends"),
        (0.065, "visitor 6", "gets it"),
    ]


def test_what_a_visitor_loads_itself_is_in_its_own_lane() -> None:
    """Without single flight nobody waits for another: each load ends with its visitor."""

    def plain() -> Any:
        return lambda function: function

    events = lab.last_one_out(plain)
    assert {event.who for event in events} == {f"visitor {number}" for number in range(1, 7)}
    whats = [event.what for event in events]
    assert whats.count("load is cancelled") == whats.count("leaves") == 5
    assert whats.count("load ends") == whats.count("gets it") == 1
