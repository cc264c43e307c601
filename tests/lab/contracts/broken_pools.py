"""DatabasePool, broken by hand: for each promise two versions that do not keep it.

Each changes what is public, so that it says nothing of how the pool is made.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import asyncpg

from cachepool_lib import DatabasePool, PoolClosed, PoolTimeout

made: list[DatabasePool] = []  # some of these forget to close
opened: list[Any] = []  # connections that no pool knows of
BROKEN: dict[str, list[type]] = {}


def breaks(*names: str) -> Callable[[type], type]:
    """Note that the class does not keep these promises."""

    def note(kind: type) -> type:
        for name in names:
            BROKEN.setdefault(name, []).append(kind)
        return kind

    return note


class Pool(DatabasePool):
    def __init__(
        self,
        database_url: str,
        min_size: int = 10,
        max_size: int = 20,
        *,
        acquire_timeout: float = 10,
        max_waiting: int | None = None,
        command_timeout: float | None = 30,
        **connect_options: Any,
    ) -> None:
        super().__init__(
            database_url,
            min_size,
            max_size,
            acquire_timeout=acquire_timeout,
            max_waiting=max_waiting,
            command_timeout=command_timeout,
            **connect_options,
        )

        async def connect() -> Any:
            opened.append(await asyncpg.connect(database_url))
            return opened[-1]

        self.connect = connect
        self.another = lambda: asyncpg.create_pool(database_url, min_size=2, max_size=2)
        made.append(self)


async def end_all() -> None:
    """Close what a broken class has left open."""
    while opened:
        opened.pop().terminate()
    while made:
        await DatabasePool.close(made.pop(), timeout=0)


def with_options(**fixed: Any) -> type:
    """A pool that takes no notice of some options."""

    class Deaf(Pool):
        def __init__(
            self,
            database_url: str,
            min_size: int = 10,
            max_size: int = 20,
            *,
            acquire_timeout: float = 10,
            max_waiting: int | None = None,
            command_timeout: float | None = 30,
            **connect_options: Any,
        ) -> None:
            given = {
                "max_size": max_size,
                "acquire_timeout": acquire_timeout,
                "max_waiting": max_waiting,
                "command_timeout": command_timeout,
            }
            super().__init__(database_url, min_size, **{**given, **fixed, **connect_options})

    return Deaf


breaks("P3", "P4")(with_options(acquire_timeout=100))
breaks("P18")(with_options(command_timeout=None))
breaks("P18")(with_options(command_timeout=5))
breaks("P19")(with_options(max_waiting=None))
breaks("P19")(with_options(max_waiting=3))


# -- opening and closing --------------------------------------------------------------------------


@breaks("P1")
class OpensAnother(Pool):
    other: Any = None

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        if self.other is None:
            self.other = await self.connect()
        return await super().fetch(query, *args, **options)


@breaks("P1", "P5", "P16")
class ForgetsToClose(Pool):
    async def close(self, timeout: Any = 10) -> None:  # noqa: ASYNC109
        pass


@breaks("P2")
class ConnectsEachTime(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        own = await self.connect()
        try:
            await asyncio.sleep(0.2)  # all are there
            return await own.fetch(query, *args)
        finally:
            await own.close()


@breaks("P2")
class OpensAPoolForEach(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        async with self.another() as own:
            return await own.fetch(query, *args)


@breaks("P5")
class ClosesWithoutALimit(Pool):
    async def close(self, timeout: Any = 10) -> None:  # noqa: ASYNC109
        await super().close(100)


@breaks("P6")
class OpensByItself(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        try:
            return await super().fetch(query, *args, **options)
        except PoolClosed:
            await self.initialize()
            return await super().fetch(query, *args, **options)


@breaks("P6")
class SaysNothing(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        try:
            return await super().fetch(query, *args, **options)
        except PoolClosed:
            raise RuntimeError("no connection") from None


class Queued(Pool):
    """With a queue of its own in front; *pick* says who of those who wait is next."""

    def __init__(self, database_url: str, min_size: int = 10, max_size: int = 20, **options: Any):
        super().__init__(database_url, min_size, max_size, **options)
        self.free, self.queue = max_size, list[asyncio.Future[None]]()

    def pick(self) -> int:
        raise NotImplementedError

    @asynccontextmanager
    async def acquire(self, timeout: Any = None) -> AsyncIterator[Any]:  # type: ignore[override]  # noqa: ASYNC109
        if self.free:
            self.free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self.queue.append(turn)
            await turn
        try:
            async with super().acquire() as connection:
                yield connection
        finally:
            if self.queue:
                self.queue.pop(self.pick()).set_result(None)
            else:
                self.free += 1


@breaks("P13")
class TheLastFirst(Queued):
    def pick(self) -> int:
        return -1


@breaks("P13", "P7")
class TheSecondFirst(Queued):
    """Its queue hears nothing of a close either: who waits there is told by whom it serves."""

    def pick(self) -> int:
        return min(1, len(self.queue) - 1)

    async def close(self, timeout: Any = 10) -> None:  # noqa: ASYNC109
        while self.queue:
            await asyncio.sleep(0.01)
        await super().close(timeout)


@breaks("P7")
class TellsSomethingElse(Pool):
    @asynccontextmanager
    async def acquire(self, timeout: Any = None) -> AsyncIterator[Any]:  # type: ignore[override]  # noqa: ASYNC109
        try:
            async with super().acquire() as connection:
                yield connection
        except PoolClosed:
            raise asyncpg.InterfaceError("pool is closing") from None


@breaks("P10")
class MendsSizes(Pool):
    def __init__(self, database_url: str, min_size: int = 10, max_size: int = 20, **options: Any):
        low = max(0, min_size)
        super().__init__(database_url, low, max(1, low, max_size), **options)


@breaks("P10")
class LooksAtOneSize(Pool):
    def __init__(self, database_url: str, min_size: int = 10, max_size: int = 20, **options: Any):
        super().__init__(database_url, min(min_size, max_size), max_size, **options)


@breaks("P16")
class ClosesOnlyWhenAllIsWell(Pool):
    async def __aexit__(self, *exc: Any) -> None:
        if exc[0] is None:
            await super().__aexit__(*exc)


@breaks("P21")
class LogsNothing(Pool):
    async def close(self, timeout: Any = 10) -> None:  # noqa: ASYNC109
        logger = logging.getLogger("cachepool_lib")
        logger.disabled = True
        try:
            await super().close(timeout)
        finally:
            logger.disabled = False


@breaks("P21")
class BorrowsInATaskOfItsOwn(Pool):
    @asynccontextmanager
    async def acquire(self, timeout: Any = None) -> AsyncIterator[Any]:  # type: ignore[override]  # noqa: ASYNC109
        context = super().acquire()
        connection = await asyncio.create_task(context.__aenter__(), name="helper")  # type: ignore[arg-type]
        try:
            yield connection
        finally:
            await context.__aexit__(None, None, None)


# -- borrowing ------------------------------------------------------------------------------------


@breaks("P3")
class TwoLimitsInARow(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        with contextlib.suppress(PoolTimeout):
            return await super().fetch(query, *args, **options)
        return await super().fetch(query, *args, **options)


@breaks("P4")
class GivesUpForGood(Pool):
    gone = False

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        if self.gone:
            raise RuntimeError("out of order")
        try:
            return await super().fetch(query, *args, **options)
        except PoolTimeout:
            self.gone = True
            raise


@breaks("P5-cancel")
class ForgetsTheCancelled(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        context = self.acquire()
        connection = await context.__aenter__()
        rows = await connection.fetch(query, *args)
        await context.__aexit__(None, None, None)
        return rows


@breaks("P5-cancel")
class RunsOn(Pool):
    """The statement of who is cancelled runs to its end."""

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        call = asyncio.ensure_future(super().fetch(query, *args, **options))
        call.add_done_callback(lambda call: call.cancelled() or call.exception())
        return await asyncio.shield(call)


@breaks("P8")
class WaitsForTheAnswer(Pool):
    """Also when its caller is cancelled."""

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        call = asyncio.ensure_future(super().fetch(query, *args, **options))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await asyncio.wait([call], timeout=3)
            call.cancel()
            raise


@breaks("P8")
class BrokenBySilence(Pool):
    """Whose caller is told in time, and nobody after that."""

    silent = False

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        if self.silent:
            raise RuntimeError("out of order")
        try:
            return await super().fetch(query, *args, **options)
        except asyncio.CancelledError:
            self.silent = True
            raise


@breaks("P5-after", "P5-reset", "P22")
class LendsItsOwn(Pool):
    own: Any = None

    @asynccontextmanager
    async def acquire(self, timeout: Any = None) -> AsyncIterator[Any]:  # type: ignore[override]  # noqa: ASYNC109
        if self.own is None:
            self.own = await self.connect()
        yield self.own

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def close(self, timeout: Any = 10) -> None:  # noqa: ASYNC109
        if self.own:
            await self.own.close()
        await super().close(timeout)


@breaks("P5-after")
class LendsItsOwnAfterwards(Pool):
    """The statement is refused, and the connection is not."""

    @asynccontextmanager
    async def acquire(self, timeout: Any = None) -> AsyncIterator[Any]:  # type: ignore[override]  # noqa: ASYNC109
        async with super().acquire() as connection:
            yield SimpleNamespace(prepare=connection.prepare, fetch=self.fetch)


@breaks("P5-reset")
class SetsWhatItLikes(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        async with self.acquire() as connection:
            await connection.execute("SET statement_timeout = 12345")
            return await connection.fetch(query, *args)


@breaks("P9")
class AsksAfterwards(Pool):
    """Whether the connection is still there: that is no business of the page."""

    @asynccontextmanager
    async def acquire(self, timeout: Any = None) -> AsyncIterator[Any]:  # type: ignore[override]  # noqa: ASYNC109
        async with super().acquire() as connection:
            yield connection
            await connection.fetch("SELECT 1")


@breaks("P9")
class KeepsOneBeside(Pool):
    """And does not look whether it is still there."""

    number = 1

    async def initialize(self) -> None:
        await super().initialize()
        self.beside = [await self.connect() for _ in range(self.number)]

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        if not self.beside:
            return await super().fetch(query, *args, **options)
        return await self.beside.pop().fetch(query, *args)


@breaks("P9")
class KeepsTwoBeside(KeepsOneBeside):
    number = 2


@breaks("P11")
class NoTransaction(Pool):
    def transaction(self, *args: Any, **options: Any) -> Any:
        return self.acquire()


@breaks("P11")
class AConnectionForEach(Pool):
    @asynccontextmanager
    async def transaction(self, *args: Any, **options: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        yield self


@breaks("P12")
class CountsNobodyWhoWaits(Pool):
    def stats(self) -> Any:
        return replace(super().stats(), waiting=0)


@breaks("P12")
class CountsForEver(Pool):
    """Also who has given back."""

    def stats(self) -> Any:
        now = super().stats()
        return replace(now, in_use=max(1, now.in_use))


@breaks("P14")
class TellsAnotherCause(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        try:
            return await super().fetch(query, *args, **options)
        except RuntimeError:
            raise ConnectionError("the server is gone") from None


@breaks("P14")
class ConnectsOnTheOther(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        own = await self.connect()
        try:
            return await own.fetch(query, *args)
        finally:
            await own.close()


@breaks("P15")
class KeepsTheAddress(Pool):
    def __init__(self, database_url: str, *args: Any, **options: Any) -> None:
        super().__init__(database_url, *args, **options)
        self.address = database_url


@breaks("P15")
class ShowsTheAddress(Pool):
    def __repr__(self) -> str:
        return f"<pool of {self.shown()}>"

    def __init__(self, database_url: str, *args: Any, **options: Any) -> None:
        super().__init__(database_url, *args, **options)
        self.shown = lambda: database_url


@breaks("P17")
class GivesTuples(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        return [tuple(row) for row in await super().fetch(query, *args, **options)]


@breaks("P17")
class GivesBytes(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        rows = await super().fetch(query, *args, **options)
        return [{name: str(value).encode() for name, value in row.items()} for row in rows]


@breaks("P20")
class MeasuresNoHolds(Pool):
    def stats(self) -> Any:
        return replace(super().stats(), hold_p99=0.0)


@breaks("P20")
class MeasuresNothing(Pool):
    def stats(self) -> Any:
        now = super().stats()
        return SimpleNamespace(in_use=now.in_use, waiting=now.waiting)


@breaks("P22")
class LeavesATable(Pool):
    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        async with self.acquire() as connection:
            await connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS basket (n int)")
            return await connection.fetch(query, *args)
