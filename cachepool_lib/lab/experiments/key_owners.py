"""Which node of several has a key, and which keys move when a node leaves."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Moves:
    """Who has each of some keys before a node leaves, and who has it after."""

    before: Sequence[str]
    after: Sequence[str]

    @property
    def share(self) -> float:
        """Of all keys those that move: 0 to 1."""
        moved = sum(old != new for old, new in zip(self.before, self.after, strict=True))
        return moved / len(self.before)

    @property
    def fullest(self) -> float:
        """How many keys the fullest node has before, as a multiple of an equal share."""
        counts = Counter(self.before)
        return max(counts.values()) * len(counts) / len(self.before)


def moves(before: Callable[[str], str], after: Callable[[str], str], keys: int = 500) -> Moves:
    """Ask both functions, which say what node has a key, for "user:1", "user:2" and so on."""
    names = [f"user:{number}" for number in range(1, keys + 1)]
    return Moves([before(name) for name in names], [after(name) for name in names])


def ring_shares(points: int, nodes: int = 5, rings: int = 20) -> list[list[float]]:
    """The share of each node, on several rings where each has so many *points*.

    A share is the length of the arcs that end at a node's points; the ring's is 1. On each ring the
    nodes have other names.
    """
    shares = []
    for ring in range(rings):
        ends = sorted(
            (_place(f"{ring} {node} {number}"), node)
            for node in range(nodes)
            for number in range(points)
        )
        lengths = [0.0] * nodes
        last = ends[-1][0] - 1  # the arc through the ring's beginning
        for place, node in ends:
            lengths[node] += place - last
            last = place
        shares.append(lengths)
    return shares


def _place(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
