"""Charts of how fresh answers are: by ttl, where that costs least, and while something breaks."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cachepool_lib.lab.charts.canvas import (
    GUESS,
    HIT,
    INK,
    LOAD,
    STALE,
    WHITE,
    Chart,
    Guess,
    Source,
    Told,
    canvas,
    duration,
    finished,
    number,
    numbers,
    percent,
    styled,
    two_figures,
)
from cachepool_lib.lab.charts.labels import guessed, margin_labels, note, pinned, spread, two_lines

WHAT = "share of the answers; dots: measured, lines: theory"


class Answers(Protocol):
    """Shares, 0 to 1, of all answers."""

    @property
    def hit_rate(self) -> float: ...

    @property
    def stale(self) -> float: ...


class Staleness(Protocol):
    """What was measured at each ttl (seconds), what theory expects there, and the knee."""

    @property
    def by_ttl(self) -> Mapping[float, Answers]: ...

    @property
    def knee(self) -> float: ...

    def hit_rate(self, ttl: float) -> float: ...

    def stale(self, ttl: float) -> float: ...


@styled
def stale_by_ttl(
    run: Staleness,
    *,
    mark: float = 60,
    guess: float | Guess | None = None,
    source: Source = "simulated",
) -> Chart:
    """Draw the hit rate and the share of stale answers by ttl, as dots over the theory's lines.

    At the ttl *mark*, one of those measured, both are written out; the guess is for the share of
    stale answers there.
    """
    if mark not in run.by_ttl:
        raise ValueError(f"mark must be one of the ttls, not {mark!r}")
    here = run.by_ttl[mark]
    title = f"At a ttl of {duration(mark)}, {percent(here.hit_rate)} of answers are hits"
    title += f", and {percent(here.stale)} are stale"
    figure, ax, ttls = _by_ttl(run, title, WHAT, source)
    line = _line(ttls)
    told = guessed(guess)
    kinds = (("hit rate", run.hit_rate, "hit_rate", HIT), ("stale", run.stale, "stale", STALE))
    ends = []
    for name, theory, field, colour in kinds:
        values = numbers(name, [getattr(run.by_ttl[ttl], field) for ttl in ttls], 0, 1)
        ax.plot(line, [theory(ttl) for ttl in line], color=INK, linewidth=1.2)
        ax.plot(ttls, values, "o", color=colour, markersize=7)
        ends.append((values[-1], name, colour))
    _marked(ax, mark, here, told)
    margin_labels(ax, ends)
    shares = ", ".join(
        f"{duration(ttl)} {run.by_ttl[ttl].hit_rate:.2f} and {run.by_ttl[ttl].stale:.2f}"
        for ttl in ttls
    )
    return finished(figure, f"hit rate and stale answers by ttl, {source}: {shares}", told)


def _by_ttl(
    run: Staleness, title: str, what: str, source: Source
) -> tuple[Figure, Axes, list[float]]:
    ttls = sorted(numbers("ttl", run.by_ttl, low=1e-9))
    figure, [ax] = canvas(title, what, source)
    ax.set(xscale="log", xlim=(ttls[0] / 1.3, ttls[-1] * 1.3), ylim=(-0.04, 1.08))
    ax.set(xlabel="ttl (seconds, log scale)", ylabel="share of the answers")
    ax.set_xticks(ttls, [number(ttl) for ttl in ttls])
    ax.xaxis.set_minor_locator(NullLocator())
    return figure, ax, ttls


def _line(ttls: Sequence[float]) -> list[float]:
    """Enough ttls for a smooth line from the first to the last."""
    first, last, steps = ttls[0], ttls[-1], 60
    return [first * (last / first) ** (step / steps) for step in range(steps + 1)]


def _marked(ax: Axes, ttl: float, here: Answers, told: Told | None) -> None:
    """Ring both dots and write them out, with the guess beside the lower one."""
    labels = [(here.hit_rate, f"hits: {here.hit_rate:.2f}", HIT)]
    labels.append((here.stale, f"stale: {here.stale:.2f}", STALE))
    for y, _, colour in labels:
        ax.plot(ttl, y, "o", markersize=16, mfc="none", mec=colour, mew=1.8)
    if told:
        y, arrow = pinned(told.value, -0.02, 1.06)
        ax.plot([ttl, ttl], [y, here.stale], "--", color=GUESS, zorder=1)
        ax.plot(ttl, y, "o", markersize=10, mfc="white", mec=GUESS, mew=1.6, clip_on=False)
        labels.append((y, two_lines(told.label) + arrow, GUESS))
    sizes = [0.1 + 0.09 * label.count("\n") for _, label, _ in labels]
    places = spread([y - 0.1 * (y > 0.9) for y, _, _ in labels], sizes, -0.04, 1.0)
    for (_, label, colour), y in zip(labels, places, strict=True):
        note(ax, label, (ttl, y), (14, 0), va="center", color=colour, weight="bold", bbox=WHITE)


@styled
def knee(run: Staleness, *, source: Source = "simulated") -> Chart:
    """Draw misses and stale answers by ttl, and their sum, whose lowest place is the knee.

    Dots are measured, lines are theory.
    """
    title = f"The fewest loads and stale answers together: a ttl of about {two_figures(run.knee)} s"
    figure, ax, ttls = _by_ttl(run, title, WHAT, source)
    line = _line(ttls)
    miss = [1 - run.by_ttl[ttl].hit_rate for ttl in ttls]
    stale = [run.by_ttl[ttl].stale for ttl in ttls]
    both = [one + other for one, other in zip(miss, stale, strict=True)]
    ax.plot(line, [1 - run.hit_rate(t) for t in line], color=LOAD)
    ax.plot(line, [run.stale(t) for t in line], color=STALE)
    ax.plot(line, [1 - run.hit_rate(t) + run.stale(t) for t in line], color=INK, linewidth=2.6)
    for values, colour in ((miss, LOAD), (stale, STALE), (both, INK)):
        ax.plot(ttls, numbers("share", values, 0, 2), "o", color=colour, markersize=6)
    ax.axvline(run.knee, color=INK, linestyle=":", zorder=0)
    note(ax, f"knee: {two_figures(run.knee)} s", (run.knee, 1.05), (7, 0), va="top", weight="bold",
         bbox=WHITE)  # fmt: skip
    ends = [(both[-1], "both together", INK), (stale[-1], "stale", STALE)]
    margin_labels(ax, [*ends, (miss[-1], "loads", LOAD)])
    lowest = min(zip(both, ttls, strict=True))
    text = f"{two_figures(run.knee)} s; measured least at {duration(lowest[1])}, {lowest[0]:.2f}"
    return finished(figure, f"knee, {source}: {text}")


class Watched(Protocol):
    """A shop over time: what became of the visits of each stretch (seconds)."""

    @property
    def ends(self) -> Sequence[float]: ...

    @property
    def hit_rates(self) -> Sequence[float]: ...

    @property
    def canary(self) -> Sequence[float]: ...

    @property
    def lost_at(self) -> float: ...


@styled
def over_the_deploy(run: Watched, *, source: Source = "simulated") -> Chart:
    """Draw the hit rate before and after a deploy, and what a canary says, if there is one.

    Each dot is a stretch of time. Means are written out, before and after.
    """
    ends = numbers("ends", run.ends, 0)
    minutes, split = [end / 60 for end in ends], sum(end <= run.lost_at for end in ends)
    lines = {"hit rate": (numbers("hit rate", run.hit_rates, 0, 1), HIT, (0, 8), "bottom")}
    if run.canary:
        lines["canary"] = (numbers("canary", run.canary, 0, 1), STALE, (0, -10), "top")
    means = {
        name: (mean(values[:split]), mean(values[split:])) for name, (values, *_) in lines.items()
    }
    before, after = (f"{share:.2f}" for share in means["hit rate"])
    way = "rises" if before < after else "falls" if before > after else "goes"
    title = f"The hit rate {way} from {before} to {after}"
    what = "share of the visits that are hits"
    if run.canary:
        title += ", the canary from {:.2f} to {:.2f}".format(*means["canary"])
        what += "; canary: share of the compared hits that are stale"
    else:
        what += "; the axis does not begin at 0"
    figure, [ax] = canvas(title, what, source)
    ax.set(xlim=(0, 1.01 * minutes[-1]), ylim=(-0.04, 1.1), xlabel="time (minutes)")
    if not run.canary:  # a few points are many loads: they must be seen
        rates = lines["hit rate"][0]
        ax.set_ylim(max(-0.04, min(rates) - 0.1), min(1.1, max(rates) + 0.1))
    ax.set_ylabel("share")
    ax.axvspan(run.lost_at / 60, 1.01 * minutes[-1], color="#EFEFEF", zorder=0, linewidth=0)
    high = ax.get_xaxis_transform()  # minutes, and a share of the axis' height
    note(ax, "after the deploy", (run.lost_at / 60, 0.98), (6, 0), va="top", xycoords=high)
    for name, (values, colour, by, va) in lines.items():
        ax.plot(minutes, values, "o-", color=colour, markersize=5)
        shown = zip((minutes[split // 2], minutes[-2]), means[name], strict=True)
        for x, value in shown:
            at = (x, value) if value > 0.1 else (x, 0.24)
            note(ax, f"{value:.2f}", at, by, ha="center", va=va, color=colour, size=14,
                 weight="bold")  # fmt: skip
    margin_labels(ax, [(values[-1], name, colour) for name, (values, colour, *_) in lines.items()])
    text = "; ".join(f"{name} {low:.2f}, then {high:.2f}" for name, (low, high) in means.items())
    return finished(figure, f"before and after a deploy, {source}: {text}")
