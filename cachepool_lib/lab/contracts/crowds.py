"""Real processes for what tasks can't show: crowds that share a store, and two event loops."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from cachepool_lib.lab.contracts.cache.bench import Bench
from cachepool_lib.lab.servers.workers import each, tell

if TYPE_CHECKING:  # charts bring matplotlib, which is slow to import
    from cachepool_lib.lab.charts import Lane


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
        from cachepool_lib.lab.charts import Lane

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
