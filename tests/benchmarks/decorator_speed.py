"""What a call of a cached function costs, beside its peers: all in one process and one run.

As in speed.py, times are processor time, the subjects take turns, and the floor is awaiting an
async function with one dict lookup. Each shape of call is asked of every peer that can do it. Of a
method, a peer that does less is shown aside, with what it lacks, which is found out by trying. Most
leave a method a plain function, which Python binds the quickest: the instance is an argument like
any other then, and what is bound can't be asked to forget a call, as `shop.page.invalidate(1)`.
A crowd is a thousand callers of one call at once: none has the result, one runs the function, and
all the others join it.
"""

import asyncio
import gc
import statistics
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable
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

SHARE = 0.9  # of the time of the quickest peer, at most
FLOORS = 5  # times the floor that f(1) takes, at most
CALLERS = 1_000

FUNCTIONS = {
    "f(1)": "await one(1)",
    "f(1, 2)": "await two(1, 2)",
    "f(x=1)": "await one(x=1)",
    "one of two arguments given": "await two(1)",
    "three strings": "await three('user', '7', 'en')",
}
CLASSMETHOD = "a classmethod"
METHODS = {
    "a method of one argument": "await shop.page(1)",
    CLASSMETHOD: "await Shop.of_class(1)",
    "a bound method called twice": "page = shop.page; await page(1); await page(1)",
}
FORGETS = "can't forget a call"
MISS = "a miss with its load"
SHAPES = FUNCTIONS | METHODS | {MISS: "await one(key)"}

Decorate = Callable[[Callable[..., Any]], Any]


async def one(x: Any) -> str:
    return "page"


async def two(x: Any, y: Any = 2) -> str:
    return "page"


async def three(table: str, key: str, lang: str) -> str:
    return "page"


@dataclass
class Decorator:
    """What makes cached functions, and what each shape of call took."""

    title: str
    decorate: Decorate
    calls: int = 20_000  # a round
    shapes: Iterable[str] = tuple(SHAPES)
    subjects: dict[str, Subject] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)  # of what a method needs

    def __post_init__(self) -> None:
        for shape in self.shapes:
            new = shape == MISS
            calls = self.calls // 5 if new else self.calls
            self.subjects[shape] = Subject(self.title, SHAPES[shape], calls=calls, new_keys=new)

    def made(self) -> dict[str, Any]:
        """What the statements call, by the names there."""
        decorate = self.decorate

        class Shop:
            def __init__(self) -> None:
                self.cache = cachebox.LRUCache(ROOM)  # for the peer that asks for one

            @decorate
            async def page(self, x: int) -> str:
                return "page"

            @classmethod
            @decorate
            async def of_class(cls, x: int) -> str:
                return "page"

        functions = {function.__name__: decorate(function) for function in (one, two, three)}
        return {"Shop": Shop, "shop": Shop(), **functions}

    async def try_methods(self) -> None:
        """Find out what it lacks."""

        @dataclass(unsafe_hash=True)
        class Row:
            number: int
            text: str = field(compare=False)  # so rows of one number are equal
            cache: Any = field(default_factory=lambda: cachebox.LRUCache(ROOM), compare=False)

            @self.decorate
            async def page(self, x: int) -> str:
                return self.text

        row, equal = Row(1, "one"), Row(1, "another")
        self.lacks = []
        if [await row.page(1), await equal.page(1)] != ["one", "another"]:
            self.lacks.append("takes equal instances for one")
        if not any(hasattr(row.page, name) for name in ("invalidate", "cache_invalidate")):
            self.lacks.append(FORGETS)
        gone = weakref.ref(row)
        del row
        gc.collect()
        if gone() is not None:
            self.lacks.append("keeps the instance alive")


@dataclass
class Crowd:
    """A decorator whose functions are called by a thousand at once, and the ms that took."""

    title: str
    decorate: Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]
    ms: list[float] = field(default_factory=list)


