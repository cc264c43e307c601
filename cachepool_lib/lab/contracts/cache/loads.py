"""What a cache promises whoever reads through it: one load, no old page, no lost page."""

import asyncio
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import Bench, Source
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[Bench] = Checks()
promise = PROMISES.add


@promise("A4", "None is loaded once")
async def none_is_an_answer(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source(None)
    for _ in range(10):
        await bench.read(cache, "user:unknown", source.load)
    if source.loads != 1:
        raise Unmet(
            expected="1 query for 10 visits",
            got=f"{source.loads} queries for 10 visits",
            hint="A miss needs a sign of its own: get(key, MISSING).",
        )
    return "1 query for 10 visits"


@promise("A5", "Empty answers are loaded once")
async def empty_is_an_answer(bench: Bench) -> str:
    cache = bench.new(default_ttl=300)
    sources = [Source([]), Source(0), Source("")]
    for number, source in enumerate(sources * 10):
        await bench.read(cache, f"user:{number % 3}", source.load)
    loads = sum(source.loads for source in sources)
    if loads != 3:
        raise Unmet(
            expected="3 queries: one each for [], 0 and ''",
            got=f"{loads} queries for 3 values × 10 visits",
            hint="`if cached:` asks whether it is empty. Ask `is not MISSING`.",
        )
    return "3 queries for 3 values × 10 visits"


@promise("A9", "Fifty callers, one load")
async def one_load_for_all(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source()
    callers = (bench.read(cache, "user:1", source.load) for _ in range(50))
    pages = await asyncio.gather(*callers)
    if source.loads != 1 or pages != ["Ada"] * 50:
        raise Unmet(
            expected="1 load for 50 callers",
            got=f"{source.loads} loads",
            hint="Between the miss and the set there is an await. Register the load before it.",
        )
    return "1 load"


@promise("A9-leave", "Whoever leaves, the others get the page")
async def anyone_may_leave(bench: Bench) -> str:
    for leaver in (0, 2):
        cache, source = bench.new(default_ttl=300), Source()
        callers = await _five_callers(bench, cache, source)
        others = [caller for caller in callers if caller is not callers[leaver]]
        callers[leaver].cancel()
        await asyncio.wait(callers, timeout=60)
        lost = sum(not c.done() or c.cancelled() or c.result() != "Ada" for c in others)
        for caller in callers:
            caller.cancel()
        if lost:
            raise Unmet(
                expected="4 pages",
                got=f"{4 - lost} pages",
                hint="Cancelling a waiter cancels what it awaits. "
                "Give the load a task of its own and await it through asyncio.shield.",
            )
    return "4 pages"


@promise("A9-last", "When all have left, the load stops")
async def last_one_out(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source(seconds=1)
    callers = await _five_callers(bench, cache, source)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers, timeout=60)
    await asyncio.sleep(0.01)
    if source.cancelled != source.loads:
        raise Unmet(
            expected="the load is cancelled",
            got="the load runs on for nobody",
            hint="Count who waits. The last one out cancels the task.",
        )
    cache, source = bench.new(default_ttl=300), Source()
    callers = await _five_callers(bench, cache, source)
    for caller in callers:
        caller.cancel()
    # Before the cancelled load had a chance to end: a newcomer must not join it.
    newcomer = asyncio.create_task(bench.read(cache, "user:1", source.load))
    await asyncio.wait([*callers, newcomer], timeout=60)
    if newcomer.cancelled() or not newcomer.done() or newcomer.exception() is not None:
        newcomer.cancel()
        raise Unmet(
            expected="a page for whoever comes next",
            got="the next caller lost the page",
            hint="Take the flight off the list before you cancel it.",
        )
    return "stopped"


async def _five_callers(bench: Bench, cache: Any, source: Source) -> list[asyncio.Task[Any]]:
    """They wait for one page, whose load has begun."""
    callers = [asyncio.create_task(bench.read(cache, "user:1", source.load)) for _ in range(5)]
    await bench.advance(0.01)
    return callers


@promise("A9-error", "An error reaches all and stays nowhere")
async def errors_are_shared_and_forgotten(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source(ConnectionError("down"))
    callers = (bench.read(cache, "user:1", source.load) for _ in range(5))
    answers = await asyncio.gather(*callers, return_exceptions=True)
    told = sum(isinstance(answer, ConnectionError) for answer in answers)
    if told != 5:
        raise Unmet(expected="5 callers get the ConnectionError", got=f"{told} of 5 got it")
    source.value = "Ada"
    try:
        await bench.read(cache, "user:1", source.load)
    except ConnectionError:
        raise Unmet(
            expected="a page for the next caller",
            got="the next caller got the old error",
            hint="Remove the flight when the load ends, also when it fails.",
        ) from None
    return "5 told, the next gets a page"


@promise("A10", "After a delete nobody gets the old page")
async def a_delete_voids_a_load(bench: Bench) -> str:
    for write in ("delete", "clear", "set"):
        cache, source = bench.new(default_ttl=300), Source("old")
        loader = asyncio.create_task(bench.read(cache, "user:1", source.load))
        await bench.advance(0.01)  # the old page is read, but not stored yet
        source.value = "new"
        if write == "set":
            await cache.set("user:1", "new")
        elif write == "delete":
            await cache.delete("user:1")
        else:
            await cache.clear()
        await loader
        if (value := await bench.read(cache, "user:1", source.load)) != "new":
            raise Unmet(
                expected="'new'",
                got=f"{value!r}, not 'new'",
                hint=f"A load that began before the {write} may not store what it read.",
            )
    return "'new'"


@promise("A11", "Nobody changes another visitor's page")
async def pages_cannot_be_changed(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source(bench.page())
    orders = list(source.value)
    for _ in range(2):  # who caused the load, and who found the page in the cache
        seen = await bench.read(cache, "user:1", source.load)
        if hasattr(seen, "sort"):
            seen.sort()
    seen = await bench.read(cache, "user:1", source.load)
    if list(seen) != orders:
        raise Unmet(
            expected=f"{orders}",
            got=f"{list(seen)}, not {orders}",
            hint="Everybody is handed the same object. Cache what nobody can change.",
        )
    return f"{orders}"


@promise("A14", "It can tell its hit rate")
async def it_can_be_watched(bench: Bench) -> str:
    return await counts_its_hits(bench, bench.new(default_ttl=60), "user:1")


async def counts_its_hits(bench: Bench, cache: Any, key: str) -> str:
    source = Source(seconds=0)
    for _ in range(4):
        await bench.read(cache, key, source.load)
    if not hasattr(cache, "stats"):
        raise Unmet(
            expected="3 hits of 4",
            got="nobody counts",
            hint="Count hits and misses where they happen, and hand out a snapshot.",
        )
    stats = cache.stats()
    seen = f"{stats.hits} hits of {stats.hits + stats.misses}"
    if seen != "3 hits of 4" or stats.hit_rate != 0.75:
        raise Unmet(expected="3 hits of 4, a hit rate of 0.75", got=f"{seen}, {stats.hit_rate}")
    return seen


@promise("A15", "An old page beats none")
async def an_old_page_beats_none(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=60), Source()
    patient = {"stale_if_error": 300}
    await bench.read(cache, "user:1", source.load, **patient)
    await bench.advance(61)
    source.value = ConnectionError("down")
    try:
        value = await bench.read(cache, "user:1", source.load, **patient)
    except ConnectionError:
        raise Unmet(
            expected="the page of a minute ago",
            got="ConnectionError",
            hint="Keep an entry for stale_if_error seconds past its end, for when a load fails.",
        ) from None
    await bench.advance(300)
    for key, why in (("user:1", "too old"), ("user:2", "never seen")):
        try:
            await bench.read(cache, key, source.load, **patient)
        except ConnectionError:
            continue
        raise Unmet(expected=f"ConnectionError: the page is {why}", got=f"a page, {why}")
    return f"{value!r}, a minute old"


@promise("A15-set", "What is set while a load fails is the page")
async def a_new_page_beats_an_old_one(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=60), Source()
    patient = {"stale_if_error": 300}
    await bench.read(cache, "user:1", source.load, **patient)
    await bench.advance(61)
    source.value, is_set = ConnectionError("down"), asyncio.Event()

    async def load() -> Any:
        await is_set.wait()
        return await source.load()

    visit = asyncio.create_task(bench.read(cache, "user:1", load, **patient))
    await bench.advance(0.01)  # the load has begun, and will fail
    await cache.set("user:1", "Ben")
    is_set.set()
    try:
        seen = repr(await visit)
    except ConnectionError as error:
        seen = type(error).__name__
    if seen != "'Ben'":
        raise Unmet(
            expected="'Ben', who was set meanwhile",
            got=f"{seen}, not 'Ben'",
            hint="After a failed load look once more: a new page may be there.",
        )
    return seen
