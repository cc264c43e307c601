"""What the tests of async_cache share: the naive one, functions that count, a shared store."""

import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from cachepool_lib._keys import key_name
from tests.benchmarks.speed import Naive


def naive_cache(ttl: int = 300) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorator that the course begins with."""

    def decorator(func: Callable[..., Any]) -> Callable[..., Any]:
        cache = Naive(ttl)

        @functools.wraps(func)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            key_data = f"{func.__name__}:{args!s}:{sorted(kwargs.items())!s}"
            cache_key = hashlib.md5(key_data.encode()).hexdigest()
            cached_result = await cache.get(cache_key)
            if cached_result is not None:
                return cached_result
            result = await func(*args, **kwargs)
            await cache.set(cache_key, result, ttl=ttl)
            return result

        return wrapper

    return decorator


class Counted:
    """An async function that answers with its arguments, and keeps count of its runs.

    *like* gives it its parameters.
    """

    def __init__(self, like: Callable[..., Any]) -> None:
        self.runs = 0
        self.__signature__ = inspect.signature(like)
        self.__module__, self.__qualname__ = "shop.pages", "page"

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        return args, kwargs


class SharedStore:
    """Stands for a store that processes share: all it has of a key is its name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def get_or_load(
        self, key: Hashable, loader: Callable[[], Awaitable[Any]], ttl: Any = None, **terms: Any
    ) -> Any:
        name = key_name(key)
        if name not in self.values:
            self.values[name] = await loader()
        return self.values[name]

    async def delete(self, key: Hashable) -> bool:
        return self.values.pop(key_name(key), self) is not self
