"""In a room without network: `make lab` serves the first notebook, and its first cells run.

Runs in the folder of a course that was set up from a stick, by its own Python.
"""

import json
import os
import re
import signal
import subprocess
import sys
from urllib.request import urlopen

import nbformat
from nbclient import NotebookClient

from cachepool_lib.lab.kernels import ThisPython

FIRST = "work/00-start-here.ipynb"
CELLS = 3  # code cells, the servers among them
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/)lab\S*\?(token=\w+)")


def main() -> None:
    """Exit with an error if one of it fails."""
    no_browser = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "BROWSER")}
    lab = subprocess.Popen(
        ["make", "lab"],
        env=no_browser,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert lab.stdout is not None
        said = ""
        for line in lab.stdout:
            said += line
            if found := ADDRESS.search(line):
                break
        else:
            sys.exit(f"make lab has ended: {said}")
        server, token = found.groups()
        with urlopen(f"{server}lab/tree/{FIRST}?{token}", timeout=30) as page:
            assert b"jupyter-config-data" in page.read(), "the page of JupyterLab"
        with urlopen(f"{server}api/contents/{FIRST}?{token}", timeout=30) as answer:
            notebook = nbformat.from_dict(json.load(answer)["content"])
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        notebook.cells = code[:CELLS]
        where = {"metadata": {"path": "work"}}
        client = NotebookClient(
            notebook, timeout=60, kernel_manager_class=ThisPython, resources=where
        )
        client.execute()
        print(f"{FIRST}: opened in JupyterLab, {CELLS} cells run, without network")
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(30)


if __name__ == "__main__":
    main()
