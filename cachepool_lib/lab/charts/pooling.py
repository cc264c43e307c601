"""Charts of many clients on few connections: who gets in, and what a connection carries on."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import fill
from typing import Any, Protocol

from matplotlib.axes import Axes

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    HIT,
    INK,
    MISS,
    QUIET,
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
from cachepool_lib.lab.charts.labels import (
    guess_upright,
    guessed,
    margin_labels,
    named_rows,
    note,
    pinned,
)

_COLOURS = (FAILED, HIT, MISS)


class Opened(Protocol):
    """Connections at the server after each instance that could open its own."""

    @property
    def asked(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def limit(self) -> int: ...

    @property
    def connections(self) -> Sequence[int]: ...


@styled
def instances(
    ways: Mapping[str, Opened], *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw the connections at the server after each instance, a line for each way there.

    A cross is an instance that was refused. The guess is how many open in the first way.
    """
    if not ways:
        raise ValueError("ways is empty: nothing to draw")
    first = next(iter(ways.values()))
    opened = {name: len(way.connections) for name, way in ways.items()}
    asked, limit = first.asked, first.limit
    title = f"{number(opened[next(iter(ways))])} of {asked} instances open"
    for name, open_ in [*opened.items()][1:]:
        title += f"; {name} {'all ' * (open_ == ways[name].asked)}{number(open_)}"
    what = "connections at the server after each instance; a cross: it was refused"
    figure, [ax] = canvas(title, what, source)
    top = max(limit, *(max(way.connections, default=0) + way.size for way in ways.values()))
    ax.set(xlim=(0.5, asked + 0.6), ylim=(0, 1.15 * top))
    ax.set(xlabel="instances, one after the other", ylabel="connections")
    ax.set_xticks(range(1, asked + 1))
    ax.axhline(limit, color=INK, linestyle=":")
    labels = [(float(limit), f"for you: {limit}", INK)]
    for colour, (name, way) in zip(_COLOURS, ways.items(), strict=False):
        counts = numbers(f"connections of {name}", [0, *way.connections], 0)[1:]
        ax.plot(range(1, len(counts) + 1), counts, "o-", color=colour, markersize=8, lw=2.4)
        for at, count in enumerate(counts if way is first else [], 1):
            note(ax, number(count), (at, count), (0, 8), ha="center", color=colour, bbox=WHITE)
        if len(counts) < asked:
            there = (len(counts) + 1, limit)
            if counts:
                ax.plot([len(counts), there[0]], [counts[-1], there[1]], ":", color=colour)
            ax.plot(*there, "X", color=colour, markersize=13, mec="white")
            note(ax, "refused", there, (12, 0), va="center", color=colour, weight="bold",
                 bbox=WHITE)  # fmt: skip
        else:
            labels.append((counts[-1], name, colour))
    margin_labels(ax, labels)
    told = guessed(guess, "open")
    if told:
        x, arrow = pinned(told.value, *ax.get_xlim(), "←→")
        guess_upright(ax, x, top, told, arrow)
    text = ", ".join(f"{name} {count}" for name, count in opened.items())
    return finished(figure, f"instances of {asked} that open, {source}: {text}", told)


class Sent(Protocol):
    """One statement: who sent it, what came back, what the connection carries after it."""

    @property
    def who(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def answer(self) -> str: ...

    @property
    def carries(self) -> str: ...

    @property
    def read(self) -> bool: ...


class Shared(Protocol):
    """What two clients of one connection sent, in its order."""

    @property
    def statements(self) -> Sequence[Sent]: ...


@styled
def carried(told: Shared, *, source: Source = "real") -> Chart:
    """Draw who sent what on one connection, in order, and below it the tenant that it carries.

    A read as another one's tenant is marked; the tenant's name is the client's, in small letters.
    """
    sent = told.statements
    if not sent:
        raise ValueError("statements is empty: nothing to draw")
    wrong = [each.read and each.carries not in ("", each.who.lower()) for each in sent]
    title = "Each reads what is their own"
    if any(wrong):
        at = wrong.index(True)
        title = f"{sent[at].who} reads what is {sent[at].carries.capitalize()}'s"
    what = "who sends what, in order; below: the tenant that the one connection carries"
    figure, [ax] = canvas(title, what, source, height=3.4)
    people = list(dict.fromkeys(each.who for each in sent))
    named_rows(ax, [*people, "the connection"])
    ax.set(xlim=(0.4, len(sent) + 0.6), ylim=(len(people) + 0.45, -0.8))
    ax.set(xticks=range(1, len(sent) + 1), xlabel="statement")
    ax.spines["left"].set_visible(False)
    colours = dict(zip(people, (HIT, MISS), strict=False))
    for y in range(len(people)):
        ax.axhline(y, color="#DDDDDD", linewidth=1, zorder=0)
    for x, (each, bad) in enumerate(zip(sent, wrong, strict=True), 1):
        y, colour = people.index(each.who), FAILED if bad else colours[each.who]
        ax.plot([x, x], [y, len(people) - 0.28], "-", color=colour, linewidth=1.4, zorder=1)
        marker, size = ("X", 13) if bad else ("o", 10)
        ax.plot(x, y, marker, color=colour, markersize=size, mec="white", zorder=3)
        words = fill(_said(each), max(12, 84 // len(sent)))
        bold: Any = {"color": FAILED, "weight": "bold"} if bad else {}
        note(ax, words, (x, y), (0, 9), ha="center", va="bottom", size=10, **bold)
    _ribbon(ax, [each.carries for each in sent], len(people), colours)
    steps = [
        f"{each.who} {_said(each)}" + f" ({each.carries.capitalize()}'s)" * bad
        for each, bad in zip(sent, wrong, strict=True)
    ]
    return finished(figure, f"one connection, {source}: {'; '.join(steps)}")


def _said(each: Sent) -> str:
    """The statement in few words: "reads a lamp", "COMMIT", "set_config(…)"."""
    if each.read:
        return f"reads {'nothing' if each.answer == 'None' else each.answer}"
    return re.sub(r"\(.+\)", "(…)", each.text.removeprefix("SELECT "))


def _ribbon(ax: Axes, carries: Sequence[str], y: int, colours: Mapping[str, str]) -> None:
    """What the connection carries after each statement, until the next one changes it."""
    at = 1.0
    ax.barh(y, 0.6, 0.5, 0.4, color="#E4E4E4", linewidth=0)
    for tenant, group in groupby(carries):
        width = float(len(list(group)))
        colour = colours.get(tenant.capitalize(), "#E4E4E4")
        ax.barh(y, width, 0.5, at, color=colour, linewidth=0, zorder=2, clip_on=True)
        ink = "white" if tenant else QUIET
        seen = min(width, len(carries) + 0.6 - at)
        middle = at + seen / 2
        words = f"tenant: {tenant}" if tenant else "no tenant"
        if seen > 0.1 * len(carries):  # else there is no room for it
            style: Any = {"ha": "center", "va": "center", "zorder": 4, "color": ink}
            note(ax, words, (middle, y), (0, 0), weight="bold" if tenant else "normal", **style)
        at += width
