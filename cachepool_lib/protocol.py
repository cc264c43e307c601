"""Cache: what `async_cache` asks of a cache, ours or anybody's."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol, TypeVar

from cachepool_lib.loading import TTL
from cachepool_lib.stats import CacheStats

T = TypeVar("T")


class Cache(Protocol):
    """What can be the `cache=` of `async_cache`: write these methods, and inherit nothing.

    A key is a tuple that begins with its group, which stands for the function, and goes on with the
    arguments of the call. Loads are the cache's: where a key is asked for a thousand times at once,
    it is `get_or_load` that decides how often the loader runs.

    There may be one method more, `lookup(key, default)`, which is not a coroutine: what is in this
    process, or else *default*. Where it stands in the class that has `get_or_load`, it is asked
    first, and a hit costs a third.
    """

    @property
    def shared(self) -> bool:
        """Do other processes read what is stored? Then keys are made of what has a name there.

        Those are str, bytes, int, float, bool, None, UUID, date, Enum, and tuples and frozensets of
        them. Otherwise a key may hold, and be told apart by, any hashable object.
        """
        ...

    async def get_or_load(
        self, key: Hashable, loader: Callable[[], Awaitable[T]], ttl: TTL = None
    ) -> T:
        """The value of *key*; where it is not there, that of `await loader()`, to be kept.

        *ttl* is what `async_cache` was given: seconds, a timedelta, None for the default of the
        cache, or a function that is given the value and returns one of these. Of
        stale_while_revalidate, stale_if_error, early_refresh and retry_after it may take any, by
        keyword: each is passed only where the decorator was given it, and a cache that does not
        take it is refused when decorating.
        """
        ...

    async def refresh(
        self, key: Hashable, loader: Callable[[], Awaitable[T]], ttl: TTL = None
    ) -> T:
        """Load *key* now, whatever is there. It takes what `get_or_load` takes."""
        ...

    async def delete(self, key: Hashable) -> bool:
        """Forget *key*. True if a value was there."""
        ...

    async def clear(self, group: Hashable) -> bool | None:
        """Forget all keys that begin with *group*. False if that can't be said for certain."""
        ...

    def stats(self) -> CacheStats:
        """What it did so far, for `cache_info()`."""
        ...
