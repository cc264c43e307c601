"""Charts of counters: what a scraper reads from one address, and what can be computed from them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    GUESS,
    INK,
    LOAD,
    OURS,
    QUIET,
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
    named_rows,
    note,
    pinned,
    plain_numbers,
)


class Scrapes(Protocol):
    """What a scraper read (second, counter), and the counters of all workers at those times."""

    @property
    def times(self) -> Sequence[float]: ...

    @property
    def counters(self) -> Sequence[Sequence[int]]: ...

    @property
    def seen(self) -> Sequence[tuple[float, int]]: ...


@styled
def one_address(
    scrapes: Scrapes,
    seen: float,
    true: float,
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the counter that a scraper reads from one address, over those of the workers behind it.

    *seen* is the rate (a second) that follows from what it read, *true* the one there was; the
    guess is for the former. A fall is red, and named: rate() takes it for a restart.
    """
    numbers("seen", [seen], 0)
    numbers("true", [true], 0)
    if len(scrapes.times) < 2:
        raise ValueError("scrapes must be two or more: a rate is between two of them")
    title = f"{number(true)} visits a second came; rate() says {number(round(seen))}"
    what = "a line for each worker's counter, a dot for what a scrape of the address reads"
    figure, [ax] = canvas(title, what, source)
    top = 1.12 * max(row[-1] for row in scrapes.counters)
    ax.set(xlim=(scrapes.times[0], scrapes.times[-1]), ylim=(0, top))
    ax.set(xlabel="time (seconds)", ylabel="visits counted")
    plain_numbers(ax.xaxis)
    plain_numbers(ax.yaxis)
    labels = []
    fallen: list[tuple[float, int]] = []
    for worker, row in enumerate(scrapes.counters, 1):
        ax.plot(scrapes.times, row, color="#B8B8B8", linewidth=1.4, zorder=1)
        labels.append((row[-1], f"worker {worker}", QUIET))
    for sooner, later in pairwise(scrapes.seen):
        falls = later[1] < sooner[1]
        line: Any = {"color": FAILED if falls else OURS, "linewidth": 2.4 if falls else 1.2}
        fallen += [later] * falls
        ax.plot(*zip(sooner, later, strict=True), zorder=2, **line)
    ax.plot(*zip(*scrapes.seen, strict=True), "o", color=OURS, markersize=7, clip_on=False)
    margin_labels(ax, labels)
    if fallen:
        style: Any = {"xycoords": "axes fraction", "ha": "left", "va": "bottom", "weight": "bold"}
        note(ax, "red: rate() takes it for a restart", (0.01, 0.02), (0, 0), color=FAILED, **style)
    told = guessed(guess, "a second")
    if told:
        guess_box(ax, told.label, (0.99, 1.03), xycoords="axes fraction", ha="right", va="bottom")
    text = f"{number(true)} visits a second, and from one address {number(round(seen))}"
    return finished(figure, f"rate of a counter, {source}: {text}", told)


@styled
def true_and_computed(
    figures: Mapping[str, tuple[float, float, str]],
    *,
    buckets: Mapping[str, Sequence[float]] | None = None,
    guess: float | Guess | None = None,
    of: str = "",
    source: Source = "simulated",
) -> Chart:
    """Draw what was computed as a multiple of what is true, a row for each way to compute it.

    A row is (computed, true, unit). Within a twentieth of it counts as true. *buckets* has the
    bounds of rows that were computed from buckets: of these no more is known than the bucket, and
    the right one does not mislead. The guess is the computed figure of the row called *of*.
    """
    if not figures:
        raise ValueError("figures is empty: nothing to draw")
    if guess is not None and of not in figures:
        raise ValueError(f"of must be one of the rows, not {of!r}")
    computed = numbers("computed", [row[0] for row in figures.values()], 1e-9)
    true = numbers("true", [row[1] for row in figures.values()], 1e-9)
    times = [a / b for a, b in zip(computed, true, strict=True)]
    good = [1 / 1.05 <= ratio <= 1.05 for ratio in times]
    spans = [_bucket((buckets or {}).get(name, ()), row[0]) for name, row in figures.items()]
    held = [
        span is not None and span[0] < t <= span[1] for span, t in zip(spans, true, strict=True)
    ]
    fine = [right or kept for right, kept in zip(good, held, strict=True)]
    off = max(
        max(r, 1 / r) for r, well in zip([*times, 1.0], [*fine, False], strict=True) if not well
    )
    wrong = len(fine) - sum(fine)
    title = f"{number(wrong)} of {number(len(fine))} figures mislead"
    if wrong:
        title += f"; the worst is {two_figures(off)} times off"
    what = "what was computed, as a multiple of what is true"
    figure, [ax] = canvas(title, what, source, height=1.5 + 0.42 * len(figures))
    named_rows(ax, list(figures))
    low, high = min(*times, 0.3) / 1.6, max(*times, 3) * 30
    ax.set(xscale="log", xlim=(low, high), xlabel="times the truth (log)")
    plain_numbers(ax.xaxis)
    ax.minorticks_off()
    ax.axvline(1, color=INK)
    for y, ((_, _, unit), ratio, right, kept, span) in enumerate(
        zip(figures.values(), times, good, held, spans, strict=True)
    ):
        if span and kept:
            ends = [bound / true[y] for bound in span]
            ax.plot(ends, [y, y], color=LOAD, linewidth=11, solid_capstyle="butt")
            words = f"{number(span[0])} to {number(span[1])} {unit}: the right bucket"
            words += f", true {number(true[y])}"
            style: Any = {"va": "center", "color": "#8A5A00", "weight": "bold"}
            note(ax, words, (max(ends), y), (10, 0), **style)
            continue
        colour = OURS if right else FAILED
        ax.plot([1, ratio], [y, y], color=colour, linewidth=5, solid_capstyle="butt")
        ax.plot(ratio, y, "o", color=colour, markersize=9)
        words = f"{number(computed[y])} {unit}".rstrip()
        if not right:
            words += f", true {number(true[y])}"
        note(ax, words, (max(ratio, 1), y), (10, 0), va="center", color=colour, weight="bold")
    told = guessed(guess)
    if told:
        y = list(figures).index(of)
        x, arrow = pinned(told.value / true[y] if told.value > 0 else 0, low, high, "←→")
        ax.plot([x, x], [y - 0.4, y + 0.4], "--", color=GUESS, linewidth=2, zorder=3)
        words = told.label + arrow
        guess_box(ax, words, (0.99, 1.03), xycoords="axes fraction", ha="right", va="bottom")
    rows = zip(figures, computed, true, strict=True)
    text = ", ".join(f"{name} {number(a)} (true {number(b)})" for name, a, b in rows)
    return finished(figure, f"computed and true, {source}: {text}; {wrong} mislead", told)


def _bucket(bounds: Sequence[float], value: float) -> tuple[float, float] | None:
    """The bounds around *value*. None: there are none."""
    return next((two for two in pairwise([0.0, *bounds]) if two[0] < value <= two[1]), None)
