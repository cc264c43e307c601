"""The form that every notebook of the course keeps: sizes, slides, notes, exercises, outputs."""

from __future__ import annotations

import ast
import json
import re
import statistics
from pathlib import Path

from nbformat import NotebookNode

from . import METADATA, PICTURES, ROOT, code_cells, tags

LONGEST_CELL = 28  # lines: what one slide holds
WIDEST_LINE = 100  # columns
MEDIAN_CELL = 4  # lines
CELLS = range(25, 73)
CODE_IN_A_ROW = 2
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
MINUTES = re.compile(r"\d+ min · exercises \d+( min)? · on stage \d+( min)?")
HEADER = ("You will do", "You will know", "You need")
LAST_CELL = "await lab.nothing_left()"
SOLUTION = re.compile(
    r"<details><summary>Solution</summary>\n\n```python\n(?P<code>.*?)\n```\n.*</details>", re.S
)
OUTSIDE_PICTURE = re.compile(r"!\[[^\]]*\]\(\s*https?:|<img[^>]+src\s*=\s*[\"']?https?:", re.I)
LOCAL_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
HERE = re.escape("/" + ROOT.parts[1])
MACHINE_PATH = re.compile(rf"(?:/root|/home|/tmp|/Users|/private|[A-Z]:\\\\Users|{HERE})/[\w./-]+")
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def faults(notebook: NotebookNode, folder: Path = ROOT / "notebooks") -> list[str]:
    """What is wrong with the form of a notebook, a line each; nothing when all is well."""
    return [
        *_sizes(notebook),
        *_slides(notebook),
        *_header_and_end(notebook),
        *_code(notebook),
        *_outputs(notebook),
        *_prose(notebook, folder),
        *_exercises(notebook),
    ]


def _sizes(notebook: NotebookNode) -> list[str]:
    wrong = []
    lines = [len(c.source.strip().splitlines()) for c in code_cells(notebook)]
    if len(notebook.cells) not in CELLS:
        wrong.append(f"{len(notebook.cells)} cells ({CELLS[0]} to {CELLS[-1]})")
    if not lines:
        return [*wrong, "no code"]
    if max(lines) > LONGEST_CELL:
        wrong.append(f"longest code cell {max(lines)} lines ({LONGEST_CELL})")
    if statistics.median(lines) > MEDIAN_CELL:
        wrong.append(f"median code cell {statistics.median(lines):g} lines ({MEDIAN_CELL})")
    for cell in code_cells(notebook):
        wide = max(map(len, cell.source.splitlines()))
        if wide > WIDEST_LINE:
            wrong.append(f"{wide} columns ({WIDEST_LINE}) in {_name(cell)}")
    row = 0
    for cell in notebook.cells:
        row = row + 1 if cell.cell_type == "code" else 0
        if row > CODE_IN_A_ROW:
            wrong.append(f"{row} code cells in a row ({CODE_IN_A_ROW}) at {_name(cell)}")
    return wrong


def _slides(notebook: NotebookNode) -> list[str]:
    """Every cell has a slide type, and every section has a note for the speaker."""
    wrong = [
        f"no slide type: {_name(c)}"
        for c in notebook.cells
        if c.metadata.get("slideshow", {}).get("slide_type") not in SLIDE_TYPES
    ]
    for title, cells in sections(notebook):
        notes = [c for c in cells if c.metadata.get("slideshow", {}).get("slide_type") == "notes"]
        if not notes:
            wrong.append(f"no speaker note in section {title!r}")
        wrong += [f"a speaker note without minutes in {title!r}" for c in notes if not _minutes(c)]
    return wrong


def _minutes(cell: NotebookNode) -> bool:
    return re.search(r"\d+ min", cell.source) is not None


