"""One connection to the server, and what the pool knows of it: is it alive, clean, too old."""

import asyncio
import contextlib
import logging
import math
import select
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import asyncpg

logger = logging.getLogger("cachepool_lib")

RELEASE_SECONDS = 0.25  # for resetting or closing a connection; then it is terminated

# What RESET ALL leaves: with a role for each tenant, the next borrower would be somebody else.
_RESET = "RESET SESSION AUTHORIZATION; RESET ROLE; DISCARD TEMP;\n"

# Of the last message before the server hangs up: its severity, and the beginning of its code.
_GOODBYE = b"\0VFATAL\0C"

# Numbers of processes come again, and each server has its own: so a process is told by the moment
# in which its server began, too, and by being there for longer than it is lost.
_SERVER = "SELECT pg_postmaster_start_time() WHERE pg_backend_pid() = $1"
_STOP = """SELECT count(pg_terminate_backend(pid))
FROM pg_stat_get_activity(NULL) JOIN unnest($1::int[], $2::timestamptz[], $3::float8[])
AS lost (pid, server, seconds) USING (pid)
WHERE server = pg_postmaster_start_time()
AND backend_start < clock_timestamp() - make_interval(secs => seconds)"""

# Also where the user's class has methods of its own: what is asked here is not the user's.
_fetchval = asyncpg.Connection.fetchval

Hook = Callable[[Any], Awaitable[None]]
Backend = tuple[int, Any, float]
"""A process of the server: its number, when the server began, and when the process was lost."""


@lru_cache(maxsize=32)
def pooled(kind: Any) -> Any:
    """The class for asyncpg to make connections of: *kind*, with what the pool needs of it."""

    class Pooled(kind):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            [self.transport] = [each for each in args if hasattr(each, "get_extra_info")]

        def get_reset_query(self) -> str:
            query: str = super().get_reset_query()
            # A server without RESET ALL, or a class of the user's that leaves it out, is told so.
            return _RESET + query if "RESET ALL" in query else query

    return Pooled


