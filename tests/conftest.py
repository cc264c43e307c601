"""What every test runs with: asyncio, warnings as errors (pyproject.toml), and no silent leak."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from cachepool_lib.lab.environment import GIVEN, NETWORK, settle
from cachepool_lib.lab.notebook import recorder
from tests import LOOP

settle()  # and with it everything that a test starts
# But for pip's index, and for the way to it, which does not lead to loopback.
for name, value in GIVEN.items():
    if name.startswith("PIP_") or NETWORK.fullmatch(name):
        os.environ[name] = value
os.environ["no_proxy"] = f"{GIVEN.get('no_proxy', '')},localhost,127.0.0.1"

# Started in the background of a shell, tests and all their children would ignore an interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Of asyncpg's own futures, which nobody else can retrieve: a server hangs up while TLS is
# negotiated; until 0.30, a connection is terminated just when its statement is being cancelled.
OF_ASYNCPG = ["unexpected connection_lost() call"]
if asyncpg.__version__.startswith("0.30."):
    OF_ASYNCPG.append("connection was closed in the middle of operation")


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop that is silent about those: anyio fails the test that runs when it hears of one."""
    loop = asyncio.new_event_loop()
    tell = loop.call_exception_handler

    def complain(context: dict[str, Any]) -> None:
        if not of_asyncpg(str(context.get("exception"))):
            tell(context)

    setattr(loop, "call_exception_handler", complain)  # noqa: B010 - mypy forbids to assign it
    return loop


def of_asyncpg(text: str) -> bool:
    return any(known in text for known in OF_ASYNCPG)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": new_loop}


def pytest_configure(config: pytest.Config) -> None:
    if LOOP == "uvloop":
        # uvloop says what was left open while it closes a loop. Were that an error, the loop would
        # not get to the end of closing, and wait for ever. On asyncio's loop it is one.
        config.addinivalue_line("filterwarnings", "default:unclosed resource:ResourceWarning")
        config.addinivalue_line("filterwarnings", "default:loop is closed:ResourceWarning")


LONG = {
    "test_notebooks.py",
    "test_setup.py",
    "test_browser.py",
    "test_browser_pages.py",
    "test_browser_site.py",
    "test_browser_slides.py",
    "test_benchmarks.py",
}


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
    recorder.forget()  # what this test has shown on purpose is nothing to the next one
    ours = [line for line in complaints.lines if not of_asyncpg(line)]
    assert not ours, "asyncio complained:\n" + "\n".join(ours)
