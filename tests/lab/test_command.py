"""The course's commands: how they end where they don't come to their end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from tests.tools.notebook_tools import ROOT

COURSE = (sys.executable, "-m", "cachepool_lib.lab.course")
SIGNALS = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
STOPPED = (130, "\nStopped.\n")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Tests that run under nohup, or behind an &, ignore some; and so would what they start."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS}
    for name, handler in before.items():
        if handler == signal.SIG_IGN:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


def started(*command: str, **how: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, start_new_session=True, **{**pipes, **how})


@needs_signals
@pytest.mark.parametrize("name", SIGNALS)
def test_an_interrupted_run_ends_in_a_line(tmp_path: Path, name: str) -> None:
    """In the middle of a cell; who asks twice hears no more, and no kernel is left."""
    (tmp_path / "notebooks").mkdir()
    os.mkfifo(tmp_path / "notebooks/begun")
    cell = "import asyncio\nopen('begun', 'w').close()\nawait asyncio.sleep(99)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbformat.write(notebook, tmp_path / "notebooks/01-one.ipynb")
    run = started(*COURSE, cwd=tmp_path)
    (tmp_path / "notebooks/begun").read_text(encoding="utf-8")  # until the cell runs
    kernels = psutil.Process(run.pid).children(recursive=True)
    for _ in range(2):
        run.send_signal(getattr(signal, name))
    assert (run.communicate(timeout=60)[1], run.returncode) == STOPPED[::-1]
    assert kernels and not psutil.wait_procs(kernels, timeout=10)[1]


@needs_signals
@pytest.mark.parametrize("module", ["nbformat", "nbconvert"])
def test_a_command_that_still_imports_ends_in_a_line_too(tmp_path: Path, module: str) -> None:
    """Its first second is no other than those after it."""
    slow = "print('imports', flush=True)\nimport time\ntime.sleep(99)"
    (tmp_path / f"{module}.py").write_text(slow, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    run = started(*COURSE, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path})
    assert run.stdout and run.stdout.readline() == "imports\n"
    run.send_signal(signal.SIGINT)
    assert (run.communicate(timeout=60)[1], run.returncode) == STOPPED[::-1]


@needs_signals
def test_what_is_told_to_nobody_ends_quietly(tmp_path: Path) -> None:
    """As in `… | head -1`: no traceback, and not as if all had gone well."""
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "notebooks/00-one.ipynb")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        run = started(*COURSE, "copies", cwd=tmp_path, stdout=closed)
        assert (run.communicate(timeout=60)[1], run.returncode) == ("", 141)


def test_signs_that_a_terminal_does_not_know_are_replaced() -> None:
    """An encoding without … is no reason to fail."""
    command = (sys.executable, "-m", "cachepool_lib.lab.classroom", "grade", "--help")
    run = started(*command, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    told, complaints = run.communicate(timeout=60)
    assert (run.returncode, complaints) == (0, "")
    assert "NAME/?.ipynb" in told
