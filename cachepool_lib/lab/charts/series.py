"""Charts over time: entries, loads a second, and what visitors got."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes

from ._canvas import (
    FAILED,
    FRESH,
    INK,
    LOAD,
    OURS,
    QUIET,
    STALE,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    duration,
    finished,
    guess_across,
    guess_box,
    guessed,
    margin_labels,
    note,
    number,
    numbers,
    percent,
    plain_numbers,
    room,
    styled,
)


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
        seconds = numbers(f"{name} seconds", [at for at, _ in pairs])
        sizes = numbers(f"{name} entries", [size for _, size in pairs], low=0)
        lines[name] = [at / 60 for at in seconds], sizes
    first, ours = next(iter(lines)), list(lines)[-1]
    ends = {name: sizes[-1] for name, (_, sizes) in lines.items()}
    peak = max(lines[ours][1])
    title = "Entries in the cache over time"
    if peak <= maxsize < ends[first]:
        title = f"{first} keeps {ends[first]:,.0f} entries, {ours} at most {peak:,.0f}"
        title = title[0].upper() + title[1:]
    figure, [ax] = canvas(title, "entries in the cache, expired ones included", source)
    told = guessed(guess)
    top = max(maxsize, *(max(sizes) for _, sizes in lines.values()))
    ax.set(xlim=(0, max(minutes[-1] for minutes, _ in lines.values())), ylim=(0, room(top, told)))
    ax.set(xlabel="time (minutes)", ylabel="entries")
    plain_numbers(ax.yaxis)
    labels = []
    for name, (minutes, sizes) in lines.items():
        colour, width = (OURS, 2.8) if name == ours else (INK if name == first else QUIET, 1.8)
        ax.plot(minutes, sizes, color=colour, linewidth=width, drawstyle="steps-post")
        labels.append((ends[name], f"{name}: {ends[name]:,.0f}", colour))
    ax.axhline(maxsize, color=INK, linestyle=":")
    labels.append((maxsize, f"maxsize: {maxsize:,}", INK))
    margin_labels(ax, [*labels, *guess_across([ax], told)])
    text = ", ".join(f"{name} {end:,.0f}" for name, end in ends.items())
    return finished(figure, f"entries at the end, {source}: {text}, maxsize {maxsize:,}", told)


@styled
def loads_per_second(
    loads: Mapping[str, Sequence[float]],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the loads in each second, a panel for each name. The guess is for the first's peak."""
    if not loads:
        raise ValueError("loads is empty: nothing to draw")
    counts = {name: numbers(f"loads of {name}", values, low=0) for name, values in loads.items()}
    peaks = {name: max(values) for name, values in counts.items()}
    first, *others = peaks.values()
    title = f"The peak is {number(first)} loads a second"
    if others and min(others) < first:
        best = min(peaks, key=lambda name: peaks[name])
        title = f"The peak falls from {number(first)} to {number(peaks[best])} loads a second"
    what = "queries that reach the database in each second"
    figure, axes = canvas(title, what, source, columns=len(counts))
    told = guessed(guess)
    axes[0].set(ylim=(0, 1.08 * room(max(peaks.values()), told)), ylabel="loads per second")
    for ax, (name, values) in zip(axes, counts.items(), strict=True):
        ax.stairs(values, range(len(values) + 1), fill=True, color=LOAD)
        ax.set(title=name, xlim=(0, len(values)), xlabel="time (seconds)")
        ax.locator_params("x", nbins=5)
        at = (values.index(peaks[name]) + 0.5, peaks[name])
        ax.plot(*at, "o", color=INK, markersize=6)
        note(ax, number(peaks[name]), at, (0, 5), ha="center", size=15, weight="bold")
    margin_labels(axes[-1], guess_across(axes, told))
    text = ", ".join(f"{name} {number(peak)}" for name, peak in peaks.items())
    return finished(figure, f"peak of loads per second, {source}: {text}", told)


