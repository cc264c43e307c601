"""Feedback on exercise 07-3: how many may wait, so that the last in line is served in time."""

import asyncio
import contextlib
import inspect
from math import ceil
from typing import Any, NamedTuple

from cachepool_lib.errors import PoolFull
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.lab.simulation.postgres import simulated_pool
from cachepool_lib.lab.simulation.traffic import traffic

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

RUSH, QUIET = 100, 8  # visits a second that need the database: after a restart; on a good day
FULL, END = 2, 20  # seconds: when the queue is as long as it gets, and the end of each try


class Case(NamedTuple):
    """So many queries at once, the seconds of each, the patience of a visitor, and the answer."""

    at_once: int
    seconds: float
    patience: float
    right: int

    def __str__(self) -> str:
        return f"places({self.at_once}, {self.seconds:g}, {self.patience:g})"

    def end(self, places: int) -> float:
        """The seconds until the last of so many has a page: queries begin and end in rounds."""
        return self.seconds * (1 + ceil(places / self.at_once))


SHOP = Case(2, 0.1, 1, 18)
# In these no decimal fraction is rounded: `int` of a right formula is exact. In the last two the
# patience is no whole number of queries.
OTHERS = (
    *(Case(4, 0.25, 1, 12), Case(1, 0.5, 2, 3), Case(10, 0.125, 0.5, 30), Case(2, 0.5, 0.5, 0)),
    *(Case(4, 0.375, 1, 4), Case(3, 0.75, 2.5, 6)),
)


async def in_time(case: Case, places: int, rate: float) -> float:
    """The share of *rate* visits a second that have their page in time, with so many places."""
    visits = traffic(rate, seconds=END)
    served: list[float] = []

    async def visit(at: float) -> None:
        with contextlib.suppress(PoolFull, TimeoutError):
            async with asyncio.timeout(case.patience):
                await pool.fetchval("SELECT a page")
            served.append(at)

    start = clock()
    options: Any = {"seconds": case.seconds, "max_waiting": places}
    async with simulated_pool(case.at_once, **options) as pool, asyncio.TaskGroup() as group:
        for at in visits.times:
            await asyncio.sleep(max(0, start + at - clock()))
            group.create_task(visit(at))
    return sum(at >= FULL for at in served) / sum(at >= FULL for at in visits.times)


@exercise("07-3", "Places in the queue")
async def places(answer: Any) -> str:
    got = _number(answer, SHOP)
    # 0.1 is a little more than a tenth: whoever rounds down has a round less, and that is safe.
    if not SHOP.right - SHOP.at_once <= got <= SHOP.right:
        await _look(got)
    for case in OTHERS:
        got = _number(answer, case)
        if got != case.right:
            raise Unmet(
                expected=f"{case} is {case.right}",
                got=f"{case} is {got}.",
                hint=_too_late(case, got)
                if got > case.right
                else f"With {case.right} places the last in line is still served in time.",
            )
    return "the last one who may wait is served in time, and the next is refused at once"


def _number(answer: Any, case: Case) -> int:
    got = answer(case.at_once, case.seconds, case.patience)
    if inspect.iscoroutine(got):
        got.close()
        raise Unmet(
            expected="def places(at_once, seconds, patience)",
            got="places gave something to await.",
            hint="There is nothing to wait for here: an ordinary function will do.",
        )
    if isinstance(got, bool) or not isinstance(got, int):
        raise Unmet(
            expected=f"{case} is a whole number",
            got=f"{case} is {got!r}.",
            hint="max_waiting takes a whole number: int(…) makes one."
            if isinstance(got, float)
            else "Return a number of visitors.",
        )
    if got < 0:
        raise Unmet(
            expected=f"{case} is 0 or more",
            got=f"{case} is {got}.",
            hint="Take the time of the query from the patience, not the other way round.",
        )
    return got


async def _look(got: int) -> None:
    """Let visits come to a pool with so many places, and say what becomes of them."""
    hint = {
        10: "In that time one connection serves so many, its own query included. Two work at once.",
        9: "So many wait for one connection. Two work at once.",
    }.get(got)
    expected = f"{SHOP} is {SHOP.right}"
    if got > SHOP.right:
        share, best = [await in_time(SHOP, n, RUSH) for n in (got, SHOP.right)]
        two = "two places too many" if got == SHOP.right + 2 else f"{got} places"
        raise Unmet(
            expected=f"{expected}: {best:.0%} of {RUSH} visits a second are served in time",
            got=f"With {two}, {share:.0%} are served in time.",
            hint="A long queue serves people who have left."
            if got >= 2 * SHOP.right
            else "The last in line have no time left for the query itself.",
        )
    if got == 0:
        share = 1 - await in_time(SHOP, 0, QUIET)
        raise Unmet(
            expected=expected,
            got=f"Without places, {share:.0%} are refused on a good day, of {QUIET} a second.",
            hint="Where three come in the same moment, the third could have waited for 0.1 s.",
        )
    raise Unmet(
        expected=expected,
        got=f"With {got} places one more is refused, who would have had a page after "
        f"{SHOP.end(got + 1):.2g} s.",
        hint=hint or f"And visitors wait for {SHOP.patience:g} s.",
    )


def _too_late(case: Case, got: int) -> str:
    late = f"The last in line has a page after {case.end(got):.3g} s, and leaves after "
    late += f"{case.patience:g} s."
    if case.patience % case.seconds:
        late += " What begins together ends together: count whole rounds."
    return late
