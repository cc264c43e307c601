"""What sends a batch, on connections of our own."""

from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError, ResponseError

from cachepool_lib.redis_cache.batch import Command
from cachepool_lib.redis_cache.client import may_have_moved, word
from cachepool_lib.redis_cache.scripts import SET, STORE


class NoConnection(Exception):
    """None could be opened, so nothing was sent; why is the cause."""


class Connections:
    """Those to one server.

    They are made as redis-py's pool makes them, and kept here until the next batch: to take one
    from the pool and give it back costs a third of a hit.

    Args:
        make: gives a connection that is not connected yet.
        apart: names of several keys can't go together, as in a cluster.
    """

    def __init__(self, make: Callable[[], Any], *, apart: bool = False) -> None:
        self.make = make
        self.kept: list[Any] = []
        self._apart = apart

    async def execute(self, commands: list[Command]) -> list[tuple[Command, Any]]:
        """Each of *commands* with its reply; an error reply is an exception.

        Raises what redis-py raises where there are no replies. Cancelled, it drops the connection.
        """
        if len(commands) == 1 and not self._apart:
            return [(commands[0], (await self._on_one([commands[0].args]))[0])]
        sent = each_alone(commands) if self._apart else together(commands)
        replies = await self._on_one([args for _, args in sent])
        told: list[tuple[Command, Any]] = []
        for (alike, _), reply in zip(sent, replies, strict=True):
            if len(alike) == 1:
                told.append((alike[0], reply))
            elif isinstance(reply, list) and len(reply) == len(alike):
                told += zip(alike, reply, strict=True)
            elif isinstance(reply, ResponseError) and word(reply) == "CROSSSLOT":
                # A proxy shares them out among servers, say. Nothing of it was done.
                self._apart = True
                again = await self._on_one([command.args for command in alike])
                told += zip(alike, again, strict=True)
            else:  # the same for all: done, another error, or what makes no sense
                told += ((command, reply) for command in alike)
        return told

    async def check(self, name: bytes) -> None:
        """Ask for *name* on a fresh connection. Raises what says that the server can't be used."""
        connection = self.make()
        try:
            await connection.connect()
        except Exception:
            # The server may have as many clients as it takes, and answer those.
            if not self.kept:
                raise
            [reply] = await self._on_one([("GET", name)])
            if isinstance(reply, Exception):
                raise reply from None
        else:
            await connection.send_command("GET", name)
            await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """End those that are kept."""
        while self.kept:
            await self.kept.pop().disconnect()

    async def _on_one(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        replies: list[Any] = []
        kept = is_open = bool(self.kept)
        connection = self.kept.pop() if kept else self.make()
        try:
            if not kept:
                await connection.connect()
                is_open = True
            await connection.send_packed_command(pack(commands))
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException as error:
            # Replies may be on their way, and nobody else may take them for theirs.
            await connection.disconnect(nowait=True)
            dead = ConnectionError, RuntimeError, AttributeError
            if kept and not replies and type(error) in dead:
                # It died while nobody used it, most likely, and so may others that are kept. (A
                # write to what was reset is a RuntimeError on uvloop, an AttributeError of
                # asyncio's transport in Python 3.13.)
                return await self._on_one(commands)
            if not is_open and isinstance(error, Exception):
                raise NoConnection from error
            raise
        self.kept.append(connection)
        if any(map(may_have_moved, replies)):
            # After a fail-over the same name leads elsewhere: sending connects them anew.
            for one in list(self.kept):
                await one.disconnect(nowait=True)
        return replies


def each_alone(commands: list[Command]) -> list[tuple[list[Command], tuple[Any, ...]]]:
    """What to send for *commands*, each with the one that it answers, if any."""
    sent: list[tuple[list[Command], tuple[Any, ...]]] = []
    for command in commands:
        sent += [([], ("ASKING",))] if command.asking else []
        sent.append(([command], command.args))
    return sent


def together(commands: list[Command]) -> list[tuple[list[Command], tuple[Any, ...]]]:
    """What to send for *commands*, each with those that it answers.

    GETs go as one MGET, values to set or to store as one script: that takes half the time.
    """
    kinds: dict[Any, list[Command]] = {}
    for command in commands:
        kind = command.args[1] if command.args[0] == "EVAL" else command.args[0]
        kinds.setdefault(kind if kind in ("GET", SET, STORE) else command, []).append(command)
    return [(alike, _as_one([command.args for command in alike])) for alike in kinds.values()]


def _as_one(alike: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    if len(alike) == 1:
        return alike[0]
    if alike[0][0] == "GET":
        return "MGET", *(name for _, name in alike)
    values = [args[3] for args in alike]
    others = [name for args in alike for name in args[4:7]]
    told = [part for args in alike for part in args[7:]]
    return "EVAL", alike[0][1], 4 * len(alike), *values, *others, *told


def pack(commands: list[tuple[Any, ...]]) -> bytes:
    """*commands* as the protocol has them (RESP), in a third of the time that redis-py takes."""
    parts = []
    for args in commands:
        parts.append(b"*%d\r\n" % len(args))
        for arg in args:
            data = arg if type(arg) is bytes else _encoded(arg)
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _encoded(arg: Any) -> Any:
    return str(arg).encode() if isinstance(arg, (str, int)) else arg
