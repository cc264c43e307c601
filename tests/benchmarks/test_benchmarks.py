"""The benchmarks run. What they measure is for `make bench`, not for a test."""

import subprocess
import sys
from pathlib import Path

from tests.tools.ci import in_ci


@in_ci
def test_benchmarks_run() -> None:
    """`python -m tests.benchmarks --quick` prints every table and ends well."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.benchmarks", "--quick"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,  # beside three other tests on two cores
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    tables = (
        *("floor", "get, a hit", "A decorated function", "On Redis", "In the first tier"),
        *("PostgreSQL", "Hit ratio", "Simulated requests a second", "uvloop", "Metrics"),
    )
    for words in *tables, "It runs.":
        assert words in done.stdout
