"""What is given back: it is reset for the next borrower, or closed if it is of no more use."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from cachepool_lib.postgres.session import RELEASE_SECONDS, Backend, Session
from cachepool_lib.postgres.settings import Settings
from cachepool_lib.stats import PoolCounts

logger = logging.getLogger("cachepool_lib")


class Returning:
    """The connections that are just being reset, or closed. Neither takes long.

    *put* takes one that the next borrower may have, *freed* is called where one is closed.
    """

    def __init__(
        self,
        settings: Settings,
        counts: PoolCounts,
        lost: list[Backend],
        put: Callable[[Session], None],
        freed: Callable[[], None],
    ) -> None:
        self._settings, self._counts, self._lost = settings, counts, lost
        self._put, self._freed = put, freed
        self.sessions: dict[Session, asyncio.Task[None] | None] = {}  # and the task that does it
        self._warned = False

    def __len__(self) -> int:
        return len(self.sessions)

    async def take(self, session: Session, usable: bool) -> None:
        """Reset it, if it is *usable*; else, or if that fails, close it."""
        self.sessions.setdefault(session, None)
        session.unlimit()
        clean = closed = False
        try:
            clean = usable and await self._reset(session)
            closed = not clean and await session.end()
        finally:
            self._done(session, clean, closed)

    def take_later(self, session: Session, usable: bool = False) -> None:
        """`take` it in a task."""
        # That may be cancelled before it begins.
        session.limit(RELEASE_SECONDS, partial(self._done, session, clean=False, closed=False))
        task = asyncio.get_running_loop().create_task(self.take(session, usable))
        self.sessions[session] = task

    async def _reset(self, session: Session) -> bool:
        try:
            await session.reset(self._settings.reset)
        except Exception as error:
            session.terminate()  # nobody knows what is left of it, or whether the server is there
            # A hook that is broken costs a connection for each query: say so, once.
            warn = self._settings.reset is not None and not self._warned
            self._warned |= warn
            level, label = logging.WARNING if warn else logging.INFO, self._settings.label
            logger.log(level, "%s: a connection can't be reset, so it is closed: %r", label, error)
            return False
        return True

    def _done(self, session: Session, clean: bool, closed: bool) -> None:
        del self.sessions[session]
        if clean:
            self._put(session)
            return
        if not closed:
            session.terminate()
            self._counts.lost += 1
            self._lost += session.lost()
        self._freed()
