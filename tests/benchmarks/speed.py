"""What a call costs beside the peers: everything in one process, in the same rounds.

The floor is an async function that looks one key up in a dict, awaited. In every round each subject
makes its calls in a loop, and so does the floor; a round's figure is divided by the same round's
floor, and the median of the rounds counts. Time is processor time with the garbage collector
off, so other work on the machine counts little.
"""

import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiocache
import cachetools
import cashews

from cachepool_lib import AsyncCache

ROOM = 1_024
TTL = 300
KEY = "user:7"
MANY = [f"user:{number}" for number in range(100)]
Calls = Callable[[Sequence[str]], Awaitable[None]]  # one for each key


class Naive:
    """What the course begins with: no bound, the clock on the wall, a dict for each entry."""

    def __init__(self, default_ttl: float = TTL) -> None:
        self.default_ttl = default_ttl
        self.entries: dict[str, dict[str, Any]] = {}

    async def get(self, key: str) -> Any:
        if key not in self.entries:
            return None
        entry = self.entries[key]
        if time.time() > entry["expires"]:
            del self.entries[key]
            return None
        return entry["value"]

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        ttl = ttl or self.default_ttl
        self.entries[key] = {"value": value, "expires": time.time() + ttl}


@dataclass
class Subject:
    """A statement, run for each of the keys of a round, and what it took each time."""

    title: str
    statement: str
    target: float | None = None  # at most so many times the floor
    calls: int = 20_000  # a round
    new_keys: bool = False  # one after another, each for the first time; else always the same
    ns: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        return statistics.median(self.ratios)


SLOW = 1_000
FLOOR = Subject("floor: await a function with one dict lookup", "await floor(key)")
SECTIONS: dict[str, list[Subject]] = {
    "get, a hit": [
        Subject("AsyncCache", "await ours.get(key)", target=3),
        Subject("the naive class", "await naive.get(key)"),
        Subject("cachetools TTLCache, sync", "ttl_cache.get(key)"),
        Subject("cashews, memory", "await cashews.get(key)", calls=SLOW),
        Subject("aiocache, SimpleMemoryCache", "await aiocache.get(key)", calls=SLOW),
    ],
    "get_or_load, a hit": [
        Subject("AsyncCache", "await ours.get_or_load(key, load)", target=4),
        Subject("AsyncCache, with a ttl", "await ours.get_or_load(key, load, 300)", target=4),
        Subject(
            "AsyncCache, with stale windows too",
            "await ours.get_or_load(key, load, 300, stale_while_revalidate=60, stale_if_error=60)",
        ),
        Subject(
            "cashews, get_or_set", "await cashews.get_or_set(key, load, expire=300)", calls=SLOW
        ),
        Subject("aiocache, cached(ttl=300)", "await aiocached(key)", calls=SLOW),
    ],
    "set, over an older value": [
        Subject("AsyncCache", "await ours.set(key, page)", target=6),
        Subject("AsyncCache, with a ttl", "await ours.set(key, page, 300)", target=6),
        Subject("the naive class", "await naive.set(key, page)"),
        Subject("cachetools TTLCache, sync", "ttl_cache[key] = page"),
        Subject("cashews, memory", "await cashews.set(key, page, expire=300)", calls=SLOW),
        Subject("aiocache", "await aiocache.set(key, page, ttl=300)", calls=SLOW),
    ],
    f"set, new keys into a cache with room for {ROOM:,}": [
        Subject("AsyncCache", "await ours.set(key, page)", new_keys=True),
        Subject("cachetools TTLCache, sync", "ttl_cache[key] = page", new_keys=True),
        Subject(
            "cashews, memory",
            "await cashews.set(key, page, expire=300)",
            calls=SLOW,
            new_keys=True,
        ),
        Subject(
            "aiocache, keeps them all",
            "await aiocache.set(key, page, ttl=300)",
            calls=SLOW,
            new_keys=True,
        ),
        Subject(
            "the naive class, which keeps them all", "await naive.set(key, page)", new_keys=True
        ),
    ],
    "a hundred keys at hand": [
        Subject(
            "AsyncCache.get_or_load_many", "await ours.get_or_load_many(many, load_many)", calls=200
        ),
        Subject(
            "AsyncCache, a loop of get_or_load",
            "for one in many: await ours.get_or_load(one, load)",
            calls=200,
        ),
    ],
    "a hundred new keys, and a load that takes no time": [
        Subject(
            "AsyncCache.get_or_load_many: 1 load",
            "await ours.get_or_load_many([f'{key}.{n}' for n in range(100)], load_many)",
            calls=10,
            new_keys=True,
        ),
        Subject(
            "AsyncCache, a loop of get_or_load: 100 loads",
            "for n in range(100): await ours.get_or_load(f'{key}:{n}', load)",
            calls=10,
            new_keys=True,
        ),
    ],
}


