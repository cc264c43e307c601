"""Time that jumps: ten minutes of traffic in milliseconds, and the same result every time.

simulate() runs a coroutine on an event loop whose clock never waits. When every task sleeps, the
clock is set to the moment when the first of them wakes.
"""

import asyncio
import contextlib
import ctypes
import math
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from inspect import iscoroutine
from typing import Any, TypeVar

from cachepool_lib.lab.notebook import recorder
from cachepool_lib.lab.simulation.clocks import Clocks

T = TypeVar("T")
WALL_START = 1_767_225_600.0
"""What time.time() says when a simulation begins: 2026-01-01, 00:00 UTC."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop that jumps from timer to timer instead of waiting. It knows no sockets.

    It leans on private names of asyncio.BaseEventLoop (`_selector`, `_scheduled`,
    `_clock_resolution` and the two methods that do nothing here), unchanged from Python 3.11 to
    3.14; a test compares whole runs between Pythons.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.wall_shift = 0.0
        self.interrupted = False  # by another thread
        self._selector = self
        self._clock_resolution = math.ulp(0.0)

    def time(self) -> float:
        return self.now

    def select(self, timeout: float | None) -> tuple[()]:
        """Go to the first timer, exactly; nothing else can happen before it."""
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        if timeout is None:
            raise RuntimeError(f"Deadlock: no timer is set, and these wait: {_names(self)}.")
        if timeout > 0:
            self.now = self._scheduled[0].when()  # type: ignore[attr-defined]
            # Timers due within the resolution run together. The smallest step keeps every
            # timer at its own moment, however far the clock has come.
            self._clock_resolution = math.ulp(self.now)
        return ()

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    async def run_in_executor(self, executor: object, func: Callable[..., T], *args: Any) -> T:  # type: ignore[override]
        """Run *func* here and now, so that asyncio.to_thread works and takes no time."""
        return func(*args)


def _names(loop: asyncio.AbstractEventLoop) -> str:
    tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
    counts = Counter(recorder.describe(task) for task in tasks)
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in sorted(counts.items()))


_running = threading.Lock()


def too_late(limit: float) -> str:
    """What a TimeoutError says of code that had *limit* seconds."""
    return f"not done after {limit:g} s. Is there a loop that never ends?"


def simulate(coroutine: Coroutine[Any, Any, T], *, limit: float = math.inf) -> T:
    """Run *coroutine* in simulated time and return what it returns, or raise what it raises.

    Works in a notebook cell and in plain Python. The clock starts at 0. `random` is seeded, and
    restored afterwards, so that a second run gives the same. As long as it runs, time.time(),
    time.monotonic() and time.perf_counter() follow the simulated clock, for the simulation alone.

    A RuntimeError if every task waits and no timer is set, or if another simulation is running; and
    at the end, if a cache did not follow the simulated clock. A TimeoutError if it has not ended
    after *limit* seconds, real ones.
    """
    if not iscoroutine(coroutine):
        raise TypeError(f"simulate() takes a coroutine, like simulate(main()), not {coroutine!r}.")
    if not _running.acquire(blocking=False):
        coroutine.close()
        raise RuntimeError("A simulation is running already. Inside it, await the coroutine.")
    outcome: list[T] = []
    failure: list[BaseException] = []
    started = threading.Event()
    loop = SimulatedLoop()
    clocks = Clocks(loop.time)

    def run() -> None:
        started.set()
        loop.set_exception_handler(recorder.loop_exception)
        try:
            with _patched_time(loop), clocks, asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    outcome.append(runner.run(coroutine))
                    recorder.pending(asyncio.all_tasks(loop))
                except KeyboardInterrupt:
                    loop.set_exception_handler(lambda loop, context: None)
                    raise
            if clocks.complaint:
                raise RuntimeError(clocks.complaint)
        except BaseException as error:
            if isinstance(error, NotImplementedError):
                error.add_note("Simulated time knows no sockets: await real servers outside it.")
            if clocks.complaint and not outcome:
                error.add_note(clocks.complaint)
            failure.append(error)

    # A thread of its own, because a notebook's own thread has a running loop already.
    thread = threading.Thread(
        target=copy_context().run, args=(run,), name="simulation", daemon=True
    )
    random_state = random.getstate()
    random.seed(1)
    latest = time.monotonic() + limit
    try:
        with _interruptible():
            thread.start()
            while thread.is_alive():
                if (left := latest - time.monotonic()) <= 0:
                    raise TimeoutError(too_late(limit))
                thread.join(min(0.5, left))  # without a limit Windows would miss an interrupt
    except (KeyboardInterrupt, TimeoutError):
        started.wait()
        while thread.is_alive():
            loop.interrupted = True  # raised between two tasks, where none of them can catch it
            thread.join(0.5)
            if loop.interrupted:  # a task that never awaits: raised inside it
                loop.interrupted = False
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
                )
                thread.join(0.5)
        raise
    finally:
        random.setstate(random_state)
        _running.release()
    if failure:
        raise failure[0]
    return outcome[0]


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt raise KeyboardInterrupt here, also in a notebook's cell with an `await`.

    In such a cell the kernel would have its event loop cancel the cell, and that loop stands still.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts never come to other threads
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_loop: SimulatedLoop | None = None  # of the simulation that runs now


@contextlib.contextmanager
def _patched_time(loop: SimulatedLoop) -> Iterator[None]:
    """Let the functions of `time` follow *loop* when they are called from this thread."""
    global _loop
    here = threading.get_ident()
    get_ident = threading.get_ident
    real = time.time, time.monotonic, time.perf_counter
    real_time, real_monotonic, real_perf_counter = real

    def wall_time() -> float:
        if get_ident() == here:
            return WALL_START + loop.now + loop.wall_shift
        return real_time()

    def monotonic() -> float:
        return loop.now if get_ident() == here else real_monotonic()

    def perf_counter() -> float:
        return loop.now if get_ident() == here else real_perf_counter()

    _loop = loop
    time.time, time.monotonic, time.perf_counter = wall_time, monotonic, perf_counter
    try:
        yield
    finally:
        time.time, time.monotonic, time.perf_counter = real
        _loop = None


def clock() -> float:
    """Seconds: simulated inside simulate(), else time.monotonic(). For AsyncCache(clock=…)."""
    return time.monotonic()  # looked up at each call: simulate() puts its own in place


class Wall:
    """The clock on the wall, which people and machines set."""

    def set_back(self, seconds: float) -> None:
        """Set time.time() back by *seconds*; inside simulate() only."""
        if _loop is None:
            raise RuntimeError("The wall clock can be set inside simulate() only.")
        _loop.wall_shift -= seconds


wall = Wall()
