"""Charts of monitoring: which signal shows which fault, and when a rule fires."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    HIT,
    INK,
    QUIET,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    number,
    numbers,
    styled,
)
from cachepool_lib.lab.charts.labels import guess_box, guessed, named_rows, note

# From the first scrape on: the later, the paler. Text on them is readable.
SOON = ((5, HIT, "white"), (20, "#6FB1DE", INK), (float("inf"), "#D6E8F5", INK))


class Days(Protocol):
    """For each day and signal, the seconds until it shows; None: never."""

    @property
    def shown(self) -> Mapping[str, Mapping[str, float | None]]: ...


@styled
def signals(
    days: Days,
    signal: str = "page p99",
    *,
    advice: Mapping[str, str] | None = None,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw a row for each signal, a column for each day, and in it the seconds until it shows.

    The last day is the healthy one. *advice* is what exercise 06-3 says of each day, in a row of
    its own. The guess is on how many of the bad days *signal* shows.
    """
    shown = days.shown
    if len(shown) < 2:
        raise ValueError("days must be two or more, the healthy one last")
    *bad, well = shown
    names = list(shown[well])
    of = {name: sum(shown[day][name] is not None for day in bad) for name in names}
    if signal not in of:
        raise ValueError(f"signal must be one of {', '.join(names)}, not {signal!r}")
    most = max(of.values())
    rest = "no signal shows more" if most == of[signal] else f"the best signal shows {most}"
    title = f"{signal[0].upper()}{signal[1:]} shows {of[signal]} of {len(bad)} bad days; {rest}"
    what = "seconds until a signal shows, by what is wrong; a dash: never"
    height = 1.65 + 0.24 * (len(names) + 2 * bool(advice))
    figure, [ax] = canvas(title, what, source, height=height)
    named_rows(ax, names)
    if advice:
        _advice(ax, len(names) + 0.5, [advice[day] for day in shown])
    ax.set_xlim(-0.5, len(shown) - 0.5)
    ax.set_xticks(range(len(shown)), [day.replace(" ", "\n", 1) for day in shown], size=10)
    ax.set_xlabel(" ", labelpad=9)  # room for the guess
    ax.tick_params(axis="x", length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    for x, day in enumerate(shown):
        for y, name in enumerate(names):
            _cell(ax, x, y, shown[day][name])
    told = guessed(guess, "days")
    if told:
        place: Any = {"xycoords": "axes fraction", "ha": "right", "va": "top"}
        guess_box(ax, f"{signal}, {told.label}", (1, -0.015), **place)
    text = ", ".join(
        f"{day} {sum(at is not None for at in shown[day].values())} of {len(names)}"
        for day in shown
    )
    text += f"; advice: {', '.join(advice[day] for day in shown)}" if advice else ""
    line = f"signals that show, {source}: {text}; {signal}: {of[signal]} of {len(bad)} bad days"
    return finished(figure, line, told)


def _advice(ax: Any, y: float, words: Sequence[str]) -> None:
    """Write words under the columns."""
    ax.set_ylim(y + 0.9, -0.5)
    ax.set_yticks([*ax.get_yticks(), y], [*(t.get_text() for t in ax.get_yticklabels()), "advise"])
    ax.axhline(y - 0.95, color="#8A8A8A", linewidth=0.8)
    for x, word in enumerate(words):
        style: Any = {"ha": "center", "va": "center", "size": 10}
        note(ax, word.replace(" ", "\n"), (x, y), (0, 0), **style)


def _cell(ax: Any, x: int, y: int, at: float | None) -> None:
    style: Any = {"ha": "center", "va": "center"}
    if at is None:
        note(ax, "–", (x, y), (0, 0), color=QUIET, **style)
        return
    face, ink = next((face, ink) for most, face, ink in SOON if at <= most)
    ax.barh(y, 0.94, 0.86, x - 0.47, color=face)
    note(ax, number(at), (x, y), (0, 0), color=ink, weight="bold", **style)


class Alarms(Protocol):
    """The share of pages that failed in each step of a day, and when a rule fired (seconds)."""

    @property
    def failed(self) -> Sequence[float]: ...

    @property
    def spans(self) -> Sequence[tuple[float, float]]: ...

    @property
    def real(self) -> Sequence[tuple[float, float]]: ...


@styled
def alarms(rules: Mapping[str, Alarms], *, source: Source = "simulated") -> Chart:
    """Draw a lane for each rule, over a day and beside it over its outage: when it fired.

    Alarms of the outage are blue, false ones red. The outage is the longest time in which over a
    tenth of the pages failed.
    """
    if not rules:
        raise ValueError("rules is empty: nothing to draw")
    wrong = {name: len(rule.spans) - len(rule.real) for name, rule in rules.items()}
    first, last = next(iter(wrong)), list(wrong)[-1]
    title = f"“{first}” wakes somebody {wrong[first]} times for nothing, “{last}” {wrong[last]}"
    what = "when a rule fires: red for nothing, blue for the outage"
    figure, [day, near] = canvas(title, what, source, columns=2, height=1.9 + 0.5 * len(rules))
    begin, end = _outage(numbers("failed", next(iter(rules.values())).failed, 0, 1))
    named_rows(day, list(rules))
    day.set(xlim=(0, 24), xlabel="hour of the day")
    day.set_xticks(range(0, 25, 6))
    over = max([end, *(until for rule in rules.values() for _, until in rule.real)])
    near.set(xlim=(-1, (over - begin) / 60 + 1), xlabel="minutes since the outage began")
    near.set_ylim(len(rules) - 0.5, -1.1)  # of both: room for a word
    near.axvspan(0, (end - begin) / 60, color="#E4E4E4", zorder=0)
    note(near, "the outage", ((end - begin) / 120, -0.75), (0, 0), ha="center", va="center")
    for y, rule in enumerate(rules.values()):
        day.axhline(y, color="#E4E4E4", zorder=0)
        for start, until in rule.spans:
            colour = HIT if (start, until) in rule.real else FAILED
            # Some seconds of a day would not be seen.
            day.barh(y, max(0.12, (until - start) / 3600), 0.6, start / 3600, color=colour)
        for start, until in rule.real:
            near.barh(y, (until - start) / 60, 0.6, (start - begin) / 60, color=HIT)
    text = ", ".join(f"{name}: {count} false" for name, count in wrong.items())
    return finished(figure, f"alarms on a day with one outage, {source}: {text}")


def _outage(failed: Sequence[float]) -> tuple[float, float]:
    """From which second of the day until which it lasted."""
    best, since = (0, 0), 0
    for at, share in enumerate(failed, 1):
        if share <= 0.1:
            since = at
        best = max(best, (since, at), key=lambda two: two[1] - two[0])
    step = 86_400 / len(failed)
    return best[0] * step, best[1] * step
