"""What went wrong where nobody looked: kept, so that the last cell of a notebook can fail for it.

A task that dies unseen, a coroutine that nobody awaited and a warning leave a notebook looking
fine, and so do tests of it: pytest's own checks don't reach the kernel. Importing cachepool_lib.lab
installs this recorder. What it records is shown to the user as before.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from inspect import CORO_CREATED, getcoroutinestate
from pathlib import Path
from types import CoroutineType
from typing import Any, TextIO

_found: list[str] = []
_installed = False
_borrowed: list[Callable[[], str | None]] = []

# A kernel's own tasks come and go between cells; they are known by the files they are written in.
_KERNEL = {"ipykernel", "IPython", "jupyter_client", "tornado", "zmq"}
# Python shows these for the code that a user types, and drops them elsewhere.
_QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def describe(task: asyncio.Task[Any]) -> str:
    """The name of the function that *task* runs, and the line where it waits."""
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", task.get_name()).rpartition("<locals>.")[2]
    stack = task.get_stack(limit=1)
    return f"{name} (line {stack[-1].f_lineno})" if stack else name


def _note(text: str) -> None:
    if text not in _found:
        _found.append(text)


def pending(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Record those of *tasks* that are not done."""
    for task in tasks:
        if not task.done():
            _note(f"still running: {describe(task)}")


def loop_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler for event loops: record, then do what asyncio does."""
    error = context.get("exception")
    message = context.get("message", "")
    _note(f"{message}: {error!r}" if error else message)
    loop.default_exception_handler(context)


def borrowed(ask: Callable[[], str | None]) -> None:
    """Let nothing_left() *ask* whether something is still borrowed: a short text, or None."""
    _borrowed.append(ask)


@contextlib.contextmanager
def overheard() -> Iterator[list[str]]:
    """Keep what goes wrong in this block from the reader and from nothing_left(): in the list, at
    the end.

    For a learner's attempt: what is wrong with it is told by its check, once.
    """
    heard: list[str] = []
    before, unraisable = len(_found), sys.unraisablehook
    sys.unraisablehook = lambda seen: heard.append(f"exception ignored: {seen.exc_value!r}")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            yield heard
        finally:
            gc.collect()  # a coroutine may be held by the traceback of its own failure
            sys.unraisablehook = unraisable
            heard += [str(warning.message) for warning in seen] + _found[before:]
            del _found[before:]


def install() -> None:
    """In a notebook's kernel, listen to its loop, to warnings and to exceptions nobody catches."""
    global _installed
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    if _installed or not getattr(shell, "kernel", None):
        return
    _installed = True
    # Where somebody else has started the kernel, of a learner's own settings those go that would
    # change what a cell shows: values before its last line; a database that is asked for by PG*.
    shell.ast_node_interactivity = "last_expr"
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    # It complains, in a cell, of a home folder that can't be written, and that it looks for fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()  # a cell runs inside the kernel's loop
    loop.set_exception_handler(loop_exception)
    sys.unraisablehook = _chain(sys.unraisablehook, "exception ignored")
    threading.excepthook = _chain(threading.excepthook, "exception in a thread")
    _listen_to_warnings()


def _chain(before: Callable[[Any], Any], what: str) -> Callable[[Any], None]:
    def hook(seen: Any) -> None:
        _note(f"{what}: {seen.exc_value!r}")
        before(seen)

    return hook


def _listen_to_warnings() -> None:
    """Record every warning; show what Python would have shown.

    Python drops some kinds, and repetitions, before anybody can see them; "always" stops that.
    Filters that are set later come before it: who silences a warning on purpose is heard.
    """
    show = warnings.showwarning
    shown: set[tuple[str, str, int]] = set()

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        _note(f"{category.__name__}: {message} ({Path(filename).name}, line {lineno})")
        place = (str(message), filename, lineno)
        in_a_cell = "ipykernel_" in filename
        if (in_a_cell or not issubclass(category, _QUIET)) and place not in shown:
            shown.add(place)
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = showwarning
    warnings.simplefilter("always")


def _unseen() -> Iterator[str]:
    """Faults that a name still holds on to, so that Python has not complained yet.

    exception() and close() keep it from complaining later: told once is enough.
    """
    for thing in gc.get_objects():
        kind = type(thing)  # isinstance() would wake lazy proxies
        if issubclass(kind, asyncio.Future):
            if thing.done() and thing._log_traceback:
                error = thing.exception()
                if not isinstance(error, KeyboardInterrupt):  # the loop raised that one, too
                    yield f"exception never retrieved: {error!r}"
        elif kind is CoroutineType and getcoroutinestate(thing) == CORO_CREATED:
            thing.close()
            yield f"never awaited: {thing.__qualname__}"


def _is_kernels(coroutine: Any) -> bool:
    code = getattr(coroutine, "cr_code", None)
    return code is not None and not _KERNEL.isdisjoint(Path(code.co_filename).parts)


def forget() -> list[str]:
    """What was noted since the last call."""
    found = _found.copy()
    _found.clear()
    return found


async def nothing_left() -> None:
    """Fail if the notebook left anything running or unseen: for its last cell.

    AssertionError with what was found since the last call: pending tasks, exceptions that nobody
    took, coroutines never awaited, warnings, things still borrowed.
    """
    gc.collect()
    await asyncio.sleep(0)  # what the collection set off may end
    mine = asyncio.all_tasks() - {asyncio.current_task()}
    pending(task for task in mine if not _is_kernels(task.get_coro()))
    for fault in _unseen():
        _note(fault)
    for ask in _borrowed:
        if what := ask():
            _note(f"still borrowed: {what}")
    if found := forget():
        raise AssertionError("Left over:\n" + "\n".join(f"- {text}" for text in found))
    print("Nothing is left: no task, no unseen exception, no warning, nothing borrowed.")
