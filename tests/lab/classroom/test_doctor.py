"""make doctor: whether the course runs on this machine, in one line, or what to do."""

import os
import subprocess
import sys

import psutil
import pytest

from cachepool_lib.lab.classroom import doctor
from tests.tools.notebook_tools import ROOT

PATIENCE = 280.0  # seconds, for a machine on which everything runs at once


@pytest.mark.skipif(sys.platform == "win32", reason="make is for Unix")
def test_on_a_machine_that_is_well_it_says_so_in_one_line() -> None:
    """A kernel, both servers and a check are tried; the line names what was found."""
    command = ["make", "-o", ".venv/.lab", "doctor", f"PY=env PYTHONPATH={ROOT} {sys.executable}"]
    # Within `make test`, make would say where it is.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if "not done after" in done.stdout:  # right, on a machine this busy: so with more time
        code = f"from cachepool_lib.lab.classroom import doctor; doctor.main(limit={PATIENCE})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("✓ All well: Python 3."), done.stdout + done.stderr
    assert "PostgreSQL" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.returncode == 0


def test_what_is_ill_is_named_and_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which step failed, the error's own words, and a next step; no traceback."""
    monkeypatch.setenv("CACHEPOOL_SERVICES", "rented")
    assert doctor.main(limit=PATIENCE) == 1
    out, err = capsys.readouterr()
    assert out.startswith("✗ The settings and the servers failed: CACHEPOOL_SERVICES is rented")
    assert "README says" in out
    assert "Traceback" not in out + err


def test_what_never_ends_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """After the limit it says so; its kernel is gone."""
    before = set(psutil.Process().children(recursive=True))
    for_ever = doctor.Step("a step", "import time\ntime.sleep(10**6)", "Stop it.")
    assert doctor.main(steps=(for_ever,), limit=2.0) == 1
    assert "✗ A step failed: not done after 2 s\n  Close what else" in capsys.readouterr().out
    assert set(psutil.Process().children(recursive=True)) <= before
