"""Writes, and invalidations that Redis did not confirm: owed until they are made good.

A row that was changed while Redis was away must not be answered with its old page afterwards. To
delete once more is always safe: a newer value becomes a miss. FusionCache calls this auto-recovery.
"""

import asyncio
import contextlib
import logging
import re
import time
from functools import partial
from typing import Any

from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.batch import Budget, Command, NoReply
from cachepool_lib.redis_cache.breaker import State
from cachepool_lib.redis_cache.client import word
from cachepool_lib.redis_cache.key_names import Names, Namespace, names_of
from cachepool_lib.redis_cache.sender import MOST_COMMANDS, Sender
from cachepool_lib.redis_cache.shards import Shards

logger = logging.getLogger("cachepool_lib")

MOST_NAMES = 10_000  # beyond, all names are deleted
PAY_SECONDS = 0.5  # between two attempts
CLEARED_MS = 5000  # for which other processes hear that the namespace was cleared

Write = tuple[bytes, tuple[Any, ...]]  # the name of a value, and the command that writes it


class Owed:
    """What is still to be deleted: names of values, and beginnings of names.

    Each has a number, for `paid`: a debt that grew while it was paid is still owed.

    Args:
        everything: what all names begin with.
    """

    def __init__(self, everything: bytes) -> None:
        self._everything = everything
        self.names: dict[bytes, int] = {}
        self.leases: set[bytes] = set()  # those names whose value nobody has changed
        self.prefixes: dict[bytes, int] = {}
        self._number = 0
        self.newest = 0.0  # time.monotonic() of the last one

    def __len__(self) -> int:
        return len(self.names) + len(self.prefixes)

    def covers(self, name: bytes) -> bool:
        return name in self.names or (bool(self.prefixes) and name.startswith(tuple(self.prefixes)))

    def add(self, name: bytes, *, lease: bool = False) -> None:
        if not lease:
            self.leases.discard(name)
        elif name not in self.names:
            self.leases.add(name)
        self.names[name] = self._next()
        if len(self.names) > MOST_NAMES:
            self.add_prefix(self._everything)

    def add_prefix(self, prefix: bytes) -> None:
        self.prefixes[prefix] = self._next()
        if prefix == self._everything:
            self.names.clear()
            self.leases.clear()

    def paid(self, name: bytes, number: int) -> None:
        """*name*, or a prefix, was deleted as it was owed when it had that *number*."""
        for debts in self.names, self.prefixes:
            if debts.get(name) == number:
                del debts[name]
                self.leases.discard(name)

    def _next(self) -> int:
        self.newest = time.monotonic()
        self._number += 1
        return self._number


