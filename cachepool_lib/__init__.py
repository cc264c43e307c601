"""Caching and connection pooling for asynchronous Python."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cachepool_lib.canary import Canary
from cachepool_lib.decorator.async_cache import async_cache
from cachepool_lib.errors import (
    CacheClosed,
    CachePoolError,
    CacheUnavailable,
    DatabaseUnavailable,
    NotLoaded,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    QueryTimeout,
    WrongEventLoop,
)
from cachepool_lib.memory.async_cache import AsyncCache
from cachepool_lib.protocol import Cache
from cachepool_lib.shadow import Shadow
from cachepool_lib.stats import CacheStats, CanaryStats, Histogram, Holder, PoolStats

if TYPE_CHECKING:
    from cachepool_lib.postgres.pool import DatabasePool
    from cachepool_lib.redis_cache.redis_cache import RedisCache
    from cachepool_lib.redis_cache.serializers import JSONSerializer, MsgpackSerializer
    from cachepool_lib.tiered.tiered_cache import TieredCache

__all__ = [
    "AsyncCache",
    "Cache",
    "CacheClosed",
    "CachePoolError",
    "CacheStats",
    "CacheUnavailable",
    "Canary",
    "CanaryStats",
    "DatabasePool",
    "DatabaseUnavailable",
    "Histogram",
    "Holder",
    "JSONSerializer",
    "MsgpackSerializer",
    "NotLoaded",
    "PoolClosed",
    "PoolFull",
    "PoolStats",
    "PoolTimeout",
    "QueryTimeout",
    "RedisCache",
    "Shadow",
    "TieredCache",
    "WrongEventLoop",
    "async_cache",
]

# What brings asyncpg, redis or msgpack is imported when it is first used: `import` is quick.
_LATER = {
    "DatabasePool": "postgres.pool",
    "JSONSerializer": "redis_cache.serializers",
    "MsgpackSerializer": "redis_cache.serializers",
    "RedisCache": "redis_cache.redis_cache",
    "TieredCache": "tiered.tiered_cache",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
