"""The notebooks: what is stored is what they do, everywhere, twice, with nothing left over."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cachepool_lib import lab
from tests.tools.ci import in_ci
from tests.tools.learner import settings
from tests.tools.notebook_tools import (
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
from tests.tools.notebook_tools.form import faults, faults_of_cells, faults_of_teaching
from tests.tools.notebook_tools.hearts import exercises, solution, tagged
from tests.tools.notebook_tools.layers import STOP, second_half, so_far, stop_signs
from tests.tools.notebook_tools.tables import told, two_hours


@pytest.fixture(scope="module")
def servers() -> None:
    """Use the servers for as long as these tests run, so that each kernel joins running ones."""
    asyncio.run(lab.services())


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def nbval(*paths: Path, **variables: str) -> tuple[int, set[str]]:
    """Run nbval on the notebooks as a user would: its exit status and the cells that failed.

    A cell is named like "broken.ipynb::Cell 2". *variables* are in the environment, too.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-W", "error", "-q"]
        + [f"--nbval-cell-timeout={CELL_TIMEOUT}", "-p", "no:cacheprovider", "--color=no"]
        + ["-p", "tests.tools.quick_start", "-p", "tests.tools.nbval_kernels"]
        + [str(path) for path in paths],
        cwd=ROOT,
        env=environment | variables,
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


def halves(path: Path, folder: Path) -> list[Path]:
    """The notebook as two in *folder*, before its stop sign and after; as it is, if it has none.

    In the second one the chart of all guesses, which lacks those of the first, is not compared.
    """
    whole = read(path)
    if not stop_signs(whole):
        return [path]
    first, second = copy(whole), second_half(whole)
    first.cells = first.cells[: stop_signs(whole)[0]]
    for cell in code_cells(second):
        if cell.source.startswith("lab.charts.guesses("):
            cell.metadata.tags = [*tags(cell), IGNORED]
    paths = [folder / f"{path.stem}-{half}.ipynb" for half in ("first", "second")]
    for notebook, there in zip((first, second), paths, strict=True):
        write(notebook, there)
    return paths


@every_notebook
@pytest.mark.usefixtures("servers")
def test_nbval_finds_the_stored_outputs(path: Path, tmp_path: Path) -> None:
    """Strictly compared, with warnings as errors, each half in a kernel of its own: who comes back
    tomorrow starts at the stop sign, and sees the same.
    """
    assert bool(stop_signs(read(path))) != path.name.startswith("00")
    assert nbval(*halves(path, tmp_path)) == (0, set())


@pytest.mark.usefixtures("servers")
def test_what_a_learner_has_set_changes_no_output(tmp_path: Path) -> None:
    """All of it at once, from PG* to a profile of IPython, and a home folder of other settings."""
    assert nbval(NOTEBOOKS[0], **settings(tmp_path)) == (0, set())


@in_ci
@pytest.mark.parametrize("path", NOTEBOOKS[1:5], ids=lambda path: path.stem)
def test_nor_any_output_of_the_next_four(path: Path, tmp_path: Path) -> None:
    """With servers that are started in the midst of it."""
    assert nbval(path, **settings(tmp_path), TMPDIR=str(tmp_path)) == (0, set())


def solved(notebook: NotebookNode) -> NotebookNode:
    """The notebook with each solution where its stub was."""
    answered = copy(notebook)
    for name in exercises(notebook):
        answered.cells[tagged(notebook, f"exercise-{name}")].source = solution(notebook, name)
    return answered


@every_notebook
@pytest.mark.usefixtures("servers")
def test_solved_exercises_pass_and_change_nothing_else(path: Path) -> None:
    """In a fresh kernel, with each solution where its stub was: the checks pass; where a later cell
    takes the learner's own function, it does the same: up to the exam. So no cell was stored
    without its output.
    """
    stored = read(path)
    notebook = solved(stored)
    with kernel(notebook, path.parent) as client:
        run(client, notebook)
    normalise(notebook, stored)
    checks = [any(tag.startswith("check-") for tag in tags(cell)) for cell in code_cells(notebook)]
    assert sum(checks) == len(exercises(stored)) > 0
    for cell, check in zip(code_cells(notebook), checks, strict=True):
        if check:
            assert cell.outputs[-1].data["text/plain"].startswith("✓"), cell.outputs
    changed = differences(stored, notebook)
    others = [line for line in changed if not checks[int(line.split()[1][:-1])]]
    assert others == []
    assert len(changed) == sum(checks)


