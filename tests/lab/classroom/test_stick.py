"""make stick: what a room without a network needs, in one folder."""

import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachepool_lib.lab.classroom.__main__ import main
from cachepool_lib.lab.classroom.stick import SYSTEMS, make_stick

PROJECT = """
[build-system]
requires = ["builds==1.0"]
[project]
dependencies = ["always>=1"]
[project.optional-dependencies]
lab = ["posix; sys_platform != 'win32'", "windows; sys_platform == 'win32'", "more[extra]"]
dev = ["tool"]
"""
PINS = """
always==1.0
early==1.0 ; python_full_version < '3.11.5'
early==2.0 ; python_full_version >= '3.11.5'
fast==1.0
more==1.0
posix==1.0 ; sys_platform != 'win32'
tool==1.0
windows==1.0 ; sys_platform == 'win32'
"""


def wheel(
    index: Path, name: str, version: str, tag: str, *needs: str, python: str = ">=3.8"
) -> None:
    """Put a wheel of nothing into the index."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    kind = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    with zipfile.ZipFile(index / f"{name}-{version}-{tag}.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{info}/WHEEL", kind)
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder, and an index with one wheel of each package but "fast"'s."""
    index = tmp_path / "index"
    index.mkdir()
    plain = "py3-none-any"
    wheel(index, "builds", "1.0", plain)
    wheel(index, "always", "1.0", plain, "early", "posix ; sys_platform == 'darwin'")
    wheel(index, "always", "2.0", plain)
    wheel(index, "early", "1.0", plain)
    wheel(index, "early", "2.0", plain, "always", python=">=3.11.5")
    wheel(index, "more", "1.0", plain, "fast ; extra == 'extra'", "tool ; extra == 'other'")
    wheel(index, "posix", "1.0", plain)
    wheel(index, "tool", "1.0", plain)
    wheel(index, "windows", "1.0", plain)
    wheel(index, "fast", "1.0", "cp312-cp312-win_amd64")
    wheel(index, "fast", "1.0", "cp311-abi3-macosx_11_0_arm64")
    wheel(index, "fast", "1.0", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("pyproject.toml").write_text(PROJECT, encoding="utf-8")
    Path("constraints.txt").write_text(PINS.lstrip(), encoding="utf-8")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "All"], check=True)
    yield folder


@pytest.mark.parametrize(
    ("platform", "python", "found"),
    [
        ("windows-x86_64", "3.12", {"windows", "fast-1.0-cp312", "early-2.0"}),
        ("macos-arm64", "3.13", {"posix", "fast-1.0-cp311-abi3", "early-2.0"}),
        ("linux-x86_64", "3.11", {"posix", "fast-1.0-cp311-cp311", "early-1.0", "early-2.0"}),
    ],
)
def test_it_holds_what_the_system_needs_and_not_what_this_one_needs(
    platform: str, python: str, found: set[str], project: Path
) -> None:
    """As it is pinned, with extras, and what builds the project; for each patch of that Python."""
    said = "\n".join(make_stick([python], [platform]))
    wheels = [path.name for path in (project / "dist/stick/wheels").iterdir()]
    expected = {"builds-1.0", "always-1.0", "more-1.0", *found}
    assert sorted(name for name in wheels for one in expected if name.startswith(one)) == sorted(
        wheels
    )
    assert len(wheels) == len(expected)
    assert f"{platform}, Python {python}: {len(wheels)} wheels" in said


def test_it_holds_the_course_the_slides_and_the_site(project: Path) -> None:
    """The course as it was committed; and it says what is not on it, there and here."""
    (project / "slides").mkdir()
    (project / "slides/00-start-here.html").write_text("a slide", encoding="utf-8")
    assert main(["stick", "--pythons", "3.11", "--platforms", "linux-x86_64"]) == 0
    stick = project / "dist/stick"
    with zipfile.ZipFile(stick / "course.zip") as archive:
        assert set(archive.namelist()) >= {"course/pyproject.toml", "course/constraints.txt"}
    assert (stick / "slides/00-start-here.html").read_text(encoding="utf-8") == "a slide"
    text = (stick / "README.txt").read_text(encoding="utf-8")
    assert "site/ is not on it: `make site` had not been run" in text and "slides/ is" not in text
    assert "linux-x86_64" in text and "Python 3.11" in text and "PIP_NO_INDEX=1" in text


@pytest.mark.parametrize(
    ("platform", "python", "told"),
    [
        (
            "linux-aarch64",
            "3.11",
            "No stick: no wheels for linux-aarch64, Python 3.11",
        ),  # no wheel of "fast" there
        ("beos", "3.11", "No platform beos: there are linux-x86_64, "),
        ("linux-x86_64", "3.10", "No Python 3.10: the course runs on 3.11 to 3.14"),
        ("linux-x86_64", "python3.12", "No Python python3.12"),
    ],
)
def test_what_can_not_be_had_is_an_error(
    platform: str, python: str, told: str, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No stick that works only in part is called one; pip says which wheel is missing."""
    assert main(["stick", "--pythons", python, "--platforms", platform]) == 2
    said = capfd.readouterr()
    assert told in said.err and "in all" not in said.out
    assert ("fast" in said.err) == (platform == "linux-aarch64")
    assert not (project / "dist/stick/README.txt").exists()


def test_the_systems_are_those_that_teachers_have() -> None:
    """By the names that their makers' download pages use."""
    assert list(SYSTEMS) == [
        "linux-x86_64",
        "linux-aarch64",
        "macos-arm64",
        "macos-x86_64",
        "windows-x86_64",
    ]
