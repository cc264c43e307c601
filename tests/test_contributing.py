"""What the pages and the workflow tell people and machines to run is there, and is valid."""

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github/workflows/ci.yml"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What a command makes, or what stands for something of the reader's own.
MADE = re.compile(r"^(\.venv|dist|pages|site|slides|work)(/|$)|[A-Z…]{3,}$")
PATH = re.compile(r"^[\w.-]+(/[\w.*-]+)+/?$|^[\w-]+\.(py|txt|yml|toml|ipynb|md|lua)$")


def missing(command: str) -> list[str]:
    """What the line of a shell names that is not there: make's targets, modules, files."""
    words = shlex.split(command, comments=True)
    gone = []
    for before, word in zip(["", *words], words, strict=False):
        word = word.strip("'\"")
        if before == "make" and "=" not in word and not re.search(rf"^{word}:", MAKEFILE, re.M):
            gone.append(f"make {word}")
        elif before == "-m" and find_spec(word) is None:
            gone.append(f"-m {word}")
        elif PATH.match(word) and not MADE.search(word) and not any(ROOT.glob(word)):
            gone.append(word)
        elif word.startswith("ARGS="):
            gone += missing(word.removeprefix("ARGS="))
    return gone


def workflow() -> Any:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def commands(page: str) -> list[str]:
    """The lines of the blocks that are not Python."""
    fences = re.split(r"^ *```", (ROOT / page).read_text(encoding="utf-8"), flags=re.M)
    blocks = [block.partition("\n") for block in fences[1::2]]
    return [line.strip() for kind, _, text in blocks if not kind for line in text.splitlines()]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_what_a_page_tells_to_run_is_there(page: str) -> None:
    """Targets of make, modules and files."""
    lines = commands(page)
    assert len(lines) > 5
    assert {line: gone for line in lines if (gone := missing(line))} == {}


def test_what_contributing_names_is_there() -> None:
    """Every path and every make target in its sentences; every name of ours that is in capitals."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    assert {name: gone for name in named if "/" in name and (gone := missing(name))} == {}
    assert {
        name: gone for name in named if name.startswith("make ") and (gone := missing(name))
    } == {}
    names = re.findall(r"`([A-Z_]{4,})`[^`]*`((?:tests|cachepool_lib)/[\w/]+\.py)`", text)
    assert len(names) >= 4
    for name, path in names:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text(encoding="utf-8")), (name, path)


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "python -m tests.nothing",
        "x tests/no.py",
        "make test ARGS='tests/no.py -n 0'",
    ],
)
def test_what_is_not_there_is_found(line: str) -> None:
    """A page that names a target, a module or a file that is gone fails."""
    assert missing(line)


def test_the_workflow_runs_what_is_there() -> None:
    """Every command of every job; every action is one of GitHub's own, by its major version."""
    steps = [step for job in workflow()["jobs"].values() for step in job["steps"]]
    runs = [step["run"] for step in steps if "run" in step]
    assert {run: gone for run in runs if (gone := missing(run))} == {}
    used = {step["uses"] for step in steps if "uses" in step}
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used), used


def test_the_workflow_may_only_read_and_ends() -> None:
    """Its token reads contents and no more, and a newer push ends the older run."""
    assert workflow()["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow()["jobs"].values())
    assert workflow()["concurrency"]["cancel-in-progress"] is True


def test_the_workflow_has_every_python_on_every_system() -> None:
    """Those that pyproject.toml allows and constraints.txt pins for."""
    jobs = workflow()["jobs"]
    for name, system in {"linux": "ubuntu", "macos": "macos", "windows": "windows"}.items():
        assert jobs[name]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
        assert jobs[name]["runs-on"].startswith(system)


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-workflows", WORKFLOW),
        ("custom.github-workflows-require-timeout", WORKFLOW),
        ("vendor.citation-file-format", ROOT / "CITATION.cff"),
    ],
)
def test_files_for_others_keep_their_schema(
    schema: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As GitHub and citation tools publish it; every job has a limit."""
    with pytest.raises(SystemExit) as ended:
        check_jsonschema(["--builtin-schema", schema, str(file)])
    assert ended.value.code == 0, capsys.readouterr().out


def test_one_version_everywhere() -> None:
    """Of pyproject.toml in CITATION.cff, and told of in CHANGELOG.md."""
    version = PYPROJECT["project"]["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == version
    assert version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
