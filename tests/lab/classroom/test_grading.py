"""Grades: whatever a student hands in costs and earns that student alone."""

import csv
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from cachepool_lib.lab.classroom import grading
from cachepool_lib.lab.classroom.__main__ import main
from cachepool_lib.lab.classroom.cells import answers, exercises, solution, tagged
from cachepool_lib.lab.classroom.grading import Grade, grade
from cachepool_lib.lab.classroom.submissions import handed_in
from tests.tools.ci import in_ci
from tests.tools.notebook_tools import NOTEBOOKS, ROOT, copy, read

[FIRST] = [path for path in NOTEBOOKS if path.name.startswith("01")]
LINUX = sys.platform == "linux"


def with_answers(path: Path, **answers: str) -> NotebookNode:
    """Our notebook with these answers (e01_1 is for 01-1) in the cells of the exercises."""
    notebook = copy(read(path))
    for name, source in answers.items():
        at = tagged(notebook, f"exercise-{name[1:].replace('_', '-')}")
        notebook.cells[at].source = source
    return notebook


def ours(path: Path, *names: str) -> dict[str, str]:
    return {f"e{name.replace('-', '_')}": solution(read(path), name) for name in names}


def hand_in(folder: Path, **notebooks: NotebookNode) -> Path:
    folder.mkdir(exist_ok=True)
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


FOR_EVER = """async def breaks(cache):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass"""
GREEDY = """def join_mine(flights, key, load):
    hoard = []
    while True:
        hoard.append(bytearray(2**24))"""
LEAVES = "async def wait_mine(flights, waiters, key, task):\n    raise SystemExit"


@pytest.mark.skipif(not LINUX, reason="the limits of memory and processor are Linux's")
def test_a_loop_costs_its_own_exercise_and_nobody_else(tmp_path: Path) -> None:
    """Nor does a hoard of memory, nor the end of the process: what comes after them is graded."""
    eve = with_answers(FIRST, e01_1=FOR_EVER, e01_2=GREEDY, e01_3=LEAVES, **ours(FIRST, "01-4"))
    ada = with_answers(FIRST, **ours(FIRST, "01-1", "01-2"))
    grades = grade(hand_in(tmp_path / "in", eve=eve, ada=ada), seconds=3)
    by = {(line.name, line.exercise): line for line in grades}
    assert {by["ada", f"01-{n}"].status for n in (1, 2)} == {"passed"}
    assert {by["ada", f"01-{n}"].status for n in (3, 4)} == {"not solved yet"}
    # On a busy machine the check itself has given up first, by the clock.
    assert by["eve", "01-1"].status in ("stopped", "failed")
    assert by["eve", "01-2"] == Grade("eve", "01-2", "stopped", by["eve", "01-2"].hint)
    assert "MB" in by["eve", "01-2"].hint
    assert by["eve", "01-3"] == Grade("eve", "01-3", "failed", "SystemExit: ")
    assert by["eve", "01-4"].status == "passed"


def test_only_the_cell_of_the_exercise_counts(tmp_path: Path) -> None:
    """Not a check that was changed, a printed tick, or a solution in another cell."""
    new, stored = nbformat.v4.new_code_cell, nbformat.v4.new_output
    mallory = with_answers(FIRST, e01_2="def join_mine(*a):\n    print('✓ 01-2 passed')")
    check = mallory.cells[tagged(mallory, "check-01-2")]
    check.source = "print('✓ 01-2 One load for all who ask')"
    check.outputs = [stored("stream", text="✓ 01-2 One load for all who ask")]
    patched = "async def passed(*a):\n    return True\nlab.exercise = passed"
    mallory.cells.insert(1, new(f"{patched}\n{solution(mallory, '01-4')}"))
    mallory.cells[tagged(mallory, "exercise-01-3")].source = f"import os\n\nos._exit(0)\n{patched}"
    del mallory.cells[tagged(mallory, "exercise-01-1")]
    grades = {line.exercise: line for line in grade(hand_in(tmp_path / "in", mallory=mallory))}
    assert grades["01-1"].status == "missing"
    assert grades["01-2"].status == "failed"
    assert "It gave NoneType" in grades["01-2"].hint
    assert grades["01-3"].status == "by hand"
    assert "line 1: os" in grades["01-3"].hint
    assert grades["01-4"].status == "not solved yet"


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.name[:2], marks=[] if "00" in p.name else in_ci) for p in NOTEBOOKS],
)
def test_our_solutions_pass(path: Path, tmp_path: Path) -> None:
    """Every one of each notebook; as handed out, the stub is not solved yet."""
    names = exercises(read(path))
    solved = with_answers(path, **ours(path, *names))
    place = hand_in(tmp_path / "in", ada=solved, ben=read(path))
    assert {(g.name, g.exercise, g.status) for g in grade(place)} == {
        (who, name, status)
        for who, status in (("ada", "passed"), ("ben", "not solved yet"))
        for name in names
    }


