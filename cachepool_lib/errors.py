"""What can go wrong: each error is a CachePoolError and the builtin that one expects."""


class CachePoolError(Exception):
    """Any error of this library's own."""


class CacheUnavailable(CachePoolError, ConnectionError):
    """The cache's server can't be reached, is silent, or refuses; the cause is attached."""


class CacheClosed(CachePoolError, RuntimeError):
    """The cache was used after `close`."""


class NotLoaded(CachePoolError, LookupError):
    """The load that was joined is one of `get_or_load_many`, whose loader left this key out."""


class DatabaseUnavailable(CachePoolError, ConnectionError):
    """No connection to the database could be opened; the cause is attached."""


class PoolClosed(CachePoolError, RuntimeError):
    """The pool is closed, or was closed while one waited for a connection or held one."""


class PoolFull(CachePoolError, RuntimeError):
    """As many callers as the pool's `max_waiting` allows wait for a connection already."""


class PoolTimeout(CachePoolError, TimeoutError):
    """No connection came free, or could be opened, in time."""


class QueryTimeout(CachePoolError, TimeoutError):
    """The database did not answer a statement in time; it may have done what was asked."""


class WrongEventLoop(CachePoolError, RuntimeError):
    """The pool was opened on another event loop."""
