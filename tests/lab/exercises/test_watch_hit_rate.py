"""Exercise 06-2: a hit rate is of what came in between; each common mistake has its message."""

import math
from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

import pytest

from cachepool_lib import CacheStats
from cachepool_lib.lab.exercises.watch_hit_rate import CASES, NEAR, stats
from tests.tools.exercise_tools import look_at, message

Looks = Sequence[CacheStats]


def counts(one: CacheStats) -> tuple[int, int]:
    at_hand = one.hits + one.stale_hits
    return at_hand, at_hand + one.shared + one.misses


def right(before: Looks, after: Looks) -> float | None:
    hits = visits = 0
    for old, new in zip(before, after, strict=True):
        (old_hits, old_visits), (new_hits, new_visits) = counts(old), counts(new)
        if new_visits < old_visits:
            old_hits = old_visits = 0
        hits += new_hits - old_hits
        visits += new_visits - old_visits
    return hits / visits if visits else None


def counter_by_counter(before: Looks, after: Looks) -> float | None:
    """As Prometheus does it, which knows of no workers: each counter that has fallen began at 0."""

    def grown(name: str) -> int:
        pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(before, after, strict=True)]
        return sum(new if new < old else new - old for old, new in pairs)

    hits = grown("hits") + grown("stale_hits")
    visits = hits + grown("shared") + grown("misses")
    return round(hits / visits, 2) if visits else None


def one_has_fallen(*names: str) -> Callable[[Looks, Looks], float | None]:
    """Who has fallen in one of these began anew."""

    def answer(before: Looks, after: Looks) -> float | None:
        old = [
            stats(0, 0) if any(getattr(b, name) < getattr(a, name) for name in names) else a
            for a, b in zip(before, after, strict=True)
        ]
        hits = sum(at_hand(b) - at_hand(a) for a, b in zip(old, after, strict=True))
        visits = sum(asked(b) - asked(a) for a, b in zip(old, after, strict=True))
        return round(hits / visits, 2) if visits else None

    return answer


by_any_counter = one_has_fallen("hits", "stale_hits", "shared", "misses")


@pytest.mark.parametrize("answer", [right, by_any_counter])
def test_right_answers_pass(answer: Any) -> None:
    """A restart seen by visits, or by any counter; rounded or not."""
    assert look_at("06-2", answer).passed


def since_the_start(before: Looks, after: Looks) -> float | None:
    return right([stats(0, 0)] * len(after), after)


def difference_of_rates(before: Looks, after: Looks) -> float:
    return mean(b.hit_rate - a.hit_rate for a, b in zip(before, after, strict=True))


def mean_of_rates(before: Looks, after: Looks) -> float | None:
    rates = [right([a], [b]) for a, b in zip(before, after, strict=True)]
    return mean(rate or 0.0 for rate in rates)


def counting(hits: Callable[[CacheStats], int], visits: Callable[[CacheStats], int]) -> Any:
    def answer(before: Looks, after: Looks) -> float | None:
        def grown(of: Callable[[CacheStats], int]) -> int:
            return sum(map(of, after)) - sum(map(of, before))

        return grown(hits) / grown(visits) if grown(visits) else None

    return answer


def at_hand(one: CacheStats) -> int:
    return one.hits + one.stale_hits


def asked(one: CacheStats) -> int:
    return at_hand(one) + one.shared + one.misses


def zero_for_nobody(before: Looks, after: Looks) -> float:
    return right(before, after) or 0.0


def nan_for_nobody(before: Looks, after: Looks) -> float:
    rate = right(before, after)
    return math.nan if rate is None else rate


def never_less_than_nothing(before: Looks, after: Looks) -> float | None:
    changes = [(b.hits - a.hits + b.stale_hits - a.stale_hits, asked(b) - asked(a))
               for a, b in zip(before, after, strict=True)]  # fmt: skip
    hits, visits = sum(max(h, 0) for h, _ in changes), sum(max(v, 0) for _, v in changes)
    return hits / visits if visits else None


def equal_is_a_restart(before: Looks, after: Looks) -> float | None:
    old = [a if asked(b) > asked(a) else stats(0, 0) for a, b in zip(before, after, strict=True)]
    return right(old, after)


def in_percent(before: Looks, after: Looks) -> float | None:
    rate = right(before, after)
    return None if rate is None else 100 * rate


async def awaited(before: Looks, after: Looks) -> float | None:
    return right(before, after)


def nothing(before: Looks, after: Looks) -> None:
    return None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (since_the_start, "Since the start says .96; in this minute nobody got a hit."),
        (difference_of_rates, "Less than nothing: a difference of two rates."),
        (mean_of_rates, "900 of 1,010 is .89, not .45: the idle worker counts as much."),
        (lambda before, after: right(before[:1], after[:1]), "The visits of the second worker"),
        (counting(lambda s: s.hits, asked), "30 visitors got an old page at once, and count as m"),
        (counting(lambda s: s.hits, lambda s: asked(s) - s.stale_hits), "30 visitors got an old p"),
        (counting(at_hand, lambda s: at_hand(s) + s.misses), "30 visitors waited for another's lo"),
        (counting(lambda s: at_hand(s) + s.shared, asked), "30 visitors waited for another's load"),
        (counting(at_hand, lambda s: at_hand(s) + s.shared), "None for one worker, and 200"),
        (zero_for_nobody, "Nobody came, and the rate says 0: an alarm in the middle of a quiet"),
        (nan_for_nobody, "nan for two workers, and no visitor."),
        (counting(at_hand, asked), "0.8356: a worker has restarted. Its counters began at 0."),
        (never_less_than_nothing, "0.8333: a worker has restarted. Its counters began at 0."),
        (counter_by_counter, "0.5: a worker has restarted, and only some of its counters began at"),
        (one_has_fallen("hits"), "-0.06: a worker has restarted. Its counters began at 0."),
        (one_has_fallen("misses"), "1.06: a worker has restarted. Its counters began at 0."),
        (equal_is_a_restart, "The counters have not moved"),
        (in_percent, "89.11. A share is from 0 to 1."),
        (awaited, "hit_rate gave something to await."),
        (nothing, "None for one worker, and 200 visits that were all misses. A `retur"),
        (lambda before, after: "much", "'much' for one worker"),
    ],
)
def test_each_wrong_answer_is_told_what_is_wrong(answer: Any, expected: str) -> None:
    assert message("06-2", answer).startswith(expected)


def test_a_stub_is_not_solved_yet() -> None:
    def stub(before: Looks, after: Looks) -> float:
        raise NotImplementedError

    assert look_at("06-2", stub).status == "not solved yet"


def test_the_cases_are_what_they_say() -> None:
    """Their right answers are what a plain sum gives, far from what the mistakes give."""
    for case in CASES:
        assert right(case.before, case.after) == pytest.approx(case.right)
        assert all(abs(wrong - (case.right or 0)) > NEAR for wrong, _, _ in case.mistakes)
