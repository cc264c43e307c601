"""Guesses made before an experiment, and what came: kept by name for the charts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from reprlib import repr as shortened
from typing import Any

Answer = float | str


@dataclass(frozen=True, repr=False)
class Prediction:
    """A guess by name. *answered* is False while it is the common first guess that stands in.

    *result* is what the experiment gave, None until result() says so. A skipped question has a
    result and no guess.
    """

    name: str
    guess: Answer | None
    unit: str = ""
    answered: bool = True
    result: Answer | None = None

    @property
    def label(self) -> str:
        """Whose guess it is: what charts write beside it."""
        return "your guess" if self.answered else "a common first guess"

    def show(self, answer: Answer | None) -> str:
        """*answer* with its unit; what is no whole number in three significant digits."""
        if answer is None:
            return "none"
        text = str(answer)
        if not isinstance(answer, str):
            text = f"{answer if float(answer).is_integer() else float(f'{answer:.3g}'):,.10g}"
        return f"{text} {self.unit}".rstrip()

    def __repr__(self) -> str:
        guess = "no guess" if self.guess is None else f"{self.show(self.guess)} ({self.label})"
        result = "" if self.result is None else f" → {self.show(self.result)}"
        return f"{self.name}: {guess}{result}"


_book: dict[str, Prediction] = {}  # in the order of the first predict()


def predict(
    name: str,
    guess: object = ...,
    *,
    common: Answer | None = None,
    unit: str = "",
    share: bool = False,
    most: float = math.inf,
    choices: Sequence[str] = (),
) -> Prediction:
    """Note your *guess* for the experiment called *name*: a number from 0 to *most*.

    A *share* is a number from 0 to 1, or "30%". Where there are *choices*, it is one of them.
    Numbers in quotes are taken as well. As long as the guess is `...`, the *common* first guess
    stands in for it, drawn in grey. Guessing again replaces the guess; for what can't be taken a
    line says why, and the guess before it stays.
    """
    prediction, before = Prediction(name, common, unit, answered=False), _book.get(name)
    if guess is not ...:
        taken = _one_of(choices, guess) if choices else _number(guess, share, most)
        if taken is not None:
            prediction = Prediction(name, taken, unit)
        else:
            print(f"Your guess is not taken: {_problem(guess, share, most, choices)}.")
            if before is not None and before.answered:
                prediction = replace(before, result=None)
    _book[name] = replace(prediction, result=before.result if before else None)
    return prediction


def _one_of(choices: Sequence[str], guess: object) -> str | None:
    """Return the choice that *guess* spells, in capitals or not."""
    words = str(guess).strip().casefold()
    return next((choice for choice in choices if choice.casefold() == words), None)


def _number(guess: object, share: bool, most: float = math.inf) -> float | None:
    """Return *guess* as a number that it can be, else None."""
    typed: Any = guess.strip() if isinstance(guess, str) else guess
    try:
        if share and isinstance(typed, str) and typed.endswith("%"):
            number = float(typed[:-1]) / 100
        else:
            number = float(typed)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= (1 if share else most) else None  # never NaN


def _problem(guess: object, share: bool, most: float, choices: Sequence[str]) -> str:
    typed = shortened(guess)
    if choices:
        return f"choose {' or '.join(map(repr, choices))}, not {typed}"
    if not share:
        numbers = f"from 0 to {most:g}" if most < math.inf else "of 0 or more"
        return f"it takes a number {numbers}, not {typed}"
    text = f"a share is from 0 to 1, not {typed}"
    number = _number(guess, share=False)
    return text if number is None or number > 100 else f"{text} (did you mean {number / 100:g}?)"


def result(name: str, value: Answer) -> Prediction:
    """Note what came of the experiment called *name*, and give both: for a chart's *guess*.

    Without a guess it says that the question was skipped; the chart is then drawn without one.
    """
    if name not in _book:
        _book[name] = Prediction(name, None, answered=False)
    if _book[name].guess is None:
        print(f"You skipped the question {name!r}: here is the result, without a guess.")
    _book[name] = replace(_book[name], result=value)
    return _book[name]


def guesses() -> Sequence[Prediction]:
    """All predictions with their results so far, in the order in which they were made."""
    return tuple(_book.values())
