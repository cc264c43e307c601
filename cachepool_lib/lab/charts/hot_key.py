"""The chart of a cluster in which most reads want one key."""

from collections.abc import Mapping, Sequence

from cachepool_lib.lab.charts.canvas import (
    HIT,
    QUIET,
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
from cachepool_lib.lab.charts.labels import (
    guess_upright,
    guessed,
    named_rows,
    note,
    pinned,
    plain_numbers,
)


@styled
def gets_by_shard(
    gets: Mapping[str, Sequence[int]],
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw how many GETs each shard answered, a bar for each cache: two of them.

    The guess is the busiest shard's share (0 to 1) of those of the first cache. How often the
    second one asked depends on messages that may come late, so the line of text only says whether
    that was less than a fifth.
    """
    counts = {name: numbers(f"GETs of {name}", row, 0) for name, row in gets.items()}
    if len(counts) != 2 or len({len(row) for row in counts.values()}) != 1:
        raise ValueError("gets must have two caches, with a number for each shard")
    (first, before), (second, after) = counts.items()
    total = sum(before)
    if not total:
        raise ValueError(f"{first} asked no shard: nothing to compare")
    share = max(before) / total
    title = f"One of {len(before)} shards answers {percent(share)} of the reads"
    if sum(after) < total:
        title += f"; {second} spares it"
    what = f"GETs that each shard answered, of {number(total)} reads"
    figure, [ax] = canvas(title, what, source)
    named_rows(ax, [f"shard {shard + 1}" for shard in range(len(before))])
    top = 1.28 * max(*before, *after)
    ax.set(xlim=(0, top), ylim=(len(before) - 0.25, -0.6), xlabel="GETs")
    plain_numbers(ax.xaxis)
    for row, offset, colour, name in ((before, -0.19, QUIET, first), (after, 0.19, HIT, second)):
        for shard, value in enumerate(row):
            ax.barh(shard + offset, value, 0.34, color=colour)
            label = f"{number(value)}, {name}"
            note(ax, label, (value, shard + offset), (6, 0), va="center", color=colour)
    told = guessed(guess, write=lambda value: f"{value:.2f}")
    if told:
        x, arrow = pinned(told.value * total, 0, top, "←→")
        guess_upright(ax, x, -0.6, told, arrow)
    fewer = "fewer" if sum(after) < total / 5 else "not fewer"
    figures = ", ".join(number(value) for value in before)
    text = f"{first} {figures}; {second} {fewer} than a fifth of that"
    return finished(figure, f"GETs by shard, {source}: {text}", told)
