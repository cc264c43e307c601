"""What the library logs, as lines that a cell can print."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def logged() -> Iterator[list[str]]:
    """Keep what cachepool_lib logs in this block, from WARNING on: in the list, and nowhere else.

    The lines have seconds in them, which differ from run to run.
    """
    logger, keeper = logging.getLogger("cachepool_lib"), _Keeper()
    were, keeper.level = (logger.handlers, logger.propagate), logging.WARNING
    logger.handlers, logger.propagate = [keeper], False
    try:
        yield keeper.lines
    finally:
        logger.handlers, logger.propagate = were
