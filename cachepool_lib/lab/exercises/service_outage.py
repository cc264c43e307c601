"""Feedback on exercise 05-3, in simulated time: a page while Redis is gone, and too many come."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from fastapi import HTTPException

from cachepool_lib import AsyncCache
from cachepool_lib.lab.contracts.redis_cache.bench import quietly
from cachepool_lib.lab.exercises.service_servers import QUERY, Pool, Redis
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

RATE = 160  # visits a second: twice as many
LIMIT = 0.5  # seconds that a visitor may wait for a connection
KNOWN = 200  # users whose page this process has shown


class _Process:
    """One worker: the first cache is its own."""

    def __init__(self, answer: Any, shared: Redis | None = None, max_waiting: int | None = None):
        self.answer, self.near = answer, AsyncCache(1, clock=clock)
        self.shared, self.pool = shared or Redis(), Pool(max_waiting)

    async def visit(self, user_id: int) -> tuple[Any, float]:
        """What a visitor got or was raised, and after how many seconds."""
        start = clock()
        call = self.answer(self.near, self.shared, self.pool, user_id)
        if not inspect.isawaitable(call):
            raise Unmet(
                expected="async def page(near, shared, pool, user_id)",
                got=f"page(…) gave {call!r}, and nothing to await.",
            )
        try:
            value = await call
        except (NotImplementedError, Unmet):
            raise
        except Exception as error:
            value = error
        return value, clock() - start

    async def visits(self, user: Callable[[int], int], seconds: float) -> list[tuple[Any, float]]:
        """RATE visits a second, to the page of *user*(number of the visit)."""
        tasks = []
        for number in range(round(RATE * seconds)):
            tasks.append(asyncio.create_task(self.visit(user(number))))
            await asyncio.sleep(1 / RATE)
        _, late = await asyncio.wait(tasks, timeout=600)
        for task in late:
            task.cancel()
        if late:
            raise Unmet(expected="an answer, or a 503", got=f"{len(late)} visitors still wait.")
        return [task.result() for task in tasks]

    async def warm(self) -> None:
        for user_id in range(KNOWN):
            value, _ = await self.visit(user_id)
            if isinstance(value, Exception):
                raise value
            if value != f"page 0 of user {user_id}":
                raise Unmet(
                    expected=f"what the query gives: 'page 0 of user {user_id}'",
                    got=f"The page of user {user_id} is {value!r}.",
                    hint="`return` what get_or_load gives."
                    if value is None
                    else "Each user has a page, and so a key.",
                )


async def _hits(answer: Any) -> None:
    process = _Process(answer)
    await process.warm()
    before = process.pool.borrowed
    got = await asyncio.gather(*(process.visit(KNOWN - 1) for _ in range(10)))
    if borrowed := process.pool.borrowed - before:
        hits = process.pool.loads == KNOWN
        raise Unmet(
            expected="ten hits, and nobody borrows",
            got=f"Ten hits borrowed {borrowed} connections."
            if hits
            else f"Ten visits to a page that was there made {process.pool.loads - KNOWN} loads.",
            hint="Borrow inside the function that loads: a hit never calls it.",
        )
    asked = process.shared.asked
    if max(seconds for _, seconds in got) > 0 or asked > KNOWN:
        raise Unmet(
            expected="ten hits in near, without a trip",
            got=f"Ten hits, and {asked - KNOWN} of them asked Redis.",
            hint="near stands in front: what it has to load is what shared has.",
        )


async def _is_shared(answer: Any) -> None:
    """What one process has loaded, the next one finds in Redis."""
    one = _Process(answer)
    await one.warm()
    another = _Process(answer, one.shared)
    await another.warm()
    if another.pool.loads:
        raise Unmet(
            expected="no load: another process has stored the pages in shared",
            got=f"The second process loaded {another.pool.loads} of {KNOWN} pages again.",
            hint="What near has to load is what shared has: two get_or_load, one in the other.",
        )


async def _changes(answer: Any) -> None:
    """A change, which its writer deletes from shared, is seen by the near cache soon."""
    process = _Process(answer)
    await process.warm()
    process.pool.version = 1
    await process.shared.delete(("user", 1))
    await asyncio.sleep(1.5)
    for _ in range(2):
        value, _ = await process.visit(1)
        await asyncio.sleep(0.5)
    if value != "page 1 of user 1":
        raise Unmet(
            expected="the new page: near keeps its pages for 1 s, its default",
            got="2 s after a change, a second reader still got the old page.",
            hint='The key in shared is ("user", user_id), and near\'s ttl is its default.',
        )


async def _crowd(answer: Any) -> None:
    """Redis gone at twice the database's capacity: everybody asks for pages that were seen."""
    process = _Process(answer)
    await process.warm()
    await asyncio.sleep(2)
    process.shared.down = True
    got = await process.visits(lambda number: number * 7 % KNOWN, 3)
    failed = [value for value, _ in got if isinstance(value, Exception)]
    if failed:
        raise Unmet(
            expected="no failed page: this process has seen them all",
            got=f"Redis gone: {len(failed)} of {len(got)} pages failed, "
            f"with {type(failed[0]).__name__}.",
            hint=process.shared.old_pages,
        )
    slowest = max(seconds for _, seconds in got)
    if slowest > 0.01:
        raise Unmet(
            expected="an old page, at once",
            got=f"Redis gone: the slowest visitor waited {slowest:.2g} s.",
            hint=process.shared.old_pages,
        )


