"""Feedback on exercise 03-3: refresh behind the reader's back, once a key."""

import asyncio
import contextlib
import gc
import io
import logging
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


class OldPages:
    """What stale_get is given: two pages, and how long they are fresh (seconds)."""

    def __init__(self, fresh_for: float) -> None:
        self.ttl = 60
        old = "old", clock() + fresh_for
        self.entries = {"user:1": old, "user:2": old}
        self.refreshes: dict[Any, Any] = {}


class _Heard(logging.Handler):
    """Keeps what is logged, at any level."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.append(record.levelno)


@contextlib.contextmanager
def _hearing() -> Iterator[_Heard]:
    """Hear what is logged in this block, at any level, and show nothing that is printed in it."""
    heard, root = _Heard(), logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.setLevel(logging.DEBUG)
    root.handlers[:] = [heard]
    try:
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            yield heard
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@exercise("03-3", "Refresh behind the reader's back, once")
async def stale_get(answer: Any) -> str:
    unseen: list[Any] = []
    handler = lambda _, context: unseen.append(context)  # noqa: E731
    asyncio.get_running_loop().set_exception_handler(handler)

    async def read(cache: OldPages, load: Any, expected: str = "old", key: str = "user:1") -> None:
        start = clock()
        value = await answer(cache, key, load)
        if clock() > start:
            raise Unmet(
                expected=f"{expected!r}, at once",
                got=f"The reader waited {1000 * (clock() - start):.0f} ms for what was meant for "
                "later.",
                hint="Start a task that loads and stores, and return what is at hand.",
            )
        if value != expected:
            raise Unmet(expected=repr(expected), got=f"The reader got {value!r}.")

    await _one_refresh(read)
    await _one_refresh_a_key(read)
    await _from_the_moment_itself(read)
    await _a_task_that_stays(read)
    with _hearing() as heard:
        await _tries_again(read)
        gc.collect()
    if unseen:
        raise Unmet(
            expected="somebody who hears that the refresh failed",
            got="The refresh failed and nobody looked.",
            hint="Inside the task: try, except Exception, and log it.",
        )
    if not any(level >= logging.WARNING for level in heard.levels):
        got = "The refresh failed, and the log says nothing of it."
        if heard.levels:
            level = logging.getLevelName(max(heard.levels))
            got = f"The refresh failed, and said so at the level {level}, which nobody sees."
        raise Unmet(
            expected="somebody who hears that the refresh failed",
            got=got,
            hint='Log it as a warning: logging.getLogger("shop").warning("...: %r", error).',
        )
    with _hearing():
        await _a_task_that_is_cancelled(read)
    return "fresh, stale, forty at once, two keys, a failure, a cancellation"


Read = Callable[..., Coroutine[Any, Any, None]]


async def _one_refresh(read: Read) -> None:
    cache, source = OldPages(fresh_for=60), Source("new", seconds=0.2)
    await read(cache, source.load)
    await asyncio.sleep(1)
    if source.loads:
        raise Unmet(
            expected="no load: the page is fresh",
            got="A fresh page was loaded again.",
            hint="It is fresh while time.monotonic() < expires.",
        )
    await asyncio.sleep(60)
    stored_at = clock() + source.seconds
    for _ in range(40):
        await read(cache, source.load)
        await asyncio.sleep(0.001)
    if not source.loads:
        raise Unmet(
            expected="1 load for 40 stale hits",
            got="40 stale hits, and no load.",
            hint="Start a task with asyncio.create_task; in it, await load().",
        )
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 40 stale hits",
            got=f"40 stale hits, {source.loads} loads.",
            hint="Note in cache.refreshes which key is being refreshed, and look there first.",
        )
    await asyncio.sleep(1)
    if cache.entries["user:1"][0] != "new":
        raise Unmet(
            expected="'new' in cache.entries",
            got="The refresh is over, and the old page is still there.",
            hint="Store the pair: the value, and time.monotonic() + cache.ttl.",
        )
    fresh_for = cache.entries["user:1"][1] - stored_at
    if abs(fresh_for - cache.ttl) > 0.001:
        raise Unmet(
            expected=f"'new', fresh for {cache.ttl} s from the moment when it is stored",
            got=f"'new' is fresh for {fresh_for:g} s.",
            hint="The ttl begins when the page is there: time.monotonic() + cache.ttl, after the "
            "load.",
        )
    await asyncio.sleep(61)
    await read(cache, source.load, "new")
    await asyncio.sleep(1)
    if source.loads < 2:
        raise Unmet(
            expected="another refresh, now that the page has expired again",
            got="1 refresh, and then no more.",
            hint="When the refresh ends, well or not, take its key out of cache.refreshes.",
        )


async def _one_refresh_a_key(read: Read) -> None:
    cache, one, two = OldPages(fresh_for=-1), Source("new"), Source("new, too")
    await read(cache, one.load)
    await asyncio.sleep(0.01)
    await read(cache, two.load, key="user:2")
    await asyncio.sleep(1)
    if (one.loads, two.loads) != (1, 1):
        raise Unmet(
            expected="2 refreshes for 2 keys, at the same time",
            got="user:2 was stale, and not refreshed: a refresh of user:1 was under way.",
            hint="One refresh a key: look whether the key is in cache.refreshes.",
        )
    if (pages := [value for value, _ in cache.entries.values()]) != ["new", "new, too"]:
        raise Unmet(expected="'new' and 'new, too', each in its entry", got=f"{pages}.")


async def _from_the_moment_itself(read: Read) -> None:
    cache, source = OldPages(fresh_for=0), Source("new")
    await read(cache, source.load)
    await asyncio.sleep(1)
    if not source.loads:
        raise Unmet(
            expected="a refresh at the very moment when the page expires",
            got="At time.monotonic() == expires the page was taken for a fresh one.",
            hint="Fresh means now < expires: at the moment itself its time is over, so `>=`.",
        )


async def _a_task_that_stays(read: Read) -> None:
    """A load that waits for an answer that nobody but its own task holds on to."""
    cache, answers = OldPages(fresh_for=-1), weakref.WeakSet[Any]()

    async def load() -> Any:
        answers.add(page := asyncio.get_running_loop().create_future())
        return await page

    await read(cache, load)
    await asyncio.sleep(0.01)
    gc.collect()
    if not answers:
        raise Unmet(
            expected="a refresh that goes on until it is done",
            got="The refresh vanished half-way: nobody held its task.",
            hint="A loop forgets a task that nobody holds. "
            "Keep it: cache.refreshes[key] = asyncio.create_task(...).",
        )
    for page in answers:
        page.set_result("new")
    await asyncio.sleep(1)


async def _a_task_that_is_cancelled(read: Read) -> None:
    """As when the loop is about to close. What waits for it must not be told that it went well."""
    cache, loads, others = OldPages(fresh_for=-1), 0, asyncio.all_tasks()

    async def load() -> Any:
        nonlocal loads
        loads += 1
        await asyncio.sleep(1)

    for reader in (1, 2):
        await read(cache, load)
        await asyncio.sleep(0.01)
        if loads < reader:
            raise Unmet(
                expected="another attempt when the next reader comes",
                got="A refresh was cancelled, and the page was never refreshed again.",
                hint="Take the key out of cache.refreshes in `finally`: it always runs.",
            )
        refreshes = asyncio.all_tasks() - others
        for task in refreshes:
            task.cancel()
        await asyncio.wait(refreshes)
        if not all(task.cancelled() for task in refreshes):
            raise Unmet(
                expected="a refresh that ends when it is cancelled, and says so",
                got="A refresh was cancelled, and took that for a failure.",
                hint="`except Exception` lets a cancellation pass.",
            )


async def _tries_again(read: Read) -> None:
    cache, source = OldPages(fresh_for=-1), Source(ConnectionError("down"))
    for reader in (1, 2):
        await read(cache, source.load)
        await asyncio.sleep(30)
        if source.loads < reader:
            raise Unmet(
                expected="another attempt when the next reader comes",
                got="A refresh failed once, and was never tried again.",
                hint="When the refresh ends, well or not, take its key out of cache.refreshes.",
            )
        if source.loads > reader:
            raise Unmet(
                expected="1 attempt for 1 reader",
                got=f"1 reader, and {source.loads - reader + 1:,} attempts while the database is "
                "down.",
                hint="No loop: log the failure, and let the next reader try again.",
            )
    cache.refreshes.clear()
