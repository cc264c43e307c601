"""Promises of predict(), result() and guesses()."""

import math
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.notebook import predictions


@pytest.fixture(autouse=True)
def empty_book(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(predictions, "_book", {})
    yield


def test_a_common_first_guess_stands_in_from_the_result_on() -> None:
    """The cells run as they stand; without a guess the chart has the common one, and says so."""
    prediction = lab.predict("hit rate at 1 s", ...)
    assert (prediction.guess, prediction.answered) == (None, False)
    shown = lab.result("hit rate at 1 s", 0.3, common=0.02)
    assert (shown.guess, shown.answered) == (0.02, False)
    assert repr(shown) == "hit rate at 1 s: 0.02 (a common first guess) → 0.3"


def test_typed_number_is_the_readers_own() -> None:
    """Once a number stands there, it is the reader's guess."""
    prediction = lab.predict("age when gone", 7_260, unit="s")
    assert prediction.answered
    assert repr(prediction) == "age when gone: 7,260 s (your guess)"


def test_a_result_is_kept_beside_its_guess() -> None:
    """result() shows both, and guesses() keeps them in order for the last chart."""
    lab.predict("queries", ...)
    lab.predict("next reader sees", "new", choices=("old", "new"))
    assert repr(lab.result("queries", 50, common=1)) == "queries: 1 (a common first guess) → 50"
    assert [(p.name, p.guess, p.result) for p in lab.guesses()] == [
        ("queries", 1, 50),
        ("next reader sees", "new", None),
    ]


def test_running_a_cell_twice_is_the_same_as_once() -> None:
    """A repeated guess is shown alike, replaces the first and keeps the result and the place."""
    shown = lab.predict("queries", ...)
    lab.predict("other", 2)
    lab.result("queries", 50, common=1)
    assert repr(lab.predict("queries", ...)) == repr(shown)
    assert lab.predict("queries", 40).guess == 40
    first, other = lab.guesses()
    assert (first.guess, first.result, other.name) == (40, 50, "other")


@pytest.mark.parametrize(
    ("typed", "taken"),
    [(20, 20), ("20", 20), (" 0.5 ", 0.5), (0, 0), (1e9, 1e9), ("1_000", 1000), (Decimal(3), 3)],
)
def test_numbers_are_taken_however_they_are_typed(typed: object, taken: float) -> None:
    """A number in quotes is a number."""
    prediction = lab.predict("queries", typed)
    assert (prediction.guess, prediction.answered) == (taken, True)


@pytest.mark.parametrize(
    ("typed", "taken"), [(0.3, 0.3), ("30%", 0.3), ("30 %", 0.3), ("0.3", 0.3), (1, 1), (0, 0)]
)
def test_a_share_may_be_typed_as_a_percentage(typed: object, taken: float) -> None:
    """Where a share is asked for, "30%" is 0.3."""
    prediction = lab.predict("hit rate", typed, share=True)
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
    """No traceback: there is no guess yet, and a line says why, once. It is printed,
    for most cells keep the prediction in a name.
    """
    prediction = lab.predict("queries", typed)
    assert capsys.readouterr().out == f"Your guess is not taken: {problem}.\n"
    assert repr(prediction) == "queries: no guess yet"
    assert not prediction.answered
    assert not lab.result("queries", 50, common=1).answered


def test_a_guess_of_more_than_there_are_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Of ten pages eleven can't finish."""
    assert lab.predict("pages that finish", 10, most=10).answered
    assert lab.predict("pages that finish", 11, most=10).guess == 10
    text = "Your guess is not taken: it takes a number from 0 to 10, not 11.\n"
    assert capsys.readouterr().out == text


def test_what_cannot_be_taken_leaves_the_guess_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A slip of the finger costs a line, and not the guess."""
    first = lab.predict("queries", 40)
    assert lab.predict("queries", "forty") == first
    assert capsys.readouterr().out.startswith("Your guess is not taken: ")
    lab.result("queries", 50, common=1)
    assert repr(lab.predict("queries", "forty")) == "queries: 40 (your guess)"
    assert [(p.guess, p.answered, p.result) for p in lab.guesses()] == [(40, True, 50)]
    assert not lab.predict("queries", ...).answered, "the dots are the reader's own"


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
    prediction = lab.predict("hit rate", typed, share=True)
    expected = f"Your guess is not taken: a share is from 0 to 1, {problem}.\n"
    assert capsys.readouterr().out == expected
    assert prediction.guess is None


def test_words_come_from_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    """A guess in words is one of the choices, in capitals or not; else a line lists them."""
    ask = partial(lab.predict, choices=("sees old", "sees new"))
    assert repr(ask("reader", " Sees old ")) == "reader: sees old (your guess)"
    assert repr(ask("other", 1)) == "other: no guess yet"
    line = "Your guess is not taken: choose 'sees old' or 'sees new', not 1.\n"
    assert capsys.readouterr().out == line


def test_a_skipped_question_has_a_result_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Who never ran its cell sees the result; guessing later keeps it."""
    lab.result("queries", 50, common=1)
    line = "queries: 50 · you made no guess · a common first guess, 1: 50 times too low\n"
    assert capsys.readouterr().out == line
    lab.predict("queries", 40)
    assert [(p.guess, p.result) for p in lab.guesses()] == [(40, 50)]


def test_charts_are_drawn_without_a_guess() -> None:
    """A guess that could not be taken, or is not made yet, keeps no chart from being drawn."""
    runs = {"off": {"hit": [1, 0], "failed": [0, 1]}}
    for guess in (lab.predict("not yet"), lab.predict("refused", "high")):
        chart = lab.charts.outcomes_over_time(runs, (1, 2), guess=guess)
        assert "guess" not in chart.text
    assert lab.charts.guesses(lab.guesses()).text == "guess → result, simulated: none yet"


def test_no_guess_yet_says_nothing_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """As long as nothing is typed, the question stands alone: nobody is led by another's guess."""
    assert repr(lab.predict("hit rate", ..., share=True)) == "hit rate: no guess yet"
    assert capsys.readouterr().out == ""
    assert "guess" not in lab.charts.hit_rate_by_ttl({1: 0.3}, {1: 0.3}, guess=None).text


@pytest.mark.parametrize(
    ("guess", "told"),
    [
        (..., "you made no guess · a common first guess, 0.02: 15 times too low"),
        (0.3, "your guess, 0.3: right · a common first guess, 0.02: 15 times too low"),
        (0.35, "your guess, 0.35: close, a little too high · a common first guess, 0.02: 15 times"),
        (0, "your guess, 0: too low · a common first guess, 0.02: 15 times too low"),
    ],
)
def test_each_guess_is_judged_beside_the_result(
    guess: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the result come the learner's guess and the common one, and how far off each was."""
    lab.predict("hit rate", guess, share=True)
    shown = lab.result("hit rate", 0.3, common=0.02)
    assert capsys.readouterr().out.startswith(f"hit rate: 0.3 · {told}")
    assert shown.guess == (0.02 if guess is ... else guess), "what the chart draws"
    assert shown.answered == (guess is not ...)


def test_words_are_right_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    """A guess in words is judged as well."""
    lab.predict("the next reader", "sees old", choices=("sees old", "sees new"))
    lab.result("the next reader", "sees old", common="sees new")
    expected = "sees old · your guess, sees old: right · a common first guess, sees new: not so\n"
    assert capsys.readouterr().out == f"the next reader: {expected}"


@pytest.mark.parametrize(
    ("common", "judged"), [(2, "too low"), (8, "on the right side"), (50, "on the right side")]
)
def test_what_differs_from_run_to_run_has_a_border(
    common: float, judged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stored text is alike in every run: which side. The chart gets the figure."""
    lab.predict("keys together", ..., unit="times")
    shown = lab.result("keys together", 11.73, common=common, border=5)
    line = f"over 5 times · you made no guess · a common first guess, {common} times: {judged}\n"
    assert capsys.readouterr().out == f"keys together: {line}"
    assert (shown.result, shown.side) == (11.73, "over 5 times")


def test_who_guesses_is_told_the_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """A learner's own run is compared with nothing: the exact figure is shown, and judged."""
    lab.predict("keys together", 4)
    lab.result("keys together", 11.73, common=50, border=5)
    line = (
        "11.7 · your guess, 4: 2.9 times too low · a common first guess, 50: 4.3 times too high\n"
    )
    assert capsys.readouterr().out == f"keys together: {line}"


def test_the_result_can_be_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A guess typed after the result takes the place of the common one; dots give it back."""
    lab.predict("queries", ...)
    lab.result("queries", 50, common=1)
    assert repr(lab.predict("queries", ...)) == "queries: no guess yet"
    assert [(p.guess, p.answered, p.result) for p in lab.guesses()] == [(1, False, 50)]
    lab.predict("queries", 40)
    assert lab.result("queries", 50, common=1).guess == 40
    lab.predict("queries", ...)
    assert lab.result("queries", 50, common=1).guess == 1
