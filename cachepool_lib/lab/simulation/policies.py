"""Who has to leave a full cache: four answers, and the share of requests that each turns into hits.

Each function takes the keys asked for, in order, and the room there is, in entries.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from cachepool_lib.memory.store import Store


def fifo(keys: Sequence[Hashable], room: int) -> float:
    """The one that came first leaves."""
    cache: OrderedDict[Hashable, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in cache:
            hits += 1
        else:
            if len(cache) == room:
                cache.popitem(last=False)
            cache[key] = None
    return hits / len(keys)


def lru(keys: Sequence[Hashable], room: int) -> float:
    """The one that was used least recently leaves."""
    cache: OrderedDict[Hashable, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        else:
            if len(cache) == room:
                cache.popitem(last=False)
            cache[key] = None
    return hits / len(keys)


def s3fifo(keys: Sequence[Hashable], room: int) -> float:
    """The one that AsyncCache lets go: its own store decides."""
    store = Store(room)
    hits = 0
    for key in keys:
        if store.lookup(key, 0.0) is not None:
            hits += 1
        else:
            store.put(key, None, math.inf, 0.0)
    return hits / len(keys)


def foresight(keys: Sequence[Hashable], room: int) -> float:
    """The one that is not needed for the longest time leaves: no policy can do better.

    (Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.)
    """
    next_use = [math.inf] * len(keys)
    coming: dict[Hashable, int] = {}
    for i in range(len(keys) - 1, -1, -1):
        next_use[i] = coming.get(keys[i], math.inf)
        coming[keys[i]] = i
    cache: dict[Hashable, float] = {}  # key: its next use
    farthest: list[tuple[float, int]] = []  # (-next use, request); also outdated ones
    hits = 0
    for i, key in enumerate(keys):
        hits += key in cache
        cache[key] = next_use[i]
        heapq.heappush(farthest, (-next_use[i], i))
        while len(cache) > room:
            use, request = heapq.heappop(farthest)
            if cache.get(keys[request]) == -use:
                del cache[keys[request]]
    return hits / len(keys)


POLICIES: dict[str, Callable[[Sequence[Hashable], int], float]] = {
    "FIFO": fifo,
    "LRU": lru,
    "S3-FIFO": s3fifo,
    "foresight": foresight,
}


def hit_rates(keys: Sequence[Hashable], rooms: Sequence[int]) -> dict[str, list[float]]:
    """The hit rate of every policy at each of *rooms*: what charts.hit_rate_by_capacity() draws."""
    return {name: [policy(keys, room) for room in rooms] for name, policy in POLICIES.items()}
