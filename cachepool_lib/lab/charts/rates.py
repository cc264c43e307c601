"""Charts of the hit rate, by ttl, by room and by workers."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from cachepool_lib.lab.charts.canvas import (
    GUESS,
    HIT,
    INK,
    LOAD,
    OURS,
    QUIET,
    WHITE,
    Chart,
    Guess,
    Source,
    Told,
    canvas,
    duration,
    finished,
    number,
    numbers,
    percent,
    styled,
)
from cachepool_lib.lab.charts.labels import (
    column,
    guess_across,
    guess_box,
    guessed,
    margin_labels,
    note,
    pinned,
    plain_numbers,
    spread,
    two_lines,
)


@styled
def hit_rate_by_ttl(
    measured: Mapping[float, float],
    theory: Mapping[float, float],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the hit rate (0 to 1) measured at each ttl (seconds), over the theory's line.

    The shortest ttl is ringed, and the guess is for it; the two longest are bracketed.
    """
    ttls = sorted(numbers("measured ttl", measured, low=1e-9))
    rates = numbers("hit rate", [measured[ttl] for ttl in ttls], 0, 1)
    line = sorted(numbers("theory ttl", theory, low=1e-9))
    curve = numbers("theory", [theory[ttl] for ttl in line], 0, 1)
    title = f"A ttl of {duration(ttls[0])} answers {percent(rates[0])} of visits"
    points = round(100 * rates[-1]) - round(100 * rates[-2]) if len(ttls) > 2 else -1
    if points >= 0:
        title += f"; {number(ttls[-2])} to {duration(ttls[-1])} adds {points} points"
    what = "share of visits answered from the cache, by how long it remembers"
    figure, [ax] = canvas(title, what, source)
    ax.set(xscale="log", xlim=(ttls[0] / 25, ttls[-1] * 1.4), ylim=(-0.04, 1.08))
    ax.set(xlabel="ttl (seconds, log scale)", ylabel="hit rate")
    ax.set_xticks(ttls, [number(ttl) for ttl in ttls])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.plot(line, curve, color=INK)
    at = len(line) // 2
    note(ax, "theory: λT / (1 + λT)", (line[at], curve[at]), (12, -8), va="top")
    ax.plot(ttls, rates, "o", color=HIT, markersize=8)
    for ttl, rate in zip(ttls[1:], rates[1:], strict=True):
        note(ax, f"{rate:.2f}", (ttl, rate), (-5, 7), ha="right", color=HIT)
    if points >= 0:
        _bracket(ax, ttls[-2], ttls[-1], min(rates[-2:]) - 0.11, f"+{points} points")
    told = guessed(guess)
    _shortest(ax, ttls[0], rates[0], told)
    pairs = zip(ttls, rates, strict=True)
    text = ", ".join(f"{duration(ttl)} {rate:.2f}" for ttl, rate in pairs)
    return finished(figure, f"hit rate by ttl, {source}: {text}", told)


def _shortest(ax: Axes, ttl: float, rate: float, told: Told | None) -> None:
    """Ring the first dot, and draw the guess for it."""
    ax.plot(ttl, rate, "o", markersize=17, mfc="none", mec=HIT, mew=1.8)
    labels = [(rate, f"measured: {rate:.2f}", HIT)]
    if told:
        y, arrow = pinned(told.value, -0.02, 1.06)
        ax.plot([ttl, ttl], [y, rate], "--", color=GUESS, zorder=1)
        ax.plot(ttl, y, "o", markersize=10, mfc="white", mec=GUESS, mew=1.6, clip_on=False)
        labels.append((y, two_lines(told.label) + arrow, GUESS))
    sizes = [0.09 + 0.09 * label.count("\n") for _, label, _ in labels]
    places = spread([y for y, _, _ in labels], sizes, -0.04, 1.08)
    for (_, label, colour), y in zip(labels, places, strict=True):
        note(ax, label, (ttl, y), (-16, 0), ha="right", va="center", color=colour)


