"""Charts of what changes: what a request holds, reads after a write, two generations of workers."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    FRESH,
    HIT,
    INK,
    LOAD,
    MISS,
    QUIET,
    STALE,
    WAIT,
    Chart,
    Guess,
    Source,
    canvas,
    duration,
    finished,
    number,
    numbers,
    styled,
    two_figures,
)
from cachepool_lib.lab.charts.labels import (
    guess_box,
    guess_upright,
    guessed,
    margin_labels,
    named_rows,
    note,
    pinned,
)


class Holding(Protocol):
    """Requests (from, answered) and what they held (request, from, to), in seconds."""

    @property
    def requests(self) -> Sequence[tuple[float, float]]: ...

    @property
    def holds(self) -> Sequence[tuple[int, float, float]]: ...

    @property
    def borrowed(self) -> int: ...


@styled
def holding(
    runs: Mapping[str, Holding], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw a lane for each request: pale until it was answered, orange while it held a connection.

    A lane is as long as its request took, whatever that was. The guess is how many requests of the
    first run borrow a connection.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    counts = {name: f"{run.borrowed} of {len(run.requests)}" for name, run in runs.items()}
    title = "; ".join(f"{name}: {count}" for name, count in counts.items())
    what = "a lane for each request; orange: it holds a connection"
    figure, axes = canvas(f"Who borrows? {title}", what, source, columns=len(runs))
    most = max(len(run.requests) for run in runs.values())
    axes[0].set(ylim=(most - 0.3, -0.7), ylabel="request")
    axes[0].set_yticks(sorted({0, most - 1}), [str(n + 1) for n in sorted({0, most - 1})])
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        ax.barh(range(len(run.requests)), 1, 0.8, color=WAIT, linewidth=0)
        longest = 1.0
        for request, start, end in run.holds:
            begin, answered = run.requests[request]
            left, right = ((at - begin) / (answered - begin) for at in (start, end))
            longest = max(longest, right)
            ax.barh(request, right - left, 0.4, left, color=LOAD, linewidth=0)
        after = longest > 1.05
        ax.set(title=name, xlim=(0, 1.6 if after else 1.03))
        ax.set_xticks([0, 1], ["it comes", "answered"])
        if after:
            ax.axvline(1, color=INK, linestyle=":")
            where: Any = {"xycoords": "axes fraction", "ha": "right", "va": "top"}
            note(ax, "holds on →" if longest > 1.6 else "holds on", (0.98, 0.95), (0, 0), **where)
    told = guessed(guess, "borrow")
    if told:
        place: Any = {"xycoords": "axes fraction", "ha": "right", "va": "bottom"}
        guess_box(axes[-1], told.label, (0.98, 0.04), **place)
    text = ", ".join(f"{name} {count}" for name, count in counts.items())
    return finished(figure, f"requests that borrow a connection, {source}: {text}", told)


class Reads(Protocol):
    """Reads (when, old or not) and writes, in seconds; how long a page was old at the longest."""

    @property
    def reads(self) -> Sequence[tuple[float, bool]]: ...

    @property
    def writes(self) -> Sequence[float]: ...

    @property
    def old_for(self) -> float: ...

    @property
    def ttl(self) -> float: ...


@styled
def old_reads(
    runs: Mapping[str, Reads], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw a dot for each read, red if it was old, a row for each run; uprights are writes.

    The guess is how long pages of the first run are old (seconds).
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    worst = max(runs, key=lambda name: runs[name].old_for)
    title = "Nobody reads an old page"
    if runs[worst].old_for:
        ages = f"{two_figures(runs[worst].old_for)} s of a ttl of {duration(runs[worst].ttl)}"
        title = f"{worst}: old for {ages}"
    what = "a dot for each read, red if it was old; a line when a write was answered"
    figure, [ax] = canvas(title, what, source, height=1.5 + 0.75 * len(runs))
    named_rows(ax, list(runs))
    last = max(at for run in runs.values() for at, _ in run.reads)
    for y, run in enumerate(runs.values()):
        for wanted, colour in ((False, FRESH), (True, FAILED)):
            mine = [(at, i) for i, (at, old) in enumerate(run.reads) if old == wanted]
            heights = [y + 0.6 * ((i * 0.618034) % 1 - 0.5) for _, i in mine]
            ax.plot([at for at, _ in mine], heights, "o", color=colour, markersize=3, mew=0)
        for write in run.writes:
            ax.plot([write, write], [y - 0.42, y + 0.42], color=INK, linewidth=1.6)
    told = guessed(guess, "s")
    ax.set(xlim=(0, 1.02 * last), xlabel="time (seconds)")
    if told and runs:
        first = next(iter(runs.values()))
        x, arrow = pinned((first.writes[0] if first.writes else 0) + told.value, 0, last, "←→")
        ax.set_ylim(len(runs) - 0.2, -0.6)
        guess_upright(ax, x, -0.45, told, arrow)
    labels = [(y, _how_old(run), FAILED if run.old_for else FRESH) for y, run in
              enumerate(runs.values())]  # fmt: skip
    margin_labels(ax, labels)
    text = ", ".join(f"{name} {_how_old(run, rough=True)}" for name, run in runs.items())
    return finished(figure, f"reads after a write, {source}: {text}", told)


def _how_old(run: Reads, rough: bool = False) -> str:
    if not run.old_for:
        return "never old"
    if rough:
        return "old for nearly the ttl" if run.old_for > run.ttl / 2 else "old for a while"
    return f"old for {two_figures(run.old_for)} s"


class Generations(Protocol):
    """For each size of a pool: the connections after each worker that started."""

    @property
    def workers(self) -> int: ...

    @property
    def limit(self) -> int: ...

    @property
    def connections(self) -> Mapping[int, Sequence[int]]: ...


@styled
def generations(
    run: Generations, *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw the connections after each worker's start, a line for each size of the pool.

    A cross is the worker that could not start. The guess is how many workers of the new generation
    start with the first size.
    """
    if not run.connections:
        raise ValueError("connections is empty: nothing to draw")
    new = {size: len(counts) - run.workers for size, counts in run.connections.items()}
    size, count = next(iter(new.items()))
    fits = [size for size, count in new.items() if count == run.workers]
    started = (
        f"{number(count)} of {run.workers} new workers start" if count else "no new worker starts"
    )
    title = f"With pools of {size} {started}"
    title += f", with {fits[0]} all do" if fits and fits[0] != size else ""
    what = "connections after each worker's start; a cross: it could not start"
    figure, [ax] = canvas(title, what, source)
    top = max([run.limit, *(counts[-1] + size for size, counts in run.connections.items())])
    ax.set(xlim=(0.5, 2 * run.workers + 0.7), ylim=(0, 1.15 * top))
    ax.set(xlabel="workers, one after the other", ylabel="connections")
    ax.set_xticks(range(1, 2 * run.workers + 1))
    ax.axhline(run.limit, color=INK, linestyle=":")
    ax.axvspan(run.workers + 0.5, 2 * run.workers + 0.7, color="#EFEFEF", zorder=0, linewidth=0)
    note(ax, "the new generation", (run.workers + 0.6, 0), (0, 5), color=QUIET)
    labels = [(float(run.limit), f"limit: {run.limit}", INK)]
    colours = (FAILED, MISS, STALE, HIT)
    for i, (size, counts) in enumerate(run.connections.items()):
        colour = colours[i % len(colours)]
        x = range(1, len(counts) + 1)
        ax.plot(x, numbers(f"connections with {size}", counts, 0), "o-", color=colour, markersize=5)
        if len(counts) < 2 * run.workers:
            there = (len(counts) + 1, counts[-1] + size)
            ax.plot([len(counts), there[0]], [counts[-1], there[1]], ":", color=colour)
            ax.plot(*there, "X", color=colour, markersize=10, mec="white")
            note(ax, f"size {size}", there, (9, 0), va="center", color=colour, weight="bold")
        else:
            labels.append((float(counts[-1]), f"size {size}", colour))
    margin_labels(ax, labels)
    told = guessed(guess, "new workers")
    if told:
        place: Any = {"xycoords": "axes fraction", "ha": "left", "va": "top"}
        guess_box(ax, told.label, (0.02, 0.95), **place)
    text = ", ".join(f"size {size} {number(count)}" for size, count in new.items())
    limit = f"{run.limit} connections"
    return finished(
        figure, f"new workers of {run.workers} that start, {limit}, {source}: {text}", told
    )
