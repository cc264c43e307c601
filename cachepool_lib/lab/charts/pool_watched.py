"""A pool's dashboard, as a picture that moves and as one that stays; and waits beside holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from cachepool_lib.lab.charts.canvas import (
    INK,
    LOAD,
    QUIET,
    WAIT,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    numbers,
    styled,
    two_figures,
)
from cachepool_lib.lab.charts.labels import guess_box, guessed, named_rows, note

MOST_OF_THE_TIME = 0.6  # the share of the readings in which somebody waits
SHORTER = 5  # times: what a text says of waits, which differ from run to run


class Reading(Protocol):
    """What a pool does at one moment, and mean seconds since the reading before."""

    @property
    def at(self) -> float: ...

    @property
    def busy(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def wait(self) -> float | None: ...

    @property
    def hold(self) -> float | None: ...


class Watched(Protocol):
    """A pool under load: its size, its readings, and the mean wait and hold of all (seconds)."""

    @property
    def size(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def readings(self) -> Sequence[Reading]: ...

    @property
    def wait(self) -> float: ...

    @property
    def hold(self) -> float: ...


def seldom(readings: Sequence[Reading]) -> str:
    """How often somebody waits: the same words on every machine."""
    often = sum(each.waiting > 0 for each in readings) > MOST_OF_THE_TIME * len(readings)
    return "most of the time" if often else "seldom or never"


class Panel(NamedTuple):
    """One of the four graphs: points (seconds, value), and the value at its upper end."""

    name: str
    now: str
    points: list[tuple[float, float]]
    top: float
    colour: str


def panels(readings: Sequence[Reading], size: int) -> list[Panel]:
    """What both pictures show. Waits and holds have the same scale, to be compared."""
    waits = [(each.at, 1000 * each.wait) for each in readings if each.wait is not None]
    holds = [(each.at, 1000 * each.hold) for each in readings if each.hold is not None]
    queue = [(each.at, float(each.waiting)) for each in readings]
    busy = [(each.at, float(each.busy)) for each in readings]
    longest = max([100.0, *(ms for _, ms in waits + holds)])

    def now(points: list[tuple[float, float]], unit: str) -> str:
        return f"{two_figures(points[-1][1])}{unit}" if points else "–"

    crowd = max([10.0, *(count for _, count in queue)])
    return [
        Panel("connections busy", now(busy, f" of {size}"), busy, float(size), LOAD),
        Panel("callers waiting", now(queue, ""), queue, crowd, WAIT),
        Panel("mean wait", now(waits, " ms"), waits, longest, WAIT),
        Panel("mean hold", now(holds, " ms"), holds, longest, LOAD),
    ]


# While load runs: a string, for a picture of matplotlib takes so long that the visits which it
# shows would wait for it.

_WIDE, _HIGH, _GAP, _HEAD, _EDGE = 172, 84, 20, 54, 12


def frame(readings: Sequence[Reading], size: int, seconds: float) -> str:
    """Draw the dashboard as SVG, with *seconds* from its left side to its right."""
    parts = []
    for place, panel in enumerate(panels(readings, size)):
        left, bottom = _EDGE + place * (_WIDE + _GAP), _HEAD + _HIGH
        points = [
            (left + _WIDE * min(1.0, at / seconds), bottom - _HIGH * value / panel.top)
            for at, value in panel.points
        ]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        area = f"M{line}V{bottom}H{points[0][0]:.1f}z" if points else ""
        parts.append(
            f'<text x="{left}" y="22" font-size="13">{panel.name}</text>'
            f'<text x="{left}" y="45" font-size="20" font-weight="bold">{panel.now}</text>'
            f'<text x="{left + _WIDE}" y="{_HEAD - 4}" font-size="12" text-anchor="end" '
            f'fill="{QUIET}">{two_figures(panel.top)}</text>'
            f'<path d="{area}" fill="{panel.colour}"/>'
            f'<path d="M{line or "0 0"}" fill="none" stroke="{QUIET}" stroke-width="1.5"/>'
            f'<path d="M{left} {_HEAD}h{_WIDE}" stroke="{QUIET}" stroke-dasharray="2 3"/>'
            f'<path d="M{left} {bottom}h{_WIDE}" stroke="{QUIET}"/>'
        )
    width, height = 4 * _WIDE + 3 * _GAP + 2 * _EDGE, _HEAD + _HIGH + _EDGE
    names = ", ".join(panel.name for panel in panels([], size))
    return (
        f'<svg role="img" aria-label="Dashboard of a pool of {size} while visits come: {names}" '
        f'width="{width}" height="{height}" font-family="sans-serif" fill="{INK}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>'
    )


@styled
def dashboard(run: Watched, *, source: Source = "real") -> Chart:
    """Draw the last frame of a dashboard, to stay when the load has ended.

    Its line of text says how often somebody waits.
    """
    if not run.readings:
        raise ValueError("readings is empty: nothing to draw")
    often = seldom(run.readings)
    title = f"A pool of {run.size}: callers wait {often}"
    what = "the last frame; the dotted line is at the number on its right"
    figure, axes = canvas(title, what, source, columns=4, height=2.5)
    for ax, panel in zip(axes, panels(run.readings, run.size), strict=True):
        x, y = [at for at, _ in panel.points], [value / panel.top for _, value in panel.points]
        ax.fill_between(x, y, color=panel.colour, linewidth=0)
        ax.plot(x, y, color=QUIET, linewidth=1.5)
        ax.axhline(1, color=QUIET, linestyle=":", linewidth=1)
        above = (run.seconds, 1)
        note(ax, two_figures(panel.top), above, (0, 3), ha="right", color=QUIET, size=10)
        ax.set(xlim=(0, run.seconds), ylim=(0, 1.05), xlabel="seconds")
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_title(f"{panel.name}\n{panel.now}")
    return finished(figure, f"dashboard of a pool of {run.size}, {source}: callers wait {often}")


@styled
def wait_and_hold(
    runs: Mapping[str, Watched], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw a bar for each run: what a visit waits for a connection, then what it holds it, on
    average.

    The title is about the smallest pool that waits over SHORTER times less than the first. The
    guess is a number of connections. Milliseconds differ from run to run: the line of text says
    which runs wait so much less.
    """
    if len(runs) < 2:
        raise ValueError("runs must be two or more: there is nothing to compare")
    waits = [1000 * s for s in numbers("wait", [run.wait for run in runs.values()], 0)]
    holds = [1000 * s for s in numbers("hold", [run.hold for run in runs.values()], 0)]
    [(first, before), *others] = runs.items()
    well = [run for _, run in others if SHORTER * run.wait < before.wait]
    after = min(well, key=lambda run: run.size) if well else others[-1][1]
    title = f"{after.size} connections instead of {before.size}: "
    title += "hardly a wait any more" if well else "the wait is still there"
    figure, [ax] = canvas(
        title, "what a visit waits for a connection, and holds it, on average", source,
        height=1.6 + 0.5 * len(runs),
    )  # fmt: skip
    named_rows(ax, list(runs))
    most = max(wait + hold for wait, hold in zip(waits, holds, strict=True))
    ax.set(xlim=(0, 1.35 * most), xlabel="time (ms)")
    for y, (wait, hold) in enumerate(zip(waits, holds, strict=True)):
        ax.barh(y, wait, 0.55, color=WAIT)
        ax.barh(y, hold, 0.55, wait, color=LOAD)
        words = f"waits {two_figures(wait)}, holds {two_figures(hold)}"
        note(ax, words, (wait + hold, y), (7, 0), va="center", color=INK, weight="bold")
    told = guessed(guess, "connections")
    if told:
        ax.set_ylim(len(runs) + 0.1, -0.5)
        place: Any = {"xycoords": "axes fraction", "ha": "right", "va": "bottom"}
        guess_box(ax, told.label, (0.99, 0.05), **place)
    shorter = [name for name, run in others if SHORTER * run.wait < before.wait]
    text = f"over {SHORTER} times shorter than with {first}: " if shorter else "no shorter"
    return finished(figure, f"wait for a connection, {source}: {text}{'; '.join(shorter)}", told)
