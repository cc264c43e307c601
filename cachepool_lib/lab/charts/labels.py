"""Text beside what it names, and none over another; and guesses, drawn over what came."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter

from cachepool_lib.lab.charts.canvas import GUESS, WHITE, Guess, Told, number

_LINE = 18  # pixels from one line of text to the next


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
