"""What a borrower has in hand: of no use once the connection is given back.

A connection and what it hands out (statements, cursors, transactions) are stand-ins: of subclasses
of asyncpg's classes, so that isinstance holds. Each call on one first looks whether the borrowing
is current, and then goes to asyncpg's own object.
"""

import asyncio
import functools
import inspect
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asyncpg.cursor import Cursor, CursorFactory, CursorIterator
from asyncpg.prepared_stmt import PreparedStatement
from asyncpg.transaction import Transaction

from cachepool_lib.errors import PoolTimeout
from cachepool_lib.postgres.lease import Lease
from cachepool_lib.postgres.session import Hook, Session

_HANDED_OUT = {Cursor, CursorFactory, CursorIterator, PreparedStatement, Transaction}
_SPECIAL = "__aenter__", "__aexit__", "__aiter__", "__anext__"
_CALLBACKS = {
    f"{what}_{whom}"
    for what in ("add", "remove")
    for whom in ("listener", "log_listener", "termination_listener", "query_logger")
}


class _StandIn:
    """What is the same for all classes of asyncpg."""

    def __init__(self, lease: Lease, real: Any = None) -> None:
        self._lease = lease
        self._real = real  # None: the connection that the lease has

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(self._lease.check(name)), name)

    def __repr__(self) -> str:
        return f"<borrowed {self._target(self._lease.check('repr'))!r}>"

    def __del__(self) -> None:
        """Nothing: what asyncpg does here, the real one does."""

    def __await__(self) -> Any:  # of a CursorFactory
        return self._ask("cursor", self._target).__await__()

    def _target(self, session: Session) -> Any:
        return session.raw if self._real is None else self._real

    def _call(
        self, session: Session, name: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if name in _CALLBACKS:
            # After a reset asyncpg would go on to tell of what the next borrower does.
            self._lease.fresh, self._lease.spoiled = False, True
            if "callback" in options:
                options["callback"] = self._told(session, options["callback"])
            else:
                args = (*args[:-1], self._told(session, args[-1]))
        return getattr(self._target(session), name)(*args, **options)

    async def _ask(
        self, name: str, ask: Callable[[Session], Awaitable[Any]], seconds: float | None = None
    ) -> Any:
        return self._hand(await self._lease.call(name, ask, seconds))

    def _told(self, session: Session, callback: Any) -> Any:
        """For asyncpg to call: *callback*, with the connection as the borrower has it."""
        lease, raw = self._lease, session.raw

        async def later(*args: Any) -> None:
            if lease.session is not None:
                await callback(*(self if each is raw else each for each in args))

        def now(*args: Any) -> None:
            if lease.session is not None:
                callback(*(self if each is raw else each for each in args))

        told = later if inspect.iscoroutinefunction(callback) else now
        return lease.callbacks.setdefault(callback, told)

    def _hand(self, result: Any) -> Any:
        """*result*, or a stand-in for it where it goes on using the connection."""
        kind: Any = type(result)
        return _stand_in(kind)(self._lease, result) if kind in _HANDED_OUT else result


def handed(lease: Lease) -> Any:
    """The connection of *lease*, for who has borrowed it."""
    session = lease.check("acquire")
    session.one_statement = False
    kind: Any = type(session.raw)
    return _stand_in(kind)(lease)


async def set_up(lease: Lease, setup: Hook) -> None:
    """Call the user's hook, in what is left of the time that *lease* has to get a connection."""
    limit = asyncio.timeout(lease.asked + lease.patience - time.monotonic())
    try:
        async with limit:
            await setup(handed(lease))
    except TimeoutError:
        if not limit.expired():
            raise
        text = f"no connection within {lease.patience:g} s: `setup` took longer"
        raise PoolTimeout(text) from None


def lease_of(connection: object) -> Lease:
    """The borrowing that *connection* belongs to."""
    if not isinstance(connection, _StandIn):
        raise TypeError(f"{connection!r} was not borrowed from a pool")
    return connection._lease


@functools.lru_cache(maxsize=64)
def _stand_in(kind: Any) -> Callable[..., Any]:
    """The class of stand-ins for objects of *kind*."""
    members = {}
    for name in dir(kind):
        function = inspect.getattr_static(kind, name)
        if (name in _SPECIAL or not name.startswith("_")) and inspect.isfunction(function):
            members[name] = _method(name, function)
    return type(kind.__name__, (_StandIn, kind), members)


def _method(name: str, function: Any) -> Any:
    def now(self: Any, *args: Any, **options: Any) -> Any:
        return self._hand(self._call(self._lease.check(name), name, args, options))

    async def later(self: Any, *args: Any, **options: Any) -> Any:
        if name == "__aexit__" and args[0] is not None and self._lease.over:
            return None  # a transaction without its connection: the block's own error says more
        seconds = None if options.get("timeout") is None else math.inf  # asyncpg looks to it
        return await self._ask(
            name, lambda session: self._call(session, name, args, options), seconds
        )

    asks = inspect.iscoroutinefunction(inspect.unwrap(function))
    return functools.wraps(function)(later if asks else now)
