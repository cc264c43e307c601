"""The site, built once for all tests of a process."""

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def built() -> Path:
    """The folder of the site, as `make site` builds it: a warning is an error."""
    folder = tempfile.mkdtemp(prefix="cachepool-site-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sphinx = [sys.executable, "-m", "sphinx", "-M", "html", ".", folder]
    options = ["-c", "docs", "-qW", "--keep-going"]
    done = subprocess.run([*sphinx, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(folder, "html")


def pages() -> list[Path]:
    """All pages but the one that only leads to the front page."""
    found = sorted(built().rglob("*.html"))
    return [
        path for path in found if path != built() / "index.html" and "_static" not in path.parts
    ]
