"""Feedback on exercise 06-1: compare a share of the hits with the source, behind the readers."""

import asyncio
import gc
import weakref
from collections import Counter
from itertools import pairwise
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.exercises.canary_reader import KEY, Reader
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

HITS = 2_000  # of 5 % of them, a hundred are compared: fewer than 40 or more than 200 is no chance


@exercise("06-1", "Compare a share of the hits")
async def canary(answer: Any) -> str:
    unseen: list[Any] = []
    handler = lambda _, context: unseen.append(context)  # noqa: E731
    asyncio.get_running_loop().set_exception_handler(handler)
    await _a_miss(answer)
    await _a_miss_that_fails(answer)
    await _a_miss_among_hits(answer)
    await _a_crowd(answer)
    await _a_hit(answer)
    await _a_page_that_goes(answer)
    await _none_is_a_page(answer)
    await _a_share(answer)
    await _a_failure(answer, unseen)
    await _tasks_that_stay(answer)
    await _a_task_that_is_cancelled(answer)
    return "misses, hits, fresh and stale, a share of 2,000, a failure, a cancellation"


async def _a_miss(answer: Any) -> None:
    reader, source = Reader(answer), Source("page")
    page = await reader.ask(source.load)
    await asyncio.sleep(1)
    if page != "page" or not source.loads:
        raise Unmet(
            expected="'page', loaded: it was not in the cache",
            got=f"The reader got {page!r} after {source.loads} loads.",
            hint="return await watched.cache.get_or_load(key, load)",
        )
    if not await reader.watched.cache.exists(KEY):
        raise Unmet(
            expected="the page in watched.cache, for the next reader",
            got="A page was loaded, and not kept.",
            hint="watched.cache.get_or_load(key, load) loads and keeps.",
        )
    if source.loads > 1 or reader.watched.compared:
        raise Unmet(
            expected="1 load for a miss, and no comparison",
            got="A page just loaded isn't stale. Compare hits.",
            hint="Ask before you read: await watched.cache.exists(key)",
        )


async def _a_miss_that_fails(answer: Any) -> None:
    reader, raised = Reader(answer), False
    try:
        await reader.ask(Source(ConnectionError("down")).load)
    except ConnectionError:
        raised = True
    await asyncio.sleep(1)
    if not raised:
        raise Unmet(
            expected="ConnectionError: the page was not in the cache, and load() raised that",
            got="A reader whose page could not be loaded was not told.",
            hint="Guard the comparison alone: nothing around watched.cache.get_or_load.",
        )
    reader.told({}, "A miss whose load() failed is no comparison:", "Count inside the task.")


async def _a_miss_among_hits(answer: Any) -> None:
    """While it is loaded, somebody else has a hit: what the cache counts is everybody's."""
    reader, source = Reader(answer), Source("page")
    await reader.watched.cache.set("another", "page")

    async def load() -> Any:
        await reader.watched.cache.get("another")
        return await source.load()

    await reader.ask(load)
    await asyncio.sleep(1)
    if source.loads > 1 or reader.watched.compared:
        raise Unmet(
            expected="1 load for a miss, and no comparison",
            got="Another reader had a hit during a load, and the miss was taken for one.",
            hint="stats() counts for all. Ask before you read: await watched.cache.exists(key)",
        )


async def _a_crowd(answer: Any) -> None:
    reader, source = Reader(answer), Source("page")
    await asyncio.gather(*(reader.ask(source.load) for _ in range(50)))
    await asyncio.sleep(1)
    if source.loads > 1 and reader.watched.compared:
        raise Unmet(
            expected="1 load for 50 readers who come at once, and no comparison",
            got="Readers who waited for another's load were taken for hits.",
            hint="Ask before you read: await watched.cache.exists(key)",
        )
    if source.loads > 1:
        raise Unmet(
            expected="1 load for 50 readers who come at once",
            got=f"50 readers of one page, {source.loads} loads.",
            hint="Let the cache load, with get_or_load.",
        )


async def _in_cache(answer: Any, page: Any, share: float = 1) -> Reader:
    reader = Reader(answer, share)
    await reader.watched.cache.set(KEY, page)
    return reader


async def _a_hit(answer: Any) -> None:
    # A list, new with each load: pages that are equal, and not the same object.
    for row, outcome in (([3, 1], "fresh"), ([3, 1, 2], "stale")):
        reader, loads = await _in_cache(answer, [3, 1]), Counter[str]()

        async def load(row: list[int] = row, loads: Counter[str] = loads) -> list[int]:
            loads["all"] += 1
            await asyncio.sleep(0.02)
            return list(row)

        await reader.hit(load, [3, 1])
        if not loads and reader.watched.compared:
            raise Unmet(
                expected="a query for each comparison",
                got="You compared the cache with itself.",
                hint="Await load(): it asks the database.",
            )
        if not loads:
            raise Unmet(
                expected="1 comparison: the share is 1",
                got="A hit, and nothing was compared.",
                hint="random.random() < watched.share",
            )
        if loads["all"] > 1:
            raise Unmet(
                expected="1 query to compare a hit",
                got=f"{loads['all']} queries to compare one hit.",
            )
        same = "an equal page" if outcome == "fresh" else "another page"
        reader.told({outcome: 1}, f"A hit, and {same} in the database:")
        if await reader.watched.cache.get(KEY) != [3, 1]:
            raise Unmet(
                expected="a comparison that changes nothing",
                got="After the comparison there was another page in the cache.",
                hint="A canary tells. Who repairs what it finds hides what is broken.",
            )


