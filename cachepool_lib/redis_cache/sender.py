"""Commands of one event loop, sent in batches: what callers ask in the same turn goes together.

A round trip costs the client far more than a command does: for 20 callers at once one batch takes
less than half of what 20 commands take.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

from cachepool_lib.redis_cache.batch import Asking, Batch, Budget, Command, Deadline, NoReply
from cachepool_lib.redis_cache.circuit import Circuit
from cachepool_lib.redis_cache.client import blames_server, redact
from cachepool_lib.redis_cache.connections import Connections, NoConnection

MOST_COMMANDS = 512  # of a batch
MOST_BYTES = 64 * 1024  # of a batch, but for a command that is larger by itself
LARGE_REPLY = 4 * 1024  # bytes: the next reply for that name is expected to be as large
NAMES_REMEMBERED = 1000  # of large replies
FULL_SECONDS = 5.0  # for which no more connections are tried than a full server has let in
AGAIN_SECONDS = 0.25  # after which a task that was cancelled, and did not end, is cancelled again


def nothing() -> None:
    """Of no interest."""


def nowhere(command: Command, error: Exception) -> bool:
    """There is no other server."""
    return False


class Sender(Asking):
    """Sends what is asked of one client on one event loop, at most *most* batches at a time.

    A batch that stays silent for *timeout* seconds is given up; waiting for one's turn to be sent
    does not count. While the circuit is open nothing is sent, and nobody waits: there is a check
    now and then of whether the server is back.

    Args:
        probe: a name to ask for; nothing is there.
        on_closed: called when the server can be used again.
        title: what the server is called in the log.
        on_failed: called when it could not be used.
        redirect: told of a command and the error that is its reply; True if it sees to the command.
    """

    cluster = False

    def __init__(
        self,
        connections: Connections,
        *,
        timeout: float,
        most: int,
        probe: bytes,
        on_closed: Callable[[], None],
        title: str = "Redis",
        on_failed: Callable[[], None] = nothing,
        redirect: Callable[[Command, Exception], bool] = nowhere,
    ) -> None:
        self._connections = connections
        self.circuit = Circuit(partial(connections.check, probe), timeout, on_closed, title)
        self._on_failed, self._redirect = on_failed, redirect
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._most = self._limit = most
        self._full_until = 0.0
        self._queue: deque[Command] = deque()
        self._woken = False
        self._answered_at = 0.0
        self._batches: set[Batch] = set()
        self._deadline: Deadline | None = None  # of the batch that is due first
        self._tasks: set[asyncio.Task[None]] = set()
        self._large: OrderedDict[bytes, int] = OrderedDict()
        self._closed = False

    # -- for callers --------------------------------------------------------------------------

    async def nodes(self, budget: Budget) -> list[Any]:
        """What to name in `ask` for each server: there is but one."""
        return [None]

    async def connection(self, budget: Budget) -> Any:
        """One beside those that commands use, not connected yet: for a subscription."""
        return self._connections.make()

    def put(self, command: Command) -> "asyncio.Future[Any]":
        """Have a command sent at the end of this turn of the loop; the future of its reply."""
        if self._large and command.args[0] == "GET":
            command.size += self._large.get(command.args[1], 0)
        if len(self._batches) >= self._limit:
            command.queued_at = self._loop.time()
        if self._closed or command.patience <= 0:
            command.settle(NoReply())
        else:
            self._queue.append(command)
            self._wake()
        return command.reply

    async def close(self) -> None:
        """Take no more commands; wait until all are answered, or given up."""
        self._closed = True
        await self.circuit.close()
        # One that was cancelled before its first step has not taken itself out.
        while tasks := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(tasks, timeout=AGAIN_SECONDS)
            for task in tasks:
                if task.cancelling():  # before Python 3.12 asyncio.wait_for can lose a cancellation
                    task.cancel()
        if self._deadline is not None:
            self._deadline.cancel()
        await self._connections.close()

    # -- batches ------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Have a batch sent at the end of this turn, if one may be."""
        if self._limit < self._most and self._loop.time() >= self._full_until:
            self._limit = self._most
        if self._queue and not self._woken and len(self._batches) < self._limit:
            self._woken = True
            self._tasks.add(self._loop.create_task(self._run()))

    async def _run(self) -> None:
        """Send a batch of what is in the queue by now."""
        task: Any = asyncio.current_task()
        try:
            batch = self._begin(task)
            if batch is not None:
                await self._send(batch)
        finally:
            self._tasks.discard(task)

    def _begin(self, task: Any) -> Batch | None:
        """A batch of the next commands for *task* to send; None where nothing is to be sent."""
        self._woken = False
        number = self.circuit.begin()
        if number is None:
            self.circuit.start_check()
            while self._queue:
                self._queue.popleft().settle(NoReply())
            return None
        commands = self._take()
        self._wake()  # for what did not fit
        if not commands:
            return None
        batch = Batch(number, commands, self._loop.time(), task)
        self._batches.add(batch)
        self._watch(batch)
        return batch

    async def _send(self, batch: Batch) -> None:
        try:
            self._deliver(batch, await self._connections.execute(batch.commands))
        except NoConnection as error:
            self._not_sent(batch, error.__cause__ or error)
        except Exception as error:  # of any kind, if what answers is no Redis
            self._lost(batch, error, sent=True)
        finally:
            self._end(batch)

    def _take(self) -> list[Command]:
        """The next commands of the queue that fit into one batch."""
        commands: list[Command] = []
        size, now = 0, self._loop.time()
        while self._queue and len(commands) < MOST_COMMANDS:
            command = self._queue[0]
            if self._answered_at < command.queued_at < now:
                # Nothing was answered since it came: it has waited for a silent server.
                command.patience -= now - command.queued_at
                command.queued_at = now
                if command.patience <= 0:
                    command.settle(NoReply(self.circuit.silence()))
            if not command.settled:
                size += command.size
                if commands and size > MOST_BYTES:
                    break
                commands.append(command)
            self._queue.popleft()
        return commands

    def _watch(self, batch: Batch) -> None:
        """Have what is not answered given up, each command as its caller's patience ends.

        One deadline serves all batches: that of the one that is due first. It is left when that is
        answered: a timer for each batch, made and cancelled, was a sixth of the time of a hit.
        """
        patience = min((c.patience for c in batch.commands if not c.settled), default=0)
        batch.due = batch.began + patience
        self._wait_until(batch.due)

    def _wait_until(self, due: float) -> None:
        """Have the deadline at *due*, unless it is earlier."""
        if self._deadline is not None:
            if self._deadline.due <= due:
                return
            self._deadline.cancel()
        self._deadline = Deadline(self._loop, due, self._passed)

    def _passed(self) -> None:
        """Give up what was due by then, and wait for the next."""
        assert self._deadline is not None
        due, self._deadline = self._deadline.due, None
        for batch in list(self._batches):
            if batch.due <= due:
                self._late(batch, due)
            else:
                self._wait_until(batch.due)

    def _late(self, batch: Batch, due: float) -> None:
        waited = self._loop.time() - batch.began
        silence = self.circuit.silence()
        for command in batch.commands:
            if batch.began + command.patience <= due and not command.settled:
                # It may be what held the others up: it goes alone until it is answered.
                self._remember_size(command, MOST_BYTES + 1)
                command.settle(NoReply(silence, sent=True), waited)
        if not all(command.settled for command in batch.commands):
            self._watch(batch)
            return
        batch.task.cancel()
        self._end(batch)
        if waited >= self._timeout / 2:  # less does not tell a slow server from a silent one
            self._failed(batch, silence)

    def _deliver(self, batch: Batch, replies: list[tuple[Command, Any]]) -> None:
        took = self._loop.time() - batch.began
        refused: BaseException | None = None
        for command, reply in replies:
            if isinstance(reply, Exception):
                redact(reply)
                if self._redirect(command, reply):
                    continue
                if blames_server(reply):
                    refused = reply
                reply = NoReply(reply)
            elif isinstance(reply, bytes):
                command.size += len(reply)
                self._remember_size(command, len(reply))
            command.settle(reply, took)
        if refused is None:
            self._answered_at = self._loop.time()
            self.circuit.answered(batch)
        else:
            self._failed(batch, refused)

    def _remember_size(self, command: Command, size: int) -> None:
        """So that a large value does not hold up those who ask in the same turn next time."""
        if command.args[0] != "GET":
            return
        name = command.args[1]
        self._large.pop(name, None)
        if size >= LARGE_REPLY:
            self._large[name] = size
            if len(self._large) > NAMES_REMEMBERED:
                self._large.popitem(last=False)

    def _not_sent(self, batch: Batch, error: BaseException) -> None:
        """There was no connection for it."""
        in_use = len(self._batches) - 1 + len(self._connections.kept)
        if in_use:
            # The server may have as many clients as it takes. Those connections that are open
            # serve everybody, in turns; if it is an outage, the last one to fail says so.
            self._limit, self._full_until = in_use, self._loop.time() + FULL_SECONDS
            self._queue.extendleft(reversed(batch.commands))
        else:
            self._lost(batch, error, sent=False)

    def _lost(self, batch: Batch, error: BaseException, *, sent: bool) -> None:
        """No replies: the connection was refused or lost, or the server says one thing to all."""
        redact(error)
        took = self._loop.time() - batch.began
        for command in batch.commands:
            command.settle(NoReply(error, sent=sent), took)
        self._failed(batch, error)

    def _failed(self, batch: Batch, why: BaseException) -> None:
        self.circuit.failed(batch, why)
        self._on_failed()

    def _end(self, batch: Batch) -> None:
        self._batches.discard(batch)
        self._wake()
