"""Experiments with what happens to a pool: a silent server, connections that are cut."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cachepool_lib.lab.contracts.pool.bench import bench_of
from cachepool_lib.lab.servers.proxy import Proxy

SILENCE = 2.0  # seconds for which lab.silence keeps the server silent


@dataclass(frozen=True)
class Silence:
    """When each caller was answered, in seconds since it asked; None: not as long as we looked."""

    answered: Sequence[float | None]
    promised: float
    watched: float

    @property
    def slowest(self) -> float | None:
        """None if somebody was not answered."""
        seconds = [at for at in self.answered if at is not None]
        return max(seconds) if len(seconds) == len(self.answered) else None


async def silence(candidate: type, *, callers: int = 3, promised: float = 1) -> Silence:
    """Ask a server that has just fallen silent, each caller inside asyncio.timeout(promised).

    A proxy lets nothing through for SILENCE seconds; the connections stay open.
    """
    async with bench_of(candidate) as bench, Proxy(bench.url) as proxy:
        pool = bench.new(database_url=proxy.url, min_size=callers, max_size=callers)
        await pool.initialize()
        await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(callers)))
        proxy.stall()
        start = time.perf_counter()
        answered: list[float | None] = [None] * callers

        async def caller(number: int) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(promised):
                    await pool.fetch("SELECT 1")
            if time.perf_counter() < start + SILENCE:
                answered[number] = time.perf_counter() - start

        tasks = [asyncio.create_task(caller(number)) for number in range(callers)]
        await asyncio.wait(tasks, timeout=SILENCE)
        await proxy.restore()
        await asyncio.wait(tasks, timeout=5)
    return Silence(answered, promised, SILENCE)


async def idle_cut(candidate: type, connections: int = 3) -> list[str]:
    """End all idle connections at the server, and ask as many times at once, without a pause."""
    async with bench_of(candidate) as bench:
        pool = bench.new(min_size=connections, max_size=connections)
        await pool.initialize()
        bench.kill_idle()
        calls = (pool.fetch("SELECT 1") for _ in range(connections))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        return [type(a).__name__ if isinstance(a, BaseException) else "a row" for a in answers]
