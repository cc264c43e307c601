"""How a command of the course begins and ends: `if __name__ == "__main__": run(main)`.

In an environment of our own, and interrupted at any moment with one line and status 130. For that
it is what the package imports first: `python -m` has then not come to the command itself.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, NoReturn, TypeVar

from cachepool_lib.lab.environment import remove_folders, settle

T = TypeVar("T")
INTERRUPTED = 130  # what a shell says of a program that Ctrl-C has ended
CLOSED = 141  # and of one whose reader has gone, such as head


def _interrupts() -> list[int]:
    """Ctrl-C, a polite end, and a terminal that was closed; without those that nohup ignores."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [int(getattr(signal, name)) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


def _once() -> None:
    """Who asks again while the first interrupt is being obeyed would cut off the cleaning up."""
    for number in _interrupts():
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _once()
    raise KeyboardInterrupt


def _stop() -> NoReturn:
    """Say so and end, without what libraries do at the end of a run that went well."""
    os.write(2, b"\nStopped.\n")
    remove_folders()
    os._exit(INTERRUPTED)


def run(main: Callable[[], int]) -> NoReturn:
    """Run *main* to its end and exit with the status that it returns."""
    for number in _interrupts():
        signal.signal(number, _interrupt)
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _once()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        _stop()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more as it ends
        status = CLOSED
    except OSError as error:  # what was printed has no place
        print(error, file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 2
    sys.exit(status)


def complete(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run() does it; an interrupt cancels *work*, which has its time to clean up.

    Then KeyboardInterrupt.
    """
    stopped = False
    with asyncio.Runner(loop_factory=_loop) as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True
            _once()
            loop.set_exception_handler(lambda *told: None)  # what is cut off has its complaints
            loop.call_soon_threadsafe(task.cancel)

        before = {number: signal.signal(number, stop) for number in _interrupts()}
        try:
            return loop.run_until_complete(task)
        finally:
            if stopped:
                raise KeyboardInterrupt
            for number, handler in before.items():
                signal.signal(number, handler)


def _loop() -> asyncio.AbstractEventLoop:
    """One on which nbclient can't set its own handlers: they end a kernel, and the run goes on."""
    loop = asyncio.new_event_loop()

    def refuse(*given: object) -> None:
        raise RuntimeError("an interrupt is for the whole command")

    setattr(loop, "add_signal_handler", refuse)  # noqa: B010 - mypy forbids to assign it
    return loop


def _begin() -> None:
    for number in _interrupts():
        # No exception: it might be raised, and shown, where the interpreter ignores it.
        signal.signal(number, lambda number, frame: _stop())
    settle()
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:  # it was closed: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        else:  # a terminal that knows no × or … gets another sign
            stream.reconfigure(errors="replace")


if sys.argv[:1] == ["-m"]:  # `python -m` imports this package on its way to a command
    _begin()
