"""A reader whose pages come through the learner's canary of exercise 06-1."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable
from typing import Any

from cachepool_lib import AsyncCache
from cachepool_lib.lab.notebook.checks import Unmet
from cachepool_lib.lab.simulation.loop import clock

KEY = ("user", 7)
BEHIND = "asyncio.create_task(…): what the task awaits, no reader waits for."


class Watched:
    """What canary is given: a cache, and what is known of its hits so far."""

    def __init__(self, share: float) -> None:
        self.cache, self.share = AsyncCache(clock=clock), share
        self.tasks: set[asyncio.Task[Any]] = set()
        self.compared: Counter[str] = Counter()


class Reader:
    """Reads pages through the learner's canary, and says what no reader should meet."""

    def __init__(self, answer: Any, share: float = 1) -> None:
        self.answer, self.watched = answer, Watched(share)

    def ask(self, load: Any, key: Any = KEY) -> Awaitable[Any]:
        call = self.answer(self.watched, key, load)
        if not inspect.isawaitable(call):
            raise Unmet(
                expected="async def canary(watched, key, load)",
                got=f"canary(…) gave {call!r}, and nothing to await.",
            )
        return call

    async def hit(self, load: Any, page: Any) -> None:
        """Read a page that is in the cache; then let whatever was begun come to its end."""
        start = clock()
        try:
            seen = await self.ask(load)
        except ConnectionError:
            raise Unmet(
                expected="the page: it is in the cache",
                got="A reader with a hit got the error of the comparison.",
                hint=BEHIND,
            ) from None
        if clock() > start:
            raise Unmet(
                expected="the page that is in the cache, at once",
                got=f"A reader with a hit waited {1000 * (clock() - start):.0f} ms for the "
                "comparison.",
                hint=BEHIND,
            )
        if seen != page:
            raise Unmet(
                expected=f"{page!r}, which is in the cache",
                got=f"A reader with a hit got {seen!r}.",
                hint="The reader gets what the cache has, stale or not.",
            )
        await asyncio.sleep(1)

    def told(self, expected: dict[str, int], got: str, hint: str = "") -> None:
        counted = {name: count for name, count in self.watched.compared.items() if count}
        if counted != expected:
            raise Unmet(
                expected=f"watched.compared: {expected or 'nothing'}",
                got=f"{got} watched.compared: {counted or 'nothing'}.",
                hint=hint,
            )