class Payer:
    """Writes; and deletes what is owed as soon as Redis can be used, by a timer if nobody asks."""

    def __init__(
        self, owed: Owed, sender: Sender | Shards, namespace: Namespace, timeout: float
    ) -> None:
        self._owed = owed
        self._sender = sender
        self._namespace = namespace
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._paying: asyncio.Task[None] | None = None
        self._deletes: dict[bytes, asyncio.Future[Any]] = {}  # those that pay, under way
        self._closed = False

    async def write(self, writes: list[Write]) -> list[Any]:
        """The replies to *writes*, each perhaps a NoReply.

        They are sent even if the caller is cancelled. What is not confirmed is owed; a write that
        is confirmed pays for what was owed when it was sent.
        """
        replies: list[Any] = []
        budget, began = Budget(self._timeout), self._loop.time()
        try:
            for name, _ in writes if self._deletes else ():
                if name in self._deletes:  # on another connection it might arrive after the write
                    await asyncio.wait([self._deletes[name]])
                    budget.left = self._timeout - (self._loop.time() - began)
            while writes:  # in parts, so that others get their turn between them
                part, writes = writes[:MOST_COMMANDS], writes[MOST_COMMANDS:]
                replies += [await reply for reply in self._put(part, budget)]
                budget = Budget(self._timeout)
        finally:
            for name, _ in writes:  # cancelled half way
                self.owe(name)
        return replies

    async def sweep(self, prefix: bytes) -> None:
        """Remove all names that begin with *prefix*, in steps with a timeout each. Raises NoReply.

        What is written meanwhile may stay.
        """
        pattern = re.sub(rb"([*?\[\]\\])", rb"\\\1", prefix) + b"*"
        # Leases first: as long as it has one, a load may store what this is about to remove.
        for names in pattern + b"}:load", pattern:
            for node in await self._sender.nodes(Budget(self._timeout)):
                await self._sweep_node(names, node)
        await self.tell(prefix)

    async def tell(self, prefix: bytes) -> bool:
        """Tell all first tiers that what begins with *prefix* has changed. Raises NoReply.

        False if this user of Redis may not publish: then no first tier expects it to.
        """
        try:
            told = await self._sender.ask(Budget(self._timeout), "EVAL", scripts.TELL, 1, prefix)
        except NoReply as error:
            if never(error):
                return False
            raise
        return not isinstance(told, bytes)

    def owe(self, name: bytes, *, lease: bool = False) -> None:
        """Have *name* deleted. If only a *lease* may be left, no value is wrong meanwhile."""
        self._owed.add(name, lease=lease)
        self._pay_later()

    def owe_prefix(self, prefix: bytes) -> None:
        self._owed.add_prefix(prefix)
        self._pay_later()

    def pay(self) -> None:
        """Begin to pay what is owed, if Redis can be used; if not, once that is so."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._owed and self._paying is None:
            self._sender.circuit.start_check()
            if self._sender.circuit.state is State.CLOSED:
                # At once, before a newer value is sent: that would be deleted.
                deletes = [(name, delete(names_of(name))) for name in self._owed.names]
                sent = self._put(deletes, Budget(self._timeout), pays=True)
                self._deletes = dict(zip(self._owed.names, sent, strict=True))
                self._paying = self._loop.create_task(self._pay())
            else:
                self._pay_later()

    async def close(self) -> None:
        """Try once more; log what is still owed."""
        self._closed = True
        if self._owed:
            with contextlib.suppress(NoReply):
                await self._sender.circuit.check_now()
        self.pay()
        if self._paying is not None:
            await asyncio.wait([self._paying])
        if unconfirmed := len(self._owed) - len(self._owed.leases):
            logger.warning(
                "closed while Redis has not confirmed %d deletes: other processes may serve an old "
                "value until its ttl ends",
                unconfirmed,
            )

    def _pay_later(self) -> None:
        if self._owed and self._timer is None and self._paying is None and not self._closed:
            self._timer = self._loop.call_later(PAY_SECONDS, self.pay)

    def _put(
        self, writes: list[Write], budget: Budget, *, pays: bool = False
    ) -> "list[asyncio.Future[Any]]":
        sent = []
        for name, args in writes:
            then = partial(self._settle, name, self._owed.names.get(name, 0), pays)
            sent.append(self._sender.put(Command(args, budget, then=then)))
        return sent

    async def _pay(self) -> None:
        try:
            for reply in self._deletes.values():
                await reply
            for prefix, number in list(self._owed.prefixes.items()):
                try:
                    if prefix == self._namespace.everything:
                        await self._clear_once()
                    else:
                        await self.sweep(prefix)
                except NoReply as error:
                    if not never(error):
                        continue
                self._owed.paid(prefix, number)
        finally:
            self._paying = None
            self._deletes = {}
            self._pay_later()

    def _settle(self, name: bytes, number: int, pays: bool, reply: Any) -> None:
        lost = isinstance(reply, NoReply) and not never(reply)
        # Without memory it was done: the script has removed the old value.
        if not lost or word(reply.__cause__) == "OOM":
            self._owed.paid(name, number)
        elif not pays:  # else it is owed as it was
            self.owe(name)

    async def _clear_once(self) -> None:
        """Clear the namespace, unless another process did, after our last debt. Raises NoReply.

        How long ago that was is told by what is left of a mark: no clocks are compared.
        """
        began, mark = time.monotonic(), self._namespace.other("cleared")
        left = await self._sender.ask(Budget(self._timeout), "PTTL", mark)
        if left < 0 or CLEARED_MS - left >= (began - self._owed.newest) * 1000:
            await self.sweep(self._namespace.everything)
            left = CLEARED_MS - round((time.monotonic() - began) * 1000)
            if left > 0:
                await self._sender.ask(Budget(self._timeout), "SET", mark, 1, "PX", left)

    async def _sweep_node(self, pattern: bytes, node: Any) -> None:
        step = "MATCH", pattern, "COUNT", 1000
        cursor: Any = 0
        while True:
            budget = Budget(self._timeout)
            cursor, names = await self._sender.ask(budget, "SCAN", cursor, *step, node=node)
            unlink = [("UNLINK", *names)] if names else []
            if self._sender.cluster:  # there each has a slot of its own
                unlink = [("UNLINK", name) for name in names]
            for reply in await self._sender.ask_all(Budget(self._timeout), unlink):
                if isinstance(reply, NoReply):
                    raise reply
            if not int(cursor):
                return


def never(error: NoReply) -> bool:
    """Without permission it would never be done."""
    return word(error.__cause__) == "NOPERM"


def delete(names: Names, origin: bytes = b"") -> tuple[Any, ...]:
    return "EVAL", scripts.DELETE, 4, *names, origin
