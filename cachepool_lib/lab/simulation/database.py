"""A database in simulated time: it takes its seconds for a page, and remembers every query."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from cachepool_lib.lab.simulation.loop import clock


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
class Request:
    """A recorded request, as the database sees it."""

    number: int
    loaded: bool = False  # a query that it caused has been answered


current: ContextVar[Request | None] = ContextVar("request", default=None)
"""The request that this task is part of, if it is a recorded one."""


class Database:
    """A database that takes *seconds* for a page and remembers every query.

    It works on at most *capacity* pages at a time, as a pool of so many connections does; the
    others wait, first come, first served. Where *max_waiting* wait already, one more is refused
    with a ConnectionError, at once. None is no bound. *maker* makes the value from the user id
    (default: a Page). *query*, an async function of the user id, replaces the wait: with a real
    query in it, real runs are recorded like simulated ones.
    """

    def __init__(
        self,
        seconds: float = 0.02,
        *,
        capacity: int | None = None,
        max_waiting: int | None = None,
        maker: Callable[[int], Any] | None = None,
        query: Callable[[int], Awaitable[Any]] | None = None,
    ) -> None:
        self.seconds = seconds
        self._capacity, self._most_waiting = capacity, max_waiting
        self._maker = maker or _make_page
        self._query = query or self._sleep
        self._down = (math.inf, math.inf)
        self.reset()

    def reset(self) -> None:
        """Forget the queries, and count seconds from now on."""
        self._zero = clock()
        self._room = asyncio.Semaphore(self._capacity) if self._capacity else None
        self._waiting = 0
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
        request = current.get()
        entry = Query(user_id, self.now(), request.number if request else None)
        self.log.append(entry)
        try:
            self._check()
            value = await self._in_turn(user_id)
            self._check()
            entry.ok = True
        finally:
            entry.end = self.now()
        self.loaded[user_id] = entry.end
        if request:
            request.loaded = True
        return value

    async def _in_turn(self, user_id: int) -> Any:
        if self._room is None:
            return await self._query(user_id)
        if self._room.locked() and self._waiting == self._most_waiting:
            raise ConnectionError("too many wait for the database already")
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._query(user_id)
        finally:
            self._room.release()

    def now(self) -> float:
        """Seconds since `reset`."""
        return clock() - self._zero

    def _check(self) -> None:
        start, end = self._down
        if start <= self.now() < end:
            raise ConnectionError("the database is down")

    async def _sleep(self, user_id: int) -> Any:
        await asyncio.sleep(self.seconds)
        return self._maker(user_id)

    def __repr__(self) -> str:
        return f"Database({self.seconds:g} s a query, {self.queries:,} so far)"


def _make_page(user_id: int) -> Page:
    return Page(user_id, tuple(range(user_id * 20, user_id * 20 + 20)))
