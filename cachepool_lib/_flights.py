"""Single flight: however many ask for a key at once, one load of it runs, in a task of its own."""

import asyncio
import contextlib
import copy
import functools
import logging
from collections.abc import Callable, Coroutine, Hashable
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from cachepool_lib._keys import in_group

logger = logging.getLogger("cachepool_lib")

_FIELDS = MemberDescriptorType, GetSetDescriptorType


class Flight:
    """One load under way, and everybody who waits for it."""

    __slots__ = ("background", "claim", "loop", "task", "waiters")

    def __init__(self, background: bool) -> None:
        self.background = background  # it belongs to no waiter: nobody's leaving ends it
        self.claim: bytes | None = (
            None  # in a shared store: what allows this load to store; b"" is none
        )
        self.loop = asyncio.get_running_loop()
        self.task: asyncio.Task[Any] | None = None  # None while an eager task takes its first steps
        self.waiters: dict[asyncio.Future[Any], None] = {}  # a set would wake them in any order

    def cancel(self) -> None:
        """Cancel the load, once: at a shutdown all tasks are, and its cleanup may be under way."""
        if self.task is not None and not self.loop.is_closed() and not self.task.cancelling():
            self.task.cancel()

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()


class Flights:
    """The loads under way in this process, by key.

    A flight is attached as long as it is in the table: it can be joined, and may store what it
    loads. Detached, it only answers those who wait for it already.
    """

    def __init__(self) -> None:
        self.attached: dict[Hashable, Flight] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # the loop itself keeps weak references only

    def under_way(self, key: Hashable) -> Flight | None:
        """The flight for *key* that can be joined."""
        flight = self.attached.get(key)
        if flight is not None and flight.loop is not asyncio.get_running_loop():
            self.detach(key)  # it was left behind in a loop that ran before this one
            return None
        return flight

    def is_attached(self, key: Hashable, flight: Flight) -> bool:
        return self.attached.get(key) is flight

    def take_off(
        self,
        key: Hashable,
        load: Callable[[Flight], Coroutine[Any, Any, Any]],
        *,
        background: bool,
    ) -> Flight:
        """Start *load* in a task of its own."""
        flight = Flight(background)
        self.attached[key] = flight
        coroutine = load(flight)
        try:
            flight.task = flight.loop.create_task(coroutine)
        except BaseException:  # no stack is left, say: nobody may wait for what never began
            coroutine.close()
            if self.is_attached(key, flight):
                del self.attached[key]
            raise
        self._tasks.add(flight.task)
        flight.task.add_done_callback(functools.partial(self._land, key, flight))
        return flight

    async def wait(self, key: Hashable, flight: Flight) -> Any:
        """Wait for *flight*. If this is the last to leave before it lands, it is cancelled."""
        waiter = flight.loop.create_future()
        flight.waiters[waiter] = None
        try:
            return await waiter
        finally:
            flight.waiters.pop(waiter, None)
            if not (flight.waiters or flight.background or flight.ended):
                # First out of the table, then cancelled: whoever comes now must not join it.
                if self.is_attached(key, flight):
                    del self.attached[key]
                flight.cancel()

    def detach(self, key: Hashable) -> None:
        """Let the load of *key* no longer store, nor be joined."""
        flight = self.attached.pop(key, None)
        if flight is not None and flight.background:
            flight.background = False  # from now on it belongs to those who wait for it, if any
            if not flight.waiters:
                flight.cancel()

    def detach_all(self) -> None:
        for key in list(self.attached):
            self.detach(key)

    def detach_group(self, group: Hashable) -> None:
        for key in [key for key in self.attached if in_group(key, group)]:
            self.detach(key)

    async def close(self) -> None:
        """Cancel what loads in the background; wait until every cancelled load has ended."""
        for key, flight in list(self.attached.items()):
            if flight.background:
                self.detach(key)
        loop = asyncio.get_running_loop()
        ending = [t for t in self._tasks if t.cancelling() and t.get_loop() is loop]
        if ending:
            await asyncio.wait(ending)

    def _land(self, key: Hashable, flight: Flight, task: "asyncio.Task[Any]") -> None:
        """Give what was loaded to all who wait."""
        self._tasks.discard(task)
        if self.is_attached(key, flight):
            del self.attached[key]
        if task.cancelled():
            for waiter in flight.waiters:  # the loader gave itself up
                waiter.cancel()
            return
        error = task.exception()
        if error is None:
            for waiter in flight.waiters:
                if not waiter.done():
                    waiter.set_result(task.result())
            return
        if not flight.waiters:
            # Of a tuple the first part alone, which says what it is: the others may be secrets.
            what = f"({key[0]!r}, …)" if isinstance(key, tuple) and key else repr(key)
            logger.warning("loading %s failed while nobody waited", what, exc_info=error)
        for waiter in flight.waiters:
            if not waiter.done():
                waiter.set_exception(_copy(error))


def require_loader(loader: object) -> None:
    """Raise TypeError unless *loader* can be called."""
    if not callable(loader):
        raise TypeError(
            f"loader must be a function to call, got {type(loader).__name__}: "
            "pass the function itself, or a lambda, not the result of calling it"
        )


def _copy(error: BaseException) -> BaseException:
    """A copy of *error* for one waiter, or *error* itself where its class can't be copied.

    Raised in a thousand waiters, one shared exception would carry the context, and the notes, of
    whichever caller came last.
    """
    try:
        twin = _twin(error)
        twin.__cause__ = error.__cause__
        twin.__context__ = error.__context__
        twin.__suppress_context__ = error.__suppress_context__
        if hasattr(error, "__notes__"):
            twin.__notes__ = list(error.__notes__)
        return twin.with_traceback(error.__traceback__)
    except Exception:
        return error


def _twin(error: BaseException) -> BaseException:
    with contextlib.suppress(Exception):
        twin = copy.copy(error)  # calls the class with error.args, which need not be its arguments
        if type(twin) is type(error) and twin.args == error.args:
            return _with_fields(twin, error)
    twin = type(error).__new__(type(error), *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return _with_fields(twin, error)


def _with_fields(twin: BaseException, error: BaseException) -> BaseException:
    """*twin* with what *error* keeps outside its __dict__: in slots, or in C as errno is."""
    for kind in type(error).__mro__:
        if kind is BaseException:
            break
        for name, field in vars(kind).items():
            if isinstance(field, _FIELDS) and not name.startswith("__"):
                with contextlib.suppress(AttributeError):  # not set, or not to be set
                    value = getattr(error, name)
                    if getattr(twin, name, field) is not value:  # an errno set to None is printed
                        setattr(twin, name, value)
    return twin
