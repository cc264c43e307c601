"""What a cache in Redis promises of the way there: outages, processes, loops, secrets."""

import asyncio
from functools import partial

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.contracts.cache.loads import counts_its_hits
from cachepool_lib.lab.contracts.crowds import crowds, two_loops
from cachepool_lib.lab.contracts.password import hides_the_password
from cachepool_lib.lab.contracts.patience import settled
from cachepool_lib.lab.contracts.redis_cache.bench import PATIENT, RedisBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.proxy import Proxy

PROMISES: Checks[RedisBench] = Checks()
promise = PROMISES.add


@promise("R7", "Redis is down, the page comes")
async def down_costs_no_page(bench: RedisBench) -> str:
    async with Proxy(bench.url) as proxy:
        cache, source = bench.new(redis_url=proxy.url), Source(seconds=0)
        await bench.read(cache, bench.key, source.load)
        await proxy.cut()
        for _ in range(3):
            try:
                await bench.read(cache, bench.key, source.load)
            except Exception as error:
                raise Unmet(
                    expected="the page, from the database",
                    got=type(error).__name__,
                    hint="A cache that fails is a miss.",
                ) from None
        await proxy.restore()
        if not await bench.hits(cache, bench.key, source):
            raise Unmet(expected="hits, now that Redis is back", got="loads again and again")
    return "the page"


@promise("R8", "Redis is silent, the page comes in time")
async def silence_costs_a_moment(bench: RedisBench) -> str:
    async with Proxy(bench.url) as proxy:
        cache, source = bench.new(redis_url=proxy.url, timeout=0.25), Source(seconds=0)
        await bench.read(cache, bench.key, source.load)
        proxy.stall()
        page = await settled(bench.read(cache, bench.key, source.load), 1)
        await proxy.restore()
    if page is None:
        raise Unmet(
            expected="the page, after a quarter of a second",
            got="no page after 1 s",
            hint="Give the cache a time limit: asyncio.timeout(0.25).",
        )
    await page
    return "the page"


@promise("R11", "Closed is closed")
async def closed_is_closed(bench: RedisBench) -> str:
    cache = bench.new()
    await cache.set(bench.key, "Ada")
    await cache.close()
    try:
        value = await cache.get(bench.key)
    except Exception as error:
        return type(error).__name__
    raise Unmet(
        expected="an error: the cache is closed",
        got=f"{value!r}, from a closed cache",
        hint="redis-py connects again by itself. Remember that you are closed.",
    )


@promise("R12", "Two processes, one load")
async def one_load_for_all_processes(bench: RedisBench) -> str:
    options = bench.known(redis_url=bench.url, **PATIENT)
    async with bench.seats:
        run = await crowds(
            partial(bench.candidate, **options), processes=2, callers=5, load_seconds=0.3
        )
    if run.loads != 1 or run.pages != 10:
        raise Unmet(
            expected="1 load for 2 processes with 5 callers each",
            got=f"{run.loads} loads" if run.pages == 10 else f"{run.pages} pages",
            hint="The right to load must lie where both can see it: SET … NX.",
        )
    return "1 load"


@promise("R12-kill", "Who loads is killed, another one loads")
async def the_holder_may_die(bench: RedisBench) -> str:
    options = bench.known(redis_url=bench.url, lock_timeout=0.5, **PATIENT)
    async with bench.seats:
        run = await crowds(
            partial(bench.candidate, **options),
            processes=2, callers=5, load_seconds=0.2, kill_loader=True,
        )  # fmt: skip
    if run.pages != 5:
        raise Unmet(
            expected="a page for the other 5",
            got=f"{run.pages} pages",
            hint="A lock needs an end of its own: SET … NX PX.",
        )
    return "5 pages"


@promise("R13", "The 101st caller waits its turn")
async def callers_wait_their_turn(bench: RedisBench) -> str:
    cache, source = bench.new(), Source(seconds=0)
    await bench.read(cache, bench.key, source.load)
    reads = (bench.read(cache, bench.key, source.load) for _ in range(300))
    async with bench.seats:  # several such crowds keep a small machine busy for seconds
        answers = await asyncio.gather(*reads, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    if failed or source.loads > 1:
        got = (
            f"{len(failed)} get {type(failed[0]).__name__}"
            if failed
            else f"{source.loads - 1} load"
        )
        raise Unmet(
            expected="300 hits for 300 callers at once",
            got=got,
            hint="The pool is full and says so. Let callers wait for a connection, in a semaphore.",
        )
    return "300 hits"


@promise("R14", "A second event loop is welcome")
async def loops_come_and_go(bench: RedisBench) -> str:
    options = bench.known(redis_url=bench.url, **PATIENT)
    try:
        value, wrong = await two_loops(partial(bench.candidate, **options))
    except RuntimeError as error:
        raise Unmet(
            expected="'Ada' in the second asyncio.run()",
            got=str(error),
            hint="A connection belongs to the loop that opened it: keep one client a loop.",
        ) from None
    if value != "Ada":
        raise Unmet(expected="'Ada' in the second asyncio.run()", got=repr(value))
    if wrong:
        raise Unmet(
            expected="'Ada' for everybody, on two loops at the same time",
            got=f"{wrong[0]}, for {len(wrong)} callers",
            hint="Two threads share self, with a loop each. What a loop owns is kept per loop.",
        )
    return "'Ada'"


@promise("R15", "The password shows nowhere")
async def the_password_stays_hidden(bench: RedisBench) -> str:
    return hides_the_password(bench.candidate(redis_url="redis://shop:s3cret@127.0.0.1:6379"))


@promise("R16", "It can tell its hit rate")
async def it_can_be_watched(bench: RedisBench) -> str:
    return await counts_its_hits(bench, bench.new(), bench.key)
