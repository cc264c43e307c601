"""The chart of a page that expires in front of ever more instances."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from cachepool_lib.lab.charts.canvas import (
    GUESS,
    INK,
    LOAD,
    OURS,
    QUIET,
    STALE,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    number,
    numbers,
    styled,
)
from cachepool_lib.lab.charts.labels import guess_box, guessed, margin_labels, note, plain_numbers

COLOURS = (INK, LOAD, OURS, STALE)


class Fleet(Protocol):
    """One run: how many instances, loads, and the seconds of the slowest visit."""

    @property
    def instances(self) -> int: ...

    @property
    def loads(self) -> int: ...

    @property
    def longest(self) -> float: ...


@styled
def loads_by_instances(
    runs: Mapping[str, Sequence[Fleet]],
    *,
    mark: int = 1_000,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the loads and the longest wait (seconds) of each strategy over the number of instances.

    All axes are logarithmic: what grows with the instances has slope 1 there, what does not has
    slope 0. Dots beyond *mark* instances are hollow. The guess is for the loads of the first
    strategy at *mark*.
    """
    if not 2 <= len(runs) <= len(COLOURS):
        raise ValueError(f"runs must have from 2 to {len(COLOURS)} strategies, not {len(runs)}")
    counts = [one.instances for one in next(iter(runs.values()))]
    for name, row in runs.items():
        if [one.instances for one in row] != counts or mark not in counts:
            raise ValueError(
                f"{name} must have been run with {counts} instances, {mark} among them"
            )
    loads = {
        name: numbers(f"loads of {name}", [r.loads for r in row], 1) for name, row in runs.items()
    }
    waits = {
        name: numbers(f"wait of {name}", [r.longest for r in row], 1e-9)
        for name, row in runs.items()
    }
    first, *_, last = runs
    title = f"{number(counts[-1])} instances: {number(loads[first][-1])} loads with {first}"
    title += f", {number(loads[last][-1])} with {last}"
    what = "one page expires; above: loads; beneath: how long the slowest visit waits"
    figure, axes = canvas(title, what, source, rows=2, height=5.2)
    for ax, values, floor in ((axes[0], loads, 0.6), (axes[1], waits, 0.0005)):
        top = max(max(row) for row in values.values())
        ax.set(xscale="log", yscale="log", xlim=(counts[0] / 1.3, counts[-1] * 1.3))
        ax.set_ylim(floor, 3 * top)
        plain_numbers(ax.yaxis)
        ax.yaxis.set_minor_locator(NullLocator())
        _lines(ax, counts, values, mark)
    axes[0].set_ylabel("loads")
    axes[1].set(ylabel="longest wait (s)", xlabel="number of instances (log scale)")
    axes[1].set_xticks(counts, [number(count) for count in counts])
    axes[1].xaxis.set_minor_locator(NullLocator())
    _slopes(axes[0], counts)
    told = guessed(guess)
    if told:
        low, high = axes[0].get_ylim()
        y = min(max(told.value, low * 1.1), high / 1.1)
        axes[0].plot(mark, y, "D", markersize=9, mfc="white", mec=GUESS, mew=1.6, zorder=4)
        # Between the lines, where there is room, and tied to its place.
        tie: Any = {"arrowprops": {"arrowstyle": "-", "color": GUESS, "shrinkB": 6}}
        tie |= {"textcoords": axes[0].get_xaxis_transform(), "ha": "right", "va": "center"}
        guess_box(axes[0], told.label, (mark, y), xytext=(mark / 1.15, 0.33), **tie)
    at = counts.index(mark)
    text = ", ".join(
        f"{name} {number(loads[name][at])} and {number(loads[name][-1])}" for name in runs
    )
    slowest = ", ".join(f"{name} {number(float(f'{waits[name][at]:.2g}'))} s" for name in runs)
    sizes = f"{number(mark)} and {number(counts[-1])} instances"
    return finished(
        figure,
        f"loads at {sizes}, {source}: {text}; longest wait at {number(mark)}: {slowest}",
        told,
    )


def _lines(ax: Axes, counts: list[int], values: Mapping[str, list[float]], mark: int) -> None:
    labels = []
    drawn: list[list[float]] = []
    for (name, row), colour in zip(values.items(), COLOURS, strict=False):
        dash = "--" if row in drawn else "-"  # one line over another: both are seen
        drawn.append(row)
        ax.plot(counts, row, dash, color=colour, lw=2.4, zorder=2.5)
        for count, value in zip(counts, row, strict=True):
            face = colour if count <= mark else "white"
            ax.plot(count, value, "o", color=colour, mfc=face, mew=1.8, markersize=7, zorder=3)
        labels.append((row[-1], name, colour))
    margin_labels(ax, labels)


def _slopes(ax: Axes, counts: list[int]) -> None:
    """What would grow as the instances do, and what would not, for comparison."""
    ends = [counts[0], counts[-1]]
    for ys, x, y, side, text in (
        ([3 * end for end in ends], ends[0], 0.86, "left", "slope 1: as the instances grow"),
        ([3, 3], ends[1], 0.24, "right", "slope 0: as many as ever"),
    ):
        ax.plot(ends, ys, ":", color=QUIET, lw=1.2)
        at: Any = {"xycoords": ("data", "axes fraction"), "color": QUIET, "va": "center"}
        note(ax, text, (x, y), (0, 0), ha=side, **at)
