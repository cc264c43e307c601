"""The course from the command line, in the project's folder: `python -m cachepool_lib.lab.course`.

Alone it executes every notebook in notebooks/ from its first cell to its last, each in a fresh
kernel of the Python that runs this, and writes what a reader would see to pages/ as files that open
offline; the notebooks stay as they are. `… open` opens the learner's copies in JupyterLab, `… reset
01` makes the copy of one notebook anew, `… copies` only makes those that are missing, `… slides`
executes the notebooks for decks that a speaker shows.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from cachepool_lib.lab.charts.canvas import dots
from cachepool_lib.lab.command import complete
from cachepool_lib.lab.command import run as run_command
from cachepool_lib.lab.copies import NOTEBOOKS, WORK, make_copies, reset
from cachepool_lib.lab.environment import DPI, GIVEN, ends_with_us
from cachepool_lib.lab.kernels import ThisPython, interrupted
from cachepool_lib.lab.pages import page

PAGES = Path("pages")
SLIDES = Path("slides")  # beside notebooks/: links to files lead to the same ones
CELL_TIMEOUT = 120  # seconds; the slowest cell takes a few
AT_ONCE = 2  # notebooks: half of the time of one is waiting for servers, kernels and clocks
BAR = 30  # characters


class Outcome(NamedTuple):
    """How one notebook went; *failure* is None or one line for the reader."""

    name: str
    seconds: float
    cells: int
    servers: str
    failure: str | None

    def __str__(self) -> str:
        line = f"{self.name}: {self.seconds:.1f} s, {self.cells} cells, {self.servers}"
        return f"{line}\n  FAILED in {self.failure}" if self.failure else line


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m cachepool_lib.lab.course", description="Without a command: run the course."
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("open", help="open your copies of the notebooks, in work/")
    commands.add_parser("copies", help="only make the copies that are missing")
    commands.add_parser("reset", help="make the copy of one notebook anew").add_argument(
        "number", help="of the notebook, such as 01"
    )
    slides = commands.add_parser("slides", help="run the course, and make slides of it")
    slides.add_argument("--stage", action="store_true", help="only what fits its minutes on stage")
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "reset":
                print(reset(given.number))
            case "copies" | "open":
                for line in make_copies():
                    print(line)
            case "slides":
                return run_slides(stage=given.stage)
            case _:
                return run_all()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if given.command == "open":
        open_lab()
    return 0


def open_lab() -> None:
    """Open the first notebook of work/ in JupyterLab, and stay until that ends."""
    from jupyter_core.paths import jupyter_config_dir
    from jupyterlab.labapp import LabApp  # takes a second

    # No configuration but what follows, and what the learner chooses in JupyterLab's menus: another
    # address, a password or a broken file would leave a page that does not open.
    os.environ["JUPYTER_NO_CONFIG"] = "1"
    config = Path(ends_with_us(jupyter_config_dir()))  # empty, and new
    # The extensions that this environment's packages bring: terminals, for one.
    brought = "jupyter_server_config.d"
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(Path(sys.prefix, "etc/jupyter", brought), config / brought)
    # Without the announcements it neither asks about news nor looks for a newer version.
    disabled = {"@jupyterlab/apputils-extension:announcements": True}
    (config / "labconfig").mkdir()
    (config / "labconfig/page_config.json").write_text(
        json.dumps({"disabledExtensions": disabled}), encoding="utf-8"
    )
    chosen = chosen_in_menus(config)
    options = [
        "--ip=127.0.0.1",
        "--allow-root",
        "--log-level=WARN",
        "-y",  # Ctrl-C ends it, and asks nothing
        "--ServerApp.root_dir=.",
        "--AsyncMappingKernelManager.transport_encryption=auto",
        f"--LabApp.default_url=/lab/tree/{WORK}/{min(WORK.glob('00-*.ipynb')).name}",
        f"--LabApp.user_settings_dir={chosen / 'user-settings'}",
        f"--LabApp.workspaces_dir={chosen / 'workspaces'}",
        "--LabApp.extension_manager=readonly",
    ]
    display = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform == "linux" and not any(map(os.environ.get, display)):
        print("No browser at hand: open the address below that begins with http.", flush=True)
        options.append("--no-browser")
    LabApp.launch_instance(options)
    print("\nStopped.", file=sys.stderr)


def chosen_in_menus(instead: Path) -> Path:
    """The folder of JupyterLab's theme, keys and tabs: the learner's own if it can be written."""
    own = Path(GIVEN.get("JUPYTER_CONFIG_DIR") or Path("~/.jupyter").expanduser(), "lab")
    try:
        for name in ("user-settings", "workspaces"):
            (own / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=own):
            return own
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return instead / "lab"


def run_slides(*, stage: bool) -> int:
    """Run the course and make a deck of each notebook. Returns the exit status.

    Executed rather than taken from the notebooks: those hold charts of 800 pixels, for a page.
    """
    from cachepool_lib.lab.slides import SHARP, copy_reveal, deck  # pages need no reveal.js

    os.environ[DPI] = SHARP
    try:
        copy_reveal(SLIDES)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    return run_all(folder=SLIDES, publish=partial(deck, stage=stage))


def run_all(
    notebooks: Path = NOTEBOOKS,
    folder: Path = PAGES,
    publish: Callable[[Any, Path], str] | None = None,
) -> int:
    """Run and *publish* the course, as pages if not told otherwise; print a line a notebook.

    AT_ONCE notebooks at a time, each with a kernel of its own. Returns the exit status.
    """
    dots()  # or every chart would fail
    paths = sorted(notebooks.glob("*.ipynb"))
    if not paths:
        print(f"No notebooks in {notebooks.resolve()}: run this in the project's folder.")
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    outcomes = complete(run_each(paths, folder, publish or page))
    print()
    print(*outcomes, sep="\n")
    print(f"{len(paths)} notebooks in {time.perf_counter() - started:.0f} s, {AT_ONCE} at once")
    print(f"To be opened: {folder}/{paths[0].stem}.html and its neighbours")
    return int(any(outcome.failure for outcome in outcomes))


async def run_each(
    paths: list[Path], folder: Path, publish: Callable[[Any, Path], str]
) -> list[Outcome]:
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths}
    progress = Progress(sum(len(code_of(notebook)) for notebook in notebooks.values()))
    free = asyncio.Semaphore(AT_ONCE)

    async def one(path: Path, notebook: Any) -> Outcome:
        async with free:
            outcome = await run(notebook, path, progress)
        (folder / f"{path.stem}.html").write_text(publish(notebook, path), encoding="utf-8")
        return outcome

    return await asyncio.gather(*(one(*item) for item in notebooks.items()))


def code_of(notebook: Any) -> list[Any]:
    """The cells that are executed."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


