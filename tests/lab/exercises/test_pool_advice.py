"""Exercise 06-3: what a pool's readings say; each common mistake gets its own message."""

from typing import Any

import pytest

from cachepool_lib.lab.exercises.pool_advice import CASES
from tests.tools.exercise_tools import look_at, message


def waited(before: Any, after: Any, seconds: float) -> float:
    """How many callers, on average."""
    return float((after.waits.sum - before.waits.sum) / seconds)


def mean(before: Any, after: Any) -> float:
    return float((after.holds.sum - before.holds.sum) / (after.holds.count - before.holds.count))


def solution(before: Any, after: Any, seconds: float, longest: float) -> str:
    if longest > 5:
        return "leak"
    if waited(before, after, seconds) < 1:
        return "fine"
    longer = mean(before, after) > 2 * before.holds.sum / before.holds.count
    return "hold shorter" if longer else "larger"


def by_mean_wait(before: Any, after: Any, seconds: float, longest: float) -> str:
    """Right too: seconds for each caller, and the pool's own longest hold."""
    if after.longest_hold >= 5:
        return "leak"
    callers = after.waits.count - before.waits.count
    if not callers or (after.waits.sum - before.waits.sum) / callers < 0.02:
        return "fine"
    return solution(before, after, seconds, 0)


def otherwise(**parts: Any) -> Any:
    """The solution with another judgment of what keeps, waits, or holds for longer."""

    def advise(before: Any, after: Any, seconds: float, longest: float) -> str:
        if parts.get("keeps", lambda b, a: longest > 5)(before, after):
            return "leak"
        waits = parts.get("waits", lambda b, a: waited(b, a, seconds) >= 1)
        if not waits(before, after):
            return "fine"
        holds = parts.get("holds", lambda b, a: mean(b, a) > 2 * b.holds.sum / b.holds.count)
        return "hold shorter" if holds(before, after) else "larger"

    return advise