async def _strangers(answer: Any, max_waiting: int | None) -> None:
    """Twice the capacity, and nobody's page is in memory: some can't be served."""
    process = _Process(answer, max_waiting=max_waiting)
    process.shared.down = True
    got = await process.visits(lambda number: 1_000 + number, 3)
    for value, _ in got:
        if isinstance(value, Exception) and not isinstance(value, HTTPException):
            raise Unmet(
                expected="HTTPException(503): come again",
                got=f"Too many came, and one of them got {type(value).__name__}.",
                hint="PoolTimeout and PoolFull say that there is no room: catch these two.",
            )
        if not isinstance(value, Exception) and not str(value).startswith("page"):
            raise Unmet(
                expected="a page, or HTTPException(503)",
                got=f"Too many came, and one of them got {value!r}.",
                hint="What is returned goes out as the page, with status 200: `raise` the 503.",
            )
        if isinstance(value, HTTPException) and value.status_code != 503:
            raise Unmet(
                expected="status 503: it is not the visitor's mistake, and it will pass",
                got=f"Too many came, and one of them got status {value.status_code}.",
            )
    slowest = max(seconds for _, seconds in got)
    if slowest > LIMIT + QUERY + 0.01:
        raise Unmet(
            expected=f"a page or a 503 within {LIMIT:g} s and the query's time",
            got=f"The last visitor waited {slowest:.2g} s.",
            hint=f"pool.acquire(timeout={LIMIT:g}) waits no longer for a connection.",
        )
    served = sum(not isinstance(value, Exception) for value, _ in got)
    if served < 0.4 * len(got):
        raise Unmet(
            expected="half of them served: that is what the database can do",
            got=f"{served} of {len(got)} got a page.",
            hint=f"The limit is {LIMIT:g} s, and it is for the wait alone.",
        )


async def _a_few(answer: Any) -> None:
    """Twelve at once are no crowd: the last one waits for two queries of others."""
    process = _Process(answer)
    process.shared.down = True
    got = await asyncio.gather(*(process.visit(1_000 + number) for number in range(12)))
    if refused := sum(isinstance(value, Exception) for value, _ in got):
        raise Unmet(
            expected=f"12 pages: each of them waits less than {LIMIT:g} s",
            got=f"Twelve came at once, and {refused} of them were sent away.",
            hint=f"A little waiting is fine: up to {LIMIT:g} s.",
        )


async def _bugs(answer: Any) -> None:
    process = _Process(answer)
    process.pool.bug = True
    value, _ = await process.visit(1)
    if not isinstance(value, TypeError):
        status = f"a {value.status_code}" if isinstance(value, HTTPException) else repr(value)
        raise Unmet(
            expected="the TypeError: somebody has to mend it",
            got=f"Your TypeError became {status}.",
            hint="Name what you catch: PoolFull and PoolTimeout.",
        )


@exercise("05-3", "A page while Redis is gone")
async def page(answer: Any) -> str:
    with quietly():  # loads behind old pages fail here, as they should
        await _hits(answer)
        await _is_shared(answer)
        await _changes(answer)
        await _crowd(answer)
        for max_waiting in (None, 4):
            await _strangers(answer, max_waiting)
        await _a_few(answer)
        await _bugs(answer)
    return "hits, another process, a change, Redis gone with a crowd of known and of new, a bug"
