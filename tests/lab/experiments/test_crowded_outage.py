"""An outage at any rate of visits: what the database behind the cache can carry."""

from statistics import median

import pytest

from cachepool_lib import lab
from tests.tools.notebook_tools import ROOT, definitions, read

NOTEBOOK = definitions(read(ROOT / "notebooks" / "02-share-a-redis-cache.ipynb"))


def outage(rate: float, *, old_pages: bool = False, waiting: int | None = None) -> lab.Replay:
    database = lab.Database(0.02, capacity=4, max_waiting=waiting)
    kind = NOTEBOOK["CarriesOn"]
    return lab.crowded_outage(kind, rate=rate, database=database, old_pages=old_pages)


def during(run: lab.Replay) -> list[float]:
    return [wait for at, wait in zip(run.at, run.seconds, strict=True) if 0.5 <= at < 2.5]


@pytest.mark.parametrize(("rate", "carried"), [(40, True), (180, True), (220, False), (400, False)])
def test_a_pool_carries_as_many_visits_as_its_connections_can_answer(
    rate: float, carried: bool
) -> None:
    """Four connections and 20 ms a query are 200 visits a second: beyond, each waits longer."""
    run = outage(rate)
    assert run.share("failed", 0.5, 2.5) == 0
    assert (max(during(run)) < 0.1) == carried


def test_before_and_after_the_outage_every_page_is_a_hit() -> None:
    run = outage(400)
    rows = zip(run.at, run.seconds, run.outcomes, strict=True)
    calm = [(round(wait, 6), outcome) for at, wait, outcome in rows if not 0.5 <= at < 2.5]
    assert {wait for wait, _ in calm} == {0.0005}
    assert {outcome for _, outcome in calm} <= {"hit", "shared"}  # loaded for an earlier visitor


def test_a_bound_refuses_at_once_and_nobody_waits_for_long() -> None:
    """Twenty in front of four connections of 20 ms each: at most 120 ms."""
    run = outage(400, waiting=20)
    rows = list(zip(run.at, run.seconds, run.outcomes, strict=True))
    assert {round(wait, 6) for _, wait, outcome in rows if outcome == "failed"} == {0.0}
    assert max(during(run)) <= 0.121
    assert 0.4 < run.share("failed", 0.5, 2.5) < 0.5


def test_old_pages_of_the_process_are_for_those_who_were_refused() -> None:
    refused, old = outage(400, waiting=20), outage(400, waiting=20, old_pages=True)
    assert old.counts["failed"] == 0
    assert old.counts["stale"] == refused.counts["failed"]


def test_visitors_who_share_a_load_need_less_room() -> None:
    """Single flight is room as well, as the notebook says."""
    database = lab.Database(0.02, capacity=4)
    shared = lab.crowded_outage(NOTEBOOK["OneFlight"], database=database)
    assert 5 * median(during(shared)) < median(during(outage(400)))
