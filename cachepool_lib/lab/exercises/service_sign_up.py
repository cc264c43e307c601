"""Feedback on exercise 05-4, in simulated time: find the visits that break a service."""

import asyncio
import inspect
from typing import Any

from cachepool_lib import AsyncCache
from cachepool_lib.lab.exercises.service_rows import Rows
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


class Shop:
    """A shop that passes the six tests: reads are cached, changes are committed and then deleted.

    As the notebook shows it. The database behind it is a dict.
    """

    def __init__(self) -> None:
        self.rows, self.cache = Rows(), AsyncCache(clock=clock)
        self.served_old = False

    async def page(self, user_id: int) -> Any:
        """The page of a user; None for an unknown one."""
        page = await self._page(user_id)
        self.served_old |= page is None and user_id in self.rows.cities
        return page

    async def _page(self, user_id: int) -> Any:
        return await self.cache.get_or_load(("user", user_id), lambda: self.rows.page(user_id))

    async def list(self) -> Any:
        """Who lives where."""
        return await self.cache.get_or_load("cities", self.rows.list)

    async def sign_up(self, user_id: int, city: str) -> None:
        """A new user."""
        await self._commit(user_id, city)
        await self.cache.delete("cities")  # there is no page yet that could be old

    async def move(self, user_id: int, city: str) -> None:
        """A user lives elsewhere."""
        await self._commit(user_id, city)
        await self.cache.delete(("user", user_id))
        await self.cache.delete("cities")

    async def _commit(self, user_id: int, city: str) -> None:
        await asyncio.sleep(0.01)
        self.rows.cities[user_id] = city


class Forgets(Shop):
    """A right one: a new user's page is forgotten, too."""

    async def sign_up(self, user_id: int, city: str) -> None:
        await self.move(user_id, city)


class KeepsNoNone(Shop):
    """Another right one: that somebody is unknown is not kept."""

    async def _page(self, user_id: int) -> Any:
        return await self.cache.get_or_load(
            ("user", user_id), lambda: self.rows.page(user_id), lambda page: None if page else 0
        )


class KeepsNothing(Shop):
    """A third right one, if a slow one."""

    async def _page(self, user_id: int) -> Any:
        return await self.rows.page(user_id)

    async def list(self) -> Any:
        return await self.rows.list()


RIGHT: dict[str, type[Shop]] = {
    "A shop that deletes a new user's key, too,": Forgets,
    "A shop that keeps no None": KeepsNoNone,
    "A shop without a cache": KeepsNothing,
}


async def _fails(answer: Any, shop: Shop) -> bool:
    """Whether an assertion of the learner's visits fails."""
    call = answer(shop)
    if not inspect.isawaitable(call):
        raise Unmet(
            expected="async def breaks(shop)",
            got=f"breaks(shop) gave {call!r}, and nothing to await.",
            hint="Visits have to be awaited, so breaks is async as well.",
        )
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=3600)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
        raise Unmet(expected="visits that end", got="After an hour they had not ended.")
    error = task.exception() if not task.cancelled() else None
    if isinstance(error, NotImplementedError | Unmet):
        raise error
    if error is not None and not isinstance(error, AssertionError):
        raise Unmet(
            expected="visits that end, or an `assert` that fails",
            got=f"{type(error).__name__}: {error}",
        )
    return error is not None


@exercise("05-4", "Find the bug: six tests pass")
async def breaks(answer: Any) -> str:
    faulty = Shop()
    failed = await _fails(answer, faulty)
    if not faulty.served_old:
        raise Unmet(
            expected="a visitor who is told that a user is unknown, who isn't",
            got="Your assert failed, but every visitor was told the truth."
            if failed
            else "The shop passes your visits.",
            hint="None is an answer, and it is kept. Who asks for somebody before they sign up?",
        )
    if not failed:
        raise Unmet(
            expected="an `assert` that fails on what the visitor was told",
            got="A visitor was told that a user is unknown who isn't, and your visits ended well.",
            hint="Say what has to be true: assert await shop.page(…) is not None.",
        )
    for kind, shop in RIGHT.items():
        if await _fails(answer, shop()):
            raise Unmet(
                expected="visits that every right shop passes",
                got=f"{kind} fails on your visits, and nobody there was told anything wrong.",
                hint="Before the sign-up None is right; assert only what has to be true after it.",
            )
    return "a new user is unknown in this shop; three others know her"
