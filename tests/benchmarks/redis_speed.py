"""What a call on Redis costs beside a plain GET, and beside the peers: all on the same server.

The floor is what one would write by hand with redis-py: GET, then json.loads. In every round each
subject makes its calls one after another, and so does the floor just before it; the median of the
rounds' quotients counts. By the clock it is what a caller waits, the server's part included: of
one caller it hides what is done while the server works, which others would wait for. So peers are
compared by what they take of this process's processor, and but for one caller's hit, which by the
clock is a draw, by the clock as well.
"""

import asyncio
import itertools
import json
import statistics
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiocache
import aiocache.serializers
import cashews
import redis.asyncio

from cachepool_lib import RedisCache
from cachepool_lib.lab.servers.services import services

from .speed import compiled

PAGE = {"id": 7, "name": "Ada Lovelace", "email": "ada@example.org", "orders": 12, "vip": True}
KEY = "user:7"
MANY = [f"user:{number}" for number in range(100)]


@dataclass
class Subject:
    """A statement and what it took in each round: µs by the clock, divided by the floor, and µs of
    the processor.
    """

    title: str
    statement: str
    calls: int = 200
    target: float | None = None  # at most so many times the floor
    behind: "Subject | None" = None  # what does the same here, and should take less
    hand: "Subject | None" = None  # the same by hand: at most *share* times that
    share: float = 1.0
    us: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


FLOOR = Subject("by hand: json.loads(await redis.get(name))", "json.loads(await client.get(name))")
GET = Subject("RedisCache.get", "await ours.get(key)", target=1.15)
LOAD = Subject("RedisCache.get_or_load", "await ours.get_or_load(key, load)", target=1.15)
HITS = [
    GET,
    LOAD,
    Subject("aiocache, Redis and JSON, get", "await aiocache.get(key)", behind=GET),
    Subject("cashews, get", "await cashews.get(key)", behind=GET),
    Subject("cashews, get_or_set", "await cashews.get_or_set(key, load, expire=300)", behind=LOAD),
]


