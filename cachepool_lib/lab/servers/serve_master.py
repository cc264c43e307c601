"""The process that forks the workers of lab.serve(): it takes orders from stdin, and ends with it.

One service after the other: listen, start a worker, and another, listen no more.

What is imported here is imported once, however many workers there are.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import os
import pickle
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

# What most apps need, and uvicorn itself when it serves.
from fastapi import FastAPI  # noqa: F401
from uvicorn.protocols.http import h11_impl  # noqa: F401

from cachepool_lib import DatabasePool, TieredCache  # noqa: F401

PAUSE_SECONDS = 0.1  # between a worker's last new connection and its end
LEAVE_SECONDS = 5  # for a page that is under way when its worker has to go


def main() -> None:
    """Fork a worker for each order, and tell which have started and which have ended."""
    told = os.dup(1)
    os.dup2(2, 1)  # what an app prints is no message

    def tell(**event: Any) -> None:
        os.write(told, json.dumps(event).encode() + b"\n")

    listening: socket.socket | None = None
    child_ended, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    alive, held = os.pipe()  # read to its end when this process is gone
    workers: dict[int, int] = {}
    for order in _orders(child_ended):
        if order is None:
            for pid in _ended(workers):
                tell(left=workers.pop(pid), pid=pid)
        elif "listen" in order:
            listening = _listen()
            tell(port=listening.getsockname()[1])
        elif listening and order:
            pid = os.fork()
            if not pid:
                os.close(held)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os._exit(_work(order, listening, alive, tell))
            workers[pid] = order["number"]
        elif listening:  # no more workers. Who held on to the socket would keep visitors waiting.
            listening.close()
            listening = None
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def _listen() -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Inherited by each connection. asyncio sets it on connections of sockets that it has opened
    # itself; without it each further page on a connection takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(2048)
    return listening


def _orders(child_ended: int) -> Iterator[dict[str, Any] | None]:
    """The lines of stdin until it is closed, and None each time that a child may have ended."""
    text = b""
    while True:
        ready, _, _ = select.select([0, child_ended], [], [])
        if child_ended in ready:
            os.read(child_ended, 4096)
            yield None
        if 0 in ready:
            if not (data := os.read(0, 65536)):
                return
            *lines, text = (text + data).split(b"\n")
            yield from map(json.loads, lines)


def _ended(workers: dict[int, int]) -> list[int]:
    ended: list[int] = []
    while len(ended) < len(workers) and (pid := os.waitpid(-1, os.WNOHANG)[0]):
        ended.append(pid)
    return ended


# -- in a worker --------------------------------------------------------------------------------


def _work(
    order: dict[str, Any], listening: socket.socket, alive: int, tell: Callable[..., None]
) -> int:
    """Serve until a signal comes; return the exit code."""
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    number = order["number"]
    try:
        os.environ.clear()
        os.environ.update(order["env"])
        config = uvicorn.Config(
            _watched(_app(order), number, tell),
            loop=order["loop"],
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=LEAVE_SECONDS,
        )
        _Server(config, lambda: tell(ready=number, pid=os.getpid())).run(sockets=[listening])
    except SystemExit:  # the app's own start failed, and that was told
        return 1
    except BaseException as error:
        tell(failed=number, why=f"{type(error).__name__}: {error}".partition("\n")[0])
        return 1
    return 0


def _end_with(alive: int) -> None:
    """End this process when the master has, even by SIGKILL."""
    os.read(alive, 1)
    os._exit(1)


def _app(order: dict[str, Any]) -> Any:
    if order["file"] is None:
        return pickle.loads(base64.b64decode(order["factory"]))()
    name = os.path.splitext(os.path.basename(order["file"]))[0]
    spec = importlib.util.spec_from_file_location(name, order["file"])
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for what, other in pickle.loads(base64.b64decode(order["replace"])).items():
        getattr(module, what)  # AttributeError: nothing to replace
        setattr(module, what, other)
    return module.app


def _watched(app: Any, number: int, tell: Callable[..., None]) -> Any:
    """*app*, with the worker's pid in the header of each answer; tells why its start failed."""
    pid = str(os.getpid()).encode()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"x-worker", pid)]}
            elif message["type"] == "lifespan.startup.failed":
                lines = message.get("message", "").strip().splitlines()
                tell(failed=number, why=lines[-1] if lines else "without a word")
            await send(message)

        await app(scope, receive, sent)

    return watched


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn hangs up on who has connected and not asked yet: they have a moment to ask.
        for server in self.servers:
            server.close()
        await asyncio.sleep(PAUSE_SECONDS)
        await super().shutdown(sockets)
