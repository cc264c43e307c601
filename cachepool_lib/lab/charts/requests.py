"""Charts by request: what is in memory after each, and whose page each got."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cachepool_lib.lab.charts.canvas import (
    FAILED,
    FRESH,
    INK,
    OURS,
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
    guess_across,
    guess_box,
    guessed,
    margin_labels,
    note,
    plain_numbers,
    room,
)


@styled
def alive_over_requests(
    runs: Mapping[str, Sequence[float]],
    what: str,
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw how many of *what* (such as "users") are in memory after each request.

    The guess is for the end of the first run.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    counts = {name: numbers(f"counts of {name}", values, low=0) for name, values in runs.items()}
    ends = {name: values[-1] for name, values in counts.items()}
    first, *others = ends
    length = max(map(len, counts.values()))
    title = f"{first}: {number(ends[first])} {what} are kept after {length:,} requests"
    title += "".join(f"; {name}: {number(ends[name])}" for name in others)
    figure, [ax] = canvas(title, f"{what} in memory after each request", source)
    told = guessed(guess, what)
    top = room(max(map(max, counts.values())), told)
    ax.set(xlim=(0, length), ylim=(-0.03 * top, top), xlabel="requests", ylabel=f"{what} in memory")
    plain_numbers(ax.xaxis)
    plain_numbers(ax.yaxis)
    labels = []
    for name, values in counts.items():
        colour = INK if name == first else OURS
        ax.plot(range(1, len(values) + 1), values, color=colour, linewidth=2.4)
        labels.append((ends[name], f"{name}: {number(ends[name])}", colour))
    margin_labels(ax, [*labels, *guess_across([ax], told)])
    text = ", ".join(f"{name} {number(end)}" for name, end in ends.items())
    return finished(figure, f"{what} in memory at the end, {source}: {text}", told)


@styled
def whose_page(
    runs: Mapping[str, Sequence[float]],
    *,
    guess: float | Guess | None = None,
    source: Source = "real",
) -> Chart:
    """Draw whose page each request got: request i should get the page of user i.

    How many get another's page depends on where Python puts new objects, so the line of text only
    says whether it was none, some, or more than half. The guess is a share (0 to 1), of the first.
    """
    if not runs:
        raise ValueError("runs is empty: nothing to draw")
    pages = {name: numbers(f"pages of {name}", users, low=0) for name, users in runs.items()}
    wrong = {
        name: [i for i, user in enumerate(users) if user != i] for name, users in pages.items()
    }
    counts = [f"{len(wrong[name]):,} of {len(pages[name]):,}" for name in pages]
    title = f"{counts[0]} requests get a stranger's page"
    title += "".join(f", then {count}" for count in counts[1:])
    what = "whose page each request got"
    if any(wrong.values()):
        what += "; red: a stranger's"
    # The first to come to an address gets its own page: a dot or two are not seen.
    if any(len(wrong[name]) < 0.95 * len(users) for name, users in pages.items()):
        what += "; blue: its own"
    figure, axes = canvas(title, what, source, columns=len(pages))
    axes[0].set_ylabel("whose page it got (user)")
    plain_numbers(axes[0].yaxis)
    for ax, (name, users) in zip(axes, pages.items(), strict=True):
        ax.set(title=name, xlim=(0, len(users)), ylim=(-0.03 * len(users), 1.02 * len(users)))
        ax.set_xlabel("request, made by the user of that number")
        plain_numbers(ax.xaxis)
        ax.plot([0, len(users)], [0, len(users)], color="#C8C8C8", linewidth=1.4, zorder=1)
        strangers = set(wrong[name])
        own = [i for i in range(len(users)) if i not in strangers]
        for requests, colour in ((own, FRESH), (wrong[name], FAILED)):
            ax.plot(requests, [users[i] for i in requests], "o", color=colour, markersize=3, mew=0)
        at: Any = {"xycoords": "axes fraction", "weight": "bold", "va": "top"}
        words = f"{len(strangers):,} strangers' pages" if strangers else "each its own page"
        note(ax, words, (0.04, 0.97), (0, 0), color=FAILED if strangers else FRESH, **at)
        if strangers:
            favourite, times = Counter(users[i] for i in strangers).most_common(1)[0]
            middle, words = len(users) / 2, f"{times:,} get that of user {favourite:g}"
            above: Any = {"ha": "center", "color": FAILED}
            note(ax, words, (middle, favourite), (0, 8), **above)
            note(ax, "its own page", (0.6 * len(users), 0.5 * len(users)), (0, 0), color=QUIET)
    if told := guessed(guess, write=percent):
        guess_box(axes[0], told.label, (0.05, 0.78), xycoords="axes fraction", va="top")
    text = ", ".join(f"{name} {_how_many(len(wrong[name]), len(pages[name]))}" for name in pages)
    return finished(figure, f"strangers' pages, {source}: {text}", told)


def _how_many(count: int, of: int) -> str:
    return "more than half" if 2 * count > of else "some" if count else "none"
