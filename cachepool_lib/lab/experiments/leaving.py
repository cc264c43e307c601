"""Visitors who come for one page and leave: when does its load end?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cachepool_lib.lab.simulation.loop import clock, simulate

if TYPE_CHECKING:  # charts bring matplotlib, which is slow to import
    from cachepool_lib.lab.charts import Event
    from cachepool_lib.lab.charts.lanes import Happening


def last_one_out(decorator: Callable[[], Any]) -> list[Event]:
    """Five visitors come for one page and leave, one after the other.

    In the very moment when the last one leaves, a sixth comes. *decorator* makes a decorator for
    the page's function, whose load takes 50 ms. Returns what happened, in order: what a visitor's
    own task loads is in that visitor's lane.
    """
    from cachepool_lib.lab.charts import Event

    events: list[Event] = []
    names: dict[asyncio.Task[Any] | None, str] = {}

    def note(what: Happening) -> None:
        task = asyncio.current_task()
        if task not in names:
            names[task] = f"load {sum(name.startswith('load') for name in names.values()) + 1}"
        events.append(Event(clock(), names[task], what))

    async def get_user_page(user_id: int) -> str:
        note("load begins")
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            note("load is cancelled")
            raise
        note("load ends")
        return "page"

    cached = decorator()(get_user_page)

    async def visit() -> None:
        note("comes")
        try:
            await cached(1)
        except asyncio.CancelledError:
            note("leaves")
            raise
        note("gets it")

    async def run() -> None:
        def come() -> asyncio.Task[None]:
            task = asyncio.create_task(visit())
            names[task] = f"visitor {len(tasks) + 1}"
            return task

        tasks: list[asyncio.Task[None]] = []
        for _ in range(5):
            tasks.append(come())
            await asyncio.sleep(0.001)
        for task in tasks:
            await asyncio.sleep(0.002)
            task.cancel()
        tasks.append(come())
        await asyncio.wait(tasks)

    simulate(run())
    return events
