"""Who asks for which page, and when: seeded traffic, the same on every machine.

Only `random.Random.random()` is drawn from: Python promises its sequence for a seed; how choices()
or numpy use theirs may change.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random


@dataclass(frozen=True, repr=False, eq=False)
class Traffic:
    """Requests in order of time: request i comes at times[i] seconds and asks for keys[i].

    *popularity* is the share of the requests that each key gets on average, empty if unknown.
    """

    times: Sequence[float]
    keys: Sequence[int]
    popularity: Sequence[float] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[float, int]]:
        return zip(self.times, self.keys, strict=True)

    @property
    def rate(self) -> float:
        """Requests a second, on average."""
        span = self.times[-1] if self.times else 0.0
        return len(self) / span if span else math.inf

    def __repr__(self) -> str:
        span = self.times[-1] if self.times else 0.0
        return f"Traffic({len(self):,} requests for {len(set(self.keys)):,} pages in {span:,.0f} s)"


def traffic(
    rate: float = 100,
    users: int = 10_000,
    seconds: float = 600,
    skew: float = 1.0,
    seed: int = 1,
) -> Traffic:
    """*rate* pages a second, at random moments (Poisson), for *users* of unequal popularity (Zipf).

    User 0 is asked for most; user k gets 1 / (k + 1)**skew of that.
    """
    random = Random(seed).random
    times = []
    at = -math.log(1 - random()) / rate
    while at < seconds:
        times.append(at)
        at -= math.log(1 - random()) / rate
    shares = zipf(users, skew)
    return Traffic(times, draw(shares, len(times), seed), shares)


def crowd(callers: int, key: int = 0, at: float = 0.0) -> Traffic:
    """*callers* who ask for the same page at the same moment."""
    return Traffic([at] * callers, [key] * callers)


def warmed(traffic: Traffic, pages: int) -> Traffic:
    """*traffic* after one visit to each of the first *pages* pages, all at second 0."""
    times = [0.0] * pages + list(traffic.times)
    return Traffic(times, [*range(pages), *traffic.keys], traffic.popularity)


def zipf(universe: int, skew: float = 1.0) -> list[float]:
    """The share of each of *universe* keys when key k weighs 1 / (k + 1)**skew."""
    weights = [1 / rank**skew for rank in range(1, universe + 1)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def draw(shares: Sequence[float], length: int, seed: int = 1) -> list[int]:
    """*length* keys, each of them k with probability shares[k]."""
    # A generator of its own: keys don't change with the number of arrival times drawn.
    random = Random(f"keys {seed}").random
    ends = list(accumulate(shares))
    last, total = len(ends) - 1, ends[-1]
    return [min(bisect_right(ends, random() * total), last) for _ in range(length)]


TRACES = {"zipf 1.0": 100_000, "one-hit": 100_000, "zipf 0.8": 100_000, "moving": 20_000}
"""Four kinds of trace on which eviction policies differ, and how many keys each draws from."""


def trace(kind: str, length: int = 200_000, seed: int = 1) -> list[int]:
    """A key sequence to compare eviction policies on, at room for 1,000 keys.

    - "zipf 1.0", "zipf 0.8": a few keys are asked for most of the time, or not quite as few
    - "one-hit": zipf 1.0, and 30 % of the requests are for keys that never come again
    - "moving": zipf 1.0, and every 20,000 requests other keys are the popular ones
    """
    if kind not in TRACES:
        raise ValueError(f"no trace {kind!r}; there are {', '.join(TRACES)}")
    universe = TRACES[kind]
    keys = draw(zipf(universe, 0.8 if kind == "zipf 0.8" else 1.0), length, seed)
    if kind == "one-hit":
        random = Random(f"one-hit {seed}").random
        return [universe + i if random() < 0.3 else key for i, key in enumerate(keys)]
    if kind == "moving":
        return [key + i // 20_000 * universe for i, key in enumerate(keys)]
    return keys
