"""How much of what a cache answers is out of date, by ttl: a page whose row changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cachepool_lib.lab.simulation.traffic import Traffic, traffic
from cachepool_lib.memory.store import Store

LONG = 50_000  # visits to one page: so many that another run would show nearly the same


@dataclass(frozen=True)
class Answers:
    """What a cache answered; shares are 0 to 1 of all answers, those just loaded included."""

    hit_rate: float
    stale: float
    """The share that did not show the row as it was at that moment."""
    stale_for: float
    """Seconds since the row had changed, the mean over the stale answers; 0 if there are none."""


@dataclass(frozen=True)
class Staleness:
    """One page at several ttls (seconds), and how often it is visited and changed (a second)."""

    by_ttl: Mapping[float, Answers]
    visits: float
    changes: float

    def __getitem__(self, ttl: float) -> Answers:
        return self.by_ttl[ttl]

    def hit_rate(self, ttl: float) -> float:
        """What theory expects, 0 to 1: a load, then the visits of a ttl."""
        return self.visits * ttl / (1 + self.visits * ttl)

    def stale(self, ttl: float) -> float:
        """The share of stale answers that theory expects, 0 to 1.

        A hit is as old as it happens, from 0 to the ttl T, and by age t the row has changed with
        probability 1 − e^(−wt), where w is how often it changes. The mean of that over the ttl is
        1 − (1 − e^(−wT)) / wT; what has just been loaded is not stale.
        """
        changes = self.changes * ttl
        return self.hit_rate(ttl) * (1 + math.expm1(-changes) / changes) if changes else 0.0

    @property
    def knee(self) -> float:
        """The ttl (seconds) at which loads and stale answers together are fewest.

        About 1 / T loads a second and visits × changes × T / 2 stale answers; where both weigh the
        same, the sum is least at √(2 / (visits × changes)).
        """
        return math.sqrt(2 / (self.visits * self.changes))


def staleness(ttls: Iterable[float], *, visits: float = 1, changes: float = 1 / 60) -> Staleness:
    """Visit one page at random moments, and change its row at others, with a cache of each ttl.

    Nobody tells the cache of a change, and a load takes no time. *visits* and *changes* are how
    many come a second, on average (Poisson). AsyncCache's own Store decides what is a hit.
    """
    asked = traffic(visits, 1, LONG / visits)
    changed = traffic(changes, 1, LONG / visits, seed=2)
    return Staleness({ttl: _answers(asked, changed, ttl) for ttl in ttls}, visits, changes)


def _answers(visits: Traffic, changes: Traffic, ttl: float) -> Answers:
    store = Store(None)
    row: list[float] = []  # when it has changed so far
    lags: list[float] = []  # of the stale answers: seconds since the first change that they lack
    for now, is_change in _in_order(visits, changes):
        if is_change:
            row.append(now)
        elif entry := store.lookup("page", now):
            if entry.value < len(row):  # of so many changes it knows
                lags.append(now - row[entry.value])
        else:
            store.put("page", len(row), ttl, now)
    late = sum(lags) / len(lags) if lags else 0.0
    return Answers(store.hits / len(visits), len(lags) / len(visits), late)


def _in_order(visits: Traffic, changes: Traffic) -> list[tuple[float, bool]]:
    """Visits and changes as they come: when, and whether the row changes."""
    return sorted([(at, False) for at in visits.times] + [(at, True) for at in changes.times])
