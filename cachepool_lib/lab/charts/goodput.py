"""Visits that get their page in time, through a restart of the cache and what was done about it."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Protocol

from matplotlib.axes import Axes

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    GUESS,
    INK,
    OURS,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    numbers,
    percent,
    styled,
)
from cachepool_lib.lab.charts.labels import guessed, note, pinned, two_lines

SPAN = 5  # seconds that are taken together
COLUMNS = 3


class Run(Protocol):
    """Visits, and those that got their page in time, in each second; when what happened."""

    @property
    def in_time(self) -> Sequence[int]: ...

    @property
    def visits(self) -> Sequence[int]: ...

    @property
    def restarted_at(self) -> int: ...

    @property
    def deployed_at(self) -> int | None: ...


@styled
def goodput(
    runs: Mapping[str, Run],
    *,
    at: int | None = None,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the share of the visits that get their page in time, a panel for each run.

    *at* is a second to be marked where there is one run, and to which the guess belongs (default:
    the end).
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    shares = {name: _shares(name, run) for name, run in runs.items()}
    seconds = SPAN * len(next(iter(shares.values())))
    if len({len(each) for each in shares.values()}) != 1:
        raise ValueError("the runs must all have as many seconds")
    at = seconds if at is None else at
    if not SPAN <= at <= seconds:
        raise ValueError(f"at must be a second from {SPAN} to {seconds}, not {at!r}")
    first, *others = shares
    now = shares[first][at // SPAN - 1]
    title = f"{at - next(iter(runs.values())).restarted_at} s after the restart, "
    title += f"{percent(now)} of the visits get their page in time"
    if others:
        title = _back(others, [_after(shares[name], runs[name]) for name in others])
    columns = min(COLUMNS, len(runs))
    rows = ceil(len(runs) / columns)
    what = f"share of the visits that get their page in time, {SPAN} s together"
    height = 3.2 if rows == 1 else 1.0 + 1.75 * rows
    figure, axes = canvas(title, what, source, rows=rows, columns=columns, height=height)
    for ax, name in zip(axes, runs, strict=False):
        _panel(ax, shares[name], runs[name], name if others else "")
        ax.set(xlim=(0, seconds), ylim=(0, 1.24 if others else 1.1), yticks=(0, 0.5, 1))
    for ax in axes[len(runs) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(runs) - columns) : len(runs)]:
        ax.set_xlabel("time (seconds)")
        ax.tick_params(labelbottom=True)
    told = guessed(guess)
    if not others:
        axes[0].plot(at, now, "o", color=INK, markersize=7, clip_on=False, zorder=4)
        note(axes[0], f"{now:.2f} at {at} s", (at, now), (0, 12), ha="center", size=14,
             weight="bold", bbox=WHITE)  # fmt: skip
    if told:
        y, arrow = pinned(told.value, 0, 1.0)
        axes[0].plot([at] * 2, [now, y], "--", color=GUESS)
        axes[0].plot(at, y, "o", markersize=9, mfc="white", mec=GUESS, mew=1.6, zorder=4)
        note(axes[0], two_lines(told.label) + arrow, (at, y), (12, 0), va="center",
             color=GUESS, bbox=WHITE)  # fmt: skip
    parts = [f"{name} {each[at // SPAN - 1]:.2f} at {at} s" for name, each in shares.items()]
    for n, name in enumerate(others, 1):
        after = _after(shares[name], runs[name])
        parts[n] = f"{name} " + ("not back" if after is None else f"back after {after} s")
    return finished(figure, f"visits in time, {source}: {', '.join(parts)}", told)


def _shares(name: str, run: Run) -> list[float]:
    """The share of each SPAN seconds; what is left over at the end does not count."""
    good = numbers(f"in_time of {name}", run.in_time, 0)
    visits = numbers(f"visits of {name}", run.visits, 0)
    if len(good) != len(visits) or len(visits) < SPAN:
        raise ValueError(f"{name}: in_time and visits must have as many seconds, {SPAN} or more")
    starts = range(0, len(visits) - SPAN + 1, SPAN)
    return [sum(good[s : s + SPAN]) / (sum(visits[s : s + SPAN]) or 1) for s in starts]


def _after(shares: Sequence[float], run: Run) -> int | None:
    """The seconds from the remedy until nearly all are served, and stay so; None: never."""
    bad = [n for n, share in enumerate(shares) if share <= 0.95]
    if bad and bad[-1] == len(shares) - 1:
        return None
    start = run.restarted_at if run.deployed_at is None else run.deployed_at
    return max(0, SPAN * (bad[-1] + 1) - start) if bad else 0


def _back(names: Sequence[str], after: Sequence[int | None]) -> str:
    """A title: how many come back, and how soon."""
    back = sorted(each for each in after if each is not None)
    title = f"{len(back)} of {len(names)} remedies bring the pages back"
    if len(back) == len(names) > 1:
        title = f"All {len(names)} remedies bring the pages back"
    if not back:
        return title
    soon = f"{back[0]}" if back[0] == back[-1] else f"{back[0]} to {back[-1]}"
    return f"{title}, after {soon} s"


def _panel(ax: Axes, shares: Sequence[float], run: Run, name: str) -> None:
    after = _after(shares, run)
    colour = FAILED if after is None else OURS
    edges = [SPAN * n for n in range(len(shares) + 1)]
    ax.stairs(shares, edges, fill=True, color=colour, alpha=0.85)
    high = ax.get_xaxis_transform()
    word, second = "restart", run.restarted_at
    ax.axvline(second, color=INK, linestyle=":", zorder=3)
    if run.deployed_at is not None:  # there is no room for both words
        word, second = "remedy", run.deployed_at
        ax.axvline(second, color=INK, linestyle=":", zorder=3)
    note(ax, word, (second, 1.0), (3, -1), va="top", xycoords=high, size=10, bbox=WHITE)
    if name:
        ax.set_title(name)
        back = "not back" if after is None else f"after {after} s"
        note(ax, back, (0.985, 0.97), (0, 0), ha="right", va="top",
             xycoords="axes fraction", color=colour, weight="bold", bbox=WHITE)  # fmt: skip