async def load() -> str:
    return "page"


async def load_many(keys: list[str]) -> dict[str, str]:
    return dict.fromkeys(keys, "page")


@asynccontextmanager
async def contenders() -> AsyncIterator[dict[str, Any]]:
    """One cache of each kind, by the names that the statements use, with KEY in all of them."""
    table = {KEY: "page"}

    async def floor(key: str) -> str:
        return table[key]

    theirs = cashews.Cache()
    theirs.setup(f"mem://?size={ROOM}")
    names = {
        "page": "page",
        "floor": floor,
        "load": load,
        "load_many": load_many,
        "many": MANY,
        "ours": AsyncCache(TTL, maxsize=ROOM),
        "naive": Naive(),
        "ttl_cache": cachetools.TTLCache(ROOM, TTL),
        "cashews": theirs,
        "aiocache": aiocache.SimpleMemoryCache(),
        "aiocached": aiocache.cached(ttl=TTL)(lambda key: load()),
    }
    for cache in names["ours"], names["naive"], names["cashews"], names["aiocache"]:
        await cache.set(KEY, "page")
    names["ttl_cache"][KEY] = "page"
    await names["ours"].get_or_load_many(MANY, load_many)
    try:
        yield names
    finally:
        await theirs.close()


def compiled(statement: str, names: dict[str, Any]) -> Calls:
    """A function that runs *statement* for each key; made as timeit makes its own."""
    exec(f"async def run(keys):\n    for key in keys:\n        {statement}\n", names)
    run: Calls = names["run"]
    return run


async def measure(rounds: int = 15, share: float = 1.0) -> None:
    """Fill in the figures of all subjects: *rounds* times, *share* of their calls each time."""
    subjects = [FLOOR, *(subject for section in SECTIONS.values() for subject in section)]
    async with contenders() as usual, contenders() as full:
        runs = [compiled(s.statement, full if s.new_keys else usual) for s in subjects]
        for number in range(rounds + 1):
            for subject, run in zip(subjects, runs, strict=True):
                calls = max(1, int(subject.calls * share))
                keys = (
                    [f"{number}:{n}" for n in range(calls)] if subject.new_keys else [KEY] * calls
                )
                gc.collect()
                gc.disable()
                begun = time.process_time_ns()
                await run(keys)
                spent = (time.process_time_ns() - begun) / calls
                gc.enable()
                if number:  # the first round fills the caches, and is not counted
                    subject.ns.append(spent)
                    subject.ratios.append(spent / FLOOR.ns[-1])


def report() -> bool:
    """Print what measure() found. True if ours reach their targets and are ahead of the peers."""
    print(f"{'':52} {'ns':>7}  x floor  target")
    print(f"{FLOOR.title:52} {statistics.median(FLOOR.ns):7,.0f} {1:8.2f}")
    missed = []
    for call, subjects in SECTIONS.items():
        print(f"\n{call}")
        for subject in subjects:
            target = "" if subject.target is None else f"  <= {subject.target:g}"
            ns = statistics.median(subject.ns)
            print(f"  {subject.title:50} {ns:7,.0f} {subject.ratio():8.2f}{target}")
            if subject.target is not None and subject.ratio() > subject.target:
                missed.append(f"{call}: {subject.title} is above {subject.target:g} x floor")
        slowest = max(subject.ratio() for subject in subjects if subject.title.startswith("Async"))
        missed += [
            f"{call}: {subject.title} is faster"
            for subject in subjects
            if subject.title.startswith(("aiocache", "cashews")) and subject.ratio() <= slowest
        ]
    print()
    for line in missed:
        print(f"MISSED  {line}")
    if not missed:
        print("All targets are met, and all calls are faster than those of aiocache and cashews.")
    return not missed
