"""Charts of connections: what they cost, how many there are, and who has them."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FAILED,
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
    guess_across,
    guess_box,
    guess_upright,
    guessed,
    margin_labels,
    named_rows,
    note,
    pinned,
    room,
)


@styled
def connecting(
    each: float,
    pooled: float,
    *,
    guess: float | Guess | None = None,
    at_least: float = 3,
    source: Source = "real",
) -> Chart:
    """Draw the seconds for a query with a connection of its own, over one from a pool.

    Hatched is what connecting costs. The guess is how many times faster the pooled one is. The
    line of text only says whether it was more than *at_least* times.
    """
    each, pooled = (1000 * s for s in numbers("seconds", [each, pooled], 1e-9))
    times = each / pooled
    title = f"Connecting each time takes {two_figures(times)} times as long"
    figure, [ax] = canvas(title, "time for one query; hatched: connecting, and closing", source)
    named_rows(ax, ["a connection\nfor each query", "a connection\nfrom the pool"])
    top = 1.25 * each
    ax.set(xlim=(0, top), ylim=(1.85, -0.6), xlabel="time (milliseconds)")
    hatched: dict[str, Any] = {"color": "white", "edgecolor": LOAD, "hatch": "///", "lw": 1.6}
    ax.barh(0, max(0.0, each - pooled), 0.5, pooled, **hatched)
    told = guessed(guess, "times")
    beside = pooled
    if told:
        x, arrow = pinned(each / told.value if told.value > 0 else inf, 0, top, "←→")
        guess_upright(ax, x, 0.6, told, arrow)
        if pooled <= x < pooled + 0.15 * top:  # the line would run through the figure
            beside = x
    for y, width, at in ((0, each, each), (1, pooled, beside)):
        ax.barh(y, pooled, 0.5, color=HIT)
        note(ax, f"{two_figures(width)} ms", (at, y), (8, 0), va="center", weight="bold")
    more = "more" if times > at_least else "not more"
    text = f"connecting takes {more} than {at_least:g} times as long as borrowing"
    return finished(figure, f"time for a query, {source}: {text}", told)


class Opening(Protocol):
    """How many connections there were, as (seconds, number), and when close returned (seconds)."""

    @property
    def counts(self) -> Sequence[tuple[float, int]]: ...

    @property
    def closed(self) -> float: ...


@styled
def connections_over_time(
    runs: Mapping[str, Opening],
    max_size: int,
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw how many connections the server has, a panel for each pool. The guess is for the most
    of the first one."""
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    counts = {
        name: numbers(f"connections of {name}", [count for _, count in run.counts], low=0)
        for name, run in runs.items()
    }
    most = {name: max(values) for name, values in counts.items()}
    first, *others = most.items()
    title = f"max_size is {max_size}, and {first[0]} opens {number(first[1])} connections"
    if first[1] <= max_size:
        title = f"max_size is {max_size}, and {first[0]} keeps to it"
    elif others and others[-1][1] <= max_size:
        title += f", {others[-1][0]} {number(others[-1][1])}"
    what = "connections that the server counts; the first callers come at 0"
    figure, axes = canvas(title, what, source, columns=len(runs))
    told = guessed(guess)
    axes[0].set(ylim=(0, 1.2 * room(max(most.values()), told)), ylabel="connections")
    line = 0.14 * axes[0].get_ylim()[1]  # what a line of text takes
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        millis = [1000 * at for at, _ in run.counts]
        closed, left = 1000 * run.closed, counts[name][-1]
        ax.fill_between(millis, counts[name], step="post", color=LOAD, linewidth=0)
        ax.axhline(max_size, color=INK, linestyle=":")
        ax.axvline(closed, color=INK, linewidth=1)
        top = ax.get_ylim()[1]
        note(ax, "close()", (closed, top), (-6, -4), ha="right", va="top", bbox=WHITE)
        words = f"{number(left)} left"
        colour = FAILED if left else HIT
        at, style = ((closed + millis[-1]) / 2, left), {"va": "bottom"}
        if left > line and told and left <= told.value < left + line:
            style = {"va": "top"}  # above is the guess
        by = (0, 5 if style["va"] == "bottom" else -5)
        note(ax, words, at, by, ha="center", color=colour, weight="bold", bbox=WHITE, **style)
        ax.set(title=name, xlim=(0, millis[-1]), xlabel="time (milliseconds)")
        ax.locator_params("x", nbins=4)
    labels = [(float(max_size), f"max_size: {max_size}", INK)]
    margin_labels(axes[-1], [*labels, *guess_across(axes, told)])
    ends = ", ".join(
        (f"{name} {number(most[name])}" if most[name] > max_size else f"{name} no more")
        + f", {number(counts[name][-1])} after close"
        for name in runs
    )
    return finished(figure, f"connections with max_size {max_size}, {source}: {ends}", told)


