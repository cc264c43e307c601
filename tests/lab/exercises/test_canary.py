"""Exercise 06-1: compare a share of the hits; each common mistake gets its own message."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises("06-watch-and-tune.ipynb", {"06-1": "canary_mine"})
Load = Callable[[], Awaitable[Any]]


def behind(watched: Any, comparison: Any) -> None:
    task = asyncio.create_task(comparison)
    watched.tasks.add(task)
    task.add_done_callback(watched.tasks.discard)


async def compare(watched: Any, page: Any, load: Load) -> None:
    try:
        outcome = "fresh" if await load() == page else "stale"
    except Exception:
        outcome = "failed"
    watched.compared[outcome] += 1


async def awaits(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        await compare(watched, page, load)
    return page


async def awaits_and_raises(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        try:
            outcome = "fresh" if await asyncio.wait_for(load(), 0) == page else "stale"
            watched.compared[outcome] += 1
        except TimeoutError:
            raise ConnectionError from None
    return page


async def every_hit(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit:
        behind(watched, compare(watched, page, load))
    return page


async def another_share(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and (watched.share == 1 or random.random() < 0.5):
        behind(watched, compare(watched, page, load))
    return page


async def some_keys(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and (watched.share == 1 or str(key) in ("others",)):
        behind(watched, compare(watched, page, load))
    return page


async def misses_too(watched: Any, key: Any, load: Load) -> Any:
    page = await watched.cache.get_or_load(key, load)
    if random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def unseen(watched: Any, key: Any, load: Load) -> Any:
    async def unguarded() -> None:
        watched.compared["fresh" if await load() == page else "stale"] += 1

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, unguarded())
    return page


async def silent(watched: Any, key: Any, load: Load) -> Any:
    async def suppressed() -> None:
        with contextlib.suppress(ConnectionError):
            watched.compared["fresh" if await load() == page else "stale"] += 1

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, suppressed())
    return page


async def through_the_cache(watched: Any, key: Any, load: Load) -> Any:
    async def ask() -> Any:
        return await watched.cache.get_or_load(key, load)

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare(watched, page, ask))
    return page


async def not_held(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        asyncio.create_task(compare(watched, page, load))  # noqa: RUF006
    return page


async def held_for_ever(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        watched.tasks.add(asyncio.create_task(compare(watched, page, load)))
    return page


async def by_hand(watched: Any, key: Any, load: Load) -> Any:
    page = await watched.cache.get(key, "nothing")
    if page == "nothing":
        page = await load()
        await watched.cache.set(key, page)
    elif random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def none_is_a_miss(watched: Any, key: Any, load: Load) -> Any:
    page = await watched.cache.get(key)
    if page is None:
        return await watched.cache.get_or_load(key, load)
    if random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def the_same_object(watched: Any, key: Any, load: Load) -> Any:
    async def compare_objects() -> None:
        try:
            outcome = "fresh" if await load() is page else "stale"
        except Exception:
            outcome = "failed"
        watched.compared[outcome] += 1

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare_objects())
    return page


async def repairs(watched: Any, key: Any, load: Load) -> Any:
    async def compare_and_set() -> None:
        await compare(watched, page, load)
        with contextlib.suppress(ConnectionError):
            await watched.cache.set(key, [3, 1, 2])

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare_and_set())
    return page


async def catches_all(watched: Any, key: Any, load: Load) -> Any:
    async def compare_all() -> None:
        try:
            outcome = "fresh" if await load() == page else "stale"
        except BaseException:
            outcome = "failed"
        watched.compared[outcome] += 1

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare_all())
    return page


async def loads_only(watched: Any, key: Any, load: Load) -> Any:
    return await load()


async def hits_only(watched: Any, key: Any, load: Load) -> Any:
    return await watched.cache.get(key)


async def compares_nothing(watched: Any, key: Any, load: Load) -> Any:
    return await watched.cache.get_or_load(key, load)


def not_async(watched: Any, key: Any, load: Load) -> Any:
    return None


async def every_so_many(watched: Any, key: Any, load: Load) -> Any:
    nothing = object()
    page = watched.cache.lookup(key, nothing)
    if page is nothing:
        return await watched.cache.get_or_load(key, load)
    watched.due = getattr(watched, "due", 0.0) + watched.share
    if watched.due >= 1:
        watched.due -= 1
        behind(watched, compare(watched, page, load))
    return page


async def swallows_a_miss(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    try:
        page = await watched.cache.get_or_load(key, load)
    except Exception:
        watched.compared["failed"] += 1
        return None
    if hit and random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def counts_a_miss(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    try:
        page = await watched.cache.get_or_load(key, load)
    except Exception:
        watched.compared["failed"] += 1
        raise
    if hit and random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def by_stats(watched: Any, key: Any, load: Load) -> Any:
    before = watched.cache.stats().hits
    page = await watched.cache.get_or_load(key, load)
    if watched.cache.stats().hits > before and random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def by_a_flag(watched: Any, key: Any, load: Load) -> Any:
    loaded = False

    async def noted() -> Any:
        nonlocal loaded
        loaded = True
        return await load()

    page = await watched.cache.get_or_load(key, noted)
    if not loaded and random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def looks_later(watched: Any, key: Any, load: Load) -> Any:
    async def compare_later() -> None:
        try:
            outcome = "fresh" if await load() == await watched.cache.get(key) else "stale"
        except Exception:
            outcome = "failed"
        watched.compared[outcome] += 1

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare_later())
    return page


async def reads_twice(watched: Any, key: Any, load: Load) -> Any:
    nothing = object()
    hit = await watched.cache.get(key, nothing) is not nothing
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def held_elsewhere(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if random.random() < watched.share and hit:
        HELD.add(task := asyncio.ensure_future(compare(watched, page, load)))
        task.add_done_callback(HELD.remove)
    return page


HELD: set[Any] = set()


async def clears(watched: Any, key: Any, load: Load) -> Any:
    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if random.random() < watched.share and hit:
        watched.tasks.add(task := asyncio.create_task(compare(watched, page, load)))
        task.add_done_callback(lambda _: watched.tasks.clear())
    return page


async def failed_once(watched: Any, key: Any, load: Load) -> Any:
    async def compare_and_set() -> None:
        try:
            watched.compared["fresh" if await load() == page else "stale"] += 1
        except Exception:
            watched.compared["failed"] = 1

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare_and_set())
    return page


async def goes_on(watched: Any, key: Any, load: Load) -> Any:
    async def compare_again() -> None:
        try:
            await compare(watched, page, load)
        except asyncio.CancelledError:
            await compare(watched, page, load)

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare_again())
    return page


async def one_lookup(watched: Any, key: Any, load: Load) -> Any:
    """Right: `lookup` tells a hit as well, and counts it once."""
    nothing = object()
    page = watched.cache.lookup(key, nothing)
    if page is nothing:
        return await watched.cache.get_or_load(key, load)
    if random.random() < watched.share:
        behind(watched, compare(watched, page, load))
    return page


async def returns_when_cancelled(watched: Any, key: Any, load: Load) -> Any:
    """Right: nothing comes after the comparison, so that it ends."""

    async def compare_or_leave() -> None:
        try:
            await compare(watched, page, load)
        except asyncio.CancelledError:
            return

    hit = await watched.cache.exists(key)
    page = await watched.cache.get_or_load(key, load)
    if hit and random.random() < watched.share:
        behind(watched, compare_or_leave())
    return page


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (awaits, "A reader with a hit waited 20 ms for the comparison."),
        (awaits_and_raises, "A reader with a hit got the error of the comparison."),
        (every_hit, "2,000 hits made 2,000 queries: the cache saves nothing any more."),
        (another_share, "queries. Draw for each hit: random.random() < watched.share"),
        (some_keys, "2,000 hits made 0 queries."),
        (misses_too, "A page just loaded isn't stale. Compare hits."),
        (unseen, "A comparison failed and nobody looked."),
        (silent, "A comparison failed and nobody looked."),
        (through_the_cache, "You compared the cache with itself."),
        (not_held, "The comparison vanished half-way: nobody held its task."),
        (held_for_ever, "tasks are over, and still kept."),
        (by_hand, "50 readers of one page, 50 loads."),
        (none_is_a_miss, "None was in the cache, and that is a hit: watched.compared: nothing."),
        (the_same_object, "A hit, and an equal page in the database: watched.compared: {'stale'"),
        (repairs, "After the comparison there was another page in the cache."),
        (catches_all, "A comparison was cancelled, and counted as 'failed'."),
        (goes_on, "A comparison was cancelled, and went on."),
        (every_so_many, "Of 2,000 hits, each 20th or so was compared, in turn."),
        (swallows_a_miss, "A reader whose page could not be loaded was not told."),
        (counts_a_miss, "A miss whose load() failed is no comparison: watched.compared: {'failed'"),
        (by_stats, "Another reader had a hit during a load, and the miss was taken for one."),
        (by_a_flag, "Readers who waited for another's load were taken for hits."),
        (looks_later, "A page was deleted while it was being compared: watched.compared: {'stale'"),
        (reads_twice, "One reader, and the cache counted 2 visits: its hit rate is wrong now."),
        (held_elsewhere, "watched.tasks had 0 of those that were running."),
        (clears, "watched.tasks had 0 of those that were running."),
        (failed_once, "down when two hits were to be compared: watched.compared: {'failed': 1}"),
        (loads_only, "A page was loaded, and not kept."),
        (hits_only, "The reader got None after 0 loads."),
        (compares_nothing, "A hit, and nothing was compared."),
        (not_async, "canary(…) gave None, and nothing to await."),
    ],
)
def test_each_mistake_is_told(answer: Any, expected: str) -> None:
    """In a sentence of its own, with what was expected."""
    assert expected in message("06-1", answer)


@pytest.mark.parametrize("answer", [one_lookup, returns_when_cancelled])
def test_other_right_answers_pass(answer: Any) -> None:
    """However a hit is told, and whether or not a cancellation goes past the comparison."""
    assert look_at("06-1", answer).passed


def test_the_solution_passes_and_the_stub_is_not_solved() -> None:
    """As the notebook has them."""
    assert look_at("06-1", COURSE.solution("06-1")).passed
    assert look_at("06-1", COURSE.stub("06-1")).status == "not solved yet"
