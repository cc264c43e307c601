"""Promises of predict(), result() and guesses()."""

from collections.abc import Iterator

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
    lab.predict("next reader sees", "new")
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


def test_a_result_needs_a_guess() -> None:
    """A misspelled name is an error that lists the names."""
    lab.predict("queries", 1)
    with pytest.raises(KeyError, match="no prediction is called 'query'; there are: 'queries'"):
        lab.result("query", 50)