class Borrowing(Protocol):
    """Who had which connection: (connection, page, from, to) in seconds, and how many waited."""

    @property
    def pages(self) -> int: ...

    @property
    def connections(self) -> int: ...

    @property
    def holds(self) -> Sequence[tuple[int, int, float, float]]: ...

    @property
    def waiting(self) -> Sequence[tuple[float, int]]: ...

    @property
    def finished(self) -> int: ...

    @property
    def seconds(self) -> float: ...


@styled
def borrowings(
    runs: Sequence[Borrowing], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw a lane for each connection, coloured by page, and how many pages wait, beneath.

    The guess is how many pages of the last run finish.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    title = "; ".join(f"{run.pages} pages, {run.finished} finish" for run in runs)
    what = f"a lane for each of {runs[0].connections} connections, "
    what += "a colour, plain or striped, for each page"
    figure, axes = canvas(title, what, source, rows=2, columns=len(runs), height=4.2)
    # Neighbours differ in lightness. There are more pages than colours: the others have stripes.
    colours = (HIT, "#A9CBE3", "#004C78", LOAD, STALE)
    most = max([1, *(count for run in runs for _, count in run.waiting)])
    for column, run in enumerate(runs):
        lanes, queue = axes[column], axes[column + len(runs)]
        end = 1000 * numbers("seconds", [run.seconds], 1e-9)[0]
        for lane, page, start, stop in run.holds:
            striped, colour = divmod(page, len(colours))
            lanes.barh(lane, 1000 * (stop - start), 0.84, 1000 * start, color=colours[colour],
                       edgecolor=WHITE["facecolor"], linewidth=0.8,
                       hatch="///" if striped else None)  # fmt: skip
        lanes.set(title=f"{run.pages} pages: {run.finished} finish", xlim=(0, end))
        lanes.set(ylim=(run.connections - 0.4, -0.6))
        lanes.set_yticks([])
        lanes.tick_params(axis="x", labelbottom=False)
        steps = [(0.0, 0), *((1000 * at, count) for at, count in run.waiting)]
        steps.append((end, steps[-1][1]))
        moments, numbers_ = zip(*steps, strict=True)
        queue.fill_between(moments, numbers_, step="post", color=WAIT, linewidth=0)
        queue.set(xlim=(0, end), ylim=(0, 1.25 * most), xlabel="time (milliseconds)")
        queue.locator_params("x", nbins=4)
        if last := steps[-1][1]:
            words = f"{last} still wait"
            style: Any = {"ha": "center", "va": "top", "weight": "bold", "color": FAILED}
            note(queue, words, (end / 2, last), (0, -4), **style)
    axes[0].set_ylabel("connections")
    axes[len(runs)].set_ylabel("pages\nwaiting")
    axes[len(runs)].set_yticks([0, most])
    told = guessed(guess, "of 10 pages")
    if told:
        place: Any = {"xycoords": "axes fraction", "ha": "center", "va": "center"}
        guess_box(axes[-1], told.label, (0.5, 0.3), **place)
    ends = ", ".join(f"{run.pages} pages {run.finished} finish" for run in runs)
    where = f"pages that borrow twice, {runs[0].connections} connections"
    return finished(figure, f"{where}, {source}: {ends}", told)
