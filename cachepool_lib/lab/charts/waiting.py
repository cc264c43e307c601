"""Charts of waiting: for a connection, by how busy they are, for a silent server."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    GUESS,
    HIT,
    INK,
    OURS,
    QUIET,
    WHITE,
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
    two_lines,
)


class Queue(Protocol):
    """Waits in seconds, in the order of asking: of those who were there before anybody was served,
    *waiting*, and of those who came later; and by how many the unluckiest was overtaken."""

    @property
    def waiting(self) -> int: ...

    @property
    def waits(self) -> Sequence[float]: ...

    @property
    def overtaken(self) -> int: ...


@styled
def waits(
    queues: Mapping[str, Queue],
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw how long each caller waits, in the order in which they asked, a line a pool.

    The guess is by how many later callers the unluckiest of the first was overtaken.
    """
    if not queues:
        raise ValueError("queues is empty: nothing to draw")
    rows = {
        name: [1000 * s for s in numbers(f"waits of {name}", queue.waits, 0)]
        for name, queue in queues.items()
    }
    by = {name: f"{queue.overtaken or 'nobody'}" for name, queue in queues.items()}
    names = list(rows)
    first = queues[names[0]].waiting
    who = [f"by {by[name]}" + (f" ({name})" if len(names) > 1 else "") for name in names]
    title = "The unluckiest caller is overtaken " + ", ".join(who)
    figure, [ax] = canvas(title, "each caller's wait for the one connection", source)
    top = max(1e-3, *(wait for row in rows.values() for wait in row))
    count = max(map(len, rows.values()))
    ax.set(xlim=(0, count + 1), ylim=(-0.04 * top, 1.3 * top))
    ax.set(xlabel="callers, in the order in which they asked", ylabel="wait (milliseconds)")
    ax.locator_params("y", nbins=5)
    ax.axvline(first + 0.5, color=QUIET, linestyle=":", linewidth=1.2)
    style: Any = {"xycoords": ax.get_xaxis_transform(), "va": "top", "color": QUIET}
    note(ax, "were in the queue already", (first + 0.5, 1), (-8, -2), ha="right", **style)
    note(ax, "came later, one by one", (first + 0.5, 1), (8, -2), ha="left", **style)
    labels = []
    for name, row in rows.items():
        colour = OURS if name == names[-1] and len(names) > 1 else INK
        ax.plot(range(1, len(row) + 1), row, "o-", color=colour, markersize=4, linewidth=1.2)
        longest, mean = two_figures(max(row)), two_figures(sum(row) / len(row))
        labels.append((max(row), f"{name}: {longest} ms\nat most,\n{mean} on average", colour))
    margin_labels(ax, labels)
    told = guessed(guess, "others")
    if told:
        where: Any = {"xycoords": "axes fraction", "va": "center", "ha": "right"}
        guess_box(ax, told.label, (0.98, 0.3), **where)
    ends = ", ".join(f"{name} overtaken by {by[name]}" for name in names)
    return finished(figure, f"the unluckiest caller, {source}: {ends}", told)


@styled
def price_of_order(
    seconds: Mapping[str, float],
    *,
    guess: float | Guess | None = None,
    at_most: float = 1.5,
    source: Source = "real",
) -> Chart:
    """Draw the processor's time for a short query with each pool (seconds).

    The guess is how many times as much it is with the last as with the first. The line of text only
    says whether it was less than *at_most* times.
    """
    row = [1000 * s for s in numbers("seconds", seconds.values(), 1e-9)]
    if len(row) < 2:
        raise ValueError("price_of_order needs two pools or more, to compare them")
    names, times = list(seconds), row[-1] / row[0]
    title = f"With {names[-1]}, a query takes {two_figures(times)} times the processor"
    what = "processor time of this process for one short query, the pool included"
    figure, [ax] = canvas(title, what, source)
    named_rows(ax, names)
    told = guessed(guess, "times")
    top = 1.3 * max(row)
    ax.set(xlim=(0, top), ylim=(len(row) - 0.2, -0.6), xlabel="processor time (milliseconds)")
    for y, each in enumerate(row):
        ax.barh(y, each, 0.5, color=OURS if y == len(row) - 1 else QUIET)
        note(ax, f"{two_figures(each)} ms", (each, y), (8, 0), va="center", weight="bold")
    if told:
        x, arrow = pinned(row[0] * told.value, 0, top, "←→")
        guess_upright(ax, x, -0.4, told, arrow)
    text = f"{'less' if times < at_most else 'not less'} than {at_most:g} times the processor"
    return finished(figure, f"a query with {names[-1]}, {source}: {text}", told)


class Arrivals(Protocol):
    """The share of time that connections are busy (0 to 1), and the mean wait in seconds."""

    @property
    def utilisation(self) -> float: ...

    @property
    def wait(self) -> float: ...

    @property
    def service(self) -> float: ...


