"""What all charts share: the picture with its line of text, colours, titles, labels, guesses."""

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, get_args

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter

P = ParamSpec("P")
Source = Literal["simulated", "real", "theory"]

# One meaning, one colour, in every chart. Orange is work for the database, so a miss and the load
# that it starts share it. Colours that meet in a chart differ in lightness too, for readers who
# don't tell red from green.
HIT = FRESH = OURS = "#0072B2"
MISS = LOAD = "#E69F00"
WAIT = "#C5D9E8"
STALE = "#CC79A7"
FAILED = "#A6192E"
GUESS = "#6E6E6E"
INK = "#222222"  # text, theory, and the naive version
QUIET = "#5F5F5F"  # what is there for comparison
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 2}  # behind text that lines may cross

_STYLE: Any = [
    "default",  # not the reader's own settings: a chart looks the same everywhere
    {
        "font.size": 11,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.edgecolor": "#8A8A8A",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "lines.linewidth": 1.6,
        "hatch.linewidth": 1.4,
    },
]
_HEADER = 54  # pixels above the axes, for the title and the line under it
_LINE = 18  # pixels from one line of text to the next


@dataclass(frozen=True, eq=False, repr=False)
class Chart:
    """A drawn figure, and its main figures as one line of text.

    A notebook shows the picture and compares the line; pages and slides have the line as alt text.
    """

    figure: Figure
    text: str

    def png(self) -> bytes:
        """Return the picture, 100 dots an inch; the same bytes every time."""
        with matplotlib.style.context(_STYLE), BytesIO() as file:
            self.figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
            return file.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/png": b64encode(self.png()).decode(), "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


class Guess(Protocol):
    """A prediction: what was guessed, and by the learner or as a common first guess."""

    @property
    def guess(self) -> float | str | None: ...

    @property
    def unit(self) -> str: ...

    @property
    def answered(self) -> bool: ...


class Told(NamedTuple):
    """A guess that can be drawn, and what to call it."""

    value: float
    label: str


def styled(draw: Callable[P, Chart]) -> Callable[P, Chart]:
    """Draw in the course's style, whatever the reader has set."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Chart:
        with matplotlib.style.context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def canvas(
    title: str, what: str, source: Source, *, rows: int = 1, columns: int = 1, height: float = 3.2
) -> tuple[Figure, list[Axes]]:
    """Return a figure of 8 inches by *height*, with a title and *rows* × *columns* axes.

    The line under the title says *what* is drawn, and whether it is simulated, real, or theory.
    """
    if source not in get_args(Source):
        raise ValueError(f'source must be "simulated", "real" or "theory", not {source!r}')
    figure = Figure(figsize=(8, height), layout="constrained")
    pixel = 1 / (height * 100)
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0.005, 0, 0.985, 1 - _HEADER * pixel), wspace=0.08)
    head = figure.text(0.012, 1 - 7 * pixel, title, va="top", size=14, weight="bold")
    size = 14.0
    while head.get_window_extent().width > 775:  # a long name in it
        size -= 0.5
        head.set_fontsize(size)
    figure.text(0.012, 1 - 31 * pixel, f"{source}: {what}", va="top", color=QUIET)
    grid = figure.subplots(rows, columns, sharex="col", sharey="row", squeeze=False)
    return figure, list(grid.flat)


def finished(figure: Figure, text: str, told: Told | None = None) -> Chart:
    """Return the chart, everything in its place; its line of text ends with the guess."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it would move things a little with every further drawing
    return Chart(figure, f"{text}; {told.label}" if told else text)


# Numbers


def number(value: float) -> str:
    """Write a number for people: 7,260 and 0.05, not 7260.0 and 0.0500001."""
    if math.isinf(value) or abs(value) >= 1e7 or 0 < abs(value) < 1e-4:
        text = f"{value:.2g}"
    elif abs(value) >= 100 or value == round(value):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
    return text.replace("-", "−")


def percent(share: float) -> str:
    """Write a share as a percentage, a whole one from 1 % to 100 %."""
    return f"{round(100 * share) if 0.01 <= share <= 1 else number(100 * share)} %"


def duration(seconds: float) -> str:
    """Write seconds with their unit."""
    return f"{number(seconds)} s"


def numbers(
    name: str, values: Iterable[float], low: float = -math.inf, high: float = math.inf
) -> list[float]:
    """Return the values, or say which of them can't be drawn."""
    result = []
    for position, value in enumerate(values):
        try:
            good = low <= value <= high and math.isfinite(value)
        except TypeError:
            raise TypeError(f"{name}[{position}] must be a number, not {value!r}") from None
        if not good:
            between = f" from {low:g} to {high:g}" if high < math.inf else ""
            between = between or (f", {low:g} or more" if low > -math.inf else "")
            raise ValueError(f"{name}[{position}] must be a number{between}, not {value!r}")
        result.append(float(value))
    if not result:
        raise ValueError(f"{name} is empty: nothing to draw")
    return result


# Text beside what it names


def note(
    ax: Axes, text: str, at: tuple[float, float], by: tuple[float, float], **style: Any
) -> Annotation:
    """Write text at a place in the data, moved by some points."""
    return ax.annotate(text, at, by, textcoords="offset points", **style)


