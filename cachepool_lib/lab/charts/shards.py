"""Pages of a cluster, one of whose shards has lost its primary."""

from collections.abc import Sequence
from statistics import median
from typing import Any, Protocol

from cachepool_lib.lab.charts.canvas import (
    HIT,
    MISS,
    QUIET,
    Chart,
    Guess,
    Source,
    canvas,
    finished,
    numbers,
    percent,
    styled,
)
from cachepool_lib.lab.charts.labels import guess_box, guessed, margin_labels, note
from cachepool_lib.lab.charts.pages import Run, short, time_for_a_page


class Away(Protocol):
    """Visits, the shard of each, and when (seconds) the primary of shard *away* was gone, when its
    replica had taken over, and when the last visit that missed had come.
    """

    @property
    def away(self) -> int: ...

    @property
    def fault(self) -> str: ...

    @property
    def visits(self) -> Run: ...

    @property
    def shards(self) -> Sequence[int]: ...

    @property
    def gone(self) -> float: ...

    @property
    def taken_over(self) -> float: ...

    @property
    def again(self) -> float: ...

    @property
    def failed(self) -> int: ...

    @property
    def missing(self) -> Sequence[int]: ...

    def missed(self, shard: int) -> float: ...


_WELL = (HIT, QUIET, "#7FB7D9")  # for the shards that are well, one after the other
_AWAY = "#8A5F00"  # text beside orange dots: orange itself is too pale to read
_DONE = {"kill": "killed", "freeze": "frozen"}


@styled
def pages_by_shard(
    run: Away, *, guess: float | Guess | None = None, source: Source = "real"
) -> Chart:
    """Draw how long each page took, coloured by its shard; the time without a primary is shaded.

    The guess is the share (0 to 1) of the visits in that time that failed. Real seconds differ from
    run to run: the line of text has none.
    """
    at = numbers("at", run.visits.at, 0)
    seconds = numbers("seconds", run.visits.seconds, 0)
    done = _DONE[run.fault]
    names = _listed([f"shard {shard + 1}" for shard in run.missing])
    failed = f"{run.failed} visits fail" if run.failed else "no visit fails"
    what = "time for each page, coloured by its shard; large dots: had to load"
    title = f"A primary is {done}: {failed}, {names} must load"
    figure, [ax] = canvas(title, what, source)
    told = guessed(guess, write=percent)
    time_for_a_page([ax], 1000 * max(0.05, *seconds) * 12)
    right = max(1.08 * max(at), 1.33 * run.taken_over)  # after the gap there is room for words
    ax.set(xlim=(0, right), xlabel="asked for at (seconds)")
    ax.axvspan(run.gone, run.taken_over, color="#E4E4E4", zorder=0, linewidth=0)
    others = iter(_WELL)
    labels = []
    for shard in sorted(set(run.shards)):
        colour = MISS if shard == run.away else next(others)
        rows = zip(at, seconds, run.visits.outcomes, run.shards, strict=True)
        dots = [(x, max(0.1, 1000 * y), outcome) for x, y, outcome, of in rows if of == shard]
        for kind, size in ((True, 3.2), (False, 6)):
            some = [(x, y) for x, y, outcome in dots if (outcome == "hit") == kind]
            style: Any = {"linestyle": "none", "marker": "o", "mew": 0, "alpha": 0.8}
            if some:
                ax.plot(*zip(*some, strict=True), color=colour, markersize=size, **style)
        gap = [y for x, y, _ in dots if run.gone <= x < run.taken_over]
        words = f"shard {shard + 1}: {percent(run.missed(shard))} load"
        labels.append((median(gap or [dots[-1][1]]), words, _AWAY if colour == MISS else colour))
    place: Any = {"xycoords": ax.get_xaxis_transform(), "ha": "center", "va": "top"}
    waited = f"{done}: no primary\nfor {short(run.taken_over - run.gone)}"
    note(ax, waited, ((run.gone + run.taken_over) / 2, 0.97), (0, 0), weight="bold", **place)
    over = f"all hit\n{short(max(0.01, run.again - run.taken_over))} later"
    note(ax, over, (run.taken_over, 0.97), (6, 0), **place | {"ha": "left"})
    margin_labels(ax, labels)
    if told:
        # Beneath the labels: among the shards it would be read as a share that loads.
        text = f"visits that fail,\n{told.label}"
        guess_box(ax, text, (1.03, -0.02), xycoords="axes fraction", va="top")
    missed = ", ".join(f"shard {shard + 1} {_most(run.missed(shard))}" for shard in _all(run))
    text = f"pages while a primary is {done}, {source}: {failed}; loaded meanwhile: {missed}"
    return finished(figure, text, told)


def _all(run: Away) -> list[int]:
    return sorted(set(run.shards))


def _most(share: float) -> str:
    """In words that are the same in every run: a visit may be slow for reasons of its own."""
    return "most" if share > 0.5 else "hardly any"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) or "no shard"
