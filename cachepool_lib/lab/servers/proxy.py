"""Break a connection on purpose: a TCP proxy on loopback in front of any server.

What it does to a client is what a real outage does: refuse, cut, keep silent, be slow.
"""

import asyncio
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Stands between a client and the server at *url*; `proxy.url` is the way through it.

    `cut`, `stall`, `slow` and `restore` act at once, on open connections too. Closing it (the end
    of `async with`) closes every connection through it; the server notices nothing else.
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        if self._target.hostname is None or self._target.port is None:
            raise ValueError("the url of the server must name its host and its port")
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._delay = 0.0
        self._held_back = 0  # pieces of replies, at this moment
        self.in_a_row = 0
        self._bytes_left: int | None = None  # of replies, before the cut

    @property
    def url(self) -> str:
        """The server's own URL, with the proxy's address in the place of the server's."""
        user, at, _ = self._target.netloc.rpartition("@")
        return urlunsplit(self._target._replace(netloc=f"{user}{at}127.0.0.1:{self._port}"))

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"<Proxy: {self.connections} connections>"

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.cut()

    async def cut(self, after: int | None = None) -> None:
        """Close all connections, and refuse new ones; with *after*, once so many bytes of replies
        have passed: in the middle of an answer, if you like."""
        if after is not None:
            self._bytes_left = after
            return
        self._cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()

    def stall(self) -> None:
        """Let nothing through. Connections stay open, and new ones are accepted."""
        self._flowing.clear()

    def slow(self, seconds: float) -> None:
        """Hold each piece of a reply back for so many seconds.

        `in_a_row` counts from now how often one was held back while no other was, on whatever
        connection: the trips that somebody waited for, the same on a busy machine.
        """
        self._delay = seconds
        self.in_a_row = 0

    async def restore(self) -> None:
        """Be a good connection again; what was held back passes now."""
        self._delay = 0.0
        self._bytes_left = None
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # cut while the connection was on its way here
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            there = await asyncio.open_connection(self._target.hostname, self._target.port)
            ends.append(there[1])
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1], reply=False))
                group.create_task(self._pump(there[0], writer, reply=True))
        except* (OSError, _Over, asyncio.CancelledError):
            pass  # cut() cancels; nobody else knows of this task
        finally:
            self._tasks.discard(task)
            for end in ends:
                end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, reply: bool
    ) -> None:
        while data := await source.read(65536):
            await self._flowing.wait()
            if reply and self._delay:
                self.in_a_row += not self._held_back
                self._held_back += 1
                try:
                    await asyncio.sleep(self._delay)
                finally:
                    self._held_back -= 1
            if reply and self._bytes_left is not None:
                data, self._bytes_left = data[: self._bytes_left], self._bytes_left - len(data)
            if sink.is_closing():  # to write to it is an error on uvloop, and nothing on asyncio's
                break
            sink.write(data)
            await sink.drain()
            if reply and self._bytes_left is not None and self._bytes_left <= 0:
                self._cut()
        raise _Over  # one side has closed: so does the other


class _Over(Exception):
    pass
