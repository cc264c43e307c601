"""The circuit breaker of one client, with the checks that it asks for."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from cachepool_lib.redis_cache.batch import Batch, Deadline, NoReply
from cachepool_lib.redis_cache.breaker import Breaker, Event, State
from cachepool_lib.redis_cache.client import blames_server, describe, redact

logger = logging.getLogger("cachepool_lib")


class Circuit:
    """Tells the breaker what became of each batch, carries out its checks, logs each outage once.

    Args:
        check: raises what says that the server can't be used; given up after *timeout* seconds.
        on_closed: called when the server can be used again.
        title: what the server is called in the log.
    """

    def __init__(
        self,
        check: Callable[[], Coroutine[Any, Any, None]],
        timeout: float,
        on_closed: Callable[[], None],
        title: str,
    ) -> None:
        self._breaker = Breaker()
        self._check = check
        self._timeout = timeout
        self._on_closed = on_closed
        self._title = title
        self._checks: set[asyncio.Task[BaseException | None]] = set()
        self._closed = False
        self.begin = self._breaker.begin

    @property
    def state(self) -> State:
        return self._breaker.state

    def silence(self) -> TimeoutError:
        return TimeoutError(f"no answer within {self._timeout:g} s")

    def answered(self, batch: Batch) -> None:
        self._breaker.answered(batch.number, batch.size)

    def failed(self, batch: Batch, why: BaseException) -> None:
        """The server could not be used. Has it checked whether that is so."""
        self._heed(self._breaker.failed(batch.number, batch.size), why)
        self.start_check()

    def start_check(self, *, at_once: bool = False) -> "asyncio.Task[BaseException | None] | None":
        """Begin a check if one is due, or *at_once*; nobody need wait for it."""
        number = None if self._closed else self._breaker.take_check(at_once)
        if number is None:
            return None
        task = asyncio.create_task(self._carry_out(number))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)
        return task

    async def check_now(self) -> None:
        """Find out whether the server can be used, whatever the state. Raises NoReply."""
        task = self.start_check(at_once=True)
        if task is not None:
            await asyncio.wait([task])
            if error := self.silence() if task.cancelled() else task.result():
                raise NoReply(error)

    async def close(self) -> None:
        """Cancel a check that is under way; there will be no more."""
        self._closed = True
        for task in self._checks:
            task.cancel()
        if self._checks:
            await asyncio.wait(self._checks)

    async def _carry_out(self, number: int) -> BaseException | None:
        """What the check found wrong."""
        task: Any = asyncio.current_task()
        loop = asyncio.get_running_loop()
        deadline = Deadline(loop, loop.time() + self._timeout, task.cancel)
        error: BaseException | None = None
        passed: bool | None = True
        try:
            await self._check()
        except asyncio.CancelledError:
            if not deadline.passed:
                passed = None  # cancelled, it says nothing
                raise
            error, passed = self.silence(), False
        except Exception as raised:
            redact(raised)
            error, passed = raised, not blames_server(raised)
        finally:
            deadline.cancel()
            self._heed(self._breaker.checked(number, passed), error)
        return error

    def _heed(self, event: Event | None, why: BaseException | None) -> None:
        if event is Event.CLOSED:
            self._on_closed()
        elif event is Event.OPENED:
            logger.warning(
                "%s can't be used (%s): the circuit is open, the cache carries on without",
                self._title,
                describe(why or self.silence()),
            )
