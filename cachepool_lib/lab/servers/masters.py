"""The processes that fork workers (serve_master), as seen from the one that asks for them.

One that has done its work waits for more: only the first service pays for starting it. They end
with the notebook's last cell, or with the kernel, however that ends.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import Any

from cachepool_lib.lab.environment import environment
from cachepool_lib.lab.notebook import recorder
from cachepool_lib.lab.servers.cause import first_cause
from cachepool_lib.lab.servers.child import command


class Master:
    """One such process. Made by master()."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by end()
        self._seen = 0
        self._process = subprocess.Popen(
            command("cachepool_lib.lab.servers.serve_master", "main"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd="/",
            env=environment(),
            start_new_session=True,  # interrupting a cell does not reach it
        )

    def tell(self, **order: Any) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has died, and its events have ended
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[asyncio.StreamReader]:
        """What it tells, a line for each event; ends if it has died."""
        assert self._process.stdout
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        # A copy: closing it leaves the other end to the next event loop.
        pipe = os.fdopen(os.dup(self._process.stdout.fileno()), "rb", 0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            yield reader
        finally:
            transport.close()

    def why(self) -> str:
        """The first cause in what it and its workers have written to stderr for this service."""
        # Not by read(), which would move the place where the processes write.
        text = os.pread(self._log.fileno(), 1_000_000, self._seen)
        return first_cause(text) or "it ended without a word"

    def keep(self) -> None:
        """It has no workers any more, and waits for the next service."""
        self._seen = os.fstat(self._log.fileno()).st_size
        _idle.append(self)

    def end(self) -> None:
        """End it, and the workers that it has."""
        with self._process:  # closes the pipes, at which it ends, and waits
            pass
        self._log.close()


_idle: list[Master] = []


def master() -> Master:
    """One that waits for work, or a new one."""
    return _idle.pop() if _idle else Master()


def _retire() -> None:
    while _idle:
        _idle.pop().end()


recorder.borrowed(_retire)
atexit.register(_retire)
if sys.platform != "win32":  # a forked child has no right to its parent's processes
    os.register_at_fork(after_in_child=_idle.clear)
