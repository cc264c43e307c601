"""One key that expires twice, with options that act before it does: loads, and who waits."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from cachepool_lib.lab.simulation.loop import clock, simulate
from cachepool_lib.memory.async_cache import AsyncCache

TTL = 10.0  # seconds
RATE = 100.0  # visits a second
SECONDS = 0.1  # that a load takes


@dataclass(frozen=True, repr=False)
class OneKey:
    """Loads, and visits that waited for one, by the option that was set."""

    rows: Mapping[str, tuple[int, int]]

    def __repr__(self) -> str:
        return "\n".join(
            f"{name}: {loads} loads, {waited} visits waited"
            for name, (loads, waited) in self.rows.items()
        )

    def _repr_html_(self) -> str:
        rows = [("", "loads", "visits that waited"), *((n, *row) for n, row in self.rows.items())]
        cells = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows)
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def one_key(options: Mapping[str, Mapping[str, float]]) -> OneKey:
    """Visit one page a hundred times a second for a little more than two ttls of 10 s; simulated.

    A load takes 0.1 s. Of each of the *options*, "jitter" is the AsyncCache's, the others are
    get_or_load's. The page is there when the first visit comes.
    """
    return OneKey({name: simulate(_run(dict(given))) for name, given in options.items()})


async def _run(options: dict[str, Any]) -> tuple[int, int]:
    cache = AsyncCache(TTL, jitter=options.pop("jitter", 0), clock=clock)
    loads, waited = 0, 0

    async def load() -> str:
        nonlocal loads
        loads += 1
        await asyncio.sleep(SECONDS)
        return "page"

    async def visit() -> None:
        nonlocal waited
        came = clock()
        await cache.get_or_load("page", load, **options)
        waited += clock() > came

    await visit()
    loads, waited = 0, 0
    draw, visits, ends = random.Random(3), list[asyncio.Task[None]](), clock() + 2.2 * TTL
    while clock() < ends:
        await asyncio.sleep(draw.expovariate(RATE))
        visits.append(asyncio.create_task(visit()))
    await asyncio.gather(*visits)
    await asyncio.sleep(2 * SECONDS)  # what is loaded behind the visits
    return loads, waited
