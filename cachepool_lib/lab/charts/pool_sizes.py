"""Charts by the size of a pool: queries a second, the wait that theory expects, a hot row."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Protocol

from matplotlib.ticker import NullLocator

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    GUESS,
    HIT,
    INK,
    LOAD,
    STALE,
    WAIT,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    number,
    numbers,
    styled,
    two_figures,
)
from cachepool_lib.lab.charts.labels import (
    guess_box,
    guessed,
    margin_labels,
    note,
    pinned,
    plain_numbers,
    two_lines,
)


class Throughput(Protocol):
    """Queries a second, and the p99 of wait and query together (seconds)."""

    @property
    def rate(self) -> float: ...

    @property
    def p99(self) -> float: ...


@styled
def throughput_by_size(
    runs: Mapping[str, Mapping[int, Throughput]],
    cores: int,
    *,
    compare: tuple[int, int] = (2, 16),
    guess: float | Guess | None = None,
    at_least: float = 3,
    source: Source = "real",
) -> Chart:
    """Draw queries a second by the size of the pool; beneath, how long a caller is under way.

    *cores* of this machine are marked. The guess is how many times as many queries the first one
    gets with the second size of *compare* as with the first. The line of text only says whether
    it was more than *at_least* times.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    small, large = compare
    for name, sizes in runs.items():
        numbers(f"rate of {name}", [run.rate for run in sizes.values()], 1e-9)
        if small not in sizes or large not in sizes:
            raise ValueError(f"{name} must have the sizes {small} and {large}")
    gains = {name: sizes[large].rate / sizes[small].rate for name, sizes in runs.items()}
    title = f"{large} connections instead of {small}: " + ", ".join(
        f"{name} × {two_figures(gain)}" for name, gain in gains.items()
    )
    what = "above: queries a second; below: wait and query together, 99 of 100 take less"
    figure, [up, down] = canvas(title, what, source, rows=2, height=4.2)
    told = guessed(guess, "times")
    ticks = sorted({size for sizes in runs.values() for size in sizes})
    labels: list[list[tuple[float, str, str]]] = [[], []]
    colours = dict(zip(runs, (HIT, LOAD, STALE), strict=False))
    for name, sizes in runs.items():
        order = sorted(sizes)
        for ax, values, into in (
            (up, [sizes[size].rate for size in order], labels[0]),
            (down, [1000 * sizes[size].p99 for size in order], labels[1]),
        ):
            ax.plot(order, values, "o-", color=colours[name], markersize=6, linewidth=2.2)
            into.append((values[-1], name, colours[name]))
    for ax, label in ((up, "queries per second"), (down, "p99, wait + query\n(ms)")):
        ax.set(xscale="log", ylabel=label, xlim=(ticks[0] / 1.1, ticks[-1] * 1.1))
        ax.set_ylim(0, 1.08 * ax.dataLim.y1)
        ax.set_xticks(ticks, [number(size) for size in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        if ticks[0] <= cores <= ticks[-1]:
            ax.axvline(cores, color=INK, linestyle=":")
    down.set_xlabel("connections in the pool (log scale)")
    if ticks[0] <= cores <= ticks[-1]:
        at: Any = {"xycoords": up.get_xaxis_transform(), "va": "bottom", "ha": "center"}
        note(up, f"{cores} cores here", (cores, 1), (0, 2), **at)
    first = next(iter(gains))
    if told:
        begin = runs[first][small].rate
        y, arrow = pinned(begin * told.value, *up.get_ylim())
        up.plot([small, large], [begin, y], "--", color=GUESS, zorder=1)
        labels[0].append((y, two_lines(told.label) + arrow, GUESS))
    margin_labels(up, labels[0])
    margin_labels(down, labels[1])
    more = "more" if gains[first] > at_least else "not more"
    text = f"{first} {more} than {at_least:g} times as many"
    change = f"{large} connections instead of {small}"
    return finished(figure, f"queries a second, {change}, {source}: {text}", told)


@styled
def wait_by_size(
    waits: Mapping[int, float], load: float, size: int, *, source: Source = "theory"
) -> Chart:
    """Draw the mean wait that theory expects for pools of each size, at a *load* in connections.

    Waits are in units of the time for which one has a connection, infinite where the queue never
    ends; *size* is one of the sizes, and its wait is written.
    """
    sizes = [int(s) for s in numbers("size", waits, 1)]
    [load] = numbers("load", [load], 0)
    if size not in waits:
        raise ValueError(f"size must be one of those in waits, not {size!r}")
    finite = {s: waits[s] for s in sizes if isfinite(waits[s])}
    here = waits[size]
    title = f"{size} connections for a load of {number(load)}: "
    low, high = 0.001, 100.0
    title += (
        "the queue never ends"
        if not isfinite(here)
        else (
            "practically no wait"
            if here < low
            else f"a mean wait of {two_figures(here)} times the use"
        )
    )
    what = "Erlang C, for a wait in units of the use; load: arrivals a second × seconds of use"
    figure, [ax] = canvas(title, what, source)
    ax.set(yscale="log", ylim=(low, high), xlim=(min(sizes) - 0.6, max(sizes) + 0.6))
    ax.set(xlabel="connections in the pool", ylabel="mean wait ÷ time of use\n(log scale)")
    plain_numbers(ax.yaxis)
    ax.yaxis.set_minor_locator(NullLocator())
    if min(sizes) <= load:
        ax.axvspan(min(sizes) - 0.6, load, color="#E4E4E4", zorder=0, linewidth=0)
        ax.text((min(sizes) - 0.6 + load) / 2, 0.0015, "never ends", ha="center", rotation=90)
    ax.plot(list(finite), list(finite.values()), "o-", color=INK)
    ax.set_xticks([s for s in sizes if s % 2 == 0])
    if isfinite(here):
        at = size, max(low, min(here, high))
        ax.plot(*at, "o", color=HIT, markersize=13)
        busy = (
            f"{two_figures(here) if here >= low else 'no wait'}, {round(100 * load / size)} % busy"
        )
        side, by = ("left", (14, 6)) if size < max(sizes) * 0.6 else ("right", (-14, -18))
        if here < 4 * low:  # below is no room, and the curve has left, or comes from the left
            side, by = ("left", (0, 14)) if size < max(sizes) * 0.7 else ("right", (0, 14))
        note(ax, busy, at, by, ha=side, color=HIT, weight="bold", bbox=WHITE)
    text = f"{two_figures(here)} times the work" if isfinite(here) else "without end"
    return finished(figure, f"mean wait, load {number(load)}, {size} connections, {source}: {text}")


class HotRow(Protocol):
    """Where the time of a page goes, in seconds; and pages a second."""

    @property
    def pool_wait(self) -> float: ...

    @property
    def lock_wait(self) -> float: ...

    @property
    def work(self) -> float: ...

    @property
    def rate(self) -> float: ...


@styled
def where_time_goes(
    pages: Mapping[int, HotRow],
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw a stacked bar for each size: waiting in the pool, waiting for the lock, work.

    The guess is how many times as many pages a second the last size gets. Real milliseconds differ
    from run to run: the line of text says whether it was twice as many, and where the wait went.
    """
    sizes = [int(size) for size in numbers("size", pages, 1)]
    if len(sizes) < 2:
        raise ValueError("where_time_goes needs two sizes or more")
    parts = {
        "waits in the pool": (WAIT, [1000 * pages[size].pool_wait for size in sizes]),
        "waits for the lock": (FAILED, [1000 * pages[size].lock_wait for size in sizes]),
        "works": (LOAD, [1000 * pages[size].work for size in sizes]),
    }
    rates = numbers("rate", [pages[size].rate for size in sizes], 1e-9)
    more = sizes[-1] / sizes[0]
    gain = rates[-1] / rates[0]
    pages_ = "no more pages" if gain < 1.25 else f"{two_figures(gain)} times the pages"
    title = f"{number(more)} times the connections, {pages_}"
    figure, [ax] = canvas(title, "where a page's time goes, on average", source)
    base = [0.0] * len(sizes)
    tops = [sum(part) for part in zip(*(row for _, row in parts.values()), strict=True)]
    for name, (colour, row) in parts.items():
        ax.bar(range(len(sizes)), row, 0.8, base, color=colour)
        base = [low + value for low, value in zip(base, row, strict=True)]
        widest = max(range(len(row)), key=row.__getitem__)
        if row[widest] > 0.14 * max(tops):
            middle = base[widest] - row[widest] / 2
            ink = INK if colour == WAIT else "white"
            words = "\n".join(name.split(maxsplit=1)).replace("the ", "the\n")
            ax.text(widest, middle, words, ha="center", va="center", color=ink, weight="bold")
    for x, (top, rate) in enumerate(zip(tops, rates, strict=True)):
        note(ax, f"{two_figures(rate)} pages/s", (x, top), (0, 4), ha="center")
    ax.set_xticks(range(len(sizes)), [number(size) for size in sizes])
    ax.set(xlim=(-0.6, len(sizes) - 0.4), ylim=(0, 1.2 * max(tops)))
    ax.set(xlabel="connections in the pool", ylabel="time of a page (ms)")
    labels = [(base[-1] - parts["works"][1][-1] / 2, "works", "#8A5A00")]
    margin_labels(ax, labels)
    told = guessed(guess, "times the pages")
    if told:
        place: Any = {"xycoords": "axes fraction", "va": "center", "ha": "left"}
        guess_box(ax, two_lines(told.label), (1.04, 0.4), **place)
    pool, lock = (parts[name][1] for name in list(parts)[:2])
    moved = pool[-1] < pool[0] / 3 and lock[-1] > 3 * lock[0]
    text = f"{'fewer' if gain < 2 else 'more'} than 2 times the pages"
    text += ", the wait moves from the pool to the lock" if moved else ""
    where = f"one row, {number(more)} times the connections"
    return finished(figure, f"{where}, {source}: {text}", told)
