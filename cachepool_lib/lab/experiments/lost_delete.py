"""A shop whose changes delete pages from the cache, until a deploy after which they don't."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean
from typing import Any

from cachepool_lib.lab.simulation.loop import clock, simulate
from cachepool_lib.lab.simulation.traffic import Traffic, traffic

USERS = 10_000
VISITS, CHANGES = 50, 5  # a second; changes go to the pages that are visited most, as visits do
QUERY_SECONDS = 0.02
WARM = 300.0  # seconds before anybody looks: the cache is full of pages by then
DEPLOY, END = 360.0, 720.0  # seconds
STRETCH = 60.0  # seconds of each dot in the chart


@dataclass(frozen=True, repr=False)
class Deploy:
    """The shop over time, in stretches that end at *ends* (seconds); shares are 0 to 1."""

    ends: Sequence[float]
    hit_rates: Sequence[float]
    """Of all visits, those that were hits."""
    canary: Sequence[float]
    """Of the hits that were compared, those that were stale; empty where none was compared."""
    lost_at: float

    def means(self, values: Sequence[float]) -> tuple[float, float]:
        """The mean of such *values* before the deploy, and after."""
        split = sum(end <= self.lost_at for end in self.ends)
        return mean(values[:split]), mean(values[split:])

    def __repr__(self) -> str:
        lines = ["hit rate: {:.2f}, then {:.2f}".format(*self.means(self.hit_rates))]
        if self.canary:
            means = self.means(self.canary)
            lines.append("stale, of the hits compared: {:.2f}, then {:.2f}".format(*means))
        return "\n".join(lines)


def lost_delete(make_cache: Callable[[], Any]) -> Deploy:
    """Visit the shop for twelve minutes; after six of them, nobody deletes a changed page any more.

    *make_cache* makes a cache inside the simulation: it needs `get_or_load(key, load)`,
    `delete(key)` and `stats()`, and the simulated clock. Where it has `compared`, a mapping of
    "fresh" and "stale" to counts, that is what the canary says.
    """
    visits = traffic(VISITS, USERS, WARM + END)
    changes = traffic(CHANGES, USERS, WARM + END, seed=2)
    return simulate(_shop(make_cache, visits, changes))


async def _shop(make_cache: Callable[[], Any], visits: Traffic, changes: Traffic) -> Deploy:
    cache = make_cache()
    rows: Counter[int] = Counter()  # how often each has changed
    looks = [_look(cache)]

    async def page(user_id: int) -> None:
        async def load() -> int:
            await asyncio.sleep(QUERY_SECONDS)
            return rows[user_id]

        await cache.get_or_load(user_id, load)

    async def change() -> None:
        for at, user_id in changes:
            await _until(at)
            rows[user_id] += 1
            if at < WARM + DEPLOY:
                await cache.delete(user_id)

    async def look() -> None:
        for number in range(int(END / STRETCH) + 1):
            await _until(WARM + number * STRETCH)
            looks.append(_look(cache))

    async with asyncio.TaskGroup() as group:
        group.create_task(change())
        group.create_task(look())
        for at, user_id in visits:
            await _until(at)
            group.create_task(page(user_id))
    # Comparisons that go on behind the last readers get a minute to end.
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=60)
    return _deploy(looks[1:])


async def _until(when: float) -> None:
    if when > clock():
        await asyncio.sleep(when - clock())


def _look(cache: Any) -> Counter[str]:
    """What was counted so far."""
    stats, compared = cache.stats(), getattr(cache, "compared", {})
    answered = stats.hits + stats.stale_hits + stats.misses + stats.shared
    counts = {"hits": stats.hits, "answered": answered}
    return Counter(counts | {name: compared.get(name, 0) for name in ("fresh", "stale")})


def _deploy(looks: Sequence[Mapping[str, int]]) -> Deploy:
    ends, hit_rates, canary = [], [], []
    for number, (before, after) in enumerate(pairwise(looks), 1):
        counted = {name: after[name] - before[name] for name in after}
        ends.append(number * STRETCH)
        hit_rates.append(counted["hits"] / counted["answered"])
        if compared := counted["fresh"] + counted["stale"]:
            canary.append(counted["stale"] / compared)
    if len(canary) < len(ends):  # nothing to compare in one of them: no line to draw
        canary = []
    return Deploy(ends, hit_rates, canary, DEPLOY)