def crowd(number: int, share: float) -> list[Subject]:
    """A hit for each of so many callers at once: at most *share* of what it takes by hand."""
    hand = Subject(FLOOR.title, f"await at_once({number}, by_hand)", 400 // number)
    get = f"await at_once({number}, ours.get, key)"
    ours = Subject("RedisCache.get", get, 400 // number, hand=hand, share=share)
    load = f"await at_once({number}, ours.get_or_load, key, load)"
    loads = Subject("RedisCache.get_or_load", load, 400 // number, hand=hand, share=share)
    theirs = [
        Subject(title, f"await at_once({number}, {name}, key)", 400 // number, behind=ours)
        for title, name in {
            "aiocache, Redis and JSON, get": "aiocache.get",
            "cashews, get": "cashews.get",
        }.items()
    ]
    return [hand, ours, loads, *theirs]


CROWD = crowd(20, 0.5)
HUNDRED_CALLERS = crowd(100, 0.4)
SET_BY_HAND = Subject("by hand: redis.set(name, data, px=…)", "await at_once(20, set_by_hand)", 20)
WRITES_AT_ONCE = [
    SET_BY_HAND,
    Subject(
        "RedisCache.set", "await at_once(20, ours.set, key, page)", 20, hand=SET_BY_HAND, share=0.6
    ),
]
WRITES = [
    Subject("RedisCache.set", "await ours.set(key, page, 300)"),
    Subject("aiocache, Redis and JSON, set", "await aiocache.set(key, page, ttl=300)"),
    Subject("cashews, set", "await cashews.set(key, page, expire=300)"),
]
MANY_AT_ONCE = Subject("RedisCache.get_many of 100", "await ours.get_many(many)", calls=20)
HUNDRED = [
    Subject("RedisCache: 100 × get", "for one in many: await ours.get(one)", calls=3),
    MANY_AT_ONCE,
    Subject(
        "aiocache.multi_get of 100",
        "await aiocache.multi_get(many)",
        calls=20,
        behind=MANY_AT_ONCE,
    ),
    Subject(
        "cashews.get_many of 100", "await cashews.get_many(*many)", calls=20, behind=MANY_AT_ONCE
    ),
    Subject(
        "RedisCache: 100 × get_or_load", "for one in many: await ours.get_or_load(one, load)", 3
    ),
    Subject(
        "RedisCache.get_or_load_many of 100", "await ours.get_or_load_many(many, load_many)", 20
    ),
]
NEW = [
    Subject(
        "RedisCache: 100 × get_or_load, 100 loads",
        "for one in new_keys(): await ours.get_or_load(one, load)",
        3,
    ),
    Subject(
        "RedisCache.get_or_load_many of 100, 1 load",
        "await ours.get_or_load_many(new_keys(), load_many)",
        3,
    ),
]
GROUPS = {
    "a hit": HITS,
    "a hit for each of 20 callers at once": CROWD,
    "a hit for each of 100 callers at once": HUNDRED_CALLERS,
    "a write": WRITES,
    "a write of each of 20 callers at once": WRITES_AT_ONCE,
    "a hundred keys": HUNDRED,
    "a hundred new keys, and a load that takes no time": NEW,
}
FASTER = 8  # get_many of 100 keys than 100 gets


async def load() -> Any:
    return PAGE


async def load_many(keys: list[str]) -> dict[str, Any]:
    return dict.fromkeys(keys, PAGE)


numbers = itertools.count()


def new_keys() -> list[str]:
    return [f"new:{next(numbers)}" for _ in range(100)]


async def at_once(number: int, call: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    await asyncio.gather(*(call(*arguments) for _ in range(number)))


@asynccontextmanager
async def contenders() -> AsyncIterator[dict[str, Any]]:
    """Each cache on the same server, with the same page under all keys."""
    warnings.filterwarnings("ignore", "Call to deprecated setex")  # by aiocache
    url = (await services()).redis_url
    ours = RedisCache(url, namespace="benchmark", timeout=5)
    client = redis.asyncio.Redis.from_url(url)
    address, _, database = url.removeprefix("redis://:").partition("/")
    password, _, place = address.rpartition("@")
    host, _, port = place.partition(":")
    theirs = aiocache.RedisCache(
        endpoint=host,
        port=int(port),
        password=password,
        db=int(database or 0),
        namespace="benchmark-aiocache:",
        serializer=aiocache.serializers.JsonSerializer(),
    )
    others = cashews.Cache()
    backend: Any = others.setup(url, client_side=False)
    name = f"benchmark:{{{KEY}}}"

    async def by_hand() -> Any:
        return json.loads(await client.get(name))

    async def set_by_hand() -> None:
        await client.set("benchmark-by-hand", json.dumps(PAGE), px=300_000)

    names = {
        "by_hand": by_hand,
        "set_by_hand": set_by_hand,
        "json": json,
        "page": PAGE,
        "load": load,
        "load_many": load_many,
        "new_keys": new_keys,
        "at_once": at_once,
        "many": MANY,
        "name": name,
        "client": client,
        "ours": ours,
        "aiocache": theirs,
        "cashews": others,
    }
    async with client, ours:
        for key in MANY:
            await ours.set(key, PAGE)
            await theirs.set(key, PAGE, ttl=300)
            await others.set(key, PAGE, expire=300)
        try:
            yield names
        finally:
            await ours.clear()
            await client.delete("benchmark-by-hand")
            for key in MANY:
                await theirs.delete(key)
                await others.delete(key)
            # Their own close leaves connections open.
            await theirs.client.connection_pool.disconnect()
            await backend._client.connection_pool.disconnect()


async def took(run: Callable[[Any], Awaitable[None]], calls: int) -> tuple[float, float]:
    """Microseconds a call, by the clock and of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    await run([KEY] * calls)
    spent = time.perf_counter() - started, time.process_time() - worked
    return spent[0] / calls * 1e6, spent[1] / calls * 1e6


async def measure(rounds: int = 15) -> None:
    """Fill in the figures of all subjects."""
    subjects = [subject for group in GROUPS.values() for subject in group]
    async with contenders() as names:
        floor = compiled(FLOOR.statement, names)
        runs = [compiled(subject.statement, names) for subject in subjects]
        for number in range(rounds + 1):
            for subject, run in zip(subjects, runs, strict=True):
                at_least, least_worked = await took(floor, FLOOR.calls)
                spent, worked = await took(run, subject.calls)
                if number:  # the first round opens connections, and is not counted
                    FLOOR.us.append(at_least)
                    FLOOR.processor.append(least_worked)
                    subject.us.append(spent)
                    subject.processor.append(worked)
                    subject.ratios.append(spent / at_least)


def report() -> bool:
    """Print what measure() found. True if the targets are met and the peers are behind."""
    median = statistics.median
    print(f"\n{'On Redis':46} processor {'µs':>7}  x floor  target")
    print(f"{FLOOR.title:46} {median(FLOOR.processor):9,.0f} {median(FLOOR.us):7,.0f} {1:8.2f}")
    missed = []
    for title, subjects in GROUPS.items():
        print(f"\n{title}")
        for one in subjects:
            target = "" if one.target is None else f"  <= {one.target:g}"
            ratio = median(one.ratios)
            spent = f"{median(one.processor):9,.0f} {median(one.us):7,.0f}"
            print(f"  {one.title:44} {spent} {ratio:8.2f}{target}")
            if one.target is not None and ratio > one.target:
                missed.append(f"{one.title} is above {one.target:g} x floor")
            if one.hand is not None:
                share = median(a / b for a, b in zip(one.us, one.hand.us, strict=True))
                print(f"    {share:.2f} x by hand, target <= {one.share:g}")
                if share > one.share:
                    missed.append(f"{one.title} is above {one.share:g} x by hand, {title}")
        # Like is compared with like: the rounds are interleaved. A write does more here: it voids
        # loads under way, in one step with the rest.
        for one in subjects:
            ours = one.behind
            if ours is None:
                continue
            if median(one.processor) <= median(ours.processor):
                missed.append(f"{one.title} takes less of the processor than {ours.title}")
            if subjects is not HITS and median(one.us) <= median(ours.us):
                missed.append(f"{one.title} is faster than {ours.title}")
    one_by_one = HUNDRED[0]
    times = median(one_by_one.ratios) / median(MANY_AT_ONCE.ratios)
    print(f"\nget_many of 100 keys is {times:.1f} times faster than 100 gets, target >= {FASTER}")
    if times < FASTER:
        missed.append("get_many is not fast enough")
    for line in missed:
        print(f"MISSED  {line}")
    if not missed:
        print(
            "All targets are met, and each read takes less than the same in aiocache and cashews."
        )
    return not missed
