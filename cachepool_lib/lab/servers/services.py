"""Real servers for the notebooks: `services = await lab.services()`.

Which ones, in this order: those whose addresses are in the environment (CACHEPOOL_REDIS_URL,
CACHEPOOL_DATABASE_URL); containers, where a Docker engine answers and has the images (or may pull
them: CACHEPOOL_PULL=1); servers from wheels. CACHEPOOL_SERVICES=docker or =embedded forces one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cachepool_lib.lab.environment import environment
from cachepool_lib.lab.servers.addresses import given_addresses
from cachepool_lib.lab.servers.cause import first_cause, what_to_do
from cachepool_lib.lab.servers.child import command
from cachepool_lib.lab.servers.containers import look_for_engine
from cachepool_lib.lab.servers.folder import folder_of, try_lock
from cachepool_lib.lab.servers.provider import BadSetting, Unavailable, forced

JOIN_SECONDS = 60.0  # to start or join servers


class ServicesError(RuntimeError):
    """No servers: the message says in at most three lines what was tried and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the message alone, for nothing in the notebook's code is wrong."""
        return f"{type(self).__name__}: {self}".splitlines()


@dataclass(frozen=True)
class Services:
    """Where this kernel's Redis and PostgreSQL are; it has a database of its own on each."""

    redis_url: str = field(repr=False)
    database_url: str = field(repr=False)
    provider: str
    versions: str
    seconds: float
    why: str  # not the provider before, in the documented order

    def __repr__(self) -> str:
        text = f"{self.versions}, {self.provider}, ready in {self.seconds:.2f} s"
        return f"{text}\n({self.why})" if self.why else text


async def services() -> Services:
    """Start the servers, or join those that run, and return their addresses.

    Takes a second or two the first time, a tenth of that while another kernel uses them, and
    nothing the second time in one kernel. Raises ServicesError if there are none to be had.
    """
    return await asyncio.to_thread(_services)


# -- what this process holds ------------------------------------------------------------------

_starting = threading.Lock()
_current: Services | None = None
_connection = -1  # to the guard, as a file descriptor: open for as long as this process lives
_lock = -1


def _forget_in_child() -> None:
    """A forked child must not keep its parent's servers alive, nor hold its lock."""
    global _current, _connection, _lock, _starting
    for descriptor in (_connection, _lock):
        if descriptor >= 0:
            os.close(descriptor)
    _current, _connection, _lock, _starting = None, -1, -1, threading.Lock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_child)


def _still_there() -> bool:
    """Whether the guard still holds its end of the connection."""
    if _connection < 0:
        return False
    with socket.socket(fileno=os.dup(_connection)) as guard:
        try:
            return bool(guard.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False


def _services() -> Services:
    global _current
    with _starting:
        if _current is None or not _still_there():
            started = time.monotonic()
            provider, hello, why = _choose()
            _current = Services(
                provider=provider, seconds=time.monotonic() - started, why=why, **hello
            )
        return _current


HELP = {
    "docker": "Start Docker here and get the images, or unset CACHEPOOL_SERVICES to run without.",
    "embedded": "Install the project's lab extra, or unset CACHEPOOL_SERVICES and start Docker.",
    "": "Start Docker, or give addresses: CACHEPOOL_REDIS_URL and CACHEPOOL_DATABASE_URL.",
}


def _choose() -> tuple[str, dict[str, str], str]:
    """Go through the ways to get servers, in the documented order."""
    try:
        kind, given = forced(), given_addresses()
    except BadSetting as error:
        raise ServicesError(f"{error}.") from None
    if sys.platform == "win32":
        return _on_windows(given)
    only = kind or ("given" if len(given) == 2 else "")
    reasons: list[str] = []
    for provider in [only] if only else ["docker", "embedded"]:
        try:
            return provider, _join(provider), "".join(reasons)
        except BadSetting as error:
            raise ServicesError(f"{error}.") from None
        except Unavailable as error:
            reasons.append(str(error))
    subject = f"CACHEPOOL_SERVICES={kind}, but " if kind else "No servers: "
    causes = ";\n".join(reasons)
    raise ServicesError(f"{subject}{causes}.\n{what_to_do(causes) or HELP[only]}")


def _on_windows(given: dict[str, str]) -> tuple[str, dict[str, str], str]:
    """The guard needs Unix sockets and there is no Valkey for Windows: addresses or nothing."""
    if len(given) < 2:
        raise ServicesError(
            "On Windows the lab can't start servers. Use WSL, or start Redis and PostgreSQL (in"
            "\nDocker, say) and set CACHEPOOL_REDIS_URL and CACHEPOOL_DATABASE_URL."
        )
    hello = {"redis_url": given["REDIS"], "database_url": given["DATABASE"]}
    return "given", hello | {"versions": "Redis and PostgreSQL"}, "all notebooks share them"


# -- joining a guard --------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    global _lock
    deadline = time.monotonic() + JOIN_SECONDS
    while (lock := try_lock(folder)) is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"another process has been starting them for {JOIN_SECONDS:.0f} s")
        time.sleep(0.02)
    _lock = lock
    try:
        yield
    finally:
        _lock = -1
        os.close(lock)


def _join(provider: str) -> dict[str, str]:
    """Join the guard of *provider*, started if there is none. Raises Unavailable."""
    folder = folder_of(provider)
    with _locked(folder):
        hello = _greet(folder)
        if "error" not in hello:
            return hello
        try:
            if provider == "docker":
                look_for_engine()
            _start_guard(provider, folder)
            hello = _greet(folder)
            if "error" in hello:
                raise Unavailable(hello["error"])
        except Unavailable:
            shutil.rmtree(folder)
            raise
        return hello


def _greet(folder: Path) -> dict[str, str]:
    """Connect to the guard and keep the connection. The answer has an "error" if that failed."""
    global _connection
    try:
        with socket.socket(socket.AF_UNIX) as guard:
            guard.settimeout(JOIN_SECONDS)
            guard.connect(str(folder / "guard"))
            with guard.makefile() as lines:
                hello: dict[str, str] = json.loads(lines.readline())
            if "error" not in hello:
                if _connection >= 0:
                    os.close(_connection)
                _connection = guard.detach()
            return hello
    except (OSError, ValueError) as error:
        return {"error": f"the servers' guard does not answer: {error}"}


def _start_guard(provider: str, folder: Path) -> None:
    """Start a guard and wait until its servers answer. Raises Unavailable."""
    words = command("cachepool_lib.lab.servers.guard", "main", provider, str(folder))
    try:
        with open(folder / "log", "w", encoding="utf-8") as log:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                cwd="/", env=environment(), start_new_session=True,
            )  # fmt: skip
    except OSError as error:  # the disk is full, or there are too many processes
        raise Unavailable(f"their guard can't be started: {error.strerror}") from error
    answer = done.stdout
    if not answer:
        why = first_cause((folder / "log").read_bytes()) or f"it ended with {done.returncode}"
        raise Unavailable(f"their guard failed: {why}")
    if "error" in (state := json.loads(answer)):
        raise (BadSetting if state["final"] else Unavailable)(state["error"])
