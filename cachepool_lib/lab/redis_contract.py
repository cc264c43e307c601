"""What a cache in Redis promises on top, one small check each, against the real server.

A check uses keys that nobody else has, through a proxy where the server is to fail. Nothing sleeps
through a ttl: what is left of it is rewritten in the server.
"""

import asyncio
import contextlib
import logging
import math
import secrets
import time
import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import redis.asyncio

from .checks import Report, Unmet
from .contract import Bench, ask_all
from .faults import Proxy
from .processes import crowds, two_loops
from .services import services

__all__ = ["PROMISES", "RedisBench", "check", "round_trips"]

GARBAGE = b"\xc1"  # neither JSON nor msgpack
TIMED = {"R7", "R8", "R10", "R12", "R12-kill"}
PATIENT = {"timeout": 5.0}  # where a slow machine must not look like a silent server


class RedisBench(Bench):
    """Builds caches of one class on the server at *url*, with keys of its own."""

    def __init__(self, candidate: type, url: str, seats: asyncio.Semaphore | None = None) -> None:
        super().__init__(candidate)
        self.url = url
        self.seats = seats or asyncio.Semaphore(1)  # for checks with processes
        self.key = f"user:{secrets.token_hex(8)}"
        self.client: Any = redis.asyncio.from_url(url)
        self._caches: list[Any] = []

    def new(self, **options: Any) -> Any:
        usual = {"redis_url": self.url, "namespace": f"check-{self.key[-16:]}", **PATIENT}
        cache = self.candidate(**self.known(**{**usual, **options}))
        self._caches.append(cache)
        return cache

    async def delete(self, cache: Any, key: Any) -> None:
        """Delete, as far as the class can."""
        if hasattr(cache, "delete"):
            await cache.delete(key)

    async def get_many(self, cache: Any, keys: Iterable[Any]) -> dict[Any, Any]:
        if hasattr(cache, "get_many"):
            found: dict[Any, Any] = await cache.get_many(keys)
            return found
        values = {key: await cache.get(key) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    async def names(self) -> list[bytes]:
        """What this check's keys are called in Redis."""
        return [name async for name in self.client.scan_iter(f"*{self.key}*", 1000)]

    async def seconds_left(self) -> float | None:
        """The longest that one of its keys will live: None for ever, 0 for no key."""
        left = [await self.client.pttl(name) for name in await self.names()]
        return None if -1 in left else max(left, default=0) / 1000

    async def close(self) -> None:
        for cache in self._caches:
            await cache.close()
        if names := await self.names():
            await self.client.unlink(*names)
        await self.client.aclose()


Promise = Callable[[RedisBench], Coroutine[Any, Any, str]]
PROMISES: dict[str, tuple[str, Promise]] = {}


def promise(name: str, title: str) -> Callable[[Promise], Promise]:
    def register(function: Promise) -> Promise:
        PROMISES[name] = title, function
        return function

    return register


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's log of each outage, and without the warnings of the naive class: it
    uses what redis-py has deprecated."""
    logger = logging.getLogger("cachepool_lib")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Call to deprecated", DeprecationWarning)
            yield
    finally:
        logger.disabled = before


async def check(names: str, *candidates: type) -> Report:
    """Ask each class for the promises in *names*, against the lab's Redis."""
    url, seats = (await services()).redis_url, asyncio.Semaphore(2)

    async def question(function: Promise, candidate: type) -> str:
        bench = RedisBench(candidate, url, seats)
        try:
            return await function(bench)
        finally:
            await bench.close()

    with _quietly():
        return await ask_all(PROMISES, names, candidates, question, first=TIMED)


class Source:
    """What pages are loaded from: answers with *value* and counts."""

    def __init__(self, value: Any = "Ada") -> None:
        self.value, self.loads = value, 0

    async def load(self) -> Any:
        self.loads += 1
        return self.value


def _name(error: BaseException) -> str:
    return type(error).__name__


@promise("R2", "No value comes back changed")
async def values_come_back(bench: RedisBench) -> str:
    cache = bench.new()
    values = [(1, 2), {1: 2}, datetime(2026, 1, 1), b"raw", {1, 2}, object()]
    for number, value in enumerate(values):
        source = Source(value)
        for _ in range(2):
            try:
                came = await bench.read(cache, f"{bench.key}:{number}", source.load)
            except Exception as error:
                came = _name(error)
            if came != value or type(came) is not type(value):
                shown = repr(value) if number < 5 else "an object"
                raise Unmet(
                    expected=f"{shown}, from the cache or freshly loaded",
                    got=f"{came!r} for {shown}",
                    hint="Store what comes back equal. What can't be stored is still a page.",
                )
    return "6 of 6 as they were"


@promise("R3", "None is loaded once")
async def none_is_an_answer(bench: RedisBench) -> str:
    cache, source = bench.new(), Source(None)
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
            got=f"{_name(error)} for ttl=0.5",
            hint="Redis counts milliseconds too: SET … PX 500.",
        ) from None
    left = await bench.seconds_left()
    if left is None or left > 0.5:
        raise Unmet(expected="half a second for ttl=0.5", got=f"{left} s")
    await cache.set(bench.key, "Ada", ttl=90.5)
    left = await bench.seconds_left()
    if left is None or not 60 < left <= 90.5:
        raise Unmet(expected="a minute and a half for ttl=90.5", got=f"{left} s")
    await cache.set(bench.key, "Ben", ttl=0)
    if (value := await cache.get(bench.key)) is not None:
        raise Unmet(expected="a miss after ttl=0", got=repr(value), hint="Zero: remove it.")
    for ttl in (-1, math.nan):
        try:
            await cache.set(bench.key, "Ada", ttl=ttl)
        except ValueError:
            continue
        except Exception as error:
            raise Unmet(expected=f"ValueError for ttl={ttl}", got=_name(error)) from None
        raise Unmet(
            expected=f"ValueError for ttl={ttl}", got="accepted", hint="Ask `not ttl >= 0`."
        )
    try:
        await bench.read(bench.new(default_ttl=-1), bench.key, Source().load)
    except ValueError:
        pass
    else:
        raise Unmet(
            expected="ValueError for default_ttl=-1",
            got="accepted, and nothing is stored",
            hint="Look at it in __init__: what refuses it later may be suppressed there.",
        )
    return "0.5 s, a miss, ValueError"


