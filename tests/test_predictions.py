"""Promises of predict(), result() and guesses()."""

import math
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest

from cachepool_lib import lab
from cachepool_lib.lab import predictions


@pytest.fixture(autouse=True)
def empty_book(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(predictions, "_book", {})
    yield


def test_unanswered_guess_is_a_common_first_one() -> None:
    """The cell runs as it stands, and says whose guess it shows."""
    prediction = lab.predict("hit rate at 1 s", ..., common=0.02)
    assert not prediction.answered
    assert prediction.guess == 0.02
    assert repr(prediction) == "hit rate at 1 s: 0.02 (a common first guess)"


def test_typed_number_is_the_readers_own() -> None:
    """Once a number stands there, it is the reader's guess."""
    prediction = lab.predict("age when gone", 7_260, common=60, unit="s")
    assert prediction.answered
    assert repr(prediction) == "age when gone: 7,260 s (your guess)"


def test_a_result_is_kept_beside_its_guess() -> None:
    """result() shows both, and guesses() keeps them in order for the last chart."""
    lab.predict("queries", ..., common=1)
    lab.predict("next reader sees", "new", choices=("old", "new"))
    assert repr(lab.result("queries", 50)) == "queries: 1 (a common first guess) → 50"
    assert [(p.name, p.guess, p.result) for p in lab.guesses()] == [
        ("queries", 1, 50),
        ("next reader sees", "new", None),
    ]


def test_running_a_cell_twice_is_the_same_as_once() -> None:
    """A repeated guess is shown alike, replaces the first and keeps the result and the place."""
    shown = lab.predict("queries", ..., common=1)
    lab.predict("other", 2)
    lab.result("queries", 50)
    assert repr(lab.predict("queries", ..., common=1)) == repr(shown)
    assert lab.predict("queries", 40).guess == 40
    first, other = lab.guesses()
    assert (first.guess, first.result, other.name) == (40, 50, "other")


@pytest.mark.parametrize(
    ("typed", "taken"),
    [(20, 20), ("20", 20), (" 0.5 ", 0.5), (0, 0), (1e9, 1e9), ("1_000", 1000), (Decimal(3), 3)],
)
def test_numbers_are_taken_however_they_are_typed(typed: object, taken: float) -> None:
    """A number in quotes is a number."""
    prediction = lab.predict("queries", typed, common=1)
    assert (prediction.guess, prediction.answered) == (taken, True)


@pytest.mark.parametrize(
    ("typed", "taken"), [(0.3, 0.3), ("30%", 0.3), ("30 %", 0.3), ("0.3", 0.3), (1, 1), (0, 0)]
)
def test_a_share_may_be_typed_as_a_percentage(typed: object, taken: float) -> None:
    """Where a share is asked for, "30%" is 0.3."""
    prediction = lab.predict("hit rate", typed, common=0.02, share=True)
    assert prediction.guess == taken
    assert prediction.answered


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("high", "it takes a number of 0 or more, not 'high'"),
        ("20x", "it takes a number of 0 or more, not '20x'"),
        ("30%", "it takes a number of 0 or more, not '30%'"),
        (-1, "it takes a number of 0 or more, not -1"),
        (math.nan, "it takes a number of 0 or more, not nan"),
        ([20], "it takes a number of 0 or more, not [20]"),
        (None, "it takes a number of 0 or more, not None"),
        (10**400, "it takes a number of 0 or more, not 100000000000000000...0000000000000000000"),
    ],
)
def test_what_is_no_number_gets_one_line(
    typed: object, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback: the common first guess stands in, and a line says why, once. It is printed,
    for most cells keep the prediction in a name.
    """
    prediction = lab.predict("queries", typed, common=1)
    assert capsys.readouterr().out == f"Your guess is not taken: {problem}.\n"
    assert repr(prediction) == "queries: 1 (a common first guess)"
    assert not prediction.answered
    assert repr(lab.result("queries", 50)) == "queries: 1 (a common first guess) → 50"


def test_a_guess_of_more_than_there_are_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Of ten pages eleven can't finish."""
    assert lab.predict("pages that finish", 10, common=9, most=10).answered
    assert lab.predict("pages that finish", 11, common=9, most=10).guess == 10
    text = "Your guess is not taken: it takes a number from 0 to 10, not 11.\n"
    assert capsys.readouterr().out == text


def test_what_cannot_be_taken_leaves_the_guess_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A slip of the finger costs a line, and not the guess."""
    first = lab.predict("queries", 40, common=1)
    assert lab.predict("queries", "forty", common=1) == first
    assert capsys.readouterr().out.startswith("Your guess is not taken: ")
    lab.result("queries", 50)
    assert repr(lab.predict("queries", "forty", common=1)) == "queries: 40 (your guess)"
    assert [(p.guess, p.answered, p.result) for p in lab.guesses()] == [(40, True, 50)]
    assert not lab.predict("queries", ..., common=1).answered, "the dots are the reader's own"


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (30, "not 30 (did you mean 0.3?)"),
        ("30", "not '30' (did you mean 0.3?)"),
        (1.5, "not 1.5 (did you mean 0.015?)"),
        ("130%", "not '130%'"),
        (1e9, "not 1000000000.0"),
        (-1, "not -1"),
    ],
)
def test_what_is_no_share_gets_one_line(
    typed: object, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that looks like a percentage is asked about."""
    prediction = lab.predict("hit rate", typed, common=0.02, share=True)
    expected = f"Your guess is not taken: a share is from 0 to 1, {problem}.\n"
    assert capsys.readouterr().out == expected
    assert prediction.guess == 0.02


def test_words_come_from_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    """A guess in words is one of the choices, in capitals or not; else a line lists them."""
    ask = partial(lab.predict, common="sees new", choices=("sees old", "sees new"))
    assert repr(ask("reader", " Sees old ")) == "reader: sees old (your guess)"
    assert repr(ask("other", 1)) == "other: sees new (a common first guess)"
    line = "Your guess is not taken: choose 'sees old' or 'sees new', not 1.\n"
    assert capsys.readouterr().out == line


def test_a_skipped_question_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Its result is given all the same; guessing later keeps it."""
    skipped = lab.result("queries", 50)
    line = "You skipped the question 'queries': here is the result, without a guess.\n"
    assert capsys.readouterr().out == line
    assert repr(skipped) == "queries: no guess → 50"
    lab.predict("queries", 40)
    assert [(p.guess, p.result) for p in lab.guesses()] == [(40, 50)]


def test_charts_are_drawn_without_a_guess() -> None:
    """A skipped question, or a guess that could not be taken, keeps no chart from being drawn."""
    runs = {"off": {"hit": [1, 0], "failed": [0, 1]}}
    for guess in (lab.result("skipped", 0.5), lab.predict("refused", "high")):
        chart = lab.charts.outcomes_over_time(runs, (1, 2), guess=guess)
        assert "guess" not in chart.text
    assert lab.charts.guesses(lab.guesses()).text == "guess → result, simulated: none yet"
