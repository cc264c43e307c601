"""Time that jumps: ten minutes of traffic in milliseconds, and the same result every time.

simulate() runs a coroutine on an event loop whose clock never waits. When every task sleeps, the
clock is set to the moment when the first of them wakes. replay() sends a whole traffic through a
page function that way; twin() answers the same question ten times faster for sliders.
"""

import asyncio
import contextlib
import ctypes
import math
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from inspect import iscoroutine, signature
from typing import Any, Literal, TypeVar, cast

from cachepool_lib._store import Store

from . import recorder
from .traffic import Traffic

T = TypeVar("T")

WALL_START = 1_767_225_600.0
"""What time.time() says when a simulation begins: 2026-01-01, 00:00 UTC."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop that jumps from timer to timer instead of waiting. It knows no sockets.

    It leans on private names of asyncio.BaseEventLoop (`_selector`, `_scheduled`,
    `_clock_resolution` and the two methods that do nothing here), unchanged from Python 3.11 to
    3.14; a test compares whole runs between Pythons.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.wall_shift = 0.0
        self.interrupted = False  # by another thread
        self._selector = self
        self._clock_resolution = math.ulp(0.0)

    def time(self) -> float:
        return self.now

    def select(self, timeout: float | None) -> tuple[()]:
        """Go to the first timer, exactly; nothing else can happen before it."""
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        if timeout is None:
            raise RuntimeError(f"Deadlock: no timer is set, and these wait: {_names(self)}.")
        if timeout > 0:
            self.now = self._scheduled[0].when()  # type: ignore[attr-defined]
            # Timers due within the resolution run together. The smallest step keeps every
            # timer at its own moment, however far the clock has come.
            self._clock_resolution = math.ulp(self.now)
        return ()

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    async def run_in_executor(self, executor: object, func: Callable[..., T], *args: Any) -> T:  # type: ignore[override]
        """Run *func* here and now, so that asyncio.to_thread works and takes no time."""
        return func(*args)


def _names(loop: asyncio.AbstractEventLoop) -> str:
    tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
    counts = Counter(recorder.describe(task) for task in tasks)
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in sorted(counts.items()))


_running = threading.Lock()


def too_late(limit: float) -> str:
    """What a TimeoutError says of code that had *limit* seconds."""
    return f"not done after {limit:g} s. Is there a loop that never ends?"


def simulate(coroutine: Coroutine[Any, Any, T], *, limit: float = math.inf) -> T:
    """Run *coroutine* in simulated time and return what it returns, or raise what it raises.

    Works in a notebook cell and in plain Python. The clock starts at 0. `random` is seeded, and
    restored afterwards, so that a second run gives the same. As long as it runs, time.time(),
    time.monotonic() and time.perf_counter() follow the simulated clock, for the simulation alone.

    A RuntimeError if every task waits and no timer is set, or if another simulation is running. A
    TimeoutError if it has not ended after *limit* seconds, real ones.
    """
    if not iscoroutine(coroutine):
        raise TypeError(f"simulate() takes a coroutine, like simulate(main()), not {coroutine!r}.")
    if not _running.acquire(blocking=False):
        coroutine.close()
        raise RuntimeError("A simulation is running already. Inside it, await the coroutine.")
    outcome: list[T] = []
    failure: list[BaseException] = []
    started = threading.Event()
    loop = SimulatedLoop()

    def run() -> None:
        started.set()
        loop.set_exception_handler(recorder.loop_exception)
        try:
            with _patched_time(loop), asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    outcome.append(runner.run(coroutine))
                    recorder.pending(asyncio.all_tasks(loop))
                except KeyboardInterrupt:
                    loop.set_exception_handler(lambda loop, context: None)
                    raise
        except BaseException as error:
            if isinstance(error, NotImplementedError):
                error.add_note("Simulated time knows no sockets: await real servers outside it.")
            failure.append(error)

    # A thread of its own, because a notebook's own thread has a running loop already.
    thread = threading.Thread(
        target=copy_context().run, args=(run,), name="simulation", daemon=True
    )
    random_state = random.getstate()
    random.seed(1)
    latest = time.monotonic() + limit
    try:
        with _interruptible():
            thread.start()
            while thread.is_alive():
                if (left := latest - time.monotonic()) <= 0:
                    raise TimeoutError(too_late(limit))
                thread.join(min(0.5, left))  # without a limit Windows would miss an interrupt
    except (KeyboardInterrupt, TimeoutError):
        started.wait()
        while thread.is_alive():
            loop.interrupted = True  # raised between two tasks, where none of them can catch it
            thread.join(0.5)
            if loop.interrupted:  # a task that never awaits: raised inside it
                loop.interrupted = False
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
                )
                thread.join(0.5)
        raise
    finally:
        random.setstate(random_state)
        _running.release()
    if failure:
        raise failure[0]
    return outcome[0]


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt raise KeyboardInterrupt here, also in a notebook's cell with an `await`.

    In such a cell the kernel would have its event loop cancel the cell, and that loop stands still.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts never come to other threads
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_loop: SimulatedLoop | None = None  # of the simulation that runs now


@contextlib.contextmanager
def _patched_time(loop: SimulatedLoop) -> Iterator[None]:
    """Let the functions of `time` follow *loop* when they are called from this thread."""
    global _loop
    here = threading.get_ident()
    get_ident = threading.get_ident
    real = time.time, time.monotonic, time.perf_counter
    real_time, real_monotonic, real_perf_counter = real

    def wall_time() -> float:
        if get_ident() == here:
            return WALL_START + loop.now + loop.wall_shift
        return real_time()

    def monotonic() -> float:
        return loop.now if get_ident() == here else real_monotonic()

    def perf_counter() -> float:
        return loop.now if get_ident() == here else real_perf_counter()

    _loop = loop
    time.time, time.monotonic, time.perf_counter = wall_time, monotonic, perf_counter
    try:
        yield
    finally:
        time.time, time.monotonic, time.perf_counter = real
        _loop = None


def clock() -> float:
    """Seconds: simulated inside simulate(), else time.monotonic(). For AsyncCache(clock=…)."""
    return time.monotonic()  # looked up at each call: simulate() puts its own in place


class Wall:
    """The clock on the wall, which people and machines set."""

    def set_back(self, seconds: float) -> None:
        """Set time.time() back by *seconds*; inside simulate() only."""
        if _loop is None:
            raise RuntimeError("The wall clock can be set inside simulate() only.")
        _loop.wall_shift -= seconds


wall = Wall()


# The database, and who asked it


Outcome = Literal["hit", "miss", "shared", "stale", "failed", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = ("hit", "miss", "shared", "stale", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Page:
    """What the simulated database answers: nobody can change it, so everybody may share it."""

    user: int
    orders: tuple[int, ...]


@dataclass(slots=True)
class Query:
    """One query: when it began and ended (seconds), and the number of the request that caused it.

    *request* is None for a query outside any recorded request, *end* is inf while it runs.
    """

    key: Any
    start: float
    request: int | None
    end: float = math.inf
    ok: bool = False


@dataclass(slots=True)
class _Request:
    number: int
    loaded: bool = False  # a query that it caused has been answered


_request: ContextVar[_Request | None] = ContextVar("request", default=None)


class Database:
    """A database that takes *seconds* for a page and remembers every query.

    *maker* makes the value from the user id (default: a Page). *query*, an async function of the
    user id, replaces the wait: with a real query in it, real runs are recorded like simulated ones.
    """

    def __init__(
        self,
        seconds: float = 0.02,
        *,
        maker: Callable[[int], Any] | None = None,
        query: Callable[[int], Awaitable[Any]] | None = None,
    ) -> None:
        self.seconds = seconds
        self._maker = maker or _make_page
        self._query = query or self._sleep
        self._down = (math.inf, math.inf)
        self.reset()

    def reset(self) -> None:
        """Forget the queries, and count seconds from now on."""
        self._zero = clock()
        self.log: list[Query] = []
        self.loaded: dict[Any, float] = {}  # key: when its last good answer came

    @property
    def queries(self) -> int:
        """Queries so far, the failed ones included."""
        return len(self.log)

    def down(self, start: float, end: float) -> None:
        """Be gone from *start* to *end* (seconds): queries raise ConnectionError."""
        self._down = (start, end)

    async def page(self, user_id: int) -> Any:
        """The page of *user_id*, after `seconds`. ConnectionError while the database is down."""
        request = _request.get()
        entry = Query(user_id, self._now(), request.number if request else None)
        self.log.append(entry)
        try:
            self._check()
            value = await self._query(user_id)
            self._check()
            entry.ok = True
        finally:
            entry.end = self._now()
        self.loaded[user_id] = entry.end
        if request:
            request.loaded = True
        return value

    def _now(self) -> float:
        return clock() - self._zero

    def _check(self) -> None:
        start, end = self._down
        if start <= self._now() < end:
            raise ConnectionError("the database is down")

    async def _sleep(self, user_id: int) -> Any:
        await asyncio.sleep(self.seconds)
        return self._maker(user_id)

    def __repr__(self) -> str:
        return f"Database({self.seconds:g} s a query, {self.queries:,} so far)"


def _make_page(user_id: int) -> Page:
    return Page(user_id, tuple(range(user_id * 20, user_id * 20 + 20)))


# Requests and what became of them


@dataclass(frozen=True, repr=False)
class Replay:
    """What became of every request, in columns: row i is request i, in order of arrival.

    *at* is when it came and *seconds* how long it waited; *loads* are the queries. Outcomes:

    - miss: it caused a query and was answered by it
    - shared: it waited for a query that another request caused
    - hit: answered without one
    - stale: like a hit, but *ttl* seconds or more after that page was last loaded
    - failed: got an exception
    - cancelled: gave up
    """

    at: list[float] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    loads: list[Query] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.at)

    @property
    def queries(self) -> int:
        """How many queries the database saw."""
        return len(self.loads)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many requests had each outcome; all six are there."""
        counts = Counter(self.outcomes)
        return {outcome: counts[outcome] for outcome in OUTCOMES}

    @property
    def hit_rate(self) -> float:
        """Requests answered from the cache, stale ones included, of all requests: 0 to 1."""
        counts = self.counts
        return (counts["hit"] + counts["stale"]) / len(self) if len(self) else 0.0

    def share(self, outcome: Outcome, start: float, end: float) -> float:
        """Of the requests that came from *start* until before *end* (seconds), the share with
        this *outcome*: 0 to 1.
        """
        rows = zip(self.at, self.outcomes, strict=True)
        meanwhile = [this for at, this in rows if start <= at < end]
        return meanwhile.count(outcome) / len(meanwhile) if meanwhile else 0.0

    @property
    def p99(self) -> float:
        """99 of 100 requests took at most so many seconds."""
        return sorted(self.seconds)[math.ceil(0.99 * len(self)) - 1]

    def loads_per_second(self) -> list[int]:
        """Queries begun in each second, from second 0 to the last request's."""
        return self._per_second(load.start for load in self.loads)

    def outcomes_per_second(self) -> dict[Outcome, list[int]]:
        """Requests that came in each second, by outcome."""
        rows = list(zip(self.at, self.outcomes, strict=True))
        return {
            outcome: self._per_second(at for at, this in rows if this == outcome)
            for outcome in OUTCOMES
        }

    def _per_second(self, moments: Iterable[float]) -> list[int]:
        counts = Counter(int(moment) for moment in moments)
        return [counts[second] for second in range(int(max(self.at, default=0)) + 1)]

    def __repr__(self) -> str:
        counts = ", ".join(f"{n:,} {outcome}" for outcome, n in self.counts.items() if n)
        return f"Replay({len(self):,} requests: {counts or 'none'}; {self.queries:,} queries)"


