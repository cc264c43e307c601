"""Promises of the learner's copies in work/."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cachepool_lib.lab import course
from cachepool_lib.lab.copies import make_copies, reset
from tests.tools.notebook_tools import FOLDED, NOTEBOOKS, code_cells, folded, read, tags
from tests.tools.notebook_tools.form import LOCAL_LINK


def write(path: Path, *sources: str) -> None:
    """A notebook of these code cells, each run, under a heading."""
    cells = [new_markdown_cell("# 01 · One"), new_markdown_cell("## Why?", id="why")]
    for source in sources:
        output = new_output("stream", text=f"the answer of {source}")
        id = re.sub("[^a-z0-9]", "-", source)
        cells.append(new_code_cell(source, id=id, execution_count=1, outputs=[output]))
    cells[0].id = "title"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with one notebook, where the commands run."""
    write(tmp_path / "notebooks/01-one.ipynb", "1 + 1", "2 + 2")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_copies_hold_no_answer_and_all_else(project: Path) -> None:
    """Sources, tags and folds as in the original; no output, and no number of a run."""
    assert make_copies() == ["Your copies are in work/: write there."]
    original = nbformat.read(project / "notebooks/01-one.ipynb", as_version=4)
    text = (project / "work/01-one.ipynb").read_text(encoding="utf-8")
    assert "the answer" not in text
    copy = nbformat.reads(text, as_version=4)
    kept = ("cell_type", "id", "source", "metadata")
    assert [[c[k] for k in kept] for c in copy.cells] == [
        [c[k] for k in kept] for c in original.cells
    ]
    assert all(c.execution_count is None for c in copy.cells if c.cell_type == "code")


def test_a_copy_is_never_overwritten(project: Path) -> None:
    """Not when the course is opened again, and not when the original has changed."""
    make_copies()
    mine = project / "work/01-one.ipynb"
    mine.write_text(
        mine.read_text(encoding="utf-8").replace("2 + 2", "my answer"), encoding="utf-8"
    )
    before = mine.read_bytes()
    assert make_copies() == []
    write(project / "notebooks/01-one.ipynb", "1 + 1", "3 + 3")
    make_copies()
    assert mine.read_bytes() == before


def test_what_a_newer_original_brings_is_said(project: Path) -> None:
    """How many cells, in which section, and how to get them; also a notebook that is new."""
    make_copies()
    write(project / "notebooks/01-one.ipynb", "1 + 1", "3 + 3")
    write(project / "notebooks/02-two.ipynb", "5 + 5")
    changed, new = make_copies()
    assert changed == (
        "work/01-one.ipynb: the original has changed since you copied it (1 cells are new or "
        "other, in Why?); `make reset NB=01` takes it and keeps yours."
    )
    assert new == "New: work/02-two.ipynb"
    write(project / "notebooks/01-one.ipynb", "1 + 1")
    assert "(cells are gone)" in make_copies()[0]


def test_an_original_that_was_only_run_again_is_no_news(project: Path) -> None:
    """Other outputs bring a learner nothing."""
    make_copies()
    path = project / "notebooks/01-one.ipynb"
    path.write_text(
        path.read_text(encoding="utf-8").replace("the answer", "another answer"), encoding="utf-8"
    )
    assert make_copies() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 1}'])
def test_a_copy_that_cannot_be_read_is_named(project: Path, text: str) -> None:
    """And left as it is."""
    make_copies()
    mine = project / "work/01-one.ipynb"
    mine.write_text(text, encoding="utf-8")
    [said] = make_copies()
    assert "can't be read" in said and "make reset NB=01" in said
    assert mine.read_text(encoding="utf-8") == text
    reset("01")
    assert make_copies() == []


def test_reset_makes_a_new_copy_and_keeps_the_old_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often; nothing that a learner wrote is lost."""
    make_copies()
    mine = project / "work/01-one.ipynb"
    fresh = mine.read_bytes()
    for number in (1, 2):
        mine.write_text(f"work of day {number}", encoding="utf-8")
        assert course.main(["reset", "01"]) == 0
        kept = project / f"work/01-one.yours-{number}.ipynb"
        assert kept.read_text(encoding="utf-8") == f"work of day {number}"
        assert mine.read_bytes() == fresh
        told = f"work/01-one.ipynb is new. What you had is work/{kept.name}.\n"
        assert capsys.readouterr().out == told
    mine.unlink()
    assert reset("01") == "work/01-one.ipynb is new."


@pytest.mark.parametrize("number", ["", "09", "1", "../x"])
def test_reset_of_no_notebook_says_which_there_are(
    project: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And changes nothing."""
    assert course.main(["reset", number]) == 2
    assert capsys.readouterr().err == f"Which notebook? {number!r} is none of: 01\n"
    assert not (project / "work").exists()


def test_elsewhere_the_command_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Started in another folder, it makes nothing there."""
    monkeypatch.chdir(tmp_path)
    assert course.main(["copies"]) == 2
    assert "go to the project's folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_answers_are_folded_in_the_copies_too(tmp_path: Path) -> None:
    """In every notebook, just what is tagged so."""
    make_copies(NOTEBOOKS[0].parent, tmp_path / "work")
    copies = [read(tmp_path / "work" / path.name) for path in NOTEBOOKS]
    cells = [cell for notebook in copies for cell in code_cells(notebook)]
    assert any("ours" in tags(cell) for cell in cells)
    assert all(folded(cell) == bool(FOLDED & set(tags(cell))) for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_from_the_copies_too(path: Path) -> None:
    """work/ stands beside notebooks/, and holds a copy of each."""
    for cell in read(path).cells:
        for link in LOCAL_LINK.findall(cell.source):
            if cell.cell_type == "markdown":
                assert link.startswith("../") or (path.parent / link).suffix == ".ipynb", link
