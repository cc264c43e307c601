"""Promises of the recorder: what goes wrong unseen in a notebook fails its last cell.

In a real kernel, because that is where the recorder listens.
"""

from collections.abc import Callable

import nbformat
import pytest
from nbclient import NotebookClient

from cachepool_lib.lab.kernels import ThisPython

pytestmark = pytest.mark.xdist_group("recorder")  # one kernel for all

LAST = "await lab.nothing_left()"
CLEAN = "Nothing is left: no task, no unseen exception, no warning, nothing borrowed.\n"
BEGIN = """\
import asyncio, gc, threading, warnings
from cachepool_lib import lab
async def fail(): raise ValueError("boom")
async def wait(): await asyncio.sleep(60)
"""

# What happens in a cell: what the last cell says of it.
FAULTS = {
    # tasks
    "task = asyncio.create_task(wait())": "- still running: wait (line 4)",
    "task.cancel();": None,
    "kept = asyncio.create_task(fail())": "- exception never retrieved: ValueError('boom')",
    "asyncio.create_task(fail()); await asyncio.sleep(0)": (
        "- Task exception was never retrieved: ValueError('boom')"
    ),
    # coroutines
    "coroutine = wait()": "- never awaited: wait",
    "def careless(): wait()\ncareless()": "- RuntimeWarning: coroutine 'wait' was never awaited",
    # other exceptions and warnings
    "class Bad:\n    def __del__(self): 1 / 0\nBad();": (
        "- exception ignored: ZeroDivisionError('division by zero')"
    ),
    "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()": (
        "- exception in a thread: ZeroDivisionError('division by zero')"
    ),
    "warnings.warn('careful')": "- UserWarning: careful",
    "f = open('/dev/null'); del f": "- ResourceWarning: unclosed file",
    # silenced on purpose
    "with warnings.catch_warnings(action='ignore'): warnings.warn('silenced')": None,
    # the same in simulated time
    "async def leave(): asyncio.create_task(wait())\nlab.simulate(leave())": (
        "- still running: wait (line 4)"
    ),
    "async def lose(): asyncio.create_task(fail()); await asyncio.sleep(1)\nlab.simulate(lose())": (
        "- Task exception was never retrieved: ValueError('boom')"
    ),
    # in an attempt at an exercise, whose check tells it
    "def forgets(ttl, default, now): wait(); warnings.warn('mine')\n"
    "await lab.exercise('01-1', forgets)": None,
    # things lent out
    "from cachepool_lib.lab.notebook import recorder\n"
    "lent = ['2 connections']\nrecorder.borrowed(lambda: ', '.join(lent))": (
        "- still borrowed: 2 connections"
    ),
    "lent.clear()": None,
}


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    """Every fault in one kernel, each followed by what would be the notebook's last cell."""
    cells = [BEGIN, LAST]
    for fault in FAULTS:
        cells += [fault, LAST]
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(node, timeout=60, kernel_manager_class=ThisPython, allow_errors=True).execute()
    return node


Shown = Callable[[str], str]


@pytest.fixture
def shown(notebook: nbformat.NotebookNode) -> Shown:
    """What the last cell showed after a cell: its text, or its error."""

    def after(source: str) -> str:
        at = [cell.source for cell in notebook.cells].index(source)
        outputs = notebook.cells[at + 1].outputs
        return "".join(o.get("text", "") or f"{o.ename}: {o.evalue}" for o in outputs)

    return after


def test_a_clean_notebook_passes_with_one_line(shown: Shown) -> None:
    """Nothing went wrong: one fixed line, which the kernel's own tasks don't spoil."""
    assert shown(BEGIN) == CLEAN


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_the_last_cell_once(fault: str, shown: Shown) -> None:
    """The last cell names the fault, this one alone, and not again in the next call."""
    expected = FAULTS[fault]
    if expected is None:
        assert shown(fault) == CLEAN
    else:
        first, *found = shown(fault).splitlines()
        assert first == "AssertionError: Left over:"
        assert len(found) == 1
        assert found[0].startswith(expected)


def test_what_is_recorded_is_still_shown(notebook: nbformat.NotebookNode) -> None:
    """A warning reaches the reader as it would without the recorder."""
    [cell] = [cell for cell in notebook.cells if cell.source == "warnings.warn('careful')"]
    assert [output.name for output in cell.outputs] == ["stderr"]
    assert "UserWarning: careful" in cell.outputs[0].text
