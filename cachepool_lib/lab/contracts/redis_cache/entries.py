"""What a cache in Redis promises of what it holds: values, ttls, names."""

import math
from datetime import datetime

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.contracts.redis_cache.bench import RedisBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.proxy import Proxy

PROMISES: Checks[RedisBench] = Checks()
promise = PROMISES.add
GARBAGE = b"\xc1"  # neither JSON nor msgpack


@promise("R2", "No value comes back changed")
async def values_come_back(bench: RedisBench) -> str:
    cache, hits = bench.new(), 0
    values = [(1, 2), {1: 2}, datetime(2026, 1, 1), b"raw", {1, 2}, object()]
    for number, value in enumerate(values):
        source = Source(value, seconds=0)
        for _ in range(2):
            try:
                came = await bench.read(cache, f"{bench.key}:{number}", source.load)
            except Exception as error:
                came = type(error).__name__
            if came != value or type(came) is not type(value):
                shown = repr(value) if number < 5 else "an object"
                raise Unmet(
                    expected=f"{shown}, from the cache or freshly loaded",
                    got=f"{came!r} for {shown}",
                    hint="Store what comes back equal. What can't be stored is still a page.",
                )
        hits += source.loads == 1
    return f"6 of 6 as they were, {hits} hits"


@promise("R2-hit", "What every serializer has is a hit")
async def plain_values_are_hits(bench: RedisBench) -> str:
    cache = bench.new()
    values = [True, 1.5, "é", [1, "a"], {"a": {"b": [2]}}]
    for number, value in enumerate(values):
        source = Source(value, seconds=0)
        for _ in range(2):
            await bench.read(cache, f"{bench.key}:{number}", source.load)
        if source.loads != 1:
            raise Unmet(
                expected=f"a hit for {value!r}",
                got=f"{value!r} is loaded again",
                hint="A cache that stores nothing changes nothing, and is no use.",
            )
    return f"{len(values)} hits of {len(values)}"


@promise("R3", "None is loaded once")
async def none_is_an_answer(bench: RedisBench) -> str:
    cache, source = bench.new(), Source(None, seconds=0)
    for _ in range(10):
        await bench.read(cache, bench.key, source.load)
    if source.loads != 1:
        raise Unmet(
            expected="1 query for 10 visits",
            got=f"{source.loads} queries",
            hint="A miss is what Redis doesn't have. What it has may well be None.",
        )
    return "1 query"


@promise("R4", "A ttl is a length of time, and nonsense is refused")
async def ttls_keep_their_meaning(bench: RedisBench) -> str:
    cache = bench.new()
    try:
        await cache.set(bench.key, "Ada", ttl=0.5)
    except Exception as error:
        raise Unmet(
            expected="half a second for ttl=0.5",
            got=f"{type(error).__name__} for ttl=0.5",
            hint="Redis counts milliseconds too: SET … PX 500.",
        ) from None
    for ttl in (90.5, 600.9):
        before = await bench.now()
        await cache.set(bench.key, "Ada", ttl=ttl)
        after, end = await bench.now(), await bench.ends_at()
        if not before - 0.01 <= end - ttl <= after + 0.01:
            raise Unmet(expected=f"{ttl} s for ttl={ttl}", got=f"{end - after:.1f} s for ttl={ttl}")
    await cache.set(bench.key, "Ben", ttl=0)
    if (value := await cache.get(bench.key)) is not None:
        raise Unmet(expected="a miss after ttl=0", got=repr(value), hint="Zero: remove it.")
    for ttl in (-1, math.nan):
        try:
            await cache.set(bench.key, "Ada", ttl=ttl)
        except ValueError:
            continue
        except Exception as error:
            raise Unmet(expected=f"ValueError for ttl={ttl}", got=type(error).__name__) from None
        raise Unmet(
            expected=f"ValueError for ttl={ttl}", got="accepted", hint="Ask `not ttl >= 0`."
        )
    try:
        await bench.read(bench.new(default_ttl=-1), bench.key, Source(seconds=0).load)
    except ValueError:
        pass
    else:
        raise Unmet(
            expected="ValueError for default_ttl=-1",
            got="accepted, and nothing is stored",
            hint="Look at it in __init__: what refuses it later may be suppressed there.",
        )
    return "0.5 s, a miss, ValueError"