def of_what_is_waited_for(before: Any, after: Any, seconds: float, longest: float) -> str:
    """No leak as long as nobody waits."""
    return (
        "fine" if waited(before, after, seconds) < 1 else solution(before, after, seconds, longest)
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            otherwise(waits=lambda b, a: a.in_use == a.max_size),
            "An import uses all 4 connections all the time, and nobody waits. Your advice: "
            "'larger'. Well used is not too small.",
            id="utilisation",
        ),
        pytest.param(
            otherwise(waits=lambda b, a: a.wait_p99 > 0.05),
            "There was a rush, before these seconds. Now all is well. Your advice: 'larger'. It "
            "is over. wait_p99 is of the last thousand",
            id="wait_p99",
        ),
        pytest.param(
            otherwise(waits=lambda b, a: a.waits.sum > 0.05 * a.waits.count),
            "There was a rush, before these seconds.",
            id="since the pool was made",
        ),
        pytest.param(
            lambda before, after, seconds, longest: (
                "larger" if after.timeouts > before.timeouts else "fine"
            ),
            "All 4 connections are with somebody who forgot them, and everybody else gives up. "
            "Your advice: 'larger'. A larger pool leaks longer.",
            id="timeouts",
        ),
        pytest.param(
            otherwise(keeps=lambda b, a: False, holds=lambda b, a: a.hold_p99 > 2 * b.hold_p99),
            "All 4 connections are with somebody who forgot them, and everybody else gives up. "
            "Your advice: 'larger'. A larger pool leaks longer.",
            id="no leak",
        ),
        pytest.param(
            otherwise(keeps=lambda b, a: False),
            "All 4 connections are with somebody who forgot them, and everybody else gives up. "
            "Your answer: ZeroDivisionError. Nothing came back",
            id="no leak, and a mean of none",
        ),
        pytest.param(
            otherwise(keeps=lambda b, a: False, waits=lambda b, a: a.acquired > b.acquired + 2000),
            "All 4 connections are with somebody who forgot them, and everybody else gives up. "
            "Your advice: 'fine'. Whoever got none isn't in `acquired`",
            id="who got one",
        ),
        pytest.param(
            otherwise(waits=lambda b, a: a.timeouts > b.timeouts),
            "Four times as many came as before, and 13 of them waited on average; at the moment of "
            "the reading, nobody. Your advice: 'fine'. `timeouts` counts those who gave up",
            id="only timeouts",
        ),
        pytest.param(
            otherwise(waits=lambda b, a: a.waiting),
            "Four times as many came as before, and 13 of them waited on average; at the moment of "
            "the reading, nobody.",
            id="only the moment",
        ),
        pytest.param(
            otherwise(waits=lambda b, a: a.waits.sum - b.waits.sum > a.waits.count - b.waits.count),
            "Four times as many came as before, and 13 of them waited on average",
            id="seconds by callers",
        ),
        pytest.param(
            otherwise(waits=lambda b, a: a.waiting or a.wait_p99 < 0.5 < b.hold_p99),
            "A crowd came now and then, and waited; at the moment of the reading there was none. "
            "Your advice: 'fine'. `waiting` is of one moment.",
            id="the moment",
        ),
        pytest.param(
            otherwise(holds=lambda b, a: False),
            "As many came as before, each held its connection for 0.4 s instead of 0.05 s, and 19 "
            "waited on average. Your advice: 'larger'. There aren't more callers",
            id="no hold",
        ),
        pytest.param(
            otherwise(holds=lambda b, a: a.hold_p50 > 2 * b.hold_p50),
            "Five minutes were as ever, then a few reports took 0.8 s. Then each caller held its "
            "connection for 0.4 s instead of 0.05 s, for 20 s up to now. Your advice: 'larger'. "
            "hold_p50 and hold_p99 are",
            id="hold_p50",
        ),
        pytest.param(
            otherwise(holds=lambda b, a: a.hold_p99 > 2 * b.hold_p99),
            "Five minutes were as ever, then a few reports took 0.8 s.",
            id="hold_p99",
        ),
        pytest.param(
            otherwise(
                holds=lambda b, a: a.holds.sum / a.holds.count > 2 * b.holds.sum / b.holds.count
            ),
            "Five minutes were as ever, then a few reports took 0.8 s.",
            id="a mean hold since the pool was made",
        ),
        pytest.param(
            otherwise(holds=lambda b, a: mean(b, a) > 0.2),
            "More came than before. Each held its connection for 0.8 s, as always here. Your "
            "advice: 'hold shorter'. 0.8 s is long, but no longer than before",
            id="a long hold",
        ),
        pytest.param(
            of_what_is_waited_for,
            "One connection was forgotten 9 s ago. Nobody waits yet. Your advice: 'fine'. No",
            id="a leak that nobody feels",
        ),
        pytest.param(
            lambda before, after, seconds, longest: solution(
                before, after, seconds, 9 if longest > 1 else 0
            ),
            "A report has held a connection for 2 s, and nobody waits. Your advice: 'leak'. It may",
            id="a report",
        ),
        pytest.param(
            lambda before, after, seconds, longest: (
                solution(before, after, seconds, longest) if mean(before, after) else "fine"
            ),
            "All 4 connections are with somebody who forgot them",
            id="a mean before the leak",
        ),
        pytest.param(
            lambda before, after, seconds, longest: (
                "leak"
                if longest > 5
                else solution(before, after, seconds, longest)
                if mean(before, after)
                else "fine"
            ),
            "It is night, and nobody came. Your answer: ZeroDivisionError. There is nobody",
            id="nobody",
        ),
        pytest.param(
            lambda before, after, seconds, longest: "bigger",
            "advise(…) gave 'bigger'.",
            id="another word",
        ),
        pytest.param(
            lambda before, after, seconds, longest: None, "advise(…) gave None. `return`", id="None"
        ),
    ],
)
def test_a_wrong_advice_is_explained(answer: Any, expected: str) -> None:
    assert message("06-3", answer).startswith(expected)


@pytest.mark.parametrize("answer", [solution, by_mean_wait])
def test_right_answers_pass(answer: Any) -> None:
    result = look_at("06-3", answer)
    assert result.passed, result
    assert result.got == f"right in {len(CASES)} runs of a pool"
