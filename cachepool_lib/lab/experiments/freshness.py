"""How long readers see the old after a change, on four workers and in steps."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from cachepool_lib.lab.servers.ask import ask
from cachepool_lib.lab.servers.serve import SHOP_SERVICE, serve
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.shop import make_tables

if TYPE_CHECKING:  # charts bring matplotlib, which is slow to import
    from cachepool_lib.lab.charts import Step

USER = 7
HERE, THERE = "Oslo", "Quito"  # nobody else lives there
PAUSE_SECONDS = 0.02  # of a reader, between two visits
HEARD_SECONDS = 0.1  # after a change: then all processes have heard of it


@dataclass(frozen=True, repr=False)
class StaleAfter:
    """What readers saw while somebody wrote; seconds since the start.

    A read is old if it began more than HEARD_SECONDS after a write was answered, and does not show
    what was committed last.
    """

    reads: Sequence[tuple[float, bool]]  # when it began, and whether it was old
    writes: Sequence[float]  # when each was answered
    ttl: float

    @property
    def old(self) -> int:
        """How many reads were old."""
        return sum(old for _, old in self.reads)

    @property
    def old_for(self) -> float:
        """How long after a write its page was still old, at the longest (seconds); 0: never."""
        since = [max((w for w in self.writes if w <= at), default=at) for at, _ in self.reads]
        ages = (at - last for (at, old), last in zip(self.reads, since, strict=True) if old)
        return max(ages, default=0.0)

    def __repr__(self) -> str:
        if not self.old:
            return "never old"
        return f"old for {'nearly the ttl' if self.old_for > self.ttl / 2 else 'a while'}"


async def stale_after(
    move: Callable[..., Awaitable[Any]],
    *,
    of: Literal["page", "list"] = "page",
    ttl: float = 1.0,
    writes: int = 2,
    readers: int = 8,
    workers: int = 4,
    replace: Mapping[str, Any] | None = None,
) -> StaleAfter:
    """Let a user move *writes* times, a ttl apart, while *readers* look at it all the time.

    The service of notebook 05 runs with *move* in the place of its own, and with pages of *ttl*
    seconds; *of* says whether the user's page is read, or the list of a city. A write that fails
    has changed nothing. Takes about writes × ttl seconds.
    """
    path = f"/users/{USER}" if of == "page" else f"/cities/{HERE}"
    reads: list[tuple[float, float, bool]] = []  # began, answered, lives here
    changes: list[tuple[float, float, bool]] = [(0, -HEARD_SECONDS, True)]  # sent, answered, here
    more = {"move": move, "TTL": ttl, "STALE": {}, **(replace or {})}
    async with _lives(HERE), serve(SHOP_SERVICE, workers=workers, replace=more) as service:
        start = time.perf_counter()
        over = asyncio.Event()

        async def reader() -> None:
            while not over.is_set():
                began = time.perf_counter() - start
                body = (await ask(service.url, path)).json()
                here = body["city"] == HERE if of == "page" else bool(body)
                reads.append((began, time.perf_counter() - start, here))
                await asyncio.sleep(PAUSE_SECONDS)

        async def writer() -> None:
            for number in range(writes):
                # The first soon after the first load: what is cached then is old for long.
                await asyncio.sleep(0.1 * ttl if not number else ttl)
                before, sent = changes[-1][2], time.perf_counter() - start
                body = {"city": THERE if before else HERE}
                answer = await ask(service.url, f"/users/{USER}/city", "PUT", body)
                here = before if answer.status >= 400 else not before
                changes.append((sent, time.perf_counter() - start, here))
            await asyncio.sleep(ttl)
            over.set()

        async with asyncio.TaskGroup() as group:
            for _ in range(readers):
                group.create_task(reader())
            group.create_task(writer())
    judged = [(one[0], _old(one, changes)) for one in sorted(reads)]
    return StaleAfter(judged, [answered for _, answered, _ in changes[1:]], ttl)


def _old(read: tuple[float, float, bool], changes: Sequence[tuple[float, float, bool]]) -> bool:
    began, ended, seen = read
    known = [here for _, answered, here in changes if answered + HEARD_SECONDS <= began]
    # Whoever asks while a change is under way may see it, or may not.
    meanwhile = {h for sent, to, h in changes if sent <= ended and to + HEARD_SECONDS > began}
    return seen not in {known[-1], *meanwhile}


@contextlib.asynccontextmanager
async def _lives(city: str) -> AsyncIterator[None]:
    """The user lives in this city; at the end, where they lived before."""
    where = await services()
    await make_tables(where)
    connection = await asyncpg.connect(where.database_url)
    update = "UPDATE users SET city = $2 WHERE id = $1"
    before = await connection.fetchval("SELECT city FROM users WHERE id = $1", USER)
    try:
        await connection.execute(update, USER, city)
        yield
    finally:
        await connection.execute(update, USER, before)
        await connection.close()


@dataclass(frozen=True, repr=False)
class WriteDuringLoad:
    """What happened, in order, when a row changed while a reader was loading it."""

    steps: Sequence[Step]
    old: bool

    def __repr__(self) -> str:
        return "old for the whole ttl" if self.old else "never old"


async def write_during_load(
    read: Callable[[Any, Callable[[], Awaitable[str]]], Coroutine[Any, Any, str]],
    write: Callable[[Any, str], Awaitable[Any]],
) -> WriteDuringLoad:
    """A reader loads the row; meanwhile it changes, and somebody tells the cache; then it is read.

    `read(cache, load)` returns the value of a key of its choice, with `load()` where there is none;
    `write(cache, value)` is called when the row has changed to *value*. The cache is a RedisCache.
    No clock is involved: the reader stores what it has loaded after the write.
    """
    from cachepool_lib import RedisCache
    from cachepool_lib.lab.charts import Step

    row, steps = "old", []
    loading, written = asyncio.Event(), asyncio.Event()

    async def load() -> str:
        value = row
        if not written.is_set():
            steps.append(Step("reader", f"loads {value}"))
            loading.set()
            await written.wait()
        return value

    url, name = (await services()).redis_url, f"steps-{secrets.token_hex(4)}"
    async with RedisCache(url, 60, namespace=name, timeout=2) as cache:
        first = asyncio.create_task(read(cache, load))
        loads = asyncio.create_task(loading.wait())
        await asyncio.wait([first, loads], return_when=asyncio.FIRST_COMPLETED)
        loads.cancel()  # where nothing was loaded
        row = "new"
        steps.append(Step("writer", "changes the row"))
        await write(cache, row)
        steps.append(Step("writer", "tells the cache"))
        written.set()
        await first
        late = await read(cache, load)
        steps.append(Step("reader", "has its page: old"))
        steps.append(Step("next reader", f"sees {late}", wrong=late == "old"))
        await cache.clear()
    return WriteDuringLoad(steps, late == "old")
