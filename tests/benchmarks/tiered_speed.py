"""A hit in the first tier beside AsyncCache and cashews; and what becomes of it in bad times.

cashews has a first tier as well (`client_side=True`, by CLIENT TRACKING), aiocache has none. With
redis-py 8, cashews 7.6 hears of no change unless it is told protocol=2, so it is.
"""

import asyncio
import gc
import logging
import statistics
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cashews

from cachepool_lib import AsyncCache, RedisCache, TieredCache, async_cache
from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.lab.servers.services import services

from .speed import KEY, compiled

MOST = 1.5  # times what AsyncCache takes
ENDS = 60  # seconds that a page lives


@dataclass
class Subject:
    """A statement, what AsyncCache does of the same kind, and nanoseconds in each round."""

    title: str
    statement: str
    memory: "Subject | None" = None
    calls: int = 20_000
    ns: list[float] = field(default_factory=list)


def section(of_memory: str, of_tiers: str, of_cashews: str) -> list[Subject]:
    memory = Subject("AsyncCache", of_memory)
    peer = Subject("cashews, client_side=True", of_cashews, calls=1_000)
    return [memory, Subject("TieredCache", of_tiers, memory), peer]


SECTIONS = {
    "get": section("await near.get(key)", "await tiers.get(key)", "await peer.get(key)"),
    "get_or_load": section(
        "await near.get_or_load(key, load)",
        "await tiers.get_or_load(key, load)",
        "await peer.get_or_set(key, load, expire=60)",
    ),
    "under the decorator": section("await page(7)", "await tiered_page(7)", "await peer_page(7)"),
}
FOUND: dict[str, tuple[str, str]] = {}  # what happens: ours, and theirs


async def load() -> str:
    return "page"


async def page(number: int) -> str:
    return "page"


@asynccontextmanager
async def pair(url: str, namespace: str) -> AsyncIterator[tuple[TieredCache, Any]]:
    """A TieredCache and a cache of cashews, as one process would have them."""
    warnings.filterwarnings("ignore", "Call to deprecated close")  # by cashews
    peer = cashews.Cache()
    peer.setup(url, client_side=True, protocol=2)
    await peer.init()
    try:
        async with TieredCache(AsyncCache(), RedisCache(url, namespace=namespace)) as tiers:
            await tiers.connect()
            yield tiers, peer
            await tiers.clear()
            await peer.clear()
    finally:
        await peer.close()


async def measure(rounds: int = 15, share: float = 1.0) -> None:
    """Fill in the figures of all subjects, and what happens in bad times."""
    url = (await services()).redis_url
    subjects = [subject for subjects in SECTIONS.values() for subject in subjects]
    async with AsyncCache() as near, pair(url, "benchmark-hits") as (tiers, peer):
        names: dict[str, Any] = {"near": near, "tiers": tiers, "peer": peer, "load": load}
        names["page"] = async_cache(cache=near)(page)
        names["tiered_page"] = async_cache(cache=tiers, name="page")(page)
        names["peer_page"] = peer(ttl=ENDS)(page)
        runs = [compiled(subject.statement, names) for subject in subjects]
        for number in range(rounds + 1):
            for subject, run in zip(subjects, runs, strict=True):
                calls = max(1, int(subject.calls * share))
                for cache in near, tiers, peer:
                    await cache.set(KEY, "page")
                await run([KEY] * 3)
                gc.collect()
                gc.disable()
                began = time.process_time_ns()
                await run([KEY] * calls)
                spent = (time.process_time_ns() - began) / calls
                gc.enable()
                if number:
                    subject.ns.append(spent)
    logging.disable(logging.CRITICAL)  # outages are meant
    try:
        await two_processes(url)
        await cut_off(url, 3 * min(1, share * 5))
    finally:
        logging.disable(logging.NOTSET)


async def two_processes(url: str) -> None:
    """One load for the callers of both; and a delete by one while the other loads."""
    async with pair(url, "benchmark-two") as here, pair(url, "benchmark-two") as there:
        ours = await loads_of(here[0].get_or_load, there[0].get_or_load)
        theirs = await loads_of(
            partial(here[1].get_or_set, expire=ENDS), partial(there[1].get_or_set, expire=ENDS)
        )
        FOUND["loads for 10 callers in each of two processes"] = str(ours), str(theirs)
        FOUND["read after a delete while the page was loaded"] = (
            await deleted(here[0].get_or_load, there[0]),
            await deleted(partial(here[1].get_or_set, expire=ENDS), there[1]),
        )


async def loads_of(*asks: Callable[..., Awaitable[Any]]) -> int:
    """How many loads it takes to answer ten callers of each."""
    loads = 0

    async def slow() -> str:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.05)
        return "page"

    await asyncio.gather(*(ask("a", slow) for ask in asks for _ in range(10)))
    return loads


async def deleted(ask: Callable[..., Awaitable[Any]], there: Any) -> str:
    """What one reads there after it has deleted what was being loaded here."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def old() -> str:
        begun.set()
        await may_end.wait()
        return "the old page"

    loading = asyncio.ensure_future(ask("b", old))
    await begun.wait()
    await there.delete("b")
    may_end.set()
    await loading
    return await there.get("b") or "nothing, so it is loaded"


async def cut_off(url: str, seconds: float) -> None:
    """Reads while Redis can't be reached, of a page that lives for a minute."""
    async with Proxy(url) as proxy, pair(proxy.url, "benchmark-cut") as (tiers, peer):
        for cache in tiers, peer:
            await cache.set("a", "page", ENDS)
            await cache.get("a")
        await proxy.cut()
        answered = [0, 0]
        for _ in range(30):
            for number, cache in enumerate((tiers, peer)):
                answered[number] += await cache.get("a") == "page"
            await asyncio.sleep(seconds / 30)
        await proxy.restore()
        FOUND[f"of 30 reads while Redis was away for {seconds:g} s"] = (
            f"{answered[0]} answered",
            f"{answered[1]} answered",
        )
        while not await tiers.clear():
            await asyncio.sleep(0.05)


def report() -> bool:
    """Print what measure() found. True if a hit reaches its target."""
    missed = []
    print("\nIn the first tier, a hit")
    for title, subjects in SECTIONS.items():
        print(f"\n{title}")
        for one in subjects:
            against = ""
            if one.memory is not None:
                ratio = statistics.median(a / b for a, b in zip(one.ns, one.memory.ns, strict=True))
                against = f" {ratio:8.2f} x AsyncCache  <= {MOST:g}"
                if ratio > MOST:
                    missed.append(f"TieredCache, {title}: above {MOST:g} x AsyncCache")
            print(f"  {one.title:50} {statistics.median(one.ns):7,.0f}{against}")
    print(f"\n{'In bad times':52} {'TieredCache':26} cashews, client_side=True")
    for what, (ours, theirs) in FOUND.items():
        print(f"  {what:50} {ours:26} {theirs}")
    for line in missed:
        print(f"MISSED  {line}")
    return not missed
