"""The lab's servers where something is amiss: in odd folders, on full machines, elsewhere."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.servers.containers import check_engine
from cachepool_lib.lab.servers.provider import Unavailable
from tests.lab.servers.test_services import ask, at, packages
from tests.lab.servers.test_services_messages import falls_back, refused
from tests.tools.ci import in_ci
from tests.tools.lab_user import (
    USER,
    WAIT,
    docker,
    environment,
    eventually,
    guards,
    users,
)

AS_ROOT = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="what is promised to root alone"
)
# All that a shell, a settings file or a Unix socket might take for its own.
NASTY = """it's "a" $HOME `id` \\ 50% {x} #1 kürs 字"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for the servers' files, so that each test has servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cp-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    assert eventually(lambda: not remains(folder)), remains(folder)
    shutil.rmtree(folder)


def remains(folder: Path) -> list[str]:
    """What is left of servers, however deep."""
    return [name for _, names, _ in os.walk(folder) for name in names if "cachepool-" in name]


# -- folders ----------------------------------------------------------------------------------


def named(place: Path, name: str) -> Path:
    folder = place / name
    folder.mkdir(mode=0o755)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "it's 50% of {x} #1, kürs",
        *(
            pytest.param(name, marks=in_ci)
            for name in ('say "a"', "$HOME `id`", "a\\b", "字" * 30, "two\nlines", "k\udcfcrs")
        ),
    ],
    ids=ascii,
)
def test_the_folder_of_temporary_files_may_have_any_name(place: Path, name: str) -> None:
    """Blanks, quotes, letters of any alphabet, what a shell would replace: the servers run."""
    env = environment(named(place, name), "embedded")
    with users(1, env) as [user]:
        assert ask(user.got["database"], "SELECT 1") == 1


def test_the_environment_may_lie_in_a_folder_of_any_name(place: Path) -> None:
    """PostgreSQL's tools start each other by way of a shell, which replaces nothing."""
    home = packages(named(place, NASTY))
    with users(1, environment(place, "embedded", PYTHONPATH=str(home))) as [user]:
        assert ask(user.got["database"], "SELECT 1") == 1
    shutil.rmtree(home)


def test_a_package_found_by_a_line_in_the_notebook_alone(place: Path) -> None:
    """Isolated, without site-packages: the guard imports what the process that asks imports."""
    home = packages(named(place, "home"))
    found = f"import sys; sys.path.insert(0, {str(home)!r})\n"
    command = [sys._base_executable, "-I", "-S", "-c", found + USER + WAIT]  # type: ignore[attr-defined]
    env = environment(place, "embedded")
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as user:
        assert user.stdout
        answer = json.loads(user.stdout.readline())
        assert "error" not in answer, answer
        assert len(guards(place)) == 1
        user.communicate()
    shutil.rmtree(home)


# -- machines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "most", "words"),
    [
        ("RLIMIT_FSIZE", 50_000, ["File too large", "ulimit -f"]),
        ("RLIMIT_NOFILE", 24, ["file descriptors", "ulimit -n"]),
        ("RLIMIT_NOFILE", 12, ["Too many open files", "ulimit -n"]),
    ],
    ids=["files' size", "open files of a server", "open files of the guard"],
)
def test_a_limit_that_is_too_low(place: Path, limit: str, most: int, words: list[str]) -> None:
    """What was met first, not what was cleaned up after it; and how the limit is raised."""
    script = (
        f"import resource; resource.setrlimit(resource.{limit}, ({most}, {most}))\n" + USER + WAIT
    )
    with users(1, environment(place, "embedded"), script=script) as [user]:
        message = user.answer["error"]
        assert all(word in message for word in words), message


@AS_ROOT
@in_ci
def test_a_full_disk(place: Path) -> None:
    """It says that there is no room, and what to do."""
    disk = named(place, "disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=1777", "none", disk], check=True)
    try:
        refused(environment(disk, "embedded"), "No space left on device", "set TMPDIR")
    finally:
        subprocess.run(["umount", disk], check=True)


@AS_ROOT
def test_no_user_as_whom_root_could_run_them(place: Path) -> None:
    """Without a user named nobody, it says so."""
    code = "import pwd\nreal = pwd.getpwnam\npwd.getpwnam = lambda name: real(name + '-gone')\n"
    (place / "sitecustomize.py").write_text(code, encoding="utf-8")
    env = environment(place, "embedded", PYTHONPATH=str(place))
    refused(env, "PostgreSQL does not run as root", "no user named nobody", "another user")


