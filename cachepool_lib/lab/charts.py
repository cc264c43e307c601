"""The charts of the course: plain data in, a `Chart` out.

A title says what the data shows, the line under it what is drawn and whether it was simulated or is
real, and the reader's guess is dashed and grey. Times go in as seconds, shares as 0 to 1. Data that
can't be drawn raises ValueError or TypeError, which name the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, log10
from statistics import quantiles
from textwrap import fill
from typing import Literal, Protocol

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from ._canvas import (
    FAILED,
    FRESH,
    GUESS,
    HIT,
    INK,
    LOAD,
    MISS,
    OURS,
    QUIET,
    STALE,
    WAIT,
    Chart,
    Guess,
    Source,
    canvas,
    guess_across,
    guessed,
    margin_labels,
    ms,
    number,
    numbers,
    percent,
    pinned,
    room,
    spread,
    styled,
    two_lines,
)

__all__ = [
    "Answer",
    "Chart",
    "Guess",
    "Lane",
    "Step",
    "bar_of_life",
    "before_after",
    "entries_over_time",
    "guesses",
    "hit_rate_by_capacity",
    "hit_rate_by_ttl",
    "loads_per_second",
    "outcomes_over_time",
    "popularity",
    "race",
    "swimlane",
]

_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 2}  # behind text that lines may cross


@styled
def before_after(
    before: Sequence[float],
    after: Sequence[float],
    *,
    guess: float | Guess | None = None,
    at_least: float = 3,
    source: Source = "real",
) -> Chart:
    """Draw the seconds of every page before and after, a dot a page, on a logarithmic axis.

    The guess is how many times faster the median page gets. Real milliseconds differ from run to
    run, so the line of text only says whether it was more than *at_least* times.
    """
    rows = [
        sorted(numbers(name, row, low=1e-7)) for name, row in (("before", before), ("after", after))
    ]
    medians, slow = ([_percentile(row, of) for row in rows] for of in (50, 99))
    times, tail = (float(f"{was / now:.2g}") for was, now in (medians, slow))
    title = "The page before and after"
    if times >= 1.1:
        title = f"The median page is {number(times)} times faster, the p99 "
        title += f"{number(tail)} times" if tail >= 1.1 else "no faster"
    figure, [ax] = canvas(title, "a dot a page; 99 of 100 pages are faster than the p99", source)
    for y, row, colour in zip((1, 0), rows, (MISS, HIT), strict=True):
        dots = row[:: len(row) // 2000 + 1]
        heights = [y + 0.5 * ((i * 0.618034) % 1 - 0.5) for i in range(len(dots))]
        ax.plot(
            [s * 1000 for s in dots],
            heights,
            "o",
            color=colour,
            markersize=4,
            alpha=0.45,
            markeredgewidth=0,
        )
        for name, value, side in (
            ("median", _percentile(row, 50), -1),
            ("p99", _percentile(row, 99), 1),
        ):
            ax.plot([value * 1000] * 2, [y - 0.32, y + 0.4], color=INK, linewidth=2.2)
            place = (value * 1000, y + 0.4)
            align: Literal["left", "right"] = "left" if side > 0 else "right"
            ax.annotate(
                f"{name} {ms(value)}",
                place,
                (4 * side, 0),
                textcoords="offset points",
                ha=align,
                va="center",
            )
    ax.set(xscale="log", ylim=(-0.75, 1.6), xlabel="time for one page (milliseconds, log scale)")
    low, high = 1000 * min(row[0] for row in rows) / 2.5, 1000 * max(row[-1] for row in rows) * 2.5
    ax.set_xlim(low, high)
    ax.set_yticks(
        [1, 0],
        [
            f"{name}\n{len(row):,} pages"
            for name, row in zip(("before", "after"), rows, strict=True)
        ],
    )
    ax.tick_params(axis="y", length=0, labelsize=11)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    if told := guessed(guess, "times faster"):
        wanted = 1000 * medians[0] / told[0] if told[0] > 0 else inf
        x, arrow = pinned(wanted, low, high)
        ax.plot([x, x], [-0.5, 0.42], "--", color=GUESS, linewidth=1.6)
        label = f" {told[1]}{_sideways(arrow)} "
        ax.text(
            x, -0.58, label, color=GUESS, va="center", ha="left" if x * x < low * high else "right"
        )
    more = "more" if times > at_least else "not more"
    counts = " and ".join(f"{len(row):,}" for row in rows)
    text = f"page before and after, {source}, {counts} pages: "
    text += f"median {more} than {at_least:g} times faster"
    return Chart(figure, text + (f"; {told[1]}" if told else ""))


@styled
def popularity(visits: Sequence[int], *, source: Source = "simulated") -> Chart:
    """Draw the share of visits that the busiest 1 %, the next 9 % and the other 90 % of pages get.

    *visits* has a number for every page, 0 included, in any order.
    """
    ordered = sorted(numbers("visits", visits, low=0), reverse=True)
    total, pages = sum(ordered), len(ordered)
    if not total:
        raise ValueError("visits are all 0: nothing to draw")
    cuts = [0, max(1, round(pages / 100)), max(1, round(pages / 10)), pages]
    pages_at = [cut / pages for cut in cuts]
    visits_at = [sum(ordered[:cut]) / total for cut in cuts]
    title = f"{percent(pages_at[1])} of the pages get {percent(visits_at[1])} of the visits"
    figure, [ax] = canvas(
        title, f"{pages:,} pages, busiest first, and their {total:,.0f} visits", source
    )
    colours = ("#004C78", HIT, "#A9CBE3")
    for i, colour in enumerate(colours):
        up, down = pages_at[i : i + 2], visits_at[i : i + 2]
        ax.barh(
            [1, 0],
            [up[1] - up[0], down[1] - down[0]],
            0.36,
            [up[0], down[0]],
            color=colour,
            edgecolor="white",
        )
        ax.fill(
            [*up, *reversed(down)], [0.82, 0.82, 0.18, 0.18], color=colour, alpha=0.22, linewidth=0
        )
    names = ("the busiest 1 %", "the next 9 %", "the other 90 %")
    middles = [(visits_at[i] + visits_at[i + 1]) / 2 for i in range(3)]
    for i, (x, name) in enumerate(zip(spread(middles, [0.22] * 3, 0, 1), names, strict=True)):
        share = visits_at[i + 1] - visits_at[i]
        ax.text(
            x, -0.24, f"{name}:\n{percent(share)} of the visits", ha="center", va="top", color=INK
        )
    ax.set_yticks([1, 0], ["pages", "visits"])
    ax.tick_params(axis="y", length=0, labelsize=12)
    ax.set(xlim=(0, 1), ylim=(-0.75, 1.25))
    ax.xaxis.tick_top()
    ax.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    ax.spines[:].set_visible(False)
    shares = ", ".join(
        f"{name} {percent(visits_at[i + 1] - visits_at[i])}" for i, name in enumerate(names)
    )
    return Chart(figure, f"share of visits, {source}: {shares}")


@styled
def hit_rate_by_ttl(
    measured: Mapping[float, float],
    theory: Mapping[float, float],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the hit rate (0 to 1) measured at each ttl (seconds), over the theory's line.

    The shortest ttl is ringed, the two longest are bracketed. The guess is for the shortest.
    """
    ttls = sorted(numbers("measured ttl", measured, low=1e-9))
    rates = numbers("hit rate", [measured[ttl] for ttl in ttls], low=0, high=1)
    line = sorted(numbers("theory ttl", theory, low=1e-9))
    title = f"A ttl of {_seconds(ttls[0])} answers {percent(rates[0])} of pages"
    points = round(100 * rates[-1]) - round(100 * rates[-2]) if len(ttls) > 2 else -1
    if points >= 0:
        title += f"; {number(ttls[-2])} to {_seconds(ttls[-1])} adds {points} points"
    figure, [ax] = canvas(title, "pages answered from the cache, by how long it remembers", source)
    ax.plot(
        line,
        numbers("theory", [theory[ttl] for ttl in line], low=0, high=1),
        color=INK,
        linewidth=1.4,
    )
    ax.plot(ttls, rates, "o", color=HIT, markersize=8)
    ax.set(xscale="log", xlim=(ttls[0] / 14, ttls[-1] * 1.4), ylim=(-0.04, 1.06))
    ax.set(xlabel="ttl (seconds, log scale)", ylabel="hit rate")
    ax.set_xticks(ttls, [number(ttl) for ttl in ttls])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.plot(
        ttls[0],
        rates[0],
        "o",
        markersize=17,
        markerfacecolor="none",
        markeredgecolor=HIT,
        markeredgewidth=1.8,
    )
    labels = [(rates[0], f"measured: {rates[0]:.2f}", HIT)]
    text = ", ".join(f"{number(ttl)} s {rate:.2f}" for ttl, rate in zip(ttls, rates, strict=True))
    if told := guessed(guess):
        y, arrow = pinned(told[0], -0.02, 1.04)
        ax.plot([ttls[0]] * 2, [y, rates[0]], "--", color=GUESS, linewidth=1.6, zorder=1)
        ax.plot(
            ttls[0],
            y,
            "o",
            markersize=10,
            markerfacecolor="white",
            markeredgecolor=GUESS,
            clip_on=False,
        )
        labels.append((y, told[1] + arrow, GUESS))
        text += f"; {told[1]}"
    places = spread([at for at, _, _ in labels], [0.1, 0.2][: len(labels)], 0, 1.02)
    for (_, label, colour), y in zip(labels, places, strict=True):
        ax.annotate(
            two_lines(label),
            (ttls[0], y),
            (-16, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=colour,
        )
    for ttl, rate in zip(ttls[1:], rates[1:], strict=True):
        ax.annotate(
            f"{rate:.2f}", (ttl, rate), (-5, 7), textcoords="offset points", ha="right", color=HIT
        )
    if points >= 0:
        _bracket(ax, ttls[-2], ttls[-1], min(rates[-2:]) - 0.11, f"+{points} points")
    x = line[len(line) // 2]
    ax.annotate(
        "theory: λT / (1 + λT)", (x, theory[x]), (12, -8), textcoords="offset points", va="top"
    )
    return Chart(figure, f"hit rate by ttl, {source}: {text}")


@styled
def bar_of_life(
    lives: Mapping[str, float],
    promised: float,
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw how long an entry was served (seconds) under each name; hatched is past *promised*."""
    names, seconds = list(lives), numbers("lives", lives.values(), low=0)
    [promised] = numbers("promised", [promised], low=0)
    told = guessed(guess, "s")
    longest = max(seconds)
    title = f"Promised {_seconds(promised)}, served for {_seconds(longest)}"
    if longest <= promised:
        title = f"Gone after {_seconds(promised)}, as promised"
    figure, [ax] = canvas(title, "age at which one entry was last served", source)
    top = room(max(longest, promised), told)
    for y, life in enumerate(seconds):
        ax.barh(y, min(life, promised), 0.5, color=HIT)
        ax.barh(
            y,
            max(life - promised, 0),
            0.5,
            promised,
            color="white",
            edgecolor=STALE,
            hatch="///",
            linewidth=1.6,
        )
        past = f", {_seconds(life - promised)} past its promise" if life > promised else ""
        inside = life > top / 2
        ax.annotate(
            _seconds(life) + past,
            (promised if inside else max(life, promised), y),
            (8, 0),
            textcoords="offset points",
            va="center",
            weight="bold",
            bbox=_WHITE,
        )
    ax.axvline(promised, color=INK, linewidth=1.6)
    ax.set(xlim=(0, top), ylim=(len(seconds) - 0.1, -0.9), xlabel="age of the entry (seconds)")
    ax.text(
        promised,
        -0.62,
        f" promised: {_seconds(promised)} ",
        va="center",
        ha=_side(promised, top),
        bbox=_WHITE,
    )
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0, labelsize=11)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    text = ", ".join(f"{name} {_seconds(life)}" for name, life in zip(names, seconds, strict=True))
    if told:
        x, arrow = pinned(told[0], 0, top)
        ax.axvline(x, color=GUESS, linestyle="--", linewidth=1.6, zorder=2.5)
        label = f" {told[1]}{_sideways(arrow)} "
        ax.text(x, len(seconds) - 0.38, label, va="center", ha=_side(x, top), color=GUESS)
        text += f"; {told[1]}"
    return Chart(figure, f"life of an entry, {source}: promised {_seconds(promised)}, {text}")


@styled
def entries_over_time(
    entries: Mapping[str, Sequence[tuple[float, float]]],
    maxsize: int,
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw how many entries each cache holds over time: (seconds, entries) pairs for each name.

    The last one named is ours. The guess is for the end of the first one.
    """
    if not entries:
        raise ValueError("entries is empty: nothing to draw")
    lines = {}
    for name, pairs in entries.items():
        times = numbers(f"{name} seconds", [at for at, _ in pairs])
        lines[name] = (
            [at / 60 for at in times],
            numbers(f"{name} entries", [size for _, size in pairs], low=0),
        )
    told = guessed(guess)
    first, last = next(iter(lines)), list(lines)[-1]
    ends = {name: sizes[-1] for name, (_, sizes) in lines.items()}
    peak = max(lines[last][1])
    title = "Entries in the cache over time"
    if peak <= maxsize < ends[first]:
        title = f"{first} keeps {ends[first]:,.0f} entries; {last} never more than {peak:,.0f}"
        title = title[0].upper() + title[1:]
    figure, [ax] = canvas(title, "entries in the cache, expired ones included", source)
    styles = {name: (INK, 1.8) if name == first else (QUIET, 1.8) for name in lines} | {
        last: (OURS, 2.8)
    }
    for name, (minutes, sizes) in lines.items():
        ax.plot(
            minutes, sizes, color=styles[name][0], linewidth=styles[name][1], drawstyle="steps-post"
        )
    ax.axhline(maxsize, color=INK, linestyle=":", linewidth=1.6)
    ax.set(
        xlim=(0, max(minutes[-1] for minutes, _ in lines.values())),
        xlabel="time (minutes)",
        ylabel="entries",
    )
    ax.set_ylim(0, room(max(maxsize, *(max(sizes) for _, sizes in lines.values())), told))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
    labels = [(ends[name], f"{name}: {ends[name]:,.0f}", styles[name][0]) for name in lines]
    margin_labels(ax, [*labels, (maxsize, f"maxsize: {maxsize:,}", INK), *guess_across([ax], told)])
    text = ", ".join(f"{name} {end:,.0f}" for name, end in ends.items()) + (
        f"; {told[1]}" if told else ""
    )
    return Chart(figure, f"entries at the end, {source}: {text}; maxsize {maxsize:,}")


@styled
def hit_rate_by_capacity(
    capacities: Sequence[float],
    hit_rates: Mapping[str, Sequence[float]],
    *,
    mark: float = 0.01,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the hit rate of each policy over the room it has, a share of all users (0 to 1).

    *mark* is one of the capacities: the rates there are written out, and the guess is for it.
    "S3-FIFO" is drawn as ours, "foresight" as the limit.
    """
    rooms = numbers("capacities", capacities, low=1e-9)
    lines = {
        name: numbers(f"hit rate of {name}", rates, low=0, high=1)
        for name, rates in hit_rates.items()
    }
    if mark not in capacities:
        raise ValueError(f"mark must be one of the capacities, not {mark!r}")
    here = list(capacities).index(mark)
    at_mark = {name: rates[here] for name, rates in lines.items()}
    ours = "S3-FIFO" if "S3-FIFO" in lines else max(at_mark, key=lambda name: at_mark[name])
    share = f"{number(100 * mark)} %"
    title = f"Room for {share} of users answers {percent(at_mark[ours])} of pages with {ours}"
    figure, [ax] = canvas(
        title, f"hit rate of four ways to choose who leaves, figures at {share}", source
    )
    figures = []
    for name, rates in lines.items():
        colour, width, dash = (OURS, 2.8, "-") if name == ours else (QUIET, 1.6, "-")
        if name == "foresight":
            colour, dash = INK, ":"
        ax.plot([100 * part for part in rooms], rates, dash, color=colour, linewidth=width)
        ax.plot(100 * mark, at_mark[name], "o", color=colour, markersize=7, clip_on=False)
        figures.append((rates[-1], f"{name}: {at_mark[name]:.2f}", colour))
    ax.axvline(100 * mark, color=INK, linewidth=0.8)
    ax.set(xscale="log", xlim=(100 * rooms[0], 100 * rooms[-1]), ylim=(-0.04, 1.06))
    ax.set(xlabel="room in the cache (% of users, log scale)", ylabel="hit rate")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    text = ", ".join(f"{name} {rate:.2f}" for name, rate in at_mark.items())
    if told := guessed(guess):
        y, arrow = pinned(told[0], -0.02, 1.04)
        ax.axhline(y, color=GUESS, linestyle="--", linewidth=1.6)
        figures.append((y, two_lines(told[1]) + arrow, GUESS))
        text += f"; {told[1]}"
    margin_labels(ax, figures)
    return Chart(figure, f"hit rate with room for {share} of users, {source}: {text}")


@dataclass(frozen=True)
class Lane:
    """One caller in a swimlane: (start, end, "wait" or "load") in seconds, and how it ended.

    A caller who loads waits too: give the wait first, the load is drawn over it.
    """

    name: str
    spans: Sequence[tuple[float, float, Literal["wait", "load"]]]
    end: Literal["page", "left", "lost"] = "page"


@styled
def swimlane(
    panels: Mapping[str, Sequence[Lane]],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw a lane per caller, loads solid and waiting pale, one panel above the other.

    Counts the loads; where someone left or lost the page, counts those who go without it. The guess
    is for that count in the first panel.
    """
    if not panels or not all(panels.values()):
        raise ValueError("every panel needs a lane")
    told = guessed(guess)
    loads = {
        name: sum(what == "load" for lane in lanes for _, _, what in lane.spans)
        for name, lanes in panels.items()
    }
    without = {name: sum(lane.end != "page" for lane in lanes) for name, lanes in panels.items()}
    leaving = any(without.values())
    counts = [*(without if leaving else loads).values()]
    callers = max(len(lanes) for lanes in panels.values())
    word = "without a page" if leaving else "loads"
    title = f"{callers} callers: "
    if leaving:
        left = sum(lane.end == "left" for lane in next(iter(panels.values())))
        title = f"{left} of {callers} callers leave{'s' * (left == 1)}: "
    title += (
        ", ".join([f"{name} {count}" for name, count in zip(panels, counts, strict=True)])
        + f" {word}"
    )
    what = "a lane per caller; solid: the database works, pale: the caller waits"
    figure, axes = canvas(title, what, source, rows=len(panels))
    for ax, (name, lanes), count in zip(axes, panels.items(), counts, strict=True):
        _lanes(ax, lanes)
        ax.set_title(name, weight="bold")
        colour = FAILED if leaving and count else INK
        ax.text(1.03, 0.6, f"{count}", transform=ax.transAxes, size=24, weight="bold", color=colour)
        place = (8 + 17 * len(str(count)), 0)
        ax.annotate(
            word, (1.03, 0.6), place, xycoords="axes fraction", textcoords="offset points", size=12
        )
    if told:
        box = {
            "boxstyle": "round,pad=0.3",
            "facecolor": "white",
            "edgecolor": GUESS,
            "linestyle": "--",
        }
        axes[0].text(
            1.04,
            0.2,
            two_lines(told[1]),
            transform=axes[0].transAxes,
            va="center",
            color=GUESS,
            bbox=box,
        )
    axes[-1].set(xlabel="time (milliseconds)")
    text = ", ".join(
        f"{name} {loads[name]} loads, {without[name]} without a page" for name in panels
    )
    return Chart(figure, f"{callers} callers, {source}: {text}" + (f"; {told[1]}" if told else ""))


def _lanes(ax: Axes, lanes: Sequence[Lane]) -> None:
    colours = {"wait": WAIT, "load": LOAD}
    for y, lane in enumerate(lanes):
        for start, end, what in lane.spans:
            if what not in colours:
                raise ValueError(f'a span of {lane.name!r} must be "wait" or "load", not {what!r}')
            [start, end] = numbers(f"span of {lane.name!r}", [start, end])
            ax.barh(y, (end - start) * 1000, 0.78, start * 1000, color=colours[what], linewidth=0)
        if lane.end != "page":
            x = 1000 * max(end for _, end, _ in lane.spans)
            ax.plot(
                x,
                y,
                "x",
                color=FAILED if lane.end == "lost" else INK,
                markersize=9,
                markeredgewidth=2.6,
                clip_on=False,
            )
            words = "left" if lane.end == "left" else "lost the page"
            ax.annotate(words, (x, y), (10, 0), textcoords="offset points", va="center", size=10.5)
    ax.set_ylim(len(lanes) - 0.4, -0.6)
    last = 1000 * max(end for lane in lanes for _, end, _ in lane.spans)
    ax.set_xlim(0, last * 1.3 if any(lane.end == "lost" for lane in lanes) else last * 1.03)
    shown = range(len(lanes)) if len(lanes) <= 8 else (0, len(lanes) - 1)
    ax.set_yticks(list(shown), [lanes[i].name for i in shown])
    ax.tick_params(axis="y", length=0)


@dataclass(frozen=True)
class Step:
    """One step of a race: who does what, and whether that is where it goes wrong."""

    lane: str
    text: str
    wrong: bool = False


@styled
def race(steps: Sequence[Step], *, source: Source = "simulated") -> Chart:
    """Draw who did what in which order, a lane for each of them."""
    if not steps:
        raise ValueError("steps is empty: nothing to draw")
    lanes = list(dict.fromkeys(step.lane for step in steps))
    wrong = next(((i, step) for i, step in enumerate(steps, 1) if step.wrong), None)
    title = "Step by step, and none goes wrong"
    if wrong:
        title = f"Step {wrong[0]} is too late: the {wrong[1].lane} {wrong[1].text}"
    figure, [ax] = canvas(title, "who does what, in the order in which it happened", source)
    for y, lane in enumerate(lanes):
        mine = [i for i, step in enumerate(steps, 1) if step.lane == lane]
        ax.axhline(y, color="#DDDDDD", linewidth=1, zorder=0)
        ax.plot(
            [mine[0], mine[-1]], [y, y], color=QUIET, linewidth=5, solid_capstyle="round", zorder=1
        )
    for i, step in enumerate(steps, 1):
        y, colour = lanes.index(step.lane), FAILED if step.wrong else INK
        ax.plot(
            i,
            y,
            "X" if step.wrong else "o",
            color=colour,
            markersize=13 if step.wrong else 9,
            markeredgecolor="white",
        )
        words = fill(step.text, 86 // max(5, len(steps)))
        label = ax.annotate(words, (i, y), (0, 9), textcoords="offset points", ha="center")
        label.set(color=colour, weight="bold" if step.wrong else "normal")
    ax.set(xlim=(0.4, len(steps) + 0.6), ylim=(len(lanes) - 0.7, -0.85), xlabel="step")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xticks(range(1, len(steps) + 1))
    ax.set_yticks(range(len(lanes)), lanes)
    ax.tick_params(axis="y", length=0, labelsize=12)
    ax.spines["left"].set_visible(False)
    text = "; ".join(
        f"{i} {step.lane}: {step.text}{' (wrong)' if step.wrong else ''}"
        for i, step in enumerate(steps, 1)
    )
    return Chart(figure, f"steps, {source}: {text}")


@styled
def loads_per_second(
    loads: Mapping[str, Sequence[float]],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the loads in each second, a panel for each name. The guess is for the highest peak."""
    if not loads:
        raise ValueError("loads is empty: nothing to draw")
    counts = {name: numbers(f"loads of {name}", values, low=0) for name, values in loads.items()}
    told = guessed(guess)
    peaks = {name: max(values) for name, values in counts.items()}
    highest, lowest = max(peaks.values()), min(peaks.values())
    title = f"The peak is {number(highest)} loads a second"
    if len(peaks) > 1 and peaks[next(iter(peaks))] == highest > lowest:
        best = min(peaks, key=lambda name: peaks[name])
        title = f"{best} cuts the peak from {number(highest)} to {number(lowest)} loads a second"
        title = title[0].upper() + title[1:]
    figure, axes = canvas(
        title, "queries that reach the database in each second", source, columns=len(loads)
    )
    axes[0].set_ylim(0, 1.08 * room(highest, told))
    for ax, (name, values) in zip(axes, counts.items(), strict=True):
        ax.stairs(values, range(len(values) + 1), fill=True, color=LOAD)
        ax.set_title(name, weight="bold")
        ax.set(xlim=(0, len(values)), xlabel="time (seconds)")
        at = values.index(peaks[name]) + 0.5
        ax.plot(at, peaks[name], "o", color=INK, markersize=6)
        ax.annotate(
            number(peaks[name]),
            (at, peaks[name]),
            (0, 5),
            textcoords="offset points",
            ha="center",
            size=15,
            weight="bold",
        )
    axes[0].set_ylabel("loads per second")
    margin_labels(axes[-1], guess_across(axes, told))
    text = ", ".join(f"{name} {number(peak)}" for name, peak in peaks.items())
    return Chart(
        figure, f"peak of loads per second, {source}: {text}" + (f"; {told[1]}" if told else "")
    )


@styled
def outcomes_over_time(
    runs: Mapping[str, Mapping[str, Sequence[float]]],
    outage: tuple[float, float],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw how many pages a second were fresh, stale or failed, a panel for each run.

    A run has a count for each second under each outcome: "stale", "failed"; all others are fresh.
    *outage* is when the database was down, in seconds. The guess is the share (0 to 1) of pages
    that failed meanwhile, in the first run.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    told = guessed(guess)
    layers = {name: _layers(name, run) for name, run in runs.items()}
    first, last = int(outage[0]), int(outage[1])
    failed = {
        name: _share(of["failed"][first:last], [sum(s[first:last]) for s in of.values()])
        for name, of in layers.items()
    }
    shares = list(failed.values())
    title = f"While the database is down, {percent(shares[0])} of pages fail"
    if len(shares) > 1 and shares[-1] < shares[0]:
        title += f"; {percent(shares[-1])} {list(failed)[-1]}"
    figure, axes = canvas(
        title, "pages a second, by what the visitor got", source, columns=len(runs)
    )
    top = max(sum(second) for of in layers.values() for second in zip(*of.values(), strict=True))
    for ax, (name, of) in zip(axes, layers.items(), strict=True):
        ax.axvspan(*outage, color="#E4E4E4", zorder=0, linewidth=0)
        ax.text(sum(outage) / 2, 1.12 * top, "database down", ha="center", va="center")
        _stack(ax, of, top)
        ax.set_title(f"{name}: {percent(failed[name])} failed", weight="bold")
        ax.set(xlim=(0, len(of["fresh"])), ylim=(0, 1.22 * top), xlabel="time (seconds)")
    if told:
        first_run = next(iter(layers.values()))
        mean = sum(sum(values[first:last]) for values in first_run.values()) / max(1, last - first)
        margin_labels(axes[-1], guess_across(axes, (told[0] * mean, told[1])))
    axes[0].set_ylabel("pages per second")
    text = ", ".join(f"{name} {share:.2f}" for name, share in failed.items())
    return Chart(
        figure,
        f"share of pages failed during the outage, {source}: {text}"
        + (f"; {told[1]}" if told else ""),
    )


def _layers(name: str, run: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    counts = {
        outcome: numbers(f"{outcome} pages of {name}", values, low=0)
        for outcome, values in run.items()
    }
    if len({len(values) for values in counts.values()}) != 1:
        raise ValueError(f"the outcomes of {name!r} must all have as many seconds")
    none = [0.0] * len(next(iter(counts.values())))
    fresh = [
        sum(second)
        for second in zip(
            none, *(v for k, v in counts.items() if k not in ("stale", "failed")), strict=True
        )
    ]
    return {
        "fresh": fresh,
        "stale": counts.get("stale", none),
        "failed": counts.get("failed", none),
    }


def _stack(ax: Axes, layers: Mapping[str, Sequence[float]], top: float) -> None:
    """Stack the failed, then the stale, then the fresh; name each inside, where it is thickest."""
    base = [0.0] * len(layers["fresh"])
    for name, colour, ink in (
        ("failed", FAILED, "white"),
        ("stale", STALE, INK),
        ("fresh", FRESH, "white"),
    ):
        values = layers[name]
        tops = [low + value for low, value in zip(base, values, strict=True)]
        ax.stairs(tops, range(len(tops) + 1), baseline=base, fill=True, color=colour)
        run = max(1, len(values) // 8)  # about as long as the word
        starts = range(len(values) - run + 1)
        at = max(starts, key=lambda i: min(values[i : i + run]))
        if min(values[at : at + run]) > 0.13 * top:
            middle = at + run // 2
            ax.text(
                middle,
                base[middle] + values[middle] / 2,
                name,
                color=ink,
                ha="center",
                va="center",
                weight="bold",
            )
        base = tops


class Answer(Guess, Protocol):
    """A guess by name with what came out: None as long as that is not known."""

    @property
    def name(self) -> str: ...

    @property
    def result(self) -> float | str | None: ...


@styled
def guesses(answers: Sequence[Answer], *, source: Source = "simulated") -> Chart:
    """Draw every guess against its result, as a ratio: so seconds, shares and counts fit one axis.

    Words are written, not drawn. What has no result yet is left out.
    """
    rows = [answer for answer in answers if answer.result is not None and answer.guess is not None]
    if not rows:
        raise ValueError("no guess has a result yet: nothing to draw")
    ratios = {row.name: _decades(row.guess, row.result) for row in rows}
    drawn = [decades for decades in ratios.values() if decades is not None]
    far = sum(abs(decades) > log10(3) for decades in drawn)
    title = f"{far} of {len(drawn)} guesses {'were' if far != 1 else 'was'} more than 3 times off"
    if not far:
        title = "No guess was more than 3 times off"
    what = "each guess compared with what came out"
    if not all(row.answered for row in rows):
        what += "; where none was typed, a common first guess"
    figure, [ax] = canvas(title, what, source, height=max(3.2, 1.15 + 0.27 * len(rows)))
    reach = min(3, max(1, *(ceil(min(abs(decades), 3)) for decades in drawn))) if drawn else 1
    ax.axvline(0, color=INK, linewidth=1.6)
    for y, row in enumerate(rows):
        decades = ratios[row.name]
        if decades is not None:
            x = max(-reach, min(reach, decades))
            marker = "o" if x == decades else "<" if x < 0 else ">"
            ax.plot([x, 0], [y, y], "--", color=GUESS, linewidth=1.6)
            ax.plot(
                x,
                y,
                marker,
                color="white",
                markeredgecolor=GUESS,
                markersize=9,
                markeredgewidth=1.8,
                clip_on=False,
            )
            ax.plot(0, y, "o", color=HIT, markersize=8)
        words = f"{_worded(row.guess, row.unit)} → {_worded(row.result, row.unit)}"
        ax.annotate(
            words,
            (1, y),
            (12, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    names = {
        -3: "÷ 1,000",
        -2: "÷ 100",
        -1: "÷ 10",
        0: "right",
        1: "× 10",
        2: "× 100",
        3: "× 1,000",
    }
    ticks = range(-reach, reach + 1)
    ax.set_xticks(ticks, [names[tick] for tick in ticks])
    ax.set(xlim=(-reach * 1.04, reach * 1.04), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlabel("guess ÷ result (log scale)")
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    text = "; ".join(
        f"{row.name}: {_worded(row.guess, row.unit)} → {_worded(row.result, row.unit)}"
        for row in rows
    )
    return Chart(figure, f"guess → result: {text}")


def _worded(value: float | str | None, unit: str) -> str:
    return value if isinstance(value, str) else f"{number(value or 0)} {unit}".rstrip()


def _decades(guess: float | str | None, result: float | str | None) -> float | None:
    """Return log10 of guess ÷ result, infinite where there is no ratio; None for words."""
    if isinstance(guess, str) or isinstance(result, str) or guess is None or result is None:
        return None
    if guess == result:
        return 0.0
    if not result or guess / result <= 0:
        return inf if guess > result else -inf
    return log10(guess / result)


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return (
        ordered[0]
        if len(ordered) == 1
        else quantiles(ordered, n=100, method="inclusive")[percent - 1]
    )


def _sideways(arrow: str) -> str:
    return arrow.replace("↑", "→").replace("↓", "←")


def _seconds(value: float) -> str:
    return f"{number(value)} s"


def _share(part: Sequence[float], wholes: Sequence[float]) -> float:
    return sum(part) / total if (total := sum(wholes)) else 0.0


def _side(x: float, top: float) -> Literal["left", "right"]:
    return "left" if x < top / 2 else "right"


def _bracket(ax: Axes, left: float, right: float, y: float, text: str) -> None:
    ax.plot([left, left, right, right], [y + 0.03, y, y, y + 0.03], color=INK, linewidth=1.4)
    ax.text((left * right) ** 0.5, y - 0.02, text, ha="center", va="top", weight="bold")
