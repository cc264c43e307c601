"""Workers that serve one app: each can be told to leave, killed, or joined by another.

A master process forks them (serve_master): it ends with the process that asked for them, and takes
the workers with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from typing import Any

import asyncpg

from cachepool_lib.lab.environment import environment
from cachepool_lib.lab.servers.masters import master

START_SECONDS = 20.0  # for the start of a worker
STOP_SECONDS = 10.0  # then a worker that was told to leave is killed


class ServiceFailed(RuntimeError):
    """A worker did not start: the message says why."""


class Service:
    """A service that runs. Made by lab.serve()."""

    def __init__(self, order: dict[str, Any], name: str, database_url: str) -> None:
        self._order, self._name, self._database_url = order, name, database_url
        self.url = ""  # known when it listens
        self._numbers = 0
        self._started: dict[int, asyncio.Future[int]] = {}
        self._processes: set[int] = set()  # numbers of workers, also of those that don't run yet
        self._running: dict[int, asyncio.Event] = {}  # set when the worker has ended
        self._listens = False
        self._master = master()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of the workers that run."""
        return tuple(self._running)

    def __repr__(self) -> str:
        return f"{len(self._running)} worker{'s' * (len(self._running) != 1)}"

    async def connections(self, wanted: int | None = None) -> int:
        """How many connections the workers have to PostgreSQL.

        With a number that is *wanted*, waits for it for up to a second: the server needs a moment
        to see that a client has gone.
        """
        connection = await asyncpg.connect(self._database_url)
        try:
            until = time.perf_counter() + 1
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
            while True:
                count: int = await connection.fetchval(query, self._name)
                if wanted is None or count == wanted or time.perf_counter() > until:
                    return count
                await asyncio.sleep(0.02)
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen, for a block; at its end, end whatever still runs."""
        async with self._master.events() as events:
            self._master.tell(listen=True)
            port = json.loads(await events.readline() or "{}").get("port")
            if port is None:
                failed = ServiceFailed(self._master.why())
                self._master.end()
                raise failed
            self.url, self._listens = f"http://127.0.0.1:{port}", True
            hears = asyncio.create_task(self._hear(events))
            idle = False
            try:
                try:
                    yield
                finally:
                    await self.stop()
                idle = not self._processes and not hears.done()
            finally:
                hears.cancel()
                await asyncio.wait([hears])
                if idle:
                    self._master.keep()
                else:
                    self._master.end()

    async def start(self, env: Mapping[str, object] | None = None) -> int:
        """Start one more worker and return its pid. *env* comes on top of what the others got.

        Returns when it serves. Raises ServiceFailed, with the reason, if its start fails.
        """
        if not self._listens:
            raise ServiceFailed("the service has been stopped")
        self._numbers += 1
        number = self._numbers
        more = {name: str(value) for name, value in (env or {}).items()}
        self._started[number] = asyncio.get_running_loop().create_future()
        self._processes.add(number)
        env = {**environment(), **self._order["env"], **more}
        self._master.tell(**{**self._order, "number": number, "env": env})
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._started[number]
        except TimeoutError:
            words = f"a worker did not start within {START_SECONDS:g} s"
            raise ServiceFailed(f"{words}: {self._master.why()}") from None
        finally:
            del self._started[number]

    async def term(self, pid: int) -> float:
        """Send SIGTERM to a worker, and wait until it has ended: the seconds that it took.

        RuntimeError if it had to be killed, after STOP_SECONDS.
        """
        return await self._end(pid, signal.SIGTERM)

    async def kill(self, pid: int) -> float:
        """Send SIGKILL to a worker, and wait until it has ended: the seconds that it took."""
        return await self._end(pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Send SIGTERM to all workers, and wait until they have ended. Safe to call twice.

        From then on nobody listens. RuntimeError if one had to be killed, after STOP_SECONDS.
        """
        self._stop_listening()
        await all_of(map(self.term, self.pids))

    async def _end(self, pid: int, what: signal.Signals) -> float:
        if pid not in self._running:
            raise ValueError(f"{pid} is no worker that runs; there are {list(self.pids)}")
        if len(self._running) == 1:
            self._stop_listening()
        ended, asked = self._running[pid], time.perf_counter()
        _send(pid, what)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await ended.wait()
        except TimeoutError:
            _send(pid, signal.SIGKILL)
            await ended.wait()
            raise RuntimeError(f"a worker did not leave within {STOP_SECONDS:g} s") from None
        return time.perf_counter() - asked

    def _stop_listening(self) -> None:
        """Close the master's copy of the socket; the workers' close as they leave."""
        if self._listens:
            self._listens = False
            self._master.tell()

    async def _hear(self, events: asyncio.StreamReader) -> None:
        while line := await events.readline():
            event = json.loads(line)
            if "ready" in event:
                self._running[event["pid"]] = asyncio.Event()
                self._settle(event["ready"], event["pid"])
            elif "failed" in event:
                self._settle(event["failed"], ServiceFailed(event["why"]))
            else:
                self._processes.discard(event["left"])
                if event["pid"] in self._running:
                    self._running.pop(event["pid"]).set()
                self._settle(event["left"], ServiceFailed(self._master.why()))
        self._listens = False  # the master has died, and its workers have
        for number in list(self._started):
            self._settle(number, ServiceFailed(self._master.why()))
        while self._running:
            self._running.popitem()[1].set()

    def _settle(self, number: int, outcome: int | ServiceFailed) -> None:
        waiter = self._started.get(number)
        if waiter is None or waiter.done():
            return
        if isinstance(outcome, int):
            waiter.set_result(outcome)
        else:
            waiter.set_exception(outcome)


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, and we are about to hear of it
        os.kill(pid, what)


async def all_of(things: Iterable[Awaitable[object]]) -> None:
    """Await all of them, whatever happens to one; then raise the first error."""
    outcomes = await asyncio.gather(*things, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
