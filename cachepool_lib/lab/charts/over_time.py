"""Charts over time: loads a second, and what visitors got."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    FRESH,
    INK,
    LOAD,
    STALE,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    number,
    numbers,
    percent,
    styled,
)
from cachepool_lib.lab.charts.labels import (
    guess_across,
    guess_box,
    guessed,
    margin_labels,
    note,
    room,
)


@styled
def loads_per_second(
    loads: Mapping[str, Sequence[float]],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the loads in each second, a panel for each name. The guess is for the first's peak."""
    if not loads:
        raise ValueError("loads is empty: nothing to draw")
    counts = {name: numbers(f"loads of {name}", values, low=0) for name, values in loads.items()}
    peaks = {name: max(values) for name, values in counts.items()}
    first, *others = peaks.values()
    title = f"The peak is {number(first)} loads a second"
    if others and min(others) < first:
        best = min(peaks, key=lambda name: peaks[name])
        title = f"The peak falls from {number(first)} to {number(peaks[best])} loads a second"
    what = "queries that reach the database in each second"
    figure, axes = canvas(title, what, source, columns=len(counts))
    told = guessed(guess)
    axes[0].set(ylim=(0, 1.08 * room(max(peaks.values()), told)), ylabel="loads per second")
    for ax, (name, values) in zip(axes, counts.items(), strict=True):
        ax.stairs(values, range(len(values) + 1), fill=True, color=LOAD)
        ax.set(title=name, xlim=(0, len(values)), xlabel="time (seconds)")
        ax.locator_params("x", nbins=5)
        at = (values.index(peaks[name]) + 0.5, peaks[name])
        ax.plot(*at, "o", color=INK, markersize=6)
        note(ax, number(peaks[name]), at, (0, 5), ha="center", size=15, weight="bold")
    margin_labels(axes[-1], guess_across(axes, told))
    text = ", ".join(f"{name} {number(peak)}" for name, peak in peaks.items())
    return finished(figure, f"peak of loads per second, {source}: {text}", told)


@styled
def outcomes_over_time(
    runs: Mapping[str, Mapping[str, Sequence[float]]],
    outage: tuple[float, float],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw how many visits a second got a fresh page, a stale one or none, a panel for each run.

    A run has a count for each second under each outcome: "stale", "failed", and "hit", "miss" and
    "shared", which are fresh. *outage* is when the database was down, in seconds. The guess is the
    share (0 to 1) of visits that failed meanwhile, in the first run.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    start, end = numbers("outage", outage, low=0)
    if end <= start:
        raise ValueError(f"the outage must end after {start:g} s, not at {end:g} s")
    layers = {name: _layers(name, run) for name, run in runs.items()}
    failed = {}
    for name, layer in layers.items():
        counts = {outcome: sum(values[int(start) : int(end)]) for outcome, values in layer.items()}
        failed[name] = counts["failed"] / (sum(counts.values()) or 1)
    before, *_, after = [*failed.values()] * 2
    title = f"While the database is down, {percent(before)} of visits fail"
    if after < before:
        title += f", then {percent(after)}"
    what = "visits a second, by what the visitor got"
    figure, axes = canvas(title, what, source, columns=len(layers))
    top = max(max(map(sum, zip(*layer.values(), strict=True))) for layer in layers.values()) or 1
    told = guessed(guess, write=percent)
    roof = 1.64 if told else 1.38
    axes[0].set(ylim=(0, roof * top), ylabel="visits per second")
    x, side = (start + end) / 2, "center"
    length = len(next(iter(layers.values()))["fresh"])
    if not 0.3 <= x / length <= 0.7:  # near an end, text leans inwards
        x, side = (start, "left") if x < length / 2 else (min(end, length), "right")
    aligned: Any = {"ha": side, "va": "center"}
    for ax, (name, layer) in zip(axes, layers.items(), strict=True):
        ax.axvspan(start, end, color="#E4E4E4", zorder=0, linewidth=0)
        words = f"{percent(failed[name])} fail"
        ax.text(x, (roof - 0.09) * top, "database down", **aligned)
        ax.text(x, (roof - 0.26) * top, words, weight="bold", color=FAILED, **aligned)
        _stack(ax, layer, top)
        ax.set(title=name, xlim=(0, len(layer["fresh"])), xlabel="time (seconds)")
        ax.locator_params("x", nbins=5)
    if told:
        guess_box(axes[0], told.label, (x, 1.14 * top), **aligned)
    text = ", ".join(f"{name} {share:.2f}" for name, share in failed.items())
    return finished(figure, f"share of visits failed in the outage, {source}: {text}", told)


_FRESH = ("hit", "miss", "shared")


def _layers(name: str, run: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return the failed, stale and fresh visits of each second; who cancelled got none of these."""
    counts = {key: numbers(f"{key} visits of {name}", values, 0) for key, values in run.items()}
    if unknown := set(counts) - {*_FRESH, "stale", "failed", "cancelled"}:
        raise ValueError(f"no outcome is called {min(unknown)!r} (in {name!r})")
    if len({len(values) for values in counts.values()}) != 1:
        raise ValueError(f"the outcomes of {name!r} must all have as many seconds")
    none = [0.0] * len(next(iter(counts.values())))
    kinds = zip(*(counts.get(key, none) for key in _FRESH), strict=True)
    fresh = [sum(second) for second in kinds]
    return {
        "failed": counts.get("failed", none),
        "stale": counts.get("stale", none),
        "fresh": fresh,
    }


def _stack(ax: Axes, layers: Mapping[str, Sequence[float]], top: float) -> None:
    """Stack the layers, and name each in the longest stretch that is tall enough."""
    styles = {"failed": (FAILED, "white"), "stale": (STALE, INK), "fresh": (FRESH, "white")}
    base = [0.0] * len(layers["fresh"])
    for name, values in layers.items():
        colour, ink = styles[name]
        tops = [low + value for low, value in zip(base, values, strict=True)]
        ax.stairs(tops, range(len(tops) + 1), baseline=base, fill=True, color=colour)
        start, length = _longest([value >= 0.2 * top for value in values])
        middle = start + length // 2
        height = base[middle] + values[middle] / 2
        if length > 0.12 * len(values):
            ax.text(middle, height, name, color=ink, ha="center", va="center", weight="bold")
        elif length > 0.04 * len(values):  # beside it, with a line to it
            away: Any = {"bbox": WHITE, "arrowprops": {"arrowstyle": "-", "color": INK}}
            note(ax, name, (middle, height), (-45, -14), ha="right", va="center", **away)
        base = tops


def _longest(good: Sequence[bool]) -> tuple[int, int]:
    """Return where the longest run of True starts, and its length."""
    best, length = (0, 0), 0
    for i, yes in enumerate(good, 1):
        length = length + 1 if yes else 0
        best = max(best, (i - length, length), key=lambda stretch: stretch[1])
    return best