def _minutes(left: float) -> float:
    """What is left of a ttl, rounded up to whole minutes: the same on a slow machine."""
    return 60 * math.ceil(left / 60) if left < math.inf else left


@promise("R5", "A page can be dropped; the ttl is the cache's own")
async def pages_can_be_dropped(bench: RedisBench) -> str:
    cache, row = bench.new(default_ttl=60), Source("old", seconds=0)
    await bench.read(cache, bench.key, row.load)
    left = await bench.seconds_left() or math.inf
    row.value = "new"
    await bench.delete(cache, bench.key)
    if (value := await bench.read(cache, bench.key, row.load)) != "new":
        raise Unmet(
            expected="'new', after the row was changed",
            got=f"{value!r}, for {_minutes(left)} s",
            hint="Whoever writes must be able to delete.",
        )
    if left > 60:
        raise Unmet(expected="60 s: default_ttl=60", got=f"{_minutes(left)} s")
    there = [await cache.delete(bench.key) for _ in range(2)]
    if there != [True, False]:
        raise Unmet(
            expected="delete says True for a page that was there, then False",
            got=f"{there[0]}, then {there[1]}",
            hint="Redis answers how many keys it has removed.",
        )
    await bench.read(cache, bench.key, row.load)
    await cache.clear()
    if (value := await cache.get(bench.key)) is not None:
        raise Unmet(expected="a miss after clear()", got=repr(value))
    return "'new'"


@promise("R6", "Each application sees its own pages")
async def applications_are_apart(bench: RedisBench) -> str:
    names = [f"{name}-{bench.key[-8:]}" for name in ("shop", "blog")]
    shop, blog = (bench.new(namespace=name) for name in names)
    await shop.set(bench.key, "Ada")
    if (value := await blog.get(bench.key)) is not None:
        raise Unmet(
            expected="a miss in the blog",
            got=f"{value!r}, the shop's",
            hint="Put a name of your own before every key.",
        )
    await blog.set(bench.key, "post")
    await blog.clear()
    if await shop.get(bench.key) != "Ada":
        raise Unmet(expected="'Ada', in the shop", got="gone: the blog was cleared")
    return "a miss in the blog"


@promise("R9", "What can't be read is a miss")
async def corrupt_is_a_miss(bench: RedisBench) -> str:
    cache, source = bench.new(), Source(seconds=0)
    await bench.read(cache, bench.key, source.load)
    for name in await bench.names():
        await bench.client.set(name, GARBAGE, keepttl=True)
    failed = []
    for _ in range(3):
        try:
            value = await bench.read(cache, bench.key, source.load)
        except Exception as error:
            failed.append(type(error).__name__)
        else:
            if value != "Ada":
                failed.append(repr(value))
    if failed:
        raise Unmet(
            expected="3 pages",
            got=f"{failed[0]}, {len(failed)} times",
            hint="What can't be decoded is a miss: delete it, and load.",
        )
    if source.loads != 2:
        raise Unmet(
            expected="1 load for 3 visits: then it is a hit again",
            got=f"{source.loads - 1} loads for 3 visits",
            hint="What was loaded takes the place of what can't be decoded.",
        )
    return "3 pages"


@promise("R10", "A hundred keys, one trip")
async def many_keys_in_one_trip(bench: RedisBench) -> str:
    keys = [f"{bench.key}:{number}" for number in range(100)]
    cache = bench.new()
    for key in keys:
        await cache.set(key, "Ada")
    async with Proxy(bench.url) as proxy:
        far = bench.new(redis_url=proxy.url)
        await far.get(keys[0])
        proxy.slow(0.005)
        found = await bench.get_many(far, keys)
        trips = proxy.in_a_row
    if len(found) != 100:
        raise Unmet(expected="100 values", got=f"{len(found)} values")
    if trips > 50:
        raise Unmet(
            expected="1 trip for 100 keys",
            got="100 trips",
            hint="MGET takes many keys; a pipeline takes many commands.",
        )
    return "1 trip"
