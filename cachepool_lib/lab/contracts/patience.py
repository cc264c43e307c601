"""Waiting for an answer on a machine that may be busy, in a class of sixty, say."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 1.0  # seconds, after which a caller counts as forgotten


async def done(task: "asyncio.Future[T]", seconds: float) -> bool:
    """Wait for a task. The seconds are counted in steps, so that they are longer where the loop is
    late: a busy machine must not look like a caller who is forgotten."""
    for _ in range(round(seconds / 0.01)):
        if task.done():
            break
        await asyncio.wait([task], timeout=0.01)
    return task.done()


async def settled(call: Awaitable[T], seconds: float = PATIENCE) -> "asyncio.Future[T] | None":
    """What came of a call: a future that is done, or None if it was not done in time."""
    task = asyncio.ensure_future(call)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())  # counts as seen
    in_time = False
    try:
        in_time = await done(task, seconds)
    finally:  # also when the check itself is cancelled: somebody interrupts the cell
        if not in_time:
            task.cancel()
    if not in_time:
        await asyncio.wait([task], timeout=seconds)
    return task if in_time else None