@styled
def outcomes_over_time(
    runs: Mapping[str, Mapping[str, Sequence[float]]],
    outage: tuple[float, float],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw how many visits a second got a fresh page, a stale one or none, a panel for each run.

    A run has a count for each second under each outcome: "stale", "failed", and "hit", "miss" and
    "shared", which are fresh. *outage* is when the database was down, in seconds. The guess is the
    share (0 to 1) of visits that failed meanwhile, in the first run.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    start, end = numbers("outage", outage, low=0)
    if end <= start:
        raise ValueError(f"the outage must end after {start:g} s, not at {end:g} s")
    layers = {name: _layers(name, run) for name, run in runs.items()}
    failed = {}
    for name, layer in layers.items():
        counts = {outcome: sum(values[int(start) : int(end)]) for outcome, values in layer.items()}
        failed[name] = counts["failed"] / (sum(counts.values()) or 1)
    before, *_, after = [*failed.values()] * 2
    title = f"While the database is down, {percent(before)} of visits fail"
    if after < before:
        title += f", then {percent(after)}"
    what = "visits a second, by what the visitor got"
    figure, axes = canvas(title, what, source, columns=len(layers))
    top = max(max(map(sum, zip(*layer.values(), strict=True))) for layer in layers.values()) or 1
    told = guessed(guess, write=percent)
    roof = 1.64 if told else 1.38
    axes[0].set(ylim=(0, roof * top), ylabel="visits per second")
    x, side = (start + end) / 2, "center"
    length = len(next(iter(layers.values()))["fresh"])
    if not 0.3 <= x / length <= 0.7:  # near an end, text leans inwards
        x, side = (start, "left") if x < length / 2 else (min(end, length), "right")
    aligned: Any = {"ha": side, "va": "center"}
    for ax, (name, layer) in zip(axes, layers.items(), strict=True):
        ax.axvspan(start, end, color="#E4E4E4", zorder=0, linewidth=0)
        words = f"{percent(failed[name])} fail"
        ax.text(x, (roof - 0.09) * top, "database down", **aligned)
        ax.text(x, (roof - 0.26) * top, words, weight="bold", color=FAILED, **aligned)
        _stack(ax, layer, top)
        ax.set(title=name, xlim=(0, len(layer["fresh"])), xlabel="time (seconds)")
        ax.locator_params("x", nbins=5)
    if told:
        guess_box(axes[0], told.label, (x, 1.14 * top), **aligned)
    text = ", ".join(f"{name} {share:.2f}" for name, share in failed.items())
    return finished(figure, f"share of visits failed in the outage, {source}: {text}", told)


_FRESH = ("hit", "miss", "shared")


def _layers(name: str, run: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return the failed, stale and fresh visits of each second; who cancelled got none of these."""
    counts = {key: numbers(f"{key} visits of {name}", values, 0) for key, values in run.items()}
    if unknown := set(counts) - {*_FRESH, "stale", "failed", "cancelled"}:
        raise ValueError(f"no outcome is called {min(unknown)!r} (in {name!r})")
    if len({len(values) for values in counts.values()}) != 1:
        raise ValueError(f"the outcomes of {name!r} must all have as many seconds")
    none = [0.0] * len(next(iter(counts.values())))
    kinds = zip(*(counts.get(key, none) for key in _FRESH), strict=True)
    fresh = [sum(second) for second in kinds]
    return {
        "failed": counts.get("failed", none),
        "stale": counts.get("stale", none),
        "fresh": fresh,
    }


def _stack(ax: Axes, layers: Mapping[str, Sequence[float]], top: float) -> None:
    """Stack the layers, and name each in the longest stretch that is tall enough."""
    styles = {"failed": (FAILED, "white"), "stale": (STALE, INK), "fresh": (FRESH, "white")}
    base = [0.0] * len(layers["fresh"])
    for name, values in layers.items():
        colour, ink = styles[name]
        tops = [low + value for low, value in zip(base, values, strict=True)]
        ax.stairs(tops, range(len(tops) + 1), baseline=base, fill=True, color=colour)
        start, length = _longest([value >= 0.2 * top for value in values])
        middle = start + length // 2
        height = base[middle] + values[middle] / 2
        if length > 0.12 * len(values):
            ax.text(middle, height, name, color=ink, ha="center", va="center", weight="bold")
        elif length > 0.04 * len(values):  # beside it, with a line to it
            away: Any = {"bbox": WHITE, "arrowprops": {"arrowstyle": "-", "color": INK}}
            note(ax, name, (middle, height), (-45, -14), ha="right", va="center", **away)
        base = tops


def _longest(good: Sequence[bool]) -> tuple[int, int]:
    """Return where the longest run of True starts, and its length."""
    best, length = (0, 0), 0
    for i, yes in enumerate(good, 1):
        length = length + 1 if yes else 0
        best = max(best, (i - length, length), key=lambda stretch: stretch[1])
    return best


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
    the first run (seconds). What is written is about the pages asked for during the fault. Real
    milliseconds differ from run to run, so the line of text says how many failed in whole tenths
    and whether all took less than *within* seconds.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    [start] = numbers("fault", fault[:1], low=0)
    if fault[1] <= start:
        raise ValueError(f"the fault must end after {start:g} s, not at {fault[1]:g} s")
    shares, slowest = {}, {}
    for name, run in runs.items():
        numbers(f"at of {name}", run.at, 0)
        rows = zip(run.at, numbers(f"seconds of {name}", run.seconds, 0), run.outcomes, strict=True)
        meanwhile = [(s, outcome == "failed") for at, s, outcome in rows if start <= at < fault[1]]
        slowest[name] = max((s for s, _ in meanwhile), default=0.0)
        shares[name] = sum(bad for _, bad in meanwhile) / (len(meanwhile) or 1)
    before, *_, after = [*shares.values()] * 2
    title = f"While {what}, {percent(before)} of pages fail"
    if after < before:
        title += f", then {percent(after)}"
    figure, axes = canvas(title, "time for each page, a dot a page, a cross a failure", source,
                          columns=len(runs))  # fmt: skip
    told = guessed(guess, "s")
    tallest = max(0.25, *(max(run.seconds) for run in runs.values()))
    if told and told.value <= 60:
        tallest = max(tallest, told.value)  # above it there is room for words
    _time_for_a_page(axes, 1000 * tallest * 12)
    last = 1.03 * max(max(run.at) for run in runs.values())
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        _dots(ax, name, run)
        ax.set_xlim(0, last)
        ax.axvspan(start, min(fault[1], last), color="#E4E4E4", zorder=0, linewidth=0)
        if limit is not None:
            ax.axhline(1000 * limit, color=INK, linestyle=":", linewidth=1.2)
        words = f"{percent(shares[name])} fail, slowest {_short(slowest[name])}"
        colour = FAILED if shares[name] else FRESH
        style: Any = {"xycoords": "axes fraction", "ha": "center", "va": "top", "weight": "bold"}
        note(ax, words, (0.5, 0.97), (0, 0), color=colour, bbox=WHITE, **style)
    labels = [(1000 * limit, f"{number(1000 * limit)} ms", INK)] if limit is not None else []
    if told:
        labels += guess_across(axes, told._replace(value=1000 * told.value))
    margin_labels(axes[-1], labels)
    text = ", ".join(
        f"{name} {_failures(shares[name])}, "
        + ("all" if slowest[name] < within else "not all")
        + f" within {duration(within)}"
        for name in runs
    )
    return finished(figure, f"pages while {what}, {source}: {text}", told)


_FLOOR = 0.1  # milliseconds: what took less is drawn here


def _time_for_a_page(axes: Sequence[Axes], high: float) -> None:
    axes[0].set(yscale="log", ylim=(_FLOOR, high), ylabel="time for a page (ms, log)")
    plain_numbers(axes[0].yaxis)


def _dots(ax: Axes, name: str, run: Run, floor: float = _FLOOR) -> None:
    """Draw a dot for each page, pink for an old one, and a cross for each that failed.

    What took less than *floor* milliseconds is drawn there.
    """
    ax.set(title=name, xlim=(0, max(run.at) * 1.03), xlabel="asked for at (seconds)")
    ax.locator_params("x", nbins=5)
    dots: dict[str, list[tuple[float, float]]] = {"fresh": [], "stale": [], "failed": []}
    for at, seconds, outcome in zip(run.at, run.seconds, run.outcomes, strict=True):
        kind = outcome if outcome in dots else "fresh"
        dots[kind].append((at, max(floor, 1000 * seconds)))
    dot: dict[str, Any] = {"marker": "o", "markersize": 5, "mew": 0}
    cross: dict[str, Any] = {"marker": "x", "markersize": 7, "mew": 1.8}
    styles = {"fresh": (FRESH, dot), "stale": (STALE, dot), "failed": (FAILED, cross)}
    for kind, (colour, style) in styles.items():
        x, y = zip(*dots[kind], strict=True) if dots[kind] else ((), ())
        ax.plot(x, y, linestyle="none", color=colour, alpha=0.75, **style)


def _short(seconds: float) -> str:
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
    what = "time for each page, a dot a page"
    if any("stale" in run.outcomes for run in runs.values()):
        what += ", pink: an old one"
    if fails:
        what += ", a cross: a failure"
    figure, axes = canvas(title, what, source, columns=len(runs))
    told = guessed(guess, "ms")
    top = room(1000 * max(max(run.seconds) for run in runs.values()), told)
    # Above the dots there is room for words; what fails at once lies at 0, and is seen.
    axes[0].set(ylim=(-0.05 * top, 1.3 * top), ylabel="time for a page (milliseconds)")
    plain_numbers(axes[0].yaxis)
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        _dots(ax, name, run, floor=0.0)
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


@styled
def alive_over_requests(
    runs: Mapping[str, Sequence[float]],
    what: str,
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw how many of *what* (such as "users") are in memory after each request.

    The guess is for the end of the first run.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    counts = {name: numbers(f"counts of {name}", values, low=0) for name, values in runs.items()}
    ends = {name: values[-1] for name, values in counts.items()}
    first, *others = ends
    length = max(map(len, counts.values()))
    title = f"{first}: {number(ends[first])} {what} are kept after {length:,} requests"
    title += "".join(f"; {name}: {number(ends[name])}" for name in others)
    figure, [ax] = canvas(title, f"{what} in memory after each request", source)
    told = guessed(guess, what)
    top = room(max(map(max, counts.values())), told)
    ax.set(xlim=(0, length), ylim=(-0.03 * top, top), xlabel="requests", ylabel=f"{what} in memory")
    plain_numbers(ax.xaxis)
    plain_numbers(ax.yaxis)
    labels = []
    for name, values in counts.items():
        colour = INK if name == first else OURS
        ax.plot(range(1, len(values) + 1), values, color=colour, linewidth=2.4)
        labels.append((ends[name], f"{name}: {number(ends[name])}", colour))
    margin_labels(ax, [*labels, *guess_across([ax], told)])
    text = ", ".join(f"{name} {number(end)}" for name, end in ends.items())
    return finished(figure, f"{what} in memory at the end, {source}: {text}", told)


@styled
def whose_page(
    runs: Mapping[str, Sequence[float]],
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw whose page each request got: request i should get the page of user i.

    How many get another's page depends on where Python puts new objects, so the line of text only
    says whether it was none, some, or more than half. The guess is a share (0 to 1), of the first.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    pages = {name: numbers(f"pages of {name}", users, low=0) for name, users in runs.items()}
    wrong = {
        name: [i for i, user in enumerate(users) if user != i] for name, users in pages.items()
    }
    counts = [f"{len(wrong[name]):,} of {len(pages[name]):,}" for name in pages]
    title = f"{counts[0]} requests get a stranger's page"
    title += "".join(f", then {count}" for count in counts[1:])
    what = "whose page each request got"
    if any(wrong.values()):
        what += "; red: a stranger's"
    # The first to come to an address gets its own page: a dot or two are not seen.
    if any(len(wrong[name]) < 0.95 * len(users) for name, users in pages.items()):
        what += "; blue: its own"
    figure, axes = canvas(title, what, source, columns=len(pages))
    axes[0].set_ylabel("whose page it got (user)")
    plain_numbers(axes[0].yaxis)
    for ax, (name, users) in zip(axes, pages.items(), strict=True):
        ax.set(title=name, xlim=(0, len(users)), ylim=(-0.03 * len(users), 1.02 * len(users)))
        ax.set_xlabel("request, made by the user of that number")
        plain_numbers(ax.xaxis)
        ax.plot([0, len(users)], [0, len(users)], color="#C8C8C8", linewidth=1.4, zorder=1)
        strangers = set(wrong[name])
        own = [i for i in range(len(users)) if i not in strangers]
        for requests, colour in ((own, FRESH), (wrong[name], FAILED)):
            ax.plot(requests, [users[i] for i in requests], "o", color=colour, markersize=3, mew=0)
        at: Any = {"xycoords": "axes fraction", "weight": "bold", "va": "top"}
        words = f"{len(strangers):,} strangers' pages" if strangers else "each its own page"
        note(ax, words, (0.04, 0.97), (0, 0), color=FAILED if strangers else FRESH, **at)
        if strangers:
            favourite, times = Counter(users[i] for i in strangers).most_common(1)[0]
            middle, words = len(users) / 2, f"{times:,} get that of user {favourite:g}"
            above: Any = {"ha": "center", "color": FAILED}
            note(ax, words, (middle, favourite), (0, 8), **above)
            note(ax, "its own page", (0.6 * len(users), 0.5 * len(users)), (0, 0), color=QUIET)
    if told := guessed(guess, write=percent):
        guess_box(axes[0], told.label, (0.05, 0.78), xycoords="axes fraction", va="top")
    text = ", ".join(f"{name} {_how_many(len(wrong[name]), len(pages[name]))}" for name in pages)
    return finished(figure, f"strangers' pages, {source}: {text}", told)


def _how_many(count: int, of: int) -> str:
    return "more than half" if 2 * count > of else "some" if count else "none"
