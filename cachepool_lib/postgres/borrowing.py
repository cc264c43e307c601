"""What `pool.acquire()` and `pool.transaction()` return: one borrowing, for a block."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import asyncpg

from cachepool_lib.errors import DatabaseUnavailable
from cachepool_lib.postgres.lease import Lease, Line
from cachepool_lib.postgres.session import Session
from cachepool_lib.postgres.stand_in import handed


class Borrowing:
    """Entered with `async with`, it is a connection. *lend* gets that."""

    def __init__(
        self, lend: Callable[[Lease], Awaitable[None]], patience: float, where: Line, **options: Any
    ) -> None:
        self._lend, self._patience, self._where, self._options = lend, patience, where, options
        self._lease: Lease | None = None

    async def __aenter__(self) -> Any:
        if self._lease is not None:
            raise RuntimeError("this connection was borrowed already: call acquire() each time")
        self._lease = Lease(self._patience, self._where, self._begin)
        await self._lend(self._lease)
        return handed(self._lease)

    async def __aexit__(self, *exc: Any) -> None:
        assert self._lease
        await self._lease.release()

    async def _begin(self, lease: Lease) -> None:
        """What comes before the borrower's first statement, on each connection that is lent."""


class Acquired(Borrowing):
    """It may be awaited as well."""

    def __await__(self) -> Generator[Any, None, Any]:
        return self.__aenter__().__await__()


class InTransaction(Borrowing):
    """BEGIN and COMMIT around the block: all of it happens, or nothing.

    There is no ROLLBACK here: the reset, which ends each borrowing, does that in its one trip.
    """

    async def _begin(self, lease: Lease) -> None:
        def begin(session: Session) -> Awaitable[None]:
            session.one_statement = False  # asyncpg takes a BEGIN that was refused for begun
            self._whole = session.raw.transaction(**self._options)
            begun: Awaitable[None] = self._whole.__aenter__()
            return begun

        await lease.call("BEGIN", begin)

    async def __aexit__(self, *exc: Any) -> None:
        lease = self._lease
        assert lease
        try:
            if exc[0] is None:
                if lease.over and lease.ended is None:
                    why = "ended before COMMIT: nothing of the transaction was done"
                    raise DatabaseUnavailable(f"the connection has {why}")
                try:
                    await lease.call("COMMIT", lambda _: self._whole.__aexit__(None, None, None))
                except BaseException as error:
                    # Without an answer nobody knows how the transaction stands.
                    lease.spoiled = not isinstance(error, asyncpg.PostgresError)
                    raise
        finally:
            await lease.release()
