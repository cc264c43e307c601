"""Experiments that a notebook calls and does not spell out; what they find goes into a chart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from cachepool_lib.lab.simulation.loop import simulate
from cachepool_lib.lab.simulation.replay import Replay
from cachepool_lib.lab.simulation.traffic import Traffic
from cachepool_lib.lab.simulation.twin import theory_hit_rate, twin

if TYPE_CHECKING:  # charts bring matplotlib, which is slow to import
    from cachepool_lib.lab.charts import Lane, Step

T = TypeVar("T")


def hit_rates_by_ttl(
    traffic: Traffic, ttls: Iterable[float]
) -> tuple[dict[float, float], dict[float, float]]:
    """The hit rate at each of *ttls* (seconds), measured, and what theory says from 1 s on.

    Measured with room for all pages. For charts.hit_rate_by_ttl().
    """
    measured = {ttl: twin(traffic, ttl=ttl, maxsize=None).hit_rate for ttl in ttls}
    steps = 24  # of the line
    longest = max(measured)
    line = [longest ** (step / steps) for step in range(steps + 1)]
    return measured, {ttl: theory_hit_rate(traffic, ttl) for ttl in line}


def lanes(run: Replay) -> list[Lane]:
    """One lane for each request of a replay, for charts.swimlane()."""
    from cachepool_lib.lab.charts import Lane

    loads: dict[int | None, list[tuple[float, float, Any]]] = {}
    for load in run.loads:
        loads.setdefault(load.request, []).append((load.start, load.end, "load"))
    ends: dict[str, Any] = {"cancelled": "left", "failed": "lost"}
    return [
        Lane(
            f"visitor {number + 1}",
            [(at, at + seconds, "wait"), *loads.get(number, [])],
            ends.get(outcome, "page"),
        )
        for number, (at, seconds, outcome) in enumerate(
            zip(run.at, run.seconds, run.outcomes, strict=True)
        )
    ]


def update_during_load(cache: Any) -> list[Step]:
    """Update a row and delete its key while a visit is loading it; return what happened in order.

    The visit has read the row already, but its page is not stored yet. The last step is what the
    next visitor sees.
    """
    from cachepool_lib.lab.charts import Step

    row, steps = ["old"], []

    async def load() -> str:
        page = row[0]
        steps.append(Step("loader", f"reads {page}"))
        await asyncio.sleep(0.02)
        return page

    async def run() -> None:
        visit = asyncio.create_task(cache.get_or_load(1, load))
        await asyncio.sleep(0.01)
        row[0] = "new"
        steps.append(Step("writer", "updates the row"))
        await cache.delete(1)
        steps.append(Step("writer", "deletes the key"))
        await visit
        stored = await cache.get(1)
        text = "stores nothing" if stored is None else f"stores {stored}"
        steps.append(Step("loader", text, wrong=stored == "old"))
        steps.append(Step("reader", f"sees {await cache.get_or_load(1, load)}"))

    simulate(run())
    return steps


def hit_rates_by_workers(
    traffic: Traffic, workers: Iterable[int], *, ttl: float = 60
) -> dict[int, float]:
    """The hit rate when each of so many workers has a cache of its own (*ttl* seconds).

    A visit comes to any of them, as a load balancer sends it. For charts.hit_rate_by_workers().
    """

    def rate(count: int) -> float:
        pick = Random(count).random
        shares: list[tuple[list[float], list[int]]] = [([], []) for _ in range(count)]
        for at, key in traffic:
            times, keys = shares[int(pick() * count)]
            times.append(at)
            keys.append(key)
        runs = [twin(Traffic(*share), ttl=ttl, maxsize=None) for share in shares]
        return sum(run.hit_rate * len(run) for run in runs) / len(traffic)

    return {count: rate(count) for count in workers}


async def timed(call: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """How long each of so many calls took, one after the other (seconds)."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - start)
    return seconds


async def one_by_one(call: Callable[[T], Awaitable[object]], things: Iterable[T]) -> None:
    """Call and await, for one thing after the other."""
    for thing in things:
        await call(thing)


async def after_a_write(*workers: Any) -> list[str]:
    """What six visitors see, sent to the *workers* in turn, each with a cache of its own.

    All have the page. Then its row changes, and the first worker, who changed it, deletes its key.
    """
    row = ["old"]

    async def load() -> str:
        return row[0]

    for cache in workers:
        await cache.get_or_load("user:1", load)
    row[0] = "new"
    await workers[0].delete("user:1")
    return [await workers[visit % len(workers)].get_or_load("user:1", load) for visit in range(6)]