PageFunction = Callable[[int], Awaitable[Any]]


class Watch:
    """A page function that records each call of it: `await watch(user_id)`, then `watch.replay`.

    For experiments that replay() does not know, such as cancelling one of five callers.
    """

    def __init__(self, page: PageFunction, database: Database, *, ttl: float | None = None) -> None:
        database.reset()
        self._page, self._database = page, database
        self._ttl = math.inf if ttl is None else ttl
        self._zero = clock()
        self.replay = Replay(loads=database.log)

    async def __call__(self, user_id: int) -> Any:
        """Answer like the page function; raise what it raises."""
        run, start = self.replay, clock() - self._zero
        request = _Request(len(run.at))
        token = _request.set(request)
        run.at.append(start)
        run.keys.append(user_id)
        run.seconds.append(math.inf)
        run.outcomes.append("failed")
        outcome: Outcome = "failed"
        try:
            value = await self._page(user_id)
            outcome = self._outcome(request, start, self._database.loaded.get(user_id))
            return value
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                outcome = "cancelled"  # else somebody else's cancellation reached it: failed
            raise
        finally:
            run.seconds[request.number] = clock() - self._zero - start
            run.outcomes[request.number] = outcome
            _request.reset(token)

    def _outcome(self, request: _Request, start: float, loaded: float | None) -> Outcome:
        if request.loaded:
            return "miss"
        if loaded is None:  # put into the cache by other means
            return "hit"
        if loaded > start:
            return "shared"
        return "hit" if start - loaded < self._ttl else "stale"


