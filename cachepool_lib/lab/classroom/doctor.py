"""Whether the course runs on this machine: one line, green, or what to do.

What is tried is what a learner does: a kernel starts, it starts the servers or joins them, asks
both for something, and looks at an exercise. Most of what goes wrong in a class goes wrong here.
"""

import asyncio
import os
import subprocess
import sys
import time
from typing import Any, NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from cachepool_lib.lab.command import complete
from cachepool_lib.lab.kernels import ThisPython

LIMIT = 28.0  # seconds for all of it; an idle laptop takes five


class Step(NamedTuple):
    """A cell to run; what it is about, and what to do where it fails."""

    what: str
    code: str
    help: str


STEPS = (
    Step(
        "a notebook's kernel",
        "from cachepool_lib import AsyncCache, DatabasePool, RedisCache, lab",
        "Run `make setup` again. If that does not help: delete .venv, and `make lab`.",
    ),
    Step(
        "the settings and the servers",
        """from cachepool_lib.lab.charts.canvas import dots
dots()
services = await lab.services()
print(services.versions, services.provider, sep=": ")""",
        "README says under 'Which servers run' how to choose others.",
    ),
    Step(
        "an answer of each server",
        """async with RedisCache(services.redis_url) as cache:
    await cache.connect()
    await cache.set("doctor", "well")
    assert await cache.get("doctor") == "well", "Redis does not keep what it is given"
async with DatabasePool(services.database_url, min_size=1, max_size=1) as pool:
    assert await pool.fetchval("SELECT 42") == 42""",
        "Close the notebooks that run, which ends their servers, and try again.",
    ),
    Step(
        "a check",
        """report = await lab.check("A1", AsyncCache)
assert not report.failed, report
await lab.nothing_left()""",
        "A file of the course has changed: `git status` says which.",
    ),
)


def main(steps: tuple[Step, ...] = STEPS, limit: float = LIMIT) -> int:
    """Look at everything, for *limit* seconds at most; print what there is to say.

    Returns 0 if all is well, else 1. The servers end with the kernel, unless others use them.
    """
    started = time.monotonic()
    try:
        found = complete(_look(steps, limit))
    except _Ill as ill:
        print(f"{_in_colour('✗', 31)} {ill.what} failed: {ill.why}\n  {ill.help}")
        return 1
    version = ".".join(map(str, sys.version_info[:3]))
    seconds = time.monotonic() - started
    print(
        _in_colour(f"✓ All well: Python {version}, {found}, a kernel and a check", 32),
        f"({seconds:.0f} s)",
    )
    return 0


class _Ill(Exception):
    def __init__(self, step: Step, why: str, help: str = "") -> None:
        self.what, self.why, self.help = step.what.capitalize(), why, help or step.help


async def _look(steps: tuple[Step, ...], limit: float) -> str:
    """Run the steps in a kernel; return what they printed. Raises _Ill at the first that fails."""
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s.code) for s in steps]),
        timeout=None,
        kernel_manager_class=ThisPython,
        store_widget_state=False,
    )
    at, latest = 0, time.monotonic() + limit
    # What a kernel complains of while it is stopped in the middle of a cell helps nobody.
    kernel = client.async_setup_kernel(stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(limit), kernel:
            for at, cell in enumerate(client.nb.cells):
                await client.async_execute_cell(cell, at)
    except CellExecutionError as error:
        raise _Ill(steps[at], error.evalue.strip() or error.ename) from None
    except Exception as error:  # a kernel that does not start, or dies, has many ways to
        if time.monotonic() >= latest:  # then it was ended here, in one of those ways
            late = "Close what else runs on this machine, and try again: once it runs, it is quick."
            raise _Ill(steps[at], f"not done after {limit:.0f} s", late) from None
        raise _Ill(steps[at], f"{type(error).__name__}: {error}") from None
    finally:
        manager: Any = client.km
        if manager is not None and manager.has_kernel:  # given up while it was starting
            await manager.shutdown_kernel(now=True)
    texts = [o.get("text", "") for cell in client.nb.cells[:-1] for o in cell.outputs]
    return "".join(texts).strip()


def _in_colour(text: str, colour: int) -> str:
    """Green or red where that can be seen; https://no-color.org says when nobody wants it."""
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return f"\033[{colour}m{text}\033[0m"
    return text
