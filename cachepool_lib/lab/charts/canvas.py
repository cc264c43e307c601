"""What all charts share: the picture with its line of text, colours, and numbers for people."""

import math
import os
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, get_args

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cachepool_lib.lab.environment import DPI

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


def dots() -> float:
    """How many an inch of a chart has: what the variable says, or 100. Raises ValueError."""
    value = os.environ.get(DPI) or "100"
    try:
        number = float(value)
    except ValueError:
        number = 0
    if not 20 <= number <= 2000:
        raise ValueError(f"{DPI} is {value}: expected dots an inch, 20 to 2000; or unset it")
    return number


@dataclass(frozen=True, eq=False, repr=False)
class Chart:
    """A drawn figure, and its main figures as one line of text.

    A notebook shows the picture and compares the line; pages and slides have the line as alt text.
    """

    figure: Figure
    text: str

    def png(self) -> bytes:
        """Return the picture, 100 dots an inch if not told otherwise; the same bytes every time."""
        with matplotlib.style.context(_STYLE), BytesIO() as file:
            self.figure.savefig(file, format="png", dpi=dots(), metadata={"Software": None})
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


def two_figures(value: float) -> str:
    """Write two figures: enough for what differs from run to run."""
    return number(float(f"{value:.2g}"))


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