IN_MEMORY = cashews.Cache()
FLOOR = Subject("floor: await a function with one dict lookup", "await floor(key)")
OURS = Decorator("async_cache", async_cache(TTL, maxsize=ROOM))
PEERS = [
    Decorator("cachebox, LRUCache", lambda f: cachebox.cached(cachebox.LRUCache(ROOM))(f)),
    Decorator("cachebox, TTLCache", lambda f: cachebox.cached(cachebox.TTLCache(ROOM, TTL))(f)),
    Decorator(
        "cachebox, a cache in each instance",
        lambda f: cachebox.cached(lambda self: self.cache)(f),
        shapes=METHODS.keys() - {CLASSMETHOD},
    ),
    Decorator("async_lru", async_lru.alru_cache(maxsize=ROOM)),
    Decorator(
        "cachetools-async, TTLCache",
        lambda f: cachetools_async.cached(cachetools.TTLCache(ROOM, TTL))(f),
    ),
    Decorator("theine", lambda f: theine.Memoize(ROOM, timedelta(seconds=TTL))(f)),
    Decorator("aiocache", aiocache.cached(ttl=TTL), calls=SLOW),
    Decorator("cashews", IN_MEMORY(ttl=TTL), calls=SLOW),
]
CROWDS = [
    Crowd("async_cache", async_cache(maxsize=None)),
    Crowd("async_lru", async_lru.alru_cache(maxsize=None)),
    Crowd("async_lru, with a ttl", async_lru.alru_cache(maxsize=None, ttl=TTL)),
]


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
    table = {KEY: "page"}

    async def floor(key: str) -> str:
        return table[key]

    IN_MEMORY.setup(f"mem://?size={ROOM}")
    runs = [(FLOOR, compiled(FLOOR.statement, {"floor": floor}))]
    for decorator in (OURS, *PEERS):
        await decorator.try_methods()
        made = decorator.made()
        for subject in decorator.subjects.values():
            runs.append((subject, compiled(subject.statement, made)))
    for number in range(rounds + 1):
        for subject, run in runs:
            calls = max(1, int(subject.calls * share))
            keys = [f"{number}:{n}" for n in range(calls)] if subject.new_keys else [KEY] * calls
            gc.collect()
            gc.disable()
            begun = time.process_time_ns()
            await run(keys)
            spent = (time.process_time_ns() - begun) / calls
            gc.enable()
            if number:  # the first round runs the functions, and is not counted
                subject.ns.append(spent)
                subject.ratios.append(spent / FLOOR.ns[-1])
        for crowd in CROWDS:
            await measure_crowd(crowd)
    await IN_MEMORY.close()


def report() -> bool:
    """Print what measure() found. True if ours reaches its targets and is ahead of the peers."""
    print("\nA decorated function: nanoseconds, and what share of each peer's time ours takes")
    print(f"  {FLOOR.title:50} {statistics.median(FLOOR.ns):8,.0f}")
    missed = []
    for shape in SHAPES:
        ours = OURS.subjects[shape]
        target = f"<= {FLOORS} x floor, " if shape == "f(1)" else ""
        target += f"<= {SHARE:g} of each" if shape != MISS else ""
        print(f"\n  {shape:50} {'':8} {'':6}  {target}")
        print(f"    {ours.title:48} {statistics.median(ours.ns):8,.0f} {ours.ratio():6.2f} x floor")
        for peer in (peer for peer in PEERS if shape in peer.subjects):
            theirs = peer.subjects[shape]
            ratios = [a / b for a, b in zip(ours.ns, theirs.ns, strict=True)]
            part = statistics.median(ratios)
            aside = shape in METHODS and FORGETS in peer.lacks
            lacks = [FORGETS] if shape == CLASSMETHOD else peer.lacks  # a class is no instance
            note = f"  aside: {', '.join(lacks)}" if aside else ""
            ns = statistics.median(theirs.ns)
            print(f"    {peer.title:48} {ns:8,.0f} {part:6.2f}{note}")
            if part > SHARE and shape != MISS and not aside:
                missed.append(f"{shape}: async_cache takes {part:.2f} of what {peer.title} does")
    if OURS.subjects["f(1)"].ratio() > FLOORS:
        missed.append(f"f(1): async_cache is above {FLOORS} x floor")
    print(f"\n{CALLERS:,} callers join one load")
    for crowd in CROWDS:
        print(f"  {crowd.title:50} {statistics.median(crowd.ms):7.2f} ms")
    quickest, *others = (statistics.median(crowd.ms) for crowd in CROWDS)
    missed += ["async_cache takes longer than async_lru"] * (quickest > min(others))
    print()
    for line in missed:
        print(f"MISSED  {line}")
    if not missed:
        print("All targets are met.")
    return not missed
