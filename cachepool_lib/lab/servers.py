"""Private servers, for what would disturb others: full memory, a replica, a restart, a cluster.

    async with lab.server(maxmemory="3mb", maxmemory_policy="noeviction") as server:
        server.url

A small process owns them: it ends when the one that asked for them ends, SIGKILL included, and
takes the servers and their files with it. They listen on loopback only, behind a password.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import TracebackType
from typing import Any, Self


class Server:
    """One private server, or the nodes of a cluster; `start` and `stop` as often as you like."""

    def __init__(self, nodes: int, settings: dict[str, str]) -> None:
        self._order = {"nodes": nodes, "settings": settings}
        self._owner: asyncio.subprocess.Process | None = None
        self.urls: list[str] = []

    @property
    def url(self) -> str:
        """The address, with the password; of a cluster that of the first node."""
        return self.urls[0]

    def __repr__(self) -> str:
        return f"<Server: {len(self.urls) or 'not started'}>"

    async def start(self) -> None:
        """Start it, on the same port as before. Returns when it answers (of a cluster: in all)."""
        if self._owner is None:
            code = "from cachepool_lib.lab._owner import main; main()"
            self._owner = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", code),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd="/",
                start_new_session=True,  # interrupting a cell does not reach it
            )
            await self._tell(self._order)
        self.urls = (await self._tell("start"))["urls"]

    async def stop(self) -> None:
        """Stop it: what it held is lost."""
        await self._tell("stop")

    async def close(self) -> None:
        """Stop it for good and remove its files."""
        if self._owner is not None:
            assert self._owner.stdin is not None
            self._owner.stdin.close()
            await self._owner.wait()
            self._owner = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _tell(self, order: Any) -> dict[str, Any]:
        assert self._owner is not None
        assert self._owner.stdin is not None
        assert self._owner.stdout is not None
        self._owner.stdin.write(json.dumps(order).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._owner.stdout.readline() or "{}")
        if "error" in answer or not answer:
            raise RuntimeError(f"no private server: {answer.get('error', 'its owner failed')}")
        return answer


def server(**settings: str) -> Server:
    """A private server with these settings of valkey.conf, `maxmemory_policy` for maxmemory-policy.

    Starts at the beginning of `async with`, or with `await server.start()`. Needs what
    `lab.services()` needs, but for PostgreSQL.
    """
    return Server(1, settings)


def cluster(nodes: int = 3, **settings: str) -> Server:
    """A private cluster of so many primaries, which share the slots evenly."""
    return Server(nodes, settings)
