"""Single flight: however many ask for a key at once, one load of it runs, in a task of its own.

The terms are those of Go's golang.org/x/sync/singleflight: a call is one run of the work for a
key, and to forget a key is to let nobody join its call any more.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cachepool_lib.error_copy import error_copy

logger = logging.getLogger("cachepool_lib")


@dataclass(slots=True, eq=False)
class Call:
    """One load under way, and everybody who waits for it."""

    background: bool  # it belongs to no waiter: nobody's leaving cancels it
    loop: asyncio.AbstractEventLoop
    lease: bytes | None = None  # what a shared store knows this load by, once it has it
    task: "asyncio.Task[Any] | None" = None  # None while an eager task takes its first steps
    # By arrival: a set would wake them in any order.
    waiters: "dict[asyncio.Future[Any], None]" = field(default_factory=dict)

    def cancel(self) -> None:
        """Cancel the load, once: at a shutdown all tasks are, and its cleanup may be under way."""
        if self.task is not None and not self.loop.is_closed() and not self.task.cancelling():
            self.task.cancel()

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()

    def tell(self, result: Any) -> None:
        """Give *result* to all who wait and have not been told."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(result)


class SingleFlight:
    """The loads under way, by key.

    The call that is current for a key can be joined, and may store what it loads. One that is
    forgotten runs to its end and answers those who wait for it already, and that is all.
    """

    def __init__(self) -> None:
        self.current: dict[Hashable, Call] = {}
        self._calls: set[Call] = set()  # all that run: an event loop has weak references only

    def find(self, key: Hashable) -> Call | None:
        """The call for *key* that can be joined."""
        call = self.current.get(key)
        if call is not None and call.loop is not asyncio.get_running_loop():
            self._leave_behind()  # who joined it could wait for ever
            return None
        return call

    def is_current(self, key: Hashable, call: Call) -> bool:
        return self.current.get(key) is call

    def start(
        self,
        key: Hashable,
        load: Callable[[Call], Coroutine[Any, Any, Any]],
        *,
        background: bool = False,
    ) -> Call:
        """Start *load* in a task of its own, current for *key* from now on instead of any other."""
        call = Call(background, asyncio.get_running_loop())
        self.current[key] = call
        self._calls.add(call)
        coroutine = self._run(key, call, load)
        try:
            call.task = call.loop.create_task(coroutine)
        except BaseException:  # no stack is left, say: nobody may wait for what never began
            coroutine.close()
            self._drop(key, call)
            raise
        call.task.add_done_callback(partial(self._ended, key, call))
        return call

    async def wait(self, key: Hashable, call: Call) -> Any:
        """Wait for *call*. If this is the last one to leave before it ends, it is cancelled."""
        waiter = call.loop.create_future()
        call.waiters[waiter] = None
        try:
            return await waiter
        finally:
            call.waiters.pop(waiter, None)
            if not (call.waiters or call.background or call.ended):
                self.forget(key, call)  # first: whoever comes now must not join what is cancelled
                call.cancel()

    def forget(self, key: Hashable, call: Call | None = None) -> None:
        """Let the call for *key*, or *call* alone, be joined no more, nor store what it loads."""
        if call is None or self.is_current(key, call):
            self.current.pop(key, None)

    def forget_all(self, group: Hashable = None) -> None:
        """`forget` every key, or with a *group* those that begin with it."""
        for key in list(self.current):
            if group is None or in_group(key, group):
                del self.current[key]

    async def close(self) -> None:
        """Cancel what loads in the background; wait until every cancelled load has ended.

        A background load that somebody waits for is that caller's from now on.
        """
        self._leave_behind()
        self.current = {key: call for key, call in self.current.items() if not call.background}
        for call in self._calls:
            if call.background:
                call.background = False
                if not call.waiters:
                    call.cancel()
        while ending := [task for task in self._tasks() if task.cancelling() and not task.done()]:
            await asyncio.wait(ending)  # what ends may cancel a load that it has waited for

    def _tasks(self) -> "list[asyncio.Task[Any]]":
        loop = asyncio.get_running_loop()
        return [call.task for call in self._calls if call.task and call.loop is loop]

    def _leave_behind(self) -> None:
        """Forget the calls of event loops that ran before this one; most will never go on."""
        loop = asyncio.get_running_loop()
        self.current = {key: call for key, call in self.current.items() if call.loop is loop}
        self._calls = {call for call in self._calls if not call.loop.is_closed()}

    def _drop(self, key: Hashable, call: Call) -> None:
        self._calls.discard(call)
        self.forget(key, call)

    async def _run(
        self, key: Hashable, call: Call, load: Callable[[Call], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Load, and give the result to all who wait: a callback of the task comes a turn later."""
        result = await load(call)
        self._drop(key, call)
        call.tell(result)
        return result

    def _ended(self, key: Hashable, call: Call, task: "asyncio.Task[Any]") -> None:
        """Tell all who wait how the load ended: perhaps it was cancelled before it began."""
        self._drop(key, call)
        if task.cancelled():
            for waiter in call.waiters:
                waiter.cancel()
        elif (error := task.exception()) is not None:
            if not call.waiters:
                # Of a tuple the first part alone, which says what it is: the others may be secrets.
                what = f"({key[0]!r}, …)" if isinstance(key, tuple) and key else repr(key)
                logger.warning("loading %s failed while nobody waited", what, exc_info=error)
            for waiter in call.waiters:
                if not waiter.done():
                    waiter.set_exception(error_copy(error))
        else:  # who waits for an eager task began to when it had ended already
            call.tell(task.result())


def in_group(key: Hashable, group: Hashable) -> bool:
    """Is *key* a tuple that begins with *group*, as those of one decorated function do?"""
    return isinstance(key, tuple) and key[:1] == (group,)
