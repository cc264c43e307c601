"""make stick: what a room without a network needs, in one folder."""

import shlex
import sys
import zipfile
from pathlib import Path

import pytest

from cachepool_lib.lab.classroom.stick import make_stick
from tests.tools.notebook_tools import ROOT

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the interpreter is a shell script here"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the course is what git has of it"),
]


def fake_python(path: Path, body: str) -> str:
    """Says that it is Python 3.12; asked for pip, it does what *body* says."""
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then echo Python 3.12; exit; fi\n{body}\n', encoding="utf-8"
    )
    path.chmod(0o755)
    return str(path)


def test_it_holds_the_course_and_what_each_interpreter_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wheels alone, as they are pinned, with what builds the project; and how to use them."""
    monkeypatch.chdir(ROOT)
    told, stick = tmp_path / "told", tmp_path / "stick"
    python = fake_python(tmp_path / "python", f'echo "$@" >> {shlex.quote(str(told))}')
    assert "Python 3.12" in make_stick([python], stick)
    [asked] = told.read_text(encoding="utf-8").splitlines()
    assert f"--only-binary=:all: --dest {stick}/wheels -c constraints.txt flit_core==" in asked
    assert "jupyterlab>=" in asked and "redis>=" in asked and "ruff>=" not in asked
    with zipfile.ZipFile(stick / "course.zip") as archive:
        names = archive.namelist()
    assert {"course/Makefile", "course/constraints.txt", "course/README.md"} <= set(names)
    text = (stick / "README.txt").read_text(encoding="utf-8")
    assert "PIP_NO_INDEX=1" in text and f"on {sys.platform} with Python 3.12" in text


def test_what_can_not_be_had_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stick that works only in part is called one."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="python failed: -m pip"):
        make_stick([fake_python(tmp_path / "python", "exit 1")], tmp_path / "stick")
    assert not (tmp_path / "stick/README.txt").exists()