@styled
def wait_by_utilisation(
    measured: Mapping[float, Arrivals],
    theory: Mapping[float, float],
    *,
    guess: float | Guess | None = None,
    at_least: float = 3,
    source: Source = "real",
) -> Chart:
    """Draw how long callers wait on average, by how busy the connections are, over a theory.

    Both in units of the time for which one has a connection. *measured* and *theory* are by the
    utilisation; of *measured* the first and the last named are compared. The guess is how many
    times longer the wait is. The line of text only says whether it was more than *at_least* times.
    """
    if len(measured) < 2:
        raise ValueError("wait_by_utilisation needs two measured ones or more, to compare them")
    busy = numbers("utilisation", [run.utilisation for run in measured.values()], 0)
    units = numbers("wait", [run.wait / run.service for run in measured.values()], 0)
    line = sorted(numbers("theory utilisation", theory, 0, 1))
    curve = numbers("theory", [theory[share] for share in line], 0)
    first, *_, last = measured
    times = units[-1] / units[0] if units[0] else inf
    title = f"From {number(busy[0])} to {number(busy[-1])} busy, "
    title += f"the wait grows {two_figures(times)} times"
    what = "mean wait, in units of the time for which one has a connection"
    figure, [ax] = canvas(title, what, source)
    top = 1.15 * max(*units, 1.0)
    ax.set(xlim=(0, 1.02), ylim=(0, top))
    ax.set(xlabel="utilisation: share of the time that a connection is busy")
    ax.set(ylabel="mean wait ÷ time of use")
    step = [pinned(share, 0, 1.02)[0] for share in busy[-2:]]
    ax.axvspan(*step, color="#E4E4E4", zorder=0, linewidth=0)
    note(ax, "the last step", (min(step), top), (-6, -4), ha="right", va="top")
    ax.plot(line, curve, color=INK)
    at = min(range(len(line)), key=lambda i: abs(line[i] - 0.74))
    note(ax, "theory: Erlang C", (line[at], curve[at]), (-8, 22), ha="right")
    for share, unit in zip(busy, units, strict=True):
        x, arrow = pinned(share, 0, 1.02, "←→")
        ax.plot(x, unit, "o", color=HIT, markersize=9, clip_on=False)
        # On the side of the curve on which the dot is.
        above = sum(at <= x for at in line) and unit >= curve[sum(at <= x for at in line) - 1]
        by, ha = ((-9, 4), "right") if above or x > 0.96 else ((8, -8), "left")
        style: Any = {"ha": ha, "color": HIT, "weight": "bold"}
        if x < min(step):  # the line of the guess may pass here
            style["bbox"] = WHITE
        note(ax, two_figures(unit) + arrow, (x, unit), by, **style)
    told = guessed(guess, "times")
    if told:
        y, arrow = pinned(units[0] * told.value, 0, top)
        ax.plot([0, min(busy[-1], 1.02)], [y, y], "--", color=GUESS, zorder=1)
        words = two_lines(told.label) + arrow
        below: Any = {"va": "top"} if y > 0.6 * top else {"va": "bottom"}
        note(ax, words, (0.01, y), (0, -4 if y > 0.6 * top else 3), color=GUESS, **below)
    more = "more" if times > at_least else "not more"
    text = f"{more} than {at_least:g} times longer at {last:g} than at {first:g}"
    return finished(figure, f"mean wait by utilisation, {source}: {text}", told)


class Silence(Protocol):
    """When each caller was back (seconds), None: not as long as one looked."""

    @property
    def answered(self) -> Sequence[float | None]: ...

    @property
    def promised(self) -> float: ...

    @property
    def watched(self) -> float: ...


@styled
def silent_server(
    runs: Mapping[str, Silence],
    *,
    guess: float | Guess | None = None,
    within: float = 2,
    source: Source = "real",
) -> Chart:
    """Draw a line for each caller, from its call until it was back, a group for each pool.

    The guess is when the callers of the first are back (seconds). The line of text says whether all
    were back *within* so many seconds.
    """
    if not runs or not all(run.answered for run in runs.values()):
        raise ValueError("silent_server needs a run, and every run a caller")
    first, *_ = runs.values()
    [promised, watched] = numbers("promised", [first.promised, first.watched], 0)
    ends = [_when(run) for run in runs.values()]
    if len(runs) > 1:
        ends = [f"{name} {end}" for name, end in zip(runs, ends, strict=True)]
    title = f"Promised {duration(promised)}{':' if len(runs) > 1 else ','} {', '.join(ends)}"
    what = "the server says nothing; a line for each caller, until that caller goes on"
    figure, [ax] = canvas(title, what, source)
    names: list[str] = []
    for name, run in runs.items():
        for number_, at in enumerate(run.answered):
            y = len(names) + 0.5 * (len(names) >= len(first.answered))
            names.append(name if number_ == len(run.answered) // 2 else "")
            colour = FAILED if at is None else HIT
            end = run.watched if at is None else at
            ax.plot([0, end], [y, y], color=colour, linewidth=7, solid_capstyle="butt")
            if at is None:
                ax.plot(end, y, ">", color=colour, markersize=11, clip_on=False)
                note(ax, "still waiting", (end, y), (14, 0), va="center", color=colour)
            else:
                words = f"back after {duration(float(f'{at:.2g}'))}"
                note(ax, words, (end, y), (10, 0), va="center", color=colour, bbox=WHITE)
    heights = [y + 0.5 * (y >= len(first.answered)) for y in range(len(names))]
    ax.set_yticks(heights, names)
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(0, 1.22 * watched), ylim=(heights[-1] + 1.4, -1.1), xlabel="time (seconds)")
    ax.axvline(promised, color=INK, linestyle=":")
    note(ax, f"promised: {duration(promised)}", (promised, -1), (6, 0), va="top", bbox=WHITE)
    told = guessed(guess, "s")
    if told:
        x, arrow = pinned(told.value, 0, 1.22 * watched, "←→")
        guess_upright(ax, x, -0.4, told, arrow)
    text = ", ".join(f"{name} {_back(run, within)}" for name, run in runs.items())
    return finished(
        figure, f"a silent server, promised {duration(promised)}, {source}: {text}", told
    )


def _when(run: Silence) -> str:
    seconds = [at for at in run.answered if at is not None]
    if len(seconds) < len(run.answered):
        return f"still waiting after {duration(run.watched)}"
    return f"back after {duration(float(f'{max(seconds):.2g}'))}"


def _back(run: Silence, within: float) -> str:
    if None in run.answered:
        return _when(run)
    seconds = [at for at in run.answered if at is not None]
    return f"{'' if max(seconds) < within else 'not '}back within {duration(within)}"
