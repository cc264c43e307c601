"""Private servers, for what would disturb others: full memory, a restart, a cluster, a replica.

    async with lab.server(maxmemory="3mb", maxmemory_policy="noeviction") as server:
        server.url

A small process owns them: it ends when the one that asked for them ends, SIGKILL included, and
takes the servers and their files with it. They listen on loopback only, behind a password.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from cachepool_lib.lab.environment import environment
from cachepool_lib.lab.servers.child import command


class Server:
    """One private server, or several that belong together; `start` and `stop` them as you like."""

    def __init__(self, **order: Any) -> None:
        self._order = order
        self._owner: asyncio.subprocess.Process | None = None
        self.urls: list[str] = []

    @property
    def url(self) -> str:
        """The address, with the password; of several that of the first one."""
        return self.urls[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.urls) or 'not started'}>"

    async def start(self) -> None:
        """Start it, on the same port as before. Returns when it answers (of several: when all do).

        Raises RuntimeError with the reason where it can't.
        """
        if self._owner is None:
            self._owner = await asyncio.create_subprocess_exec(
                *command("cachepool_lib.lab.servers.owner", "main"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd="/",
                env=environment(),
                start_new_session=True,  # interrupting a cell does not reach it
            )
            await self._tell(self._order)
        self._started(await self._tell("start"))

    def _started(self, answer: dict[str, Any]) -> None:
        self.urls = answer["urls"]

    async def stop(self) -> None:
        """Stop it. Of Redis, what it held is lost."""
        await self._tell("stop")

    async def kill(self, number: int = 0) -> None:
        """End the server at `urls[number]` as a power cut would. Returns when it is gone."""
        await self._tell({"kill": number})

    async def freeze(self, number: int = 0) -> None:
        """Let the server at `urls[number]` stand still: connections stay open, nothing answers."""
        await self._tell({"freeze": number})

    async def thaw(self, number: int = 0) -> None:
        """Let a frozen server go on where it was."""
        await self._tell({"thaw": number})

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

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _tell(self, order: Any) -> dict[str, Any]:
        if self._owner is None:
            raise RuntimeError("this private server is not started: await server.start()")
        assert self._owner.stdin is not None
        assert self._owner.stdout is not None
        self._owner.stdin.write(json.dumps(order).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._owner.stdout.readline() or "{}")
        if "error" in answer or not answer:
            raise RuntimeError(f"no private server: {answer.get('error', 'its owner failed')}")
        return answer


class Postgres(Server):
    """A private PostgreSQL: `urls` are those of the primary, and of the replica if there is one."""

    admin_urls: list[str]
    """The same for the administrator, who also gets the connections that are reserved for one."""

    @property
    def replica_url(self) -> str:
        """The address of the replica, which answers reads alone."""
        return self.urls[1]

    def _started(self, answer: dict[str, Any]) -> None:
        super()._started(answer)
        self.admin_urls = answer["admin_urls"]

    async def pause_replay(self) -> None:
        """From now on the replica shows nothing new, until `resume_replay`."""
        await self._ask_replica("SELECT pg_wal_replay_pause()")

    async def resume_replay(self) -> None:
        """Let the replica catch up. Returns at once."""
        await self._ask_replica("SELECT pg_wal_replay_resume()")

    async def _ask_replica(self, statement: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(self.admin_urls[1])
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def server(**settings: str) -> Server:
    """A private server with these settings of valkey.conf, `maxmemory_policy` for maxmemory-policy.

    Starts at the beginning of `async with`, or with `await server.start()`. Needs what
    `lab.services()` needs, but for PostgreSQL.
    """
    return _redis(1, 0, 5, settings)


def cluster(
    primaries: int = 3, replicas: int = 0, *, node_timeout: float = 5, **settings: str
) -> Server:
    """A private cluster of so many primaries, which share the slots, and as many replicas of each.

    `urls` are those of the primaries, then of the first replica of each, and so on. A replica takes
    over from a primary that did not answer the others for *node_timeout* seconds. Starts in about
    two seconds.
    """
    return _redis(primaries, replicas, node_timeout, settings)


def _redis(primaries: int, replicas: int, node_timeout: float, settings: dict[str, str]) -> Server:
    order = {"primaries": primaries, "replicas": replicas, "node_timeout": node_timeout}
    return Server(kind="redis", **order, settings=settings)


def postgres(max_connections: int = 100, *, replica: bool = False, **settings: str) -> Postgres:
    """A private PostgreSQL with these settings of postgresql.conf, perhaps with a replica.

    Of *max_connections* three are reserved for administrators, as always. It is the embedded one,
    with Docker, too: a replica needs the files of its primary.
    """
    ours = {
        "max_connections": str(max_connections),
        "synchronous_commit": "on",  # else a replica hears of a commit a fifth of a second later
    }
    settings = ours | settings
    return Postgres(kind="postgres", replica=replica, settings=settings)
