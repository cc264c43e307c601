"""Processes that use the lab's servers, for the tests of the services."""

import contextlib
import functools
import gc
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from cachepool_lib.lab.servers.provider import Unavailable

# Says what it got, then lives until its stdin is closed.
USER = """
import asyncio, json, os, sys, time
from cachepool_lib.lab.servers.services import ServicesError, services
started = time.monotonic()
try:
    got = asyncio.run(services())
    answer = {"redis": got.redis_url, "database": got.database_url, "seconds": got.seconds,
              "provider": got.provider, "text": repr(got)}
except ServicesError as error:
    answer = {"error": str(error)}
answer["all_seconds"] = time.monotonic() - started
print(json.dumps(answer), flush=True)
"""
WAIT = "sys.stdin.read()"


def environment(place: Path, provider: str = "", **more: str) -> dict[str, str]:
    """This one without settings of ours but the images; *place* is where the servers' files go."""
    kept = ("CACHEPOOL_REDIS_IMAGE", "CACHEPOOL_POSTGRES_IMAGE")
    ours = {name for name in os.environ if name.startswith("CACHEPOOL_") and name not in kept}
    rest = {name: value for name, value in os.environ.items() if name not in ours}
    if "PYTHONPATH" in more and "PYTHONPATH" in rest:
        more["PYTHONPATH"] += os.pathsep + rest["PYTHONPATH"]
    return rest | {"TMPDIR": str(place), "CACHEPOOL_SERVICES": provider} | more


class User:
    """A process that called services() and lives on; `answer` is what came."""

    def __init__(
        self,
        env: dict[str, str],
        script: str = USER + WAIT,
        python: str = sys.executable,
        **how: Any,
    ) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([python, "-c", script], env=env, text=True, **pipes, **how)

    @property
    def answer(self) -> dict[str, Any]:
        """What services() gave it, or the error."""
        if not hasattr(self, "_answer"):
            assert self.process.stdout is not None
            self._answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return self._answer

    @property
    def got(self) -> dict[str, Any]:
        """What services() gave it."""
        assert "error" not in self.answer, self.answer["error"]
        return self.answer

    def end(self) -> None:
        self.process.communicate()


@contextlib.contextmanager
def users(number: int, env: dict[str, str], **how: Any) -> Iterator[list[User]]:
    """That many, started at once; they end with the block."""
    started = [User(env, **how) for _ in range(number)]
    try:
        yield started
    finally:
        for one in started:
            one.end()


def guards(place: Path) -> list[psutil.Process]:
    """The guards whose files are in *place*."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any("servers.guard" in part for part in process.cmdline()[1:]) and any(
                part.startswith(f"{place}/cachepool-") for part in process.cmdline()
            ):
                found.append(process)
    return found


def servers(place: Path) -> list[psutil.Process]:
    """The guards' children; containers are none."""
    return [one for guard in guards(place) for one in guard.children(recursive=True)]


def lives(process: psutil.Process) -> bool:
    """A zombie has ended: whoever adopted it has yet to notice."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def left(place: Path) -> list[str]:
    """What the lab left in *place*."""
    return [entry.name for entry in place.iterdir() if entry.name.startswith("cachepool")]


def eventually(holds: Callable[[], bool], seconds: float = 3.0) -> bool:
    """Whether *holds* comes true within that time, counted in turns: on a busy machine, where
    the servers are late, so are those.
    """
    for _ in range(round(seconds / 0.02)):
        if holds():
            return True
        time.sleep(0.02)
    return holds()


# -- a Docker engine --------------------------------------------------------------------------


@functools.cache
def docker() -> Any:
    """A client of the real engine, None if there is none or it has not the images."""
    from cachepool_lib.lab.servers.containers import check_engine

    with warnings.catch_warnings():
        # docker-py closes no socket that nobody answered at; the garbage collector does.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            check_engine()
            return import_module("docker").from_env()
        except Unavailable:
            assert os.environ.get("CACHEPOOL_CI_DOCKER") != "1", "this machine is to have an engine"
            return None
        finally:
            gc.collect()


def containers(place: Path) -> list[Any]:
    """The containers, running or not, of guards whose files are in *place*."""
    client, ours = docker(), {"label": "cachepool-lab"}
    if client is None:
        return []
    every = client.containers.list(all=True, filters=ours, ignore_removed=True)
    return [one for one in every if one.labels["cachepool-lab"].startswith(f"{place}/")]
