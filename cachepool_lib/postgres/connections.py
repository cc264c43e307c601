"""The connections of a pool, from its opening to its end.

There are max_size places, and every connection has one: it is idle, lent, being reset or closed, or
just being opened. All callers wait in one queue, whatever comes: what another one gives back, or
what was opened meanwhile. So nobody waits for one connection while another one is free.
"""

import asyncio
import contextlib
import logging
import math
import time
from functools import partial
from typing import Any

from cachepool_lib.errors import DatabaseUnavailable, PoolClosed, PoolFull, PoolTimeout
from cachepool_lib.postgres.lease import Lease
from cachepool_lib.postgres.opening import Openings, again, is_temporary
from cachepool_lib.postgres.returning import Returning
from cachepool_lib.postgres.session import RELEASE_SECONDS, Backend, Session
from cachepool_lib.postgres.settings import Settings
from cachepool_lib.postgres.stand_in import set_up
from cachepool_lib.postgres.waiting import Waiting
from cachepool_lib.stats import PoolCounts

logger = logging.getLogger("cachepool_lib")
_closed = partial(PoolClosed, "the pool was closed while this caller waited")


class Connections:
    """What one opening of the pool has brought."""

    def __init__(self, settings: Settings, counts: PoolCounts, lost: list[Backend]) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting = Waiting()
        self.leases: dict[Lease, None] = {}  # who holds a connection, the longest first
        self.command_timeout = settings.command_timeout
        self.closed = False
        self.gone = asyncio.Event()  # closed, and nothing is left
        self._settings, self._counts = settings, counts
        self._idle: list[Session] = []  # what was used last is lent first: the others grow too old
        self._returning = Returning(settings, counts, lost, self._put, self.fill)
        self._openings = Openings(settings, lost, self._attempt, partial(self.fill, spare=True))
        self._starting = 0  # callers of `start`
        self._attempt_ended = asyncio.Event()  # set for a moment each time
        self._expired_at = -math.inf  # what was opened before is to be replaced
        self._closers = 0

    @property
    def places(self) -> list[list[Any]]:
        """What is idle, lent (leases), being reset or closed; in one step, as threads ask, too."""
        return list(map(list, (self._idle, self.leases, self._returning.sessions)))

    @property
    def size(self) -> int:
        """How many are open."""
        return len(self._idle) + len(self.leases) + len(self._returning)

    @property
    def wanted(self) -> bool:
        """Does anybody have a connection, or wait for one?"""
        return bool(self.leases or self._returning or self.waiting.before or self._starting)

    # -- opening ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Wait until min_size connections are open. Raises what keeps them from it."""
        self._starting += 1
        try:
            while self.size < self._settings.min_size:
                self.fill(spare=True)
                await self._attempt_ended.wait()
                if self.closed:
                    raise _closed()
                if (failure := self._openings.failure) and not is_temporary(failure):
                    raise again(failure)
        finally:
            self._starting -= 1

    def fill(self, spare: bool = False) -> None:
        """Begin to open what is missing for who waits, and for min_size: later, if not *spare*."""
        most, least, under_way = self._settings.max_size, self._settings.min_size, self._openings
        room = most - self.size - len(under_way)
        if self.closed and not (self.size or under_way):
            self.gone.set()
        if self.closed or room <= 0:
            return
        # For what is being reset it is worth while to wait: opening takes longer.
        waiting = len(self.waiting) - len(self._returning)
        missing = max(waiting, least - self.size if spare else 0) - len(under_way)
        under_way.begin(min(missing, room), urgent=waiting > 0 or self._starting > 0)
        if not spare and self.size + len(under_way) < least:
            under_way.look_again()

    def _attempt(self, outcome: Session | BaseException | None) -> None:
        """One has ended: tell who waits at once of what trying again does not mend."""
        if isinstance(outcome, Session):
            self._counts.opened += 1
            self._put(outcome)
        elif outcome is not None:
            self._counts.failed += 1
            first = self.waiting.first()
            if first and not isinstance(outcome, DatabaseUnavailable | TimeoutError):
                self.waiting.tell(first, outcome)  # of a hook, or a setting; the next one tries
            elif not is_temporary(outcome) and not (self.leases or self._returning):
                self.waiting.tell_all(partial(again, outcome))
        self.fill()
        self._attempt_ended.set()
        self._attempt_ended.clear()

    # -- lending ------------------------------------------------------------------------------

    async def lend(self, lease: Lease) -> None:
        """A connection for *lease*, if one comes in the time that it has."""
        while True:
            await self._take(lease)
            try:
                if self._settings.setup is not None:
                    await set_up(lease, self._settings.setup)
                if lease.begin is not None:
                    await lease.begin(lease)
            except BaseException as error:
                refused = lease.refused(error.__cause__ or error)
                await self.release(lease)
                if not refused:
                    raise  # else another one will do: nothing was done on this one
            else:
                lease.fresh = True
                return

    async def _take(self, lease: Lease) -> None:
        first = False  # in the queue: who was given a dead connection has waited before
        while lease.session is None:
            if self._idle and not self.waiting.before:
                self._give(self._idle.pop(), lease)
            else:
                await self._wait(lease, first)
            assert lease.session
            if not lease.session.alive():  # it died while nobody used it
                self._take_back(lease).terminate()
                self._counts.lost += 1
                self.fill()
                first = True
        self._counts.acquired += 1
        self._counts.waits.add(lease.since - lease.asked)

    async def _wait(self, lease: Lease, first: bool) -> None:
        if self.closed:
            raise _closed()
        patience = lease.patience
        if patience == 0 and (self._idle or len(self.waiting) < len(self._returning)):
            patience = RELEASE_SECONDS  # what is being reset is at hand
        left = lease.asked + patience - time.monotonic()
        if left <= 0:
            self._counts.waits.add(time.monotonic() - lease.asked)
            raise self.too_late(lease)
        # Who waits for what nobody holds does not wait for another caller.
        nobodys, most = self._settings.max_size - len(self.leases), self._settings.max_waiting
        if most < math.inf and len(self.waiting) - nobodys >= most:
            self._counts.refused += 1
            raise PoolFull(f"{most} callers wait already (max_waiting)")
        turn = self.waiting.join(lease, first)
        limit = self.loop.call_later(left, self._give_up, lease)
        try:
            if self._idle:
                self._put(self._idle.pop())
            self.fill()
            await turn
        except BaseException:
            self._counts.waits.add(time.monotonic() - lease.asked)
            if lease.session:  # cancelled in the moment in which it came: the next one's
                self._put(self._take_back(lease))
            raise
        finally:
            self.waiting.leave(lease)
            limit.cancel()

    def _give(self, session: Session, lease: Lease) -> None:
        session.unlimit()
        session.borrowed += 1
        lease.lender, lease.session, lease.since = self, session, time.monotonic()
        self.leases[lease] = None

    def _take_back(self, lease: Lease) -> Session:
        """From now on nothing that the borrower was handed is of use."""
        session, lease.session = lease.session, None
        assert session
        del self.leases[lease]
        return session

    def _give_up(self, lease: Lease) -> None:
        if lease.session is None:  # else it was served in this moment
            self.waiting.tell(lease, self.too_late(lease))

    def too_late(self, lease: Lease) -> BaseException:
        """What *lease* gets, which has waited in vain."""
        self._counts.timeouts += 1
        failure, most = self._openings.failure, self._settings.max_size
        attempt = lease.asked - self._settings.acquire_timeout  # when that of now began, at most
        if isinstance(failure, DatabaseUnavailable) and self._openings.failed_at >= attempt:
            return again(failure)
        text = f"no connection within {lease.patience:g} s: "
        if self.size < most:
            return PoolTimeout(text + "the server did not open one")
        if not self.leases:
            return PoolTimeout(text + f"all {most} are being reset after a query")
        text += f"all {most} are in use; the oldest is what {next(iter(self.leases))}"
        if any(other.task is lease.task for other in self.leases):
            text += "; this task holds one itself: borrow once, and pass the connection on"
        return PoolTimeout(text)

    # -- giving back --------------------------------------------------------------------------

    async def release(self, lease: Lease, wait: bool = True) -> None:
        """Take back what *lease* has. Without *wait* the reset goes on in a task.

        Not where others wait for a connection: they are as soon served without the task.
        """
        if lease.session is None:
            return  # it was given back before, or taken away
        session = self._take_back(lease)
        now = time.monotonic()
        self._counts.holds.add(now - lease.since)
        usable = not (
            self.closed
            or lease.spoiled
            or session.borrowed >= self._settings.max_borrowings
            or session.began <= self._expired_at
            or session.expires <= now
            or session.over
        )
        if wait or self.waiting.before:
            await self._returning.take(session, usable)
        else:
            self._returning.take_later(session, usable)

    def _put(self, session: Session) -> None:
        """It is free: for who has waited longest, if anybody waits."""
        if self.closed:
            self._returning.take_later(session)
        elif (lease := self.waiting.first()) is not None:
            self.waiting.serve(lease)
            self._give(session, lease)
        else:
            self._idle.append(session)
            left = min(session.expires - time.monotonic(), self._settings.max_idle)
            session.limit(left, partial(self._too_old, session))

    def _too_old(self, session: Session) -> None:
        """An idle one: close it, unless it is only that it was not used, and none is to spare."""
        left = session.expires - time.monotonic()
        if left > 0 and len(self._idle) + len(self.leases) <= self._settings.min_size:
            session.limit(left, partial(self._too_old, session))
        else:
            self._idle.remove(session)
            self._returning.take_later(session)

    # -- taking away --------------------------------------------------------------------------

    def expire(self) -> None:
        """Replace all that is open; what is held, once it is given back."""
        self._expired_at = time.monotonic()
        while self._idle:
            self._returning.take_later(self._idle.pop())

    def take_away(self, lease: Lease, kind: type[Exception], why: str) -> None:
        lease.ended = kind, why
        self._counts.holds.add(time.monotonic() - lease.since)
        self._returning.take_later(self._take_back(lease))

    async def close(self, timeout: float) -> None:
        """Wait *timeout* seconds for those who hold a connection, then end it under them."""
        if not self.closed:
            self.closed = True
            self.waiting.tell_all(_closed)
            self._openings.stop()
            self.expire()
            self.fill()
            self._attempt_ended.set()
        self._closers += 1
        try:
            async with asyncio.timeout(timeout):
                await self.gone.wait()
        except TimeoutError:
            self._end_all()
            with contextlib.suppress(TimeoutError):  # of a hook that can't be cancelled
                async with asyncio.timeout(2 * RELEASE_SECONDS):
                    await self.gone.wait()  # for the goodbyes
        except BaseException:
            if self._closers == 1:
                self._end_all()
            raise
        finally:
            self._closers -= 1

    def _end_all(self) -> None:
        for lease in list(self.leases):
            said = "%s is closed: terminated the connection that %s"
            logger.warning(said, self._settings.label, lease)
            self.take_away(lease, PoolClosed, "the pool was closed while this connection was held")
