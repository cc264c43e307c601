"""Exercise 07-3: the last in line is served in time; each common mistake has its message."""

import math
from fractions import Fraction
from typing import Any

import pytest

from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises("07-past-one-machine.ipynb", {"07-3": "places_mine"})


@pytest.mark.parametrize(
    "answer",
    [
        lambda at_once, seconds, patience: at_once * int(patience / seconds - 1 + 1e-9),
        lambda at_once, seconds, patience: at_once * int((patience - seconds) / seconds),
        lambda at_once, seconds, patience: at_once * math.floor(patience / seconds) - at_once,
        lambda at_once, seconds, patience: int((patience - seconds) // seconds) * at_once,
        lambda at_once, seconds, patience: at_once * (int(patience / seconds + 1e-9) - 1),
        lambda at_once, seconds, patience: at_once * int(round(patience / seconds, 6) - 1),
    ],
)
def test_right_answers_pass(answer: Any) -> None:
    """In any order, also where floats are rounded down to one round less."""
    assert look_at("07-3", answer).passed


PLACES = "places(4, 0.375, 1) is"
LATE = "The last in line has a page after 1.12 s, and leaves after 1 s. What begins together"


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda a, s, p: int((p - s) * a / s), 6),
        (lambda a, s, p: int(a * p / s) - a, 6),
        (lambda a, s, p: math.floor(p / s * a - a), 6),
        (lambda a, s, p: math.floor(a * (p - s) / s + 1e-9), 6),
        (lambda a, s, p: round(a * (p - s) / s), 7),
        (lambda a, s, p: math.ceil(a * (p - s) / s), 7),
        (lambda a, s, p: a * round((p - s) / s), 8),
        (lambda a, s, p: a * math.ceil(p / s) - a, 8),
    ],
)
def test_a_round_that_ends_too_late_does_not_count(answer: Any, got: int) -> None:
    """Where the patience is no whole number of queries, only whole rounds are in time."""
    assert f"{PLACES} {got}. {LATE}" in message("07-3", answer)


@pytest.mark.parametrize("at_once", [1, 2, 5])
@pytest.mark.parametrize("patience", [0.1, 0.15, 0.3, 0.7, 1.0, 1.3])
@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.3])
def test_the_solution_is_right_for_other_numbers_too(
    at_once: int, seconds: float, patience: float
) -> None:
    """Counted in decimal fractions, where floats are a little more or less."""
    if patience >= seconds:
        rounds = Fraction(str(patience)) // Fraction(str(seconds)) - 1
        assert COURSE.solution("07-3")(at_once, seconds, patience) == at_once * rounds


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda a, s, p: round(p * a / s), "With two places too many, 9% are served in time."),
        (lambda a, s, p: 20, "The last in line have no time left for the query itself."),
        (lambda a, s, p: 40, "4% are served in time. A long queue serves people who have left."),
        (lambda a, s, p: 0, "Without places, 17% are refused on a good day, of 8 a second."),
        (lambda a, s, p: round((p - s) / s), "So many wait for one connection. Two work at once."),
        (lambda a, s, p: round(p / s), "one connection serves so many, its own query included."),
        (lambda a, s, p: 15, "one more is refused, who would have had a page after 0.9 s."),
        (lambda a, s, p: 18, "places(4, 0.25, 1) is 18. The last in line has a page after 1.5 s"),
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
