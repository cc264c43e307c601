"""Guesses made before an experiment, and what came: kept by name for the charts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import EllipsisType

Answer = float | str


@dataclass(frozen=True, repr=False)
class Prediction:
    """A guess by name. *answered* is False while it is the common first guess that stands in.

    *result* is what the experiment gave, None until result() says so.
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
        result = "" if self.result is None else f" → {self.show(self.result)}"
        return f"{self.name}: {self.show(self.guess)} ({self.label}){result}"


_book: dict[str, Prediction] = {}  # in the order of the first predict()


def predict(
    name: str,
    guess: Answer | EllipsisType = ...,
    *,
    common: Answer | None = None,
    unit: str = "",
) -> Prediction:
    """Note your *guess* for the experiment called *name*.

    As long as it is `...`, the *common* first guess stands in for it, drawn in grey.
    Guessing again replaces the guess.
    """
    if isinstance(guess, EllipsisType):
        prediction = Prediction(name, common, unit, answered=False)
    else:
        prediction = Prediction(name, guess, unit)
    if name in _book:
        prediction = replace(prediction, result=_book[name].result)
    _book[name] = prediction
    return replace(prediction, result=None)


def result(name: str, value: Answer) -> Prediction:
    """Note what came of the experiment called *name*, and show both. A KeyError without a guess."""
    if name not in _book:
        known = ", ".join(map(repr, _book)) or "none yet"
        raise KeyError(f"no prediction is called {name!r}; there are: {known}")
    _book[name] = replace(_book[name], result=value)
    return _book[name]


def guesses() -> Sequence[Prediction]:
    """All predictions with their results so far, in the order in which they were made."""
    return tuple(_book.values())
