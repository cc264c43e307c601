"""Requests, one after another or by the thousand, and what became of each of them.

replay() sends a whole traffic through a page function in simulated time, record() in real time; a
Watch records calls of any other kind.
"""

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Literal, cast

from cachepool_lib.lab.simulation.database import Database, Query, Request, current
from cachepool_lib.lab.simulation.loop import simulate
from cachepool_lib.lab.simulation.traffic import Traffic

Outcome = Literal["hit", "miss", "shared", "stale", "failed", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = ("hit", "miss", "shared", "stale", "failed", "cancelled")


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
        self.replay = Replay(loads=database.log)

    async def __call__(self, user_id: int) -> Any:
        """Answer like the page function; raise what it raises."""
        run, start = self.replay, self._database.now()
        request = Request(len(run.at))
        token = current.set(request)
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
            run.seconds[request.number] = self._database.now() - start
            run.outcomes[request.number] = outcome
            current.reset(token)

    def _outcome(self, request: Request, start: float, loaded: float | None) -> Outcome:
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