def _bracket(ax: Axes, left: float, right: float, y: float, text: str) -> None:
    ax.plot([left, left, right, right], [y + 0.03, y, y, y + 0.03], color=INK)
    ax.text((left * right) ** 0.5, y - 0.02, text, ha="center", va="top", weight="bold")


@styled
def hit_rate_by_capacity(
    capacities: Sequence[float],
    hit_rates: Mapping[str, Sequence[float]],
    *,
    mark: float = 0.01,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the hit rate of each policy over the room it has, a share of all users (0 to 1).

    *mark* is one of the capacities: the rates there are written out, and the guess is for it.
    "S3-FIFO" is drawn as ours, "foresight" as the limit.
    """
    rooms = [100 * share for share in numbers("capacities", capacities, low=1e-9)]
    if mark not in capacities:
        raise ValueError(f"mark must be one of the capacities, not {mark!r}")
    here = list(capacities).index(mark)
    lines = {name: numbers(f"hit rate of {name}", rates, 0, 1) for name, rates in hit_rates.items()}
    if not lines:
        raise ValueError("hit_rates is empty: nothing to draw")
    for name, rates in lines.items():
        if len(rates) != len(rooms):
            raise ValueError(f"{name} has {len(rates)} hit rates for {len(rooms)} capacities")
    at_mark = {name: rates[here] for name, rates in lines.items()}
    ours = "S3-FIFO" if "S3-FIFO" in lines else max(at_mark, key=lambda name: at_mark[name])
    share = f"{number(100 * mark)} %"
    title = f"Room for {share} of users answers {percent(at_mark[ours])} of visits with {ours}"
    what = f"share of visits answered from the cache, by who has to leave; figures at {share}"
    figure, [ax] = canvas(title, what, source)
    ax.set(xscale="log", xlim=(min(rooms), max(rooms)), ylim=(-0.04, 1.08))
    ax.set(xlabel="room in the cache (% of users, log scale)", ylabel="hit rate")
    plain_numbers(ax.xaxis)
    ax.axvline(100 * mark, color=INK, linewidth=0.8, clip_on=False)
    labels, figures = [], []
    for name, rates in lines.items():
        colour, width, dash = (OURS, 2.8, "-") if name == ours else (QUIET, 1.6, "-")
        if name == "foresight":
            colour, dash = INK, ":"
        ax.plot(rooms, rates, dash, color=colour, linewidth=width)
        ax.plot(100 * mark, at_mark[name], "o", color=colour, markersize=7, clip_on=False)
        labels.append((rates[-1], name, colour))
        figures.append((at_mark[name], f"{at_mark[name]:.2f}", colour))
    told = guessed(guess)
    margin_labels(ax, [*labels, *guess_across([ax], told)])
    column(ax, 100 * mark, figures)
    text = ", ".join(f"{name} {rate:.2f}" for name, rate in at_mark.items())
    return finished(figure, f"hit rate with room for {share} of users, {source}: {text}", told)


@styled
def hit_rate_by_workers(
    private: Mapping[int, float],
    rate: float,
    *,
    mark: int = 8,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the hit rate (0 to 1) when each worker has its own cache, by the number of workers.

    With one worker it is what a cache shared by all gets. *rate* is how many visits a second come
    in all; *mark* is one of the numbers of workers: the gap is written there, and the guess is
    for it.
    """
    counts = sorted(numbers("workers", private, low=1))
    rates = numbers("hit rate", [private[int(count)] for count in counts], 0, 1)
    [visits] = numbers("rate", [rate], low=0)
    if 1 not in counts or mark not in private:
        raise ValueError(f"private must have the hit rates of 1 and of {mark} workers")
    shared, here = private[1], private[mark]
    gap = visits * (round(shared, 2) - round(here, 2))  # of the figures that the title has
    title = f"{mark} workers with caches of their own answer {percent(here)}"
    title += f", with a shared one {percent(shared)}"
    what = f"share of {number(visits)} visits a second answered from a cache"
    figure, [ax] = canvas(title, what, source)
    ax.set(xscale="log", xlim=(counts[0] / 1.06, counts[-1] * 1.06), ylim=(-0.04, 1.08))
    ax.set(xlabel="number of workers (log scale)", ylabel="hit rate")
    ax.set_xticks(counts, [number(count) for count in counts])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.plot(counts, [shared] * len(counts), color=OURS, linewidth=2.8)
    ax.plot(counts, rates, "o-", color=INK, markersize=7)
    ax.plot([mark, mark], [here + 0.03, shared - 0.02], color=LOAD, linewidth=4)
    note(
        ax,
        f"{number(round(gap))} more queries\na second",
        (mark, here),
        (0, -12),
        ha="center",
        va="top",
        color="#8A5A00",
        weight="bold",
        bbox=WHITE,
    )
    told = guessed(guess)
    labels = [(shared, "shared", OURS), (rates[-1], "each its own", INK)]
    margin_labels(ax, [*labels, *guess_across([ax], told)])
    pairs = zip(counts, rates, strict=True)
    text = ", ".join(f"{number(count)} {value:.2f}" for count, value in pairs)
    return finished(figure, f"hit rate by workers, {source}: {text}; shared {shared:.2f}", told)


@styled
def hit_rate_by_room(
    measured: Mapping[int, float],
    *,
    now: int,
    mark: int,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the hit rate (0 to 1) over the room, in entries: *now* there is so much, filled.

    The other dots are shadows, which hold keys alone. The one at *mark* is ringed. The guess is how
    many points (hundredths) it has more than the cache.
    """
    rooms = sorted(int(room) for room in numbers("room", measured, low=1))
    rates = numbers("hit rate", [measured[room] for room in rooms], 0, 1)
    for name, room in (("now", now), ("mark", mark)):
        if room not in measured:
            raise ValueError(f"{name} must be one of the rooms, not {room!r}")
    points = round(100 * (measured[mark] - measured[now]))
    title = f"From {number(now)} to {number(mark)} entries: {points:+d} points".replace("-", "−")
    what = "share of visits answered from the cache, by the room it has"
    figure, [ax] = canvas(title, what, source)
    ax.set(xscale="log", xlim=(rooms[0] / 1.5, rooms[-1] * 1.5), ylim=(0, 1.08))
    ax.set(xlabel="room (entries, log scale)", ylabel="hit rate")
    ax.set_xticks(rooms, [number(room) for room in rooms])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.plot(rooms, rates, color=OURS, linewidth=1.2, zorder=1)
    for room, rate in zip(rooms, rates, strict=True):
        real = room == now
        ax.plot(room, rate, "o", color=OURS, markersize=9, mfc=OURS if real else "white", mew=2)
        below = room == mark  # the guess may stand above it
        side = {"ha": "left", "va": "top"} if below else {"ha": "center", "va": "bottom"}
        words = f"{rate:.2f}, the cache" if real else f"{rate:.2f}"
        note(ax, words, (room, rate), (8, -9) if below else (0, 9), color=OURS, **side)
    ax.plot(mark, measured[mark], "o", markersize=19, mfc="none", mec=INK, mew=1.8)
    told = guessed(guess)
    if told:
        y, arrow = pinned(measured[now] + told.value / 100, 0.02, 1.06)
        ax.plot([mark, mark], [y, measured[mark]], "--", color=GUESS, zorder=1)
        ax.plot(mark, y, "o", markersize=10, mfc="white", mec=GUESS, mew=1.6, clip_on=False)
        place: Any = {"xycoords": "axes fraction", "ha": "right", "va": "bottom"}
        guess_box(ax, told.label + arrow, (0.99, 1.03), **place)
    pairs = zip(rooms, rates, strict=True)
    text = ", ".join(f"{number(room)} {rate:.2f}" for room, rate in pairs)
    return finished(figure, f"hit rate by room, {source}: {text}", told)
