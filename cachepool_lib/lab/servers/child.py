"""Other Pythons that the lab starts: each imports what this one imports."""

from __future__ import annotations

import os
import sys


def command(module: str, function: str, *arguments: str) -> list[str]:
    """The words that start a Python which runs *function* of *module* and nothing else.

    It searches where this one does: the package may be found by a line in a notebook alone. The
    folder that we are in comes last, as there is no telling what a learner calls a file.
    """
    here = [os.getcwd()] if "" in sys.path else []
    places = [os.path.abspath(place) for place in sys.path if place] + here
    code = f"import sys; sys.path[:] = {places!a}; from {module} import {function}; {function}()"
    return [sys.executable, "-P", "-c", code, *arguments]
