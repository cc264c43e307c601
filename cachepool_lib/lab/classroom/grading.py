"""Grades for exercises that were handed in, as CSV: name, exercise, status, hint.

Of what a student hands in, only the cells of the exercises count, from the stub to the check below
it, and of those the functions, classes, imports and constants. They are put beside what our own
notebook defines before that exercise, and looked at by our own check, in a process of the student's
alone, in an empty folder, with limits of time and memory. So it costs and earns nobody anything
what else is in the notebook: other cells, stored outputs, a check that was changed, a printed tick.

- An endless loop (`except BaseException` around it included), a crash or a greedy answer loses that
  one exercise; the student's others are looked at in a new process.
- An answer that is not plain Python (plain.py says what that is) is not run: "by hand".
- Copying is not noticed, from a neighbour or from the solutions that the notebooks fold away. An
  answer may be right for the check's cases alone. Who writes code to fool this very program, not
  somebody else's, may find a way: read what you doubt.
- The limits of memory and processor are Linux's; macOS has none of memory, Windows the clock alone.
  Answers run as you, and what is plain can open no file; a container for the command is still a
  good idea where you know nobody.
"""

import asyncio
import contextlib
import csv
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import NamedTuple, TextIO

import nbformat
from nbformat import NotebookNode

from cachepool_lib.lab.classroom.cells import answers, exercises
from cachepool_lib.lab.classroom.submissions import handed_in
from cachepool_lib.lab.command import complete
from cachepool_lib.lab.copies import NOTEBOOKS
from cachepool_lib.lab.environment import environment
from cachepool_lib.lab.servers.child import command
from cachepool_lib.lab.servers.services import services

SECONDS = 10  # of the processor for an exercise; our solutions take one at most
PATIENCE = 120  # seconds by the clock: for what sleeps, and costs no processor
MEGABYTES = 500  # for all of the process; with our solutions it has 90
# The best comes first: of an exercise that was handed in twice, that one counts.
STATUSES = ("passed", "by hand", "failed", "stopped", "not solved yet", "missing", "unreadable")


class Grade(NamedTuple):
    """A line of the table. *exercise* is empty where a whole notebook says nothing."""

    name: str
    exercise: str
    status: str
    hint: str


def grade(place: Path, notebooks: Path = NOTEBOOKS, seconds: int = SECONDS) -> list[Grade]:
    """Look at all that was handed in in *place*, with *seconds* of the processor for an exercise.

    As many students at once as there are processors. A student gets a line for each exercise of
    every notebook of which they handed in something. FileNotFoundError or ValueError if *place* or
    *notebooks* is not what it should be; ServicesError if there are no servers to be had.
    """
    ours = {path: nbformat.read(path, as_version=4) for path in sorted(notebooks.glob("*.ipynb"))}
    if not ours:
        raise FileNotFoundError(
            f"No notebooks in {notebooks.resolve()}: go to the project's folder"
        )
    return complete(_grade(handed_in(place), ours, seconds))


def write(grades: Iterable[Grade], file: TextIO) -> None:
    """Write the table as CSV. A spreadsheet takes no cell of it for a formula."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(Grade._fields)
    for line in grades:
        table.writerow(f"'{text}" if text[:1] in "=+-@\t\r" and text else text for text in line)


async def _grade(
    students: dict[str, list[NotebookNode | str]], ours: dict[Path, NotebookNode], seconds: int
) -> list[Grade]:
    # Held until the end: else each process would start the servers, and stop them.
    await services()
    room = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(name: str, notebook: NotebookNode | str) -> list[Grade]:
        if isinstance(notebook, str):
            return [Grade(name, "", "unreadable", notebook)]
        given, found = answers(notebook), list[Grade]()
        for path, original in ours.items():
            wanted = exercises(original)
            if there := {exercise: given[exercise] for exercise in wanted if exercise in given}:
                async with room:
                    seen = await _attempts(path, there, seconds)
                for exercise in wanted:
                    lost = ("missing", f"No cell is tagged exercise-{exercise}.")
                    found.append(Grade(name, exercise, *seen.get(exercise, lost)))
        nothing = "None of its cells is tagged as an exercise: is it a notebook of the course?"
        return found or [Grade(name, "", "unreadable", nothing)]

    every = await asyncio.gather(*(one(name, n) for name, those in students.items() for n in those))
    best: dict[tuple[str, str], Grade] = {}
    for line in sorted((line for lines in every for line in lines), key=_rank):
        best.setdefault((line.name, line.exercise), line)
    return sorted(best.values())


def _rank(line: Grade) -> int:
    return STATUSES.index(line.status)


async def _attempts(path: Path, given: dict[str, str], seconds: int) -> dict[str, tuple[str, str]]:
    """Exercise → status and hint. Where one ends the process, the next begin in a new one."""
    seen: dict[str, tuple[str, str]] = {}
    while todo := {name: source for name, source in given.items() if name not in seen}:
        async with _process(path, seconds) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(todo).encode())
            process.stdin.close()
            if not await process.stdout.readline():
                raise RuntimeError(f"Nothing can be graded here: {path} could not be prepared.")
            for name in todo:
                try:
                    async with asyncio.timeout(PATIENCE):
                        line = await process.stdout.readline()
                except TimeoutError:
                    seen[name] = "stopped", f"Not done after {PATIENCE} s."
                    break
                if not line:
                    seen[name] = "stopped", _ended(await process.wait(), seconds)
                    break
                status, hint = json.loads(line)
                seen[name] = status, hint
    return seen


@contextlib.asynccontextmanager
async def _process(path: Path, seconds: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that looks at answers, in a folder of its own; at the end it is gone."""
    with tempfile.TemporaryDirectory(prefix="cachepool-answer-") as folder:
        process = await asyncio.create_subprocess_exec(
            *command("cachepool_lib.lab.classroom.attempt", "main"),
            *(str(path.resolve()), str(seconds), str(MEGABYTES)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env=environment(),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                if sys.platform == "win32":
                    process.kill()
                else:
                    os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()  # its pipes are closed, too, before the loop is


def _ended(status: int, seconds: int) -> str:
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"It took more than {seconds} s of the processor: is there a loop that never ends?"
    return f"Its process ended with {status}."
