"""How many simulated requests a second: `python tests/benchmarks/simulation_speed.py`."""

import asyncio
import time

from cachepool_lib import AsyncCache, lab
from cachepool_lib.lab.simulation.replay import PageFunction


def requests_per_second(seconds: float = 600) -> dict[str, float]:
    """Replay and twin on ten minutes of traffic, in requests a second of processor time.

    A replayed request has three timers: its arrival, a time limit, and the query or a pause that
    takes its place.
    """
    traffic = lab.traffic(seconds=seconds)
    database = lab.Database(0.02)

    def make() -> PageFunction:
        cache = AsyncCache(60, maxsize=1000, clock=lab.clock)

        async def page(user_id: int) -> object:
            async with asyncio.timeout(1):
                queries = database.queries
                value = await cache.get_or_load(user_id, lambda: database.page(user_id))
                if database.queries == queries:
                    await asyncio.sleep(0.001)
                return value

        return page

    speeds = {}
    begun = time.process_time()
    lab.replay(make, traffic, database=database)
    speeds["replay"] = len(traffic) / (time.process_time() - begun)
    begun = time.process_time()
    lab.twin(traffic, ttl=60, maxsize=1000)
    speeds["twin"] = len(traffic) / (time.process_time() - begun)
    return speeds


if __name__ == "__main__":
    for name, speed in requests_per_second().items():
        print(f"{name}: {speed:,.0f} requests a second")
