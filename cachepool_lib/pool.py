"""DatabasePool: connections to PostgreSQL that are opened once and borrowed many times."""

import asyncio
import contextlib
import inspect
import logging
import math
import os
import re
import select
import sys
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

try:
    import asyncpg
    from asyncpg import connect_utils
except ImportError as error:
    raise ImportError("DatabasePool needs asyncpg: install cachepool-lib[postgres]") from error

from cachepool_lib._arguments import Seconds, seconds, span, whole
from cachepool_lib._errors import (
    DatabaseUnavailable,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    QueryTimeout,
    WrongEventLoop,
)
from cachepool_lib._flights import Flight, Flights
from cachepool_lib._stats import Holder, PoolStats, percentile

T = TypeVar("T")

logger = logging.getLogger("cachepool_lib")


GIVE_BACK_SECONDS = 0.25  # for what a caller does not wait for on its own account
REMEMBERED = 1000  # waits and holds, for the percentiles

# How asyncpg says that a connection can't be opened. ValueError is not among them: it is a setting.
_NOT_OPENED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class _Line:
    """Turns, as many as there are connections; who comes first is served first."""

    def __init__(self, turns: int) -> None:
        self.free = turns
        self.waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    async def wait(self) -> None:
        """Take a turn, once it is there."""
        if self.free:  # then nobody waits
            self.free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self.waiters[waiter] = None
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.leave()  # cancelled in the moment in which its turn came: the next one's
            raise
        finally:
            self.waiters.pop(waiter, None)

    def leave(self) -> None:
        """Give the turn to who has waited longest."""
        while self.waiters:
            waiter, _ = self.waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return
        self.free += 1


class _Lease:
    """One borrowing of a connection, from `async with pool.acquire()` until it is back."""

    def __init__(self, owner: "DatabasePool", patience: float) -> None:
        self.owner = owner
        self.patience = patience
        self.connection: Any = None  # as the borrower sees it: of no use once it is given back
        self.entered = False
        self.ended = False  # by close
        self.back = False  # its turn is the next one's
        self.answered = False  # the caller has what it came for: it need not wait for the rest

    def begin(self, connection: Any, line: _Line) -> None:
        self.connection = connection
        self.raw = connection._con  # asyncpg's connection itself
        self.protocol = self.raw._protocol  # it knows how to call a statement off, also when gone
        self.line = line
        self.task = asyncio.current_task()
        self.where = _caller()
        self.since = time.monotonic()

    def holder(self, now: float) -> Holder:
        path, number, function = self.where
        return Holder(
            task=self.task.get_name() if self.task else "no task",
            seconds=now - self.since,
            where=f"{os.path.basename(path)}:{number} in {function}",
        )

    async def __aenter__(self) -> Any:
        if self.entered:
            raise RuntimeError("this connection was borrowed already: call acquire() each time")
        self.entered = True
        await self.owner._borrow(self)
        return self.connection

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.answered:
            self.owner._give_back_meanwhile(self)
            return
        ended = self.ended  # what was raised before close came is an outcome
        await self.owner._give_back(self)
        if ended and _asyncpgs(exc):
            raise PoolClosed("the pool was closed while this connection was held") from exc


