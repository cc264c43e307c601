"""What a call of a cached function costs, beside its peers: all in one process and one run.

As in speed.py, times are processor time, the subjects take turns, and the floor is awaiting an
async function with one dict lookup. A crowd is a thousand callers of one call at once: none has the
result, one runs the function, and all the others join it.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiocache
import async_lru
import cachebox
import cachetools
import cachetools_async
import cashews
import theine

from cachepool_lib import async_cache

from .speed import KEY, ROOM, SLOW, TTL, Subject, compiled

FLOOR = Subject("floor: await a function with one dict lookup", "await floor(key)")
OURS = Subject("async_cache", "await ours(key)", target=5)
VARIANTS = [
    Subject("async_cache, by keyword", "await ours(user_id=key)"),
    Subject("async_cache, one of two arguments given", "await two(key)"),
    Subject("async_cache, a method", "await shop.page(key)"),
]
PEERS = [
    Subject("cachebox, LRUCache", "await cachebox_lru(key)"),
    Subject("cachebox, TTLCache", "await cachebox_ttl(key)"),
    Subject("async_lru", "await async_lru(key)"),
    Subject("async_lru, with a ttl", "await async_lru_ttl(key)"),
    Subject("cachetools-async, TTLCache", "await cachetools(key)"),
    Subject("theine", "await theine(key)"),
    Subject("aiocache", "await aiocache(key)", calls=SLOW),
    Subject("cashews", "await cashews(key)", calls=SLOW),
]
SHARE = 0.9  # of the time of each peer, at most

CALLERS = 1_000


@dataclass
class Crowd:
    """A decorator whose functions are called by a thousand at once, and the ms that took."""

    title: str
    decorate: Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]
    ms: list[float] = field(default_factory=list)


CROWDS = [
    Crowd("async_cache", async_cache(maxsize=None)),
    Crowd("async_lru", async_lru.alru_cache(maxsize=None)),
    Crowd("async_lru, with a ttl", async_lru.alru_cache(maxsize=None, ttl=TTL)),
]


async def load(user_id: str) -> str:
    return "page"


async def load_two(user_id: str, lang: str = "en") -> str:
    return "page"


class Shop:
    @async_cache()
    async def page(self, user_id: str) -> str:
        return "page"


@asynccontextmanager
async def contenders() -> AsyncIterator[dict[str, Any]]:
    """A function behind each decorator, by the names that the statements use."""
    table = {KEY: "page"}

    async def floor(key: str) -> str:
        return table[key]

    theirs = cashews.Cache()
    theirs.setup(f"mem://?size={ROOM}")
    with_ttl = async_lru.alru_cache(maxsize=ROOM, ttl=TTL)(load)
    try:
        yield {
            "floor": floor,
            "ours": async_cache(TTL, maxsize=ROOM)(load),
            "two": async_cache(TTL, maxsize=ROOM)(load_two),
            "shop": Shop(),
            "cachebox_lru": cachebox.cached(cachebox.LRUCache(ROOM))(load),
            "cachebox_ttl": cachebox.cached(cachebox.TTLCache(ROOM, TTL))(load),
            "async_lru": async_lru.alru_cache(maxsize=ROOM)(load),
            "async_lru_ttl": with_ttl,
            "cachetools": cachetools_async.cached(cachetools.TTLCache(ROOM, TTL))(load),
            "theine": theine.Memoize(ROOM, timedelta(seconds=TTL))(load),
            "aiocache": aiocache.cached(ttl=TTL)(load),
            "cashews": theirs(ttl=TTL)(load),
        }
    finally:
        await with_ttl.cache_close()  # its timers
        await theirs.close()


async def measure_crowd(crowd: Crowd) -> None:
    async def page(number: int) -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return number

    cached: Any = crowd.decorate(page)
    gc.collect()
    gc.disable()
    begun = time.process_time_ns()
    answers = await asyncio.gather(*(cached(7) for _ in range(CALLERS)))
    crowd.ms.append((time.process_time_ns() - begun) / 1e6)
    gc.enable()
    assert answers == [7] * CALLERS
    if hasattr(cached, "cache_close"):
        await cached.cache_close()


async def measure(rounds: int = 15, share: float = 1.0) -> None:
    """Fill in all figures: *rounds* times, *share* of the calls each time."""
    subjects = [FLOOR, OURS, *VARIANTS, *PEERS]
    async with contenders() as names:
        runs = [compiled(subject.statement, names) for subject in subjects]
        for number in range(rounds + 1):
            for subject, run in zip(subjects, runs, strict=True):
                keys = [KEY] * max(1, int(subject.calls * share))
                gc.collect()
                gc.disable()
                begun = time.process_time_ns()
                await run(keys)
                spent = (time.process_time_ns() - begun) / len(keys)
                gc.enable()
                if number:  # the first round runs the functions, and is not counted
                    subject.ns.append(spent)
                    subject.ratios.append(spent / FLOOR.ns[-1])
            for crowd in CROWDS:
                await measure_crowd(crowd)


def report() -> bool:
    """Print what measure() found. True if ours reaches its targets and is ahead of the peers."""
    print("\nA decorated function, a hit with one argument")
    print(f"{'':52} {'ns':>7}  x floor  target")
    for subject in (FLOOR, OURS, *VARIANTS, *PEERS):
        target = "" if subject.target is None else f"  <= {subject.target:g}"
        ns = statistics.median(subject.ns)
        print(f"  {subject.title:50} {ns:7,.0f} {subject.ratio():8.2f}{target}")
    missed = [
        f"{peer.title} takes less than {1 / SHARE:.2f} times what async_cache does"
        for peer in PEERS
        if OURS.ratio() > SHARE * peer.ratio()
    ]
    if OURS.target is not None and OURS.ratio() > OURS.target:
        missed.append(f"async_cache is above {OURS.target:g} x floor")
    print(f"\n{CALLERS:,} callers join one load")
    for crowd in CROWDS:
        print(f"  {crowd.title:50} {statistics.median(crowd.ms):7.2f} ms")
    ours, *theirs = (statistics.median(crowd.ms) for crowd in CROWDS)
    missed += ["async_cache takes longer than async_lru"] * (ours > min(theirs))
    print()
    for line in missed:
        print(f"MISSED  {line}")
    if not missed:
        print(f"All targets are met: at most {SHARE:g} times what each of the others takes.")
    return not missed
