"""What a cache promises, one small check each.

The same promises judge the naive class, the learner's class and the library's AsyncCache in
notebook 01, and they are the contract of the test suite. Each is an async function of a Bench. It
returns what it saw in a few words, or raises Unmet with what was expected, what came and a hint.
All of them look at a cache from outside: at what callers get, at how often a page is loaded and at
which values are still in memory. Time is simulated.
"""

import asyncio
import gc
import inspect
import math
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .checks import Report, Result, Unmet, judge
from .simulation import clock, simulate, wall

__all__ = ["PROMISES", "Bench", "also_broken", "ask_all", "check", "exam"]

Load = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Page:
    """A page that nobody can change."""

    name: str


class Value:
    """Something that a cache can hold and that tells whether it still does."""


def constructor_options(candidate: type) -> set[str]:
    """The names that the constructor takes: a subclass may pass **options on to its parents."""
    parents = [vars(parent) for parent in candidate.__mro__]
    family = [names["__init__"] for names in parents if "__init__" in names]
    return {name for function in family for name in inspect.signature(function).parameters}


class Bench:
    """Builds caches of one class, reads pages through them and lets time pass.

    A class without get_or_load is used as in the naive code: `get`, `if cached:`, load, `set`; and
    its pages are dicts. A class that lacks an option is built without it, so that it fails by what
    it does and not by a missing argument.
    """

    def __init__(self, candidate: type, page: Callable[..., Any] | None = None) -> None:
        self.candidate = candidate
        self.page = page or (Page if hasattr(candidate, "get_or_load") else dict)

    def new(self, **options: Any) -> Any:
        return self.candidate(**self.known(**options, clock=clock))

    def known(self, **options: Any) -> dict[str, Any]:
        """Those *options* that the class has."""
        names = constructor_options(self.candidate)
        return {name: value for name, value in options.items() if name in names}

    async def read(self, cache: Any, key: Any, load: Load, **options: Any) -> Any:
        """What a page does: the cached value, or else a freshly loaded one."""
        if hasattr(cache, "get_or_load"):
            names = inspect.signature(cache.get_or_load).parameters
            known = {name: value for name, value in options.items() if name in names}
            return await cache.get_or_load(key, load, **known)
        cached = await cache.get(key)
        if cached:
            return cached
        value = await load()
        await cache.set(key, value)
        return value

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


Promise = Callable[[Bench], Coroutine[Any, Any, str]]
PROMISES: dict[str, tuple[str, Promise]] = {}

LIMIT = 10  # seconds for one check, which takes far less than one unless a loop never ends


def promise(name: str, title: str) -> Callable[[Promise], Promise]:
    def register(function: Promise) -> Promise:
        PROMISES[name] = title, function
        return function

    return register


class Source:
    """What pages are loaded from: answers with *value* after *seconds*, and counts.

    A value that is an exception is raised.
    """

    def __init__(self, value: Any = "Ada", seconds: float = 0.02) -> None:
        self.value, self.seconds, self.loads, self.cancelled = value, seconds, 0, 0

    async def load(self) -> Any:
        self.loads += 1
        value = self.value
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(value, Exception):
            raise value
        return value


@promise("A1", "ttl=0 stores nothing")
async def zero_is_a_ttl(bench: Bench) -> str:
    cache = bench.new(default_ttl=300)
    await cache.set("user:1", "Ada")
    await cache.set("user:1", "Ben", ttl=0)
    if (value := await cache.get("user:1")) is not None:
        raise Unmet(
            expected="a miss",
            got=f"{value!r}, not a miss",
            hint="`ttl or default` skips zero. Ask `ttl is None`.",
        )
    return "a miss"


