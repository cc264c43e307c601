"""A chart of the nodes that are needed, by what each of them has too little of."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from cachepool_lib.lab.charts.canvas import (
    INK,
    OURS,
    WAIT,
    Chart,
    Guess,
    canvas,
    finished,
    number,
    numbers,
    styled,
)
from cachepool_lib.lab.charts.labels import guess_box, named_rows, note


@styled
def scarcest(nodes: Mapping[str, float], *, guess: Guess | None = None) -> Chart:
    """Draw how many nodes are needed for each thing that a node has, worked out and not measured.

    The longest bar decides. The guess is one of the names.
    """
    if not nodes:
        raise ValueError("nodes is empty: nothing to draw")
    counts = numbers("nodes", nodes.values(), 0)
    names = list(nodes)
    at = counts.index(max(counts))
    title = f"{ceil(counts[at]):,} node{'s' * (ceil(counts[at]) != 1)}: {names[at]} decides"
    figure, [ax] = canvas(title, "nodes that are needed, by what is in each of them", "theory")
    named_rows(ax, names)
    boxed = guess is not None and guess.guess in names
    ax.set(xlim=(0, (2 if boxed else 1.25) * max(counts) or 1), xlabel="nodes")
    for y, count in enumerate(counts):
        ax.barh(y, count, 0.56, color=OURS if y == at else WAIT, linewidth=0)
        weight = "bold" if y == at else "normal"
        note(ax, number(count), (count, y), (8, 0), va="center", weight=weight, color=INK)
    told = ""
    if guess is not None and guess.guess in names:
        told = f"{'your guess' if guess.answered else 'a common first guess'}: {guess.guess}"
        place: Any = {"xycoords": "axes fraction", "ha": "right", "va": "bottom"}
        guess_box(ax, told, (0.985, 0.06), **place)
    text = ", ".join(f"{name} {number(n)}" for name, n in zip(names, counts, strict=True))
    text = f"nodes, theory: {text}; {names[at]} decides"
    return finished(figure, f"{text}; {told}" if told else text)
