"""Rules for alarms, on a day with a hiccup every hour and one outage. Simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from random import Random

DAY, STEP = 86_400, 5  # seconds: of a day, and from one scrape to the next
PAGES = 1_000  # in a step
WELL, ILL = 0.0005, 0.5  # share of the pages that fail: as a rule, and in a hiccup or an outage
HICCUPS = range(3600, DAY, 3600)  # seconds of the day at which one begins; it lasts for a step
OUTAGE = 52_200, 52_500  # from 14:30 to 14:35

Share = Callable[[int], float]
"""share(seconds): of the pages of the last so many seconds, how many failed, 0 to 1."""


@dataclass(frozen=True, repr=False)
class Alarms:
    """The share of pages that failed in each step of a day, and when a rule fired (seconds)."""

    failed: Sequence[float]
    spans: Sequence[tuple[float, float]]

    @property
    def real(self) -> list[tuple[float, float]]:
        """Alarms that began while the outage lasted."""
        return [(start, end) for start, end in self.spans if OUTAGE[0] < start <= OUTAGE[1]]

    @property
    def false(self) -> int:
        """How many alarms were none of an outage."""
        return len(self.spans) - len(self.real)

    @property
    def after(self) -> float | None:
        """Seconds from the beginning of the outage to its alarm. None: there was none."""
        return self.real[0][0] - OUTAGE[0] if self.real else None

    def __repr__(self) -> str:
        told = f"{self.false} false alarms; the outage: "
        if self.after is None:
            return f"{told}none"
        longer = self.real[-1][1] - OUTAGE[1]
        return f"{told}after {self.after:g} s, and until {longer:g} s after its end"


def alarms(rule: Callable[[Share], bool]) -> Alarms:
    """Ask *rule* every STEP seconds of a day whether it fires; it may ask for shares.

    At each full hour half of the pages fail for STEP seconds, and once for five minutes: that is
    the outage.
    """
    failed = _day()
    sums = [0, *accumulate(failed)]

    def share_at(step: int) -> Share:
        def share(seconds: int) -> float:
            first = max(0, step - max(1, round(seconds / STEP)))
            return (sums[step] - sums[first]) / (PAGES * (step - first))

        return share

    fires = [rule(share_at(step)) for step in range(1, len(sums))]
    spans, at = [], STEP
    for on, steps in groupby(fires):
        end = at + STEP * len(list(steps))
        if on:
            spans.append((at, end))
        at = end
    return Alarms([number / PAGES for number in failed], spans)


def _day() -> list[int]:
    """How many pages failed in each step."""
    random, failed = Random(1), []
    for at in range(0, DAY, STEP):
        expected = PAGES * (ILL if at in HICCUPS or OUTAGE[0] <= at < OUTAGE[1] else WELL)
        failed.append(max(0, round(random.gauss(expected, expected**0.5))))
    return failed
