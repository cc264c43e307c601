"""CACHEPOOL_LOOP really decides on which event loop the tests run."""

import asyncio
import subprocess
import sys

import pytest

from tests import LOOP


async def running() -> str:
    """The package of the loop that runs: asyncio, or uvloop."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.mark.anyio
async def test_asynchronous_tests_run_on_it() -> None:
    """Those with `anyio` in their marks."""
    assert await running() == LOOP


def test_asyncio_run_takes_it() -> None:
    """And so does whatever makes a loop without saying which."""
    assert asyncio.run(running()) == LOOP
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(running()) == LOOP
    loop.close()


def test_processes_that_tests_start_take_it() -> None:
    """All that import something of the tests."""
    code = "import asyncio, tests.test_loop as t; print(asyncio.run(t.running()))"
    started = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert started.stdout == f"{LOOP}\n"
