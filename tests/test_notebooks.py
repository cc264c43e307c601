"""The notebooks: what is stored is what they do, everywhere, twice, with nothing left over."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cachepool_lib import lab
from tests.notebook_tools import (
    CELL_TIMEOUT,
    IGNORED,
    NOTEBOOKS,
    ROOT,
    code_cells,
    comparable,
    copy,
    definitions,
    execute,
    kernel,
    normalise,
    read,
    run,
    tags,
    write,
)
from tests.notebook_tools.form import MINUTES, SOLUTION, exercises, faults


@pytest.fixture(scope="module")
def servers() -> None:
    """Use the servers for as long as these tests run, so that each kernel joins running ones."""
    asyncio.run(lab.services())


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def nbval(*paths: Path) -> tuple[int, set[str]]:
    """Run nbval on the notebooks as a user would: its exit status and the cells that failed.

    A cell is named like "broken.ipynb::Cell 2".
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-W", "error", "-q"]
        + [f"--nbval-cell-timeout={CELL_TIMEOUT}", "-p", "no:cacheprovider", "--color=no"]
        + ["-p", "tests.nbval_kernels"]
        + [str(path) for path in paths],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    print(done.stdout, done.stderr)  # pytest shows it if the test fails
    return done.returncode, set(
        re.findall(r"^FAILED .*?([\w-]+\.ipynb::Cell \d+)", done.stdout, re.M)
    )


def differences(expected: NotebookNode, got: NotebookNode) -> list[str]:
    """The code cells whose outputs are not the same in two executions of a notebook."""
    pairs = zip(code_cells(expected), code_cells(got), strict=True)
    return [
        f"Cell {number}: {comparable(one)} became {comparable(other)}"
        for number, (one, other) in enumerate(pairs)
        if comparable(one) != comparable(other)
    ]


@every_notebook
@pytest.mark.usefixtures("servers")
def test_nbval_finds_the_stored_outputs(path: Path) -> None:
    """Strictly compared, with warnings as errors, in a kernel of this environment."""
    assert nbval(path) == (0, set())


@every_notebook
@pytest.mark.usefixtures("servers")
def test_a_second_run_with_every_exercise_solved_gives_the_same(path: Path) -> None:
    """In one kernel: first exactly what is stored, so no cell was stored without its output; then,
    with each solution where its stub was, the checks pass, and nothing else is other than before.
    """
    stored = read(path)
    first, second = copy(stored), copy(stored)
    solutions = {
        tag.removeprefix("solution-"): SOLUTION.search(cell.source)["code"]  # type: ignore[index]
        for cell in stored.cells
        for tag in tags(cell)
        if tag.startswith("solution-")
    }
    assert solutions and solutions.keys() == exercises(stored).keys()
    for cell in second.cells:
        for tag in tags(cell):
            if tag.startswith("exercise-"):
                cell.source = solutions[tag.removeprefix("exercise-")]
    with kernel(first, path.parent) as client:
        run(client, first)
        run(client, second)
    normalise(first, stored)
    normalise(second, stored)
    assert differences(stored, first) == []
    assert [cell.id for cell in first.cells] == [cell.id for cell in stored.cells]
    checks = [any(tag.startswith("check-") for tag in tags(cell)) for cell in code_cells(second)]
    for cell, check in zip(code_cells(second), checks, strict=True):
        if check:
            assert cell.outputs[-1].data["text/plain"].startswith("✓"), cell.outputs
    changed = {int(line.split()[1][:-1]) for line in differences(first, second)}
    assert changed == {number for number, check in enumerate(checks) if check}


@every_notebook
def test_form(path: Path) -> None:
    """Sizes, slides, notes, exercises and outputs are as everywhere in the course."""
    assert faults(read(path)) == []


