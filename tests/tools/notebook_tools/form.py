"""The form that every notebook of the course keeps: sizes, slides, notes, exercises, outputs."""

from __future__ import annotations

import ast
import json
import re
import statistics
from itertools import zip_longest
from pathlib import Path

from nbformat import NotebookNode

from cachepool_lib.lab.slides.layout import CUT

from . import (
    FOLDED,
    METADATA,
    PICTURES,
    ROOT,
    code_cells,
    first_line,
    guesses,
    hearts,
    layers,
    read,
    slide_type,
    tags,
)
from .hearts import KINDS, SOLUTION, exercises
from .minutes import HEADER as MINUTES
from .minutes import LONGEST_ON_STAGE, minutes, told

LONGEST_CELL = 28  # lines: what one slide holds
WIDEST_LINE = 100  # columns
MEDIAN_CELL = 4  # lines
FEWEST_CELLS = 25
CODE_IN_A_ROW = 2
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
HEADER = ("You will do", "You will know", "You need")
LAST_CELL = "await lab.nothing_left()"
OUTSIDE_PICTURE = re.compile(r"!\[[^\]]*\]\(\s*https?:|<img[^>]+src\s*=\s*[\"']?https?:", re.I)
HEADING_LINK = re.compile(r"\]\(#([^)\s]+)\)")
OTHERS_HEADING = re.compile(r"\]\(([\w-]+\.ipynb)#([^)\s]+)\)")
LOCAL_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
HERE = re.escape("/" + ROOT.parts[1])
MACHINE_PATH = re.compile(rf"(?:/root|/home|/tmp|/Users|/private|[A-Z]:\\\\Users|{HERE})/[\w./-]+")
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def faults(notebook: NotebookNode, folder: Path = ROOT / "notebooks") -> list[str]:
    """What is wrong with the form of a notebook, a line each; nothing when all is well."""
    return [*faults_of_cells(notebook, folder), *faults_of_teaching(notebook)]


def faults_of_teaching(notebook: NotebookNode) -> list[str]:
    """What stands between the learner and the answer, the heart, or a clear view."""
    return [
        *_minutes(notebook),
        *_notes_after_answers(notebook),
        *guesses.faults(notebook),
        *hearts.faults(notebook),
        *layers.faults(notebook),
    ]


def faults_of_cells(notebook: NotebookNode, folder: Path = ROOT / "notebooks") -> list[str]:
    """What is wrong with single cells: sizes, slides, outputs, links, tags."""
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
    cells = [c for c in code_cells(notebook) if not FOLDED & set(tags(c))]
    lines = [len(c.source.strip().splitlines()) for c in cells]
    if len(notebook.cells) < FEWEST_CELLS:
        wrong.append(f"{len(notebook.cells)} cells (at least {FEWEST_CELLS})")
    if not lines:
        return [*wrong, "no code"]
    if max(lines) > LONGEST_CELL:
        wrong.append(f"longest code cell {max(lines)} lines ({LONGEST_CELL})")
    if statistics.median(lines) > MEDIAN_CELL:
        wrong.append(f"median code cell {statistics.median(lines):g} lines ({MEDIAN_CELL})")
    for cell in code_cells(notebook):
        wide = max(map(len, cell.source.splitlines()))
        if wide > WIDEST_LINE:
            wrong.append(f"{wide} columns ({WIDEST_LINE}) in {first_line(cell)}")
    row = 0
    for cell in notebook.cells:
        row = row + 1 if cell.cell_type == "code" else 0
        if row > CODE_IN_A_ROW:
            wrong.append(f"{row} code cells in a row ({CODE_IN_A_ROW}) at {first_line(cell)}")
    return wrong


def _slides(notebook: NotebookNode) -> list[str]:
    """Every cell has a slide type, and every section has a note for the speaker."""
    wrong = [
        f"no slide type: {first_line(c)}"
        for c in notebook.cells
        if slide_type(c) not in SLIDE_TYPES
    ]
    wrong += [
        f"an explanation that no slide shows: {first_line(c)}"
        for c in notebook.cells
        if c.cell_type == "markdown" and slide_type(c) == "skip" and not SOLUTION.search(c.source)
    ]
    for title, cells in sections(notebook):
        notes = [c for c in cells if slide_type(c) == "notes"]
        if len(notes) != 1:
            wrong.append(f"{len(notes) or 'no'} speaker notes in section {title!r}")
        wrong += [f"a heading within {first_line(c)}" for c in cells if "\n## " in c.source]
    return wrong


