"""One borrowing of a connection: who has it, for how long, and whether it is current."""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import CodeType
from typing import Any, Protocol

import asyncpg

from cachepool_lib.errors import DatabaseUnavailable, QueryTimeout
from cachepool_lib.postgres.session import Session
from cachepool_lib.stats import Holder

Line = tuple[CodeType, int]
"""A line of somebody's code: the code, and the place in it."""

# Asked again on another connection where nothing was sent: their arguments are not used up.
_REPEATABLE = "fetch", "fetchrow", "fetchval", "execute", "prepare"
# What is raised where a connection ends under a statement that was sent.
_ENDED = OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError
_REFUSED = asyncpg.InternalClientError, asyncpg.InterfaceError  # before it was sent


def caller() -> Line:
    """The line that called the function which calls this one."""
    frame: Any = inspect.currentframe()
    frame = frame.f_back.f_back
    return frame.f_code, frame.f_lasti


class Lender(Protocol):
    """Whom the connection is given back to."""

    command_timeout: float

    async def lend(self, lease: "Lease") -> None: ...

    async def release(self, lease: "Lease", wait: bool = True) -> None: ...

    def take_away(self, lease: "Lease", kind: type[Exception], why: str) -> None: ...


class Lease:
    """It begins when somebody asks, and has a session from the lending until it is given back."""

    def __init__(
        self,
        patience: float,
        where: Line,
        begin: "Callable[[Lease], Awaitable[None]] | None" = None,
    ) -> None:
        self.patience = patience  # seconds that it may take to get a connection
        self.where = where
        self.begin = begin  # what is done first on the connection
        self.task = asyncio.current_task()
        self.asked = self.since = time.monotonic()
        self.session: Session | None = None
        self.fresh = True  # the borrower did nothing on it yet
        self.spoiled = False  # the session can't be reset: it is to be closed
        self.callbacks: dict[Any, Any] = {}  # the borrower's, and what asyncpg calls instead
        self.ended: tuple[type[Exception], str] | None = None  # why the pool has taken it away
        self.lender: Lender | None = None  # who has lent it last

    async def release(self, wait: bool = True) -> None:
        """Give the connection back; nothing if that was done before."""
        if self.lender is not None:
            await self.lender.release(self, wait)

    @property
    def over(self) -> bool:
        """There is no connection any more: it was given back, taken away, or has ended."""
        return self.session is None or self.session.over

    def check(self, call: str) -> Session:
        """The session. Raises unless the borrower has the connection."""
        if self.session is None:
            _, why = self.ended or ("", "the connection has been released back to the pool")
            raise asyncpg.InterfaceError(f"cannot call {call}(): {why}")
        return self.session

    async def call(
        self, name: str, ask: Callable[[Session], Awaitable[Any]], seconds: float | None = None
    ) -> Any:
        """What *ask* answers, on the session, in so many seconds (None: command_timeout).

        Raises QueryTimeout after that. The first one goes to another connection where nothing was
        sent, since this one has ended.
        """
        lender = self.lender
        assert lender
        seconds = lender.command_timeout if seconds is None else seconds
        while True:
            session = self.check(name)
            first, self.fresh = self.fresh, False
            alone = session.act is None  # else asyncpg refuses this call
            if alone:
                session.limit(seconds, partial(self._too_slow, name, seconds))
            try:
                return await ask(session)
            except BaseException as error:
                if not (first and name in _REPEATABLE and self.refused(error)):
                    self._failed(error)
                    raise
            finally:
                if alone and self.session is session:
                    session.unlimit()
            await self.release()
            self.asked = time.monotonic()
            await lender.lend(self)

    def _too_slow(self, name: str, seconds: float) -> None:
        """The call has no answer yet: the connection is closed, and so it is told."""
        assert self.lender
        text = f"no answer to {name} within {seconds:g} s: it may have been done, or not"
        self.lender.take_away(self, QueryTimeout, text)

    def refused(self, error: BaseException) -> bool:
        """Has asyncpg not sent anything, since the connection has ended?"""
        lost = self.session is not None and self.session.over
        return lost and isinstance(error, _REFUSED)

    def _failed(self, error: BaseException) -> None:
        """A call on the connection raised *error*. Raises what says more, if there is something."""
        if self.ended is not None and isinstance(error, Exception):
            kind, why = self.ended
            raise kind(why) from error
        if self.session is None:
            return
        if isinstance(error, TimeoutError):  # asyncpg's, of the caller's `timeout`
            self.spoiled = True
        elif isinstance(error, asyncio.CancelledError):
            self.session.one_statement = False
        elif isinstance(error, _REFUSED) and self.session.said_goodbye():
            raise DatabaseUnavailable(
                "the server has ended this connection: nothing was sent"
            ) from error
        elif isinstance(error, _ENDED) and self.over and not hasattr(error, "__notes__"):
            error.add_note("The connection ended: what was asked may have been done, or not.")

    def holder(self) -> Holder:
        code, place = self.where
        lines = (line for start, end, line in code.co_lines() if start <= place < end)
        return Holder(
            task=self.task.get_name() if self.task else "no task",
            seconds=time.monotonic() - self.since,
            where=f"{os.path.basename(code.co_filename)}:{next(lines, None)} in {code.co_name}",
        )

    def __str__(self) -> str:
        who = self.holder()
        return f"{who.task} has held for {who.seconds:.2f} s ({who.where})"
