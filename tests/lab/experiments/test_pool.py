"""What notebook 04 measures: counted where it can be counted, and beside theory."""

import math
import time
from typing import Any

import asyncpg
import pytest

from cachepool_lib import DatabasePool, lab
from cachepool_lib.lab.contracts.pool.queue import Queue
from cachepool_lib.lab.experiments import pool_borrowing
from cachepool_lib.lab.experiments.queueing import erlang_c, typical
from tests.tools.notebook_tools import ROOT, definitions, read

pytestmark = pytest.mark.anyio

NaivePool = definitions(read(ROOT / "notebooks" / "04-pool-your-connections.ipynb"))["NaivePool"]


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (2, 1), (4, 3.32), (10, 8), (4, 0)])
def test_erlang_c_is_the_sum_in_the_textbook(servers: int, load: float) -> None:
    """aⁿ/n! · n/(n−a), over itself and the sum of aᵏ/k! below n."""
    all_busy = load**servers / math.factorial(servers) * servers / (servers - load)
    others = sum(load**k / math.factorial(k) for k in range(servers))
    assert erlang_c(servers, load) == pytest.approx(all_busy / (others + all_busy))
    assert erlang_c(servers, servers) == 1


def test_the_mean_wait_is_in_units_of_the_time_of_service() -> None:
    """One server: ρ / (1 − ρ). From a full load on the queue never ends."""
    assert lab.mean_wait(1, 0.75) == pytest.approx(3)
    assert lab.mean_wait(4, 4) == lab.mean_wait(4, 5) == math.inf


@pytest.mark.parametrize("utilisation", [0.61, 0.83, 0.93])
def test_a_typical_run_is_the_same_everywhere_and_waits_as_theory_says(utilisation: float) -> None:
    times, sleeps = typical(4, utilisation, 80)
    assert (times, sleeps) == typical(4, utilisation, 80)
    free, waited = [0.0] * 4, 0.0
    for at, sleep in zip(times, sleeps, strict=True):
        soonest = free.index(min(free))
        waited += max(0.0, free[soonest] - at)
        free[soonest] = max(at, free[soonest]) + sleep
    expected = lab.mean_wait(4, 4 * utilisation)
    assert waited / len(times) == pytest.approx(expected, rel=0.35)


async def test_pages_that_borrow_twice_finish_or_not() -> None:
    """One connection to spare and all finish; none to spare and none does."""
    all_, none = [await lab.pages_that_borrow_twice(NaivePool, n, size=3) for n in (2, 3)]
    assert repr(all_) == "2 of 2 pages finished"
    assert repr(none) == "0 of 3 pages finished"
    assert len(all_.holds) == 4
    assert {lane for lane, *_ in all_.holds} <= {0, 1, 2}
    assert none.waiting[-1][1] == 3
    assert all(end <= none.seconds for _, _, _, end in none.holds)


@pytest.mark.parametrize(
    ("pool", "served", "overtaken"),
    [
        (NaivePool, [5, 6, 7, 3, 4, 0, 1, 2], 5),  # woken in vain, 0 to 2 went to the end
        (DatabasePool, list(range(8)), 0),
    ],
)
async def test_newcomers_are_served_first_or_last(
    pool: type, served: list[int], overtaken: int
) -> None:
    """Each asks in the one moment in which nobody who waits is awake; the same on every machine."""
    run = await lab.queue_with_newcomers(pool, waiting=5, newcomers=3)
    assert run.served == served
    assert run.overtaken == overtaken
    assert len(run.waits) == 8
    assert (max(run.waits[5:]) < min(run.waits[:5])) == (pool is NaivePool)


async def test_a_disturbed_queue_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to four times, and the calmest run counts."""
    monkeypatch.setattr(pool_borrowing, "UNDISTURBED", -1)
    runs: list[Queue] = []
    once = pool_borrowing.queue

    async def counted(*args: Any, **options: Any) -> Queue:
        runs.append(await once(*args, **options))
        return runs[-1]

    monkeypatch.setattr(pool_borrowing, "queue", counted)
    calmest = await lab.queue_with_newcomers(DatabasePool, waiting=3, newcomers=2)
    assert len(runs) == 5
    assert calmest.longest_pause == min(run.longest_pause for run in runs)
    monkeypatch.setattr(pool_borrowing, "UNDISTURBED", 60)
    await lab.queue_with_newcomers(DatabasePool, waiting=3, newcomers=2)
    assert len(runs) == 6


async def test_the_price_of_order_is_measured_for_each_class() -> None:
    """In seconds of this process's processor, so that a busy machine makes it no larger."""
    started = time.process_time()
    prices = await lab.price_of_order(NaivePool, DatabasePool, callers=4, size=2, queries=20)
    assert len(prices) == 2
    assert 0 < 10 * 20 * sum(prices) <= time.process_time() - started


def test_who_is_overtaken_is_counted() -> None:
    """By those who asked later and were served before: 1 by 2 and 3."""
    assert Queue(2, [0, 2, 3, 1]).overtaken == 2


async def test_arrivals_follow_littles_law() -> None:
    """Counted by the queue and by the callers, it is the same."""
    [run] = (await lab.arrivals(DatabasePool, (0.6,), seconds=0.3)).values()
    assert run.little == pytest.approx(1, abs=0.01)
    assert 0 < run.wait < run.service * 10


async def test_throughput_and_a_hot_row_are_measured_for_each_size() -> None:
    speeds = await lab.throughput(DatabasePool, lab.SLEEP, (1, 8), seconds=0.1)
    assert speeds[8].rate > 2 * speeds[1].rate
    assert speeds[1].p99 > 0.1 > 0.015 <= speeds[8].p99, "wait and query together"
    rows = await lab.hot_row(DatabasePool, (1, 4), workers=8)
    assert rows[4].lock_wait > rows[1].lock_wait
    assert rows[4].pool_wait < rows[1].pool_wait


async def test_the_times_of_a_hot_row_agree_with_its_rate() -> None:
    """Little's law: as many workers are under way as come in a second × seconds that each takes."""
    for row in (await lab.hot_row(DatabasePool, (2, 12), workers=12)).values():
        under_way = row.rate * (row.pool_wait + row.lock_wait + row.work)
        assert under_way == pytest.approx(12, rel=0.02)


async def test_a_silent_server_holds_the_naive_pool_and_not_ours() -> None:
    """And afterwards both are closed, with nothing left for the last cell to find."""
    naive = await lab.silence(NaivePool, callers=2, promised=0.2)
    ours = await lab.silence(DatabasePool, callers=2, promised=0.2)
    assert naive.slowest is None
    assert ours.slowest is not None and ours.slowest < naive.watched


async def test_idle_connections_that_ended_fail_the_naive_pools_callers() -> None:
    dead = asyncpg.ConnectionDoesNotExistError.__name__
    assert await lab.idle_cut(NaivePool, connections=2) == [dead, dead]
    assert await lab.idle_cut(DatabasePool, connections=2) == ["a row", "a row"]
