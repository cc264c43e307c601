"""Charts with lanes: who waited for whom, and who did what in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    INK,
    LOAD,
    QUIET,
    WAIT,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    numbers,
    styled,
)
from cachepool_lib.lab.charts.labels import guess_box, guessed, named_rows, note, two_lines


@dataclass(frozen=True)
class Lane:
    """One visitor: (start, end, "wait" or "load") in seconds, and how it ended.

    "left": the visitor gave up; "lost": it got an exception instead of the page. A lane may also
    stand for a process with its visitors; "killed": it was.
    """

    name: str
    spans: Sequence[tuple[float, float, Literal["wait", "load"]]]
    end: Literal["page", "left", "lost", "killed"] = "page"


@styled
def swimlane(
    panels: Mapping[str, Sequence[Lane]],
    *,
    who: Literal["visitor", "process"] = "visitor",
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw a lane per visitor, loads solid and waiting pale, one panel above the other.

    Counts the loads; where a visitor left, counts those without a page instead. The guess is for
    that count in the first panel. *who* says what the lanes stand for.
    """
    if not panels or not all(panels.values()):
        raise ValueError("swimlane needs a panel, and every panel a lane")
    loads = {name: sum(_loads(lane) for lane in lanes) for name, lanes in panels.items()}
    ends = {name: [lane.end for lane in lanes] for name, lanes in panels.items()}
    without = {name: sum(end in ("left", "lost") for end in ends[name]) for name in panels}
    leaving = any(without.values())
    counts = without if leaving else loads
    first, *others = counts.items()
    lanes = panels[first[0]]
    crowd = f"{len(lanes)} {who}s" if who == "visitor" else f"{len(lanes)} processes"
    title = f"{crowd}, {_count(first[1], 'load')}"
    if leaving:
        title = f"{crowd}, {first[1]} without a page"
        if left := sum(lane.end == "left" for lane in lanes):
            leave = "leaves" if left == 1 else "leave"
            title = f"{left} of {crowd} {leave}, {first[1]} without a page"
    title += "".join(f"; {name}: {count}" for name, count in others)
    what = f"a lane per {who}; orange: the database works"
    if any(_only_waits(lane) for lanes in panels.values() for lane in lanes):
        what += ", pale: the visitor waits" if who == "visitor" else ", pale: visitors wait"
    figure, axes = canvas(
        title, what, source, rows=len(panels), height=3.2 if len(panels) < 3 else 4.0
    )
    for ax, (name, lanes) in zip(axes, panels.items(), strict=True):
        _draw(ax, lanes, dense=len(lanes) * len(panels) > 60)
        ax.set_title(name)
        colour = FAILED if leaving and counts[name] else INK
        word = "without a page" if leaving else _count(counts[name], "load").split()[1]
        at = {"xycoords": "axes fraction", "annotation_clip": False}
        digits = str(counts[name])
        note(ax, digits, (1.02, 0.62), (0, 0), size=24, weight="bold", color=colour, **at)
        note(ax, word, (1.02, 0.62), (6 + 17 * len(digits), 0), size=12, **at)
    told = guessed(guess)
    if told:
        style = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
        guess_box(axes[0], two_lines(told.label), (1.02, 0.62), xytext=(5, -10), **style)
    end = 1000 * max(end for lanes in panels.values() for lane in lanes for _, end, _ in lane.spans)
    crosses = any(lane.end != "page" for lanes in panels.values() for lane in lanes)
    axes[0].set_xlim(0, end * (1.25 if crosses else 1.02) or 1)
    axes[-1].set_xlabel("time (milliseconds)")
    text = ", ".join(
        f"{name} {_count(loads[name], 'load')}" + f" and {without[name]} without a page" * leaving
        for name in panels
    )
    return finished(figure, f"{crowd}, {source}: {text}", told)


def _loads(lane: Lane) -> int:
    return sum(what == "load" for _, _, what in lane.spans)


def _only_waits(lane: Lane) -> bool:
    """Whether some of the waiting is not hidden by a load of the same length."""
    spans = {
        what: {(at, end) for at, end, kind in lane.spans if kind == what}
        for what in ("wait", "load")
    }
    return not spans["wait"] <= spans["load"]


def _count(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)


def _draw(ax: Axes, lanes: Sequence[Lane], dense: bool) -> None:
    many = len(lanes) > 8
    names = [lane.name for lane in lanes]
    named_rows(ax, [names[0], *[""] * (len(names) - 2), names[-1]] if many else names)
    bars: dict[str, list[list[tuple[float, float]]]] = {"wait": [], "load": []}
    for y, lane in enumerate(lanes):
        if not lane.spans:
            raise ValueError(f"the lane {lane.name!r} has no span")
        for start, end, what in lane.spans:
            start, end = numbers(f"span of {lane.name!r}", [start * 1000, end * 1000])
            if what not in bars:
                raise ValueError(f'a span of {lane.name!r} must be "wait" or "load", not {what!r}')
            thick = 1.0 if many else 0.78
            if what == "load" and dense:  # a single load among them must be seen
                thick = len(lanes) / 20
            top = max(y - thick / 2, -0.5)
            bottom = top + thick
            bars[what].append([(start, top), (end, top), (end, bottom), (start, bottom)])
        if lane.end != "page":
            waits = [end for _, end, what in lane.spans if what == "wait"]
            x = 1000 * max(waits or [end for _, end, _ in lane.spans])
            colour = INK if lane.end == "left" else FAILED
            ax.plot(x, y, "x", color=colour, markersize=9, mew=2.6, clip_on=False)
            if not many:
                words = "no page" if lane.end == "lost" else lane.end
                note(ax, words, (x, y), (10, 0), va="center", color=colour)
    for what, colour in (("wait", WAIT), ("load", LOAD)):
        ax.add_collection(PolyCollection(bars[what], facecolor=colour, linewidth=0))
    if many and not dense:  # thin lines between lanes that touch
        edges, across = [y + 0.5 for y in range(len(lanes))], ax.get_yaxis_transform()
        ax.hlines(edges, 0, 1, "white", linewidth=0.7, transform=across, snap=False, zorder=3)


