"""Feedback on exercise 01-4: `fly`, a load that may store only while it has its lease."""

import asyncio
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.exercises.outcomes import outcomes
from cachepool_lib.lab.exercises.single_flight import Flights
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


class Scene:
    """One key, its flights, and what was stored."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.flights = answer, Flights()
        self.stored: list[Any] = []

    def begin(self, source: Source) -> asyncio.Task[Any]:
        """Start a flight for the key: on the list, as `join` does."""

        async def run() -> Any:
            return await self.answer(self.flights, "a", source.load, self.stored.append)

        task = self.flights["a"] = asyncio.create_task(run())
        return task

    async def answered(self, task: asyncio.Task[Any], expected: Any, when: str) -> None:
        """What those who wait for the flight get."""
        [got] = await outcomes([task])
        if isinstance(got, NotImplementedError):
            raise got
        if got is not expected:
            raise Unmet(
                expected=f"{expected!r}, for those who wait",
                got=f"{when}: they got {got!r}.",
                hint="Stored or not, return what was loaded: it was true when they asked.",
            )


@exercise("01-4", "A load stores only while it has its lease")
async def fly(answer: Any) -> str:
    values: list[Any] = ["page", None, [], 0]
    for value in values:
        scene = Scene(answer)
        await scene.answered(scene.begin(Source(value)), value, "Nobody deleted")
        if scene.stored != [value]:
            raise Unmet(
                expected=f"{value!r}, stored once",
                got=f"Nobody deleted, and it stored {scene.stored}.",
                hint="On the list: call store(value) once. Empty is an answer, too."
                if not scene.stored
                else "Call store with what load() gave, once.",
            )
    await _deleted(answer)
    await _deleted_before_it_began(answer)
    await _another_began(answer)
    await _failed(answer)
    return "stored; deleted early and late; another flight for the key; an error"


async def _deleted(answer: Any) -> None:
    scene = Scene(answer)
    flight = scene.begin(Source("old"))
    await asyncio.sleep(0.01)
    del scene.flights["a"]
    await scene.answered(flight, "old", "Deleted during the load")
    if scene.stored:
        raise Unmet(
            expected="nothing stored",
            got="Deleted during the load, and 'old' was stored.",
            hint="After the await, look whether the flight is still on the list.",
        )


async def _deleted_before_it_began(answer: Any) -> None:
    scene = Scene(answer)
    flight = scene.begin(Source("old"))
    del scene.flights["a"]  # before the task has taken its first step
    await scene.answered(flight, "old", "Deleted before the load began")
    if scene.stored:
        raise Unmet(
            expected="nothing stored",
            got="Deleted before the task took its first step, and 'old' was stored.",
            hint="Don't ask the list who you are: asyncio.current_task() knows.",
        )


async def _another_began(answer: Any) -> None:
    """The first flight is off the list; a second one ends later, or earlier."""
    for seconds in (0.05, 0.005):
        scene = Scene(answer)
        first = scene.begin(Source("old"))
        await asyncio.sleep(0.01)
        second = scene.begin(Source("new", seconds))
        await outcomes([first, second])
        if scene.stored != ["new"]:
            raise Unmet(
                expected="'new' alone is stored",
                got=f"Deleted during the load, and a second load began: stored {scene.stored}.",
                hint="A flight is on the list, and it isn't this one. Compare with `is`.",
            )


async def _failed(answer: Any) -> None:
    scene, error = Scene(answer), ConnectionError("down")
    await scene.answered(scene.begin(Source(error)), error, "The load failed")
    if scene.stored:
        raise Unmet(expected="nothing stored", got=f"The load failed, and stored {scene.stored}.")
