"""What the tests of async_cache share: functions that count, a shared store."""

import inspect
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from cachepool_lib.redis_cache.key_names import group_prefix, key_name


def bound(function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
    """What the parameters are bound to by such a call, however it is spelled."""
    call = inspect.signature(function).bind(*args, **kwargs)
    call.apply_defaults()
    return call.args, call.kwargs


class Counted:
    """An async function that answers with what it was called with, and keeps count of its runs.

    *like* gives it its parameters.
    """

    def __init__(self, like: Callable[..., Any]) -> None:
        self.runs = 0
        self.__signature__ = inspect.signature(like)
        self.__module__, self.__qualname__ = "shop.pages", "page"

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        return bound(self, args, kwargs)


class SharedStore:
    """Stands for a store that processes share: all it has of a key is its name."""

    shared = True

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def get_or_load(
        self, key: Hashable, loader: Callable[[], Awaitable[Any]], ttl: Any = None
    ) -> Any:
        if key_name(key) not in self.values:
            return await self.refresh(key, loader)
        return self.values[key_name(key)]

    async def refresh(
        self, key: Hashable, loader: Callable[[], Awaitable[Any]], ttl: Any = None
    ) -> Any:
        self.values[key_name(key)] = value = await loader()
        return value

    async def delete(self, key: Hashable) -> bool:
        return self.values.pop(key_name(key), self) is not self

    async def clear(self, group: Hashable = None) -> bool:
        prefix = group_prefix(group)
        self.values = {name: v for name, v in self.values.items() if not name.startswith(prefix)}
        return True

    def stats(self) -> Any:
        raise NotImplementedError
