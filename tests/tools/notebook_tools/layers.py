"""The form of classes that grow: one flat class and three layers, and a new start half way."""

from __future__ import annotations

import ast
import re

from nbformat import NotebookNode

from . import code_cells, copy, first_line, folded, slide_type, tags

DEEPEST = 4  # a flat class and three layers
SO_FAR_LINES = 160
ALL_CELLS = 100
CELLS_A_SIDE = 55
STOP = "> **Stop sign.**"
# The first line of a cell tagged so-far says which class it is that stands there in one piece.
ONE_PIECE = re.compile(r"# (\w+), in one piece")


def faults(notebook: NotebookNode) -> list[str]:
    """Where classes are too deep, a flat one is not as agreed, or the stop sign is missing."""
    return [*_too_deep(notebook), *_so_far(notebook), *_stop_sign(notebook)]


def _too_deep(notebook: NotebookNode) -> list[str]:
    depth: dict[str, int] = {}
    wrong = []
    for cell in code_cells(notebook):
        for statement in ast.parse(cell.source).body:
            match statement:
                case ast.ClassDef(name=name):
                    bases = [depth.get(_base(base), 0) for base in statement.bases]
                    depth[name] = 1 + max(bases, default=0)
                    if depth[name] > DEEPEST:
                        wrong.append(f"{name} is {depth[name]} classes deep ({DEEPEST})")
                    if "so-far" in tags(cell) and depth[name] > 1 and name == last_defined(cell):
                        wrong.append(f"{name} is tagged so-far, and not flat")
                case ast.Assign(targets=[ast.Name(name)], value=ast.Name(other)):
                    depth[name] = depth.get(other, 0)
    return wrong


def _base(base: ast.expr) -> str:
    return ast.unparse(base.value if isinstance(base, ast.Subscript) else base)


def last_defined(cell: NotebookNode) -> str:
    """The name of the last class, or function, that the cell defines."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in ast.parse(cell.source).body if isinstance(node, kinds)]
    return names[-1] if names else ""


def so_far(notebook: NotebookNode) -> dict[str, str]:
    """Each flat class → the class in layers that it must behave like."""
    cells = [cell for cell in code_cells(notebook) if "so-far" in tags(cell)]
    found = {last_defined(cell): ONE_PIECE.match(cell.source) for cell in cells}
    return {flat: told[1] for flat, told in found.items() if told}


def _so_far(notebook: NotebookNode) -> list[str]:
    wrong: list[str] = []
    seen: set[str] = set()
    for cell in code_cells(notebook):
        if "so-far" in tags(cell):
            told, flat = ONE_PIECE.match(cell.source), last_defined(cell)
            if not told or told[1] not in seen:
                wrong.append(f"does not begin with '# NAME, in one piece': {first_line(cell)}")
            if flat in seen:
                wrong.append(f"the flat {flat} needs a name of its own")
            if (lines := len(cell.source.splitlines())) > SO_FAR_LINES:
                wrong.append(f"{flat} has {lines} lines ({SO_FAR_LINES})")
            if not folded(cell):
                wrong.append(f"{flat} is not folded")
            if slide_type(cell) != "skip":
                wrong.append(f"{flat} has a slide")
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        seen |= {n.name for n in ast.parse(cell.source).body if isinstance(n, kinds)}
    return wrong


def stop_signs(notebook: NotebookNode) -> list[int]:
    """The numbers of the cells that hold a stop sign."""
    return [
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown" and re.search(f"^{re.escape(STOP)}", cell.source, re.M)
    ]


def second_half(notebook: NotebookNode) -> NotebookNode:
    """The notebook from the stop sign on: it runs without what was before."""
    half = copy(notebook)
    half.cells = half.cells[stop_signs(notebook)[0] :]
    return half


def _has_classes(cells: list[NotebookNode]) -> bool:
    """Whether a class grows there, which the second half goes on with."""
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    return any(isinstance(n, ast.ClassDef) for s in sources for n in ast.parse(s).body)


def _stop_sign(notebook: NotebookNode) -> list[str]:
    wrong, cells = [], len(notebook.cells)
    if cells > ALL_CELLS:
        wrong.append(f"{cells} cells ({ALL_CELLS})")
    if notebook.cells[0].source.startswith("# 00"):
        return wrong
    signs = stop_signs(notebook)
    if len(signs) != 1:
        return [*wrong, f"{len(signs)} stop signs (1)"]
    wrong += [
        f"{count} cells {side} the stop sign ({CELLS_A_SIDE})"
        for side, count in (("before", signs[0]), ("after", cells - signs[0] - 1))
        if count > CELLS_A_SIDE
    ]
    begins = code_cells(second_half(notebook))[:2]
    if _has_classes(notebook.cells[: signs[0]]) and not any("so-far" in tags(c) for c in begins):
        wrong.append("the second half does not begin with imports and the class so far")
    return wrong
