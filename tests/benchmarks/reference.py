"""S3-FIFO as the paper writes it down, to compare ours with. Nothing is shared with the library.

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
