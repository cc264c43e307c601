"""What a cache in Redis promises of loads and of the keys' end: nobody pays for somebody else."""

import asyncio
import contextlib

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.contracts.redis_cache.bench import Held, RedisBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[RedisBench] = Checks()
promise = PROMISES.add


@promise("R19", "One refused command is no outage")
async def one_bad_key_hurts_no_other(bench: RedisBench) -> str:
    """Somebody has put a list where a page was: Redis refuses to GET it, and answers all else."""
    cache, source, good = bench.new(), Source(seconds=0), f"{bench.key}:good"
    await bench.read(cache, bench.key, source.load)
    for name in await bench.names():
        await bench.client.unlink(name)
        await bench.client.rpush(name, "no page")
    await bench.read(cache, good, source.load)
    before = source.loads
    try:
        await bench.read(cache, bench.key, source.load)
    except Exception as error:
        raise Unmet(
            expected="a page, and hits for everybody else",
            got=type(error).__name__,
            hint="An error reply is a miss, for that one command.",
        ) from None
    bad = source.loads - before
    for _ in range(3):
        await bench.read(cache, good, source.load)
    if source.loads != before + bad:
        raise Unmet(
            expected="hits for everybody else",
            got=f"{source.loads - before - bad} of 3 others load",
            hint="A ResponseError is an answer: Redis can be used.",
        )
    return "a page, and 3 hits"


@promise("R20", "A load may take longer than its lock")
async def a_living_holder_keeps_its_lock(bench: RedisBench) -> str:
    one, two = (bench.new(lock_timeout=1.5) for _ in range(2))
    source = Source(seconds=4)
    await asyncio.gather(*(bench.read(cache, bench.key, source.load) for cache in (one, two)))
    if source.loads != 1:
        raise Unmet(
            expected="1 load of 4 s, with a lock of 1.5 s",
            got=f"{source.loads} loads",
            hint="Who loads and lives moves the end of its lock from time to time.",
        )
    return "1 load"


@promise("R21", "Whoever leaves, or fails, hurts nobody else")
async def leavers_and_errors(bench: RedisBench) -> str:
    for leaver in (0, 2):
        cache, held, key = bench.new(), Held("Ada"), f"{bench.key}:{leaver}"
        visits = [asyncio.create_task(bench.read(cache, key, held.load)) for _ in range(5)]
        await held.begun.wait()
        await asyncio.sleep(0.05)  # and the others wait for it
        visits[leaver].cancel()
        await asyncio.wait([visits[leaver]], timeout=5)
        held.go.set()
        await asyncio.wait(visits, timeout=5)
        lost = sum(not v.done() or v.cancelled() or v.exception() is not None for v in visits) - 1
        if lost:
            for visit in visits:
                visit.cancel()
            raise Unmet(
                expected="4 pages",
                got=f"{4 - lost} pages",
                hint="The load has a task of its own; visitors await it through asyncio.shield.",
            )
    cache, source = bench.new(), Source(ConnectionError("the database is down"))
    calls = [bench.read(cache, bench.key, source.load) for _ in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    told = sum(isinstance(answer, ConnectionError) for answer in answers)
    if told != 5:
        raise Unmet(expected="5 callers get the ConnectionError", got=f"{told} of 5 got it")
    source.value = "Ada"
    with contextlib.suppress(ConnectionError):
        await bench.read(cache, bench.key, source.load)
        return "4 pages; 5 told, the next gets a page"
    raise Unmet(
        expected="a page for the next caller",
        got="the next caller got the old error",
        hint="Forget the flight when the load ends, also when it fails.",
    )


@promise("R23", "What began together ends apart")
async def jitter_spreads_the_end(bench: RedisBench) -> str:
    cache = bench.new(default_ttl=300, jitter=0.2)
    for number in range(100):
        await cache.set(f"{bench.key}:{number}", "Ada")
    left = [await bench.client.pttl(name) / 1000 for name in await bench.names()]
    if not all(200 < seconds <= 300 for seconds in left):
        raise Unmet(
            expected="lives of 240 to 300 s",
            got="lives outside 240 to 300 s",
            hint="Jitter only shortens: ttl * (1 - jitter * random.random()).",
        )
    if max(left) - min(left) < 30:
        raise Unmet(
            expected="ends that are spread over a minute",
            got="100 end together",
            hint="Shorten each ttl by a random part of it.",
        )
    return "spread over 60 s"
