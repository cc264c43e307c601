"""A full room: `python -m tests.tools.full_room COPIES NOTEBOOK…`, as in `… 8 02 04`.

So many copies of each notebook run at once, one notebook after the other: every copy in a kernel of
its own on servers of its own, as the students of one JupyterHub, compared strictly with what is
stored. Fails if a cell fails, or differs; but a chart of real time ("real", it says below) may tell
how slow it is in a full room: that is printed.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.tools.notebook_tools import NOTEBOOKS, ROOT, code_cells, read

# A cell that has not ended by then has failed; alone on a machine the slowest takes ten seconds.
CELL_TIMEOUT = 120


def start(notebook: Path, place: Path) -> subprocess.Popen[str]:
    """One student's copy, whose servers meet their kernel in *place*."""
    place.mkdir()
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "--color=no"]
    command += ["-p", "no:cacheprovider", f"--nbval-cell-timeout={CELL_TIMEOUT}", "--timeout=600"]
    command += ["-p", "tests.tools.quick_start", "-p", "tests.tools.nbval_kernels", str(notebook)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(place), "CACHEPOOL_SERVICES": "embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def in_real_time(notebook: Path) -> set[int]:
    """The numbers of the cells that draw a chart of what was measured here."""
    return {
        number
        for number, cell in enumerate(code_cells(read(notebook)))
        if any(
            ", real: " in output.get("data", {}).get("text/plain", "") for output in cell.outputs
        )
    }


def fill(notebook: Path, copies: int) -> bool:
    """Run the copies and print what became of them; whether all is as stored."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="room-", dir="/tmp") as room:
        students = [start(notebook, Path(room, str(number))) for number in range(copies)]
        outputs = [student.communicate()[0] for student in students]
    slow, wrong, real = Counter[int](), Counter[str](), in_real_time(notebook)
    for student, output in zip(students, outputs, strict=True):
        told = re.findall(r"^Cell (\d+): (.*)$", output, re.M)
        for number, what in told:
            if int(number) in real and what == "Cell outputs differ":
                slow[int(number)] += 1
            else:
                wrong[f"cell {number}: {what}"] += 1
        if student.returncode and not told:
            wrong[f"pytest ended with {student.returncode}"] += 1
        if student.returncode:
            print(output)
    seconds = time.monotonic() - started
    print(f"{notebook.stem}, {copies} at once, {seconds:.0f} s: {dict(wrong) or 'as stored'}")
    if slow:
        print(f"  charts of real time that differ, by cell: {dict(slow)}", flush=True)
    return not wrong


def main() -> int:
    copies, numbers = int(sys.argv[1]), sys.argv[2:]
    notebooks = {path.name[:2]: path for path in NOTEBOOKS}
    return int(not all([fill(notebooks[number], copies) for number in numbers]))  # noqa: C419 - all run


if __name__ == "__main__":
    sys.exit(main())
