"""What the tests of async_cache share: functions that count, a shared store."""

import inspect
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from cachepool_lib._keys import key_name


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
