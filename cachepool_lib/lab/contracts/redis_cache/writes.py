"""What a cache in Redis promises around a change of a row: no old page but where it may be."""

import asyncio
import contextlib

from redis.exceptions import RedisError

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.contracts.redis_cache.bench import Held, RedisBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.proxy import Proxy

PROMISES: Checks[RedisBench] = Checks()
promise = PROMISES.add


@promise("R17", "A delete counts, also for a load under way")
async def a_delete_voids_a_load(bench: RedisBench) -> str:
    for write in ("delete", "set", "clear", "delete by another process"):
        cache, other, source = bench.new(), bench.new(), Held("old")
        loader = asyncio.create_task(bench.read(cache, bench.key, source.load))
        await source.begun.wait()  # the old page is read, but not stored yet
        source.value = "new"
        writer = other if "another" in write else cache
        if write == "set":
            await writer.set(bench.key, "new")
        elif write == "clear" and hasattr(writer, "clear"):
            await writer.clear()
        else:
            await bench.delete(writer, bench.key)
        source.go.set()
        await loader
        if (value := await bench.read(cache, bench.key, source.load)) != "new":
            raise Unmet(
                expected="'new'",
                got=f"{value!r}, after a {write}",
                hint=f"A load that began before the {write} may not store what it read.",
            )
        await bench.delete(cache, bench.key)
    return "'new'"


@promise("R18", "A delete counts, also while Redis is down")
async def a_delete_is_made_good(bench: RedisBench) -> str:
    """In this process at once, in the others soon after Redis is back; asked for or not."""
    mine, theirs = f"{bench.key}:mine", f"{bench.key}:theirs"
    async with Proxy(bench.url) as proxy:
        cache, source = bench.new(redis_url=proxy.url, timeout=1), Source("old", seconds=0)
        for key in (mine, theirs):
            await bench.hits(cache, key, source)  # what is not stored can't be old
        await proxy.cut()
        source.value = "new"
        for key in (mine, theirs):
            with contextlib.suppress(RedisError, OSError):
                await bench.delete(cache, key)
        await proxy.restore()
        value = None
        for _ in range(3):  # a dead connection of the naive class may still fail
            with contextlib.suppress(RedisError, OSError):
                value = await bench.read(cache, mine, source.load)
                break
        if value != "new":
            raise Unmet(
                expected="'new', for whoever asks here",
                got=f"{value!r}, now that Redis is back",
                hint="Remember what Redis did not confirm: a miss here, until it is deleted.",
            )
        other = bench.new()
        for _ in range(50):  # five seconds, and more where the machine is busy
            if await bench.read(other, theirs, source.load) == "new":
                return "'new', everywhere"
            await asyncio.sleep(0.1)
    raise Unmet(
        expected="'new' for other processes, soon after",
        got="'old', in other processes",
        hint="Delete it once more when Redis is back, though nobody asks here.",
    )


@promise("R22", "An old page beats none")
async def an_old_page_beats_none(bench: RedisBench) -> str:
    cache, source, patient = bench.new(default_ttl=60), Source(seconds=0), {"stale_if_error": 300}
    await bench.read(cache, bench.key, source.load, **patient)
    await bench.expire()
    source.value = ConnectionError("the database is down")
    try:
        value = await bench.read(cache, bench.key, source.load, **patient)
    except ConnectionError:
        raise Unmet(
            expected="the page of a minute ago",
            got="ConnectionError",
            hint="Keep a copy for stale_if_error seconds past its end, for when a load fails.",
        ) from None
    await bench.age(300)
    try:
        await bench.read(cache, bench.key, source.load, **patient)
    except ConnectionError:
        return f"{value!r}, a minute old"
    raise Unmet(expected="ConnectionError: the page is too old", got="a page, too old")


@promise("R24", "An old page now, the new one behind it")
async def nobody_waits_for_the_next_page(bench: RedisBench) -> str:
    cache, source, patient = (
        bench.new(default_ttl=60),
        Source("old", seconds=0),
        {"stale_while_revalidate": 300},
    )
    await bench.read(cache, bench.key, source.load, **patient)
    await bench.expire()
    source.value, source.seconds = "new", 0.05
    if (value := await bench.read(cache, bench.key, source.load, **patient)) != "old":
        raise Unmet(
            expected="'old' at once, and a load behind it",
            got="the visitor waits",
            hint="Keep a copy for stale_while_revalidate seconds, and load in the background.",
        )
    for _ in range(250):  # five seconds, and more where the machine is busy
        if value != "old":
            break
        await asyncio.sleep(0.02)
        value = await bench.read(cache, bench.key, source.load, **patient)
    else:
        raise Unmet(expected="'new', soon after", got="'old', again and again")
    if source.loads > 2:
        raise Unmet(expected="1 load behind it", got=f"{source.loads - 1} loads behind it")
    return "'old', then 'new'"
