"""Canary: compares a share of the hits with the source, and nobody waits for it.

A hit rate says how often the cache answered, not whether what it said was still true: without the
line that deletes what has changed, the hit rate rises.
"""

import asyncio
import logging
import operator
import os
import random as randomness
import traceback
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import fields
from enum import Enum
from typing import Any, Protocol, Self, TypeVar

from cachepool_lib._validate import number
from cachepool_lib.loading import MISSING, TTL, Loader, require_loader
from cachepool_lib.protocol import Cache
from cachepool_lib.stats import CacheStats, CanaryStats

T = TypeVar("T")

logger = logging.getLogger("cachepool_lib")


class ReadableCache(Cache, Protocol):
    """A Cache that can be asked without a load. All of ours can."""

    async def get(self, key: Hashable, default: Any = None) -> Any: ...


class Canary:
    """Reads through *cache*, and compares a share of the hits with the source, in the background.

        canary = Canary(cache, share=0.05)
        page = await canary.get_or_load(("page", 7), lambda: load_page(7))
        canary.stats().stale  # of the hits that were compared, those that were wrong

    It is a Cache, so `@async_cache(cache=Canary(AsyncCache(60)))` has one, too. For `set` and what
    else it lacks ask the cache itself.

    For each hit that is compared the loader is called once more, in a task of its own with the
    context of the reader, who has the answer by then. So it must ask the source (one that asks
    another cache compares two caches), and it must not use what ends with the request, such as a
    borrowed connection: let it borrow one. Only one comparison runs at a time, so a slow database
    is asked for one connection at the most; a hit that comes meanwhile is not compared.

    A hit was *stale* if the source has another value, and the cache still holds what it served when
    the source has answered. Where the cache holds something else by then, or nothing, the change
    came during the comparison, and was noticed: such a hit counts as *fresh*. So does a value that
    a stale window allowed, for nobody took it for new. This second look is a request to the cache,
    as its stats count, and is there only where values differ. What has just been loaded is not
    compared; nor is a hit in Redis during which this process shared a load: of the two it can't be
    told which is which.

    A comparison that raised has *failed*. The first error of each type is logged, with its type and
    its line: its words may hold a key or a value.

    Args:
        cache: one of ours, or anybody's that has the methods of `Cache` and `get`.
        share: of the hits, from 0 (none) to 1 (each). 0.05 at a hit rate of 0.9 asks the source for
            4.5 % of the requests, beside the 10 % that are loaded.
        equal: called with two values; are they the same? For values that `==` does not answer for
            with one bool (`numpy.array_equal`), or that differ by when they were made. An object
            whose class has no `__eq__` is no other's equal: that fails, but for those inside of
            lists and dicts, which are stale each time.
        random: gives a number from 0 up to, but not including, 1; called for each request.

    As an AsyncCache it is not safe to share between threads.

    Raises:
        ValueError, TypeError: for a bad argument.
    """

    def __init__(
        self,
        cache: ReadableCache,
        share: float = 0.05,
        *,
        equal: Callable[[Any, Any], Any] = operator.eq,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        wanted = "get", "get_or_load", "stats"
        if isinstance(cache, type) or not all(hasattr(cache, name) for name in wanted):
            got = f"the class {cache.__name__}" if isinstance(cache, type) else type(cache).__name__
            raise TypeError(f"cache must be a cache with {', '.join(wanted)}, got {got}")
        if number("share", share) > 1:
            raise ValueError(f"share must be at most 1, which is each hit, got {share!r}")
        for name, function in ("equal", equal), ("random", random):
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
        self.cache = cache
        self._share, self._equal, self._random = share, equal, random
        self._fresh = self._stale = self._failed = 0
        self._logged: set[type[BaseException]] = set()
        self._task: asyncio.Task[None] | None = None  # the comparison, if one runs

    def __repr__(self) -> str:
        return f"<Canary: compares {self._share:.3g} of the hits of {self.cache!r}>"

    @property
    def shared(self) -> bool:
        """As the cache."""
        return self.cache.shared

    async def get_or_load(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[T]],
        ttl: TTL = None,
        **options: Any,
    ) -> T:
        """As the cache, and as soon. If it was a hit, it may be compared afterwards."""
        require_loader(loader)
        ask: Callable[..., Awaitable[T]] = self.cache.get_or_load
        if self._random() >= self._share or self._is_comparing():
            return await ask(key, loader, ttl, **options)
        loaded = False

        async def noted() -> T:
            nonlocal loaded
            loaded = True
            return await loader()

        shared = self.cache.stats().shared
        value = await ask(key, noted, ttl, **options)
        hit = not loaded and shared == self.cache.stats().shared
        if hit and not self._is_comparing():
            self._task = asyncio.create_task(self._compare(key, loader, value))
        return value

    async def refresh(
        self,
        key: Hashable,
        loader: Callable[[], Awaitable[T]],
        ttl: TTL = None,
        **options: Any,
    ) -> T:
        """As the cache. It is no hit, so nothing is compared."""
        ask: Callable[..., Awaitable[T]] = self.cache.refresh
        return await ask(key, loader, ttl, **options)

    async def delete(self, key: Hashable) -> bool:
        """As the cache."""
        return await self.cache.delete(key)

    async def clear(self, group: Hashable = None) -> bool | None:
        """As the cache."""
        return await self.cache.clear(group)

    def stats(self) -> CanaryStats:
        """What the cache did so far, and what the comparisons said."""
        stats = self.cache.stats()
        of_cache = {each.name: getattr(stats, each.name) for each in fields(CacheStats)}
        return CanaryStats(**of_cache, fresh=self._fresh, stale=self._stale, failed=self._failed)

    async def close(self) -> None:
        """Cancel the comparison that runs on this event loop, and wait until it has ended.

        The cache stays open, and the canary can be used again.
        """
        while self._task is not None and self._is_comparing():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    def _is_comparing(self) -> bool:
        """On this event loop: what was left behind in another one may never end."""
        task = self._task
        if task is None or task.done():
            return False
        return task.get_loop() is asyncio.get_running_loop()

    async def _compare(self, key: Hashable, loader: Loader[Any], served: Any) -> None:
        try:
            stale = not self._same(served, await loader())
            if stale:
                held = await self.cache.get(key, MISSING)
                stale = held is not MISSING and self._same(served, held)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._fail(error)  # nobody cancelled this task: the loader raised it
        except Exception as error:
            self._fail(error)
        else:
            self._stale += stale
            self._fresh += not stale

    def _same(self, served: Any, other: Any) -> bool:
        if served is other:
            return True
        kind: Any = type(served)
        by_identity = kind.__eq__ is object.__eq__ and not isinstance(served, Enum)
        if by_identity and kind is type(other) and self._equal is operator.eq:
            raise TypeError("its class has no __eq__")
        return bool(self._equal(served, other))

    def _fail(self, error: BaseException) -> None:
        self._failed += 1
        if type(error) in self._logged:
            return
        self._logged.add(type(error))
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        logger.warning(
            "a canary could not compare a hit with the source: %s at %s:%d in %s (what the loader "
            "uses must outlive the request; values that == can't compare need equal=). Further "
            "ones are counted in stats().failed",
            type(error).__name__,
            os.path.basename(frame.f_code.co_filename),
            line,
            frame.f_code.co_name,
        )
