"""Debian's PgBouncer in transaction mode, to compare with."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from cachepool_lib import lab
from cachepool_lib.lab.environment import environment
from cachepool_lib.lab.servers.embedded import Files, free_port

CONFIG = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
server_round_robin = 0
logfile =
"""


@contextlib.asynccontextmanager
async def pgbouncer(url: str, size: int = 5) -> AsyncIterator[str]:
    """The address of one in front of the PostgreSQL at *url*.

    Skips the test where there is none, or fails it where CACHEPOOL_CI_PGBOUNCER=1.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CACHEPOOL_CI_PGBOUNCER") == "1":
            pytest.fail("no pgbouncer on this machine, and CACHEPOOL_CI_PGBOUNCER=1 asks for it")
        pytest.skip("no pgbouncer on this machine")
    files, to = Files(), urlsplit(url)
    users, config, own = files.path / "users", files.path / "pgbouncer.ini", free_port()
    users.write_text(f'"{to.username}" "{to.password}"\n', encoding="utf-8")
    text = CONFIG.format(host=to.hostname, port=to.port, own=own, users=users, size=size)
    config.write_text(text, encoding="utf-8")
    files.hand_over(files.path)
    # Not by asyncio: uvloop starts no process as another user.
    command: Any = program, "-q", config
    how: Any = {"cwd": files.path, "env": environment(), **files.user}
    process = await asyncio.to_thread(subprocess.Popen, command, **how)
    place = f"{to.username}:{to.password}@127.0.0.1:{own}"
    here = urlunsplit(to._replace(netloc=place))
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                connection = await asyncpg.connect(here, statement_cache_size=0)
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        await connection.close()
        yield here
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        shutil.rmtree(files.path, ignore_errors=True)


POOLERS = ["ours", "PgBouncer"]


@contextlib.asynccontextmanager
async def pooler(kind: str, url: str, size: int) -> AsyncIterator[str]:
    """The address of a pooler of that kind, with at most *size* connections to *url*."""
    if kind == "PgBouncer":
        async with pgbouncer(url, size) as address:
            yield address
    else:
        async with lab.Pooler(url, size) as ours:
            yield ours.url
