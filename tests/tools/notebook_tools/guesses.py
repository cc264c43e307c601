"""The form of guesses: no answer under a question, and every guess judged by a result."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from . import code_cells, first_line

GOOD_GUESSES = 2  # of the common ones: a guess may also be right
JUDGED = re.compile(r"a common first guess, .+?: (right|close|on the right side)")


def faults(notebook: NotebookNode) -> list[str]:
    """What gives a result away before it is asked for, or leaves a guess without one."""
    wrong: list[str] = []
    asked: dict[str, int] = {}
    for number, cell in enumerate(code_cells(notebook)):
        predictions, results = list(_calls(cell, "predict")), list(_calls(cell, "result"))
        if predictions and results:
            wrong.append(f"predicts and shows the result in one cell: {first_line(cell)}")
        for call in predictions:
            asked[_name(call)] = number
            if any(keyword.arg == "common" for keyword in call.keywords):
                wrong.append(f"the common guess before the result: {_name(call)!r}")
            if len(call.args) > 1 and ast.unparse(call.args[1]) != "...":
                wrong.append(f"a guess is typed already: {_name(call)!r}")
        for call in results:
            if asked.pop(_name(call), number) == number:
                wrong.append(f"a result that no cell before asked for: {_name(call)!r}")
            if not any(keyword.arg == "common" for keyword in call.keywords):
                wrong.append(f"a result without common=: {_name(call)!r}")
        if _ends_with_a_result(cell):
            wrong.append(f"shows its result twice, write guess = lab.result: {first_line(cell)}")
    wrong += [f"a guess without a result: {name!r}" for name in asked]
    shown = "".join(o.get("text", "") for c in code_cells(notebook) for o in c.outputs)
    good = len(JUDGED.findall(shown))
    if good < GOOD_GUESSES and not notebook.cells[0].source.startswith("# 00"):
        wrong.append(f"{good} common first guesses are right or nearly so ({GOOD_GUESSES})")
    return wrong


def _calls(cell: NotebookNode, method: str) -> Iterator[ast.Call]:
    """The calls of lab.predict or lab.result in the cell."""
    for node in ast.walk(ast.parse(cell.source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("lab"), attr=attr)) if attr == method:
                yield node


def _name(call: ast.Call) -> str:
    return ast.literal_eval(call.args[0])  # type: ignore[no-any-return]


def _ends_with_a_result(cell: NotebookNode) -> bool:
    match ast.parse(cell.source).body[-1]:
        case ast.Expr(ast.Call(func=ast.Attribute(value=ast.Name("lab"), attr="result"))):
            return True
    return False
