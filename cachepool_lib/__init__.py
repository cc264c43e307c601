"""Caching and connection pooling for asynchronous Python."""

from cachepool_lib._stats import CacheStats
from cachepool_lib.memory import AsyncCache

__all__ = ["AsyncCache", "CacheStats"]
