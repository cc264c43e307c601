"""The form of exercises: the learner writes the heart, before the notebook shows its own."""

from __future__ import annotations

import ast
import re

from nbformat import NotebookNode

from cachepool_lib.lab.classroom.cells import KINDS, exercises, looked_at, tagged
from cachepool_lib.lab.classroom.cells import SOLUTION as SOLUTION
from cachepool_lib.lab.classroom.cells import asked as asked
from cachepool_lib.lab.classroom.cells import solution as solution

from . import code_cells, first_line, folded, slide_type, tags
from .minutes import DETAILS, HEADING, STARS

MOST = 4
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef)
NEW_SLIDE = {"slide", "subslide"}
OURS = "# Ours; yours is taken if it has passed."  # the first line of a folded answer
FINDS_A_BUG = "breaks"  # what its function is called
NO_BUG = {"00", "07"}  # without such an exercise: 00 has a small one, and all four of 07 are hearts


def faults(notebook: NotebookNode) -> list[str]:
    """What keeps a learner from writing the heart, or a later cell from using it."""
    names = exercises(notebook)
    wrong = [] if len(names) <= MOST else [f"{len(names)} exercises ({MOST})"]
    bugs = 0
    for name, kinds in names.items():
        if kinds != KINDS:
            continue  # told elsewhere
        wrong += _slide(notebook, name)
        check = notebook.cells[tagged(notebook, f"check-{name}")]
        function = looked_at(check.source, name)
        if function is None:
            wrong.append(f"the check of {name} does not await lab.exercise({name!r}, …)")
            continue
        texts = [output.get("data", {}).get("text/plain", "") for output in check.outputs]
        if not any(text.startswith("○") for text in texts):
            wrong.append(f"the stub of {name} does not count as not solved yet")
        bugs += function.startswith(FINDS_A_BUG)
        wrong += _names(notebook, name, function)
    wrong += _open_answers(notebook)
    if names and not NO_BUG & {name[:2] for name in names} and not bugs:
        wrong.append(f"no exercise finds a bug: its function is called {FINDS_A_BUG}…")
    return wrong


def _open_answers(notebook: NotebookNode) -> list[str]:
    """Our answer to an exercise is folded, and alone in its cell: it stands under the question."""
    wrong = []
    for cell in code_cells(notebook):
        body = ast.parse(cell.source).body
        answers = any(isinstance(s, DEFINES) and s.name.endswith("_ours") for s in body)
        if "so-far" in tags(cell) or not (answers or "ours" in tags(cell)):
            continue
        if "ours" not in tags(cell) or not folded(cell) or not cell.source.startswith(f"{OURS}\n"):
            wrong.append(f"an answer of ours that is not folded: {first_line(cell)}")
        elif not answers or not all(isinstance(s, (*DEFINES, ast.Assign)) for s in body):
            wrong.append(f"more than our answer is folded with it: {first_line(cell)}")
    return wrong


def _slide(notebook: NotebookNode, name: str) -> list[str]:
    """The exercise has a heading, and a slide of its own; the solution stands alone."""
    wrong = []
    stub, end = (tagged(notebook, f"{kind}-{name}") for kind in ("exercise", "solution"))
    title = notebook.cells[stub - 1]
    found = HEADING.match(title.source)
    if not found or found[1] != name or STARS[found[2]] != int(found[3]):
        wrong.append(f"the cell before the stub does not begin '### Exercise {name} ★ 5 min · …'")
    if slide_type(title) not in NEW_SLIDE:
        wrong.append(f"exercise {name} has no slide of its own")
    after = [c for c in notebook.cells[end + 1 :] if slide_type(c) not in ("notes", "skip")]
    if after and slide_type(after[0]) not in NEW_SLIDE:
        wrong.append(f"on the slide of exercise {name} stands more: {first_line(after[0])}")
    if DETAILS.sub("", notebook.cells[end].source).strip():
        wrong.append(f"an explanation beside the solution of {name}")
    return wrong


def _names(notebook: NotebookNode, name: str, function: str) -> list[str]:
    """The learner's function keeps its name, and what follows can use it; ours is folded."""
    wrong, chosen = [], None
    check = tagged(notebook, f"check-{name}")
    for cell in notebook.cells[check + 1 :]:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            match node:
                case (
                    ast.FunctionDef(name=other)
                    | ast.AsyncFunctionDef(name=other)
                    | ast.ClassDef(name=other)
                ) if other == function:
                    wrong.append(f"{function} is defined again: {first_line(cell)}")
                case ast.Assign(targets=[ast.Name(target)], value=ast.IfExp(test=test)) if (
                    looked_at(ast.unparse(test).replace("'", '"'), name)
                ):
                    chosen = target
    if function.startswith(FINDS_A_BUG) or name.startswith("00"):
        return wrong
    if chosen is None:
        return [*wrong, f"no cell after {name} takes {function} if it passed"]
    uses = sum(len(re.findall(rf"\b{chosen}\b", cell.source)) for cell in code_cells(notebook))
    return wrong if uses > 1 else [*wrong, f"{chosen} is chosen, and never used"]
