"""Charts of how long each page took: through a fault, and around the end of its ttl."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from statistics import median
from typing import Any, Protocol

from matplotlib.axes import Axes

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    FRESH,
    INK,
    STALE,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    duration,
    finished,
    number,
    numbers,
    percent,
    styled,
)
from cachepool_lib.lab.charts.labels import (
    guess_across,
    guessed,
    margin_labels,
    note,
    plain_numbers,
    room,
)

LOST = {"failed", "refused"}  # no page, by an error or by 503


class Load(Protocol):
    """A query for a page: when it was answered (seconds), and whether it was."""

    @property
    def end(self) -> float: ...

    @property
    def ok(self) -> bool: ...


class Run(Protocol):
    """Pages in columns: when each was asked for, how long it took (seconds), what became of it."""

    @property
    def at(self) -> Sequence[float]: ...

    @property
    def seconds(self) -> Sequence[float]: ...

    @property
    def outcomes(self) -> Sequence[str]: ...


class LoadedRun(Run, Protocol):
    """Pages in columns, the queries for them, and what 99 of 100 pages took at most (seconds)."""

    @property
    def loads(self) -> Sequence[Load]: ...

    @property
    def p99(self) -> float: ...


@styled
def pages_through_fault(
    runs: Mapping[str, Run],
    fault: tuple[float, float],
    what: str,
    *,
    limit: float | None = None,
    within: float = 1.0,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw how long each page took, by when it was asked for; a cross has failed.

    *fault* is when something was broken, in seconds, and *what* says what that was; an end of
    infinity is never. A *limit* (seconds) is drawn as a line. The guess is for the slowest page of
    the first run (seconds). What is written is about the pages asked for during the fault, and a
    median is that of those who got one. Real milliseconds differ from run to run, so the line of
    text says how many failed in whole tenths and whether all took less than *within* seconds.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    [start] = numbers("fault", fault[:1], low=0)
    if fault[1] <= start:
        raise ValueError(f"the fault must end after {start:g} s, not at {fault[1]:g} s")
    shares, slowest, middle = {}, {}, {}
    for name, run in runs.items():
        numbers(f"at of {name}", run.at, 0)
        rows = zip(run.at, numbers(f"seconds of {name}", run.seconds, 0), run.outcomes, strict=True)
        meanwhile = [(s, outcome in LOST) for at, s, outcome in rows if start <= at < fault[1]]
        slowest[name] = max((s for s, _ in meanwhile), default=0.0)
        middle[name] = median([s for s, lost in meanwhile if not lost] or [inf])
        shares[name] = sum(bad for _, bad in meanwhile) / (len(meanwhile) or 1)
    before, *_, after = [*shares.values()] * 2
    title = f"While {what}, {percent(before)} of pages fail"
    if after < before:
        title += f", then {percent(after)}"
    elif not before:
        medians = [short(seconds) for seconds in middle.values()]
        title = f"While {what}, the median page takes {', then '.join(medians)}"
    figure, axes = canvas(title, legend(runs.values()), source, columns=len(runs))
    told = guessed(guess, "s")
    tallest = max(0.25, *(max(run.seconds) for run in runs.values()))
    if told and told.value <= 60:
        tallest = max(tallest, told.value)  # above it there is room for words
    narrow = len(runs) > 2
    time_for_a_page(axes, 1000 * tallest * (60 if narrow else 12))
    last = 1.03 * max(max(run.at) for run in runs.values())
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        page_dots(ax, name, run)
        ax.set_xlim(0, last)
        ax.axvspan(start, min(fault[1], last), color="#E4E4E4", zorder=0, linewidth=0)
        if limit is not None:
            ax.axhline(1000 * limit, color=INK, linestyle=":", linewidth=1.2)
        words = f"{percent(shares[name])} fail, slowest {short(slowest[name])}"
        if narrow:
            words = words.replace(", ", "\n")
        colour = FAILED if shares[name] else FRESH
        style: Any = {"xycoords": "axes fraction", "ha": "center", "va": "top", "weight": "bold"}
        note(ax, words, (0.5, 0.97), (0, 0), color=colour, bbox=WHITE, **style)
    labels = [(1000 * limit, f"{number(1000 * limit)} ms", INK)] if limit is not None else []
    if told:
        labels += guess_across(axes, told._replace(value=1000 * told.value))
    margin_labels(axes[-1], labels)
    text = ", ".join(
        f"{name} {_failures(shares[name])}, "
        + f"median {short(middle[name])}, " * (source == "simulated")
        + ("all" if slowest[name] < within else "not all")
        + f" within {duration(within)}"
        for name in runs
    )
    return finished(figure, f"pages while {what}, {source}: {text}", told)


def legend(runs: Iterable[Run]) -> str:
    outcomes = {outcome for run in runs for outcome in run.outcomes}
    what = "time for each page, a dot a page"
    if "stale" in outcomes:
        what += ", pink: an old one"
    return what + ", a cross: a failure" * bool(LOST & outcomes)


_FLOOR = 0.1  # milliseconds: what took less is drawn here


def time_for_a_page(axes: Sequence[Axes], high: float) -> None:
    axes[0].set(yscale="log", ylim=(0.7 * _FLOOR, high), ylabel="time for a page (ms, log)")
    plain_numbers(axes[0].yaxis)


def page_dots(ax: Axes, name: str, run: Run, floor: float = _FLOOR) -> None:
    """Draw a dot for each page, pink for an old one, and a cross for each that failed.

    What took less than *floor* milliseconds is drawn there.
    """
    ax.set(title=name, xlim=(0, max(run.at) * 1.03), xlabel="asked for at (seconds)")
    ax.locator_params("x", nbins=5)
    dots: dict[str, list[tuple[float, float]]] = {"fresh": [], "stale": [], "failed": []}
    for at, seconds, outcome in zip(run.at, run.seconds, run.outcomes, strict=True):
        kind = "failed" if outcome in LOST else outcome if outcome in dots else "fresh"
        dots[kind].append((at, max(floor, 1000 * seconds)))
    dot: dict[str, Any] = {"marker": "o", "markersize": 5, "mew": 0}
    cross: dict[str, Any] = {"marker": "x", "markersize": 7, "mew": 1.8}
    styles = {"fresh": (FRESH, dot), "stale": (STALE, dot), "failed": (FAILED, cross)}
    for kind, (colour, style) in styles.items():
        x, y = zip(*dots[kind], strict=True) if dots[kind] else ((), ())
        ax.plot(x, y, linestyle="none", color=colour, alpha=0.75, **style)


def short(seconds: float) -> str:
    if seconds == inf:
        return "for ever"
    seconds = float(f"{seconds:.2g}")
    return duration(seconds) if seconds >= 1 else f"{number(1000 * seconds)} ms"


def _failures(share: float) -> str:
    tenths = round(10 * share)
    if share == 0 or tenths == 10:
        return "all fail" if share else "none fail"
    return f"{max(1, tenths)} of 10 fail"


@styled
def pages_around_expiry(
    runs: Mapping[str, LoadedRun],
    ttl: float,
    *,
    down: tuple[float, float] | None = None,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw how long each page took, and when the page expired: *ttl* seconds after each load.

    Counts who got no page, and who waited for one: a millisecond or more. *down* is when the
    database was down (seconds). The guess is for the p99 of the first run (milliseconds): 99 of 100
    pages took at most that.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    [ttl] = numbers("ttl", [ttl], low=0)
    tails, waiting, failed = {}, {}, {}
    for name, run in runs.items():
        numbers(f"at of {name}", run.at, 0)
        seconds = numbers(f"seconds of {name}", run.seconds, 0)
        tails[name] = 1000 * run.p99
        got = [outcome != "failed" for outcome in run.outcomes]
        waiting[name] = sum(s >= 0.001 for s, page in zip(seconds, got, strict=True) if page)
        failed[name] = got.count(False)
    first, *others = tails
    fails = any(failed.values())
    title = f"{first}: {waiting[first] or 'none'} of {len(runs[first].at)} visitors wait"
    title += f", {failed[first] or 'none'} get no page" * fails
    for name in others:
        title += f"; {name}: {waiting[name] or 'none'}" + f" and {failed[name] or 'none'}" * fails
    figure, axes = canvas(title, legend(runs.values()), source, columns=len(runs))
    told = guessed(guess, "ms")
    top = room(1000 * max(max(run.seconds) for run in runs.values()), told)
    # Above the dots there is room for words; what fails at once lies at 0, and is seen.
    axes[0].set(ylim=(-0.05 * top, 1.3 * top), ylabel="time for a page (milliseconds)")
    plain_numbers(axes[0].yaxis)
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        page_dots(ax, name, run, floor=0.0)
        last = ax.get_xlim()[1]
        if down:
            start, end = numbers("down", down, low=0)
            ax.axvspan(start, min(end, last), color="#E4E4E4", zorder=0, linewidth=0)
            grey = {"facecolor": "#E4E4E4", "edgecolor": "none", "pad": 2}
            middle = (start + min(end, last)) / 2
            note(ax, "database\ndown", (middle, 0.5 * top), (0, 0), ha="center", bbox=grey)
        ends = [load.end + ttl for load in run.loads if load.ok]
        expiries = [end for end in ends if end <= max(run.at)]
        for expiry in expiries:
            ax.axvline(expiry, 0, 0.8, color=INK, linestyle=":", linewidth=1.2, zorder=0.5)
        if expiries:
            note(ax, "expires", (expiries[0], top), (5, 0), va="center")
        words = f"p99: {_millis(tails[name])}" + f", {failed[name]} fail" * bool(failed[name])
        colour = FAILED if failed[name] else INK
        style: Any = {"xycoords": "axes fraction", "ha": "center", "va": "top", "weight": "bold"}
        note(ax, words, (0.5, 0.97), (0, 0), color=colour, **style)
    margin_labels(axes[-1], guess_across(axes, told))
    text = ", ".join(
        f"{name} p99 {_millis(tail)}, of {len(runs[name].at)} {waiting[name] or 'none'} wait "
        f"and {failed[name] or 'none'} fail"
        for name, tail in tails.items()
    )
    return finished(figure, f"pages around expiry, {source}: {text}", told)


def _millis(milliseconds: float) -> str:
    return f"{number(round(milliseconds, 1))} ms"
