"""Does the event loop get its turns while a function computes? In real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Compute = Callable[[int], int]
EVERY_SECONDS = 0.001  # the loop has something to do as often as that


@dataclass(frozen=True, repr=False)
class Turns:
    """When a function computed (from, to), and when the loop got a turn; times are in seconds."""

    computed: Sequence[tuple[float, float]]
    turns: Sequence[float]

    @property
    def meanwhile(self) -> int:
        """Turns that the loop got while the function computed."""
        return sum(start < turn < end for start, end in self.computed for turn in self.turns)

    def __repr__(self) -> str:
        # How many differs from run to run; none is none everywhere.
        got = "the loop went on" if self.meanwhile else "no turn of the loop"
        return f"computed {len(self.computed)} times, {got} meanwhile"


async def turns(
    way: Callable[[Compute, int], Awaitable[object]],
    *,
    visits: Sequence[int] = (1, 2, 1, 2, 1, 2),
    seconds: float = 0.04,
) -> Turns:
    """Await `way(compute, user_id)` for one of *visits* after the other; note the loop's turns.

    `compute(user_id)` is an ordinary function that keeps a processor busy for so many *seconds*.
    """
    computed: list[tuple[float, float]] = []
    got: list[float] = []

    def compute(user_id: int) -> int:
        start, until = time.perf_counter(), time.thread_time() + seconds
        while time.thread_time() < until:
            sum(range(1000))
        computed.append((start - zero, time.perf_counter() - zero))
        return user_id

    async def others() -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            got.append(time.perf_counter() - zero)

    zero = time.perf_counter()
    task = asyncio.create_task(others())
    try:
        for user_id in visits:
            await way(compute, user_id)
            await asyncio.sleep(0.01)  # the next visitor comes a little later
    finally:
        task.cancel()
        await asyncio.wait([task])
    return Turns(computed, got)
