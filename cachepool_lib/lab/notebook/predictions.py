"""Guesses made before an experiment, and what came: kept by name for the charts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from reprlib import repr as shortened
from typing import Any

Answer = float | str


@dataclass(frozen=True, repr=False)
class Prediction:
    """A guess by name, and what came.

    *answered* is False as long as the learner typed none: then *guess* is None, or from result() on
    the *common* first guess, which stands in. *result* is what the experiment gave, None until
    result() says so; where it differs from run to run, the text only says on which side of *border*
    it is.
    """

    name: str
    guess: Answer | None
    unit: str = ""
    answered: bool = True
    result: Answer | None = None
    common: Answer | None = None
    border: float | None = None

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

    @property
    def side(self) -> str | None:
        """ "over 3": all that is said of a result with a border, unless somebody typed a guess."""
        if self.border is None or self.answered or not isinstance(self.result, int | float):
            return None
        return f"{'over' if self.result > self.border else 'under'} {self.show(self.border)}"

    @property
    def came(self) -> str:
        """The result as text, with its unit."""
        return self.side or self.show(self.result)

    def judged(self, guess: Answer) -> str:
        """How far *guess* is from the result."""
        if isinstance(guess, str) or isinstance(self.result, str) or self.result is None:
            return "right" if guess == self.result else "not so"
        if self.border is not None and self.side:
            if (guess > self.border) == (self.result > self.border):
                return "on the right side"
            return "too low" if guess < self.result else "too high"
        way = "too low" if guess < self.result else "too high"
        if not guess or not self.result:
            return "right" if guess == self.result else way
        times = max(guess, self.result) / min(guess, self.result)
        if times <= 1.05:
            return "right"
        return (
            f"{float(f'{times:.2g}'):,g} times {way}" if times > 1.5 else f"close, a little {way}"
        )

    @property
    def verdict(self) -> str:
        """What came, then the learner's guess and the common one, each judged."""
        told = [f"{self.name}: {self.came}"]
        if self.answered and self.guess is not None:
            told.append(f"your guess, {self.show(self.guess)}: {self.judged(self.guess)}")
        else:
            told.append("you made no guess")
        if self.common is not None:
            judged = self.judged(self.common)
            told.append(f"a common first guess, {self.show(self.common)}: {judged}")
        return " · ".join(told)

    def __repr__(self) -> str:
        if self.guess is None:
            guess = "no guess yet" if self.result is None else "no guess"
        else:
            guess = f"{self.show(self.guess)} ({self.label})"
        return f"{self.name}: {guess}" + ("" if self.result is None else f" → {self.came}")


_book: dict[str, Prediction] = {}  # in the order of the first predict()


def predict(
    name: str,
    guess: object = ...,
    *,
    unit: str = "",
    share: bool = False,
    most: float = math.inf,
    choices: Sequence[str] = (),
) -> Prediction:
    """Note your *guess* for the experiment called *name*: a number from 0 to *most*.

    A *share* is a number from 0 to 1, or "30%". Where there are *choices*, it is one of them.
    Numbers in quotes are taken as well. As long as the guess is `...`, there is none yet. Guessing
    again replaces the guess; for what can't be taken a line says why, and the guess before stays.
    """
    prediction, before = Prediction(name, None, unit, answered=False), _book.get(name)
    if guess is not ...:
        taken = _one_of(choices, guess) if choices else _number(guess, share, most)
        if taken is not None:
            prediction = Prediction(name, taken, unit)
        else:
            print(f"Your guess is not taken: {_problem(guess, share, most, choices)}.")
            if before is not None and before.answered:
                prediction = Prediction(name, before.guess, unit)
    kept = prediction
    if before is not None:
        kept = replace(kept, result=before.result, common=before.common, border=before.border)
        if kept.guess is None:
            kept = replace(kept, guess=kept.common)
    _book[name] = kept
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


def result(name: str, value: Answer, *, common: Answer, border: float | None = None) -> Prediction:
    """Note what came of the experiment called *name*; return guess and result, for a chart.

    Prints the learner's guess, the *common* first one and what came, each guess judged. Where no
    guess was typed, the common one is what the chart draws. A *value* that differs from run to run
    has a *border*: without a guess the text says "over 3" or "under 3", the chart draws the figure.
    """
    before = _book.get(name, Prediction(name, None, answered=False))
    guess = before.guess if before.answered else common
    _book[name] = replace(before, guess=guess, result=value, common=common, border=border)
    print(_book[name].verdict)
    return _book[name]


def guesses() -> Sequence[Prediction]:
    """All predictions with their results so far, in the order in which they were made."""
    return tuple(_book.values())