def named_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows 0, 1, 2 … of the axes, the first on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)


def plain_numbers(axis: Axis) -> None:
    """Write 10,000 and 0.1 along an axis, not powers of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Move centres as little as needed: things of these sizes don't overlap from low to high."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = list(wanted)
    edge = low
    for i in order:
        places[i] = max(places[i], edge + sizes[i] / 2)
        edge = places[i] + sizes[i] / 2
    edge = high
    for i in reversed(order):
        places[i] = min(places[i], edge - sizes[i] / 2)
        edge = places[i] - sizes[i] / 2
    return places


def _heights(ax: Axes, labels: Sequence[tuple[float, str, str]]) -> tuple[list[float], list[float]]:
    """Return the heights of (y, text, colour) in the axes, and where text fits beside them."""
    figure: Any = ax.figure
    figure.draw_without_rendering()  # the height of the axes is known after that
    to_axes, left = ax.transData - ax.transAxes, ax.get_xlim()[0]  # a log scale has its own heights
    heights = [float(to_axes.transform((left, y))[1]) for y, _, _ in labels]
    sizes = [(1 + text.count("\n")) * _LINE / ax.bbox.height for _, text, _ in labels]
    return heights, spread(heights, sizes, 0, 1)


def column(ax: Axes, x: float, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write (y, text, colour) right of the upright at *x*, or left of one near the end."""
    _, places = _heights(ax, labels)
    right = ax.transData.transform((x, 0))[0] < ax.bbox.x1 - 50
    style: Any = {"ha": "left" if right else "right", "va": "center", "bbox": WHITE}
    for (_, text, colour), place in zip(labels, places, strict=True):
        at: Any = {"xycoords": ax.get_xaxis_transform(), "color": colour, "weight": "bold"}
        note(ax, text, (x, place), (9 if right else -9, 0), **style, **at)


def margin_labels(ax: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write (y, text, colour) beside the right edge, each at its height, none over another."""
    heights, places = _heights(ax, labels)
    for (_, text, colour), height, place in zip(labels, heights, places, strict=True):
        ax.annotate(
            text,
            (1, height),
            (1.035, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "relpos": (0, 0.5), "shrinkB": 0},
        )


# Guesses


def guessed(
    guess: float | Guess | None, unit: str = "", write: Callable[[float], str] = number
) -> Told | None:
    """Return the guess and its label; None for no guess, or for words, which no axis can show."""
    value: float | str | None
    if guess is None or isinstance(guess, int | float):
        value, answered = guess, True
    else:
        value, answered, unit = guess.guess, guess.answered, guess.unit or unit
    if value is None or isinstance(value, str):
        return None
    if math.isnan(value):
        raise ValueError("the guess must be a number, not nan")
    label = "your guess" if answered else "a common first guess"
    return Told(float(value), f"{label}: {write(value)} {unit}".rstrip())


def two_lines(label: str) -> str:
    """Break the longer one of the labels of guesses, to fit beside something."""
    return label.replace("common first", "common\nfirst")


def room(top: float, told: Told | None) -> float:
    """Return the upper end of an axis: the guess fits too, unless it would squeeze the data."""
    if told and top < told.value <= 2 * top:
        top = told.value
    return 1.12 * top if top > 0 else 1.0


def pinned(value: float, low: float, high: float, arrows: str = "↓↑") -> tuple[float, str]:
    """Return where to draw a value on an axis from low to high, and an arrow if it is outside."""
    if value > high:
        return high, f" {arrows[1]}"
    return (low, f" {arrows[0]}") if value < low else (value, "")


def guess_box(ax: Axes, text: str, at: tuple[float, float], **style: Any) -> None:
    """Write a guess that has no place on an axis, in a dashed box."""
    box = {"boxstyle": "round,pad=0.3", "fc": "white", "ec": GUESS, "linestyle": "--"}
    ax.annotate(text, at, color=GUESS, bbox=box, annotation_clip=False, **style)


def guess_across(axes: Sequence[Axes], told: Told | None) -> list[tuple[float, str, str]]:
    """Draw a guess as a dashed line across the axes; return its label for the margin."""
    if told is None:
        return []
    y, arrow = pinned(told.value, *axes[0].get_ylim())
    for ax in axes:
        for colour, width, dash in (("white", 3.4, "-"), (GUESS, 1.6, "--")):  # to be seen on areas
            ax.axhline(y, color=colour, lw=width, ls=dash, clip_on=False, zorder=1.5)
    return [(y, two_lines(told.label) + arrow, GUESS)]


def guess_upright(ax: Axes, x: float, top: float, told: Told, arrow: str) -> None:
    """Draw a guess as a dashed upright from *top* to its label at the bottom of the axes."""
    bottom = ax.get_ylim()[0]
    ax.plot([x, x], [top, bottom], "--", color=GUESS, zorder=2.5)
    left = ax.transData.transform((x, 0))[0] < ax.bbox.x0 + ax.bbox.width / 2
    by = (6, 4) if left else (-6, 4)
    note(ax, told.label + arrow, (x, bottom), by, ha="left" if left else "right", color=GUESS)
