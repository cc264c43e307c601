"""Execute notebooks in place: `python -m tests.tools.notebook_tools [--refresh] [NOTEBOOK…]`.

Writes the computed minutes into each header. `--tables` executes nothing: it brings the minutes in
README's table and on the map of notebook 00 up to date.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from nbclient.exceptions import CellExecutionError

from cachepool_lib.lab.command import run as run_command

from . import NOTEBOOKS, execute, normalise, write
from .form import faults
from .tables import write_minutes, write_tables


def main() -> int:
    """Execute each notebook, store it, and print what is wrong with its form.

    Returns 1 if a cell raised. That notebook's file is left as it was.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.notebook_tools", description=__doc__
    )
    parser.add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS)
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="store the new output of cells tagged nbval-ignore-output too",
    )
    parser.add_argument("--tables", action="store_true", help="only the tables of minutes")
    arguments = parser.parse_args()
    if arguments.tables:
        write_tables()
        return 0
    failed = 0
    for path in arguments.notebooks:
        started = time.perf_counter()
        try:
            notebook = execute(path, refresh=arguments.refresh)
        except CellExecutionError as error:
            print(f"{path.name}: a cell failed, nothing stored\n{error}")
            failed = 1
            continue
        write_minutes(notebook)
        normalise(notebook)
        write(notebook, path)
        print(f"{path.name}: {len(notebook.cells)} cells, {time.perf_counter() - started:.1f} s")
        for fault in faults(notebook):
            print(f"  {fault}")
    return failed


run_command(main)
