"""Six bad days of a service and a healthy one, in simulated time: what each looks like.

Each fault begins just after a scrape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from cachepool_lib.lab.experiments.scraped_service import (
    PATIENCE,
    QUERY,
    SIZE,
    Scrape,
    Service,
)
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.lab.simulation.postgres import Postgres
from cachepool_lib.lab.simulation.traffic import traffic

SCRAPE = 5.0  # seconds from one scrape to the next
BEFORE = 40.0  # seconds that every day goes well
RATE, USERS = 25.0, 1_000  # visits a second, and whose pages
CROWD = 40  # visitors who come at once for one new page, in every SCRAPE seconds
WRITES = 2.0  # pages that change a second; their keys are deleted

Fault = Callable[[Service], Coroutine[Any, Any, None]]


async def store_gone(service: Service) -> None:
    service.store.down = True


async def pool_too_small(service: Service) -> None:
    """There is a new page, for which no cache helps: as many loads a second as the pool can do."""
    async with asyncio.TaskGroup() as group:
        for number in count():
            group.create_task(service.visit(("search", number), cached=False))
            await asyncio.sleep(QUERY / SIZE)


async def slow_database(service: Service) -> None:
    service.query = 8 * QUERY


async def leak(service: Service) -> None:
    """Two visits to a report. It asks three things at a time, and gives no connection back."""
    kept = []
    try:
        for pause in (2, 40):
            await asyncio.sleep(pause)
            kept += [await service.pool.acquire() for _ in range(SIZE // 2)]
        await asyncio.Event().wait()
    finally:
        for connection in kept:
            await service.pool.release(connection)


async def stampede(service: Service) -> None:
    """A deploy brings a cache that somebody wrote by hand."""
    service.ask = service.store.by_hand


async def no_invalidation(service: Service) -> None:
    """The line that deletes what was written is lost."""
    service.deletes = False


async def nothing(service: Service) -> None:
    pass


FAULTS: dict[str, Fault] = {
    "store gone": store_gone,
    "pool too small": pool_too_small,
    "slow database": slow_database,
    "leak": leak,
    "stampede": stampede,
    "no invalidation": no_invalidation,
    "healthy": nothing,
}


async def watched_day(fault: Fault, seconds: float, *, seed: int = 1) -> list[Scrape]:
    """Scrape a service every SCRAPE seconds, from the moment on in which *fault* begins.

    What *fault* still does after *seconds* is cancelled.
    """
    start, end = clock(), clock() + BEFORE + seconds
    service = Service(seed)
    with Postgres(service.answer) as server:
        service.pool = server.pool(SIZE, acquire_timeout=PATIENCE)
        async with service.pool, asyncio.TaskGroup() as group:

            async def come(rate: float, what: Callable[[Any], Any], seed: int) -> None:
                for at, key in traffic(rate, USERS, end - start, seed=seed):
                    await asyncio.sleep(start + at - clock())
                    group.create_task(what(key))

            async def crowds() -> None:
                for number in range(int((end - start) / SCRAPE)):
                    await asyncio.sleep(start + (number + 0.5) * SCRAPE - clock())
                    for _ in range(CROWD):
                        group.create_task(service.visit(("offer", number)))

            group.create_task(come(RATE, service.visit, seed))
            group.create_task(come(WRITES, service.write, seed + 1000))
            group.create_task(crowds())
            await asyncio.sleep(start + BEFORE - clock())
            scrapes = [service.scrape()]
            trouble = group.create_task(fault(service))
            while clock() < end:
                await asyncio.sleep(SCRAPE)
                scrapes.append(service.scrape())
            trouble.cancel()
    return scrapes
