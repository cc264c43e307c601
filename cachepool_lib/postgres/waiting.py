"""Who waits for a connection: who comes first is served first.

What is handed on is a connection, not the right to take one: so nobody who comes later can take it
before who was served has woken up. asyncio's Semaphore is as fair (from Python 3.11 on), but hands
out rights; and `close` could not tell those who wait for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from cachepool_lib.postgres.lease import Lease


class Waiting:
    """A queue of borrowers. Each waits for a future of its own, which is done once it is served."""

    def __init__(self) -> None:
        self._turns: OrderedDict[Lease, asyncio.Future[None]] = OrderedDict()

    def __len__(self) -> int:
        turns = list(self._turns.values())  # another thread may ask, and a queue changes
        return sum(not turn.done() for turn in turns)

    @property
    def before(self) -> bool:
        """Would somebody who comes now overtake another one? Who is served wakes up later."""
        return bool(self._turns)

    def join(self, lease: Lease, first: bool) -> "asyncio.Future[None]":
        turn = self._turns[lease] = asyncio.get_running_loop().create_future()
        if first:
            self._turns.move_to_end(lease, last=False)
        return turn

    def leave(self, lease: Lease) -> None:
        del self._turns[lease]

    def first(self) -> Lease | None:
        """Who has waited longest."""
        for lease, turn in self._turns.items():
            if not turn.done():
                return lease
        return None

    def serve(self, lease: Lease) -> None:
        self._turns[lease].set_result(None)

    def tell(self, lease: Lease, error: BaseException) -> None:
        """Raise *error* where *lease* waits, unless it was told before."""
        if not self._turns[lease].done():
            self._turns[lease].set_exception(error)

    def tell_all(self, error: Callable[[], BaseException]) -> None:
        """To each an error of its own: what is raised grows a traceback."""
        while (lease := self.first()) is not None:
            self.tell(lease, error())
