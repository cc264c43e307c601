"""Who left, and about how long ago: hashes only."""

from collections import deque
from collections.abc import Hashable

GENERATIONS = 8


class Ghosts:
    """The hashes of the last keys that left a queue: *size* of them, or up to an eighth fewer.

    They are kept in generations, each the keys that left one after another. The oldest is let go
    as a whole when a new one begins, so no key needs a number or a place in a queue of its own:
    that would be as dear as an entry.
    """

    def __init__(self, size: int) -> None:
        self.width = max(1, size // GENERATIONS)  # keys in a generation
        self._added = 0  # to the youngest
        generations = max(1, min(GENERATIONS, size))
        self._generations: deque[set[int]] = deque([set()], maxlen=generations)

    def add(self, key: Hashable) -> None:
        if self._added == self.width:
            self._generations[0] = set(self._generations[0])  # grown step by step, it is larger
            self._generations.appendleft(set())
            self._added = 0
        self._generations[0].add(hash(key))
        self._added += 1

    def pop(self, key: Hashable) -> float | None:
        """Forget *key*: about how many have left after it, or None if it is not remembered."""
        ghost = hash(key)
        for number, generation in enumerate(self._generations):
            if ghost in generation:
                generation.remove(ghost)
                return (number + 0.5) * self.width
        return None

    def clear(self) -> None:
        self._generations.clear()
        self._generations.append(set())
        self._added = 0
