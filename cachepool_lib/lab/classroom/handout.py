"""Copies for a class, as archives: with or without notes and solutions, or the exercises alone.

All are made of the notebooks, hold a folder `work`, and belong into the project's folder: there
links lead where they should, and `make lab` opens what it finds in work/ and overwrites nothing.
"""

import ast
import base64
import re
import symtable
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import nbformat
from nbformat import NotebookNode

from cachepool_lib.lab.classroom.cells import (
    code_cells,
    exercises,
    slide_type,
    solution,
    tagged,
    tags,
)
from cachepool_lib.lab.copies import NOTEBOOKS, WORK, emptied

HANDOUTS = Path("dist")
ANSWERS = {"ours", "so-far"}  # tags of cells in which our solutions stand
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def make_handouts(notebooks: Path = NOTEBOOKS, to: Path = HANDOUTS) -> list[str]:
    """Write the archives, over those that were there; return a line on each.

    FileNotFoundError if there are no notebooks.
    """
    originals = sorted(notebooks.glob("*.ipynb"))
    if not originals:
        raise FileNotFoundError(
            f"No notebooks in {notebooks.resolve()}: go to the project's folder"
        )
    to.mkdir(parents=True, exist_ok=True)
    said = []
    for name, (what, made) in KINDS.items():
        path = to / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for original in originals:
                notebook = made(emptied(original))
                if notebook.cells:
                    archive.writestr(f"{WORK}/{original.name}", nbformat.writes(notebook))
        said.append(f"{path}: {what}")
    return [*said, f"Each holds a folder {WORK}/: unpack it in the project's folder."]


def as_it_is(notebook: NotebookNode) -> NotebookNode:
    """What `make lab` copies."""
    return notebook


def without_notes(notebook: NotebookNode) -> NotebookNode:
    """No speaker notes."""
    notebook.cells = [cell for cell in notebook.cells if slide_type(cell) != "notes"]
    return notebook


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """No speaker notes, and our answers out of sight.

    Later cells need them where a learner has none, so they are there, unreadable at a glance.
    """
    without_notes(notebook)
    notebook.cells = [
        cell for cell in notebook.cells if not any(t.startswith("solution-") for t in tags(cell))
    ]
    for cell in notebook.cells:
        if ANSWERS & set(tags(cell)):
            cell.source = folded(cell.source)
    return notebook


def exercises_alone(notebook: NotebookNode) -> NotebookNode:
    """Each exercise with what it needs of the notebook before it; nothing if there is none."""
    cells: list[NotebookNode] = []
    given: set[str] = set()  # what stands in an earlier cell already
    for name in exercises(notebook):
        stub = tagged(notebook, f"exercise-{name}")
        before = notebook.cells[:stub]
        needed = [text for text in _needed(notebook, name) if text not in given]
        given.update(needed)
        section = [
            found[1] for c in before if (found := re.match("## (.+)", c.source)) and "code" not in c
        ]
        head = notebook.cells[stub - 1]
        head.source += f"\n\n*It belongs to section “{section[-1]}”.*" if section else ""
        cells.append(head)
        if needed:
            cells.append(nbformat.v4.new_code_cell("\n".join(needed), id=f"needs-{name}"))
        cells += [notebook.cells[stub], notebook.cells[tagged(notebook, f"check-{name}")]]
    title = notebook.cells[0].source.partition("\n")[0]
    if cells:
        cells.insert(0, nbformat.v4.new_markdown_cell(f"{title}: the exercises", id="title"))
    notebook.cells = cells
    return notebook


KINDS: dict[str, tuple[str, Callable[[NotebookNode], NotebookNode]]] = {
    "course": ("as `make lab` copies it, with notes and solutions", as_it_is),
    "course-without-notes": ("without speaker notes", without_notes),
    "course-without-solutions": (
        "without notes and solutions (what follows an exercise still explains it)",
        without_solutions,
    ),
    "exercises": ("the exercises alone, without solutions", exercises_alone),
}


# -- our answers, out of sight -----------------------------------------------------------------


def folded(source: str) -> str:
    """A cell that defines the same, and doesn't show it; what it does else stays as it is."""
    body = ast.parse(source).body
    shown = [ast.get_source_segment(source, s) or "" for s in body if not isinstance(s, DEFINES)]
    hidden = "\n\n\n".join(_text(source, s) for s in body if isinstance(s, DEFINES))
    packed = base64.b85encode(zlib.compress(hidden.encode(), 9)).decode()
    first = "# Ours, folded away for later."
    unpack = f"exec(unfold({packed!r}))"
    where = f"from {__name__} import unfold"
    return "\n".join([first, where, "", unpack, *shown])


def unfold(packed: str) -> CodeType:
    """What folded() has put away, to be executed."""
    return compile(zlib.decompress(base64.b85decode(packed)), "<ours>", "exec", dont_inherit=True)


# -- what an exercise needs --------------------------------------------------------------------


def _needed(notebook: NotebookNode, name: str) -> list[str]:
    """The statements before an exercise that its stub, check and solution need, in their order;
    and all imports, which are at hand in the notebook, too.
    """
    stub = tagged(notebook, f"exercise-{name}")
    parts = [notebook.cells[stub].source, solution(notebook, name)]
    missing = {"lab"}.union(*map(_free, parts))
    found: list[str] = []
    for cell in reversed(code_cells(notebook.cells[:stub])):
        if any(tag == "raises-exception" or tag.startswith("exercise-") for tag in tags(cell)):
            continue  # the earlier stubs stand above as it is
        texts = [_text(cell.source, statement) for statement in ast.parse(cell.source).body]
        imports = [text for text in texts if text.startswith(("import ", "from "))]
        if ANSWERS & set(tags(cell)):
            asked_for = any(_bound(text) & missing for text in texts if text not in imports)
            texts = [folded(cell.source)] if asked_for else imports
        for text in reversed(texts):
            if text in imports or _bound(text) & missing:
                missing = missing - _bound(text) | _free(text)
                found.append(text)
    return list(dict.fromkeys(reversed(found)))


def _text(source: str, statement: ast.stmt) -> str:
    """The lines of a statement, decorators included."""
    first = min([statement, *getattr(statement, "decorator_list", [])], key=lambda n: n.lineno)
    return "\n".join(source.splitlines()[first.lineno - 1 : statement.end_lineno])


def _bound(source: str) -> set[str]:
    """The names that get a value at the top level."""
    table = symtable.symtable(source, "<cell>", "exec")
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def _free(source: str) -> set[str]:
    """The names that are looked up at the top level, also by functions, and get no value there."""
    found, tables = set[str](), [symtable.symtable(source, "<cell>", "exec")]
    for table in tables:
        tables += table.get_children()
        found |= {
            one.get_name()
            for one in table.get_symbols()
            if one.is_referenced() and (one.is_global() or table.get_type() == "module")
        }
    return found - _bound(source)
