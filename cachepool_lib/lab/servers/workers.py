"""Other processes: each runs a job, with the class that the reader has just written.

A process that has done its work waits for more, so that only the first experiment pays for
starting. They end with the notebook's last cell, or with the kernel, however that ends.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import io
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
from collections import ChainMap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, ParamSpec

import cloudpickle

from cachepool_lib.lab.environment import environment
from cachepool_lib.lab.notebook import recorder
from cachepool_lib.lab.servers.child import command

# -- in such a process --------------------------------------------------------------------------


def serve() -> None:
    """Run one job after the other: a line of stdin each, until the other end is closed."""
    while line := sys.stdin.readline():
        try:
            pickle.loads(base64.b64decode(line))()
        except Exception as error:
            tell(error=f"{type(error).__name__}: {error}".partition("\n")[0])
        tell(done=True)


def tell(**event: Any) -> None:
    """Say something to the process that started this one."""
    print(json.dumps(event), flush=True)


# -- in the notebook ----------------------------------------------------------------------------

_idle: list[subprocess.Popen[str]] = []
_busy: set[subprocess.Popen[str]] = set()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Sends a ParamSpec by value too: its name means nothing in another process."""

    dispatch_table: ClassVar[Any] = ChainMap(
        {ParamSpec: lambda spec: (ParamSpec, (spec.__name__,))}, cloudpickle.Pickler.dispatch_table
    )


def by_value(thing: Any) -> str:
    """Pickled, as one line of text, with the classes and functions of a notebook that it needs."""
    file = io.BytesIO()
    _Pickler(file).dump(thing)
    return base64.b64encode(file.getvalue()).decode()


_hash_seeds = itertools.count(1)


def _start() -> subprocess.Popen[str]:
    """A process with a hash seed of its own: no two print a set in the same order by luck."""
    return subprocess.Popen(
        command("cachepool_lib.lab.servers.workers", "serve"),
        env={**environment(), "PYTHONHASHSEED": str(next(_hash_seeds))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what a naive class leaves open; errors are told
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with process:  # closes the pipes and waits
        pass


def _forget() -> None:
    _idle.clear()
    _busy.clear()


def _retire() -> str | None:
    """For the last cell of a notebook: end those who wait for work."""
    while _idle:
        _end(_idle.pop())
    return f"{len(_busy)} processes" if _busy else None


recorder.borrowed(_retire)
atexit.register(_retire)
if sys.platform != "win32":  # a forked child has no right to its parent's processes
    os.register_at_fork(after_in_child=_forget)


async def each(
    job: Callable[[], None],
    processes: int,
    hear: Callable[[int, subprocess.Popen[str], dict[str, Any]], None],
) -> None:
    """Run *job* in so many processes; *hear* what each tells, with its number.

    Those that say they are ready go on when all of them are. RuntimeError with what one of them
    raised.
    """
    line = by_value(job) + "\n"
    mine = [_idle.pop() if _idle else _start() for _ in range(processes)]
    _busy.update(mine)
    gate = threading.Barrier(processes)
    failures: list[str] = []

    def follow(number: int) -> None:
        process = mine[number]
        assert process.stdin and process.stdout
        try:
            process.stdin.write(line)
            process.stdin.flush()
            for text in process.stdout:
                event = json.loads(text)
                if "done" in event:
                    _idle.append(process)
                    return
                if "error" in event:
                    failures.append(event["error"])
                    gate.abort()
                elif "ready" in event:
                    gate.wait()
                    process.stdin.write("go\n")
                    process.stdin.flush()
                    hear(number, process, event)
                else:
                    hear(number, process, event)
        except threading.BrokenBarrierError:
            pass  # another one has failed
        finally:
            _busy.discard(process)
            if process not in _idle:
                _end(process)

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(processes) as pool:  # the loop's own may have too few threads
        follows = [loop.run_in_executor(pool, follow, number) for number in range(processes)]
        try:
            await asyncio.gather(*follows)
        except BaseException:
            for process in mine:
                process.kill()
            raise
    if failures:
        raise RuntimeError(failures[0])
