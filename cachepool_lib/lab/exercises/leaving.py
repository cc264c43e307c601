"""Feedback on exercise 01-3: `wait`, which anyone may leave, and the last one ends the load."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cachepool_lib.lab.exercises.outcomes import WAITS, outcomes
from cachepool_lib.lab.exercises.single_flight import Flights, Witness, join
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

Task = asyncio.Task[Any]


class Scene:
    """Visitors of one page, through the answer's `wait`."""

    def __init__(self, answer: Any, value: Any = "page") -> None:
        self.answer, self.source = answer, Witness(value, seconds=0.1)
        self.flights, self.waiters = Flights(), Counter[Task]()

    async def visit(self) -> Any:
        task = join(self.flights, "a", self.source.load)
        return await self.answer(self.flights, self.waiters, "a", task)

    async def visitors(self, count: int = 5) -> list[Task]:
        """So many come; they are half way through the load."""
        tasks = [asyncio.create_task(self.visit()) for _ in range(count)]
        await asyncio.sleep(0.01)
        for task in tasks:
            if task.done() and isinstance(error := task.exception(), Exception):
                raise error
        return tasks

    async def leave(self, visitors: Sequence[Task]) -> None:
        """These leave at once. Unmet where they can't."""
        for visitor in visitors:
            visitor.cancel()
        await asyncio.sleep(0.001)
        if all(visitor.cancelled() for visitor in visitors):
            return
        stuck = sum(not visitor.done() for visitor in visitors)
        what = "is still waiting" if stuck else "was not cancelled"
        await outcomes(visitors)
        raise Unmet(
            expected="a visitor who leaves is gone at once",
            got=f"A visitor left, and {what}.",
            hint="Let CancelledError through: `finally` tidies up, and it goes on.",
        )

    def tidy(self, when: str) -> None:
        if self.flights:
            raise Unmet(
                expected="an empty list of flights",
                got=f"{when}, and the flight is still on the list.",
                hint="Take it off before you cancel it.",
            )
        if self.waiters:
            raise Unmet(
                expected="empty waiters",
                got=f"{when}, and waiters still holds {len(self.waiters)} task"
                f"{'s' * (len(self.waiters) != 1)}.",
                hint="A count of 0 is an entry, too: delete it, or it keeps the page for ever.",
            )


@exercise("01-3", "Anyone may leave; the last one ends the load")
async def wait(answer: Any) -> str:
    if not inspect.iscoroutinefunction(answer) and callable(answer):
        raise Unmet(
            expected="async def",
            got="It is no async function.",
            hint="It has to wait for the task.",
        )
    await _all_stay(answer)
    for leaver in (0, 2, 4):
        await _one_leaves(answer, leaver)
    await _all_leave(answer)
    await _all_leave_and_one_comes(answer)
    await _an_error(answer)
    for successor in (False, True):
        await _forgotten(answer, successor)
    return "five stay, one leaves, all leave, an error, a flight that is off the list"


async def _all_stay(answer: Any) -> None:
    scene = Scene(answer)
    visitors = await scene.visitors()
    results = await outcomes(visitors)
    if results != ["page"] * 5:
        raise Unmet(
            expected="5 pages",
            got=f"Nobody left, and a visitor got {next(r for r in results if r != 'page')!r}.",
            hint="Return what the task gives.",
        )
    scene.tidy("All five have their page")


async def _one_leaves(answer: Any, leaver: int) -> None:
    scene = Scene(answer)
    visitors = await scene.visitors()
    await scene.leave([visitors[leaver]])
    others = await outcomes(visitors[:leaver] + visitors[leaver + 1 :])
    if others.count("page") != 4:
        raise Unmet(
            expected="a page for the four who stay",
            got=f"Visitor {leaver + 1} left; {4 - others.count('page')} others lost the page.",
            hint="Cancelling a visitor cancels what it awaits, unless that is asyncio.shield(task)."
            if scene.source.cancelled and leaver != 0
            else "Each waits behind asyncio.shield(task); count in at the beginning, "
            "and out in `finally`.",
        )
    if scene.source.loads != 1:
        raise Unmet(
            expected="1 load", got=f"Visitor {leaver + 1} left: {scene.source.loads} loads."
        )
    scene.tidy("The four who stayed have their page")


async def _all_leave(answer: Any) -> None:
    scene = Scene(answer)
    visitors = await scene.visitors()
    await scene.leave(visitors[:2])
    if scene.source.cancelled:
        await outcomes(visitors)
        raise Unmet(expected="three still wait", got="Two of five left, and the load stopped.")
    await scene.leave(visitors[2:])
    await asyncio.sleep(0.001)
    stopped = scene.source.cancelled
    await asyncio.sleep(1)
    if not stopped:
        raise Unmet(
            expected="the load is cancelled",
            got="All five left, and the load ran on for nobody.",
            hint="waiters[task] counts who waits. At 0, the last one cancels the task.",
        )
    scene.tidy("All have left")


async def _all_leave_and_one_comes(answer: Any) -> None:
    scene = Scene(answer)
    visitors = await scene.visitors()
    for visitor in visitors:
        visitor.cancel()
    # Its first step comes after the last one has left, and before the cancelled load has ended.
    visitors.append(asyncio.create_task(scene.visit()))
    *_, page = await outcomes(visitors)
    if page != "page" or scene.source.loads != 2:
        raise Unmet(
            expected="a page, from a load of its own",
            got="All five left, a sixth came at that moment, and "
            + ("waits" if page is WAITS else f"got {page!r}" if page == "page" else "lost the page")
            + f": {scene.source.loads} load{'s' * (scene.source.loads != 1)}.",
            hint="First take the flight off the list, so that nobody joins it; then cancel it.",
        )
    scene.tidy("The sixth has its page")


async def _an_error(answer: Any) -> None:
    scene = Scene(answer, ConnectionError("down"))
    results = await outcomes(await scene.visitors())
    told = sum(isinstance(result, ConnectionError) for result in results)
    if told != 5:
        raise Unmet(
            expected="the error, for each of the 5",
            got=f"The load failed; {told} of 5 visitors were told.",
            hint="Catch nothing: what the task raises goes to everyone who awaits it.",
        )
    scene.tidy("The load failed")


async def _forgotten(answer: Any, successor: bool) -> None:
    """The flight is off the list; with a *successor*, a second one has begun for the same key."""
    scene = Scene(answer)
    visitors = await scene.visitors(2)
    del scene.flights["a"]
    newcomers = await scene.visitors(1) if successor else []
    visitors_left = "Somebody took the flight off the list"
    if successor:
        visitors_left += ", and a second one began for the key"
    for visitor in visitors:
        visitor.cancel()
    await asyncio.sleep(0.001)
    cancelled, kept = scene.source.cancelled, dict(scene.flights)
    results = await outcomes([*visitors, *newcomers])
    if errors := [r for r in results[:2] if not isinstance(r, asyncio.CancelledError)]:
        raise Unmet(
            expected="CancelledError for the two who leave",
            got=f"{visitors_left}. Who waited for the first left with {errors[0]!r}.",
            hint="It may be gone: ask flights.get(key) before you delete.",
        )
    if cancelled != 1:
        raise Unmet(
            expected="the first load stops with its last visitor",
            got=f"{visitors_left}. The visitors of the first left: {cancelled} loads stopped.",
            hint="Count by task, not by key, and cancel the task that was given.",
        )
    if successor and (len(kept) != 1 or results[2] != "page"):
        raise Unmet(
            expected="the second flight stays on the list",
            got=f"{visitors_left}. The last visitor of the first took the second off.",
            hint="Delete it only if flights.get(key) is the task.",
        )
