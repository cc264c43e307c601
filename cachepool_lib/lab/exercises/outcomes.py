"""What became of callers: for the exercises where one may be left waiting."""

import asyncio
from collections.abc import Sequence
from typing import Any

WAITS = "waits"  # the outcome of a caller who is not back after a minute


async def outcomes(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """What each task returned or raised; WAITS for those that still wait after a minute."""
    _, waiting = await asyncio.wait(tasks, timeout=60)
    for task in waiting:
        task.cancel()
    values = await asyncio.gather(*tasks, return_exceptions=True)
    return [WAITS if t in waiting else v for t, v in zip(tasks, values, strict=True)]
