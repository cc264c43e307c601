"""Archives for a class: what is in each, and that it runs as it stands."""

import ast
import asyncio
import inspect
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from cachepool_lib.lab.classroom.__main__ import main
from cachepool_lib.lab.classroom.cells import answers, asked, exercises, slide_type, solution, tags
from cachepool_lib.lab.classroom.handout import (
    exercises_alone,
    folded,
    make_handouts,
    unfold,
    without_solutions,
)
from cachepool_lib.lab.copies import emptied, make_copies
from cachepool_lib.lab.exercises import exercise
from tests.tools.ci import in_ci
from tests.tools.notebook_tools import NOTEBOOKS, ROOT, kernel, read, run

by_number = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, NotebookNode]]:
    """Name of each archive → the notebooks in its folder work/."""
    to = tmp_path_factory.mktemp("dist")
    make_handouts(ROOT / "notebooks", to)
    found: dict[str, dict[str, NotebookNode]] = {}
    for path in to.iterdir():
        with zipfile.ZipFile(path) as archive:
            found[path.stem] = {
                name.removeprefix("work/"): nbformat.reads(archive.read(name), as_version=4)
                for name in archive.namelist()
            }
    return found


def test_the_course_is_what_make_lab_copies(archives: Any, tmp_path: Path) -> None:
    """Cell for cell, so that `make lab` opens it and finds nothing to say."""
    make_copies(ROOT / "notebooks", tmp_path / "work")
    copies = {path.name: read(path) for path in (tmp_path / "work").iterdir()}
    assert archives["course"] == copies
    for name, notebook in archives["course-without-notes"].items():
        nbformat.write(notebook, tmp_path / "work" / name)
    assert make_copies(ROOT / "notebooks", tmp_path / "work") == []


def test_nothing_is_in_a_hand_out_that_should_not_be(archives: Any) -> None:
    """No output anywhere; no notes, no solutions, none of our answers to be read, where that is
    said; every exercise everywhere.
    """
    for kind, notebooks in archives.items():
        for path in NOTEBOOKS:
            original = read(path)
            if path.name not in notebooks:
                assert kind == "exercises" and not exercises(original)
                continue
            cells = notebooks[path.name].cells
            text = "\n".join(cell.source for cell in cells)
            assert not any(cell.get("outputs") for cell in cells)
            assert answers(notebooks[path.name]) == answers(original), (kind, path.name)
            notes = any(slide_type(cell) == "notes" for cell in cells)
            assert notes == (kind == "course")
            if kind in ("course-without-solutions", "exercises"):
                assert "<summary>Solution</summary>" not in text
                assert not [line for line in text.splitlines() if "_ours(" in line]
            for cell in cells if kind == "exercises" else []:
                assert "ours" not in tags(cell)


def test_what_is_folded_away_is_there_all_the_same() -> None:
    """Its functions, decorated ones too; what the cell does else can be read."""
    source = "# Ours\n@str\ndef f():\n    return 1\n\n\nx = 1 if (await g()) else 2"
    shown = folded(source)
    assert "return" not in shown and "x = 1 if (await g()) else 2" in shown
    [packed] = [
        ast.literal_eval(node.args[0])
        for node in ast.walk(ast.parse(shown))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "unfold"
    ]
    names: dict[str, Any] = {}
    exec(unfold(packed), names)
    assert names["f"].startswith("<function f")


@by_number
def test_exercises_alone_have_all_they_need(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stubs run and are not solved yet; our solutions, typed in their place, pass."""
    monkeypatch.setattr(exercise, "LIMIT", 240)  # seconds, for a machine that is busy
    names: dict[str, Any] = {}
    original, notebook = read(path), exercises_alone(emptied(path))

    async def cell(source: str) -> Any:
        tree = ast.parse(source)
        if isinstance(tree.body[-1], ast.Expr):
            tree.body[-1] = ast.Assign([ast.Name("_last", ast.Store())], tree.body[-1].value)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(ast.fix_missing_locations(tree), "<cell>", "exec", flags, dont_inherit=True)
        coroutine = eval(code, names)
        if inspect.iscoroutine(coroutine):
            await coroutine
        return names.pop("_last", None)

    async def cells() -> None:
        for one in notebook.cells:
            seen = await cell(one.source) if one.cell_type == "code" else None
            for name in [tag[6:] for tag in tags(one) if tag.startswith("check-")]:
                assert seen.status == "not solved yet", seen
                await cell(solution(original, name))
                assert (await cell(one.source)).passed, name
                assert asked(original, name) in names

    asyncio.run(cells())


@in_ci
@by_number
def test_a_course_without_solutions_runs_as_it_stands(path: Path, tmp_path: Path) -> None:
    """From its first cell to its last, in a new kernel, in a folder work/."""
    notebook = without_solutions(emptied(path))
    (tmp_path / "work").mkdir()
    with kernel(notebook, tmp_path / "work") as client:
        run(client, notebook)


def test_without_notebooks_it_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Started in another folder, it writes nothing there."""
    monkeypatch.chdir(tmp_path)
    assert main(["handout"]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