@AS_ROOT
def test_a_user_whom_the_system_does_not_know(place: Path) -> None:
    """A process of no user in /etc/passwd: PostgreSQL needs one."""
    place.chmod(0o1777)
    rights = "+dac_override,+dac_read_search"  # to read what root alone may
    ids = ["--reuid=12345", "--regid=12345", "--clear-groups"]
    command = ["setpriv", *ids, f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    env = environment(place, "embedded")
    env.pop("HOME", None)
    done = subprocess.run(
        [*command, sys.executable, "-c", USER], env=env, stdout=subprocess.PIPE, check=True
    )
    message = json.loads(done.stdout)["error"]
    assert "user ID 12345: user does not exist" in message
    assert "/etc/passwd" in message


# -- servers that are somebody's --------------------------------------------------------------


def given(place: Path, **urls: str) -> dict[str, str]:
    return environment(place, **{f"CACHEPOOL_{name}_URL": url for name, url in urls.items()})


@pytest.mark.anyio
async def test_a_redis_that_will_not_do(place: Path) -> None:
    """A node of a cluster, a replica: refused at once, not in the middle of a notebook."""
    async with lab.cluster(3) as nodes:
        env = given(place, REDIS=nodes.url)
        await asyncio.to_thread(refused, env, "CACHEPOOL_REDIS_URL", "runs as cluster")
    async with lab.server(replicaof="127.0.0.1 1") as replica:
        env = given(place, REDIS=replica.url)
        await asyncio.to_thread(refused, env, "CACHEPOOL_REDIS_URL", "read only replica")


def test_an_address_that_leaves_out_what_it_can(place: Path) -> None:
    """Whoever asks gets host, port and database, and a proxy in front of them works."""
    with users(1, environment(place, "embedded")) as [owner]:
        redis = owner.got["redis"].removesuffix("/0").replace("redis://", "REDIS://")
        host, port = at(owner.got["database"])
        password = owner.got["database"].split(":")[2].split("@")[0]
        database = f"postgres:///?host={host}&port={port}&user=postgres&password={password}"
        with users(1, given(place, REDIS=redis, DATABASE=database)) as [guest]:
            assert guest.got["redis"] == owner.got["redis"]
            assert at(guest.got["database"]) == (host, port)
            assert ask(guest.got["database"], "SELECT 1") == 1


# -- a Docker engine on another machine -------------------------------------------------------


def contexts(home: Path, **hosts: str) -> None:
    """As `docker context create` leaves them."""
    for name, host in hosts.items():
        folder = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
        about = {"Name": name, "Metadata": {}, "Endpoints": endpoints}
        (folder / "meta.json").write_text(json.dumps(about), encoding="utf-8")


def use(home: Path, name: str) -> None:
    """As `docker context use` leaves it."""
    (home / ".docker/config.json").write_text(
        json.dumps({"currentContext": name}), encoding="utf-8"
    )


def why_not(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """Why no engine will do where these are set."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable) as refusal:
        check_engine()
    return str(refusal.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("tcp://me:secret@192.0.2.1:2375", "tcp://192.0.2.1:2375"),
        ("ssh://me@box.example", "ssh://box.example"),
        ("ssh://me@localhost", "ssh://localhost"),
        ("tcp://[2001:db8::1]:2376", "tcp://[2001:db8::1]:2376"),
        ("https://box.example:2376", "https://box.example:2376"),
    ],
)
def test_an_engine_on_another_machine(
    monkeypatch: pytest.MonkeyPatch, address: str, shown: str
) -> None:
    """Its ports would be there: nobody is asked, and the address is told without its secrets."""
    why = why_not(monkeypatch, DOCKER_HOST=address)
    assert why == f"the Docker engine at {shown} publishes ports there, not on this machine"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # docker-py, of a socket
def test_the_context_that_was_asked_is_named(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """The one in DOCKER_CONTEXT, or else the one in use; one that isn't there is no other one."""
    near, far = f"unix://{place}/none.sock", "tcp://192.0.2.1:2375"
    contexts(place, far=far, near=near)
    home = {"HOME": str(place)}
    there = f"the context far at {far} publishes ports there"
    assert there in why_not(monkeypatch, DOCKER_CONTEXT="far", **home)
    use(place, "far")
    assert there in why_not(monkeypatch, **home)
    why = why_not(monkeypatch, DOCKER_CONTEXT="near", **home)
    assert why.startswith(f"no Docker engine answers of the context near at {near}: ")
    assert why_not(monkeypatch, DOCKER_CONTEXT="no", **home) == "Docker has no context no"


def test_a_refused_engine_is_no_reason_to_stop(place: Path) -> None:
    """Not asked for, it is passed over; asked for, the message says what to do."""
    env = environment(place, "docker", DOCKER_HOST="tcp://192.0.2.1:2375")
    refused(env, "CACHEPOOL_SERVICES=docker", "publishes ports there", "Start Docker here")
    falls_back(env, "publishes ports there")


def test_a_word_that_lets_docker_pull_is_known_or_refused(place: Path) -> None:
    """A value that does nothing would look like a setting that works."""
    env = environment(place, "docker", CACHEPOOL_PULL="yes", DOCKER_HOST=f"unix://{place}/none")
    refused(env, "CACHEPOOL_PULL is yes", "may be 1")


@AS_ROOT
@pytest.mark.skipif(docker() is None, reason="there is no Docker engine")
def test_an_engine_at_the_other_end_of_a_tunnel(place: Path) -> None:
    """Its address is here and its ports are not: seen as soon as its servers run."""
    env = environment(place, "docker")
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    done = subprocess.run(
        [*command, sys.executable, "-c", USER], env=env, stdout=subprocess.PIPE, check=True
    )
    message = json.loads(done.stdout)["error"]
    assert "publishes ports elsewhere: 127.0.0.1:" in message, message
