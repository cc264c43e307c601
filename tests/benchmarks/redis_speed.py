"""What a call on Redis costs beside a plain GET, and beside the peers: all on the same server.

The floor is what one would write by hand with redis-py: GET, then json.loads. In every round each
subject makes its calls one after another, and so does the floor just before it; the median of the
rounds' quotients counts. Time is the clock's: what a caller waits, the server's part included.
"""

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
from cachepool_lib.lab.services import services

from .speed import compiled

PAGE = {"id": 7, "name": "Ada Lovelace", "email": "ada@example.org", "orders": 12, "vip": True}
KEY = "user:7"
MANY = [f"user:{number}" for number in range(100)]


@dataclass
class Subject:
    """A statement and how long it took, for each round: in µs, and divided by the floor."""

    title: str
    statement: str
    calls: int = 200
    target: float | None = None  # at most so many times the floor
    us: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


FLOOR = Subject("by hand: json.loads(await redis.get(name))", "json.loads(await client.get(name))")
HITS = [
    Subject("RedisCache.get", "await ours.get(key)", target=1.25),
    Subject("RedisCache.get_or_load", "await ours.get_or_load(key, load)", target=1.25),
    Subject("aiocache, Redis and JSON, get", "await aiocache.get(key)"),
    Subject("cashews, get", "await cashews.get(key)"),
    Subject("cashews, get_or_set", "await cashews.get_or_set(key, load, expire=300)"),
]
WRITES = [
    Subject("RedisCache.set", "await ours.set(key, page, 300)"),
    Subject("aiocache, Redis and JSON, set", "await aiocache.set(key, page, ttl=300)"),
    Subject("cashews, set", "await cashews.set(key, page, expire=300)"),
]
HUNDRED = [
    Subject("RedisCache: 100 × get", "for one in many: await ours.get(one)", calls=3),
    Subject("RedisCache.get_many of 100", "await ours.get_many(many)", calls=20),
    Subject("aiocache.multi_get of 100", "await aiocache.multi_get(many)", calls=20),
    Subject("cashews.get_many of 100", "await cashews.get_many(*many)", calls=20),
]
FASTER = 8  # get_many of 100 keys than 100 gets


async def load() -> Any:
    return PAGE


@asynccontextmanager
async def contenders() -> AsyncIterator[dict[str, Any]]:
    """Each cache on the same server, with the same page under all keys."""
    warnings.filterwarnings("ignore", "Call to deprecated setex")  # by aiocache
    url = (await services()).redis_url
    ours = RedisCache(url, namespace="benchmark")
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
    names = {
        "json": json,
        "page": PAGE,
        "load": load,
        "many": MANY,
        "name": f"benchmark:{{{KEY}}}",
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
            for key in MANY:
                await theirs.delete(key)
                await others.delete(key)
            # Their own close leaves connections open.
            await theirs.client.connection_pool.disconnect()
            await backend._client.connection_pool.disconnect()


async def took(run: Callable[[Any], Awaitable[None]], calls: int) -> float:
    """Microseconds a call."""
    started = time.perf_counter()
    await run([KEY] * calls)
    return (time.perf_counter() - started) / calls * 1e6


async def measure(rounds: int = 15) -> None:
    """Fill in the figures of all subjects."""
    subjects = [*HITS, *WRITES, *HUNDRED]
    async with contenders() as names:
        floor = compiled(FLOOR.statement, names)
        runs = [compiled(subject.statement, names) for subject in subjects]
        for number in range(rounds + 1):
            for subject, run in zip(subjects, runs, strict=True):
                at_least = await took(floor, FLOOR.calls)
                spent = await took(run, subject.calls)
                if number:  # the first round opens connections, and is not counted
                    FLOOR.us.append(at_least)
                    subject.us.append(spent)
                    subject.ratios.append(spent / at_least)


def report() -> bool:
    """Print what measure() found. True if the targets are met and the peers are behind."""
    print(f"\n{'On Redis':52} {'µs':>7}  x floor  target")
    print(f"{FLOOR.title:52} {statistics.median(FLOOR.us):7,.0f} {1:8.2f}")
    missed = []
    for title, subjects in {"a hit": HITS, "a write": WRITES, "a hundred keys": HUNDRED}.items():
        print(f"\n{title}")
        middle = {one.title: statistics.median(one.ratios) for one in subjects}
        for one in subjects:
            target = "" if one.target is None else f"  <= {one.target:g}"
            ratio = middle[one.title]
            print(f"  {one.title:50} {statistics.median(one.us):7,.0f} {ratio:8.2f}{target}")
            if one.target is not None and ratio > one.target:
                missed.append(f"{one.title} is above {one.target:g} x floor")
        # A write does more here: it voids loads under way, in one step with the rest.
        slowest = max(
            ratio
            for name, ratio in middle.items()
            if name.startswith("RedisCache") and "×" not in name
        )
        missed += [
            f"{name} is faster"
            for name, ratio in middle.items()
            if subjects is not WRITES and not name.startswith("RedisCache") and ratio <= slowest
        ]
    one_by_one, at_once = HUNDRED[:2]
    times = statistics.median(one_by_one.ratios) / statistics.median(at_once.ratios)
    print(f"\nget_many of 100 keys is {times:.1f} times faster than 100 gets, target >= {FASTER}")
    if times < FASTER:
        missed.append("get_many is not fast enough")
    for line in missed:
        print(f"MISSED  {line}")
    if not missed:
        print("All targets are met, and all reads are faster than those of aiocache and cashews.")
    return not missed
