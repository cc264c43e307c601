"""Every tick is earned: a solution changed in one small way fails its check, or is right too.

Those that are right too stand, with the reason, in right_too_NN.py of each notebook.
"""

import asyncio
import gc
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.exercises import exercise
from tests.tools.mutation import Endless, Turns, mutants, runnable
from tests.tools.notebook_tools import NOTEBOOKS, definitions, read
from tests.tools.notebook_tools.hearts import asked, exercises, solution

ALL = [pytest.param(path, name, id=name) for path in NOTEBOOKS for name in exercises(read(path))]
# Seconds, on top of what the solution takes on this machine now: a mutant that waits for ever on a
# real server is not waited for as long as a learner's.
PATIENCE = 3
BUSY = 60  # what needs the processor alone may take, however many share it


@contextmanager
def quiet() -> Iterator[None]:
    """Mutants forget tasks and coroutines: what is told of that here concerns nobody."""
    logger = logging.getLogger("asyncio")
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        logger.disabled = False


def right_too(name: str) -> dict[str, str]:
    """The mutants of an exercise that are right answers as well → why."""
    module = f"{__package__}.right_too_{name[:2]}"
    return import_module(module).RIGHT_TOO.get(name, {}) if find_spec(module) else {}


@pytest.mark.parametrize(("path", "name"), ALL)
def test_a_small_change_of_the_solution_fails_its_check(
    path: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mutant fails; those that pass are right answers too, and are listed with the reason."""
    notebook = read(path)
    names, function = definitions(notebook), asked(notebook, name)

    def passes(source: str) -> bool:
        own = {**names, "_turn": Turns()}
        exec(compile(runnable(source), "<mutant>", "exec"), own)
        return asyncio.run(lab.exercise(name, own[function])).passed

    code = solution(notebook, name)
    with quiet():
        began = time.monotonic()
        monkeypatch.setattr(exercise, "LIMIT", BUSY)
        assert passes(code), "the solution itself"
        if name in exercise.REAL:
            took = time.monotonic() - began
            monkeypatch.setattr(exercise, "LIMIT", PATIENCE + 3 * took)
        passed = {mutant.change for mutant in mutants(code) if passes(mutant.source)}
    expected = right_too(name).keys()
    assert passed <= expected, f"passed, and not listed as right: {sorted(passed - expected)}"
    assert expected <= passed, f"listed, and failed: {sorted(expected - passed)}"


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("async def f():\n    await g()", "await g() → g()"),
        ("async def f():\n    await g()", "await g() → pass"),
        ("if a < b:\n    f()", "if a < b: → if a <= b:"),
        ("if a < b:\n    f()", "if a < b: → if not a < b:"),
        ("if a and b:\n    f()", "if a and b: → if b:"),
        ("x = 1\nx = 1", "x = 1 → x = 2 (2)"),
        ("x = y + 0.5", "x = y + 0.5 → x = y - 0.5"),
        ("x = f(a, b, c=1)", "x = f(a, b, c=1) → x = f(b, a, c=1)"),
        ("x = f(a, b, c=1)", "x = f(a, b, c=1) → x = f(a, b)"),
        ("x = f('a')", "x = f('a') → x = f('ax')"),
        ("raise KeyError('why')", "raise KeyError('why') → raise ArithmeticError('why')"),
        ("try:\n    f()\nexcept KeyError:\n    g()", "except KeyError: → except BaseException:"),
        ("try:\n    f()\nexcept KeyError:\n    g()", "except KeyError: → except ():"),
        ("try:\n    f()\nexcept (A, B):\n    g()", "except (A, B): → except (B,):"),
        ("try:\n    f()\nfinally:\n    g()", "try:; f(); finally:; g() → f(); g()"),
        ("async def f():\n    async with lock:\n        g()", "async with lock:; g() → g()"),
        ("while x:\n    f()", "while x: → if x:"),
    ],
)
def test_each_small_change_is_made(source: str, change: str) -> None:
    """What somebody might get wrong is among the mutants."""
    assert change in {mutant.change for mutant in mutants(source)}


def test_mutants_run_and_leave_messages_alone() -> None:
    """Each is valid Python and differs from the source; texts of messages and docstrings stay."""
    source = 'def f(n):\n    """Docs."""\n    if n < 0:\n        raise ValueError(f"no {n - 1} x")'
    found = mutants(source)
    assert found and len({mutant.source for mutant in found}) == len(found)
    for mutant in found:
        exec(mutant.source, {})
        assert "Docs." in mutant.source
        assert "n - 1" in mutant.source or "raise" not in mutant.source


def test_an_endless_mutant_is_stopped() -> None:
    """A loop that never ends, and awaits nothing, raises."""
    names: dict[str, Any] = {"_turn": Turns()}
    with pytest.raises(Endless):
        exec(runnable("while True:\n    pass"), names)
