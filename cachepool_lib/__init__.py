"""Caching and connection pooling for asynchronous Python."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cachepool_lib._errors import (
    CacheClosed,
    CachePoolError,
    CacheUnavailable,
    DatabaseUnavailable,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    QueryTimeout,
    WrongEventLoop,
)
from cachepool_lib._stats import CacheStats, Holder, PoolStats
from cachepool_lib.decorator import async_cache
from cachepool_lib.memory import AsyncCache

if TYPE_CHECKING:
    from cachepool_lib.pool import DatabasePool
    from cachepool_lib.rediscache import RedisCache
    from cachepool_lib.serializers import JSONSerializer, MsgpackSerializer

__all__ = [
    "AsyncCache",
    "CacheClosed",
    "CachePoolError",
    "CacheStats",
    "CacheUnavailable",
    "DatabasePool",
    "DatabaseUnavailable",
    "Holder",
    "JSONSerializer",
    "MsgpackSerializer",
    "PoolClosed",
    "PoolFull",
    "PoolStats",
    "PoolTimeout",
    "QueryTimeout",
    "RedisCache",
    "WrongEventLoop",
    "async_cache",
]

# What brings asyncpg, redis or msgpack is imported when it is first used: `import` is quick.
_LATER = {
    "DatabasePool": "pool",
    "JSONSerializer": "serializers",
    "MsgpackSerializer": "serializers",
    "RedisCache": "rediscache",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
