"""What a cache decorator promises of calls: loaded once, kept for as long as said, bounded."""

import asyncio
import contextlib
import gc
import weakref
from typing import Any

from cachepool_lib.lab.contracts.cache import loads
from cachepool_lib.lab.contracts.cache.bench import Source, Value
from cachepool_lib.lab.contracts.decorator.bench import DecoratorBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[DecoratorBench] = Checks()
promise = PROMISES.add

# What a cache promises: asked of a decorated function, it is the same.
PROMISES |= {
    "D4": loads.PROMISES["A4"],
    "D4-empty": loads.PROMISES["A5"],
    "D5": loads.PROMISES["A9"],
    "D5-leave": loads.PROMISES["A9-leave"],
    "D5-last": loads.PROMISES["A9-last"],
    "D5-error": loads.PROMISES["A9-error"],
}


@promise("D4-ttl", "How long an answer lives may depend on the answer")
async def a_ttl_of_the_answer(bench: DecoratorBench) -> str:
    sources = {1: Source("Ada", seconds=0), 2: Source(None, seconds=0)}

    async def page(user_id: int) -> Any:
        return await sources[user_id].load()

    try:
        cached = bench.decorate(page, ttl=lambda value: 300 if value else 5)
        for wait in (0, 4, 2):
            await bench.advance(wait)
            for user_id in sources:
                await cached(user_id)
    except (TypeError, ValueError):
        raise Unmet(
            expected="a ttl of 5 s for None, and of 300 s for a page",
            got="one ttl for all",
            hint="Where ttl is a function, call it with the answer.",
        ) from None
    loads = [source.loads for source in sources.values()]
    if loads != [1, 2]:
        raise Unmet(
            expected="after 6 s 1 load of the page, 2 of None, which lives for 5",
            got=f"{loads[0]} of the page, {loads[1]} of None",
            hint="Where ttl is a function, call it with the answer.",
        )
    return "300 s for a page, 5 s for None"


@promise("D5-self", "Who would wait for itself is told so")
async def a_cycle_is_an_error(bench: DecoratorBench) -> str:
    async def page(user_id: int) -> Any:
        return await header(user_id)

    async def top(user_id: int) -> Any:
        return await cached(user_id)

    cached, header = bench.decorate(page), bench.decorate(top)
    try:
        async with asyncio.timeout(5):
            await cached(1)
    except RecursionError:
        got = "calls itself until Python gives up"
    except RuntimeError:
        return "an error at once"
    except TimeoutError:
        got = "waits for ever"
    else:
        got = "a page out of nothing"
    raise Unmet(
        expected="a RuntimeError: page waits for top, which waits for page",
        got=got,
        hint="Note which run waits for which, in a ContextVar; look before you wait.",
    )


@promise("D7", "The number of entries is bounded")
async def entries_are_bounded(bench: DecoratorBench) -> str:
    held: weakref.WeakSet[Value] = weakref.WeakSet()

    async def page(number: int) -> Value:
        held.add(value := Value())
        return value

    cached = bench.decorate(page, cache=None, maxsize=100)
    for number in range(1_000):
        await cached(number)
    gc.collect()
    if len(held) > 100:
        raise Unmet(
            expected="at most 100 values with maxsize=100",
            got=f"{len(held):,} values",
            hint="AsyncCache takes a maxsize, and 1,024 is its default.",
        )
    return "100 values"


@promise("D14", "A failing database is left alone, and the old page served")
async def an_old_page_beats_none(bench: DecoratorBench) -> str:
    source = Source("page", seconds=0)

    async def page(user_id: int) -> Any:
        return await source.load()

    cached = bench.decorate(page, ttl=60, stale_if_error=300, retry_after=1)
    await bench.read(cached, 1, source.load)
    await bench.advance(61)
    source.value, source.loads, failed = ConnectionError("down"), 0, 0
    for _ in range(40):  # within one simulated second
        try:
            await bench.read(cached, 1, source.load)
        except ConnectionError:
            failed += 1
        await bench.advance(0.01)
    if failed or source.loads > 1:
        raise Unmet(
            expected="40 old pages, 1 attempt",
            got=f"{40 - failed} pages, {source.loads} attempts",
            hint="stale_if_error serves the old page; retry_after is how long the next attempt "
            "waits.",
        )
    await bench.advance(300)
    try:
        await bench.read(cached, 1, source.load)
    except ConnectionError:
        return "40 old pages, 1 attempt"
    raise Unmet(expected="ConnectionError: the page is too old", got="a page, too old")


@promise("D14-wait", "Nobody waits for a page that has just expired")
async def an_old_page_is_served_meanwhile(bench: DecoratorBench) -> str:
    row, go, reading, loads = ["old"], asyncio.Event(), asyncio.Event(), 0
    go.set()

    async def page(user_id: int) -> str:
        nonlocal loads
        loads += 1
        reading.set()
        text = row[0]
        await go.wait()
        return text

    cached = bench.decorate(page, ttl=60, stale_while_revalidate=30)
    await cached(1)
    await bench.advance(61)
    row[0] = "new"
    go.clear()
    reading.clear()
    readers = [asyncio.create_task(cached(1)) for _ in range(10)]
    await asyncio.wait(readers, timeout=5)
    served = sum(reader.done() for reader in readers)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reading.wait(), 5)
    go.set()
    await asyncio.wait(readers)
    if served < 10 or loads != 2:
        raise Unmet(
            expected="10 old pages at once, 1 load behind their backs",
            got=f"{10 - served} of 10 wait" if served < 10 else f"{loads - 1} loads",
            hint="stale_while_revalidate serves the old page while one load fetches the next.",
        )
    for _ in range(100):  # until what was loaded is stored
        if await cached(1) == "new":
            return "10 old pages at once, 1 load"
        await asyncio.sleep(0.01)
    raise Unmet(expected="'new', once it is loaded", got="'old' for ever")