@promise("R5", "A page can be dropped; the ttl is the cache's own")
async def pages_can_be_dropped(bench: RedisBench) -> str:
    cache, row = bench.new(default_ttl=60), Source("old")
    await bench.read(cache, bench.key, row.load)
    left = await bench.seconds_left() or math.inf
    row.value = "new"
    await bench.delete(cache, bench.key)
    if (value := await bench.read(cache, bench.key, row.load)) != "new":
        raise Unmet(
            expected="'new', after the row was changed",
            got=f"{value!r}, for {round(left, -1):.0f} s",
            hint="Whoever writes must be able to delete.",
        )
    if left > 60:
        raise Unmet(expected="60 s: default_ttl=60", got=f"{round(left, -1):.0f} s")
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


@promise("R7", "Redis is down, the page comes")
async def down_costs_no_page(bench: RedisBench) -> str:
    async with Proxy(bench.url) as proxy:
        cache, source = bench.new(redis_url=proxy.url), Source()
        await bench.read(cache, bench.key, source.load)
        await proxy.cut()
        for _ in range(3):
            try:
                await bench.read(cache, bench.key, source.load)
            except Exception as error:
                raise Unmet(
                    expected="the page, from the database",
                    got=_name(error),
                    hint="A cache that fails is a miss.",
                ) from None
        await proxy.restore()
        deadline = time.monotonic() + 3
        loads = -1
        while loads != source.loads:  # until one of two reads is a hit
            loads = source.loads
            if time.monotonic() > deadline:
                raise Unmet(expected="hits, now that Redis is back", got="loads again and again")
            await asyncio.sleep(0.1)
            await bench.read(cache, bench.key, source.load)
    return "the page"


@promise("R8", "Redis is silent, the page comes in time")
async def silence_costs_a_moment(bench: RedisBench) -> str:
    async with Proxy(bench.url) as proxy:
        cache, source = bench.new(redis_url=proxy.url, timeout=0.25), Source()
        await bench.read(cache, bench.key, source.load)
        proxy.stall()
        try:
            async with asyncio.timeout(1):
                await bench.read(cache, bench.key, source.load)
        except TimeoutError:
            raise Unmet(
                expected="the page, after a quarter of a second",
                got="no page after 1 s",
                hint="Give the cache a time limit: asyncio.timeout(0.25).",
            ) from None
        finally:
            await proxy.restore()
    return "the page"


