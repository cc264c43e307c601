"""What the cells of a notebook are: its exercises, our solutions, and the names it defines."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from nbformat import NotebookNode

KINDS = ["exercise", "check", "solution"]
SOLUTION = re.compile(
    r"<details><summary>Solution</summary>\n\n```python\n(?P<code>.*?)\n```\n.*</details>", re.S
)


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def slide_type(cell: NotebookNode) -> str:
    """What the cell is on a slide; empty if that isn't said."""
    return str(cell.metadata.get("slideshow", {}).get("slide_type", ""))


def code_cells(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    """The code cells that hold code."""
    return [c for c in cells if c.cell_type == "code" and c.source.strip()]


# -- exercises ---------------------------------------------------------------------------------


def exercises(notebook: NotebookNode) -> dict[str, list[str]]:
    """Name of each exercise → the kinds of its tagged cells, in the order they come."""
    found: dict[str, list[str]] = {}
    for cell in notebook.cells:
        for tag in tags(cell):
            kind, _, name = tag.partition("-")
            if kind in KINDS and name:
                found.setdefault(name, []).append(kind)
    return found


def tagged(notebook: NotebookNode, tag: str) -> int:
    """The number of the one cell with this tag."""
    [number] = [number for number, cell in enumerate(notebook.cells) if tag in tags(cell)]
    return number


def solution(notebook: NotebookNode, name: str) -> str:
    """The code that the notebook folds away for the exercise *name*."""
    found = SOLUTION.search(notebook.cells[tagged(notebook, f"solution-{name}")].source)
    assert found, f"the solution of {name} is not folded as it should be"
    return found["code"]


def asked(notebook: NotebookNode, name: str) -> str:
    """The name of what the check of the exercise *name* looks at."""
    found = looked_at(notebook.cells[tagged(notebook, f"check-{name}")].source, name)
    assert found, f"the check of {name} does not await lab.exercise({name!r}, …)"
    return found


def looked_at(source: str, name: str) -> str | None:
    """What `lab.exercise` is given for the exercise *name*; None if it is not called."""
    found = re.search(rf'lab\.exercise\("{re.escape(name)}", (\w+)\)', source)
    return found[1] if found else None


def answers(notebook: NotebookNode) -> dict[str, str]:
    """Name of each exercise → what stands in its cell, and in those up to the check after it."""
    found = dict[str, str]()
    name = ""
    for cell in notebook.cells:
        for tag in tags(cell):
            kind, _, named = tag.partition("-")
            if kind in KINDS and named:
                name = named if kind == "exercise" else ""
        if name and cell.cell_type == "code":
            found[name] = f"{found[name]}\n\n{cell.source}" if name in found else cell.source
    return found


# -- names -------------------------------------------------------------------------------------


def definitions(cells: Sequence[NotebookNode]) -> dict[str, Any]:
    """The names that the cells' own imports, functions, classes and type variables define.

    Of a learner's function and the notebook's own, the notebook's is chosen.
    """
    names: dict[str, Any] = {"__name__": "notebook"}
    for tree in defining(cells):
        exec(compile(tree, "<cell>", "exec", dont_inherit=True), names)
    return names


def defining(cells: Sequence[NotebookNode]) -> Iterator[ast.Module]:
    """What of each cell defines a name, and nothing else; nor a cell that is meant to raise."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for cell in code_cells(cells):
        if "raises-exception" in tags(cell):
            continue
        tree = ast.parse(cell.source)  # a top-level await parses; it does not run here
        tree.body = [kept for s in tree.body if (kept := s if isinstance(s, kinds) else _named(s))]
        yield tree


def _named(statement: ast.stmt) -> ast.stmt | None:
    """An assignment that names a constant, a type variable, a class, or one of two functions."""
    match statement:
        case ast.Assign(value=ast.Call(func=ast.Name("ParamSpec" | "TypeVar"))):
            return statement
        case ast.Assign(targets=[ast.Name(name)], value=ast.Constant()) if name.isupper():
            return statement
        case ast.Assign(targets=[ast.Name(name)], value=ast.Name(other)) if (
            name[0].isupper() and other[0].isupper()
        ):
            return statement
        case ast.Assign(value=ast.IfExp(test=test, orelse=ours)) if "lab.exercise(" in ast.unparse(
            test
        ):
            return ast.copy_location(ast.Assign(statement.targets, ours), statement)
    return None