async def run(notebook: Any, path: Path, progress: "Progress") -> Outcome:
    """Execute one notebook, up to the first cell that fails."""
    code, at, started = code_of(notebook), 0, time.perf_counter()
    progress.begin(path.stem, len(code))

    def next_cell(cell: Any, cell_index: int) -> None:
        nonlocal at
        at += 1
        progress.next_cell(path.stem)

    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        coalesce_streams=True,
        on_cell_execute=next_cell,
    )
    failure = None
    try:
        # The kernel's own complaints are of no cell.
        await client.async_execute(stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        failure = f"cell {at}: {error.ename}: {error.evalue}".splitlines()[0]
    except CellTimeoutError:
        failure = f"cell {at}: no answer within {CELL_TIMEOUT} s"
    except DeadKernelError:
        if interrupted():  # which nbclient takes for that
            raise asyncio.CancelledError from None
        failure = f"cell {at}: the kernel died"
    except RuntimeError as error:  # it did not start
        failure = f"cell {at}: {error}".splitlines()[0]
    return Outcome(path.stem, time.perf_counter() - started, at, servers(code), failure)


class Progress:
    """One bar for the whole course; where a line can't be drawn over, only what begins."""

    def __init__(self, cells: int) -> None:
        self._cells, self._done = cells, 0
        self._draws = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def begin(self, name: str, cells: int) -> None:
        if not self._draws:
            print(f"{name}: running {cells} cells", flush=True)

    def next_cell(self, name: str) -> None:
        if self._draws:
            bar = "#" * (BAR * self._done // max(self._cells, 1))
            line = f"{name:<28.28} [{bar:.<{BAR}}] {self._done}/{self._cells} cells"
            print(f"\r{line}", end="", flush=True)
        self._done += 1


def servers(code: list[Any]) -> str:
    """What the cell that asked for servers said runs, without how long it took."""
    for cell in code:
        if "lab.services(" in cell.source:
            for output in cell.outputs:
                text = output.get("data", {}).get("text/plain") or output.get("text", "")
                if ", ready in" in text:
                    return str(text.split(", ready in")[0].strip())
    return "no servers"


if __name__ == "__main__":
    run_command(main)
