"""Feedback on exercise 06-3, in simulated time: what a pool's readings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cachepool_lib.lab.exercises.pool_readings import SIZE, Phase, Reading, record
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

ADVICE = "fine", "larger", "hold shorter", "leak"
ORDINARY = Phase(30, rate=20)  # a quarter of what the pool can do
LONG_PAST = Phase(300, rate=20)  # in all its holds together, those of a slow minute are few
REPORTS = Phase(5, rate=4, hold=0.8)  # a few slow ones: every p99 of the last thousand is theirs


@dataclass(frozen=True)
class Case:
    """A run, what is right to say of its last phase, and a hint for each wrong answer.

    In *happened*, {waiting} is how many callers waited on average.
    """

    happened: str
    phases: tuple[Phase, ...]
    right: str
    wrong: Mapping[str, str] = field(default_factory=dict, hash=False)


RUSH = (
    "It is over. wait_p99 is of the last thousand, whenever they came, and a sum is of all since "
    "the pool was made: take after minus before."
)
CASES = (
    Case("As ever: nobody waits.", (ORDINARY, ORDINARY), "fine"),
    Case(
        f"An import uses all {SIZE} connections all the time, and nobody waits.",
        (ORDINARY, Phase(20, workers=SIZE)),
        "fine",
        {"larger": "Well used is not too small. Does anybody wait?"},
    ),
    Case(
        f"All {SIZE} connections are with somebody who forgot them, and everybody else gives up.",
        (ORDINARY, Phase(5, rate=20, forgotten=SIZE), Phase(30, rate=20)),
        "leak",
        {
            "fine": "Whoever got none isn't in `acquired`, and who keeps one isn't in `holds`.",
            "larger": "A larger pool leaks longer.",
            "hold shorter": "Who gives nothing back isn't in `holds`: look at `longest`.",
            "ZeroDivisionError": "Nothing came back, so there is no mean hold: look at `longest`.",
        },
    ),
    Case(
        "There was a rush, before these seconds. Now all is well.",
        (ORDINARY, Phase(20, rate=20, hold=0.4), Phase(5), Phase(20, rate=20)),
        "fine",
        dict.fromkeys(("larger", "hold shorter"), RUSH),
    ),
    Case(
        "Four times as many came as before, and {waiting:.0f} of them waited on average; at the "
        "moment of the reading, {now}.",
        (ORDINARY, REPORTS, Phase(30, rate=78)),
        "larger",
        {
            "fine": "`timeouts` counts those who gave up, and `waiting` is of one moment. Seconds "
            "waited ÷ seconds (not ÷ callers) = callers waiting, on average.",
            "hold shorter": "Each held its connection as briefly as ever.",
        },
    ),
    Case(
        "A crowd came now and then, and waited; at the moment of the reading there was none.",
        (ORDINARY, Phase(40, rate=10, crowd=40)),
        "larger",
        {
            "fine": "`waiting` is of one moment. waits.sum has every second that anybody waited, "
            "and seconds waited ÷ seconds = callers waiting, on average."
        },
    ),
    Case(
        "As many came as before, each held its connection for 0.4 s instead of 0.05 s, and "
        "{waiting:.0f} waited on average.",
        (ORDINARY, Phase(80, rate=20, hold=0.4)),
        "hold shorter",
        {
            "larger": "There aren't more callers: each of them holds for longer. More connections "
            "only let more of them into what is slow."
        },
    ),
    Case(
        "Five minutes were as ever, then a few reports took 0.8 s. Then each caller held its "
        "connection for 0.4 s instead of 0.05 s, for 20 s up to now.",
        (LONG_PAST, REPORTS, Phase(20, rate=20, hold=0.4)),
        "hold shorter",
        {
            "larger": "hold_p50 and hold_p99 are of the last thousand, and holds.sum is of all "
            "since the pool was made: most of them came before. The mean hold of these seconds is "
            "a difference of sums by a difference of counts."
        },
    ),
    Case(
        "More came than before. Each held its connection for 0.8 s, as always here.",
        (Phase(40, rate=3, hold=0.8), Phase(40, rate=8, hold=0.8)),
        "larger",
        {
            "hold shorter": "0.8 s is long, but no longer than before: what is new is the number "
            "of callers."
        },
    ),
    Case(
        "Holds are eight times as long as before, and nobody waits.",
        (ORDINARY, Phase(40, rate=3, hold=0.4)),
        "fine",
    ),
    Case(
        "One connection was forgotten 9 s ago. Nobody waits yet.",
        (ORDINARY, Phase(10, rate=20, forgotten=1)),
        "leak",
        {
            "fine": "No statement may take longer than 5 s. Three more of these, and nobody gets "
            "a connection."
        },
    ),
    Case(
        "A report has held a connection for 2 s, and nobody waits.",
        (ORDINARY, Phase(3, rate=20, forgotten=1)),
        "fine",
        {"leak": "It may: a statement may take 5 s."},
    ),
    Case("It is night, and nobody came.", (ORDINARY, Phase(60)), "fine"),
)

_recorded: dict[Case, Reading] = {}


async def reading(case: Case) -> Reading:
    """What the pool said in that run: recorded once, since it is the same every time."""
    if (found := _recorded.get(case)) is None:
        found = _recorded[case] = await record(*case.phases)
    return found


@exercise("06-3", "What to do about the pool")
async def advise(answer: Any) -> str:
    for case in CASES:
        seen = await reading(case)
        waited = seen.after.waits.sum - seen.before.waits.sum
        happened = case.happened.format(
            waiting=waited / seen.seconds, now=seen.after.waiting or "nobody"
        )
        try:
            advice = answer(seen.before, seen.after, seen.seconds, seen.longest)
        except ZeroDivisionError:
            raise Unmet(
                expected=repr(case.right),
                got=f"{happened} Your answer: ZeroDivisionError.",
                hint=case.wrong.get("ZeroDivisionError", "There is nobody to take a mean of."),
            ) from None
        if advice not in ADVICE:
            raise Unmet(
                expected=f"one of {', '.join(map(repr, ADVICE))}",
                got=f"advise(…) gave {advice!r}.",
                hint="" if advice is not None else "`return` it.",
            )
        if advice != case.right:
            raise Unmet(
                expected=repr(case.right),
                got=f"{happened} Your advice: {advice!r}.",
                hint=case.wrong.get(advice, ""),
            )
    return f"right in {len(CASES)} runs of a pool"