def replay(
    page: PageFunction | Callable[[], PageFunction],
    traffic: Traffic,
    *,
    database: Database,
    ttl: float | None = None,
) -> Replay:
    """Send *traffic* through *page* in simulated time, and record what became of each request.

    *page* is an async function of the user id that asks *database* on a miss; or a function
    without parameters that makes one, called inside the simulation, so that each replay has a
    cache of its own. With *ttl* (seconds), older answers are "stale". A request that raises an
    OSError (no connection, time out) has failed; any other exception is a mistake in the page,
    and raised here.
    """

    async def run() -> Replay:
        watch = Watch(_made(page), database, ttl=ttl)
        await _send(watch, traffic)
        # Refreshes that go on in the background get a minute to end.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=60)
        return watch.replay

    return simulate(run())


def _made(page: Any) -> PageFunction:
    """The page function itself, or what its maker, which needs no argument, makes."""
    try:
        signature(page).bind()
    except TypeError:
        return cast(PageFunction, page)
    return cast(PageFunction, page())


async def record(
    page: PageFunction,
    visits: Traffic | Iterable[int],
    *,
    database: Database,
    ttl: float | None = None,
) -> Replay:
    """Like replay(), in the time that it really takes. User ids alone come one after another."""
    watch = Watch(page, database, ttl=ttl)
    if isinstance(visits, Traffic):
        await _send(watch, visits)
    else:
        for user_id in visits:
            await _visit(watch, user_id)
    return watch.replay


