"""Commands that are sent together, what comes back, and how long that may take."""

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

GRACE_SECONDS = 0.05


class NoReply(Exception):
    """Redis did not do what was asked; why is the cause, None if it was not even asked.

    *sent* if it may have done it all the same: no answer came.
    """

    def __init__(self, why: BaseException | None = None, *, sent: bool = False) -> None:
        self.__cause__ = why
        self.sent = sent


@dataclass(slots=True)
class Budget:
    """The seconds that one call may still wait for Redis, for all that it asks."""

    left: float


@dataclass(slots=True, eq=False)
class Command:
    """One command, and the future of what comes back: a reply, or a NoReply.

    It is sent whether or not its caller still waits: a row may have changed. *then* is told what
    came of it.
    """

    args: tuple[Any, ...]
    budget: Budget
    then: Callable[[Any], None] | None = None
    node: Any = None  # of a cluster, where the command is for that one
    reply: "asyncio.Future[Any]" = field(init=False)
    settled: bool = False
    redirects: int = 0  # how often another node was said to have its key
    asking: bool = False  # a node that is just getting its slot, by "ASKING" before it
    queued_at: float = math.inf  # by the loop's clock, if it has to wait for its turn
    patience: float = field(init=False)  # seconds
    size: int = field(init=False)  # bytes, of the reply too

    def __post_init__(self) -> None:
        self.reply = asyncio.get_running_loop().create_future()
        self.patience = self.budget.left
        self.size = sum([len(part) for part in self.args if type(part) is bytes])

    def settle(self, reply: Any, took: float = 0) -> None:
        """Say what came of it, *took* seconds after it was sent."""
        if self.settled:
            return
        self.settled = True
        # Commands of one call that are under way together spend their time together.
        self.budget.left = min(self.budget.left, self.patience - took)
        if self.then is not None:
            self.then(reply)
        if not self.reply.done():  # its caller may have left
            self.reply.set_result(reply)


class Deadline:
    """Calls *action* when it is *due* by the loop's clock; a little later where the loop is late.

    Something else kept the loop busy then. That is no silent server: a reply may have come, and
    wait to be read.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, due: float, action: Callable[[], object]
    ) -> None:
        self._loop = loop
        self.due = due
        self._action = action
        self.passed = False
        self._timer = loop.call_at(due, self._wait_for_late_loop)

    def cancel(self) -> None:
        self._timer.cancel()

    def _wait_for_late_loop(self) -> None:
        now = self._loop.time()
        late = now - self.due
        self.due = max(self.due, now)  # what was due meanwhile need not wait once more
        self._timer = self._loop.call_later(min(late, GRACE_SECONDS), self._pass)

    def _pass(self) -> None:
        self.passed = True
        self._action()


class Asking:
    """What can be asked of whatever sends commands."""

    def put(self, command: Command) -> "asyncio.Future[Any]":
        """Have a command sent; the future of its reply."""
        raise NotImplementedError

    async def ask(self, budget: Budget, *args: Any, node: Any = None) -> Any:
        """The reply to a command. Raises NoReply."""
        reply = await self.put(Command(args, budget, node=node))
        if type(reply) is NoReply:
            raise reply
        return reply

    async def ask_all(self, budget: Budget, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The replies to several commands, each perhaps a NoReply."""
        put = [self.put(Command(args, budget)) for args in commands]
        return [await reply for reply in put]


@dataclass(eq=False)
class Batch:
    """Commands that are sent together."""

    number: int  # by which the breaker knows it
    commands: list[Command]
    began: float
    task: Any  # which sends it
    due: float = math.inf  # by the loop's clock: when the next of its callers waits no longer

    @property
    def size(self) -> int:
        return sum(command.size for command in self.commands)
