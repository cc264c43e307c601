"""Exercise 03-3: a right refresh passes, each common mistake gets its own message."""

import asyncio
import logging
import time
import traceback
from typing import Any

import pytest

from tests.tools.exercise_tools import look_at, message


def warn() -> None:
    logging.getLogger("shop").warning("failed", exc_info=True)


def stale_get(
    *, waits: bool = False, once: Any = "for its key", catches: bool = True, forgets: bool = True,
    stores: bool = True, due: Any = lambda now, expires: now >= expires, holds: bool = True,
    attempts: int = 1, tells: Any = warn,
    failure: Any = Exception, at_the_end: bool = True,
    fresh_until: Any = lambda now, before, expires, ttl: now + ttl,
) -> Any:  # fmt: skip
    """An answer that is right but for what is asked for."""

    async def answer(cache: Any, key: Any, load: Any) -> Any:
        async def refresh() -> None:
            try:
                before = time.monotonic()
                for attempt in range(attempts):
                    try:
                        value = await load()
                        break
                    except ConnectionError:
                        if attempt == attempts - 1:
                            raise
                if stores:
                    until = fresh_until(time.monotonic(), before, expires, cache.ttl)
                    cache.entries[key] = value, until
            except failure:
                if not catches:
                    raise
                tells()
            finally:
                if forgets and at_the_end:
                    cache.refreshes.pop(key, None)
            if forgets:
                cache.refreshes.pop(key, None)

        value, expires = cache.entries[key]
        busy = {"for its key": key in cache.refreshes, "for all": bool(cache.refreshes), "": False}
        if due(time.monotonic(), expires) and not busy[once]:
            task = asyncio.create_task(refresh())
            cache.refreshes[key] = task if holds else True
            if waits:
                await asyncio.wait([task])
        return value

    return answer


async def for_ever(cache: Any, key: Any, load: Any) -> Any:
    """Tries again until it has a page."""

    async def refresh() -> None:
        while True:
            try:
                cache.entries[key] = await load(), time.monotonic() + cache.ttl
                del cache.refreshes[key]
                return
            except Exception:
                warn()

    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        cache.refreshes[key] = asyncio.create_task(refresh())
    return value


async def only_calls(cache: Any, key: Any, load: Any) -> Any:
    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        cache.refreshes[key] = load()
    return value


async def never(cache: Any, key: Any, load: Any) -> Any:
    return cache.entries[key][0]


async def loads_new(cache: Any, key: Any, load: Any) -> Any:
    value, expires = cache.entries[key]
    if time.monotonic() >= expires:
        value = await load()
        cache.entries[key] = value, time.monotonic() + cache.ttl
    return value


async def a_flag_that_stays(cache: Any, key: Any, load: Any) -> Any:
    """Clears its flag only when all went well."""

    async def refresh() -> None:
        try:
            cache.entries[key] = await load(), time.monotonic() + cache.ttl
            del cache.refreshes[key]
        except ConnectionError:
            pass

    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        cache.refreshes[key] = asyncio.create_task(refresh())
    return value


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (loads_new, "The reader waited 200 ms for what was meant for later."),
        (stale_get(waits=True), "The reader waited 200 ms for what was meant for later."),
        (stale_get(once=""), "40 stale hits, 40 loads."),
        (never, "40 stale hits, and no load. Start a task"),
        (only_calls, "40 stale hits, and no load. An `await` is missing"),
        (stale_get(catches=False), "The refresh failed and nobody looked."),
        (stale_get(tells=lambda: None), "The refresh failed, and the log says nothing of it. Log"),
        (
            stale_get(tells=lambda: print("failed")),
            "The refresh failed, and the log says nothing of it. Log it as a warning",
        ),
        (
            stale_get(tells=traceback.print_exc),
            "The refresh failed, and the log says nothing of it. Log it as a warning",
        ),
        (
            stale_get(fresh_until=lambda now, before, expires, ttl: expires + ttl),
            "'new' is fresh for 58.8 s. The ttl begins when the page is there",
        ),
        (
            stale_get(fresh_until=lambda now, before, expires, ttl: before + ttl),
            "'new' is fresh for 59.8 s. The ttl begins when the page is there",
        ),
        (
            stale_get(fresh_until=lambda now, before, expires, ttl: ttl),
            "'new' is fresh for -1.2 s. The ttl begins when the page is there",
        ),
        (
            stale_get(tells=lambda: logging.getLogger("shop").info("failed")),
            "The refresh failed, and said so at the level INFO, which nobody sees. Log it as a w",
        ),
        (stale_get(forgets=False), "1 refresh, and then no more."),
        (stale_get(stores=False), "The refresh is over, and the old page is still there."),
        (stale_get(due=lambda now, expires: True), "A fresh page was loaded again."),
        (
            stale_get(due=lambda now, expires: now > expires),
            "At time.monotonic() == expires the page was taken for a fresh one.",
        ),
        (stale_get(once="for all"), "user:2 was stale, and not refreshed: a refresh of user:1 was"),
        (stale_get(holds=False), "The refresh vanished half-way: nobody held its task."),
        (
            stale_get(failure=BaseException),
            "A refresh was cancelled, and took that for a failure. `except Exception` lets",
        ),
        (
            stale_get(at_the_end=False),
            "A refresh was cancelled, and the page was never refreshed again. Take the key out",
        ),
        (for_ever, "1 reader, and 1,500 attempts while the database is down. No loop"),
        (stale_get(attempts=3), "1 reader, and 3 attempts while the database is down."),
        (a_flag_that_stays, "A refresh failed once, and was never tried again."),
    ],
)
def test_a_wrong_stale_get_is_explained(answer: Any, expected: str) -> None:
    assert message("03-3", answer).startswith(expected)


def test_what_is_told_is_kept_from_the_notebook(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check reads the log, and shows nothing of it."""
    assert look_at("03-3", stale_get()).passed
    assert look_at("03-3", stale_get(tells=lambda: (print("failed"), warn()))).passed
    assert "failed" not in "".join(capsys.readouterr()) + caplog.text


held: set[Any] = set()


async def told_by_a_callback(cache: Any, key: Any, load: Any) -> Any:
    """Holds its tasks in a place of its own, and logs when they are done."""

    async def refresh() -> None:
        cache.entries[key] = await load(), time.monotonic() + cache.ttl

    def done(task: Any) -> None:
        held.discard(task)
        del cache.refreshes[key]
        if not task.cancelled() and task.exception():
            logging.getLogger("shop").error("failed", exc_info=task.exception())

    value, expires = cache.entries[key]
    if time.monotonic() >= expires and key not in cache.refreshes:
        task = asyncio.create_task(refresh())
        held.add(task)
        cache.refreshes[key] = True
        task.add_done_callback(done)
    return value


@pytest.mark.parametrize("answer", [stale_get(), told_by_a_callback])
def test_a_right_stale_get_of_another_kind_passes(answer: Any) -> None:
    assert look_at("03-3", answer).passed
