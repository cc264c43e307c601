"""The experiments that notebooks call: they report what happened, right or wrong."""

from typing import Any

import pytest

from cachepool_lib import AsyncCache, async_cache, lab


def page_from(cache: Any, database: lab.Database) -> Any:
    async def page(user_id: int) -> Any:
        return await cache.get_or_load(user_id, lambda: database.page(user_id))

    return page


class Forgetful(AsyncCache):
    """Its entries can be counted, and a delete doesn't void a load under way."""

    @property
    def entries(self) -> range:
        return range(self.stats().size)

    async def delete(self, key: Any) -> bool:
        return False


def test_an_update_during_a_load_is_told_step_by_step() -> None:
    """With a cache that keeps its promise the next reader loads anew; else it is told the old."""
    sound = lab.update_during_load(AsyncCache(clock=lab.clock))
    assert [(step.lane, step.text) for step in sound] == [
        ("loader", "reads old"),
        ("writer", "updates the row"),
        ("writer", "deletes the key"),
        ("loader", "stores nothing"),
        ("loader", "reads new"),
        ("reader", "sees new"),
    ]
    assert not any(step.wrong for step in sound)
    broken = lab.update_during_load(Forgetful(clock=lab.clock))
    assert [step.text for step in broken if step.wrong] == ["stores old"]
    assert broken[-1].text == "sees old"


def test_entries_are_counted_at_every_request() -> None:
    """Before the request is answered: so the first finds the cache empty."""
    visits = lab.Traffic([0, 1, 2, 3], [7, 8, 7, 9])
    caches = {"all": Forgetful(clock=lab.clock), "one": Forgetful(maxsize=1, clock=lab.clock)}
    held = lab.entries_over_time(caches, page_from, visits, database=lab.Database())
    assert held == {
        "all": [(0, 0), (1, 1), (2, 2), (3, 2)],
        "one": [(0, 0), (1, 1), (2, 1), (3, 1)],
    }


def test_a_lane_shows_the_wait_and_the_load() -> None:
    """The load lies in the lane of the visitor who caused it."""
    database = lab.Database(seconds=0.02)
    page = page_from(AsyncCache(clock=lab.clock), database)
    first, second = lab.lanes(lab.replay(page, lab.crowd(2), database=database))
    assert [what for _, _, what in first.spans] == ["wait", "load"]
    assert [what for _, _, what in second.spans] == ["wait"]
    assert first.spans[1][:2] == (0, 0.02)
    assert (first.end, second.end) == ("page", "page")


def test_measured_hit_rates_are_near_the_theory() -> None:
    """At ttls much shorter than the traffic; the line begins at 1 s and ends at the longest ttl."""
    measured, theory = lab.hit_rates_by_ttl(lab.traffic(seconds=300), (1, 10))
    assert list(measured) == [1, 10]
    assert min(theory) == 1
    assert max(theory) == pytest.approx(10)
    assert measured[1] == pytest.approx(theory[1], abs=0.02)


def test_warmed_traffic_begins_with_every_page() -> None:
    usual = lab.traffic(users=5, seconds=3)
    warmed = lab.warmed(usual, pages=5)
    assert warmed.keys[:5] == [0, 1, 2, 3, 4]
    assert set(warmed.times[:5]) == {0}
    assert list(warmed)[5:] == list(usual)


def test_a_share_is_of_the_requests_that_came_meanwhile() -> None:
    """From the start until before the end; 0 when nobody came."""
    database = lab.Database()
    database.down(1, 3)
    page = page_from(AsyncCache(clock=lab.clock), database)
    run = lab.replay(page, lab.Traffic([0, 1, 2, 3], [1, 1, 2, 3]), database=database)
    assert run.share("failed", 1, 3) == 0.5
    assert run.share("failed", 0, 4) == 0.25
    assert run.share("failed", 10, 20) == 0


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
        (0.035, "load 2", "load ends"),
        (0.035, "visitor 6", "gets it"),
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