@promise("A2", "A ttl of nonsense is refused")
async def nonsense_is_refused(bench: Bench) -> str:
    for ttl in (math.nan, -1):
        cache = bench.new(default_ttl=300)
        try:
            await cache.set("user:1", "Ada", ttl=ttl)
        except ValueError:
            continue
        await bench.advance(365 * 86_400)
        lives = ", lives for ever" if await cache.get("user:1") else ""
        name = "NaN" if ttl != ttl else str(ttl)
        raise Unmet(
            expected="ValueError",
            got=f"{name} accepted{lives}",
            hint="Every comparison with NaN is False. Ask `not ttl >= 0`.",
        )
    return "ValueError"


@promise("A3", "A clock set back lengthens nothing")
async def wall_clock_does_not_matter(bench: Bench) -> str:
    cache = bench.new(default_ttl=60)
    await cache.set("user:1", "Ada")
    await bench.advance(30)
    wall.set_back(7_200)
    age = 30
    while await cache.get("user:1") is not None:
        await bench.advance(10)
        age += 10
    if age > 60:
        raise Unmet(
            expected="gone at 60 s",
            got=f"served at {age - 10:,} s",
            hint="time.time() can be set. Measure durations with time.monotonic().",
        )
    return f"gone at {age} s"


@promise("A4", "None is loaded once")
async def none_is_an_answer(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source(None)
    for _ in range(10):
        await bench.read(cache, "user:unknown", source.load)
    if source.loads != 1:
        raise Unmet(
            expected="1 query for 10 visits",
            got=f"{source.loads} queries for 10 visits",
            hint="A miss needs a sign of its own: get(key, MISSING).",
        )
    return "1 query for 10 visits"


@promise("A5", "Empty answers are loaded once")
async def empty_is_an_answer(bench: Bench) -> str:
    cache = bench.new(default_ttl=300)
    sources = [Source([]), Source(0), Source("")]
    for number, source in enumerate(sources * 10):
        await bench.read(cache, f"user:{number % 3}", source.load)
    loads = sum(source.loads for source in sources)
    if loads != 3:
        raise Unmet(
            expected="3 queries: one each for [], 0 and ''",
            got=f"{loads} queries for 3 values × 10 visits",
            hint="`if cached:` asks whether it is empty. Ask `is not MISSING`.",
        )
    return "3 queries for 3 values × 10 visits"


@promise("A6", "Expired entries leave without being read")
async def expired_entries_leave(bench: Bench) -> str:
    cache = bench.new(default_ttl=10, maxsize=10_000)
    held: weakref.WeakSet[Value] = weakref.WeakSet()
    for number in range(1_000):
        held.add(value := Value())
        await cache.set(f"user:{number}", value)
    del value
    await bench.advance(600)
    for number in range(1_000, 2_000):
        await cache.set(f"user:{number}", None)
    gc.collect()
    if held:
        raise Unmet(
            expected="0 expired values in memory after 1,000 more writes",
            got=f"{len(held):,} still in memory",
            hint="Nobody will read them again. Let writes clear them away.",
        )
    return "0 still in memory"


@promise("A7", "The number of entries is bounded")
async def entries_are_bounded(bench: Bench) -> str:
    cache = bench.new(default_ttl=300, maxsize=100)
    held: weakref.WeakSet[Value] = weakref.WeakSet()
    most = 0
    for number in range(1_000):
        held.add(value := Value())
        await cache.set(f"user:{number}", value)
        most = max(most, len(held))
    if most > 101:  # the newest is also held by this function
        raise Unmet(
            expected="at most 100 values with maxsize=100",
            got=f"{len(held):,} values",
            hint="After a write, while there are more than maxsize: let one go.",
        )
    return "100 values"


@promise("A8", "Gone exactly at its ttl")
async def gone_at_its_ttl(bench: Bench) -> str:
    cache = bench.new(default_ttl=60)
    await cache.set("user:1", "Ada")
    await bench.advance(50)  # a server's clock does not stand still: leave room
    if await cache.get("user:1") != "Ada":
        raise Unmet(expected="'Ada' at 50 s", got="a miss at 50 s")
    await bench.advance(10)
    if (value := await cache.get("user:1")) is not None:
        raise Unmet(
            expected="a miss at 60 s",
            got=f"still {value!r} at 60 s",
            hint="Fresh means now < expires: at the moment itself the promise is over.",
        )
    return "a miss at 60 s"


@promise("A9", "Fifty callers, one load")
async def one_load_for_all(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source()
    callers = (bench.read(cache, "user:1", source.load) for _ in range(50))
    pages = await asyncio.gather(*callers)
    if source.loads != 1 or pages != ["Ada"] * 50:
        raise Unmet(
            expected="1 load for 50 callers",
            got=f"{source.loads} loads",
            hint="Between the miss and the set there is an await. Register the load before it.",
        )
    return "1 load"


@promise("A9-leave", "Whoever leaves, the others get the page")
async def anyone_may_leave(bench: Bench) -> str:
    for leaver in (0, 2):
        cache, source = bench.new(default_ttl=300), Source()
        callers = [asyncio.create_task(bench.read(cache, "user:1", source.load)) for _ in range(5)]
        await bench.advance(0.01)
        callers[leaver].cancel()
        await asyncio.wait(callers, timeout=60)
        lost = sum(not c.done() or c.cancelled() or c.result() != "Ada" for c in callers) - 1
        for caller in callers:
            caller.cancel()
        if lost:
            raise Unmet(
                expected="4 pages",
                got=f"{4 - lost} pages",
                hint="Cancelling a waiter cancels what it awaits. "
                "Give the load a task of its own and await it through asyncio.shield.",
            )
    return "4 pages"


@promise("A9-last", "When all have left, the load stops")
async def last_one_out(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source()
    callers = [asyncio.create_task(bench.read(cache, "user:1", source.load)) for _ in range(5)]
    await bench.advance(0.01)
    for caller in callers:
        caller.cancel()
    # Before the cancelled load had a chance to end: a newcomer must not join it.
    newcomer = asyncio.create_task(bench.read(cache, "user:1", source.load))
    await asyncio.wait([*callers, newcomer], timeout=60)
    if newcomer.cancelled() or not newcomer.done() or newcomer.exception() is not None:
        newcomer.cancel()
        raise Unmet(
            expected="a page for whoever comes next",
            got="the next caller lost the page",
            hint="Take the flight off the list before you cancel it.",
        )
    if source.cancelled != source.loads - 1:
        raise Unmet(
            expected="the load is cancelled",
            got="the load runs on for nobody",
            hint="Count who waits. The last one out cancels the task.",
        )
    return "stopped"


@promise("A9-error", "An error reaches all and stays nowhere")
async def errors_are_shared_and_forgotten(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source(ConnectionError("down"))
    callers = (bench.read(cache, "user:1", source.load) for _ in range(5))
    answers = await asyncio.gather(*callers, return_exceptions=True)
    told = sum(isinstance(answer, ConnectionError) for answer in answers)
    if told != 5:
        raise Unmet(expected="5 callers get the ConnectionError", got=f"{told} of 5 got it")
    source.value = "Ada"
    try:
        await bench.read(cache, "user:1", source.load)
    except ConnectionError:
        raise Unmet(
            expected="a page for the next caller",
            got="the next caller got the old error",
            hint="Remove the flight when the load ends, also when it fails.",
        ) from None
    return "5 told, the next gets a page"


@promise("A10", "After a delete nobody gets the old page")
async def a_delete_voids_a_load(bench: Bench) -> str:
    for write in ("delete", "clear", "set"):
        cache, source = bench.new(default_ttl=300), Source("old")
        loader = asyncio.create_task(bench.read(cache, "user:1", source.load))
        await bench.advance(0.01)  # the old page is read, but not stored yet
        source.value = "new"
        if write == "set":
            await cache.set("user:1", "new")
        elif write == "delete":
            await cache.delete("user:1")
        else:
            await cache.clear()
        await loader
        if (value := await bench.read(cache, "user:1", source.load)) != "new":
            raise Unmet(
                expected="'new'",
                got=f"{value!r}, not 'new'",
                hint=f"A load that began before the {write} may not store what it read.",
            )
    return "'new'"


@promise("A11", "Nobody changes another visitor's page")
async def pages_cannot_be_changed(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source(bench.page(name="Ada"))
    first = await bench.read(cache, "user:1", source.load)
    try:
        if isinstance(first, dict):
            first["name"] = "Mallory"
        else:
            first.name = "Mallory"
    except AttributeError:  # what a frozen dataclass raises
        pass
    second = await bench.read(cache, "user:1", source.load)
    name = second["name"] if isinstance(second, dict) else second.name
    if name != "Ada":
        raise Unmet(
            expected="'Ada'",
            got=f"{name!r}, not 'Ada'",
            hint="Everybody is handed the same object. Cache what nobody can change.",
        )
    return "'Ada'"


@promise("A12", "What began together ends apart")
async def jitter_spreads_the_end(bench: Bench) -> str:
    cache = bench.new(default_ttl=300, jitter=0.2, maxsize=1_000)
    alive = set(range(300))
    for number in alive:
        await cache.set(number, "Ada")
    await bench.advance(239)
    expired: Counter[int] = Counter()
    for second in range(239, 303):
        gone = {number for number in alive if await cache.get(number) is None}
        expired[second] = len(gone)
        alive -= gone
        await bench.advance(1)
    worst = max(expired.values())
    if worst > 60:
        raise Unmet(
            expected="at most 60 of 300 in one second",
            got=f"{worst} of 300 at once",
            hint="Shorten each ttl by a random part of it.",
        )
    if expired[239] or expired[302] or alive:
        raise Unmet(
            expected="lives of 240 to 300 s",
            got="lives outside 240 to 300 s",
            hint="Jitter only shortens: ttl * (1 - jitter * random.random()).",
        )
    return "spread over 60 s"


@promise("A13", "delete tells the truth")
async def delete_tells_the_truth(bench: Bench) -> str:
    cache = bench.new(default_ttl=60)
    await cache.set("user:1", "Ada")
    if await cache.delete("user:1") is not True:
        raise Unmet(expected="True for an entry that was there", got="not True")
    await cache.set("user:1", "Ada")
    await bench.advance(61)
    if await cache.delete("user:1"):
        raise Unmet(
            expected="False for an entry that had expired",
            got="True, it had expired",
            hint="Whether it was there and whether it was fresh are two questions.",
        )
    return "False, it had expired"


@promise("A14", "It can tell its hit rate")
async def it_can_be_watched(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=60), Source()
    for _ in range(4):
        await bench.read(cache, "user:1", source.load)
    if not hasattr(cache, "stats"):
        raise Unmet(
            expected="3 hits of 4",
            got="nobody counts",
            hint="Count hits and misses where they happen, and hand out a snapshot.",
        )
    stats = cache.stats()
    seen = f"{stats.hits} hits of {stats.hits + stats.misses}"
    if seen != "3 hits of 4" or stats.hit_rate != 0.75:
        raise Unmet(expected="3 hits of 4, a hit rate of 0.75", got=f"{seen}, {stats.hit_rate}")
    return seen


@promise("A15", "An old page beats none")
async def an_old_page_beats_none(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=60), Source()
    patient = {"stale_if_error": 300}
    await bench.read(cache, "user:1", source.load, **patient)
    await bench.advance(61)
    source.value = ConnectionError("down")
    try:
        value = await bench.read(cache, "user:1", source.load, **patient)
    except ConnectionError:
        raise Unmet(
            expected="the page of a minute ago",
            got="ConnectionError",
            hint="Keep an entry for stale_if_error seconds past its end, for when a load fails.",
        ) from None
    await bench.advance(300)
    for key, why in (("user:1", "too old"), ("user:2", "never seen")):
        try:
            await bench.read(cache, key, source.load, **patient)
        except ConnectionError:
            continue
        raise Unmet(expected=f"ConnectionError: the page is {why}", got=f"a page, {why}")
    return f"{value!r}, a minute old"


Candidate = Callable[..., Any]  # a class, or what makes a decorator

# The promises of later notebooks bring redis or asyncpg: imported when they are asked for.
_ELSEWHERE = {"R": "redis_contract", "D": "decorator_contract", "P": "pool_contract"}
_TAKES = {"R": "redis_url", "P": "database_url"}  # the option that tells what a class is
_ALSO_BROKEN = {
    "A": "A2 A11 A13 A14",
    "R": "R4 R5 R6 R11 R13 R14 R15 R16",
    "D": "D2 D6 D7 D8 D9 D11",
    "P": "P6 P7 P10 P11 P12 P14 P15 P17",
}


async def check(
    names: str, *candidates: Candidate, page: Callable[..., Any] | None = None
) -> Report:
    """Ask one candidate or several for the promises in *names*, such as "A9" or "R7 R8".

    Where the last of them fails, the report says what was expected, what came, and a hint.
    A1 to A15 (caches) and D1 to D14 (decorators) run in simulated time; R1 to R16 (caches in Redis)
    and D12 against the lab's Redis, P1 to P17 (pools) against its PostgreSQL.
    *page* makes the value that is cached in A11: a class used through get_or_load gets one that
    nobody can change, any other a dict.
    """
    if names[:1] in _ELSEWHERE:
        report: Report = await _elsewhere(names[0]).check(names, *candidates)
        return report

    async def question(function: Promise, candidate: Any) -> str:
        return simulate(function(Bench(candidate, page)), limit=LIMIT)

    rows = []
    for name in names.split():
        title, function = PROMISES[name]
        answers = [await judge(name, title, question(function, c)) for c in candidates]
        rows.append(tuple(answers))
    return Report(tuple(c.__name__ for c in candidates), rows)


async def ask_all(
    promises: Mapping[str, tuple[str, Any]],
    names: str,
    candidates: Sequence[Candidate],
    question: Callable[[Any, Any], Coroutine[Any, Any, str]],
    *,
    first: Collection[str] = (),
) -> Report:
    """Ask each candidate for the promises in *names*, all at once: what most of them do is wait.

    *question* puts a promise to a candidate. Those named in *first* measure time and are asked
    before the others, which would keep the loop busy.
    """
    wanted = names.split()
    titles = {name: promises[name] for name in wanted}  # KeyError before anything is asked

    async def row(name: str) -> tuple[Result, ...]:
        title, function = titles[name]
        asked = (judge(name, title, question(function, c)) for c in candidates)
        return tuple(await asyncio.gather(*asked))

    rows: dict[str, tuple[Result, ...]] = {}
    timed = [name for name in wanted if name in first]
    for group in (timed, [name for name in wanted if name not in first]):
        rows |= zip(group, await asyncio.gather(*map(row, group)), strict=True)
    return Report(tuple(c.__name__ for c in candidates), [rows[name] for name in wanted])


async def exam(*candidates: Candidate) -> Report:
    """Ask each candidate for every promise of what the first is: a cache, one in Redis, a
    decorator, or a pool.
    """
    kind = _kind(candidates[0])
    promises = _elsewhere(kind).PROMISES if kind in _ELSEWHERE else PROMISES
    return await check(" ".join(promises), *candidates)


async def also_broken(naive: Candidate, ours: Candidate) -> Report:
    """The flaws of the naive version that have no section of their own in the notebook."""
    return await check(_ALSO_BROKEN[_kind(ours)], naive, ours)


def _kind(candidate: Candidate) -> str:
    """The letter that the names of its promises begin with."""
    if not isinstance(candidate, type):
        return "D"
    if any("__call__" in vars(parent) for parent in candidate.__mro__):
        return "D"  # its instances are called with a function
    options = constructor_options(candidate)
    return next((letter for letter, option in _TAKES.items() if option in options), "A")


def _elsewhere(kind: str) -> Any:
    return import_module(f"{__package__}.{_ELSEWHERE[kind]}")
