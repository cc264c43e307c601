"""Feedback on exercise 01-2: `join`, one load for all who ask for a key."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.exercises.outcomes import outcomes
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

Flights = dict[Any, asyncio.Task[Any]]
Load = Callable[[], Awaitable[Any]]


class Witness(Source):
    """A source that remembers which task each of its loads runs in."""

    def __init__(self, value: Any = "page", seconds: float = 0.02) -> None:
        super().__init__(value, seconds)
        self.tasks: list[asyncio.Task[Any] | None] = []

    async def load(self) -> Any:
        self.tasks.append(asyncio.current_task())
        return await super().load()


def join(flights: Flights, key: Any, load: Load) -> asyncio.Task[Any]:
    """A right answer to 01-2, for the checks of what is built on it."""

    async def run() -> Any:
        return await load()

    def landed(task: asyncio.Task[Any]) -> None:
        if flights.get(key) is task:
            del flights[key]

    if key not in flights:
        flights[key] = asyncio.create_task(run())
        flights[key].add_done_callback(landed)
    return flights[key]


def _joined(answer: Any, flights: Flights, key: Any, load: Load) -> asyncio.Task[Any]:
    task = answer(flights, key, load)
    if asyncio.iscoroutine(task):
        task.close()
        raise Unmet(
            expected="a task",
            got="It gave a coroutine, which nobody has started.",
            hint="`def`, not `async def`: join waits for nothing. "
            "And what load() gives is started by asyncio.create_task.",
        )
    if not isinstance(task, asyncio.Task):
        raise Unmet(
            expected="a task",
            got=f"It gave {type(task).__name__}.",
            hint="Return the task that is on the list: flights[key].",
        )
    return task


@exercise("01-2", "One load for all who ask")
async def one_load(answer: Any) -> str:
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    await _fifty_callers(answer)
    await _two_keys(answer)
    for outcome in ("page", None, ConnectionError("down")):
        await _it_lands(answer, outcome)
    await _cancelled(answer)
    for successor in (True, False):
        await _off_the_list(answer, successor, faults)
    return "50 callers, two keys, an error, a flight that somebody took off the list"


async def _fifty_callers(answer: Any) -> None:
    source, flights = Witness(), Flights()
    tasks = [_joined(answer, flights, "a", source.load) for _ in range(50)]
    await asyncio.sleep(0.01)
    tasks += [_joined(answer, flights, "a", source.load) for _ in range(50)]
    pages = await asyncio.gather(*tasks)
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 100 callers",
            got=f"100 callers, {source.loads} load{'s' * (source.loads != 1)}.",
            hint="Look into flights first, and put the new task there before anybody waits.",
        )
    if pages != ["page"] * 100:
        raise Unmet(
            expected="100 pages",
            got=f"A caller got {pages[0]!r}.",
            hint="The task's result is what load() gives.",
        )
    if set(tasks) != {source.tasks[0]}:
        raise Unmet(
            expected="the task in which load() runs, for everybody",
            got="Callers got another task than the one that loads.",
            hint="flights[key] = asyncio.create_task(load()), and return that one to all: "
            "who cancels it cancels the load.",
        )


async def _two_keys(answer: Any) -> None:
    flights = Flights()
    slow, quick = Witness("page a", seconds=10), Witness("page b")
    first = _joined(answer, flights, "a", slow.load)
    second = _joined(answer, flights, "b", quick.load)
    await asyncio.sleep(1)
    if second.done():
        await first
        return
    first.cancel()
    await asyncio.wait([first, second])
    raise Unmet(
        expected="key b's page after 20 ms",
        got="Key b waited for key a.",
        hint="Flights are by key.",
    )


async def _it_lands(answer: Any, outcome: Any) -> None:
    source, flights = Witness(outcome), Flights()
    how = "failed" if isinstance(outcome, Exception) else "ended"
    for time in (1, 2):
        task = _joined(answer, flights, "a", source.load)
        [got] = await outcomes([task])
        if flights:
            raise Unmet(
                expected="an empty list",
                got=f"The load {how}, and its task is still on the list.",
                hint="Take it off when it is done, however it ends: add_done_callback, or a "
                "`finally` in a function that the task runs. "
                "Else the list keeps every page, and every error, for ever.",
            )
        if source.loads != time:
            raise Unmet(expected=f"{time} loads", got=f"{source.loads} loads.")
        if got is not outcome:
            raise Unmet(
                expected=repr(outcome),
                got=f"The task gave {got!r}.",
                hint="It gives what load() gives, and raises what load() raises.",
            )


async def _cancelled(answer: Any) -> None:
    source, flights = Witness(), Flights()
    task = _joined(answer, flights, "a", source.load)
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task], timeout=60)
    if source.cancelled != 1 or not task.cancelled():
        raise Unmet(
            expected="a load that can be cancelled",
            got="The task was cancelled, and the load ran on.",
            hint="The load runs in the task itself, not behind a shield.",
        )
    if flights:
        raise Unmet(
            expected="an empty list",
            got="The load was cancelled, and its task is still on the list.",
            hint="`finally` and add_done_callback come also when it is cancelled; "
            "`except Exception` doesn't.",
        )


async def _off_the_list(answer: Any, successor: bool, faults: list[Any]) -> None:
    """Somebody takes the flight off the list while it is under way; maybe another one begins."""
    old, new, flights = Witness("old"), Witness("new", seconds=1), Flights()
    first = _joined(answer, flights, "a", old.load)
    await asyncio.sleep(0.01)
    del flights["a"]
    second = _joined(answer, flights, "a", new.load) if successor else None
    [page] = await outcomes([first])
    await asyncio.sleep(0.01)
    kept = dict(flights)
    for task in [second] if second else []:
        await asyncio.wait([task])
    if page != "old" or faults:
        error = faults[0].get("exception") if faults else page
        raise Unmet(
            expected="'old', for who waited",
            got=f"Somebody took the flight off the list, and its end raised {error!r}.",
            hint="When it ends it may be gone: ask flights.get(key) before you delete.",
        )
    if kept != ({"a": second} if second else {}):
        raise Unmet(
            expected="the second flight, still on the list",
            got="Somebody took the flight off the list, and a second one began. "
            "When the first one ended, it took the second off.",
            hint="Delete it only if flights.get(key) is your own task.",
        )
