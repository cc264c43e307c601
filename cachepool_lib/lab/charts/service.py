"""Charts of a service: pages at the door, a bad day, and workers that leave."""

from collections.abc import Mapping, Sequence
from math import inf
from statistics import median
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    HIT,
    INK,
    OURS,
    QUIET,
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
    guess_upright,
    guessed,
    named_rows,
    note,
    pinned,
    plain_numbers,
)
from cachepool_lib.lab.charts.pages import (
    LOST,
    Run,
    legend,
    page_dots,
    pages_through_fault,
    time_for_a_page,
)


class Load(Protocol):
    """Pages a second, and what 50 and 99 of 100 pages took at most (seconds)."""

    @property
    def rate(self) -> float: ...

    @property
    def p50(self) -> float: ...

    @property
    def p99(self) -> float: ...


@styled
def at_the_door(
    runs: Mapping[str, Load],
    *,
    guess: float | Guess | None = None,
    at_least: float = 10,
    source: Source = "real",
) -> Chart:
    """Draw what a page takes (median and p99) and the pages a second, a row for each version.

    The guess is how many times as many pages the last one sends as the first. The line of text only
    says whether it is more than *at_least* times.
    """
    if len(runs) < 2:
        raise ValueError("runs must be two or more: there is nothing to compare")
    rates = numbers("rate", [run.rate for run in runs.values()], 1e-9)
    p50, p99 = (
        [1000 * s for s in numbers(name, [getattr(run, name) for run in runs.values()], 1e-9)]
        for name in ("p50", "p99")
    )
    names, times = list(runs), rates[-1] / rates[0]
    title = f"{names[-1]}: {two_figures(times)} times as many pages as {names[0]}"
    what = "left the median page and the slowest of 100 (p99), right pages a second"
    figure, [left, right] = canvas(title, what, source, columns=2)
    named_rows(left, names)
    left.set(xscale="log", xlim=(0.5 * min(p50), 4 * max(p99)))
    left.set_xlabel("time for a page (ms, log)")
    plain_numbers(left.xaxis)
    for y, (middle, slow) in enumerate(zip(p50, p99, strict=True)):
        left.plot([middle, slow], [y, y], color=WAIT, linewidth=6, solid_capstyle="round")
        left.plot(middle, y, "o", color=HIT, markersize=9)
        left.plot(slow, y, "o", color="white", markersize=9, mec=HIT, mew=2)
        note(left, two_figures(middle), (middle, y), (0, 8), ha="center")
        note(left, f"{two_figures(slow)} ms", (slow, y), (9, 0), va="center")
    top = 1.35 * max(rates)
    right.set(xlim=(0, top), xlabel="pages a second")
    right.tick_params(axis="y", length=0)
    right.locator_params("x", nbins=4)
    for y, rate in enumerate(rates):
        right.barh(y, rate, 0.5, color=OURS)
        note(right, two_figures(rate), (rate, y), (6, 0), va="center", weight="bold")
    told = guessed(guess, "times as many")
    if told:
        left.set_ylim(len(names) - 0.2, -0.5)
        x, arrow = pinned(told.value * rates[0], 0, top, "←→")
        guess_upright(right, x, -0.5, told, arrow)
    more = "more" if times > at_least else "not more"
    text = f"{names[-1]}: {more} than {at_least:g} times as many pages as {names[0]}"
    return finished(figure, f"pages at the door, {source}: {text}", told)


class Day(Protocol):
    """Visits, and when what was broken (from, to: seconds)."""

    @property
    def visits(self) -> Run: ...

    @property
    def spans(self) -> Mapping[str, tuple[float, float]]: ...


@styled
def bad_day(
    runs: Mapping[str, Day], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw how long each page took through a day on which one thing after the other breaks.

    A panel for each run; a cross has failed. The guess is how many pages of the first run fail.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    lost = {name: sum(o in LOST for o in run.visits.outcomes) for name, run in runs.items()}
    total = sum(lost.values())
    title = f"{number(total)} of {sum(len(run.visits.at) for run in runs.values()):,} pages fail"
    if not total:
        title = "Nothing failed; some pages were old"
    what = legend([run.visits for run in runs.values()])
    figure, axes = canvas(title, what, source, rows=len(runs), height=1.2 + 1.6 * len(runs))
    told = guessed(guess, "fail")
    tallest = max(0.25, *(max(run.visits.seconds) for run in runs.values()))
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        time_for_a_page([ax], 1000 * tallest * 12)
        page_dots(ax, name, run.visits)
        ax.set_yticks([1, 10, 100, 1000])
        ax.minorticks_off()
        ax.set(ylabel="ms, log", xlabel="")
        for what_broke, (start, end) in run.spans.items():
            end = max(end, start + 0.05)
            ax.axvspan(start, end, color="#E4E4E4", zorder=0, linewidth=0)
            place: Any = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "top"}
            note(ax, what_broke, ((start + end) / 2, 0.97), (0, 0), bbox=WHITE, **place)
    axes[-1].set_xlabel("asked for at (seconds)")
    if told:
        place = {"xycoords": "axes fraction", "ha": "right", "va": "bottom"}
        guess_box(axes[0], told.label, (0.99, 1.06), **place)
    text = ", ".join(f"{name} {'some' if count else 'none'} failed" for name, count in lost.items())
    return finished(figure, f"pages on a bad day, {source}: {text}", told)


