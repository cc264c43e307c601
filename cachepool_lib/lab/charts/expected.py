"""Charts of what was expected and what came: a ttl and its end, guesses and results."""

from collections.abc import Mapping, Sequence
from math import inf, log10
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    GUESS,
    HIT,
    INK,
    STALE,
    WHITE,
    Chart,
    Guess,
    Source,
    canvas,
    duration,
    finished,
    number,
    numbers,
    styled,
)
from cachepool_lib.lab.charts.labels import (
    guess_upright,
    guessed,
    named_rows,
    note,
    pinned,
    plain_numbers,
    room,
)


@styled
def bar_of_life(
    lives: Mapping[str, float],
    promised: float,
    *,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw how long an entry was served (seconds) under each name; hatched is past *promised*."""
    names, seconds = list(lives), numbers("lives", lives.values(), low=0)
    [promised] = numbers("promised", [promised], low=0)
    longest = max(seconds)
    title = f"Gone after {duration(promised)}, as promised"
    if longest > promised:
        title = f"Promised {duration(promised)}, served for {duration(longest)}"
    elif longest < promised:
        title = f"Promised {duration(promised)}, gone by {duration(longest)}"
    figure, [ax] = canvas(title, "age at which one entry was last served", source)
    told = guessed(guess, "s")
    top = room(max(longest, promised), told)
    named_rows(ax, names)
    ax.set(xlim=(0, top), ylim=(len(names) - 0.1, -0.9), xlabel="age of the entry (seconds)")
    plain_numbers(ax.xaxis)
    for y, life in enumerate(seconds):
        ax.barh(y, min(life, promised), 0.5, color=HIT)
        excess: dict[str, Any] = {"color": "white", "edgecolor": STALE, "hatch": "///", "lw": 1.6}
        ax.barh(y, max(life - promised, 0), 0.5, promised, **excess)
        label = duration(life)
        if life > promised:
            label += f", {duration(life - promised)} past its promise"
        x = promised if life > top / 2 > promised else max(life, promised)
        note(ax, label, (x, y), (8, 0), va="center", weight="bold", bbox=WHITE)
    ax.axvline(promised, color=INK)
    side, by = ("left", (7, 0)) if promised < top / 2 else ("right", (-7, 0))
    label = f"promised: {duration(promised)}"
    note(ax, label, (promised, -0.65), by, va="center", ha=side, bbox=WHITE)
    if told:
        x, arrow = pinned(told.value, 0, top, "←→")
        guess_upright(ax, x, -0.9, told, arrow)
    pairs = zip(names, seconds, strict=True)
    text = ", ".join(f"{name} {duration(life)}" for name, life in pairs)
    promise = f"life of an entry promised {duration(promised)}"
    return finished(figure, f"{promise}, {source}: {text}", told)


class Answer(Guess, Protocol):
    """A guess by name with what came out: None as long as that is not known."""

    @property
    def name(self) -> str: ...

    @property
    def result(self) -> float | str | None: ...

    @property
    def side(self) -> str | None:
        """What the line of text says of a result that differs from run to run: "over 3"."""


@styled
def guesses(answers: Sequence[Answer], *, source: Source = "simulated") -> Chart:
    """Draw every guess against its result, as a ratio: so seconds, shares and counts fit one axis.

    Words are right or wrong, and their row says which. What has no guess or no result yet is left
    out.
    """
    rows = [answer for answer in answers if answer.result is not None and answer.guess is not None]
    ratios = [_decades(row.guess, row.result) for row in rows]
    drawn = [decades for decades in ratios if decades is not None]
    far = sum(decades is None or abs(decades) > log10(3) for decades in ratios)
    title = "No guess was more than 3 times off" if rows else "No guess has a result yet"
    if far:
        were = "was" if far == 1 else "were"
        wrong = "" if len(drawn) == len(rows) else "wrong, or "
        title = f"{far} of {len(rows)} guesses {were} {wrong}more than 3 times off"
    what = "each guess compared with what came out"
    if not all(row.answered for row in rows):
        what += "; where none was typed, a common first guess"
    figure, [ax] = canvas(title, what, source, height=max(3.2, 1.15 + 0.27 * len(rows)))
    named_rows(ax, [row.name for row in rows] or [""])
    reach = max([1.0, *(min(3, abs(decades)) for decades in drawn)])
    ticks = range(-int(reach), int(reach) + 1)
    names = ["right", "× 10", "× 100", "× 1,000", "÷ 1,000", "÷ 100", "÷ 10"]
    ax.set_xticks(ticks, [names[tick] for tick in ticks])  # those below 0 count from the end
    ax.set_xlim(-1.06 * reach, 1.06 * reach)
    ax.set_xlabel("← too low        guess ÷ result (log scale)        too high →")
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=INK)
    words = []
    for y, (row, decades) in enumerate(zip(rows, ratios, strict=True)):
        if decades is not None:
            x, arrow = pinned(decades, -reach, reach, "<>")
            ax.plot([x, 0], [y, y], "--", color=GUESS)
            style: Any = {"mfc": "white", "mec": GUESS, "ms": 9, "mew": 1.8, "clip_on": False}
            ax.plot(x, y, arrow.strip() or "o", **style)
            ax.plot(0, y, "o", color=HIT, markersize=8)
        else:
            note(
                ax,
                "not so",
                (0, y),
                (0, 0),
                ha="center",
                va="center",
                color=GUESS,
                bbox=WHITE,
            )
        word = f"{_word(row.guess)} → {_word(row.result)} {row.unit}".rstrip()
        at: Any = {"xycoords": ax.get_yaxis_transform(), "annotation_clip": False}
        note(ax, word, (1, y), (12, 0), va="center", **at)
        words.append(f"{_word(row.guess)} → {row.side}" if row.side else word)
    figure.draw_without_rendering()  # the width of the axes is known after that
    if ax.bbox.width < 55 * len(ticks):  # long names beside them: no room for all labels
        ax.set_xticks(ticks, ["" if tick % 2 else names[tick] for tick in ticks])
    text = "; ".join(f"{row.name} {word}" for row, word in zip(rows, words, strict=True))
    text = text or "none yet"
    return finished(figure, f"guess → result, {source}: {text}")


def _word(value: float | str | None) -> str:
    return number(value) if isinstance(value, int | float) else str(value)


def _decades(guess: float | str | None, result: float | str | None) -> float | None:
    """Return log10 of guess ÷ result, infinite where there is no ratio; None for wrong words."""
    if guess == result:
        return 0.0
    if not isinstance(guess, int | float) or not isinstance(result, int | float):
        return None
    if not result or guess / result <= 0:
        return inf if guess > result else -inf
    return log10(guess / result)