class _Wire:
    """Stands between the transport and asyncpg's protocol, which gets every call.

    So it knows when the server has said goodbye. asyncpg has read that, but counts as connected
    until the end of the connection has come, too; and a statement that it is asked for is refused,
    and not sent.
    """

    def __init__(self, transport: Any) -> None:
        self.last = b""  # what the server said last
        self.terminated = False
        self._protocol = transport.get_protocol()
        self._feed = self._protocol.data_received
        transport.set_protocol(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def data_received(self, data: bytes) -> None:
        self.last = data
        self._feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        if error is None and self.terminated:  # asyncpg 0.30 would take that for an answer
            error = ConnectionResetError("terminated")
        self._protocol.connection_lost(error)


class Session:
    """A connection of asyncpg's, from its opening to its end."""

    def __init__(self, raw: Any, began: float, lifetime: float) -> None:
        self.raw = raw  # asyncpg's connection, which no borrower sees
        self.began, self.expires = began, began + lifetime
        self.borrowed = 0  # how often
        self.one_statement = True  # no more than that was done on it since the last reset
        self._pid = raw.get_server_pid()  # not to be had once it is lost
        self._server: Any = None  # when it began; None: not known
        self._has_session = True  # of its own, in the server
        self._wire = _Wire(raw.transport)
        self._poll = _poller(raw.transport.get_extra_info("socket"))
        self._due = self._looks = math.inf  # when the limit is over, and when the timer looks
        self.act: Callable[[], object] | None = None  # what is called then
        self._timer: asyncio.TimerHandle | None = None

    # -- is it of use -------------------------------------------------------------------------

    def said_goodbye(self) -> bool:
        return _GOODBYE in self._wire.last[-1000:]

    @property
    def over(self) -> bool:
        """The connection has ended, or is about to: the server has said goodbye."""
        return self.said_goodbye() or bool(self.raw.is_closed())

    def alive(self) -> bool:
        """Can it be lent? Without a trip to the server.

        On a connection that nobody uses the server says nothing but goodbye: what is there to be
        read is that, if the event loop had no time yet. Other news, such as a setting that changed,
        are so rare that a new connection costs less than finding out.
        """
        return not (self._poll(0) or self.raw.is_closed() or self.said_goodbye())

    # -- how long may it take -----------------------------------------------------------------

    def limit(self, seconds: float, act: Callable[[], object]) -> None:
        """Call *act* in so many seconds, instead of what was to be called until now.

        What has a limit is nearly always done long before. A timer for each would cost more than
        it may: so there is one, it stays as it is, and looks again when the limit has moved.
        """
        self._due, self.act = time.monotonic() + seconds, act
        if self._due < self._looks:
            self._look()

    def unlimit(self) -> None:
        self._due, self.act = math.inf, None

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        act, left = self.act, self._due - time.monotonic()
        if left <= 0:
            self.unlimit()
        self._looks, self._timer = self._due, None
        if self._due < math.inf:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)
        if left <= 0 and act is not None:
            act()

    # -- its end, and what is before it -------------------------------------------------------

    async def reset(self, hook: Hook | None) -> None:
        """Make it as new: an open transaction, settings, roles, locks, temporary tables end.

        Takes RELEASE_SECONDS at most. After one statement `terminate` ends the waiting for the
        server. It does not end a hook, which may wait for something else, nor in asyncpg 0.30 and
        0.31 the waiting for a statement to be cancelled.

        Where transactions are pooled there is nothing to reset outside of one: that would be done
        to another client's session, and wait in the pooler's line for it.
        """
        if not self._has_session and hook is None and not self.raw.is_in_transaction():
            return
        if self.one_statement and hook is None and not self.raw.is_in_transaction():
            if query := self.raw.get_reset_query():
                self.limit(RELEASE_SECONDS, self.terminate)
                await self.raw.execute(query)
            return
        async with asyncio.timeout(RELEASE_SECONDS):
            await self.raw.reset()
            if hook is not None:
                await hook(self.raw)
        self.one_statement = True

    async def end(self) -> bool:
        """Close it, in RELEASE_SECONDS. True if the server has confirmed, and so does nothing more.

        asyncpg has a statement cancelled that runs.
        """
        self.unlimit()
        if self.raw.is_closed():
            self.terminate()
            return False
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self.raw.close()
            return True
        except Exception as error:
            logger.info("a connection was terminated instead of closed: %r", error)
            return False
        finally:
            self.terminate()

    def terminate(self) -> None:
        """End it without waiting for anything; who waits for an answer gets an error."""
        self.unlimit()
        self._look()
        self._wire.terminated = True
        self.raw.terminate()
        self.raw.transport.abort()  # where a close is under way, asyncpg 0.30 does nothing

    # -- what the server still does for it ----------------------------------------------------

    async def identify(self, *, prepares: bool) -> None:
        """Ask which server this is, so that another connection can end the process of this one.

        Behind a pooler it is not known: there the number is the pooler's own. If nothing is
        prepared either, it is one that pools transactions.
        """
        with contextlib.suppress(asyncpg.PostgresError):  # a server that only looks like PostgreSQL
            self._server = await _fetchval(self.raw, _SERVER, self._pid)
            self._has_session = prepares or self._server is not None

    def lost(self) -> list[Backend]:
        """What the server may still do for it, now that it is lost."""
        return [(self._pid, self._server, time.monotonic())] if self._server else []

    async def stop(self, lost: list[Backend]) -> None:
        """Have the server end those processes, and wait until they are gone.

        It would work on, and notice that nobody is there when a statement ends.
        """
        asked, now = list(lost), time.monotonic()
        columns = list(zip(*((pid, server, now - at) for pid, server, at in asked), strict=True))
        with contextlib.suppress(asyncpg.PostgresError):
            for _ in range(25):  # they go in no time
                if not await _fetchval(self.raw, _STOP, *columns):
                    break
                await asyncio.sleep(0.01)
        lost[:] = [one for one in lost if one not in asked]


def _poller(socket: Any) -> Callable[[int], object]:
    """A function that says, after 0 ms, whether there is something to read, or the end."""
    number = socket.fileno()
    if not hasattr(select, "poll"):  # on Windows
        return lambda _: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return poll.poll
