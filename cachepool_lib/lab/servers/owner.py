"""The process that owns private servers: it reads orders from stdin, and ends with it.

An order is a line of JSON, the first one says what is wanted. Each gets a line in answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cachepool_lib.lab.servers.embedded import Files, stop
from cachepool_lib.lab.servers.provider import Unavailable


@dataclass
class Node:
    """A server that was started, and what can be done to it from outside."""

    stop: Callable[[], Awaitable[None]]
    kill: Callable[[], Awaitable[None]]
    freeze: Callable[[], Awaitable[None]]
    thaw: Callable[[], Awaitable[None]]
    died: Callable[[], bool] = lambda: False
    said: Callable[[], str] = str  # why it died


def node_of(files: Files, process: asyncio.subprocess.Process, end: signal.Signals) -> Node:
    """The server that is this process, and its children; *end* has it shut down."""

    async def send(number: signal.Signals) -> None:
        import psutil

        main = psutil.Process(process.pid)
        for one in [*main.children(recursive=True), main]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    async def kill() -> None:
        await send(signal.SIGKILL)
        await process.wait()

    return Node(
        stop=lambda: stop(process, end),
        kill=kill,
        freeze=lambda: send(signal.SIGSTOP),
        thaw=lambda: send(signal.SIGCONT),
        died=lambda: process.returncode is not None,
        said=lambda: files.said(process),
    )


class Servers(Protocol):
    """What is owned: `start` gives what to answer, with a node for each that was started."""

    nodes: list[Node]

    def choose(self) -> None:
        """Take ports that nobody uses."""

    async def start(self) -> dict[str, Any]: ...


async def _own() -> None:
    async def order() -> Any:
        line = await asyncio.to_thread(sys.stdin.readline)
        return json.loads(line) if line else None

    def answer(**what: Any) -> None:
        print(json.dumps(what), flush=True)

    wanted = await order()
    kind = importlib.import_module(f"cachepool_lib.lab.servers.own_{wanted.pop('kind')}")
    async with contextlib.AsyncExitStack() as stack:
        try:
            servers: Servers = await stack.enter_async_context(kind.owned(**wanted))
            stack.push_async_callback(_stop, servers)
            start = starter()
            answer(ready=True)
            while (what := await order()) is not None:
                if what in ("start", "stop"):
                    await _stop(servers)
                    answer(**await start(servers) if what == "start" else {"stopped": True})
                else:
                    [(name, number)] = what.items()
                    if number not in range(len(servers.nodes)):
                        answer(error=f"no server number {number} is running")
                        continue
                    await getattr(servers.nodes[number], name)()
                    answer(done=True)
        except Unavailable as error:
            answer(error=str(error))


def starter() -> Callable[[Servers], Awaitable[dict[str, Any]]]:
    """`start`: the first time on ports that nobody uses, later on the same."""
    tries_left = 3

    async def start(servers: Servers) -> dict[str, Any]:
        nonlocal tries_left
        while tries_left:
            tries_left -= 1
            servers.choose()
            try:
                said = await servers.start()
            except Unavailable:
                # Somebody else may have taken one of the ports meanwhile.
                if not tries_left or not any(node.died() for node in servers.nodes):
                    raise
                await _stop(servers)
            else:
                tries_left = 0
                return said
        return await servers.start()

    return start


async def _stop(servers: Servers) -> None:
    while servers.nodes:
        await servers.nodes.pop().stop()


def main() -> None:
    asyncio.run(_own())
