"""DatabasePool: connections to PostgreSQL that are opened once and borrowed many times."""

import asyncio
import math
import threading
import time
from typing import Any, Self

from cachepool_lib._validate import Seconds, seconds
from cachepool_lib.errors import PoolClosed, PoolTimeout, WrongEventLoop
from cachepool_lib.postgres.borrowing import Acquired, InTransaction
from cachepool_lib.postgres.connections import Connections
from cachepool_lib.postgres.lease import Lease, caller
from cachepool_lib.postgres.session import Backend
from cachepool_lib.postgres.settings import Settings  # first: it says what to install
from cachepool_lib.postgres.stand_in import lease_of
from cachepool_lib.postgres.statements import Statements
from cachepool_lib.stats import Holder, PoolCounts, PoolStats


class DatabasePool(Statements):
    """Lend connections to PostgreSQL, at most *max_size*, first come, first served.

    It belongs to the event loop that opens it. Every caller is answered within acquire_timeout +
    command_timeout + 0.5 s, also where the server is silent. A connection that died while nobody
    used it is replaced before somebody gets it. No statement is sent again that the server may have
    done.

    Args:
        database_url: postgresql://user:password@host:port/database. Several hosts, separated by
            commas, are tried in turn; one that is silent uses up the time of the others.
        min_size: connections that are opened at the beginning and kept open; 0 is allowed.
        max_size: connections that may be open at once, and so be held.
        acquire_timeout: seconds that a caller waits for a connection, the opening included. An
            opening that fails is tried again as long as somebody waits.
        max_waiting: how many callers may wait for another one's connection; who comes when they
            do gets PoolFull. None means no bound.
        command_timeout: seconds that a statement may take, with all its steps; None means no
            limit. On a connection of `acquire` it holds for each call. Whoever takes longer gets
            QueryTimeout, and the connection is closed, which cancels the statement on the server.
            (A `timeout` given to a call there is asyncpg's: the connection can be used on.)
        max_lifetime: seconds after which a connection is replaced, when nobody holds it; up to a
            tenth less, at random, so that not all go at once. None means never.
        name: what the pool is called in logs and stats.
        connect_options: anything else that asyncpg.connect or asyncpg.create_pool takes, such as
            `ssl`, `server_settings`, `init` or `max_inactive_connection_lifetime`. `max_queries`
            counts borrowings.

    Behind a pooler in transaction mode (PgBouncer) pass `statement_cache_size=0`. What belongs to a
    session can't work there, with any client: LISTEN, PREPARE, SET outside of a transaction and
    advisory locks that outlive one are another client's in the next moment; in a transaction use
    SET LOCAL and pg_advisory_xact_lock. `server_settings` are refused but for a few names.

    Every borrowing ends with a reset, in one trip to the server: an open transaction, settings,
    roles (SET ROLE, SET SESSION AUTHORIZATION), temporary tables, advisory locks, cursors and
    LISTEN are gone. So is a SET in `init`: put settings into `server_settings`, or into `setup`,
    which runs at each borrowing. What stays: names made with PREPARE, type codecs, and what other
    extensions of the server keep. `reset=` is the place for more than that: it is called after the
    pool's own. A connection on which its borrower has registered callbacks is closed instead.

    Raises:
        ValueError, TypeError: for a bad argument, in every method too, before anything changes; the
            options of `transaction` are asyncpg's to look at, once a connection is borrowed. What
            `init` and `setup` raise comes as it is to who asked for the connection.
    """

    def __init__(
        self,
        database_url: str,
        min_size: int = 10,
        max_size: int = 20,
        *,
        acquire_timeout: Seconds = 10,
        max_waiting: int | None = None,
        command_timeout: Seconds | None = 30,
        max_lifetime: Seconds | None = 3600,
        name: str = "",
        **connect_options: Any,
    ) -> None:
        self._settings = Settings(
            database_url, min_size, max_size, acquire_timeout, max_waiting, command_timeout,
            max_lifetime, name, connect_options,
        )  # fmt: skip
        self._counts = PoolCounts()
        self._lost: list[Backend] = []  # the server may still work for them
        self._connections: Connections | None = None  # since it was opened last
        self._closed = False
        self._lock = threading.Lock()  # two loops at once: one opens, the other is told

    def __repr__(self) -> str:
        current = self._connections
        opened = current is not None and not current.closed
        state = "closed" if self._closed else "open" if opened else "not open yet"
        stats = self.stats()
        return (
            f"<{self._settings.label}: {state}, {stats.in_use} of {stats.max_size} in use, "
            f"{stats.waiting} waiting>"
        )

    # -- opening and closing ------------------------------------------------------------------

    async def initialize(self) -> None:
        """Open *min_size* connections, once however many ask; also after `close`.

        Not needed: the first caller opens the pool. Waits for a `close` that is under way. Raises
        DatabaseUnavailable if the server refuses for acquire_timeout, PoolTimeout if it is silent.
        """
        self._check_loop()
        self._closed = False
        connections = await self._opened(math.inf)
        patience = self._settings.acquire_timeout
        try:
            async with asyncio.timeout(patience):
                await connections.start()
        except BaseException as error:
            if not connections.wanted:
                await connections.close(timeout=0)  # nobody else could
            if isinstance(error, TimeoutError):
                late = connections.too_late(Lease(patience, caller()))
                raise late from late.__cause__
            raise

    async def close(self, timeout: Seconds = 10) -> None:
        """Close all connections. Returns after *timeout* and half a second, at the latest.

        Who waits for a connection gets PoolClosed at once, and so does whoever comes. Who holds
        one has *timeout* seconds to give it back; then it is terminated, and logged who held it.
        From several tasks at once, the shortest timeout counts. Cancelled, it terminates all. Of
        several tasks that close and initialize, the last one that asks wins.
        """
        limit = seconds("timeout", timeout)
        self._check_loop()
        self._closed = True
        if self._connections is not None:
            await self._connections.close(limit)

    async def expire_connections(self) -> None:
        """Replace all connections, as after a failover or with a new password.

        Those that nobody holds are closed now, the others when they are given back. Nobody is
        refused, and nobody waits for it.
        """
        self._check_loop()
        if self._connections is not None:
            self._connections.expire()

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # -- borrowing ----------------------------------------------------------------------------

    def acquire(self, timeout: Seconds | None = None) -> Acquired:
        """Borrow a connection of asyncpg, waiting at most *timeout* seconds for it.

        Use it in `async with`; or await it, and give the connection to `release`. None waits as
        long as the pool's acquire_timeout; 0 takes one that is at hand, or none; one that is being
        reset is at hand, in 0.25 s. Giving back takes 0.25 s at most; what can't be reset in that
        time is closed, and the outcome stays what it was.

        Raises PoolTimeout if there was none in time, PoolFull if too many wait, PoolClosed if the
        pool is closed, DatabaseUnavailable if none could be opened, WrongEventLoop.
        """
        return Acquired(self._lend, self._patience(timeout), caller())

    async def release(self, connection: Any) -> None:
        """Give back a connection that was borrowed by `await acquire()`; twice does no harm."""
        await lease_of(connection).release()

    def transaction(self, timeout: Seconds | None = None, **options: Any) -> InTransaction:
        """Borrow a connection with a transaction on it, in `async with`: all of it, or nothing.

        Commits at the end of the block, and rolls back if it raises. *options* are those of
        asyncpg's `Connection.transaction`: isolation, readonly, deferrable. BEGIN and COMMIT are
        statements of their own: each may take command_timeout. A block that swallows the error of a
        statement ends without one, and nothing is kept. Raises what `acquire` raises.
        """
        return InTransaction(self._lend, self._patience(timeout), caller(), **options)

    # -- watching -----------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """What the pool does now, and did since it was made. Any thread may ask."""
        current = self._connections
        idle, held, resetting = current.places if current else ([], [], [])
        return self._counts.snapshot(
            name=self._settings.name,
            places=(len(idle), len(held), len(resetting)),
            waiting=len(current.waiting) if current else 0,
            min_size=self._settings.min_size,
            max_size=self._settings.max_size,
            longest_hold=time.monotonic() - held[0].since if held else 0.0,
        )

    def holders(self) -> list[Holder]:
        """Who holds a connection now, the longest first. Any thread may ask."""
        leases = list(self._connections.leases) if self._connections else []
        return sorted((each.holder() for each in leases), key=lambda h: h.seconds, reverse=True)

    # -- how it is done -----------------------------------------------------------------------

    def _patience(self, timeout: Seconds | None) -> float:
        return self._settings.acquire_timeout if timeout is None else seconds("timeout", timeout)

    def _check_loop(self) -> None:
        current, loop = self._connections, asyncio.get_running_loop()
        if current is not None and current.loop is not loop and not current.gone.is_set():
            raise WrongEventLoop(
                "this pool was opened on another event loop: close it there, or make one pool for "
                "each event loop"
            )

    async def _opened(self, patience: float) -> Connections:
        """What is open, or is opened now."""
        self._check_loop()
        try:
            async with asyncio.timeout(patience):
                while (old := self._connections) and old.closed and not self._closed:
                    if old.gone.is_set():
                        break
                    await old.gone.wait()  # there are never more than max_size
        except TimeoutError:
            self._counts.timeouts += 1
            self._counts.waits.add(patience)
            text = f"no connection within {patience:g} s: the pool is still being closed"
            raise PoolTimeout(text) from None
        if self._closed:
            raise PoolClosed("this DatabasePool is closed: initialize() opens it again")
        with self._lock:
            if self._connections is None or self._connections.closed:
                self._connections = Connections(self._settings, self._counts, self._lost)
                self._connections.fill(spare=True)
        self._check_loop()
        return self._connections

    async def _lend(self, lease: Lease) -> None:
        current = self._connections
        if current is None or current.closed or current.loop is not asyncio.get_running_loop():
            current = await self._opened(lease.patience)
        await current.lend(lease)