@in_ci
@every_notebook
@pytest.mark.usefixtures("servers")
def test_a_second_run_in_the_same_kernel_gives_the_same(path: Path) -> None:
    """Who runs a notebook again without a restart sees what is stored."""
    stored = read(path)
    first, second = copy(stored), copy(stored)
    with kernel(first, path.parent) as client:
        run(client, first)
        run(client, second)
    for notebook in (first, second):
        normalise(notebook, stored)
        assert differences(stored, notebook) == []
        assert [cell.id for cell in notebook.cells] == [cell.id for cell in stored.cells]


@every_notebook
def test_form(path: Path) -> None:
    """Sizes, slides, notes, exercises and outputs are as everywhere in the course."""
    assert faults_of_cells(read(path)) == []


@every_notebook
def test_no_answer_stands_under_a_question(path: Path) -> None:
    """Guesses before results, hearts before fixes, three layers at most, minutes computed."""
    assert faults_of_teaching(read(path)) == []


def test_a_second_half_that_needs_the_first_is_noticed(tmp_path: Path) -> None:
    """Whether it fails without it, or shows something else."""
    notebook = notebook_of("x = 1", "x", "'x' in globals()", "2")
    notebook.cells.insert(1, new_markdown_cell(STOP))
    stored(notebook, tmp_path / "whole.ipynb")
    _, second = halves(tmp_path / "whole.ipynb", tmp_path)
    needs, shows = f"{second.name}::Cell 0", f"{second.name}::Cell 1"
    assert nbval(second) == (1, {needs, shows})


def unlike(notebook: NotebookNode) -> list[str]:
    """Promises of the exam that a flat class keeps and its layers don't, or the other way."""
    names, pairs = definitions(notebook), so_far(notebook)
    candidates = [names[name] for pair in pairs.items() for name in pair]
    wrong = []
    for row in asyncio.run(lab.exam(*candidates)).rows:
        kept = [result.passed for result in row]
        for (flat, layers), one, other in zip(pairs.items(), kept[::2], kept[1::2], strict=True):
            if one != other:
                wrong.append(f"{row[0].name}: {flat} {one}, {layers} {other}: {row}")
    return wrong


def is_service(notebook: NotebookNode) -> bool:
    """Whether what stands there in one piece is the app of a service."""
    flat = [cell.source for cell in code_cells(notebook) if "so-far" in tags(cell)]
    return any("FastAPI(" in source for source in flat)


IN_ONE_PIECE = [path for path in NOTEBOOKS if so_far(read(path))]
SERVICES = [path for path in IN_ONE_PIECE if is_service(read(path))]