Happening = Literal["comes", "leaves", "gets it", "load begins", "load ends", "load is cancelled"]


@dataclass(frozen=True)
class Event:
    """What happened at one moment (seconds), and to whom. A load may be in a lane of its own."""

    seconds: float
    who: str
    what: Happening


@styled
def flight(events: Sequence[Event], *, source: Source = "simulated") -> Chart:
    """Draw recorded events, a lane for each who: who waited, what was loaded, who left when."""
    numbers("seconds", [event.seconds for event in events], 0)
    lanes = list(dict.fromkeys(event.who for event in events))
    lanes.sort(key=lambda who: any(e.what == "comes" for e in events if e.who == who), reverse=True)
    ended = [e for e in events if e.what == "load is cancelled"]
    left = [e for e in events if e.what == "leaves"]
    loads = sum(e.what == "load begins" for e in events)
    title = f"{_count(loads, 'load')}, and none is cancelled"
    if ended:
        title = f"When the last of {len(left)} has left, the load is cancelled"
    what = "a lane for each; orange: the database works, pale: a visitor waits"
    figure, [ax] = canvas(title, what, source, height=3.6)
    named_rows(ax, lanes)
    end = 1000 * max(event.seconds for event in events)
    for y, who in enumerate(lanes):
        since: dict[str, float] = {}
        for event in (e for e in events if e.who == who):
            x, kind = 1000 * event.seconds, "load" if event.what.startswith("load") else "wait"
            if event.what in ("comes", "load begins"):
                since[kind] = x
                continue
            colour = LOAD if kind == "load" else WAIT
            thick = 0.5 if kind == "load" and "wait" in since else 0.78
            ax.barh(y, x - since[kind], thick, since[kind], color=colour, linewidth=0)
            if event.what in ("leaves", "load is cancelled"):
                ink = INK if kind == "wait" else FAILED
                ax.plot(x, y, "x", color=ink, markersize=9, mew=2.6, clip_on=False)
                words = event.what.removeprefix("load is ")
                note(ax, words, (x, y), (10, 0), va="center", color=ink, bbox=WHITE)
    for event in ended:  # a line from who left last down to the load
        x, y = 1000 * event.seconds, lanes.index(event.who)
        last = [lanes.index(e.who) for e in left if e.seconds <= event.seconds]
        ax.plot([x, x], [last[-1] if last else y, y], ":", color=FAILED, zorder=0.5)
    ax.set(xlim=(0, 1.18 * end), xlabel="time (milliseconds)")
    text = f"{_count(loads, 'load')}, {len(ended)} cancelled, {len(left)} visitors left"
    if ended and left:
        gap = ended[0].seconds - max(e.seconds for e in left if e.seconds <= ended[0].seconds)
        text += f", {1000 * gap:.0f} ms after the last of them"
    return finished(figure, f"events, {source}: {text}")


@dataclass(frozen=True)
class Step:
    """One step of a race: who does what, and whether it is one that goes wrong."""

    lane: str
    text: str
    wrong: bool = False


@styled
def race(
    steps: Sequence[Step],
    *,
    fault: Literal["too late", "too early"] = "too late",
    source: Source = "simulated",
) -> Chart:
    """Draw who did what in which order, a lane for each; *fault* is what a wrong step comes."""
    if not steps:
        raise ValueError("steps is empty: nothing to draw")
    title = f"{_count(len(steps), 'step')}, and none comes {fault}"
    if wrong := [(i, step) for i, step in enumerate(steps, 1) if step.wrong]:
        i, step = wrong[0]
        title = f"Step {i} comes {fault}: the {step.lane} {step.text}"
    figure, [ax] = canvas(title, "who does what, in the order in which it happened", source)
    lanes = list(dict.fromkeys(step.lane for step in steps))
    named_rows(ax, lanes)
    for y, lane in enumerate(lanes):
        mine = [i for i, step in enumerate(steps, 1) if step.lane == lane]
        ax.axhline(y, color="#DDDDDD", linewidth=1, zorder=0)
        ax.plot([mine[0], mine[-1]], [y, y], color=QUIET, lw=5, solid_capstyle="round", zorder=1)
    for i, step in enumerate(steps, 1):
        y = lanes.index(step.lane)
        marker, size, colour = ("X", 13, FAILED) if step.wrong else ("o", 9, INK)
        ax.plot(i, y, marker, color=colour, markersize=size, mec="white")
        words = fill(step.text, 86 // max(5, len(steps)))
        weight = "bold" if step.wrong else "normal"
        note(ax, words, (i, y), (0, 9), ha="center", color=colour, weight=weight)
    ax.set(xlim=(0.4, len(steps) + 0.6), ylim=(len(lanes) - 0.7, -0.85))
    ax.set_xlabel("step, in order of time")
    ax.set_xticks(range(1, len(steps) + 1))
    ax.spines["left"].set_visible(False)
    numbered = enumerate(steps, 1)
    text = "; ".join(f"{i} {s.lane}: {s.text}" + f" ({fault})" * s.wrong for i, s in numbered)
    return finished(figure, f"steps, {source}: {text}")
