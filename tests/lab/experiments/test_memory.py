"""The experiments that notebooks call: they report what happened, right or wrong."""

from typing import Any

import pytest

from cachepool_lib import AsyncCache, lab


def page_from(cache: Any, database: lab.Database) -> Any:
    async def page(user_id: int) -> Any:
        return await cache.get_or_load(user_id, lambda: database.page(user_id))

    return page


class Forgetful(AsyncCache):
    """A delete doesn't void a load under way."""

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