class DatabasePool:
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
        acquire_timeout: seconds that a caller waits for a connection, the opening included.
        max_waiting: how many callers may wait for another one's connection; who comes when they
            do gets PoolFull. None means no bound.
        command_timeout: seconds that a statement may take; None means no limit. On a connection
            of `acquire` it holds for each statement, and for preparing it.
        connect_options: anything else that asyncpg.connect or asyncpg.create_pool takes, such as
            `ssl`, `server_settings`, `init` or `max_inactive_connection_lifetime`. Behind a
            pgbouncer that pools transactions, `statement_cache_size=0`.

    Raises:
        ValueError, TypeError: for a bad argument, in every method too, before anything changes; the
            options of `transaction` are asyncpg's to look at, once a connection is borrowed.
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
        **connect_options: Any,
    ) -> None:
        self._min_size = whole("min_size", min_size, least=0)
        self._max_size = whole("max_size", max_size)
        if min_size > max_size:
            raise ValueError(f"min_size must be at most max_size={max_size}, got {min_size}")
        self._acquire_timeout = span("acquire_timeout", acquire_timeout)
        self._max_waiting = None if max_waiting is None else whole("max_waiting", max_waiting, 0)
        self._command_timeout = (
            None if command_timeout is None else span("command_timeout", command_timeout)
        )
        connect_options.setdefault("timeout", self._acquire_timeout)
        # A function keeps the password out of vars().
        self._make_pool = _maker(
            database_url,
            connect_options,
            min_size=min_size,
            max_size=max_size,
            command_timeout=self._command_timeout,
        )
        self._pool: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._flights = Flights()  # opening, closing, calling off: each once, however many ask
        self._due = math.inf  # when close ends waiting for those who hold a connection
        self._draining: asyncio.Timeout | None = None
        self._line = _Line(max_size)
        self._asking: set[asyncio.Timeout] = set()
        self._leases: dict[_Lease, None] = {}
        self._returning: set[asyncio.Task[None]] = set()
        self._lost: deque[_Lease] = deque(maxlen=max_size)  # the server may still work for them
        self._acquired = self._timeouts = self._refused = 0
        self._waits: deque[float] = deque(maxlen=REMEMBERED)
        self._holds: deque[float] = deque(maxlen=REMEMBERED)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._pool else "not open yet"
        held, asking = len(self._leases), len(self._asking)
        return f"<DatabasePool: {state}, {held} of {self._max_size} in use, {asking} waiting>"

    # -- opening and closing ------------------------------------------------------------------

    async def initialize(self) -> None:
        """Open *min_size* connections, once however many ask; also after `close`.

        Not needed: the first caller opens the pool. Waits for a `close` that is under way. Raises
        DatabaseUnavailable if the server refuses, PoolTimeout if it takes longer than
        acquire_timeout.
        """
        self._check_loop()
        opening = self._flights.under_way("open")
        if self._closed and opening is not None and opening.task is not None:
            await asyncio.wait([opening.task])  # close is ending it
        await self._flights.close()  # a close that was cancelled
        if self._flights.under_way("close"):
            await self.close(math.inf)
        self._closed = False
        await self._in_time(self._acquire_timeout, self._open_pool)

    async def close(self, timeout: Seconds = 10) -> None:
        """Close all connections. Returns after *timeout* and half a second, at the latest.

        Who waits for a connection gets PoolClosed at once, and so does whoever comes. Who holds
        one has *timeout* seconds to give it back; then it is terminated, and logged who held it.
        From several tasks at once, the shortest timeout counts. Cancelled, it terminates all.
        """
        due = asyncio.get_running_loop().time() + seconds("timeout", timeout)
        self._check_loop()
        self._closed = True
        for asking in list(self._asking):
            with contextlib.suppress(RuntimeError):  # its time was over in this moment
                asking.reschedule(0)  # it finds the pool closed
        await self._flights.close()  # one that was cancelled ends first
        opening = self._flights.under_way("open")
        if opening is not None and opening.task is not None:
            await asyncio.wait([opening.task])  # who asked for it leaves, which cancels it
        if self._pool is None:
            return
        under_way = self._flights.under_way("close") is not None
        self._due = min(due, self._due) if under_way else due
        if under_way and self._draining is not None:
            with contextlib.suppress(RuntimeError):  # they have all given back
                self._draining.reschedule(self._due)
        await self._once("close", self._shut)

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # -- borrowing ----------------------------------------------------------------------------

    def acquire(self, timeout: Seconds | None = None) -> AbstractAsyncContextManager[Any]:
        """Borrow a connection of asyncpg, waiting at most *timeout* seconds for it.

        None waits as long as the pool's acquire_timeout; 0 takes one that is at hand, or none.
        Giving back rolls back an open transaction and resets the session. It takes 0.25 s at most;
        what can't be given back in that time is terminated, and the outcome stays what it was.

        Raises PoolTimeout if there was none in time, PoolFull if too many wait, PoolClosed if the
        pool is closed, DatabaseUnavailable if none could be opened, WrongEventLoop.
        """
        patience = self._acquire_timeout if timeout is None else seconds("timeout", timeout)
        return _Lease(self, patience)

    @contextlib.asynccontextmanager
    async def transaction(
        self, timeout: Seconds | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """Borrow a connection with a transaction on it: all of it happens, or nothing.

        Commits at the end of the block, and rolls back if it raises. *options* are those of
        asyncpg's `Connection.transaction`: isolation, readonly, deferrable. BEGIN and COMMIT are
        statements of their own: each may take command_timeout. A block that swallows the error of a
        statement ends without one, and nothing is kept. Raises what `acquire` raises.
        """
        async with self.acquire(timeout) as connection:
            raw = connection._con
            transaction = connection.transaction(**options)
            await _settled(raw, transaction.start())
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(Exception):  # the block's own error says more
                    async with asyncio.timeout(GIVE_BACK_SECONDS):
                        await _settled(raw, transaction.rollback())
                raise
            await _settled(raw, transaction.commit())

    async def fetch(self, query: str, *args: Any, timeout: Seconds | None = None) -> list[Any]:
        """The rows of a query, as records of asyncpg: `dict(row)` can be cached.

        It does not wait for its connection to be reset: that goes on meanwhile, for 0.25 s at most.
        *timeout* is for the statement, in seconds; None is the pool's command_timeout. Raises
        QueryTimeout if it takes longer, and what `acquire` raises. Errors of the statement itself
        are asyncpg's.
        """
        rows: list[Any] = await self._run("fetch", timeout, query, *args)
        return rows

    async def fetchrow(self, query: str, *args: Any, timeout: Seconds | None = None) -> Any:
        """The first row of a query, None if there is none; as `fetch`."""
        return await self._run("fetchrow", timeout, query, *args)

    async def fetchval(self, query: str, *args: Any, timeout: Seconds | None = None) -> Any:
        """The first value of the first row, None if there is none; as `fetch`."""
        return await self._run("fetchval", timeout, query, *args)

    async def execute(self, query: str, *args: Any, timeout: Seconds | None = None) -> str:
        """Run a statement, or several without *args*; what the server says, such as "UPDATE 1"."""
        status: str = await self._run("execute", timeout, query, *args)
        return status

    async def executemany(
        self, query: str, rows: Iterable[Any], timeout: Seconds | None = None
    ) -> None:
        """Run a statement once for each of *rows*: for all of them, or for none."""
        await self._run("executemany", timeout, query, rows)

    # -- watching -----------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """What the pool does now, and did since it was made."""
        size = self._pool.get_size() if self._pool else 0
        return PoolStats(
            size=size,
            idle=max(0, size - len(self._leases)),
            in_use=len(self._leases),
            waiting=len(self._asking),
            min_size=self._min_size,
            max_size=self._max_size,
            acquired=self._acquired,
            timeouts=self._timeouts,
            refused=self._refused,
            wait_p50=percentile(self._waits, 0.5),
            wait_p99=percentile(self._waits, 0.99),
            hold_p50=percentile(self._holds, 0.5),
            hold_p99=percentile(self._holds, 0.99),
        )

    def holders(self) -> list[Holder]:
        """Who holds a connection now, the longest first."""
        now = time.monotonic()
        return [lease.holder(now) for lease in self._leases]

    # -- how it is done -----------------------------------------------------------------------

    async def _once(self, what: str, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
        flight = self._flights.under_way(what)
        if flight is None:
            flight = self._flights.take_off(what, work, background=False)
        await self._flights.wait(what, flight)

    def _check_loop(self) -> None:
        if self._pool is not None and self._loop is not asyncio.get_running_loop():
            raise WrongEventLoop(
                "this pool was opened on another event loop: close it there, or make one pool for "
                "each event loop"
            )

    async def _in_time(self, patience: float, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work*, or raise PoolTimeout after *patience* seconds, PoolClosed once it closes."""
        self._check_loop()
        if self._closed:
            raise PoolClosed("this DatabasePool is closed: initialize() opens it again")
        limit = asyncio.timeout(None if math.isinf(patience) else patience)
        self._asking.add(limit)
        try:
            async with limit:
                return await work()
        except TimeoutError:
            if self._closed:
                raise PoolClosed("the pool was closed while this caller waited") from None
            self._timeouts += 1
            raise PoolTimeout(self._say_why(patience)) from None
        finally:
            self._asking.discard(limit)

    def _say_why(self, patience: float) -> str:
        text = f"no connection within {patience:g} s: "
        if len(self._leases) + len(self._returning) < self._max_size:
            return text + "the server did not open one"
        if not self._leases:
            return text + f"all {self._max_size} are being reset after a query"
        longest = self.holders()[0]
        text += (
            f"all {self._max_size} are in use; {longest.task} has held one for "
            f"{longest.seconds:.2f} s ({longest.where})"
        )
        if any(lease.task is asyncio.current_task() for lease in self._leases):
            text += "; this task holds one itself: borrow once, and pass the connection on"
        return text

    async def _borrow(self, lease: _Lease) -> None:
        asked, line = time.monotonic(), self._line

        async def wait() -> Any:
            await line.wait()
            try:
                await self._open_pool()
                # Resetting a session takes less time than opening another one. Where all turns are
                # taken, another one is needed.
                while self._returning and line.free and not self._pool.get_idle_size():
                    await asyncio.wait(self._returning, return_when=asyncio.FIRST_COMPLETED)
                return await self._hand_out()
            except BaseException:
                line.leave()
                raise

        most = math.inf if self._max_waiting is None else self._max_waiting
        others = len(line.waiters) - len(self._returning)  # no caller has what is being reset
        if not line.free and others >= most and not self._closed:
            self._refused += 1
            raise PoolFull(f"{most} callers wait already (max_waiting)")
        lease.begin(await self._in_time(lease.patience, wait), line)
        self._leases[lease] = None
        self._acquired += 1
        self._waits.append(lease.since - asked)

    async def _open_pool(self) -> None:
        if self._pool is None:
            await self._once("open", self._open)

    async def _open(self, flight: Flight) -> None:
        pool = self._make_pool(self._call_off)
        try:
            await pool
        except _NOT_OPENED as error:
            raise _unavailable(error) from error
        self._pool, self._loop = pool, flight.loop

    async def _hand_out(self) -> Any:
        """A connection that is alive, opened if need be."""
        pool = self._pool
        try:
            for _ in range(self._max_size):
                connection = await pool.acquire()
                if not _has_news(connection._con):
                    return connection
                connection._con.terminate()
            return await pool.acquire()  # all were dead: this one has just been opened
        except _NOT_OPENED as error:
            if self._closed:
                raise PoolClosed("the pool was closed while this caller waited") from None
            raise _unavailable(error) from error

    async def _give_back(self, lease: _Lease) -> None:
        limit = asyncio.get_running_loop().call_later(GIVE_BACK_SECONDS, lease.raw.terminate)
        try:
            if not lease.raw.is_closed():
                # What asyncpg's Pool.release does, but not in a task of its own each time: that
                # costs a tenth of a short query. Whoever is cancelled here loses the connection.
                lease.raw._on_release()
                holder = lease.connection._holder
                # A `reset` of the caller's may wait for something else than this connection.
                await holder.release(GIVE_BACK_SECONDS if holder._pool._reset else None)
        except Exception as error:
            logger.info("a connection was terminated instead of given back: %r", error)
            lease.raw.terminate()
        finally:
            limit.cancel()
            if lease.raw.is_closed() and not lease.ended:
                lease.raw.terminate()
                self._lost.append(lease)
            self._leases.pop(lease, None)
            lease.back = True
            self._holds.append(time.monotonic() - lease.since)
            lease.line.leave()

    def _give_back_meanwhile(self, lease: _Lease) -> None:
        """Resetting a session takes longer than a short query: who has an answer goes on."""
        self._leases.pop(lease, None)  # close may have ended it in this moment
        task = asyncio.get_running_loop().create_task(self._give_back(lease))
        self._returning.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._returning.discard(task)
            if not lease.back:  # it was cancelled before its first step, as by a shutdown
                lease.raw.terminate()
                lease.line.leave()

        task.add_done_callback(done)

    async def _call_off(self) -> None:
        """Have the server stop what it may still do for connections that were lost while in use.

        It notices such a loss only when the statement ends, and another connection is about to
        take the place.
        """
        if self._lost:
            await self._once("call off", self._cancel_lost)

    async def _cancel_lost(self, flight: Flight) -> None:
        async def cancel(lease: _Lease) -> None:
            params, protocol = lease.raw._params, lease.protocol
            if not protocol.is_ssl:  # else it asks first, and a silent server never hears the rest
                params = params._replace(ssl=None)
            await connect_utils._cancel(
                loop=flight.loop,
                addr=lease.raw._addr,
                params=params,
                backend_pid=protocol.backend_pid,
                backend_secret=protocol.backend_secret,
            )
            self._lost.remove(lease)  # else it is tried again before the next connection

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await asyncio.gather(*map(cancel, self._lost), return_exceptions=True)

    async def _run(self, method: str, timeout: Seconds | None, *args: Any) -> Any:
        limit = self._command_timeout if timeout is None else span("timeout", timeout)
        lease = _Lease(self, self._acquire_timeout)
        async with lease as connection:
            try:
                # asyncpg's own limit holds for each step of a statement by itself.
                async with asyncio.timeout(limit):
                    result = await getattr(connection, method)(*args, timeout=limit)
                lease.answered = True
                return result
            except TimeoutError:
                raise QueryTimeout(
                    f"no answer within {limit} s: the statement may have been done, or not"
                ) from None
            except asyncpg.InternalClientError as error:
                if "cannot switch to state" not in str(error):
                    raise
                # asyncpg has read the server's goodbye, and not yet that the connection ended.
                lease.raw.terminate()
                raise DatabaseUnavailable(
                    "the server ended this connection: nothing was sent"
                ) from error

    async def _shut(self, flight: Flight) -> None:
        pool, line, self._line = self._pool, self._line, _Line(self._max_size)
        try:
            with contextlib.suppress(TimeoutError):
                until = None if math.isinf(self._due) else self._due
                async with asyncio.timeout_at(until) as self._draining:
                    for _ in range(self._max_size):
                        await line.wait()  # who has all turns has all connections
            self._terminate_held()
            with contextlib.suppress(Exception):
                async with asyncio.timeout(GIVE_BACK_SECONDS):
                    await asyncio.gather(pool.close(), self._call_off(), return_exceptions=True)
        finally:
            self._terminate_held()
            pool.terminate()  # does nothing if it is closed
            for task in self._returning:
                task.cancel()
            if self._returning:
                await asyncio.wait(self._returning)
            self._lost.clear()
            self._pool = None

    def _terminate_held(self) -> None:
        now = time.monotonic()
        for lease in list(self._leases):
            who = lease.holder(now)
            said = "the pool is closed: terminated the connection that %s has held for %.2f s (%s)"
            logger.warning(said, who.task, who.seconds, who.where)
            lease.ended = True
            lease.raw.terminate()
            del self._leases[lease]
            self._lost.append(lease)


_URL = re.compile(
    r"postgres(ql)?://(?P<user>[^/?#@]*@)?"
    r"(\[[^\]]*\]|[^/?#@,:\[\]]*)(:\d*)?(,(\[[^\]]*\]|[^/?#@,:\[\]]*)(:\d*)?)*"
    r"(?P<rest>([/?].*)?)"
)
_OPTIONS = {
    name
    for function in (asyncpg.connect, asyncpg.create_pool)
    for name in inspect.signature(function).parameters
} - {"dsn", "loop", "min_size", "max_size", "init_size", "command_timeout", "connect_kwargs"}


def _maker(url: str, options: dict[str, Any], **sizes: Any) -> Callable[..., Any]:
    """A function that makes asyncpg's pool: unlike an attribute, it shows no password."""
    if not _readable(url):
        raise ValueError(
            "database_url can't be read: expected postgresql://user:password@host:port/database, "
            "with special characters of the password percent-encoded"
        )
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"asyncpg knows no option {name!r}")
    connect = options.pop("connect", asyncpg.connect)
    for name in "init", "setup":
        if options.get(name) is not None:
            options[name] = _ending(options[name])

    def make(first: Callable[[], Awaitable[None]]) -> Any:
        async def connect_then(*args: Any, **kwargs: Any) -> Any:
            await first()
            return await connect(*args, **kwargs)

        return asyncpg.create_pool(url, connect=connect_then, **sizes, **options)

    return make


def _readable(url: object) -> bool:
    """Can asyncpg read it? Its own errors show parts of it, and so of the password."""
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is None or (match["user"] is None and "@" in match["rest"]):
        return False
    try:
        if query := urlsplit(match[0]).query:
            parse_qs(query, strict_parsing=True)
    except ValueError:
        return False
    return True


def _ending(hook: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """*hook*, ending its connection if it fails: asyncpg would wait for the server's goodbye."""

    async def ending(connection: Any) -> None:
        try:
            await hook(connection)
        except BaseException:
            connection.terminate()
            raise

    return ending


async def _settled(raw: Any, step: Coroutine[Any, Any, None]) -> None:
    """Begin or end a transaction. Without the server's answer its connection is terminated.

    Nobody knows then how the transaction stands, and the server ends it with the connection.
    """
    try:
        await step
    except asyncpg.PostgresError:
        raise  # an answer
    except TimeoutError:
        raw.terminate()
        raise QueryTimeout(
            "no answer to BEGIN or COMMIT: the transaction may have been done, or not"
        ) from None
    except BaseException:
        raw.terminate()
        raise


def _asyncpgs(error: BaseException | None) -> bool:
    """Does asyncpg raise this where a connection is terminated under it?

    It takes the connection's protocol away, and comes upon None if it was between two answers.
    """
    if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.InterfaceError):
        return True
    if not isinstance(error, AttributeError):
        return False
    modules = [frame.f_globals["__name__"] for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].startswith("asyncpg.")


def _unavailable(error: Exception) -> DatabaseUnavailable:
    why = str(error) or "no answer in time"
    return DatabaseUnavailable(f"can't connect to the database: {type(error).__name__}: {why}")


def _has_news(raw: Any) -> bool:
    """Is there something to read on a connection that nobody uses?

    The server says nothing unasked, but that it ends: the event loop has had no time yet to see
    it. The rest, such as a setting that changed, is so rare that a new connection costs less
    than finding out.
    """
    socket = raw._transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # on Windows
        return bool(select.select([socket.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _caller() -> tuple[str, int, str]:
    """The line that asked for a connection: file, number, function."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename in (__file__, contextlib.__file__):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