def sections(notebook: NotebookNode) -> list[tuple[str, list[NotebookNode]]]:
    """The cells under each heading of the second level, the heading's own cell included."""
    found: list[tuple[str, list[NotebookNode]]] = []
    for cell in notebook.cells:
        heading = re.match(r"## (.+)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            found.append((heading[1], []))
        if found:
            found[-1][1].append(cell)
    return found


def _header_and_end(notebook: NotebookNode) -> list[str]:
    first, last = notebook.cells[0], notebook.cells[-1]
    wrong = []
    if first.cell_type != "markdown" or not re.match(r"# \S", first.source):
        wrong.append("the first cell is not a title")
    if not MINUTES.search(first.source):
        wrong.append("the header does not say '… min · exercises … · on stage …'")
    wrong += [f"the header does not say {part!r}" for part in HEADER if part not in first.source]
    if last.cell_type != "code" or last.source.strip() != LAST_CELL:
        wrong.append(f"the last cell is not {LAST_CELL}")
    counts = [c.execution_count for c in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        wrong.append("not stored as executed once, from the first cell to the last")
    if notebook.metadata != METADATA:
        wrong.append(f"metadata of the notebook: {', '.join(notebook.metadata)}")
    return wrong


def _code(notebook: NotebookNode) -> list[str]:
    """Nothing that strict comparison of outputs, or a page without a kernel, cannot carry."""
    banned = {
        r"\binteract(?:ive)?\s*\(": "interact()",
        r"\bOutput\s*\(": "an Output widget",
        r"\bclear_output\s*\(": "clear_output()",
        r"\basyncio\.run\s*\(": "asyncio.run(), which fails in a notebook: use await",
        r";\s*$": "a trailing ';'",
    }
    return [
        f"{what} in {_name(cell)}"
        for cell in code_cells(notebook)
        for pattern, what in banned.items()
        if re.search(pattern, cell.source)
    ]


def _outputs(notebook: NotebookNode) -> list[str]:
    wrong, shown = [], []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            shown += [v for k, v in output.get("data", output).items() if k not in PICTURES]
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                wrong.append(f"stored an error: {_name(cell)}")
            if output.get("name") == "stderr":
                wrong.append(f"wrote to stderr: {_name(cell)}")
            data = output.get("data", {})
            line = data.get("text/plain", "")
            if any(kind in data for kind in PICTURES) and (
                not line or line.startswith("<Figure") or "\n" in line.strip()
            ):
                wrong.append(f"a picture without one line of text: {_name(cell)}")
    text = json.dumps([c.source for c in notebook.cells] + shown, ensure_ascii=False)
    wrong += [f"path of a machine: {path}" for path in sorted(set(MACHINE_PATH.findall(text)))]
    wrong += [f"address of an object:{found}" for found in sorted(set(ADDRESS.findall(text)))]
    return wrong


def _prose(notebook: NotebookNode, folder: Path) -> list[str]:
    wrong = []
    for cell in (c for c in notebook.cells if c.cell_type == "markdown"):
        if OUTSIDE_PICTURE.search(cell.source):
            wrong.append(f"a picture from elsewhere: {_name(cell)}")
        if cell.source.count("<details>") != cell.source.count("</details>"):
            wrong.append(f"<details> not closed: {_name(cell)}")
        wrong += [
            f"link to nothing, {link}: {_name(cell)}"
            for link in LOCAL_LINK.findall(cell.source)
            if not (folder / link).exists()
        ]
    return wrong


def exercises(notebook: NotebookNode) -> dict[str, list[str]]:
    """Name of each exercise → the kinds of its tagged cells, in the order they come."""
    found: dict[str, list[str]] = {}
    for cell in notebook.cells:
        for tag in tags(cell):
            kind, _, name = tag.partition("-")
            if kind in ("exercise", "check", "solution") and name:
                found.setdefault(name, []).append(kind)
    return found


def _exercises(notebook: NotebookNode) -> list[str]:
    wrong = []
    for name, kinds in exercises(notebook).items():
        if kinds != ["exercise", "check", "solution"]:
            wrong.append(f"exercise {name} has {', '.join(kinds)}, not exercise, check, solution")
    for cell in notebook.cells:
        for kind in (tag.partition("-")[0] for tag in tags(cell)):
            if kind == "exercise" and "NotImplementedError" not in cell.source:
                wrong.append(f"a stub that does not raise NotImplementedError: {_name(cell)}")
            if kind == "check" and not _one_expression(cell.source):
                wrong.append(f"a check that is not one expression: {_name(cell)}")
            if kind == "solution" and not SOLUTION.search(cell.source):
                wrong.append(f"a solution that is not folded as it should be: {_name(cell)}")
    return wrong


def _one_expression(source: str) -> bool:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    tree: ast.Module = compile(source, "<check>", "exec", flags)
    return len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr)


def _name(cell: NotebookNode) -> str:
    first = (cell.source.strip().splitlines() or ["(empty)"])[0]
    return f"{cell.cell_type} cell {first[:50]!r}"
