"""The process in which answers to exercises are looked at; grading.py starts one for each student.

It reads {name of exercise: source} as JSON from stdin, and writes a line of JSON for each to what
was its stdout: [status, hint]. Before the first, when it is ready, it writes an empty line.
"""

import ast
import asyncio
import json
import os
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from cachepool_lib.lab.classroom.cells import asked, definitions, solution, tagged
from cachepool_lib.lab.classroom.plain import not_plain
from cachepool_lib.lab.exercises import exercise as checks

CLOCK = 60  # seconds until a check gives up; a learner's ten are too few where all are graded
LONGEST_HINT = 500  # characters: an answer may say as much as it likes in its errors
KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def main() -> None:
    """Look at each answer. Arguments: our notebook; how many seconds and megabytes one may take."""
    path, seconds, megabytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    answers: dict[str, str] = json.load(sys.stdin)
    notebook = nbformat.read(path, as_version=4)
    setattr(checks, "LIMIT", CLOCK)  # noqa: B010 - mypy forbids to assign it
    # What an answer prints goes nowhere: results have a way of their own.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    print(file=results, flush=True)
    for name, source in answers.items():
        limit(seconds, megabytes)
        try:
            status, hint = look_at(notebook, name, source)
        except MemoryError:
            status, hint = "stopped", f"It asked for more than {megabytes} MB."
        except BaseException as error:  # SystemExit, too: it ends nothing but this answer
            status, hint = "failed", f"{type(error).__name__}: {error}"
        print(json.dumps([status, hint[:LONGEST_HINT]]), file=results, flush=True)
    os._exit(0)  # whatever an answer has left running


def limit(seconds: int, megabytes: int) -> None:
    """From now on so many seconds of the processor, and so much memory in all.

    Where the system knows no such limits (Windows; macOS has none of memory), nothing happens.
    """
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        latest = int(used.ru_utime + used.ru_stime) + seconds + 1
        room = megabytes * 2**20
        for what, most in (
            (resource.RLIMIT_CPU, latest),  # then it is killed
            (resource.RLIMIT_DATA, room),  # beyond it there is a MemoryError
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.getrlimit(what)[1]
            inside = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (inside, hard))


def look_at(notebook: NotebookNode, name: str, source: str) -> tuple[str, str]:
    """Put the answer's functions beside what our notebook defines before it, and check them."""
    try:
        answer = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        return "failed", f"The cell is no Python: {error}"
    answer.body = [s for s in answer.body if isinstance(s, KEPT) or _names_a_value(s)]
    stub = tagged(notebook, f"exercise-{name}")
    names = definitions(notebook.cells[:stub])
    ours = ast.parse(f"{notebook.cells[stub].source}\n{solution(notebook, name)}")
    if found := not_plain(answer, ours, names):
        return "by hand", f"Not run, somebody has to read it: {'; '.join(found)}"
    exec(compile(answer, "<answer>", "exec", dont_inherit=True), names)
    function = asked(notebook, name)
    if function not in names:
        return "failed", f"No {function} is defined in the cell of the exercise."
    seen = asyncio.run(checks.exercise(name, names[function]))
    if seen.got.startswith("MemoryError"):
        raise MemoryError
    return seen.status, "" if seen.passed else f"{seen.got} {seen.hint}".strip()


def _names_a_value(statement: ast.stmt) -> bool:
    """`LIMIT = 3` belongs to an answer; what calls or tries something is for the student alone."""
    match statement:
        case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()):
            return not any(isinstance(node, ast.Await) for node in ast.walk(statement))
    return False
