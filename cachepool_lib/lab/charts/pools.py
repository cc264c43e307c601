"""Charts of connections: what they cost, who has them, who waits for them and for how long."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any, Protocol

from matplotlib.ticker import NullLocator

from ._canvas import (
    FAILED,
    GUESS,
    HIT,
    INK,
    LOAD,
    OURS,
    QUIET,
    STALE,
    WAIT,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    duration,
    finished,
    guess_across,
    guess_box,
    guess_upright,
    guessed,
    margin_labels,
    named_rows,
    note,
    number,
    numbers,
    pinned,
    plain_numbers,
    room,
    styled,
    two_lines,
)


def _short(value: float) -> str:
    """Two figures are enough for what differs from run to run."""
    return number(float(f"{value:.2g}"))


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


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
    title = f"Connecting each time takes {_short(times)} times as long"
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
        note(ax, f"{_short(width)} ms", (at, y), (8, 0), va="center", weight="bold")
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
    for name, row in rows.items():
        colour = OURS if name == names[-1] and len(names) > 1 else INK
        ax.plot(range(1, len(row) + 1), row, "o-", color=colour, markersize=4, linewidth=1.2)
        text = f"{name}: {_short(max(row))} ms at most, {_short(sum(row) / len(row))} on average"
        at = (first + 1, max(row))
        note(ax, text, at, (6, 6), va="bottom", color=colour, weight="bold", bbox=WHITE)
    told = guessed(guess, "others")
    if told:
        where: Any = {"xycoords": "axes fraction", "va": "center", "ha": "right"}
        guess_box(ax, told.label, (0.98, 0.3), **where)
    ends = ", ".join(f"{name} overtaken by {by[name]}" for name in names)
    return finished(figure, f"the unluckiest caller, {source}: {ends}", told)


class Throughput(Protocol):
    """Queries a second, and the p99 of the wait for a connection (seconds)."""

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
    """Draw queries a second by the size of the pool, relative to size 1, and the wait beneath.

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
        f"{name} × {_short(gain)}" for name, gain in gains.items()
    )
    what = "above: queries a second, below: 99 of 100 wait less for a connection"
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
    for ax, label in ((up, "queries per second"), (down, "p99 wait (ms)")):
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
    title += f"the wait grows {_short(times)} times"
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
        note(ax, _short(unit) + arrow, (x, unit), by, **style)
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
            "practically no wait" if here < low else f"a mean wait of {_short(here)} times the use"
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
        busy = f"{_short(here) if here >= low else 'no wait'}, {round(100 * load / size)} % busy"
        side, by = ("left", (14, 6)) if size < max(sizes) * 0.6 else ("right", (-14, -18))
        if here < 4 * low:  # below is no room, and the curve has left, or comes from the left
            side, by = ("left", (0, 14)) if size < max(sizes) * 0.7 else ("right", (0, 14))
        note(ax, busy, at, by, ha=side, color=HIT, weight="bold", bbox=WHITE)
    text = f"{_short(here)} times the work" if isfinite(here) else "without end"
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
    pages_ = "no more pages" if gain < 1.25 else f"{_short(gain)} times the pages"
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
        note(ax, f"{_short(rate)} pages/s", (x, top), (0, 4), ha="center")
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
