"""Charts of which node has a key: what moves when one leaves, and how equal the shares are."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    HIT,
    INK,
    MISS,
    WAIT,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    number,
    numbers,
    percent,
    styled,
)
from cachepool_lib.lab.charts.labels import guess_box, guessed, note, plain_numbers

SHOWN = 100  # keys: more are too narrow to see
_GREY = ("#B9B9B9", "#D9D9D9")


class Moved(Protocol):
    """Who has each key before and after a node leaves, and the share (0 to 1) that has moved."""

    @property
    def before(self) -> Sequence[str]: ...

    @property
    def after(self) -> Sequence[str]: ...

    @property
    def share(self) -> float: ...


@styled
def moved_keys(
    runs: Mapping[str, Moved],
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw who has the keys, and below which of them move when a node leaves.

    A hundred are drawn, evenly chosen from all in the order of those who have them before, so that
    each node has its share. The guess is the share (0 to 1) that moves in the first run.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    shares = {name: percent(run.share) for name, run in runs.items()}
    title = "Of the keys move: " + ", ".join(f"{name} {share}" for name, share in shares.items())
    if len(runs) == 1:
        title = f"{next(iter(shares.values()))} of the keys move"
    what = f"{SHOWN} of the keys, by the node that has them; orange: these move"
    told = guessed(guess, write=percent)
    figure, [ax] = canvas(title, what, source, height=1.5 + 0.75 * len(runs) + 0.2 * bool(told))
    for row, run in enumerate(runs.values()):
        _strips(ax, row, run)
    foot = 0.22 if told else -0.05  # room for the guess below
    ax.set(xlim=(0, SHOWN), ylim=(len(runs) + foot, -0.05), xticks=[])
    ax.set_yticks([row + 0.45 for row in range(len(runs))], runs)
    ax.tick_params(axis="y", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    beside: Any = {"va": "center", "weight": "bold", "size": 14, "annotation_clip": False}
    for row, share in enumerate(shares.values()):
        note(ax, share, (SHOWN, row + 0.62), (8, 0), color=INK, **beside)
    if told:
        guess_box(ax, told.label, (0.5, len(runs) + 0.2), ha="left", va="bottom")
    text = ", ".join(f"{name} {run.share:.2f}" for name, run in runs.items())
    return finished(figure, f"share of keys that move, {source}: {text}", told)


def _strips(ax: Any, row: int, run: Moved) -> None:
    """Above a block for each node, below the same keys: orange where another node has them now."""
    every = sorted(zip(run.before, run.after, strict=True), key=lambda row: row[0])
    rows = [every[place * len(every) // SHOWN] for place in range(SHOWN)]
    nodes = sorted(set(run.before))
    start = 0
    for place, node in enumerate(nodes):
        width = sum(before == node for before, _ in rows)
        box = {"height": 0.36, "color": _GREY[place % 2], "linewidth": 0}
        ax.barh(row + 0.2, width, left=start, **box)
        ax.text(start + width / 2, row + 0.2, node, ha="center", va="center")
        start += width
    for x, (before, after) in enumerate(rows):
        colour = WAIT if before == after else MISS
        ax.barh(row + 0.62, 0.86, left=x + 0.07, height=0.4, color=colour, linewidth=0)


@styled
def ring_shares(
    shares: Mapping[int, Sequence[Sequence[float]]], *, source: Source = "simulated"
) -> Chart:
    """Draw the share of each node against its points on the ring, a dot a node.

    *shares* has for each number of points the shares (0 to 1) of the nodes of several rings. What
    is written is the largest share of a ring, as a multiple of an equal one: the median of them.
    """
    if not shares:
        raise ValueError("shares is empty: nothing to draw")
    fair = 1 / len(next(iter(shares.values()))[0])
    full = {points: median(max(ring) for ring in rings) / fair for points, rings in shares.items()}
    few, many = min(full), max(full)
    title = f"{number(few)} point{'s' * (few != 1)} a node: the fullest has {_times(full[few])} "
    title += f"its share; {number(many)}: {_times(full[many])}"
    rings = len(shares[few])
    what = f"share of the keys, a dot a node, on {rings} rings; numbers: the fullest, median ring"
    figure, [ax] = canvas(title, what, source)
    for points, of_rings in shares.items():
        dots = numbers(f"shares at {points}", [share for ring in of_rings for share in ring], 0, 1)
        ax.plot([points] * len(dots), dots, "o", color=HIT, alpha=0.35, markersize=6, mew=0)
    ax.axhline(fair, color=INK, linestyle=":", linewidth=1.2)
    top = 1.35 * max(max(ring) for rings in shares.values() for ring in rings)
    ax.set(xscale="log", ylim=(0, top), xlabel="points of each node on the ring (log)")
    ax.set(ylabel="share of the keys")
    ax.locator_params("y", nbins=4)
    plain_numbers(ax.xaxis)
    ax.set_xticks(list(shares))
    ax.minorticks_off()
    for points, times in full.items():
        at = (points, max(max(ring) for ring in shares[points]))
        note(ax, _times(times), at, (0, 7), ha="center", weight="bold")
    beside: Any = {"xycoords": ax.get_yaxis_transform(), "ha": "left", "va": "center"}
    note(ax, "equal share", (1.0, fair), (5, 0), annotation_clip=False, **beside)
    text = ", ".join(f"{number(points)} {_times(times)}" for points, times in full.items())
    return finished(figure, f"fullest node by points on the ring, {source}: {text}")


def _times(times: float) -> str:
    return f"{times:.2g} ×"
