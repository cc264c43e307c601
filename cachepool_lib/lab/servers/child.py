"""Other Pythons that the lab starts: each imports what this one imports."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def command(module: str, function: str, *arguments: str) -> list[str]:
    """The words that start a Python which runs *function* of *module* and nothing else.

    It searches where this one does: the package may be found by a line in a notebook alone. The
    folder that we are in comes last, as there is no telling what a learner calls a file; unless
    this package is in it, which has to be the same one there.
    """
    here = None
    with contextlib.suppress(FileNotFoundError):  # somebody removed it
        here = os.getcwd() if "" in sys.path else None
    ours = here == str(Path(__file__).parents[3])
    places = [os.path.abspath(place) for place in sys.path if place or ours]
    if here and not ours:
        places.append(here)
    code = f"import sys; sys.path[:] = {places!a}; from {module} import {function}; {function}()"
    return [sys.executable, "-P", "-c", code, *arguments]
