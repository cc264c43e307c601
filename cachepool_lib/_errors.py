"""What can go wrong: each error is a CachePoolError and the builtin that one expects."""


class CachePoolError(Exception):
    """Any error of this library's own."""


class CacheUnavailable(CachePoolError, ConnectionError):
    """The cache's server can't be reached, is silent, or refuses; the cause is attached."""


class CacheClosed(CachePoolError, RuntimeError):
    """The cache was used after `close`."""
