"""What a scrape costs, and what a pool pays for it at each borrowing. A cache pays nothing."""

import asyncio
import statistics
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from cachepool_lib import AsyncCache, DatabasePool
from cachepool_lib.lab.servers.services import services
from cachepool_lib.metrics import Collector
from cachepool_lib.stats import Durations

CACHES = 10
TARGET = 2_000  # µs for a scrape of so many caches and a pool, at most
SCRAPE = f"a scrape of {CACHES} caches and a pool, as text"
TIMES: dict[str, list[float]] = {}  # µs of the processor


async def load() -> str:
    return "page"


def took(call: Callable[[], object], calls: int) -> float:
    begun = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - begun) / calls * 1e6


async def measure(rounds: int = 15, share: float = 1) -> None:
    """Fill in the figures. The pool remembers a thousand borrowings, so percentiles cost most."""
    caches = {f"cache {number}": AsyncCache() for number in range(CACHES)}
    for cache in caches.values():
        await cache.get_or_load("key", load)
    async with DatabasePool((await services()).database_url, 4, 4) as pool:
        rest = iter(range(Durations.REMEMBERED))

        async def work() -> None:
            for _ in rest:
                await pool.fetchval("SELECT 1")

        await asyncio.gather(*(work() for _ in range(20)))
        registry, durations = CollectorRegistry(), Durations()
        registry.register(Collector(caches, {"shop": pool}))
        calls: dict[str, tuple[Callable[[], object], int]] = {
            SCRAPE: (lambda: generate_latest(registry), 50),
            "of this DatabasePool.stats()": (pool.stats, 200),
            "of this AsyncCache.stats(), each": (cache.stats, 1_000),
            "at a borrowing: to count its wait, or its hold": (lambda: durations.add(0.01), 20_000),
        }
        for _ in range(rounds):
            for title, (call, number) in calls.items():
                TIMES.setdefault(title, []).append(took(call, max(1, int(number * share))))


def report() -> bool:
    """Print what measure() found. True if the target is met."""
    print("\nMetrics, µs of the processor")
    for title, us in TIMES.items():
        target = f"  target <= {TARGET:,}" if title == SCRAPE else ""
        print(f"  {title:50} {statistics.median(us):9,.2f}{target}")
    met = statistics.median(TIMES[SCRAPE]) <= TARGET
    print("The target is met." if met else "MISSED")
    return met
