"""Decorates functions with one candidate, calls them and lets simulated time pass."""

import inspect
from collections.abc import Callable
from typing import Any

from cachepool_lib import AsyncCache
from cachepool_lib.lab.contracts.cache.bench import Bench, Load, Source, constructor_options
from cachepool_lib.lab.simulation.loop import clock

Decorated = Callable[..., Any]


class DecoratorBench(Bench):
    """Decorates functions with one candidate, calls them and lets time pass.

    A candidate that lacks an option is called without it, so that it fails by what it does and not
    by a missing argument. *shared*: the stores are shared between processes, where not every
    argument can be part of a key.
    """

    shared = False

    def __init__(self, candidate: Any) -> None:
        super().__init__(candidate)
        self._load: Load = Source().load

    def known(self, **options: Any) -> dict[str, Any]:
        if isinstance(self.candidate, type):
            names = constructor_options(self.candidate)
        else:
            names = set(inspect.signature(self.candidate).parameters)
        return {name: value for name, value in options.items() if name in names}

    def store(self) -> Any:
        """A cache that nobody else uses."""
        return AsyncCache(clock=clock, maxsize=None)

    def decorate(self, function: Callable[..., Any], **options: Any) -> Decorated:
        """The function, cached for 300 seconds in a store of its own unless *options* say more."""
        options = {"ttl": 300, "cache": self.store(), **options}
        decorated: Decorated = self.candidate(**self.known(**options))(function)
        return decorated

    def new(self, default_ttl: float = 300, **options: Any) -> Decorated:
        """A decorated function of a key, for the checks that read through a cache."""

        async def page(key: str) -> Any:
            return await self._load()

        return self.decorate(page, ttl=default_ttl, **options)

    async def read(self, cache: Any, key: Any, load: Load, **options: Any) -> Any:
        self._load = load
        return await cache(key)

    async def forget(self, decorated: Decorated, *args: Any, **kwargs: Any) -> None:
        """Forget a call, as far as the candidate can."""
        if hasattr(decorated, "invalidate"):
            await decorated.invalidate(*args, **kwargs)
