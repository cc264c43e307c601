"""Pools of connections under the lab's eye: what they open is counted, and closed in the end."""

import asyncio
import contextlib
import gc
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from functools import wraps
from typing import Any

import asyncpg

from cachepool_lib.lab.contracts.cache.bench import Bench, constructor_options
from cachepool_lib.lab.contracts.patience import PATIENCE, settled
from cachepool_lib.lab.servers.services import services

_bench: ContextVar["PoolBench"] = ContextVar("bench")


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Note every pool of asyncpg that is made meanwhile: a naive class forgets some.

    What those that were broken on purpose still have to complain about is not shown, and what pools
    log is kept by the bench.
    """
    make, loop = asyncpg.create_pool, asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loggers = [logging.getLogger(name) for name in ("cachepool_lib", "asyncpg.pool")]
    were = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [_Keeper()], False

    @wraps(make)
    def create_pool(*args: Any, **options: Any) -> Any:
        bench = _bench.get(None)
        if bench is None:
            return make(*args, **options)
        bench.opened.append(make(*args, **{**options, **bench.options}))
        return bench.opened[-1]

    def quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        expected = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
        inside = isinstance(context.get("protocol"), asyncpg.protocol.Protocol)
        if not inside and not isinstance(context.get("exception"), expected):
            (before or asyncio.BaseEventLoop.default_exception_handler)(loop, context)  # type: ignore[arg-type]

    asyncpg.create_pool = create_pool
    loop.set_exception_handler(quietly)
    try:
        yield
    finally:
        asyncpg.create_pool = make
        gc.collect()  # futures complain when they are collected
        loop.set_exception_handler(before)
        for logger, was in zip(loggers, were, strict=True):
            logger.handlers, logger.propagate = was


class _Keeper(logging.Handler):
    """Keeps what is logged where the bench is known, and shows nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        if bench := _bench.get(None):
            bench.logged.append(record.getMessage())


class PoolBench(Bench):
    """Builds pools of one class on the database at *url*, and counts their connections.

    For use in `async with`; closes what it built, and terminates what that left open.
    """

    def __init__(self, candidate: type, url: str) -> None:
        super().__init__(candidate)
        self.name = f"check-{secrets.token_hex(8)}"
        self.plain = url
        self.url = f"{url}{'&' if '?' in url else '?'}application_name={self.name}"
        # As in A11: the naive code caches rows as they come, better code what it makes of them.
        self.row: Callable[[Any], Any] = dict if hasattr(candidate, "fetchrow") else lambda row: row
        self.options: dict[str, Any] = {}  # of asyncpg, for every pool that is made
        self.logged: list[str] = []
        self._built: list[Any] = []

    async def __aenter__(self) -> "PoolBench":
        self.admin: Any = await asyncpg.connect(self.plain)
        self.opened: list[Any] = []  # pools of asyncpg
        _bench.set(self)
        return self

    async def __aexit__(self, *exc: object) -> None:
        interrupted = exc[0] is asyncio.CancelledError
        for pool in self._built:
            await settled(pool.close(), 0.1 if interrupted else 5)
        for pool in self.opened:
            with contextlib.suppress(asyncpg.InterfaceError):
                pool.terminate()
        self._built.clear()
        await self.count(0)
        await self.admin.close()

    def new(self, **options: Any) -> Any:
        usual = {"database_url": self.url, "min_size": 1, "max_size": 2}
        given = self.known(**{**usual, **options})
        if "connect_options" in constructor_options(self.candidate):
            given |= self.options
        pool = self.candidate(**given)
        self._built.append(pool)
        return pool

    def when_released(self, call: Callable[[], object]) -> None:
        """Let pools built from now on *call* whenever a connection comes back.

        That is the last moment before asyncpg puts it where it lies for everybody, and wakes up who
        has waited longest: a task that is made now runs before that one.
        """

        async def reset(connection: Any) -> None:
            await connection.reset()
            call()

        self.options["reset"] = reset

    async def count(self, wanted: int) -> int:
        """How many connections the server has: at once if as many as wanted, or as are open on this
        side, else when the number has stopped changing."""
        last, since = -1, 0.0
        loop = asyncio.get_running_loop()
        while True:
            number = await self.count_now()
            if number != last:
                last, since = number, loop.time()
            if number in (wanted, self.open_here) or loop.time() > since + 0.5:
                return number
            await asyncio.sleep(0.02)

    @property
    def open_here(self) -> int:
        """How many connections the pools have, also those that their class has lost."""
        return sum(pool.get_size() for pool in self.opened)

    async def count_now(self) -> int:
        """How many connections the server has at this moment."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
        number: int = await self.admin.fetchval(query, self.name)
        return number

    def kill_idle(self) -> int:
        """Let the server end all connections, and do not let the event loop notice.

        Returns how many, when the end has arrived here: a process of PostgreSQL says that it ends,
        and only then leaves the list.
        """
        ended: list[int] = []

        async def kill() -> None:
            connection = await asyncpg.connect(self.plain)
            which = "FROM pg_stat_activity WHERE application_name = $1"
            rows = await connection.fetch(f"SELECT pg_terminate_backend(pid) {which}", self.name)
            while await connection.fetchval(f"SELECT count(*) {which}", self.name):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            ended.append(len(rows))
            await connection.close()

        thread = threading.Thread(target=lambda: asyncio.run(kill()))
        thread.start()
        thread.join()
        return ended[0]


async def opened(pool: Any) -> None:
    """Open a pool whose acquire_timeout is short for the sake of a check: where the machine is so
    busy that opening takes longer, it is tried again."""
    for _ in range(9):
        with contextlib.suppress(TimeoutError, OSError):
            return await pool.initialize()  # type: ignore[no-any-return]
    await pool.initialize()


@contextlib.asynccontextmanager
async def borrowed(pool: Any, number: int) -> AsyncIterator[Callable[[], None]]:
    """Hold so many connections of *pool*, each in a task of its own; yields what frees them."""
    free, held = asyncio.Event(), asyncio.Semaphore(0)

    async def hold() -> None:
        async with pool.acquire():
            held.release()
            await free.wait()

    tasks = [asyncio.create_task(hold()) for _ in range(number)]
    try:
        for _ in tasks:
            await held.acquire()
        yield free.set
    finally:
        free.set()
        await asyncio.wait(tasks, timeout=PATIENCE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # the pool may have been closed


@contextlib.asynccontextmanager
async def bench_of(candidate: type) -> AsyncIterator[PoolBench]:
    """A bench on the lab's PostgreSQL, for one experiment."""
    with watching():
        async with PoolBench(candidate, (await services()).database_url) as bench:
            yield bench
