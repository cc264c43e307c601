"""A pooler in transaction mode, as PgBouncer is one: many clients on a few connections.

A client gets one of the connections to the server when it begins a transaction, and gives it back
when that has ended; a statement outside of one is a transaction by itself. Nothing is reset between
two clients. The messages are those of "Frontend/Backend Protocol" in PostgreSQL's manual.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import struct
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit, urlunsplit

STARTUP, CANCEL, NO_TLS = 196_608, 80_877_102, {80_877_103, 80_877_104}
AUTHENTICATED = b"R" + struct.pack("!ii", 8, 0)
ASKS_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
IDLE = b"Z" + struct.pack("!i", 5) + b"I"
# What a client may ask for when it connects: these are the same for all here, or of no effect.
KNOWN = {"user", "database", "client_encoding", "application_name", "datestyle", "timezone"}


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _error(code: str, text: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": text}
    return _message(b"E", b"".join(f"{k}{v}\0".encode() for k, v in fields.items()) + b"\0")


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next message: its kind, and what it says."""
    kind, length = struct.unpack("!ci", await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)


@dataclass(eq=False)
class Turn:
    """One transaction: which client had which connection, by number, and when, in seconds."""

    client: int
    connection: int
    began: float
    ended: float | None = None


@dataclass(eq=False)
class _Client:
    number: int
    writer: asyncio.StreamWriter
    key: bytes
    asked: int = 0  # statements that are not answered yet
    connection: _Connection | None = None


