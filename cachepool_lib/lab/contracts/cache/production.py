"""What a cache for production promises on top: no flaw of the tutorial's, but missed without it."""

import asyncio
from datetime import timedelta
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import Bench, Source
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[Bench] = Checks()
promise = PROMISES.add

HOUR = 3_600  # seconds


@promise("A16", "A ttl may be a timedelta, or depend on the page")
async def ttls_of_other_kinds(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source("Ada")
    try:
        await cache.set("user:1", "Ada", ttl=timedelta(minutes=1))
        await bench.advance(50)
        kept = await cache.get("user:1")
        await bench.advance(10)
        gone = await cache.get("user:1") is None
    except Exception:
        kept = gone = None
    if kept != "Ada" or not gone:
        raise Unmet(
            expected="a minute for timedelta(minutes=1)",
            got="a timedelta is refused" if gone is None else "a timedelta is no minute",
            hint="A timedelta has total_seconds().",
        )
    for _ in range(2):
        await bench.read(cache, "user:2", source.load, ttl=lambda page: 5 if page == "Ada" else 300)
        await bench.advance(6)
    if source.loads != 2:
        raise Unmet(
            expected="a page kept for 5 s, as a function of it says",
            got="no ttl that depends on the page",
            hint="get_or_load(key, load, ttl=function) asks the function when the page is there.",
        )
    return "a minute; 5 s for this page"


@promise("A17", "Many keys in one call")
async def many_at_once(bench: Bench) -> str:
    cache = bench.new(default_ttl=300)
    if not hasattr(cache, "get_many") or not hasattr(cache, "set_many"):
        raise Unmet(
            expected="get_many and set_many",
            got="one key at a time",
            hint="In memory that saves typing; in Redis it saves round trips.",
        )
    pages = {"user:1": "Ada", "user:2": None}
    await cache.set_many(pages)
    found = await cache.get_many(["user:1", "user:2", "user:3"])
    if found != pages:
        raise Unmet(expected=f"{pages}", got=f"{found}", hint="None is a page, too.")
    return "2 of 3 found"


@promise("A18", "What is asked for once pushes out nothing popular")
async def a_scan_does_no_harm(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=HOUR, maxsize=100), Source(seconds=0)
    popular = range(50)
    for key in [*popular] * 3:
        await bench.read(cache, key, source.load)
    for key in range(1_000, 2_000):  # a crawler, say
        await bench.read(cache, key, source.load)
    source.loads = 0
    for key in popular:
        await bench.read(cache, key, source.load)
    kept = len(popular) - source.loads
    if kept < 45:
        raise Unmet(
            expected="the 50 popular pages, but for a few",
            got=f"{kept} of 50 popular pages left",
            hint="S3-FIFO lets a new page go soon if nobody asks for it again.",
        )
    return "the popular pages stay"


@promise("A19", "It counts who shared a load")
async def sharing_is_counted(bench: Bench) -> str:
    cache, source = bench.new(default_ttl=300), Source()
    await asyncio.gather(*(bench.read(cache, "user:1", source.load) for _ in range(5)))
    stats: Any = cache.stats() if hasattr(cache, "stats") else None
    counts = [getattr(stats, name, None) for name in ("misses", "shared", "loads")]
    if None in counts:
        raise Unmet(
            expected="1 miss, 4 shared, 1 load",
            got="nobody counts who shares",
            hint="Who joins a load costs nothing more: a miss by name, and none for the database.",
        )
    if counts != [1, 4, 1]:
        misses, shared, loads = counts
        raise Unmet(
            expected="1 miss, 4 shared, 1 load",
            got=f"{misses} misses, {shared} shared, {loads} loads",
        )
    return "1 miss, 4 shared, 1 load"


@promise("A20", "An old page at once, the new one behind it")
async def nobody_waits_for_a_refresh(bench: Bench) -> str:
    cache, source, gate = bench.new(default_ttl=60), Source("Ada"), asyncio.Event()
    patient = {"stale_while_revalidate": 300}

    async def load() -> str:
        await gate.wait()
        return "Ben"

    await bench.read(cache, "user:1", source.load, **patient)
    await bench.advance(61)
    visit = asyncio.create_task(bench.read(cache, "user:1", load, **patient))
    await asyncio.wait([visit], timeout=2)
    waited = not visit.done()
    gate.set()
    if (seen := await visit) != "Ada" or waited:
        raise Unmet(
            expected="'Ada', a minute old, without a wait",
            got="the visitor waits for the load" if waited else f"{seen!r} at once",
            hint="stale_while_revalidate serves the old page and loads the new one in a task.",
        )
    for _ in range(100):
        await asyncio.sleep(0.02)
        if await cache.get("user:1") == "Ben":
            return "'Ada' at once, then 'Ben'"
    raise Unmet(expected="'Ben' a moment later", got="the new page never comes")
