"""Feedback on exercise 06-2: the hit rate of several workers, between two looks at them."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cachepool_lib import CacheStats
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

NEAR = 0.0015  # who rounds to two figures is right, too: the cases have such results


def stats(hits: int, misses: int, shared: int = 0, stale_hits: int = 0) -> CacheStats:
    """What a cache says that has answered so many requests."""
    return CacheStats(
        hits=hits,
        misses=misses,
        stale_hits=stale_hits,
        shared=shared,
        loads=misses,
        load_failures=0,
        load_seconds=0.02 * misses,
        evictions=0,
        expirations=misses,
        errors=0,
        size=None,
        maxsize=None,
        dropped=0,
    )


@dataclass(frozen=True)
class Case:
    """Two looks at the workers, the hit rate between them, and what usual mistakes make of it.

    *mistakes*: a wrong answer → what it is told, and a hint.
    """

    before: Sequence[CacheStats]
    after: Sequence[CacheStats]
    right: float | None
    words: str
    mistakes: Sequence[tuple[float, str, str]] = ()


ONE_MINUTE = "What counts is what came between the two looks: new less old, for each counter."
ADD = "Add the hits of all workers, add their visits, then divide."

CASES = (
    Case(
        [stats(hits=9_000, misses=175)],
        [stats(hits=9_000, misses=375)],
        0.0,
        "one worker, and 200 visits that were all misses",
        [
            (0.96, "Since the start says .96; in this minute nobody got a hit.", ONE_MINUTE),
            (9_000 / 9_375 - 9_000 / 9_175, "Less than nothing: a difference of two rates.",
             "A rate can't be taken from another. Subtract the counters."),
        ],
    ),
    Case(
        [stats(hits=0, misses=0), stats(hits=500, misses=500)],
        [stats(hits=900, misses=100), stats(hits=500, misses=510)],
        900 / 1_010,
        "a busy worker with 900 hits of 1,000, and an idle one with 0 of 10",
        [
            (0.45, "900 of 1,010 is .89, not .45: the idle worker counts as much.", ADD),
            (0.9, "The visits of the second worker are not in it.", ADD),
            (1_400 / 2_010, "Since the start says .70; in this minute it is .89.", ONE_MINUTE),
        ],
    ),
    Case(
        [stats(hits=100, misses=100, stale_hits=100)],
        [stats(hits=150, misses=120, stale_hits=130)],
        0.8,
        "50 hits, 30 stale hits and 20 misses",
        [
            (0.5, "30 visitors got an old page at once, and count as misses.",
             "A stale hit is a hit: nobody waited. CacheStats.hit_rate says the same."),
            (50 / 70, "30 visitors got an old page, and count as nobody.",
             "A stale hit is a hit: nobody waited. CacheStats.hit_rate says the same."),
        ],
    ),
    Case(
        [stats(hits=100, misses=100, shared=100)],
        [stats(hits=160, misses=110, shared=130)],
        0.6,
        "60 hits, 10 misses, and 30 who waited for the load of another",
        [
            (60 / 70, "30 visitors waited for another's load, and count as nobody.",
             "Who shares a load (`shared`) is a visitor, and got no hit."),
            (0.9, "30 visitors waited for another's load, and count as hits.",
             "A hit is a page without waiting. Who shares a load waits for it."),
            (60 / 90, "10 visitors missed, and count as nobody.",
             "Visitors are hits, stale hits, shared and misses."),
        ],
    ),
    Case(
        [stats(hits=70, misses=30), stats(hits=5, misses=5)],
        [stats(hits=70, misses=30), stats(hits=5, misses=5)],
        None,
        "two workers, and no visitor",
        [
            (75 / 110, "The counters have not moved, and all that they show counts as new.",
             "Equal counters are no restart: nobody came."),
        ],
    ),
    Case(
        [stats(hits=5_000, misses=900, shared=90, stale_hits=10), stats(hits=100, misses=100)],
        [stats(hits=30, misses=10), stats(hits=150, misses=110)],
        0.8,
        "a worker that has restarted and then had 30 hits of 40, and one with 50 of 60",
    ),
    Case(
        [stats(hits=960, misses=40), stats(hits=10, misses=990)],
        [stats(hits=10, misses=50), stats(hits=50, misses=40)],
        0.4,
        "two workers that have restarted and then had 10 hits of 60, and 50 of 90",
        [
            (0.5, "0.5: a worker has restarted, and only some of its counters began at 0.",
             "All of them began at 0: those too that are larger than before by now."),
        ],
    ),
)  # fmt: skip
RESTARTED = CASES[-2:]


@exercise("06-2", "A hit rate of four workers")
async def hit_rate(answer: Any) -> str:
    for case in CASES:
        got = answer(list(case.before), list(case.after))
        if inspect.isawaitable(got):
            if inspect.iscoroutine(got):
                got.close()
            raise Unmet(
                expected="def hit_rate(before, after)",
                got="hit_rate gave something to await.",
                hint="There is nothing to wait for here: an ordinary function will do.",
            )
        if case.right is None:
            _nobody_came(case, got)
        else:
            _look(case, got)
    return "what came in between, of all visitors; a restart is seen, and nobody is None"


def _nobody_came(case: Case, got: Any) -> None:
    if got is None:
        return
    text = f"{_written(got)} for {case.words}."
    hint = "Of nothing there is no share. Look at the number of visits before you divide."
    if got == 0:
        text = "Nobody came, and the rate says 0: an alarm in the middle of a quiet night."
    elif told := _mistake(case, got):
        text, hint = told
    raise Unmet(expected="None: no visitors, no hit rate", got=text, hint=hint)


def _mistake(case: Case, got: Any) -> tuple[str, str] | None:
    """What a usual mistake is told."""
    for wrong, text, hint in case.mistakes:
        if isinstance(got, int | float) and abs(got - wrong) < NEAR / 3:
            return text, hint
    return None


def _look(case: Case, got: Any) -> None:
    right = case.right
    assert right is not None
    expected = f"{right:.2f} for {case.words}"
    if isinstance(got, bool) or not isinstance(got, int | float) or math.isnan(got):
        raise Unmet(
            expected=expected,
            got=f"{_written(got)} for {case.words}.",
            hint="A share from 0 to 1 was asked for."
            if got is not None
            else "A `return` is missing, or visitors are: there were some.",
        )
    if abs(got - right) < NEAR:
        return
    if told := _mistake(case, got):
        raise Unmet(expected=expected, got=told[0], hint=told[1])
    if right and abs(got - 100 * right) < 100 * NEAR:
        raise Unmet(expected=expected, got=f"{_written(got)}.", hint="A share is from 0 to 1.")
    if case in RESTARTED:
        raise Unmet(
            expected=expected,
            got=f"{_written(got)}: a worker has restarted. Its counters began at 0.",
            hint="A counter never falls. Where it has, all that it shows is new.",
        )
    raise Unmet(expected=expected, got=f"{_written(got)}.", hint=ADD)


def _written(got: Any) -> str:
    return f"{got:.4g}" if isinstance(got, int | float) else repr(got)