@promise("R9", "What can't be read is a miss")
async def corrupt_is_a_miss(bench: RedisBench) -> str:
    cache, source = bench.new(), Source()
    await bench.read(cache, bench.key, source.load)
    for name in await bench.names():
        await bench.client.set(name, GARBAGE, keepttl=True)
    failed = []
    for _ in range(3):
        try:
            await bench.read(cache, bench.key, source.load)
        except Exception as error:
            failed.append(_name(error))
    if failed:
        raise Unmet(
            expected="3 pages",
            got=f"{failed[0]}, {len(failed)} times",
            hint="What can't be decoded is a miss: delete it, and load.",
        )
    return "3 pages"


@promise("R10", "A hundred keys, one trip")
async def many_keys_in_one_trip(bench: RedisBench) -> str:
    keys = [f"{bench.key}:{number}" for number in range(100)]
    cache = bench.new()
    for key in keys:
        await cache.set(key, "Ada")
    trip = 0.005  # seconds
    async with Proxy(bench.url) as proxy:
        far = bench.new(redis_url=proxy.url)
        await far.get(keys[0])
        proxy.slow(trip)
        started = time.monotonic()
        found = await bench.get_many(far, keys)
        trips = (time.monotonic() - started) / trip
    if len(found) != 100:
        raise Unmet(expected="100 values", got=f"{len(found)} values")
    if trips > 50:
        raise Unmet(
            expected="1 trip for 100 keys",
            got="100 trips",
            hint="MGET takes many keys; a pipeline takes many commands.",
        )
    return "1 trip"


@promise("R11", "Closed is closed")
async def closed_is_closed(bench: RedisBench) -> str:
    cache = bench.new()
    await cache.set(bench.key, "Ada")
    await cache.close()
    try:
        value = await cache.get(bench.key)
    except Exception as error:
        return _name(error)
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
    cache, source = bench.new(), Source()
    await bench.read(cache, bench.key, source.load)
    reads = (bench.read(cache, bench.key, source.load) for _ in range(300))
    answers = await asyncio.gather(*reads, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    if failed or source.loads > 1:
        got = f"{len(failed)} get {_name(failed[0])}" if failed else f"{source.loads - 1} load"
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
    cache = bench.candidate(redis_url="redis://shop:s3cret@127.0.0.1:6379")
    for where, text in (("vars()", str(vars(cache))), ("repr()", repr(cache))):
        if "s3cret" in text:
            raise Unmet(
                expected="no password",
                got=f"s3cret in {where}",
                hint="Keep the function that connects, not the address.",
            )
    return "no password"


@promise("R16", "It can tell its hit rate")
async def it_can_be_watched(bench: RedisBench) -> str:
    cache, source = bench.new(), Source()
    for _ in range(4):
        await bench.read(cache, bench.key, source.load)
    if not hasattr(cache, "stats"):
        raise Unmet(
            expected="3 hits of 4",
            got="nobody counts",
            hint="Count hits and misses where they happen.",
        )
    stats = cache.stats()
    seen = f"{stats.hits} hits of {stats.hits + stats.misses}"
    if seen != "3 hits of 4" or stats.hit_rate != 0.75:
        raise Unmet(expected="3 hits of 4, a hit rate of 0.75", got=f"{seen}, {stats.hit_rate}")
    return seen


async def round_trips(candidate: type, values: Iterable[Any]) -> dict[str, str]:
    """What becomes of each value that is read twice, as a page does: the second should be a hit."""
    bench, fate = RedisBench(candidate, (await services()).redis_url), {}
    with _quietly():
        cache = bench.new()
        for number, value in enumerate(values):
            source, key = Source(value), f"{bench.key}:{number}"
            try:
                await bench.read(cache, key, source.load)
                again = await bench.read(cache, key, source.load)
            except Exception as error:
                fate[repr(value)] = f"{_name(error)}, after the load"
                continue
            if again != value or type(again) is not type(value):
                fate[repr(value)] = f"comes back as {again!r}"
            else:
                fate[repr(value)] = "a hit" if source.loads == 1 else "loaded again"
        await bench.close()
    return fate
