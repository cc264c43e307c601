"""Opening connections: as many at once as are missing, and again where it failed."""

import asyncio
import math
import random
import time
from collections.abc import Callable

import asyncpg

from cachepool_lib.errors import DatabaseUnavailable
from cachepool_lib.postgres.session import Backend, Session
from cachepool_lib.postgres.settings import Settings

# From a failure to the next attempt, in seconds: while somebody waits, and while nobody does.
URGENT_PAUSE, PAUSE = 0.05, 0.5
_TEMPORARY = "08", "53", "57"  # SQLSTATE: lost, too many, starting up or shutting down
_FAILED: tuple[type[Exception], ...] = (
    OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
)  # fmt: skip
_SETTING = asyncpg.ClientConfigurationError


class Openings:
    """The attempts under way. Each is a task of its own, and ends after acquire_timeout.

    *ended* is called at the end of each, with what came of it: a session, an error, or None if it
    was cancelled; *again* is called when more may be begun.
    """

    def __init__(
        self,
        settings: Settings,
        lost: list[Backend],
        ended: Callable[[Session | BaseException | None], None],
        again: Callable[[], None],
    ) -> None:
        self.failure: BaseException | None = None  # of the last attempt, if it failed
        self.failed_at = -math.inf
        self._settings, self._lost = settings, lost
        self._ended, self._again = ended, again
        self._tasks: set[asyncio.Task[Session]] = set()
        self._looks = math.inf  # when *again* is called

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, missing: int, urgent: bool) -> None:
        """Begin to open *missing* more; after a failure one at a time, and not at once."""
        failure = self.failure
        troubled = failure is not None and (is_temporary(failure) or not urgent)
        if troubled or self._lost:  # the first one ends what the lost ones have left
            missing = min(missing, 1 - len(self._tasks))
        if troubled and missing > 0:
            pause = self.failed_at + (URGENT_PAUSE if urgent else PAUSE) - time.monotonic()
            if pause > 0:
                self.look_again(pause)
                return
        for _ in range(missing):
            task = asyncio.get_running_loop().create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def look_again(self, pause: float = URGENT_PAUSE) -> None:
        """Call *again* in so many seconds, or before.

        By a timer: a task that is left where a program ends is complained about.
        """
        now = time.monotonic()
        if now + pause < self._looks:
            self._looks = now + pause
            asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        self._looks = math.inf
        self._again()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _open(self) -> Session:
        session: Session | None = None
        began, hook = time.monotonic(), False
        lifetime = self._settings.max_lifetime * random.uniform(0.9, 1)  # not all at one moment
        async with asyncio.timeout(self._settings.acquire_timeout):
            try:
                session = Session(await self._settings.connect(), began, lifetime)
                await session.identify(prepares=self._settings.prepares)
                if self._lost:
                    await session.stop(self._lost)
                if self._settings.init is not None:
                    hook = True
                    await self._settings.init(session.raw)
                return session
            except BaseException as error:
                kinds = _FAILED
                if session is not None:
                    if hook:  # what it raises is its own, unless the connection has ended
                        kinds = (Exception,) if session.over else ()
                    session.terminate()
                if isinstance(error, kinds) and not isinstance(error, _SETTING):
                    raise unavailable(error) from error
                raise

    def _done(self, task: asyncio.Task[Session]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._ended(None)
            return
        self.failure = task.exception()
        if self.failure is not None:
            self.failed_at = time.monotonic()
        self._ended(self.failure or task.result())


def is_temporary(error: BaseException) -> bool:
    """May the next attempt succeed, though nobody does anything about *error*?"""
    cause = error.__cause__ if isinstance(error, DatabaseUnavailable) else error
    if isinstance(cause, asyncpg.PostgresError):
        return str(cause.sqlstate).startswith(_TEMPORARY)
    return isinstance(cause, _FAILED)


def unavailable(cause: BaseException | None) -> DatabaseUnavailable:
    why = str(cause) or "no answer in time"
    error = DatabaseUnavailable(f"can't connect to the database: {type(cause).__name__}: {why}")
    error.__cause__ = cause
    return error


def again(error: BaseException) -> BaseException:
    """For another caller one of its own: what is raised grows a traceback."""
    return unavailable(error.__cause__) if isinstance(error, DatabaseUnavailable) else error
