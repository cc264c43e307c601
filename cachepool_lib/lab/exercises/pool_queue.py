"""Feedback on exercise 04-3, in simulated time: a slot is handed to whoever waits longest."""

import asyncio
import inspect
from typing import Any

from cachepool_lib.lab.exercises.slots import Slots, take
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


class _Crowd:
    """Callers who take a slot one after the other, in a list of who has got one."""

    def __init__(self, answer: Any, free: int) -> None:
        self.slots, self.got = Slots(free), list[int]()
        self.answer, self.tasks = answer, list[asyncio.Task[None]]()

    async def come(self, number: int) -> None:
        for caller in range(len(self.tasks), len(self.tasks) + number):
            self.tasks.append(asyncio.create_task(self._call(caller)))
        await _turns()

    async def _call(self, caller: int) -> None:
        await take(self.slots, self.answer)
        self.got.append(caller)

    def back(self) -> None:
        """Somebody gives a slot back."""
        given = self.answer(self.slots)
        if inspect.iscoroutine(given):
            given.close()
            raise Unmet(
                expected="def give(slots)",
                got="give is async: its call makes a coroutine, and nothing is given back yet.",
                hint="Nothing has to be awaited here: a plain def.",
            )

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@exercise("04-3", "The slot goes to whoever waits longest")
async def handed_over(answer: Any) -> str:
    await _nobody_waits(answer)
    await _in_order(answer)
    await _a_newcomer(answer)
    await _some_have_left(answer)
    await _told_meanwhile(answer)
    return "nobody waits, in order, a newcomer, some have left"


async def _nobody_waits(answer: Any) -> None:
    crowd = _Crowd(answer, 2)
    await crowd.come(2)
    for free in (1, 2):
        crowd.back()
        if crowd.slots.free != free:
            raise Unmet(
                expected=f"slots.free is {free}: two had one, {free} came back, nobody waits",
                got=f"slots.free is {crowd.slots.free}.",
                hint="Where nobody waits, slots.free += 1.",
            )
    await crowd.end()


async def _in_order(answer: Any) -> None:
    crowd = _Crowd(answer, 1)
    await crowd.come(4)  # 0 has it; 1, 2 and 3 wait
    for served in range(2, 5):
        crowd.back()
        await _turns()
        order = [f"caller {caller + 1}" for caller in crowd.got]
        if len(crowd.got) < served:
            hint = "The first in slots.waiting waits for its future: set_result(None) wakes it up."
            if crowd.slots.free:
                hint = "Where somebody waits, the slot is that caller's and never free: " + hint
            raise Unmet(
                expected=f"caller {served} has the slot: it waited longest",
                got="Nobody was woken up.",
                hint=hint,
            )
        if len(crowd.got) > served:
            raise Unmet(
                expected="1 slot, 1 caller who has it",
                got=f"1 slot came back, and {len(crowd.got) - served + 1} callers have one.",
                hint="Hand it to one, and stop there.",
            )
        if crowd.got != list(range(served)):
            raise Unmet(
                expected="first come, first served",
                got=f"{order[-1].capitalize()} was served before caller {served}.",
                hint="append puts on the right; the first to come stands left: popleft().",
            )
    if crowd.slots.free:
        raise Unmet(
            expected="no slot free: caller 4 has it",
            got=f"slots.free is {crowd.slots.free}, and caller 4 has a slot as well.",
            hint="Either it is handed over, or it is free.",
        )
    crowd.back()
    now: int = crowd.slots.free
    if now != 1 or crowd.slots.waiting:
        raise Unmet(
            expected="1 slot free, and nobody in slots.waiting",
            got=f"slots.free is {now}, and {len(crowd.slots.waiting)} wait.",
            hint="Who is served leaves slots.waiting.",
        )
    await crowd.end()


async def _a_newcomer(answer: Any) -> None:
    """Asks in the same turn, before the one who was served has woken up."""
    crowd = _Crowd(answer, 1)
    await crowd.come(2)
    late = asyncio.create_task(crowd._call(9))  # it runs before the one who is woken up now
    crowd.back()
    await _turns()
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    if crowd.got != [0, 1]:
        raise Unmet(
            expected="caller 2 has the slot",
            got="A newcomer took it before caller 2 had woken up.",
            hint="Don't make it free: it belongs to caller 2 from that moment on.",
        )
    await crowd.end()


async def _some_have_left(answer: Any) -> None:
    crowd = _Crowd(answer, 1)
    await crowd.come(4)
    crowd.tasks[1].cancel()
    crowd.tasks[2].cancel()  # they have not run since: their futures are cancelled, and still there
    try:
        crowd.back()
    except asyncio.InvalidStateError:
        raise Unmet(
            expected="caller 4 has the slot: 2 and 3 have left in that moment",
            got="InvalidStateError: set_result on the future of somebody who has left.",
            hint="waiter.done() is true for who has left: take the next one.",
        ) from None
    await _turns()
    if crowd.got != [0, 3]:
        raise Unmet(
            expected="caller 4 has the slot: 2 and 3 have left in that moment",
            got="The slot went to somebody who has left, and is lost."
            if len(crowd.got) < 2
            else f"Callers {', '.join(str(c + 1) for c in crowd.got)} have got one.",
            hint="waiter.done() is true for who has left: take the next, until one still waits.",
        )
    await crowd.come(1)
    crowd.tasks[4].cancel()
    crowd.back()
    if crowd.slots.free != 1:
        raise Unmet(
            expected="1 slot free: the only one who waited has left in that moment",
            got=f"slots.free is {crowd.slots.free}.",
            hint="Where nobody is left to hand it to, it is free.",
        )
    await crowd.end()


async def _told_meanwhile(answer: Any) -> None:
    """A future that was given an error, as a pool does that closes, is done as well."""
    crowd = _Crowd(answer, 1)
    await crowd.come(2)
    crowd.slots.waiting[0].set_exception(ConnectionError("closed"))
    crowd.back()
    if crowd.slots.free != 1:
        raise Unmet(
            expected="1 slot free: the one who waited was told that the pool closes",
            got=f"slots.free is {crowd.slots.free}.",
            hint="waiter.done() asks for every way to be done; waiter.cancelled() only for one.",
        )
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