@pytest.mark.parametrize(
    "path", [path for path in IN_ONE_PIECE if path not in SERVICES], ids=lambda path: path.stem
)
@pytest.mark.usefixtures("servers")
def test_a_class_in_one_piece_behaves_like_its_layers(path: Path) -> None:
    """Asked for every promise of the exam, both keep the same ones."""
    assert unlike(read(path)) == []


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("servers")
def test_a_service_in_one_piece_answers_like_its_parts(path: Path) -> None:
    """The same page, and no page for what is no user's number."""
    notebook = read(path)
    names, [(flat, parts)] = definitions(notebook), so_far(notebook).items()

    def get(url: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    async def answers(name: str) -> list[tuple[int, bytes]]:
        async with lab.serve(names[name], workers=1) as service:
            urls = [f"{service.url}/users/{user}" for user in ("7", "7", "8", "nobody")]
            return [await asyncio.to_thread(get, url) for url in urls]

    one = asyncio.run(answers(flat))
    assert one == asyncio.run(answers(parts))
    assert [status for status, _ in one] == [200, 200, 200, 422] and one[0] != one[2]


def test_a_class_in_one_piece_that_lost_something_is_noticed() -> None:
    """A layer that was left out keeps one promise less."""
    lost = "    async def delete(self, key):\n        return False"
    sources = [
        "from cachepool_lib import AsyncCache",
        "class Layers(AsyncCache):\n    pass",
        "# Layers, in one piece\nclass Flat(AsyncCache):\n    pass",
        f"# Layers, in one piece\nclass Lost(AsyncCache):\n{lost}",
    ]
    notebook = notebook_of(*sources)
    for cell in notebook.cells[2:]:
        cell.metadata.tags = ["so-far"]
    wrong = unlike(notebook)
    assert wrong and all("Lost False, Layers True" in line for line in wrong)


def test_the_map_names_the_notebooks_that_are_there() -> None:
    """Each with the title and the minutes that it has itself."""
    rows = re.findall(
        r"^\| \[(\d\d)\]\((.+?\.ipynb)\) \| (.+?) \| (\d+) \| (\d+) \|",
        "\n".join(cell.source for cell in read(NOTEBOOKS[0]).cells),
        re.M,
    )
    assert rows == [(path.name[:2], path.name, *told(path)) for path in NOTEBOOKS]


def test_two_hours_are_two_hours() -> None:
    """The way for who has two hours says how long each part is, and leaves time for the exercises
    of notebook 01.
    """
    rows = two_hours()
    assert [(row, told) for row, told, _ in rows] == [(row, real.reading) for row, _, real in rows]
    of_01 = sum(real.exercises for row, _, real in rows if "[01]" in row)
    assert len(rows) > 3 and sum(real.reading for _, _, real in rows) + of_01 <= 120


def defined_in(notebook: NotebookNode, tag: str) -> str:
    """The name of the last class, or function, in the cell with this tag."""
    [cell] = [cell for cell in code_cells(notebook) if tag in tags(cell)]
    return str(re.findall(r"^(?:class|def) (\w+)", cell.source, re.M)[-1])


def not_kept(notebook: NotebookNode) -> set[str]:
    """The promises that the notebook's own class does not keep, as it tells its exam."""
    told = [cell.source for cell in code_cells(notebook) if "not_kept" in cell.source]
    return set(re.findall(r'"([A-Z]\d+(?:-\w+)?)"', "".join(told)))


@pytest.mark.parametrize(
    "path",
    [path for path in NOTEBOOKS if any("naive" in tags(cell) for cell in read(path).cells)],
    ids=lambda path: path.stem,
)
def test_the_naive_version_has_the_flaws_and_the_last_those_that_are_told(path: Path) -> None:
    """Classes and decorators as the notebook writes them: the first breaks exactly the promises
    that the table of flaws names, each with a wrong answer to show for it; the last keeps all but
    those that the exam names as not kept.
    """
    notebook = read(path)
    names = definitions(notebook)
    naive, last = (names[defined_in(notebook, tag)] for tag in ("naive", "final"))
    report = asyncio.run(lab.exam(naive, last))
    [table] = [cell.source for cell in notebook.cells if "flaws" in tags(cell)]
    flaws = re.findall(r"^\| ?\**([A-Z]\d+)\b", table, re.M)
    broken = [first.name.partition("-")[0] for first, _ in report.rows if not first.passed]
    assert list(dict.fromkeys(broken)) == flaws
    failed = {second.name for _, second in report.rows if not second.passed}
    assert failed == not_kept(notebook)
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
    """Faults that show in no cell fail the last one, and a sound notebook passes."""
    sound = stored(notebook_of(START, *["x = 1"] * len(TRAPS), END), tmp_path / "sound.ipynb")
    broken = copy(sound)
    for cell, trap in zip(broken.cells[1:-1], TRAPS.values(), strict=True):
        cell.source, cell.outputs = trap, []
    write(broken, tmp_path / "broken.ipynb")
    status, failed = nbval(tmp_path / "sound.ipynb", tmp_path / "broken.ipynb")
    assert status == 1 and f"broken.ipynb::Cell {len(TRAPS) + 1}" in failed
    assert not any(name.startswith("sound") for name in failed)


def test_a_cell_stored_without_its_output_is_noticed(tmp_path: Path) -> None:
    """nbval passes a cell that was stored as if it had not been run; we don't."""
    path = tmp_path / "vacuous.ipynb"
    notebook = stored(notebook_of(START, "1 + 1", END), path)
    notebook.cells[1].outputs, notebook.cells[1].execution_count = [], None
    write(notebook, path)
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
