"""Exercise 07-3: the last in line is served in time; each common mistake has its message."""

from math import floor
from typing import Any

import pytest

from tests.tools.exercise_tools import look_at, message


@pytest.mark.parametrize(
    "answer",
    [
        lambda at_once, seconds, patience: int((patience - seconds) * at_once / seconds),
        lambda at_once, seconds, patience: round(at_once * (patience / seconds - 1)),
        lambda at_once, seconds, patience: int(patience * at_once / seconds) - at_once,
        lambda at_once, seconds, patience: floor((patience - seconds) * at_once // seconds),
    ],
)
def test_right_answers_pass(answer: Any) -> None:
    """In any order, also where floats are rounded down to one place less."""
    assert look_at("07-3", answer).passed


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda a, s, p: round(p * a / s), "With two places too many, 9% are served in time."),
        (lambda a, s, p: 20, "The last in line have no time left for the query itself."),
        (lambda a, s, p: 40, "4% are served in time. A long queue serves people who have left."),
        (lambda a, s, p: 0, "Without places, 17% are refused on a good day, of 8 a second."),
        (lambda a, s, p: round((p - s) / s), "So many wait for one connection. Two work at once."),
        (lambda a, s, p: round(p / s), "one connection serves so many, its own query included."),
        (lambda a, s, p: 16, "one more is refused, who would have had a page after 0.95 s."),
        (lambda a, s, p: 18, "places(4, 0.25, 1) is 18. The last in line has a page after 1.38 s"),
        (lambda a, s, p: round((p - s) * a / s) if s == 0.1 else 1,
         "places(4, 0.25, 1) is 1. With 12 places the last in line is still served"),
        (lambda a, s, p: (p - s) * a / s, "is 18.0. max_waiting takes a whole number"),
        (lambda a, s, p: round((s - p) * a / s), "is -18. Take the time of the query from"),
        (lambda a, s, p: None, "is None. Return a number of visitors."),
        (lambda a, s, p: True, "is True. Return a number of visitors."),
    ],
)  # fmt: skip
def test_each_mistake_is_told_apart(answer: Any, expected: str) -> None:
    """The message says what becomes of the visitors."""
    assert expected in message("07-3", answer)


def test_a_coroutine_is_not_asked_for() -> None:
    async def places(at_once: int, seconds: float, patience: float) -> int:
        return 18

    assert "an ordinary function will do" in message("07-3", places)
