"""One statement at a time, each on a connection that is borrowed for it."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cachepool_lib._validate import Seconds, span
from cachepool_lib.postgres.lease import Lease, Line, caller
from cachepool_lib.postgres.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


# It returns a coroutine, and has noted who called it, which none could. Python 3.11 has no mark.
_coroutine: Callable[[F], F] = getattr(inspect, "markcoroutinefunction", lambda function: function)


def _passed_on(method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    def call(
        self: "Statements", *args: Any, timeout: Seconds | None = None, **options: Any
    ) -> Coroutine[Any, Any, Any]:
        return self._run(caller(), method, timeout, *args, **options)

    call.__name__ = method
    call.__doc__ = f"As {method} of asyncpg's connection, which says more; otherwise as `fetch`."
    return _coroutine(call)


class Statements:
    """The methods of a pool that borrow, ask, and give back. Each notes who called it."""

    _settings: Settings

    async def _lend(self, lease: Lease) -> None:
        raise NotImplementedError

    @_coroutine
    def fetch(
        self, query: str, *args: Any, timeout: Seconds | None = None, record_class: Any = None
    ) -> Coroutine[Any, Any, list[Any]]:
        """The rows of a query, as records of asyncpg: `dict(row)` can be cached.

        It does not wait for its connection to be reset, unless others wait for one: that goes on
        meanwhile, for 0.25 s at most. *timeout* is for the statement, in seconds; None is the
        pool's command_timeout. Raises QueryTimeout if it takes longer, and what `acquire` raises.
        Errors of the statement itself are asyncpg's; one that says that the connection ended has a
        note: the statement may have been done, or not.
        """
        return self._run(caller(), "fetch", timeout, query, *args, record_class=record_class)

    @_coroutine
    def fetchrow(
        self, query: str, *args: Any, timeout: Seconds | None = None, record_class: Any = None
    ) -> Coroutine[Any, Any, Any]:
        """The first row of a query, None if there is none; as `fetch`."""
        return self._run(caller(), "fetchrow", timeout, query, *args, record_class=record_class)

    @_coroutine
    def fetchval(
        self, query: str, *args: Any, column: int | str = 0, timeout: Seconds | None = None
    ) -> Coroutine[Any, Any, Any]:
        """A value of the first row, of its first *column*; None if there is none; as `fetch`."""
        return self._run(caller(), "fetchval", timeout, query, *args, column=column)

    @_coroutine
    def execute(
        self, query: str, *args: Any, timeout: Seconds | None = None
    ) -> Coroutine[Any, Any, str]:
        """Run a statement, or several without *args*; what the server says, such as "UPDATE 1"."""
        return self._run(caller(), "execute", timeout, query, *args)

    fetchmany = _passed_on("fetchmany")
    executemany = _passed_on("executemany")
    copy_from_table = _passed_on("copy_from_table")
    copy_from_query = _passed_on("copy_from_query")
    copy_to_table = _passed_on("copy_to_table")
    copy_records_to_table = _passed_on("copy_records_to_table")

    async def _run(
        self, where: Line, method: str, timeout: Seconds | None, *args: Any, **options: Any
    ) -> Any:
        seconds = None if timeout is None else span("timeout", timeout)
        lease = Lease(self._settings.acquire_timeout, where)
        await self._lend(lease)
        try:
            answer = await lease.call(
                method, lambda session: getattr(session.raw, method)(*args, **options), seconds
            )
        except BaseException:
            await lease.release()
            raise
        await lease.release(wait=False)
        return answer
