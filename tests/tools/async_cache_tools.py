"""What the tests of AsyncCache share: a clock to move, loads to end by hand, no leftovers."""

import asyncio
import gc
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class ManualClock:
    """Time stands still until a test moves it: `clock.now += 5`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Loads:
    """A loader whose loads end when the test says so: `loads[0].set_result("page")`."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Future[Any]] = []

    async def __call__(self) -> Any:
        end = asyncio.get_running_loop().create_future()
        self.begun.append(end)
        return await end

    def __len__(self) -> int:
        return len(self.begun)

    def __getitem__(self, number: int) -> "asyncio.Future[Any]":
        return self.begun[number]


async def answer(value: T) -> T:
    return value


async def turns(number: int = 10) -> None:
    """Let the loop go round: ten times is more than anything here takes to settle."""
    for _ in range(number):
        await asyncio.sleep(0)


async def begin(coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task that has gone as far as it can."""
    task = asyncio.create_task(coroutine)
    await turns()
    return task


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Fail the test that leaves a task pending, or an exception that nobody retrieved."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: complaints.append(str(context)))
    yield
    await turns()
    # anyio runs each call of a fixture in a task of its own.
    pending = [task for task in asyncio.all_tasks() if "TestRunner" not in repr(task)]
    gc.collect()
    loop.set_exception_handler(handler)
    assert not pending, pending
    assert not complaints, complaints
