"""What every test runs with: asyncio, warnings as errors (pyproject.toml), and no silent leak."""

import gc
import logging
import signal
from collections.abc import Iterator

import pytest

# Started in the background of a shell, tests and all their children would ignore an interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


LONG = {"test_notebooks.py", "test_setup.py", "test_browser.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that at the end no core waits for another."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """Leave what was imported out of the collections after each test: a tenth of their time."""
    gc.collect()
    gc.freeze()


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that leaves a pending task or an exception that nobody retrieved.

    asyncio only logs those, and only when the garbage is collected; so is a coroutine that
    was never awaited, which pytest itself then turns into an error.
    """
    logger, complaints = logging.getLogger("asyncio"), _Complaints()
    logger.addHandler(complaints)
    yield
    gc.collect()
    logger.removeHandler(complaints)
    assert not complaints.lines, "asyncio complained:\n" + "\n".join(complaints.lines)
