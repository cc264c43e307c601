"""A chart of a row that was written, its copy on a replica, and its copy in a cache."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FRESH,
    INK,
    STALE,
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
from cachepool_lib.lab.charts.labels import guess_upright, guessed, named_rows, note, pinned


class Lagging(Protocol):
    """For how long the replica lags, and what readers got, (seconds, cents) in order of time."""

    @property
    def lag(self) -> float: ...

    @property
    def old_for(self) -> float: ...

    @property
    def cache(self) -> Sequence[tuple[float, int]]: ...


@styled
def replica_lag(
    ways: Mapping[str, Lagging], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw for how long after a write the replica was old, and what readers got in each way.

    The guess is for how many seconds readers got the old row in the first way.
    """
    if not ways:
        raise ValueError("ways is empty: nothing to draw")
    first = next(iter(ways.values()))
    lag, *old = numbers("seconds", [first.lag, *(way.old_for for way in ways.values())], 0)
    end = max(at for way in ways.values() for at, _ in way.cache)
    title = f"The replica is old for {number(lag)} s, readers for {number(old[0])} s"
    what = "after a write at 0: pink shows the old row, blue the new one (seconds counted by hand)"
    figure, [ax] = canvas(title, what, source, height=1.8 + 0.55 * (2 + len(ways)))
    lanes = {"the writer": 0.0, "the replica": lag, **dict(zip(ways, old, strict=True))}
    named_rows(ax, list(lanes))
    ax.set_ylim(len(lanes) - 0.2 if guess is not None else len(lanes) - 0.5, -0.6)
    ax.set(xlim=(0, 1.12 * end), xlabel="time since the write (seconds)")
    for y, until in enumerate(lanes.values()):
        ax.barh(y, end, 0.56, color=FRESH, linewidth=0)
        ax.barh(y, until, 0.56, color=STALE, linewidth=0)
        words = f"old for {number(until)} s" if until else "never old"
        if not y:
            words = "changes the row, deletes the key"
        place = (max(0.02 * end, until if until < end / 2 else 0), y)
        dark: Any = {"color": "white"} if until < end / 2 else {"color": INK}
        note(ax, words, place, (6, 0), va="center", weight="bold", **dark)
    told = guessed(guess, "s")
    if told:
        x, arrow = pinned(told.value, 0, end, "←→")
        guess_upright(ax, x, -0.5, told, arrow)
        ax.texts[-1].set_bbox(WHITE)
    text = ", ".join(f"{name} {number(until)} s" for name, until in [*lanes.items()][1:])
    return finished(figure, f"old after a write, {source}: {text}", told)
