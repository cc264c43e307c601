"""What all charts share: the picture with its line of text, colours, titles, labels, guesses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any, Literal, ParamSpec, Protocol

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
Source = Literal["simulated", "real"]

# One meaning, one colour, in every chart. Orange is work for the database, so a miss and the load
# that it starts share it. Colours that meet in a chart differ in lightness too: colour-blind readers.
HIT = FRESH = OURS = "#0072B2"
MISS = LOAD = "#E69F00"
WAIT = "#C5D9E8"
STALE = "#CC79A7"
FAILED = "#A6192E"
GUESS = "#767676"
INK = "#222222"  # text, theory, and the naive version
QUIET = "#5F5F5F"  # what is only there for comparison

_STYLE: Any = [
    "default",  # not the reader's own matplotlibrc: a chart looks the same everywhere
    {
        "font.size": 11,
        "axes.titlesize": 11,
        "axes.labelsize": 11,
        "xtick.labelsize": 10.5,
        "ytick.labelsize": 10.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": "#8A8A8A",
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "hatch.linewidth": 1.4,
        "savefig.dpi": 100,
    },
]
_HEADER = 54  # pixels above the axes, for the title and the line under it


@dataclass(frozen=True, eq=False, repr=False)
class Chart:
    """A drawn figure, and its main figures as one line of text.

    Notebooks show the picture and compare the line; pages and slides use the line as alt text.
    """

    figure: Figure
    text: str

    def png(self) -> bytes:
        """Return the picture, 100 dots an inch; the same bytes every time."""
        with matplotlib.style.context(_STYLE), BytesIO() as file:
            self.figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
            return file.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"image/png": self.png(), "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


class Guess(Protocol):
    """A prediction: what was guessed, and by the learner or as a common first guess."""

    @property
    def guess(self) -> float | str | None: ...

    @property
    def answered(self) -> bool: ...

    @property
    def unit(self) -> str: ...


def styled(draw: Callable[P, Chart]) -> Callable[P, Chart]:
    """Draw in the course's style, whatever the reader has set."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Chart:
        with matplotlib.style.context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def canvas(
    title: str,
    what: str,
    source: Source,
    *,
    rows: int = 1,
    columns: int = 1,
    height: float = 3.2,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of 8 inches by *height*, with a title and *rows* × *columns* axes.

    The line under the title says *what* is drawn, and whether it was simulated or is real.
    """
    if source not in ("simulated", "real"):
        raise ValueError(f'source must be "simulated" or "real", not {source!r}')
    figure = Figure(figsize=(8, height), layout="constrained")
    pixel = 1 / (height * 100)
    figure.get_layout_engine().set(rect=(0.005, 0, 0.985, 1 - _HEADER * pixel))  # type: ignore[union-attr, call-arg]
    head = figure.text(0.012, 1 - 7 * pixel, title, va="top", size=14, weight="bold")
    figure.text(0.012, 1 - 31 * pixel, f"{source}: {what}", va="top", color=QUIET)
    while head.get_window_extent().width > 775:  # a long name in it
        head.set_fontsize(float(head.get_fontsize()) - 0.5)
    grid = figure.subplots(rows, columns, sharex=rows > 1, sharey=columns > 1, squeeze=False)
    return figure, list(grid.flat)


def number(value: float) -> str:
    """Write a number for people: 7,260 and 0.05, not 7260.0 and 0.0500001."""
    if abs(value) >= 1e7:
        text = f"{value:.2g}"
    elif abs(value) >= 100 or value == round(value):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
    return text.replace("-", "−")


def percent(share: float) -> str:
    """Write a share as a whole percentage, or what is left of one."""
    return f"{number(100 * share) if 0 < share < 0.01 else round(100 * share)} %"


def ms(seconds: float) -> str:
    """Write seconds as milliseconds."""
    return f"{number(float(f'{seconds * 1000:.2g}'))} ms"


def numbers(
    name: str, values: Iterable[float], *, low: float = -math.inf, high: float = math.inf
) -> list[float]:
    """Return the values, or say which one can't be drawn."""
    result = []
    for position, value in enumerate(values):
        try:
            good = low <= value <= high and math.isfinite(value)
        except TypeError:
            raise TypeError(f"{name}[{position}] must be a number, not {value!r}") from None
        if not good:
            between = f" between {low:g} and {high:g}" if high < math.inf else ""
            between = between or (f" of at least {low:g}" if low > -math.inf else "")
            raise ValueError(f"{name}[{position}] must be a number{between}, not {value!r}")
        result.append(float(value))
    if not result:
        raise ValueError(f"{name} is empty: nothing to draw")
    return result


def guessed(guess: float | Guess | None, unit: str = "") -> tuple[float, str] | None:
    """Return the guess and its label; None for no guess, or for words, which no axis can show."""
    answered = True
    if isinstance(guess, int | float):
        value: float | str | None = guess
    elif guess is not None:
        value, answered, unit = guess.guess, guess.answered, guess.unit or unit
    else:
        value = None
    if value is None or isinstance(value, str):
        return None
    if math.isnan(value):
        raise ValueError("the guess must be a number, not nan")
    label = "your guess" if answered else "a common first guess"
    return float(value), f"{label}: {number(value)} {unit}".rstrip()


def pinned(value: float, low: float, high: float) -> tuple[float, str]:
    """Return where to draw a value on an axis from low to high, and an arrow if it is outside."""
    if value > high:
        return high, " ↑"
    return (low, " ↓") if value < low else (value, "")


def room(top: float, guess: tuple[float, str] | None) -> float:
    """Return the upper end of an axis: the guess fits too, unless it would squeeze the data."""
    if guess and top < guess[0] <= 2 * top:
        top = guess[0]
    return 1.12 * top if top > 0 else 1.0


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Move centres apart, as little as needed, so that things of these sizes don't overlap."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = list(wanted)
    for before, this in zip([None, *order], order, strict=False):
        floor = low if before is None else places[before] + (sizes[before] + sizes[this]) / 2
        places[this] = max(places[this], floor)
    for after, this in zip([None, *reversed(order)], reversed(order), strict=False):
        ceiling = high if after is None else places[after] - (sizes[after] + sizes[this]) / 2
        places[this] = min(places[this], ceiling)
    return places


def margin_labels(ax: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write (y, text, colour) beside the right edge, each at its height, none over another."""
    figure = ax.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]  # so that the height of the axes is known
    line = 18 / ax.bbox.height
    low, high = ax.get_ylim()
    heights = [(y - low) / (high - low) for y, _, _ in labels]
    sizes = [line * (1 + text.count("\n")) for _, text, _ in labels]
    for (_, text, colour), start, end in zip(
        labels, heights, spread(heights, sizes, 0, 1), strict=True
    ):
        ax.annotate(
            text,
            (1, start),
            (1.035, end),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8,
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def guess_across(
    axes: Sequence[Axes], guess: tuple[float, str] | None
) -> list[tuple[float, str, str]]:
    """Draw a guess as a dashed line across the axes; return its label for the margin."""
    if guess is None:
        return []
    low, high = axes[0].get_ylim()
    y, arrow = pinned(guess[0], low, high)
    for ax in axes:
        ax.axhline(y, color=GUESS, linestyle="--", linewidth=1.6, clip_on=False)
    return [(y, two_lines(guess[1]) + arrow, GUESS)]


def two_lines(label: str) -> str:
    """Break the longer of the two names of a guess, to fit beside the axes."""
    return label.replace("common first", "common\nfirst")
