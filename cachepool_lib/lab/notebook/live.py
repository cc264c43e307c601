"""Pictures that move while a cell runs, and vanish at its end, when a chart takes their place."""

import sys
from typing import Any


class Live:
    """A place under the cell for HTML that changes; outside a notebook it shows nothing."""

    def __init__(self) -> None:
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython else None
        self._handle: Any = None
        if getattr(shell, "kernel", None):
            from IPython.display import display

            self._handle = display({}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    @property
    def seen(self) -> bool:
        """Whether anybody sees it."""
        return self._handle is not None

    def show(self, html: str) -> None:
        if self._handle is not None:
            self._handle.update({"text/html": html}, raw=True)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.update({}, raw=True)