@styled
def no_room(
    runs: Mapping[str, Day],
    fault: tuple[float, float],
    what: str,
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw pages through a fault (see pages_through_fault), a panel for each mend.

    The line of text says of each run whether pages failed meanwhile, and which of them has the
    lowest median of those who got a page: how low differs from machine to machine.
    """
    visits = {name: run.visits for name, run in runs.items()}
    chart = pages_through_fault(visits, fault, what, guess=guess, source=source)
    medians, parts = {}, []
    for name, run in visits.items():
        rows = zip(run.at, run.seconds, run.outcomes, strict=True)
        meanwhile = [(s, o in LOST) for at, s, o in rows if fault[0] <= at < fault[1]]
        medians[name] = median([s for s, lost in meanwhile if not lost] or [inf])
        parts.append(f"{name} {'some' if any(lost for _, lost in meanwhile) else 'none'} fail")
    if len(runs) > 1:
        parts.append(f"quickest: {min(medians, key=lambda name: medians[name])}")
    text = f"pages while {what}, {source}: {'; '.join(parts)}"
    told = guessed(guess, "s")
    return finished(chart.figure, text, told)


class Answers(Run, Protocol):
    """Pages in columns, and which worker answered each: 0 is none."""

    @property
    def pids(self) -> Sequence[int]: ...


class Leaving(Protocol):
    """Visits, and when a signal was sent to which worker (seconds)."""

    @property
    def visits(self) -> Answers: ...

    @property
    def at(self) -> float: ...

    @property
    def pid(self) -> int: ...

    @property
    def gone_after(self) -> float: ...


@styled
def workers(
    runs: Mapping[str, Leaving], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw a lane for each worker and a line for each page, a panel for each signal.

    A cross is a page that was lost. The guess is how many are lost in the first panel.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    lost = {name: sum(o in LOST for o in run.visits.outcomes) for name, run in runs.items()}
    title = "; ".join(f"{name} loses {number(count)} pages" for name, count in lost.items())
    what = "a lane for each worker, a line for each page, a cross: lost"
    figure, axes = canvas(title, what, source, columns=len(runs), height=3.6)
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        others = sorted({*run.visits.pids} - {0, run.pid})
        lanes = [run.pid, *others]
        seen = run.visits
        rows = zip(seen.at, seen.seconds, seen.pids, seen.outcomes, strict=True)
        for i, (at, seconds, pid, outcome) in enumerate(rows):
            y = lanes.index(pid or run.pid) + 0.7 * ((i * 0.618034) % 1 - 0.5)
            bad = outcome in LOST
            ax.plot([at, at + seconds], [y, y], color=FAILED if bad else HIT, linewidth=1.4)
            if bad:
                ax.plot(at + seconds, y, "x", color=FAILED, markersize=8, mew=2.2)
        gone = run.at + run.gone_after
        last = max(a + s for a, s in zip(run.visits.at, run.visits.seconds, strict=True))
        ax.axvline(run.at, color=INK, linestyle=":")
        ax.barh(0, max(0.0, last - gone), 0.86, gone, color="#E4E4E4", linewidth=0, zorder=0)
        note(ax, name, (run.at, -0.55), (0, 2), ha="center", va="bottom", weight="bold")
        note(ax, "gone", ((gone + last) / 2, 0), (0, 0), ha="center", va="center", color=QUIET)
        ax.set(xlim=(0, last), ylim=(len(lanes) - 0.45, -0.95), xlabel="time (seconds)")
    rest = [f"worker {n}" for n in range(2, len(lanes) + 1)]
    axes[0].set_yticks(range(len(lanes)), ["worker 1", *rest])
    for ax in axes:
        ax.tick_params(axis="y", length=0)
    told = guessed(guess, "lost")
    if told:
        place: Any = {"xycoords": "axes fraction", "ha": "right", "va": "bottom"}
        guess_box(axes[0], told.label, (1.0, 1.02), **place)
    text = ", ".join(f"{name} {'some pages' if n else 'no page'} lost" for name, n in lost.items())
    return finished(figure, f"a worker leaves, {source}: {text}", told)
