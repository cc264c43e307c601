"""What to compare our eviction with: S3-FIFO as the paper writes it down, and our rule in lists.

Nothing is shared with the library.

Juncheng Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1.
The text says what the algorithm leaves open: the ghost queue holds as many keys as the main queue,
and an object that moves to the main queue starts there from 0.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence


class S3FIFO:
    """Which keys are in a cache of *size* objects."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.main_size = size - size // 10
        self.small: deque[Hashable] = deque()
        self.main: deque[Hashable] = deque()
        self.ghost: OrderedDict[Hashable, None] = OrderedDict()
        self.freq: dict[Hashable, int] = {}

    def read(self, key: Hashable) -> bool:
        """True if *key* is in the cache; else it is inserted."""
        if key in self.freq:
            self.freq[key] = min(self.freq[key] + 1, 3)
            return True
        self.insert(key)
        return False

    def insert(self, key: Hashable) -> None:
        while len(self.freq) >= self.size:
            if len(self.small) >= self.size / 10:
                self.evict_small()
            else:
                self.evict_main()
        if key in self.ghost:
            del self.ghost[key]
            self.main.appendleft(key)
        else:
            self.small.appendleft(key)
        self.freq[key] = 0

    def evict_small(self) -> None:
        while self.small:
            tail = self.small.pop()
            if self.freq[tail] > 1:
                self.main.appendleft(tail)
                self.freq[tail] = 0
                if len(self.main) > self.main_size:
                    self.evict_main()
            else:
                del self.freq[tail]
                self.ghost[tail] = None
                if len(self.ghost) > self.main_size:
                    self.ghost.popitem(last=False)
                return

    def evict_main(self) -> None:
        while self.main:
            tail = self.main.pop()
            if self.freq[tail] == 0:
                del self.freq[tail]
                return
            self.freq[tail] -= 1
            self.main.appendleft(tail)


def s3fifo(keys: Sequence[Hashable], size: int) -> float:
    """The share of *keys* that are hits."""
    cache = S3FIFO(size)
    return sum(cache.read(key) for key in keys) / len(keys)


class MovingBorder:
    """The rule of AsyncCache in plain lists, the oldest first: slow, and short enough to see."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.border = max(1.0, size / 10)
        self.small: list[Hashable] = []
        self.main: list[Hashable] = []
        self.uses: dict[Hashable, int] = {}
        self.second_round: set[Hashable] = set()
        self.left_small = Left(size)
        self.left_main = Left(size // 4)

    def read(self, key: Hashable) -> bool:
        """True if *key* is in the cache; else it is inserted."""
        if key in self.uses:
            self.uses[key] = min(self.uses[key] + 1, 3)
            return True
        if len(self.uses) == self.size:
            self.evict()
        self.insert(key)
        return False

    def insert(self, key: Hashable) -> None:
        self.uses[key] = 0
        age = self.left_small.age(key)
        if age is not None:
            if age <= self.size - len(self.small):
                self.border = min(
                    max(1, 0.9 * self.size), self.border + self.left_small.width / 2 / age
                )
            self.main.append(key)
            return
        if self.left_main.age(key) is not None:
            self.border = max(1, 0.01 * self.size, self.border - 1)
        self.small.append(key)

    def evict(self) -> None:
        while True:
            small = len(self.small) >= self.border or not self.main
            key = (self.small if small else self.main).pop(0)
            uses = self.uses[key]
            if not uses:
                (self.left_small if small else self.left_main).keys.append(key)
                del self.uses[key]
                self.second_round.discard(key)
                return
            if small and uses == 1 and key not in self.second_round:
                self.second_round.add(key)
                self.small.append(key)
            else:
                self.main.append(key)
            self.uses[key] = 0 if small else uses - 1


class Left:
    """Who left, the oldest first; a key that comes back leaves None in its place."""

    def __init__(self, size: int) -> None:
        self.width, self.generations = max(1, size // 8), max(1, min(8, size))
        self.keys: list[Hashable] = []

    def age(self, key: Hashable) -> float | None:
        if key not in self.keys:
            return None
        place = len(self.keys) - 1 - self.keys[::-1].index(key)
        generation = (len(self.keys) - 1) // self.width - place // self.width
        if generation >= self.generations:
            return None
        self.keys[place] = None
        return (generation + 0.5) * self.width