async def _send(watch: Watch, traffic: Traffic) -> None:
    """One task for each request, at its moment; back when all are answered."""
    loop = asyncio.get_running_loop()
    zero = loop.time()
    try:
        async with asyncio.TaskGroup() as group:
            for at, key in traffic:
                if zero + at > loop.time():
                    await _until(zero + at, loop)
                group.create_task(_visit(watch, key))
    except* Exception as errors:
        raise errors.exceptions[0] from None


async def _until(when: float, loop: asyncio.AbstractEventLoop) -> None:
    """Wait for the moment itself: sleep() takes a difference, which rounding makes another."""
    moment = loop.create_future()
    timer = loop.call_at(when, moment.set_result, None)
    try:
        await moment
    finally:
        timer.cancel()


async def _visit(watch: Watch, key: int) -> None:
    with contextlib.suppress(OSError):
        await watch(key)


def twin(
    traffic: Traffic, *, ttl: float, maxsize: int | None = 1024, load_seconds: float = 0.02
) -> Replay:
    """What replay() finds for AsyncCache(ttl, maxsize=maxsize), without running an event loop.

    The same Store decides, each request costs a few microseconds, and the outcomes are the same:
    request by request, as long as none comes at the very moment when a load ends.
    """
    store = Store(maxsize)
    lookup, put = store.lookup, store.put
    run = Replay(list(traffic.times), list(traffic.keys))
    waited, told = run.seconds.append, run.outcomes.append
    loads: deque[tuple[float, int]] = (
        deque()
    )  # all take equally long: the first to begin ends first
    under_way: dict[int, float] = {}  # key: when its load ends
    for number, (at, key) in enumerate(traffic):
        while loads and loads[0][0] <= at:
            end, loaded = loads.popleft()
            del under_way[loaded]
            if ttl:
                put(loaded, None, end + ttl, end)
        if lookup(key, at) is not None:
            waited(0.0)
            told("hit")
        elif key in under_way:
            waited(under_way[key] - at)
            told("shared")
        else:
            end = at + load_seconds
            under_way[key] = end
            loads.append((end, key))
            run.loads.append(Query(key, at, number, end, True))
            waited(end - at)
            told("miss")
    return run


def theory_hit_rate(traffic: Traffic, ttl: float) -> float:
    """The hit rate that theory expects at *ttl* seconds, with room for all and no time to load.

    A key asked for λ times a second is loaded once and then hit λT times, on average, before it
    expires: λT / (1 + λT) of its requests are hits. The sum weighs each key by its share.
    """
    shares = traffic.popularity or [n / len(traffic) for n in Counter(traffic.keys).values()]
    return sum(share * (visits := traffic.rate * share * ttl) / (1 + visits) for share in shares)