def test_the_map_names_the_notebooks_that_are_there() -> None:
    """Each with the title and the minutes that it has itself."""
    rows = re.findall(
        r"^\| \[(\d\d)\]\((.+?\.ipynb)\) \| (.+?) \| (\d+) \|",
        "\n".join(cell.source for cell in read(NOTEBOOKS[0]).cells),
        re.M,
    )
    there = []
    for path in NOTEBOOKS:
        header = read(path).cells[0].source
        title = re.match(r"# (?:\d+ · )?(.+)", header)
        minutes = MINUTES.search(header)
        assert title and minutes
        there.append((path.name[:2], path.name, title[1], minutes[0].split()[0]))
    assert rows == there


def defined_in(notebook: NotebookNode, tag: str) -> str:
    """The name of the last class, or function, in the cell with this tag."""
    [cell] = [cell for cell in code_cells(notebook) if tag in tags(cell)]
    return str(re.findall(r"^(?:class|def) (\w+)", cell.source, re.M)[-1])


@pytest.mark.parametrize(
    "path",
    [path for path in NOTEBOOKS if any("naive" in tags(cell) for cell in read(path).cells)],
    ids=lambda path: path.stem,
)
def test_the_naive_version_has_the_flaws_and_the_last_has_none(path: Path) -> None:
    """Classes and decorators as the notebook writes them: the first breaks exactly the promises
    that the table of flaws names, each with a wrong answer to show for it; the last keeps them all.
    """
    notebook = read(path)
    names = definitions(notebook)
    naive, last = (names[defined_in(notebook, tag)] for tag in ("naive", "final"))
    report = asyncio.run(lab.exam(naive, last))
    [table] = [cell.source for cell in notebook.cells if "flaws" in tags(cell)]
    flaws = re.findall(r"^\| ?\**([A-Z]\d+)\b", table, re.M)
    assert [first.name for first, _ in report.rows if not first.passed] == flaws
    assert [second for _, second in report.rows if not second.passed] == []
    for first, _ in report.rows:
        if not first.passed:
            assert first.expected and first.got
            assert not re.search(r"AttributeError|TypeError|NotImplementedError", first.got), first


# What the tests of the notebooks would catch. Each trap passes a plain nbval run.

START = "import asyncio\nfrom cachepool_lib import lab"
END = "await lab.nothing_left()"
TRAPS = {
    "an exception in a background task": (
        "async def fail():\n    raise ValueError('unseen')\n\n"
        "task = asyncio.create_task(fail())\nawait asyncio.sleep(0)"
    ),
    "a task still running": "task = asyncio.create_task(asyncio.sleep(60))",
    "a coroutine never awaited": "pause = asyncio.sleep(0)",
    "a coroutine dropped": "def start():\n    asyncio.sleep(0)\n\nstart()",
    "a warning": "import os\nlost = open(os.devnull)\ndel lost",
}


def notebook_of(*sources: str) -> NotebookNode:
    notebook: NotebookNode = new_notebook(cells=[new_code_cell(source) for source in sources])
    normalise(notebook)
    return notebook


def stored(notebook: NotebookNode, path: Path) -> NotebookNode:
    """The notebook, executed and stored at *path*."""
    write(notebook, path)
    executed = execute(path)
    write(executed, path)
    return executed


def test_unseen_faults_fail_the_run(tmp_path: Path) -> None:
    """A fault that shows in no cell fails the last cell, and a sound notebook passes."""
    sound = stored(notebook_of(START, "1 + 1", END), tmp_path / "sound.ipynb")
    paths = [tmp_path / "sound.ipynb"]
    for number, trap in enumerate(TRAPS.values()):
        broken = copy(sound)
        broken.cells[1].source, broken.cells[1].outputs = trap, []
        paths.append(tmp_path / f"trap{number}.ipynb")
        write(broken, paths[-1])
    status, failed = nbval(*paths)
    assert status == 1
    assert failed >= {f"trap{number}.ipynb::Cell 2" for number in range(len(TRAPS))}
    assert not any(name.startswith("sound") for name in failed)


