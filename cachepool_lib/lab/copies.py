"""The learner's copies of the notebooks, in work/: without outputs, and never overwritten.

The notebooks themselves hold every answer in their stored outputs, for readers who run nothing. Who
runs them guesses first, so the copies start empty; and what is run there changes nothing that git
tracks.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

NOTEBOOKS = Path("notebooks")
WORK = Path("work")
# In a copy's metadata: the ids of the cells of its original, as it was then.
ORIGIN = "cachepool_original"


def make_copies(notebooks: Path = NOTEBOOKS, work: Path = WORK) -> list[str]:
    """Copy every notebook that is not in *work* yet; return what there is to say, a line each.

    A copy that is there stays as it is. If its original has changed since, a line says what is new.
    """
    originals = sorted(notebooks.glob("*.ipynb"))
    if not originals:
        raise FileNotFoundError(
            f"No notebooks in {notebooks.resolve()}: go to the project's folder"
        )
    first_time = not work.exists()
    work.mkdir(exist_ok=True)
    said = []
    for original in originals:
        if _copy(original, work / original.name):
            said.append(f"New: {work / original.name}")
        elif news := _news(original, work / original.name):
            said.append(f"{work / original.name}: {news}")
    return [f"Your copies are in {work}{'/'}: write there."] if first_time else said


def reset(number: str, notebooks: Path = NOTEBOOKS, work: Path = WORK) -> str:
    """Put a new copy of the notebook with this *number* into *work*; return what was done.

    The copy that was there is kept beside it. ValueError if no notebook has the number.
    """
    originals = {path.name[:2]: path for path in sorted(notebooks.glob("*.ipynb"))}
    if number not in originals:
        there = ", ".join(originals) or f"none in {notebooks.resolve()}"
        raise ValueError(f"Which notebook? {number!r} is none of: {there}")
    original = originals[number]
    copy = work / original.name
    work.mkdir(exist_ok=True)
    if not copy.exists():
        _copy(original, copy)
        return f"{copy} is new."
    taken = {path.name for path in work.iterdir()}
    kept = next(name for name in _names(original.stem) if name not in taken)
    copy.rename(work / kept)
    _copy(original, copy)
    return f"{copy} is new. What you had is {work / kept}."


def _names(stem: str) -> Iterator[str]:
    number = 1
    while True:
        yield f"{stem}.yours-{number}.ipynb"
        number += 1


def emptied(original: Path) -> NotebookNode:
    """A notebook without outputs, which knows what it is a copy of."""
    notebook: NotebookNode = nbformat.read(original, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata[ORIGIN] = [cell.id for cell in notebook.cells]
    return notebook


def _copy(original: Path, copy: Path) -> bool:
    """Write a copy without outputs, unless there is one."""
    text = nbformat.writes(emptied(original))
    try:
        with copy.open("x", encoding="utf-8") as file:  # never over what is there
            file.write(text)
    except FileExistsError:
        return False
    return True


def _news(original: Path, copy: Path) -> str:
    """What the original has that it had not when the copy was made; empty if nothing."""
    take = f"`make reset NB={original.name[:2]}` takes it and keeps yours"
    try:
        copied = nbformat.read(copy, as_version=4).metadata.get(ORIGIN)
    except Exception as error:  # whatever an editor, or a full disk, has left of it
        return f"this copy can't be read ({type(error).__name__}); {take}."
    notebook = nbformat.read(original, as_version=4)
    if copied is None or [cell.id for cell in notebook.cells] == copied:
        return ""
    section, new, sections = "its beginning", 0, dict[str, Any]()
    for cell in notebook.cells:
        heading = re.match("## (.+)", cell.source) if cell.cell_type == "markdown" else None
        section = heading[1] if heading else section
        if cell.id not in copied:
            new += 1
            sections[section] = None
    what = f"{new} cells are new or other, in {'; '.join(sections)}" if new else "cells are gone"
    return f"the original has changed since you copied it ({what}); {take}."
