"""Builds caches of one class, reads pages through them and lets simulated time pass."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from cachepool_lib.lab.simulation.loop import clock

Load = Callable[[], Awaitable[Any]]


class Value:
    """Something that a cache can hold and that tells whether it still does."""


def constructor_options(candidate: type) -> set[str]:
    """The names that the constructor takes: a subclass may pass **options on to its parents."""
    parents = [vars(parent) for parent in candidate.__mro__]
    family = [names["__init__"] for names in parents if "__init__" in names]
    return {name for function in family for name in inspect.signature(function).parameters}


class Bench:
    """Builds caches of one class, reads pages through them and lets time pass.

    A class without get_or_load is used as in the naive code: `get`, `if cached:`, load, `set`. A
    class that lacks an option is built without it, so that it fails by what it does and not by a
    missing argument. *page* makes the page of A11, a list of orders: a new list each time.
    """

    def __init__(self, candidate: type, page: Callable[..., Any] | None = None) -> None:
        self.candidate = candidate
        self.page = page or (lambda: [3, 1, 2])

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


LIMIT = 10  # seconds for one check, which takes far less than one unless a loop never ends


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