async def _a_page_that_goes(answer: Any) -> None:
    """Deleted while it is compared. What the reader got is what is looked at."""
    reader, source = await _in_cache(answer, "page"), Source("page")
    await reader.ask(source.load)
    await asyncio.sleep(0.01)  # the comparison has begun
    await reader.watched.cache.delete(KEY)
    await asyncio.sleep(1)
    hint = "Compare with the page that the reader got, and ask the cache for nothing more."
    reader.told({"fresh": 1}, "A page was deleted while it was being compared:", hint)
    stats = reader.watched.cache.stats()
    if stats.hits + stats.misses != 1:
        raise Unmet(
            expected="1 visit in watched.cache.stats()",
            got=f"One reader, and the cache counted {stats.hits + stats.misses} visits: its hit "
            "rate is wrong now.",
            hint="exists(key) counts nothing, get(key) does. Read once.",
        )


async def _none_is_a_page(answer: Any) -> None:
    reader = await _in_cache(answer, None)
    await reader.hit(Source("page").load, None)
    reader.told({"stale": 1}, "None was in the cache, and that is a hit:")


async def _a_share(answer: Any) -> None:
    for share, low, high in ((0.05, 40, 200), (0.5, 800, 1_200)):
        reader, source = await _in_cache(answer, "page", share), Source("page", seconds=0)
        drawn: list[int] = []  # after which hits there were more queries
        for number in range(HITS):
            before = source.loads
            await reader.ask(source.load)
            await asyncio.sleep(0)
            if source.loads > before:
                drawn.append(number)
        await asyncio.sleep(1)
        expected = f"about {share * HITS:,.0f} queries: a share of {share:g}"
        if source.loads >= HITS:
            raise Unmet(
                expected=expected,
                got=f"{HITS:,} hits made {source.loads:,} queries: the cache saves nothing any "
                "more.",
                hint="Draw for each hit: random.random() < watched.share",
            )
        if not low <= source.loads <= high:
            raise Unmet(
                expected=expected,
                got=f"{HITS:,} hits made {source.loads:,} queries.",
                hint="Draw for each hit: random.random() < watched.share",
            )
        gaps = {later - earlier for earlier, later in pairwise(drawn)}
        if len(gaps) <= 2:  # by chance there are a dozen
            raise Unmet(
                expected="hits drawn at random",
                got=f"Of {HITS:,} hits, each {round(1 / share)}th or so was compared, in turn.",
                hint="Visits that come in turn, too, would show you the same page for ever: draw, "
                "random.random() < watched.share.",
            )
        if reader.watched.tasks:
            raise Unmet(
                expected="no task in watched.tasks when all comparisons are over",
                got=f"{len(reader.watched.tasks):,} tasks are over, and still kept.",
                hint="task.add_done_callback(watched.tasks.discard)",
            )


async def _a_failure(answer: Any, unseen: list[Any]) -> None:
    reader = await _in_cache(answer, "page")
    for _ in range(2):
        await reader.hit(Source(ConnectionError("down")).load, "page")
    gc.collect()
    if unseen or not reader.watched.compared:
        raise Unmet(
            expected='watched.compared["failed"] += 1',
            got="A comparison failed and nobody looked.",
            hint="Inside the task: try, except Exception, and count it.",
        )
    reader.told({"failed": 2}, "The database was down when two hits were to be compared:")


async def _tasks_that_stay(answer: Any) -> None:
    """Comparisons that wait for answers that nobody but their own tasks hold on to."""
    reader, answers = await _in_cache(answer, "page"), weakref.WeakSet[Any]()
    others = asyncio.all_tasks()

    async def load() -> Any:
        answers.add(page := asyncio.get_running_loop().create_future())
        return await page

    for _ in range(2):
        await reader.hit(load, "page")
    gc.collect()
    if not answers:
        raise Unmet(
            expected="a comparison that goes on until it is done",
            got="The comparison vanished half-way: nobody held its task.",
            hint="A loop forgets a task that nobody holds: watched.tasks.add(task).",
        )
    for running, page in ((2, answers.pop()), (1, answers.pop())):
        kept = reader.watched.tasks & (asyncio.all_tasks() - others)
        if len(kept) != running:
            raise Unmet(
                expected=f"{running} in watched.tasks: of two comparisons at once, "
                f"{'none' if running == 2 else 'one'} has ended",
                got=f"watched.tasks had {len(kept)} of those that were running.",
                hint="watched.tasks.add(task) for each, and watched.tasks.discard when that one "
                "ends.",
            )
        page.set_result("page")
        await asyncio.sleep(1)


async def _a_task_that_is_cancelled(answer: Any) -> None:
    """As when the service ends, and waits for its tasks."""
    reader, others = await _in_cache(answer, "page"), asyncio.all_tasks()
    await reader.ask(Source("page", seconds=60).load)
    await asyncio.sleep(1)
    comparisons = asyncio.all_tasks() - others
    for task in comparisons:
        task.cancel()
    _, pending = await asyncio.wait(comparisons, timeout=1)
    if pending:
        raise Unmet(
            expected="a comparison that ends when it is cancelled",
            got="A comparison was cancelled, and went on.",
            hint="`except Exception` lets a cancellation pass.",
        )
    if reader.watched.compared:
        [outcome, *_] = reader.watched.compared
        raise Unmet(
            expected="a comparison that ends when it is cancelled, and counts as nothing",
            got=f"A comparison was cancelled, and counted as {outcome!r}.",
            hint="`except Exception` lets a cancellation pass; count where there was an answer.",
        )
