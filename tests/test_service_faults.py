"""The service to copy, with four workers and visits all the time: what breaks costs no page."""

import math
from collections.abc import Awaitable, Callable, Mapping

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.experiments.bad_days import USERS, breakable
from cachepool_lib.lab.experiments.visits import Visits
from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.lab.servers.service import Service

pytestmark = pytest.mark.anyio

FAULT, MENDED = 0.8, 1.6  # seconds
Faults = Mapping[float, Callable[[], Awaitable[object] | None]]


def a_worker_is_told_to_leave(service: Service, redis: Proxy, database: Proxy) -> Faults:
    return {FAULT: lambda: service.term(service.pids[0])}


def redis_is_gone(service: Service, redis: Proxy, database: Proxy) -> Faults:
    return {FAULT: redis.cut, MENDED: redis.restore}


def all_connections_are_cut(service: Service, redis: Proxy, database: Proxy) -> Faults:
    async def cut() -> None:
        for proxy in (redis, database):
            await proxy.cut()
            await proxy.restore()

    return {FAULT: cut}


def postgres_is_slow(service: Service, redis: Proxy, database: Proxy) -> Faults:
    return {FAULT: lambda: database.slow(0.3), MENDED: database.restore}


def the_next_generation_comes(service: Service, redis: Proxy, database: Proxy) -> Faults:
    old = service.pids

    async def deploy() -> None:
        for pid in old:
            await service.start()
            await service.term(pid)

    return {FAULT: deploy}


async def through(
    faults_of: Callable[[Service, Proxy, Proxy], Faults],
) -> tuple[Visits, int]:
    """The visits through a fault, and the connections that are left when all workers have left."""
    # Pages that are soon old: there are loads all the time.
    # A busy machine is no full pool: who waits for a connection has time.
    replace = {
        "TTL": 0.5,
        "LIMITS": {"max_waiting": 20, "acquire_timeout": 10, "command_timeout": 10},
    }
    async with breakable(lab.SHOP_SERVICE, None, replace) as (service, redis, database):
        faults = faults_of(service, redis, database)
        visits = lab.traffic(rate=30, users=USERS, seconds=2.4)
        seen = await lab.visit(service.url, visits, faults)
        await service.stop()
        return seen, await service.connections(0)


@pytest.mark.parametrize(
    "faults_of",
    [
        a_worker_is_told_to_leave,
        redis_is_gone,
        all_connections_are_cut,
        postgres_is_slow,
        the_next_generation_comes,
    ],
)
async def test_no_page_fails(faults_of: Callable[[Service, Proxy, Proxy], Faults]) -> None:
    """Every visit gets a page, and no connection is left behind."""
    seen, left = await through(faults_of)
    assert (seen.failed, seen.refused, left) == (0, 0, 0), seen.counts
    assert seen.counts.get("hit")


async def test_a_killed_worker_costs_the_pages_that_it_was_about_to_send() -> None:
    """Those that were in flight at that moment at most; the other workers go on."""
    killed = [math.inf]

    def kill(service: Service, redis: Proxy, database: Proxy) -> Faults:
        async def now() -> None:
            killed[0] = FAULT + await service.kill(service.pids[0])

        return {FAULT: now}

    seen, left = await through(kill)
    rows = zip(seen.at, seen.seconds, seen.outcomes, strict=True)
    lost = [(at, at + seconds) for at, seconds, outcome in rows if outcome == "failed"]
    # When the signal was sent is known to a few hundredths: the loop that sends it is busy.
    assert all(begin < killed[0] + 0.1 and end > FAULT for begin, end in lost), lost
    assert len(lost) < 10
    assert (seen.refused, left) == (0, 0), seen.counts
