"""What a cache promises of its entries: how long they live, and how many there are."""

import asyncio
import gc
import math
import weakref
from collections import Counter

from cachepool_lib.lab.contracts.cache.bench import Bench, Value
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import wall

PROMISES: Checks[Bench] = Checks()
promise = PROMISES.add


@promise("A1", "ttl=0 stores nothing")
async def zero_is_a_ttl(bench: Bench) -> str:
    cache = bench.new(default_ttl=300)
    await cache.set("user:1", "Ada")
    await cache.set("user:1", "Ben", ttl=0)
    if (value := await cache.get("user:1")) is not None:
        raise Unmet(
            expected="a miss",
            got=f"{value!r}, not a miss",
            hint="`ttl or default` skips zero. Ask `ttl is None`.",
        )
    return "a miss"


@promise("A2", "A ttl of nonsense is refused")
async def nonsense_is_refused(bench: Bench) -> str:
    for default, ttl in ((300, math.nan), (300, -1), (math.nan, None), (-1, None)):
        try:
            cache = bench.new(default_ttl=default)
            await cache.set("user:1", "Ada", ttl=ttl)
        except ValueError:
            continue
        await bench.advance(365 * 86_400)
        lives = ", lives for ever" if await cache.get("user:1") else ""
        nonsense = default if ttl is None else ttl
        name = "NaN" if nonsense != nonsense else str(nonsense)
        name = f"default_ttl={name}" if ttl is None else name
        raise Unmet(
            expected="ValueError",
            got=f"{name} accepted{lives}",
            hint="Every comparison with NaN is False. Ask `not ttl >= 0`.",
        )
    return "ValueError"


@promise("A3", "A clock set back lengthens nothing")
async def wall_clock_does_not_matter(bench: Bench) -> str:
    cache = bench.new(default_ttl=60)
    await cache.set("user:1", "Ada")
    await bench.advance(30)
    wall.set_back(7_200)
    age = 30
    while await cache.get("user:1") is not None:
        await bench.advance(10)
        age += 10
    if age > 60:
        raise Unmet(
            expected="gone at 60 s",
            got=f"served at {age - 10:,} s",
            hint="time.time() can be set. Measure durations with time.monotonic().",
        )
    return f"gone at {age} s"


@promise("A6", "Expired entries leave without being read")
async def expired_entries_leave(bench: Bench) -> str:
    cache = bench.new(default_ttl=10, maxsize=10_000)
    held: weakref.WeakSet[Value] = weakref.WeakSet()
    for number in range(1_000):
        held.add(value := Value())
        await cache.set(f"user:{number}", value)
    del value
    await bench.advance(600)
    for number in range(1_000, 2_000):
        await cache.set(f"user:{number}", None)
    gc.collect()
    if held:
        raise Unmet(
            expected="0 expired values in memory after 1,000 more writes",
            got=f"{len(held):,} still in memory",
            hint="Nobody will read them again. Let writes clear them away.",
        )
    return "0 still in memory"


@promise("A7", "The number of entries is bounded")
async def entries_are_bounded(bench: Bench) -> str:
    cache = bench.new(default_ttl=300, maxsize=100)
    held: weakref.WeakSet[Value] = weakref.WeakSet()
    most = 0
    for number in range(1_000):
        held.add(value := Value())
        await cache.set(f"user:{number}", value)
        most = max(most, len(held))
    if most > 101:  # the newest is also held by this function
        raise Unmet(
            expected="at most 100 values with maxsize=100",
            got=f"{len(held):,} values",
            hint="After a write, while there are more than maxsize: let one go.",
        )
    return "100 values"


@promise("A8", "Gone exactly at its ttl")
async def gone_at_its_ttl(bench: Bench) -> str:
    cache = bench.new(default_ttl=60)
    await cache.set("user:1", "Ada")
    await bench.advance(50)  # a server's clock does not stand still: leave room
    if await cache.get("user:1") != "Ada":
        raise Unmet(expected="'Ada' at 50 s", got="a miss at 50 s")
    await bench.advance(10)
    if (value := await cache.get("user:1")) is not None:
        raise Unmet(
            expected="a miss at 60 s",
            got=f"still {value!r} at 60 s",
            hint="Fresh means now < expires: at the moment itself the promise is over.",
        )
    return "a miss at 60 s"


@promise("A12", "What began together ends apart")
async def jitter_spreads_the_end(bench: Bench) -> str:
    cache = bench.new(default_ttl=300, jitter=0.2, maxsize=1_000)
    alive = set(range(300))
    await asyncio.gather(*(cache.set(number, "Ada") for number in alive))
    await bench.advance(239)
    expired: Counter[int] = Counter()
    for second in range(239, 303):
        left = sorted(alive)
        found = await asyncio.gather(*(cache.get(number) for number in left))
        alive = {number for number, name in zip(left, found, strict=True) if name is not None}
        expired[second] = len(left) - len(alive)
        await bench.advance(1)
    worst = max(expired.values())
    if worst > 60:
        raise Unmet(
            expected="at most 60 of 300 in one second",
            got=f"{worst} of 300 at once",
            hint="Shorten each ttl by a random part of it.",
        )
    if expired[239] or expired[302] or alive:
        raise Unmet(
            expected="lives of 240 to 300 s",
            got="lives outside 240 to 300 s",
            hint="Jitter only shortens: ttl * (1 - jitter * random.random()).",
        )
    return "spread over 60 s"


@promise("A13", "delete tells the truth")
async def delete_tells_the_truth(bench: Bench) -> str:
    cache = bench.new(default_ttl=60)
    await cache.set("user:1", "Ada")
    if await cache.delete("user:1") is not True:
        raise Unmet(expected="True for an entry that was there", got="not True")
    await cache.set("user:1", "Ada")
    await bench.advance(61)
    if await cache.delete("user:1"):
        raise Unmet(
            expected="False for an entry that had expired",
            got="True, it had expired",
            hint="Whether it was there and whether it was fresh are two questions.",
        )
    return "False, it had expired"
