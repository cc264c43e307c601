"""Counters of several workers, simulated and real, as notebook 06 reads them."""

import os
from functools import partial
from itertools import pairwise
from math import isnan
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, start_http_server

from cachepool_lib import AsyncCache, Histogram, lab
from cachepool_lib.metrics import Collector


def test_a_worker_asked_by_itself_never_goes_back() -> None:
    """Its counter only grows, by its share of the visits."""
    seen = lab.one_address(rate=100, shares=(0.75, 0.25), seconds=600)
    for worker, share in enumerate((0.75, 0.25)):
        counters = seen.of(worker)
        assert all(later[1] >= sooner[1] for sooner, later in pairwise(counters))
        assert counters[-1] == (600, pytest.approx(100 * share * 600, rel=0.05))


def test_one_address_reads_now_this_counter_and_now_that() -> None:
    """Each scrape has the counter of one of the workers, and so it goes back."""
    seen = lab.one_address(rate=100, seconds=600)
    assert len(seen.seen) == 120
    assert {*seen.workers} == {0, 1, 2, 3}
    assert all(count in {row[n] for row in seen.counters} for n, (_, count) in enumerate(seen.seen))
    assert seen.went_back == sum(later[1] < sooner[1] for sooner, later in pairwise(seen.seen)) > 20
    assert repr(seen) == f"120 scrapes, the counter went back {seen.went_back} times"
    last = seen.last(60)
    assert last.seen == seen.seen[-13:]
    assert last.of(2) == seen.of(2)[-13:]


def test_one_worker_behind_an_address_is_read_as_it_is() -> None:
    seen = lab.one_address(rate=100, shares=(1,), seconds=60)
    assert seen.seen == seen.of(0)
    assert seen.went_back == 0


def test_unequal_workers_have_unequal_figures() -> None:
    """The busy one hits more often and waits longer; most of all visits are its own."""
    crew = lab.uneven_workers(rates=(400, 50), seconds=10)
    assert crew.hit_rates[0] > crew.hit_rates[1]
    assert crew.p99s[1] == pytest.approx(0.022)
    assert crew.p99s[1] < crew.p99 <= crew.p99s[0]
    assert sum(map(len, crew.seconds)) == pytest.approx(4500, rel=0.1)
    assert [each.count for each in crew.histograms] == [len(row) for row in crew.seconds]


def test_the_snapshots_are_of_what_came_in_between() -> None:
    """Added up they give the hit rate that the visits themselves show, but for those under way."""
    crew = lab.uneven_workers(rates=(200, 50), seconds=10)

    def grown(*names: str) -> int:
        pairs = zip(crew.before, crew.after, strict=True)
        return sum(getattr(new, name) - getattr(old, name) for old, new in pairs for name in names)

    visits = grown("hits", "stale_hits", "shared", "misses")
    assert visits == pytest.approx(sum(map(len, crew.seconds)), abs=20)
    assert grown("hits") / visits == pytest.approx(crew.hit_rate, abs=0.005)


@pytest.mark.parametrize(
    ("share", "counts", "seconds"),
    [
        (0.5, [(10, 0, 0)], 0.05),
        (0.75, [(5, 5, 0)], 0.15),
        (0.75, [(5, 0, 0), (0, 5, 0)], 0.15),
        (0.99, [(0, 0, 7)], 0.2),
        (1.0, [(1, 3, 0)], 0.2),
    ],
)
def test_a_percentile_from_added_buckets(
    share: float, counts: list[tuple[int, ...]], seconds: float
) -> None:
    """Spread evenly in its bucket; what exceeds all bounds is taken for the last of them."""
    histograms = [Histogram((0.1, 0.2), each, 0.0) for each in counts]
    assert lab.bucket_percentile(share, *histograms) == pytest.approx(seconds)


def test_of_nothing_there_is_no_percentile() -> None:
    assert isnan(lab.bucket_percentile(0.99, Histogram((0.1,), (0, 0), 0.0)))


def watched_app() -> Any:
    app, registry, pages = FastAPI(), CollectorRegistry(), AsyncCache(60)
    registry.register(Collector(caches={"pages": pages}))
    server, _ = start_http_server(0, "127.0.0.1", registry)

    async def load(user_id: int) -> int:
        return os.getpid() + user_id

    @app.get("/users/{user_id}")
    async def user(user_id: int) -> Any:
        return await pages.get_or_load(user_id, partial(load, user_id))

    @app.get("/metrics-port")
    async def port() -> Any:
        return server.server_port

    return app


@pytest.mark.anyio
async def test_each_worker_is_scraped_by_itself_and_no_visit_is_missing() -> None:
    """Over real HTTP, from processes of their own: the counters of all add up to the visits."""
    visits = lab.traffic(rate=100, users=20, seconds=1)
    async with lab.serve(watched_app, workers=2) as service:
        await lab.visit(service.url, visits)
        scraped = await lab.scrape_each(service)
    assert len(scraped.each("cachepool_cache_requests_total")) == 2
    assert scraped.total("cachepool_cache_requests_total") == len(visits)
    assert "cache_requests" in repr(scraped).splitlines()[0]
