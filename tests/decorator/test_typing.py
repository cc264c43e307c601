"""What type checkers know of a cached function: mypy --strict and pyright, of the same file."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tools.notebook_tools import ROOT, defining, read

CASES = "tests/decorator/typing_cases.py"


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


DECORATED = """
@naive_cache()
async def first(user_id: int) -> str:
    return "page"

@MyDecorator()
async def last(user_id: int) -> str:
    return "page"

async def calls() -> None:
    await first("one", 2)
    await last("one")
    await last(1, 2)
    await last(1)
    await last.invalidate(1)
"""


def test_type_checkers_know_what_notebook_03_says_they_do(tmp_path: Path) -> None:
    """Of a function under the first decorator mypy lets any call pass, and pyright guesses that it
    was not changed; under the last one both know the calls, and neither knows `invalidate`.
    """
    notebook = read(ROOT / "notebooks" / "03-cache-with-one-line.ipynb")
    code = "\n".join(map(ast.unparse, defining(notebook))) + DECORATED
    code = code.replace("async_cache, lab\n", "async_cache\n")  # the lab takes long to look at
    file = tmp_path / "section7.py"
    file.write_text(code, encoding="utf-8")
    start = code.index("    await first")
    begin = code.count("\n", 0, start)
    told = [(int(line.split(":")[1]) - 1 - begin, line) for line in mypy(str(file), tmp_path)]
    assert {line for line, _ in told if line >= 0} == {1, 2, 4}
    guessed = [int(line.split(":")[0]) - begin for line in pyright(str(file))]
    assert {line for line in guessed if line >= 0} == {0, 1, 2, 4}
