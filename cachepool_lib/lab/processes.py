"""Real processes, for what tasks can't show: each runs the class that the reader has just written.

A process that has done its work waits for more, so that only the first experiment pays for
starting. They end with the notebook's last cell, or with the kernel, however that ends.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import io
import itertools
import json
import os
import pickle
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import ChainMap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec

import cloudpickle

from . import recorder
from .contract import Bench

if TYPE_CHECKING:  # charts bring matplotlib, which is slow to import
    from .charts import Lane

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


def _crowd(make: Callable[[], Any], key: str, callers: int, load_seconds: float) -> None:
    """Read *key* for so many callers at once, and tell when loads and callers began and ended."""

    async def load() -> str:
        tell(load=time.monotonic())
        await asyncio.sleep(load_seconds)
        tell(loaded=time.monotonic())
        return "page"

    async def run() -> None:
        cache = make()
        bench = Bench(type(cache))

        async def caller() -> tuple[float, float, bool]:
            start = time.monotonic()
            try:
                good = await bench.read(cache, key, load) == "page"
            except Exception:
                good = False
            return start, time.monotonic(), good

        # All connections are open before it begins.
        await asyncio.gather(*(cache.get(f"{key}:nobody") for _ in range(callers)))
        tell(ready=True)
        sys.stdin.readline()
        tell(waits=await asyncio.gather(*(caller() for _ in range(callers))))
        await cache.close()

    asyncio.run(run())


def _two_loops(make: Callable[[], Any], key: str) -> None:
    """Use one cache on two event loops: one after the other, then both at the same time."""
    cache = make()
    asyncio.run(cache.set(key, "Ada"))
    value = asyncio.run(cache.get(key))
    with ThreadPoolExecutor(2) as pool:
        together = threading.Barrier(2)
        threads = [pool.submit(asyncio.run, _reads(cache, key, together)) for _ in range(2)]
        wrong = [text for thread in threads for text in thread.result()]
    tell(value=value, wrong=wrong)


async def _reads(cache: Any, key: str, together: threading.Barrier) -> list[str]:
    """More callers than connections, on this loop, read what is there and what nobody has yet:
    what the others than "Ada" were."""
    bench, wrong = Bench(type(cache)), []

    async def load() -> str:
        await asyncio.sleep(0.02)
        return "Ada"

    async def caller(key: str) -> None:
        try:
            async with asyncio.timeout(5):  # a future of the other loop may wake nobody here
                value = repr(await bench.read(cache, key, load))
        except Exception as error:
            value = re.sub(" <.*>", "", f"{type(error).__name__}: {error}", flags=re.DOTALL)
        if value != "'Ada'":
            wrong.append(value)

    with contextlib.suppress(threading.BrokenBarrierError):  # the other one has seen enough
        for number in range(5):
            together.wait()
            await asyncio.gather(*(caller(name) for name in [key, f"{key}:{number}"] * 60))
            if wrong:
                together.abort()
        together.wait()
        await cache.close()
    return wrong


# -- in the notebook ----------------------------------------------------------------------------

_idle: list[subprocess.Popen[str]] = []
_busy: set[subprocess.Popen[str]] = set()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Sends a ParamSpec by value too: its name means nothing in another process."""

    dispatch_table: ClassVar[Any] = ChainMap(
        {ParamSpec: lambda spec: (ParamSpec, (spec.__name__,))}, cloudpickle.Pickler.dispatch_table
    )


def _by_value(job: Callable[[], None]) -> str:
    """The job as one line of text, with the classes that it needs."""
    file = io.BytesIO()
    _Pickler(file).dump(job)
    return base64.b64encode(file.getvalue()).decode() + "\n"


_hash_seeds = itertools.count(1)


def _start() -> subprocess.Popen[str]:
    """A process with a hash seed of its own: no two print a set in the same order by luck."""
    code = "from cachepool_lib.lab.processes import serve; serve()"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONHASHSEED": str(next(_hash_seeds))},
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
    line = _by_value(job)
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


@dataclass
class Process:
    """What one process did, in seconds since all of them began."""

    loads: list[tuple[float, float | None]] = field(default_factory=list)  # no end: killed in it
    waits: list[tuple[float, float, bool]] = field(default_factory=list)  # whether a page came
    killed: float | None = None


@dataclass(frozen=True, repr=False)
class Crowds:
    """What all processes did."""

    processes: list[Process]
    callers: int

    @property
    def loads(self) -> int:
        """How many loads began."""
        return sum(len(process.loads) for process in self.processes)

    @property
    def pages(self) -> int:
        """How many callers got the page."""
        return sum(good for process in self.processes for _, _, good in process.waits)

    @property
    def lanes(self) -> list[Lane]:
        """A lane for each process, for charts.swimlane()."""
        from .charts import Lane

        lanes = []
        for number, process in enumerate(self.processes, 1):
            end = process.killed or max((end for _, end, _ in process.waits), default=0.0)
            spans: list[Any] = [(0.0, end, "wait")]
            spans += [(start, stop or end, "load") for start, stop in process.loads]
            lost = not all(good for _, _, good in process.waits)
            ending: Any = "killed" if process.killed else "lost" if lost else "page"
            lanes.append(Lane(f"process {number}", spans, ending))
        return lanes

    def __repr__(self) -> str:
        killed = sum(process.killed is not None for process in self.processes)
        text = f"{len(self.processes)} processes × {self.callers} callers: "
        text += f"{self.loads} load{'s' * (self.loads != 1)}, {self.pages} pages"
        return text + f", {killed} process killed" * bool(killed)


async def crowds(
    make: Callable[[], Any],
    *,
    processes: int = 4,
    callers: int = 50,
    load_seconds: float = 0.3,
    kill_loader: bool = False,
) -> Crowds:
    """In each of so many processes, so many callers ask at once for one page that nobody has.

    *make* makes a process its cache: `partial(MyCache, url)`. With *kill_loader* the first process
    that loads is killed (SIGKILL) in the middle of it.
    """
    key = f"page:{secrets.token_hex(8)}"
    seen = [Process() for _ in range(processes)]
    first, zero = itertools.count(), float("inf")

    def hear(number: int, process: subprocess.Popen[str], event: dict[str, Any]) -> None:
        nonlocal zero
        this = seen[number]
        if "ready" in event:
            zero = min(zero, time.monotonic())
        elif "load" in event:
            this.loads.append((event["load"] - zero, None))
            if kill_loader and next(first) == 0:
                time.sleep(load_seconds / 2)  # this thread listens to this process alone
                process.kill()
                this.killed = time.monotonic() - zero
        elif "loaded" in event:
            last = next(i for i, (_, end) in enumerate(this.loads) if end is None)
            this.loads[last] = this.loads[last][0], event["loaded"] - zero
        elif "waits" in event:
            this.waits = [(start - zero, end - zero, good) for start, end, good in event["waits"]]

    await each(partial(_crowd, make, key, callers, load_seconds), processes, hear)
    return Crowds(seen, callers)


async def two_loops(make: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Set a value on one event loop and get it on another, then read on two loops at the same time,
    in a process of its own.

    Returns the value, and what callers got instead of it on the two loops. RuntimeError with what
    the class raised.
    """
    said: list[tuple[Any, list[str]]] = []
    job = partial(_two_loops, make, f"loops:{secrets.token_hex(8)}")
    await each(job, 1, lambda _, __, event: said.append((event["value"], event["wrong"])))
    return said[0]