def test_an_answer_may_take_several_cells() -> None:
    """What stands between the stub and its check belongs to it, and nothing else."""
    notebook = copy(read(FIRST))
    check = tagged(notebook, "check-01-2")
    notebook.cells.insert(check, nbformat.v4.new_code_cell("def helper():\n    pass"))
    notebook.cells.insert(check + 2, nbformat.v4.new_code_cell("def late():\n    pass"))
    answer = answers(notebook)["01-2"]
    assert answer.startswith("def join_mine") and "def helper" in answer and "late" not in answer


# -- what is handed in -------------------------------------------------------------------------


def archive(kind: str, place: Path, files: dict[str, str]) -> Path:
    if kind == "folder":
        for name, text in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")
    elif kind == "zip":
        place = place.with_suffix(".zip")
        with zipfile.ZipFile(place, "w") as out:
            for name, text in files.items():
                out.writestr(name, text)
    else:
        place = place.with_suffix(".tar.gz")
        with tarfile.open(place, "w:gz") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
    return place


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_folders_and_archives_are_read(kind: str, tmp_path: Path) -> None:
    """NAME.ipynb, NAME/….ipynb, and both in a folder called as the archive; nothing is unpacked."""
    empty = nbformat.writes(nbformat.v4.new_notebook())
    files = {"ada.ipynb": empty, "Ben B/01.ipynb": empty, "Ben B/02.ipynb": "{", "ada.txt": ""}
    files |= {"Ben B/.ipynb_checkpoints/01.ipynb": empty, "__MACOSX/x/y.ipynb": empty}
    place = archive(kind, tmp_path / "class", files)
    before = sorted(tmp_path.rglob("*"))
    found = handed_in(place)
    assert {name: len(those) for name, those in found.items()} == {"ada": 1, "Ben B": 2}
    assert "Ben B/02.ipynb can't be read" in str(found["Ben B"][1])
    wrapped = archive(kind, tmp_path / "all", {f"all/{name}": files[name] for name in files})
    assert kind == "folder" or handed_in(wrapped).keys() == found.keys()
    assert set(tmp_path.rglob("*")) - set(before) <= {wrapped, *wrapped.rglob("*")}


def test_a_path_that_leads_out_of_the_archive_leads_nowhere(tmp_path: Path) -> None:
    """It is a name like any other: nothing is written."""
    place = archive("zip", tmp_path / "in", {"../../ada.ipynb": "{}", "/etc/ben.ipynb": "{}"})
    assert all(isinstance(one, str) for those in handed_in(place).values() for one in those)
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("missing", ["nowhere", "empty", "text"])
def test_what_can_not_be_read_is_said(
    missing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which place, what was expected, and no table."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    table = tmp_path / "grades.csv"
    monkeypatch.chdir(ROOT)
    assert main(["grade", str(tmp_path / missing), "--to", str(table)]) == 2
    assert str(tmp_path / missing) in capsys.readouterr().err
    assert not table.exists()


def test_the_table_has_four_columns_and_no_formula() -> None:
    """A name or a hint that begins like a formula is text to a spreadsheet."""
    file = io.StringIO()
    grading.write([Grade("=1+1", "01-1", "failed", '@x, "y"\nz')], file)
    table = list(csv.reader(io.StringIO(file.getvalue())))
    assert table == [
        ["name", "exercise", "status", "hint"],
        ["'=1+1", "01-1", "failed", '\'@x, "y"\nz'],
    ]
