"""The wheel and the source distribution: what is in them, and that it works on its own."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from cachepool_lib import lab
from tests.tools.ci import in_ci

ROOT = Path(__file__).parent.parent

pytestmark = [
    in_ci,
    pytest.mark.anyio,
    pytest.mark.xdist_group("package"),  # built once
    pytest.mark.timeout(900),  # build and pip ask an index
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="compared with what git has"),
]


class Built(NamedTuple):
    wheel: Path
    sdist: Path


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What it prints, without the settings that would lead Python to this checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(source: Path, to: Path, *options: str) -> None:
    run(sys.executable, "-m", "build", *options, "--outdir", to, source, cwd=to.parent)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built") / "dist"
    build(ROOT, folder)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, sdist)


def of_git(*folders: str) -> set[str]:
    return set(run("git", "ls-files", *folders, cwd=ROOT).splitlines())


def contents(wheel: Path) -> dict[str, int]:
    """The files of a wheel, with their checksums."""
    with zipfile.ZipFile(wheel) as archive:
        return {item.filename: item.CRC for item in archive.infolist()}


def test_an_index_would_take_both(built: Built) -> None:
    """twine finds nothing wrong with the metadata, and README renders."""
    said = run(sys.executable, "-m", "twine", "check", "--strict", *built, cwd=built.wheel.parent)
    assert said.count("PASSED") == 2


def test_the_wheel_is_the_package_alone(built: Built) -> None:
    """Every file that git has of it: scripts in Lua, templates and py.typed, too. No tests."""
    files = {name for name in contents(built.wheel) if ".dist-info/" not in name}
    assert files == of_git("cachepool_lib")
    assert {Path(name).suffix for name in files} >= {".py", ".lua", ".typed", ".j2", ".css"}


def test_the_source_distribution_is_the_whole_course(built: Built) -> None:
    """Every file of git, and no other: with it one can test, read and build."""
    with tarfile.open(built.sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert files - {"PKG-INFO"} == of_git()


def test_from_the_checkout_the_same_wheel_is_built(built: Built, tmp_path: Path) -> None:
    """Byte for byte what is built from the source distribution."""
    build(ROOT, tmp_path / "dist", "--wheel")
    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert contents(wheel) == contents(built.wheel)


ALONE = """
import asyncio, sys
from cachepool_lib import AsyncCache, RedisCache, async_cache

@async_cache(ttl=60)
async def double(number):
    return 2 * number

async def main():
    assert [await double(4), await double(4)] == [8, 8]
    cache = AsyncCache(default_ttl=60)
    await cache.set("key", [1])
    assert await cache.get("key") == [1]
    async with RedisCache(sys.argv[1], namespace="wheel") as shared:
        async def load():
            return {"from": "the loader"}

        await shared.set("key", 1, ttl=60)
        assert await shared.get("key") == 1
        await shared.delete("key")
        assert await shared.get_or_load("key", load, ttl=60) == await load()
        assert await shared.get("key") == await load()
        await shared.clear()
        assert await shared.get("key") is None

asyncio.run(main())
needed = {
    "from cachepool_lib.metrics import Collector": "prometheus",
    "from cachepool_lib import DatabasePool": "postgres",
    "from cachepool_lib import lab": "lab",
}
for line, extra in needed.items():
    try:
        exec(line)
    except ImportError as error:
        assert f"install cachepool-lib[{extra}]" in str(error), error
    else:
        raise AssertionError(f"{line} needs no extra")
"""
WITH_EXTRAS = """
import asyncio, sys
from prometheus_client import CollectorRegistry, generate_latest
from cachepool_lib import DatabasePool
from cachepool_lib.metrics import Collector

async def main():
    async with DatabasePool(sys.argv[1], min_size=1, max_size=2) as pool:
        assert await pool.fetchval("SELECT 6 * 7") == 42
        registry = CollectorRegistry()
        registry.register(Collector(pools={"shop": pool}))
        assert b'"shop"' in generate_latest(registry)

asyncio.run(main())
"""


async def test_in_an_empty_environment_it_is_installed_and_used(
    built: Built, tmp_path: Path
) -> None:
    """redis and msgpack come with it, and no more; what needs an extra names it."""
    where = await lab.services()
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    options = ("--disable-pip-version-check", "-q", "-c", ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", *options, built.wheel, cwd=tmp_path)
    listed = run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path).split()
    installed = {line.partition("==")[0] for line in listed} - {"pip", "setuptools"}
    assert installed == {"cachepool-lib", "msgpack", "redis"}
    run(python, "-c", ALONE, where.redis_url, cwd=tmp_path)

    run(
        python,
        "-m",
        "pip",
        "install",
        *options,
        f"{built.wheel}[postgres,prometheus]",
        cwd=tmp_path,
    )
    run(python, "-c", WITH_EXTRAS, where.database_url, cwd=tmp_path)


def test_installed_the_lab_runs_notebooks_and_finds_its_templates(
    built: Built, tmp_path: Path
) -> None:
    """In a folder that holds notebooks/ and nothing else of the course."""
    place = tmp_path / "installed"
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "--no-deps", "--target", place, built.wheel, cwd=tmp_path)
    (tmp_path / "notebooks").mkdir()
    v4 = nbformat.v4
    source = "import cachepool_lib; print(cachepool_lib.__file__)"
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "notebooks/01-one.ipynb")
    course = (sys.executable, "-m", "cachepool_lib.lab.course")
    assert "01-one: " in run(*course, cwd=tmp_path, PYTHONPATH=str(place))
    [page] = tmp_path.glob("*/01-one.html")
    assert str(place) in page.read_text(encoding="utf-8")
