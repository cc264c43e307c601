"""Servers of a few lines, for what no real one would say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """The port, on loopback, of a server with this handler. At the end nothing is left of it."""
    under_way: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way[asyncio.current_task()] = writer
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(5):  # turns, in which connections that were just accepted get their handler
            await asyncio.sleep(0)
        for writer in under_way.values():
            writer.transport.abort()
        if handlers := [task for task in under_way if task is not None]:
            await asyncio.wait(handlers)


async def requests(reader: asyncio.StreamReader) -> AsyncIterator[list[bytes]]:
    """The commands, word by word, that a client of Redis sends."""
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        yield words
