"""A cache restarts empty, under more visits than the database behind it can load pages for.

AsyncCache and DatabasePool are the library's own, in simulated time. What the database does with a
statement is simulated.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cachepool_lib import AsyncCache, DatabasePool
from cachepool_lib.errors import PoolClosed, PoolFull
from cachepool_lib.lab.notebook.logged import logged
from cachepool_lib.lab.simulation.loop import clock, simulate
from cachepool_lib.lab.simulation.postgres import Postgres
from cachepool_lib.lab.simulation.traffic import Traffic, traffic

VISITS, USERS = 100, 1_000  # a second, spread evenly over so many pages
AT_ONCE, QUERY_SECONDS = 2, 0.1  # what the database does: 20 pages a second
PATIENCE = 1.0  # seconds that a visitor waits
TTL = 120.0  # seconds: with every page in the cache, 8 of 100 visits load one
RESTART, DEPLOY, END = 10, 30, 180  # seconds

PageFunction = Callable[[DatabasePool, AsyncCache, int], Awaitable[Any]]


@dataclass(frozen=True, repr=False)
class ColdStart:
    """What became of the visits of each second.

    *deployed_at* is None where nothing was changed. *begun* and *ended* count queries since the
    restart: one whose visitors have all left is cancelled.
    """

    in_time: Sequence[int]
    visits: Sequence[int]
    begun: int
    ended: int
    restarted_at: int
    deployed_at: int | None

    def goodput(self, second: int, span: int = 5) -> float:
        """Of the visits of the *span* seconds before *second*, the share that got its page in time:
        0 to 1.
        """
        here = slice(second - span, second)
        return sum(self.in_time[here]) / sum(self.visits[here])

    def __repr__(self) -> str:
        end = len(self.visits)
        return f"in time at 60 s: {self.goodput(60):.2f}, at {end} s: {self.goodput(end):.2f}"


def cold_start(
    page: PageFunction,
    deploy: PageFunction | None = None,
    *,
    max_waiting: int | None = None,
    warm: bool = False,
    lost: float = 1,
    ttl: float = TTL,
    seconds: int = END,
) -> ColdStart:
    """Visit the pages of a shop for so many *seconds*, through a restart of its cache.

    *page* is an async function of the pool, the cache and a user id. At second DEPLOY, *deploy*
    takes its place (None: nothing happens then), and gets a new pool with this *max_waiting*. With
    *warm* nobody is let in until every page has been asked for. *lost* is the share of the entries
    that are gone at second RESTART, 0 to 1. *ttl* is the cache's default, in seconds.

    A visitor leaves after PATIENCE seconds: its task is cancelled. Who is refused by the pool
    leaves at once. Whatever else *page* raises is raised here, in an ExceptionGroup. ValueError for
    a *max_waiting* or *warm* without *deploy*, and for less than 60 seconds.
    """
    if deploy is None and (max_waiting is not None or warm):
        raise ValueError("max_waiting and warm belong to what is deployed: give deploy, too.")
    if not 0 <= lost <= 1:
        raise ValueError(f"lost must be a share from 0 to 1, not {lost!r}.")
    if seconds < 60:
        raise ValueError(f"seconds must be 60 or more, not {seconds!r}: remedies take their time.")
    with logged():  # a refresh that is refused is a line in the log, of which there are many
        return simulate(_Shop(page, ttl, seconds).run(deploy, max_waiting, warm, lost))


class _Shop:
    """The cache, the database, and the pool and page function that are in use."""

    def __init__(self, page: PageFunction, ttl: float, seconds: int) -> None:
        self.page, self.ttl, self.open = page, ttl, True
        self.cache = AsyncCache(ttl, maxsize=None, clock=clock)
        self.in_time, self.visits = [0] * seconds, [0] * seconds
        self.begun = self.ended = 0

    async def run(
        self, deploy: PageFunction | None, max_waiting: int | None, warm: bool, lost: float
    ) -> ColdStart:
        self.room = asyncio.Semaphore(AT_ONCE)  # two pools at once get no more out of it
        for user_id in range(USERS):  # as after a long day: the pages end at different moments
            await self.cache.set(user_id, user_id, self.ttl * random.random())
        with Postgres(self._answer) as server:
            async with contextlib.AsyncExitStack() as pools:
                self.pool = await pools.enter_async_context(_pool(server, None))
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._restart(lost))
                    if deploy is not None:
                        new = await pools.enter_async_context(_pool(server, max_waiting))
                        group.create_task(self._deploy(deploy, new, warm))
                    await self._send(group, traffic(VISITS, USERS, len(self.visits), skew=0))
                # Loads may outlive their visitors.
                if others := asyncio.all_tasks() - {asyncio.current_task()}:
                    await asyncio.wait(others)
        await self.cache.close()
        deployed_at = None if deploy is None else DEPLOY
        return ColdStart(self.in_time, self.visits, self.begun, self.ended, RESTART, deployed_at)

    async def _answer(self, statement: str, user_id: int) -> int:
        self.begun += 1
        async with self.room:
            await asyncio.sleep(QUERY_SECONDS)
        self.ended += 1
        return user_id

    async def _restart(self, lost: float) -> None:
        await asyncio.sleep(RESTART)
        for user_id in range(USERS):
            if random.random() < lost:
                await self.cache.delete(user_id)
        self.begun = self.ended = 0

    async def _deploy(self, page: PageFunction, pool: DatabasePool, warm: bool) -> None:
        await asyncio.sleep(DEPLOY)
        old, self.page, self.pool, self.open = self.pool, page, pool, not warm
        await old.close()
        if warm:
            await asyncio.gather(*(self._warm(first) for first in range(AT_ONCE)))
            self.open = True

    async def _warm(self, first: int) -> None:
        for user_id in range(first, USERS, AT_ONCE):
            await self.page(self.pool, self.cache, user_id)

    async def _send(self, group: asyncio.TaskGroup, visits: Traffic) -> None:
        for at, user_id in visits:
            if at > clock():
                await asyncio.sleep(at - clock())
            group.create_task(self._visit(int(at), user_id))

    async def _visit(self, second: int, user_id: int) -> None:
        self.visits[second] += 1
        if not self.open:
            return
        with contextlib.suppress(TimeoutError, PoolFull, PoolClosed):
            async with asyncio.timeout(PATIENCE):
                await self.page(self.pool, self.cache, user_id)
            self.in_time[second] += 1


def _pool(server: Postgres, max_waiting: int | None) -> DatabasePool:
    # A visitor's patience ends a wait before the pool does; a load without visitors may wait.
    return server.pool(AT_ONCE, max_waiting=max_waiting, acquire_timeout=600)
