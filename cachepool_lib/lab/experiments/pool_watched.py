"""A pool while visits come: what it says of itself, read a few times a second and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cachepool_lib import DatabasePool
from cachepool_lib.lab.charts.pool_watched import frame, seldom
from cachepool_lib.lab.notebook.live import Live
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.lab.simulation.traffic import traffic
from cachepool_lib.stats import PoolStats

VISITS = 200  # a second
SECONDS = 1.5
FRAME_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Reading:
    """What a dashboard has of a pool at one moment, and since the reading before."""

    at: float  # seconds since the first visit
    busy: int  # connections that are held, or are just being reset
    waiting: int  # callers
    wait: float | None  # mean seconds of those that ended since then; None: none did
    hold: float | None


@dataclass(frozen=True, repr=False)
class Watched:
    """The readings, and the mean wait and hold of all visits (seconds)."""

    size: int
    seconds: float  # in which visits came
    readings: Sequence[Reading]
    wait: float
    hold: float

    def __repr__(self) -> str:
        return f"a pool of {self.size}: callers wait {seldom(self.readings)}"


def means(earlier: PoolStats, later: PoolStats) -> tuple[float | None, float | None]:
    """The mean wait and the mean hold of those that ended between two snapshots.

    From counts and sums that only grow: what somebody else reads meanwhile changes nothing.
    """
    found: list[float | None] = []
    for one, other in ((earlier.waits, later.waits), (earlier.holds, later.holds)):
        ended = other.count - one.count
        found.append((other.sum - one.sum) / ended if ended else None)
    return found[0], found[1]


async def watched(
    page: Callable[[DatabasePool], Coroutine[Any, Any, object]],
    size: int,
    *,
    rate: float = VISITS,
    seconds: float = SECONDS,
) -> Watched:
    """Let *rate* visits a second call page(pool), with a pool of *size* connections, and show a
    dashboard meanwhile.

    They come at random moments (Poisson), the same each time, for so many *seconds*. Back when all
    of them are answered. What a page raises comes in an ExceptionGroup.
    """
    visits = traffic(rate=rate, seconds=seconds)
    url = (await services()).database_url
    async with DatabasePool(url, size, size) as pool:
        stats = [pool.stats()]
        times = [0.0]
        start, screen = clock(), Live()

        async def send() -> None:
            async with asyncio.TaskGroup() as group:
                for at in visits.times:
                    await asyncio.sleep(start + at - clock())
                    group.create_task(page(pool))

        load = asyncio.create_task(send())
        try:
            while not load.done():
                await asyncio.wait([load], timeout=FRAME_SECONDS)
                stats.append(pool.stats())
                times.append(clock() - start)
                if screen.seen:
                    screen.show(frame(_readings(times, stats), size, seconds))
        finally:
            screen.close()
            load.cancel()  # nothing happens to one that is done
            await asyncio.wait([load])
        await load
    whole = means(stats[0], stats[-1])
    readings = [each for each in _readings(times, stats) if each.at <= seconds]
    return Watched(size, seconds, readings, whole[0] or 0.0, whole[1] or 0.0)


def _readings(times: Sequence[float], stats: Sequence[PoolStats]) -> list[Reading]:
    return [
        Reading(at, later.in_use + later.resetting, later.waiting, *means(earlier, later))
        for at, (earlier, later) in zip(times[1:], pairwise(stats), strict=True)
    ]
