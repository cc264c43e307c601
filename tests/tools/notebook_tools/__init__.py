"""Tools for the notebooks: execute one, store it so that diffs stay small, check its form.

`python -m tests.tools.notebook_tools NOTEBOOK…` executes notebooks in place. Executing an unchanged
notebook again leaves the file byte for byte as it was.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from cachepool_lib.lab.classroom import cells
from cachepool_lib.lab.classroom.cells import slide_type as slide_type
from cachepool_lib.lab.classroom.cells import tags as tags
from cachepool_lib.lab.kernels import ThisPython

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Cells whose code is folded, one click away: a class in one piece, and our answer to an exercise.
FOLDED = {"so-far", "ours"}
IGNORED = "nbval-ignore-output"  # nbval's tag: the output of this cell is not compared
CELL_TIMEOUT = 60  # seconds
KEPT_CELL_METADATA = ("slideshow", "tags")
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PICTURES = ("image/png", "image/jpeg")


def read(path: Path) -> NotebookNode:
    """The notebook in the file, as it is stored."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook, after checking it against the schema."""
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def copy(notebook: NotebookNode) -> NotebookNode:
    """A notebook that can be changed without changing this one."""
    text = nbformat.writes(notebook)
    same: NotebookNode = nbformat.reads(text, as_version=4)
    return same


def folded(cell: NotebookNode) -> bool:
    """Whether JupyterLab hides the code of the cell until somebody asks for it."""
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def first_line(cell: NotebookNode) -> str:
    """What to call a cell by."""
    first = (cell.source.strip().splitlines() or ["(empty)"])[0]
    return f"{cell.cell_type} cell {first[:50]!r}"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that hold code."""
    return cells.code_cells(notebook.cells)


def definitions(notebook: NotebookNode) -> dict[str, Any]:
    """The names that the notebook defines by itself."""
    return cells.definitions(notebook.cells)


def defining(notebook: NotebookNode) -> Iterator[ast.Module]:
    """What of each cell defines a name."""
    return cells.defining(notebook.cells)


@contextmanager
def kernel(notebook: NotebookNode, folder: Path) -> Iterator[NotebookClient]:
    """A fresh kernel working in *folder*; gone afterwards."""
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        timeout=CELL_TIMEOUT,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel():
        yield client


def run(
    client: NotebookClient,
    notebook: NotebookNode,
    on_cell: Callable[[int], None] = lambda index: None,
) -> None:
    """Run all cells in the client's kernel and put their outputs in *notebook*.

    Raises nbclient's CellExecutionError at the first cell that fails. *on_cell* hears the
    index of each cell before it runs.
    """
    client.nb = notebook
    client.reset_execution_trackers()
    for index, cell in enumerate(notebook.cells):
        on_cell(index)
        client.execute_cell(cell, index, execution_count=client.code_cells_executed + 1)


def normalise(notebook: NotebookNode, stored: NotebookNode | None = None) -> None:
    """Drop from *notebook* everything that says where and when it was executed.

    Cells tagged nbval-ignore-output take their output from the same cell of *stored*, if it
    has one.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    kept = {c.get("id"): c.outputs for c in code_cells(stored)} if stored else {}
    for cell in notebook.cells:
        cell.source = cell.source.rstrip()
        cell.id = _cell_id(cell, seen)
        cell.pop("attachments", None)
        for name in list(cell.metadata):
            if name not in KEPT_CELL_METADATA or not cell.metadata[name]:
                del cell.metadata[name]
        if FOLDED & set(tags(cell)):
            cell.metadata.jupyter = nbformat.from_dict({"source_hidden": True})
        if cell.cell_type != "code":
            continue
        if IGNORED in tags(cell) and kept.get(cell.id):
            cell.outputs = kept[cell.id]
        for output in cell.outputs:
            _normalise_output(output)


def _cell_id(cell: NotebookNode, seen: dict[str, int]) -> str:
    """An id made of the cell's type and source: moving a cell does not change it."""
    digest = hashlib.sha256(f"{cell.cell_type}\0{cell.source}".encode()).hexdigest()[:12]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _normalise_output(output: NotebookNode) -> None:
    if output.output_type == "error":
        # What nbval compares. The frames hold the paths of a machine, and colours.
        output.traceback = [f"{output.ename}: {output.evalue}"]
    elif output.output_type != "stream":
        output.data.pop(WIDGET_VIEW, None)


def comparable(cell: NotebookNode) -> list[dict[str, Any]]:
    """What must be the same in every execution of a code cell.

    All of its outputs, but for the bytes of pictures (another matplotlib draws other bytes)
    and the number of the execution. Of a cell whose output is not compared: the kinds of its
    outputs.
    """
    outputs: list[dict[str, Any]] = []
    for output in cell.outputs:
        kept = {k: v for k, v in output.items() if k not in ("execution_count", "metadata")}
        if IGNORED in tags(cell):
            kept = {"output_type": output.output_type}
        elif "data" in kept:
            kept["data"] = {
                kind: "…" if kind in PICTURES else value
                for kind, value in kept["data"].items()
                if kind != WIDGET_VIEW  # never stored
            }
        outputs.append(kept)
    return outputs


def execute(
    path: Path,
    *,
    refresh: bool = False,
    on_cell: Callable[[int], None] = lambda index: None,
) -> NotebookNode:
    """The notebook in *path*, executed in a fresh kernel and normalised.

    Cells tagged nbval-ignore-output keep their stored output unless *refresh*.
    """
    stored = read(path)
    notebook = copy(stored)
    with kernel(notebook, path.parent) as client:
        run(client, notebook, on_cell)
    normalise(notebook, None if refresh else stored)
    return notebook
