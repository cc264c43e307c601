"""Visitors of a service, over real HTTP: paced, or as many as it can answer."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cachepool_lib.lab.experiments.live import Faults, live
from cachepool_lib.lab.servers.ask import PATIENCE_SECONDS, ask
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.lab.simulation.traffic import Traffic, draw, zipf

CACHED = ("hit", "shared", "stale", "miss")  # what a service may say in its X-Cache header


def percentile(seconds: Sequence[float], percent: int) -> float:
    """So many of 100 took at most so long; NaN of nothing."""
    if not seconds:
        return math.nan
    return sorted(seconds)[math.ceil(percent / 100 * len(seconds)) - 1]


@dataclass(frozen=True, repr=False)
class Visits:
    """What became of each visit, in columns: row i is visit i, in order of arrival.

    *at* is when it came and *seconds* how long it took; *pids* is the worker that answered, 0 if
    nobody did. Outcomes:

    - hit, shared, stale, miss: a page, and what the service said of it in its X-Cache header;
      a miss caused a query and waited for it
    - fresh: a page, without that header
    - refused: 503, come back later
    - failed: another error, half an answer, or none
    """

    at: list[float] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.at)

    @property
    def counts(self) -> dict[str, int]:
        """How many visits had each outcome, those that occurred."""
        return dict(Counter(self.outcomes))

    @property
    def failed(self) -> int:
        """Visits without a page; who was refused is not among them."""
        return self.outcomes.count("failed")

    @property
    def refused(self) -> int:
        """Visits answered with 503."""
        return self.outcomes.count("refused")

    @property
    def loads(self) -> int:
        """Visits that caused a query and waited for it."""
        return self.outcomes.count("miss")

    @property
    def pages(self) -> list[float]:
        """The seconds of the visits that got a page."""
        rows = zip(self.seconds, self.outcomes, strict=True)
        return [seconds for seconds, outcome in rows if outcome not in ("failed", "refused")]

    @property
    def p50(self) -> float:
        """Half of the pages took at most so many seconds."""
        return percentile(self.pages, 50)

    @property
    def p99(self) -> float:
        """99 of 100 pages took at most so many seconds."""
        return percentile(self.pages, 99)

    def __repr__(self) -> str:
        refused = ", some refused" if self.refused else ""  # how many differs from run to run
        return f"{len(self)} visit{'s' * (len(self) != 1)}, {self.failed} failed{refused}"


async def visit(
    url: str,
    visits: Traffic,
    faults: Faults | None = None,
    *,
    path: str = "/users/{}",
    into: Visits | None = None,
) -> Visits:
    """Send *visits* to the service at *url*, each at its moment and on a connection of its own.

    The key of a visit stands for {} in *path*. No visit is ever repeated. *faults* are called at
    their seconds, such as {0.5: proxy.cut, 1.5: proxy.restore}; they may look at *into*, where the
    visits are noted. A picture shows each page as it comes. Back when all are answered.
    """
    run, start = Visits() if into is None else into, clock()

    async def one(key: int) -> None:
        number, came = len(run), clock()
        for column, value in zip(
            (run.at, run.keys, run.seconds, run.outcomes, run.pids),
            (came - start, key, math.inf, "failed", 0),
            strict=True,
        ):
            column.append(value)  # type: ignore[attr-defined]
        try:
            answer = await ask(url, path.format(key))
        except OSError:
            pass
        else:
            run.pids[number] = int(answer.headers.get("x-worker", 0))
            run.outcomes[number] = _outcome(answer.status, answer.headers.get("x-cache", "fresh"))
        run.seconds[number] = clock() - came

    await live(one, visits, faults or {}, run)
    return run


def _outcome(status: int, cached: str) -> str:
    if status == 503:
        return "refused"
    if status >= 400:
        return "failed"
    return cached if cached in CACHED else "fresh"


@dataclass(frozen=True, repr=False)
class FullLoad:
    """Pages that a service sent to *clients* who never paused, and how long each took (seconds)."""

    clients: int
    seconds: Sequence[float]
    rate: float  # pages a second
    failed: int

    @property
    def p50(self) -> float:
        """Half of the pages took at most so many seconds."""
        return percentile(self.seconds, 50)

    @property
    def p99(self) -> float:
        """99 of 100 pages took at most so many seconds."""
        return percentile(self.seconds, 99)

    def __repr__(self) -> str:
        return f"{self.clients} clients, {self.failed} failed"


async def full_load(
    url: str,
    *,
    clients: int = 16,
    seconds: float = 1.5,
    users: int = 48,
    path: str = "/users/{}",
) -> FullLoad:
    """Let so many *clients* ask for one page after the other, for so many *seconds*.

    Each keeps its connection. They ask for the pages of *users*, popular ones more often (Zipf).
    """
    import aiohttp

    keys = draw(zipf(users), 1000)
    took: list[float] = []
    failed = 0

    async def page(session: aiohttp.ClientSession, number: int) -> bool:
        try:
            async with session.get(url + path.format(keys[number % len(keys)])) as answer:
                await answer.read()
                return answer.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal failed
        while (asked := time.perf_counter()) < end:
            number += 1
            if await page(session, number):
                took.append(time.perf_counter() - asked)
            else:
                failed += 1

    async with contextlib.AsyncExitStack() as stack:
        # A session for each, and their connections one after the other: if all came at once, one
        # worker might take them all.
        sessions = []
        for number in range(clients):
            one = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS))
            sessions.append(await stack.enter_async_context(one))
            await page(one, number)
        start = time.perf_counter()
        end = start + seconds
        async with asyncio.TaskGroup() as group:
            for number, one in enumerate(sessions):
                group.create_task(client(one, 61 * number))  # each begins somewhere else
        rate = len(took) / (time.perf_counter() - start)
    return FullLoad(clients, took, rate, failed)
