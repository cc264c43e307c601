"""The slots of a pool, as notebook 04 has them: taken, handed over, given back."""

import asyncio
from collections import deque
from collections.abc import Callable


class Slots:
    """As in the notebook: so many are free, and who waits, in the order in which they came."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.waiting: deque[asyncio.Future[None]] = deque()


def give(slots: Slots) -> None:
    while slots.waiting:
        waiter = slots.waiting.popleft()
        if not waiter.done():
            waiter.set_result(None)
            return
    slots.free += 1


async def take(slots: Slots, give: Callable[[Slots], object] = give) -> None:
    if slots.free:
        slots.free -= 1
        return
    waiter = asyncio.get_running_loop().create_future()
    slots.waiting.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter in slots.waiting:
            slots.waiting.remove(waiter)
        elif not waiter.cancelled() and not waiter.exception():
            give(slots)
        raise
