"""`python -m tests.benchmarks`: minutes of figures. `--quick` only shows that it runs."""

import argparse
import asyncio
import platform
from importlib.metadata import version

from cachepool_lib import AsyncCache
from cachepool_lib.lab.command import run
from cachepool_lib.lab.simulation.policies import lru
from cachepool_lib.lab.simulation.traffic import TRACES, trace

from . import (
    decorator_speed,
    loop_speed,
    metrics_speed,
    pool_speed,
    redis_speed,
    speed,
    tiered_speed,
)
from .reference import s3fifo
from .simulation_speed import requests_per_second

PEERS = (
    *("aiocache", "async-lru", "asyncpg", "cachebox", "cachetools", "cachetools-async", "cashews"),
    *("prometheus-client", "psycopg-pool", "redis", "sqlalchemy", "theine"),
)
ROOM = 1_000
SIMULATED = {"replay": 10_000, "twin": 300_000}  # requests a second, at least


async def hit_ratio(keys: list[int]) -> float:
    cache = AsyncCache(maxsize=ROOM)
    for key in keys:
        await cache.get_or_load(key, speed.load)
    return cache.stats().hit_rate


def hit_ratios(length: int) -> bool:
    """Print the hit ratios on four kinds of trace. True if ours is that of the better one."""
    print(f"\nHit ratio: room for {ROOM:,}, {length:,} requests, seed 1")
    print(f"  {'trace':12} {'universe':>9} {'LRU':>8} {'published S3-FIFO':>20} {'AsyncCache':>12}")
    met = True
    for kind, universe in TRACES.items():
        keys = trace(kind, length)
        least, published, ours = lru(keys, ROOM), s3fifo(keys, ROOM), asyncio.run(hit_ratio(keys))
        print(f"  {kind:12} {universe:9,} {least:8.3f} {published:20.3f} {ours:12.3f}")
        met = met and ours >= max(published, least) - 0.005
    print("At least the better of both, less 0.005, on all four." if met else "MISSED")
    return met


def simulation(seconds: float) -> bool:
    """Print how many requests a second of processor time are simulated."""
    print("\nSimulated requests a second")
    met = True
    for name, requests in requests_per_second(seconds).items():
        what = "AsyncCache on the simulated loop" if name == "replay" else "event-queue twin"
        print(f"  {what:34} {requests:9,.0f}  target >= {SIMULATED[name]:,}")
        met = met and requests >= SIMULATED[name]
    print("Both targets are met." if met else "MISSED")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="too few calls to mean anything")
    quick = parser.parse_args().quick
    rounds = 2 if quick else 15
    peers = ", ".join(f"{name} {version(name)}" for name in PEERS)
    print(f"Python {platform.python_version()}, {peers}; median of {rounds} interleaved rounds\n")
    asyncio.run(speed.measure(rounds, share=0.01 if quick else 1))
    asyncio.run(decorator_speed.measure(rounds, share=0.01 if quick else 1))
    asyncio.run(redis_speed.measure(rounds))
    loop_speed.measure(rounds, share=0.01 if quick else 1)
    asyncio.run(tiered_speed.measure(rounds, share=0.01 if quick else 1))
    asyncio.run(pool_speed.measure(rounds, share=0.05 if quick else 1))
    asyncio.run(metrics_speed.measure(rounds, share=0.05 if quick else 1))
    met = [
        speed.report(),
        decorator_speed.report(),
        redis_speed.report(),
        tiered_speed.report(),
        pool_speed.report(),
        metrics_speed.report(),
        hit_ratios(5_000 if quick else 200_000),
        simulation(10 if quick else 600),
    ]
    loop_speed.report()
    if quick:
        print("\nIt runs. Figures of so few calls mean nothing.")
    else:
        print("\nAll targets are met." if all(met) else "\nSome targets were MISSED.")
    return 0


run(main)
