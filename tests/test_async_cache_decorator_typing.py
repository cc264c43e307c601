"""What type checkers know of a cached function: mypy --strict and pyright, of the same file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
CASES = "tests/decorator_typing.py"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def mypy(file: str, cache: Path) -> list[str]:
    lines = run("mypy", "--strict", "--no-error-summary", "--cache-dir", str(cache), file).stdout
    return [line for line in lines.splitlines() if ": error:" in line]


def pyright(file: str) -> list[str]:
    # With its own JavaScript and the node of its package: it fetches neither.
    told: dict[str, Any] = json.loads(
        run("pyright", "--outputjson", "--pythonpath", sys.executable, file).stdout
    )
    assert told["summary"]["filesAnalyzed"] == 1
    return [f"{d['range']['start']['line']}: {d['message']}" for d in told["generalDiagnostics"]]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_type_checkers_agree_on_what_is_right_and_what_is_wrong(
    checker: Any, tmp_path: Path
) -> None:
    """Parameters and results are kept, and so are those of invalidate and refresh.

    Each error that is expected is there: one that is missing would be complained of.
    """
    more = [tmp_path] if checker is mypy else []
    assert checker(CASES, *more) == []
    # And the checkers do look: without its comments, each of those lines is an error.
    cases = (ROOT / CASES).read_text(encoding="utf-8")
    bare = tmp_path / "bare.py"
    bare.write_text(cases.replace("# type: ignore", "# "), encoding="utf-8")
    assert len(checker(str(bare), *more)) >= cases.count("# type: ignore") > 20