@dataclass(eq=False)
class _Connection:
    """One to the server."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    hello: bytes = b""  # the parameters that the server tells who connects
    key: bytes = b""
    client: _Client | None = None
    turn: Turn | None = None


class Pooler:
    """Stands between clients and the PostgreSQL at *url*, with at most *size* connections to it.

    `pooler.url` is the way through it. `turns` has each transaction that began. A client that asks
    for what it can't give (a `server_settings` such as statement_timeout) is refused, as by
    PgBouncer. Closing it (the end of `async with`) closes all connections.
    """

    def __init__(self, url: str, size: int = 5) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self._target = urlsplit(url)
        self._places = asyncio.Semaphore(size)  # first come, first served
        self._idle: list[_Connection] = []
        self._clients: dict[bytes, _Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client_numbers, self._connection_numbers = itertools.count(1), itertools.count(1)
        self.turns: list[Turn] = []

    @property
    def url(self) -> str:
        """The server's own URL, with the pooler's address in the place of the server's."""
        user, at, _ = self._target.netloc.rpartition("@")
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._target._replace(netloc=f"{user}{at}127.0.0.1:{port}"))

    def __repr__(self) -> str:
        return f"<Pooler: {len(self._clients)} clients>"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- clients ------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._start(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                if (client := await self._welcome(reader, writer)) is not None:
                    await self._relay(client, reader)
            finally:
                writer.close()

    async def _welcome(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> _Client | None:
        """The client, once it has shown the password."""
        code, body = 0, b""
        while code not in (STARTUP, CANCEL):
            length, code = struct.unpack("!ii", await reader.readexactly(8))
            body = await reader.readexactly(length - 8)
            if code in NO_TLS:
                writer.write(b"N")
        if code == CANCEL:
            await self._cancel(body)
            return None
        words = body.decode().split("\0")
        asked = dict(zip(words[::2], words[1::2], strict=False))
        unknown = [name for name in asked if name and name.lower() not in KNOWN]
        writer.write(ASKS_PASSWORD)
        given = (await _read(reader))[1].rstrip(b"\0").decode()
        if (asked.get("user"), given) != (self._user, self._password):
            writer.write(_error("28P01", "password authentication failed"))
        elif unknown:
            writer.write(_error("08P01", f"unsupported startup parameter: {unknown[0]}"))
        else:
            client = _Client(next(self._client_numbers), writer, secrets.token_bytes(8))
            connection = await self._take()
            writer.write(AUTHENTICATED + connection.hello + _message(b"K", client.key) + IDLE)
            self._give_back(connection)
            return client
        return None

    async def _relay(self, client: _Client, reader: asyncio.StreamReader) -> None:
        self._clients[client.key] = client
        try:
            while True:
                kind, body = await _read(reader)
                if kind == b"X":
                    return
                if client.connection is None:
                    connection = await self._take()
                    client.connection, connection.client = connection, client
                    self.turns.append(Turn(client.number, connection.number, time.monotonic()))
                    connection.turn = self.turns[-1]
                client.asked += kind in b"QSF"  # is answered with "ready for query"
                client.connection.writer.write(_message(kind, body))
                await client.connection.writer.drain()
        finally:
            del self._clients[client.key]
            if client.connection is not None:  # in the middle of a transaction: it is of no use
                client.connection.writer.transport.abort()

    async def _cancel(self, key: bytes) -> None:
        client = self._clients.get(key)
        if client is not None and client.connection is not None:
            _, writer = await asyncio.open_connection(self._target.hostname, self._target.port)
            writer.write(struct.pack("!ii", 16, CANCEL) + client.connection.key)
            await writer.drain()
            writer.close()

    # -- connections to the server ------------------------------------------------------------

    @property
    def _user(self) -> str:
        return unquote(self._target.username or "")

    @property
    def _password(self) -> str:
        return unquote(self._target.password or "")

    async def _take(self) -> _Connection:
        """A connection that nobody has; waits for one where as many as may be are taken."""
        await self._places.acquire()
        if self._idle:
            return self._idle.pop()
        try:
            return await self._open()
        except BaseException:
            self._places.release()
            raise

    def _give_back(self, connection: _Connection) -> None:
        self._idle.append(connection)
        self._places.release()

    async def _open(self) -> _Connection:
        streams = await asyncio.open_connection(self._target.hostname, self._target.port)
        connection = _Connection(next(self._connection_numbers), *streams)
        try:
            await self._log_in(connection)
        except BaseException:
            connection.writer.transport.abort()
            raise
        self._start(self._listen(connection))
        return connection

    async def _log_in(self, to: _Connection) -> None:
        from scramp import ScramClient

        database = self._target.path.lstrip("/")
        words = ["user", self._user, "database", database, "client_encoding", "UTF8", "", ""]
        hello = struct.pack("!i", STARTUP) + "\0".join(words)[:-1].encode() + b"\0"
        to.writer.write(struct.pack("!i", len(hello) + 4) + hello)
        scram = ScramClient(["SCRAM-SHA-256"], self._user, self._password)
        while True:
            kind, body = await _read(to.reader)
            if kind == b"R":
                code, rest = struct.unpack("!i", body[:4])[0], body[4:]
                if code == 3:
                    to.writer.write(_message(b"p", self._password.encode() + b"\0"))
                elif code == 10:
                    first = scram.get_client_first().encode()
                    told = b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
                    to.writer.write(_message(b"p", told))
                elif code == 11:
                    scram.set_server_first(rest.decode())
                    to.writer.write(_message(b"p", scram.get_client_final().encode()))
                elif code == 12:
                    scram.set_server_final(rest.decode())
            elif kind == b"S":
                to.hello += _message(kind, body)
            elif kind == b"K":
                to.key = body
            elif kind == b"Z":
                return
            elif kind == b"E":
                raise ConnectionError("the server refuses the pooler")

    async def _listen(self, connection: _Connection) -> None:
        """Hand on what the server says; at the end of a transaction the connection is free."""
        try:
            while True:
                kind, body = await _read(connection.reader)
                client = connection.client
                if client is None:
                    continue
                client.writer.write(_message(kind, body))
                client.asked -= kind == b"Z"
                if kind == b"Z" and body == b"I" and not client.asked:
                    if connection.turn is not None:
                        connection.turn.ended = time.monotonic()
                    client.connection = connection.client = connection.turn = None
                    self._give_back(connection)
        except (OSError, asyncio.IncompleteReadError):
            if connection.client is not None:
                connection.client.writer.transport.abort()
        finally:
            connection.writer.transport.abort()
            if connection in self._idle:
                self._idle.remove(connection)
            else:
                self._places.release()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