def _notes_after_answers(notebook: NotebookNode) -> list[str]:
    """A note says where people stumble, and so what comes: in their copies learners see it too."""
    wrong = []
    for title, cells in sections(notebook):
        results = [n for n, c in enumerate(cells) if "lab.result(" in c.source]
        notes = [n for n, c in enumerate(cells) if slide_type(c) == "notes"]
        if results and any(note - 1 not in results for note in notes):
            wrong.append(f"a speaker note that does not stand right after a result in {title!r}")
    return wrong


def _minutes(notebook: NotebookNode) -> list[str]:
    """The line under the title, and the speaker notes, say what is computed."""
    title, found = notebook.cells[0].source, MINUTES.search(notebook.cells[0].source)
    wrong = []
    if not re.match(r"# \d\d · [A-Z]", title):
        wrong.append("the title is not '# NN · Verb …'")
    if found is None:
        return [*wrong, f"the header does not say {minutes(notebook).header!r}"]
    computed = minutes(notebook).header
    if found[0] != computed:
        wrong.append(f"the header says {found[0]!r}, computed is {computed!r}")
    clocks, parts = told(notebook), sections(notebook)
    for (title, cells), clock, after in zip_longest(parts, clocks[1:], parts[1:]):
        notes = "".join(c.source for c in cells if slide_type(c) == "notes")
        if notes and f"Speaker notes · {clock}<" not in notes:
            wrong.append(f"the speaker note in {title!r} does not say {str(clock)!r}")
        cut = any(CUT in tags(cell) for cell in cells)
        next_is_cut = after is not None and CUT in tags(after[1][0]) and CUT not in tags(cells[0])
        if cut != ("On stage without:" in notes) or next_is_cut != ("Left out next:" in notes):
            wrong.append(f"the speaker note in {title!r} does not say what is cut on stage")
    if clocks[-1].on_stage > LONGEST_ON_STAGE:
        wrong.append(f"{clocks[-1].on_stage:.1f} minutes on stage ({LONGEST_ON_STAGE})")
    return wrong


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
        f"{what} in {first_line(cell)}"
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
                wrong.append(f"stored an error: {first_line(cell)}")
            if output.get("name") == "stderr":
                wrong.append(f"wrote to stderr: {first_line(cell)}")
            data = output.get("data", {})
            line = data.get("text/plain", "")
            if any(kind in data for kind in PICTURES) and (
                not line or line.startswith("<Figure") or "\n" in line.strip()
            ):
                wrong.append(f"a picture without one line of text: {first_line(cell)}")
    text = json.dumps([c.source for c in notebook.cells] + shown, ensure_ascii=False)
    wrong += [f"path of a machine: {path}" for path in sorted(set(MACHINE_PATH.findall(text)))]
    wrong += [f"address of an object:{found}" for found in sorted(set(ADDRESS.findall(text)))]
    return wrong


def headings(notebook: NotebookNode) -> set[str]:
    """What links call them by, in JupyterLab and on pages."""
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    return {found.replace(" ", "-") for found in re.findall(r"^#+ (.+)$", text, re.M)}


def _prose(notebook: NotebookNode, folder: Path) -> list[str]:
    wrong = []
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    wrong += [
        f"link to no heading, {link}"
        for link in HEADING_LINK.findall(text)
        if link not in headings(notebook)
    ]
    wrong += [
        f"link to no heading, {name}#{link}"
        for name, link in OTHERS_HEADING.findall(text)
        if (folder / name).exists() and link not in headings(read(folder / name))
    ]
    for cell in (c for c in notebook.cells if c.cell_type == "markdown"):
        if OUTSIDE_PICTURE.search(cell.source):
            wrong.append(f"a picture from elsewhere: {first_line(cell)}")
        if cell.source.count("<details>") != cell.source.count("</details>"):
            wrong.append(f"<details> not closed: {first_line(cell)}")
        wrong += [
            f"link to nothing, {link}: {first_line(cell)}"
            for link in LOCAL_LINK.findall(cell.source)
            if not (folder / link).exists()
        ]
    return wrong


def _exercises(notebook: NotebookNode) -> list[str]:
    wrong = []
    for name, kinds in exercises(notebook).items():
        if kinds != KINDS:
            wrong.append(f"exercise {name} has {', '.join(kinds)}, not exercise, check, solution")
    for cell in notebook.cells:
        for kind in (tag.partition("-")[0] for tag in tags(cell)):
            if kind == "check" and not _one_expression(cell.source):
                wrong.append(f"a check that is not one expression: {first_line(cell)}")
            if kind == "solution" and not SOLUTION.search(cell.source):
                wrong.append(f"a solution that is not folded as it should be: {first_line(cell)}")
    return wrong


def _one_expression(source: str) -> bool:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    tree: ast.Module = compile(source, "<check>", "exec", flags)
    return len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr)