def test_a_cell_stored_without_its_output_is_noticed(tmp_path: Path) -> None:
    """nbval passes a cell that was stored as if it had not been run; we don't."""
    path = tmp_path / "vacuous.ipynb"
    notebook = stored(notebook_of(START, "1 + 1", END), path)
    notebook.cells[1].outputs, notebook.cells[1].execution_count = [], None
    write(notebook, path)
    assert nbval(path) == (0, set())
    assert [line.split(":")[0] for line in differences(notebook, execute(path))] == ["Cell 1"]
    assert "not stored as executed once, from the first cell to the last" in faults(notebook)


# The tools


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names for sockets")
def test_a_kernel_is_reached_without_ports(tmp_path: Path) -> None:
    """Picked first and taken later, one of them was another test's by then."""
    with kernel(notebook_of("1 + 1"), tmp_path) as client:
        assert client.km is not None
        told = client.km.get_connection_info().items()
        ports = {number for name, number in told if name.endswith("_port")}
        process = psutil.Process(client.km.provisioner.process.pid)  # type: ignore[union-attr]
        listening = {one.laddr.port for one in process.net_connections("tcp") if one.laddr}
        assert len(ports) == 5 and not ports & listening


def test_executing_again_changes_nothing(tmp_path: Path) -> None:
    """Not a byte: no times, no ids by chance, no pieces of a stream, no metadata of an editor."""
    path = tmp_path / "a.ipynb"
    pieces = "for i in range(3):\n    print(i, flush=True)\n    await asyncio.sleep(0.01)"
    notebook = notebook_of(START, pieces, "import os\nos.getpid()", "1 / 0", "1 / 0")
    notebook.cells[2].metadata.tags = [IGNORED]
    notebook.cells[3].metadata.tags = notebook.cells[4].metadata.tags = ["raises-exception"]
    notebook.cells[1].metadata.collapsed = True
    notebook.metadata.widgets = {}
    stored(notebook, path)
    before = path.read_bytes()
    stored(read(path), path)
    assert path.read_bytes() == before
    write(execute(path, refresh=True), path)
    assert path.read_bytes() != before, "asked to, it stores what is not compared"


def form_of(*cells: Any) -> list[str]:
    notebook = new_notebook(cells=list(cells))
    normalise(notebook)
    return faults(notebook)


def with_tag(cell: NotebookNode, tag: str) -> NotebookNode:
    cell.metadata.tags = [tag]
    return cell


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (new_code_cell("x = 1\n" * 29), "longest code cell 29 lines (28)"),
        (new_code_cell("x = 1\n" * 5), "median code cell 5 lines (4)"),
        (new_code_cell("x" * 101), "101 columns (100)"),
        (new_code_cell("interact(draw)"), "interact()"),
        (new_code_cell("plt.plot([1]);"), "a trailing ';'"),
        (new_code_cell("out = widgets.Output()"), "an Output widget"),
        (new_code_cell("asyncio.run(main())"), "asyncio.run()"),
        (new_code_cell("open('/home/me/notes')"), "path of a machine: /home/me/notes"),
        (new_markdown_cell("![a cat](https://example.org/cat.png)"), "a picture from elsewhere"),
        (new_markdown_cell("[next](09-nowhere.ipynb)"), "link to nothing, 09-nowhere.ipynb"),
        (new_markdown_cell("## Part two"), "no speaker note in section 'Part two'"),
        (new_markdown_cell("<details>"), "<details> not closed"),
        (new_markdown_cell("text"), "no slide type"),
        (
            with_tag(new_code_cell("x"), "exercise-1"),
            "exercise 1 has exercise, not exercise, check",
        ),
        (with_tag(new_code_cell("x = 1"), "check-1"), "a check that is not one expression"),
        (with_tag(new_markdown_cell("x = 1"), "solution-1"), "a solution that is not folded"),
    ],
)
def test_form_is_noticed(cell: NotebookNode, fault: str) -> None:
    """Each rule of form says what it found, and where."""
    assert any(line.startswith(fault) for line in form_of(cell)), form_of(cell)
