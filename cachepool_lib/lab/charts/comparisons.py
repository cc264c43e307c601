"""Charts that compare how long things took: before and after, one store and the next."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from math import inf, log10
from statistics import quantiles

from cachepool_lib.lab.charts.canvas import (
    HIT,
    INK,
    MISS,
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
)
from cachepool_lib.lab.charts.labels import (
    guess_upright,
    guessed,
    named_rows,
    note,
    pinned,
    plain_numbers,
)


@styled
def before_after(
    before: Sequence[float],
    after: Sequence[float],
    outcomes: Sequence[str] = (),
    *,
    guess: float | Guess | None = None,
    at_least: float = 3,
    source: Source = "real",
) -> Chart:
    """Draw the seconds of every visit before and after, a dot a visit, on a logarithmic axis.

    *outcomes* of the visits after say which were a "hit": the others asked the database as well.
    Without them all were hits.
    The guess is how many times faster the median visit gets. Real milliseconds differ from run to
    run, so the line of text only says whether it was more than *at_least* times.
    """
    both = {"before": numbers("before", before, 1e-7), "after": numbers("after", after, 1e-7)}
    hits = [outcome == "hit" for outcome in outcomes] or [True] * len(after)
    if len(hits) != len(after):
        raise ValueError(f"there are {len(after)} visits after, but {len(hits)} outcomes")
    medians, tails = ([_percentile(row, of) for row in both.values()] for of in (50, 99))
    times = float(f"{medians[0] / medians[1]:.2g}")
    title = "The visits before and after"
    if times >= 1.1:
        title = f"The median visit is {number(times)} times faster"
    what = "a dot a visit, orange from the database, blue from the cache"
    figure, [ax] = canvas(title, f"{what}; p99: 99 of 100 are faster", source)
    named_rows(ax, [f"{name}\n{len(row):,} visits" for name, row in both.items()])
    low, high = _room_for_labels(both.values(), min(medians), max(tails))
    ax.set(xscale="log", xlim=(low, high), ylim=(1.75, -0.6))
    ax.set_xlabel("time for one visit (milliseconds, log scale)")
    plain_numbers(ax.xaxis)
    from_cache = {"before": [False] * len(before), "after": hits}
    for y, (name, row) in enumerate(both.items()):
        dots = sorted(zip(row, from_cache[name], strict=True))[:: len(row) // 2000 + 1]
        for wanted, colour in ((True, HIT), (False, MISS)):
            mine = [(i, 1000 * s) for i, (s, hit) in enumerate(dots) if hit == wanted]
            places = [x for _, x in mine], [_scatter(y, i) for i, _ in mine]
            ax.plot(*places, "o", color=colour, markersize=4, alpha=0.45, mew=0)
        for side, of, value in (("right", "median", medians[y]), ("left", "p99", tails[y])):
            x, by = 1000 * value, (-4 if side == "right" else 4, 0)
            ax.plot([x, x], [y - 0.42, y + 0.32], color=INK, linewidth=2.2)
            note(ax, f"{of} {number(float(f'{x:.2g}'))} ms", (x, y - 0.42), by, ha=side, va="top")
    told = guessed(guess, "times faster")
    if told:
        place = 1000 * medians[0] / told.value if told.value > 0 else inf
        x, arrow = pinned(place, low, high, "←→")
        guess_upright(ax, x, 0.6, told, arrow)
    counts = f"{len(before):,} and {len(after):,} visits"
    more = "more" if times > at_least else "not more"
    text = f"{counts}, the median {more} than {at_least:g} times faster"
    return finished(figure, f"visits before and after, {source}: {text}", told)


def _room_for_labels(
    rows: Collection[Sequence[float]], median: float, tail: float
) -> tuple[float, float]:
    """Return the ends of the axis in milliseconds: a quarter of it is left of the first median."""
    lowest = log10(min(map(min, rows))) - 0.2
    highest = log10(max(map(max, rows))) + 0.2
    highest = max(highest, (log10(tail) - 0.19 * lowest) / 0.81)
    lowest = min(lowest, (log10(median) - 0.25 * highest) / 0.75)
    return 10 ** (lowest + 3), 10 ** (highest + 3)


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _scatter(y: float, i: int) -> float:
    """Spread dots over the height of a row, evenly and the same every time."""
    return y + 0.5 * ((i * 0.618034) % 1 - 0.5)


@styled
def latencies(
    seconds: Mapping[str, Sequence[float]],
    at_least: Sequence[float | None],
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw the seconds of every answer of each store, a dot an answer, on a logarithmic axis.

    From one row to the next is written how many times slower the median is. The guess is that
    ratio for the first two rows. Real milliseconds differ from run to run, so the line of text
    only says whether each ratio was more than that in *at_least*; nothing where that is None.
    """
    rows = {name: numbers(name, values, 1e-9) for name, values in seconds.items()}
    if len(rows) < 2 or len(at_least) != len(rows) - 1:
        raise ValueError("latencies needs two rows or more, and an at_least for each step")
    names, medians = list(rows), [_percentile(row, 50) for row in rows.values()]
    ratios = [float(f"{later / sooner:.2g}") for sooner, later in pairwise(medians)]
    title = f"{names[1]} takes {number(ratios[0])} times as long as {names[0]}"
    title += "".join(
        f", {name} {number(ratio)} times as long as {before}"
        for before, name, ratio, least in zip(
            names[1:-1], names[2:], ratios[1:], at_least[1:], strict=True
        )
        if least is not None
    )
    title = title[0].upper() + title[1:]
    figure, [ax] = canvas(title, "a dot an answer, the median marked", source)
    named_rows(ax, [f"{name}\n{len(row):,} times" for name, row in rows.items()])
    low = log10(min(map(min, rows.values()))) - 0.5
    high = log10(max(map(max, rows.values()))) + 0.3
    low, high = 10 ** (low + 3), 10 ** (high + 3)
    ax.set(xscale="log", xlim=(low, high), ylim=(len(rows) - 0.3, -0.75))
    ax.set_xlabel("time for one answer (milliseconds, log scale)")
    plain_numbers(ax.xaxis)
    colours = [HIT] * (len(rows) - 1) + [MISS]
    for y, (row, colour) in enumerate(zip(rows.values(), colours, strict=True)):
        dots = sorted(row)[:: len(row) // 1000 + 1]
        places = [1000 * s for s in dots], [_scatter(y, i) for i in range(len(dots))]
        ax.plot(*places, "o", color=colour, markersize=4, alpha=0.4, mew=0)
        x = 1000 * medians[y]
        ax.plot([x, x], [y - 0.34, y + 0.34], color=INK, linewidth=2.2)
        words = f"{number(float(f'{x:.2g}'))} ms"
        note(ax, words, (x, y - 0.36), (0, 0), ha="center", va="bottom", bbox=WHITE)
    told = guessed(guess, "times")
    if told:
        place = 1000 * medians[0] * told.value if told.value > 0 else 0.0
        x, arrow = pinned(place, low, high, "←→")
        guess_upright(ax, x, 0.66, told, arrow)
    steps = [
        f"{later} {'more' if ratio > least else 'not more'} than {least:g} times {sooner}"
        for (sooner, later), ratio, least in zip(pairwise(names), ratios, at_least, strict=True)
        if least is not None
    ]
    return finished(figure, f"time for one answer, {source}: {', '.join(steps)}", told)


@styled
def trips(
    runs: Mapping[str, tuple[float, int]],
    *,
    guess: float | Guess | None = None,
    at_least: float = 3,
    source: Source = "real",
) -> Chart:
    """Draw how long the same work took (seconds), in how many trips to the server, as bars.

    The first one named is compared with the last; the guess is how many times faster the last one
    is. The line of text only says whether it was more than *at_least* times.
    """
    names = list(runs)
    if len(names) < 2:
        raise ValueError("trips needs two bars or more")
    millis = [1000 * s for s in numbers("seconds", [s for s, _ in runs.values()], 1e-9)]
    counts = [int(n) for n in numbers("trips", [n for _, n in runs.values()], 1)]
    times = float(f"{millis[0] / millis[-1]:.2g}")
    title = f"{names[-1]}: {number(times)} times faster"
    title = title[0].upper() + title[1:]
    figure, [ax] = canvas(title, "time for the same keys; a stripe is a trip to the server", source)
    named_rows(ax, names)
    top = 1.3 * max(millis)
    ax.set(xlim=(0, top), ylim=(len(names) - 0.2, -0.6), xlabel="time (milliseconds)")
    plain_numbers(ax.xaxis)
    for y, (width, count) in enumerate(zip(millis, counts, strict=True)):
        ax.barh(y, width, 0.5, color=HIT if y else WAIT, edgecolor=HIT)
        if count > 1:
            stripes = [width * i / count for i in range(1, count)]
            ax.vlines(stripes, y - 0.25, y + 0.25, HIT, linewidth=0.7)
        label = f"{number(float(f'{width:.2g}'))} ms, {count} trip" + "s" * (count != 1)
        note(ax, label, (width, y), (8, 0), va="center", weight="bold")
    told = guessed(guess, "times faster")
    if told:
        x, arrow = pinned(millis[0] / told.value if told.value > 0 else inf, 0, top, "←→")
        guess_upright(ax, x, 0.6, told, arrow)
    bars = ", ".join(
        f"{name} {count} trip" + "s" * (count != 1)
        for name, count in zip(names, counts, strict=True)
    )
    more = "more" if times > at_least else "not more"
    text = f"{bars}, {more} than {at_least:g} times faster"
    return finished(figure, f"time by trips, {source}: {text}", told)
