"""Charts of what is worth caching: room against seconds saved, and who keeps the loop waiting."""

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    HIT,
    INK,
    LOAD,
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
from cachepool_lib.lab.charts.labels import guess_box, named_rows, note, plain_numbers


class Worth(Protocol):
    """What a cache brings: seconds of work saved a second, and the room it takes (MB)."""

    @property
    def saved(self) -> float: ...

    @property
    def megabytes(self) -> float: ...


@styled
def worth(
    gains: Mapping[str, Worth], *, guess: Guess | None = None, source: Source = "simulated"
) -> Chart:
    """Draw the seconds saved a second over the room it takes (MB), a dot for each function.

    What saves nothing stands on the bottom. The guess is one of the names: it is ringed.
    """
    saved = numbers("saved", [gain.saved for gain in gains.values()], 0)
    room = numbers("megabytes", [gain.megabytes for gain in gains.values()], 1e-9)
    names, order = list(gains), sorted(range(len(saved)), key=lambda at: -saved[at])
    best, *others = order
    if not saved[best]:
        raise ValueError("nothing saves anything: there is nothing to compare")
    title = f"The {names[best]} saves {two_figures(saved[best])} s of work each second"
    if others and saved[others[0]]:
        title += f", the {names[others[0]]} {two_figures(saved[others[0]])} s"
    what = "seconds of work saved in each second, by the room it takes in memory"
    figure, [ax] = canvas(title, what, source, height=3.6)
    low, high = min(value for value in saved if value), max(saved)
    bottom = low / 12
    ax.set(xscale="log", xlim=(min(room) / 4, max(room) * 20))
    ax.set(yscale="log", ylim=(bottom, high * 6))
    ax.set(xlabel="room (MB, log)", ylabel="saved (s a second, log)")
    plain_numbers(ax.xaxis)
    plain_numbers(ax.yaxis)
    ax.minorticks_off()
    above = _above([log10(x) for x in room], [log10(y or bottom) for y in saved])
    for at, (name, x, y) in enumerate(zip(names, room, saved, strict=True)):
        colour = HIT if at == best else FAILED if not y else QUIET
        place: Any = (x, y or bottom)
        ax.plot(*place, "o", color=colour, markersize=11 if at == best else 8, clip_on=False)
        words = f"{name}: {two_figures(y)} s" if y else f"{name}: nothing ↓"
        bold: Any = {"weight": "bold"} if at == best else {}
        by, side = ((9, 4), "bottom") if above[at] else ((9, -4), "top")
        note(ax, words, place, by, va=side, color=colour, **bold)
    told = None
    if guess is not None and guess.guess in names:
        x, y = room[names.index(str(guess.guess))], saved[names.index(str(guess.guess))]
        ring: Any = {"mfc": "none", "mec": "#6E6E6E", "mew": 1.8, "clip_on": False}
        ax.plot(x, y or bottom, "o", markersize=18, **ring)
        told = f"{'your guess' if guess.answered else 'a common first guess'}: {guess.guess}"
        guess_box(ax, told, (0.985, 0.95), xycoords="axes fraction", ha="right", va="top")
    text = ", ".join(f"{names[at]} {two_figures(saved[at])} s" for at in order)
    text = f"saved each second, {source}: {text}"
    return finished(figure, f"{text}; {told}" if told else text)


def _above(xs: Sequence[float], ys: Sequence[float]) -> list[bool]:
    """Whether a label stands above its dot: not if one left of it, as high, is above (decades)."""
    above = [True] * len(xs)
    for at in sorted(range(len(xs)), key=lambda at: xs[at]):
        near = [
            other
            for other in range(len(xs))
            if 0 < xs[at] - xs[other] < 2.5 and abs(ys[at] - ys[other]) < 0.35
        ]
        above[at] = not any(above[other] for other in near)
    return above


class Turns(Protocol):
    """When a function computed (from, to: seconds), and when the loop got a turn."""

    @property
    def computed(self) -> Sequence[tuple[float, float]]: ...

    @property
    def turns(self) -> Sequence[float]: ...

    @property
    def meanwhile(self) -> int: ...


@styled
def loop_turns(runs: Mapping[str, Turns], *, source: Source = "real") -> Chart:
    """Draw when a function computed, and above it each turn of the loop, a row for each way.

    The line of text only says whether the loop got turns meanwhile: how many differs.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    idle = [name for name, run in runs.items() if not run.meanwhile]
    title = "The loop has its turns all the time"
    if idle:
        title = f"{' and '.join(idle)}: the loop stands still while it computes"
    what = "orange: it computes; a dot: the event loop gets a turn"
    figure, [ax] = canvas(title[0].upper() + title[1:], what, source)
    named_rows(ax, list(runs))
    ax.set_ylim(len(runs) - 0.4, -0.6)
    ends = [1000 * end for run in runs.values() for _, end in run.computed]
    ax.set(xlim=(0, 1.42 * max(ends)), xlabel="time (milliseconds)")
    plain_numbers(ax.xaxis)
    for y, run in enumerate(runs.values()):
        for start, end in run.computed:
            ax.barh(y + 0.13, 1000 * (end - start), 0.3, 1000 * start, color=LOAD)
        dots = [1000 * turn for turn in run.turns if 1000 * turn <= max(ends)]
        ax.plot(dots, [y - 0.18] * len(dots), "o", color=HIT, markersize=4)
        words = f"{number(run.meanwhile)} turns meanwhile" if run.meanwhile else "no turn meanwhile"
        colour = INK if run.meanwhile else FAILED
        note(ax, words, (1.41 * max(ends), y), (0, 0), ha="right", va="center", color=colour,
             weight="bold")  # fmt: skip
    text = ", ".join(f"{name} {'some' if r.meanwhile else 'none'}" for name, r in runs.items())
    return finished(figure, f"turns of the loop while a function computes, {source}: {text}")
