"""What a pool of connections promises, one small check each, against the real PostgreSQL.

A check's connections carry a name of their own, so that the server can tell how many there are. No
check counts on the machine being fast: what happens is ordered by events, and a wait only ends a
check that has failed.
"""

import asyncio

from cachepool_lib.lab.contracts.pool import borrowing, opening, queries
from cachepool_lib.lab.contracts.pool.bench import PoolBench, watching
from cachepool_lib.lab.notebook.checks import Check, Report, ask_all, by_number
from cachepool_lib.lab.servers.services import services

PROMISES = by_number(opening.PROMISES, borrowing.PROMISES, queries.PROMISES)
TIMED = {"P3", "P4", "P5", "P8", "P18"}


async def check(names: str, *candidates: type) -> Report:
    """Ask each class for the promises in *names*, against the lab's PostgreSQL."""
    url, seats = (await services()).database_url, asyncio.Semaphore(12)  # connections are scarce

    async def question(function: Check[PoolBench], candidate: type) -> str:
        async with seats, PoolBench(candidate, url) as bench:
            return await function(bench)

    with watching():
        return await ask_all(PROMISES, names, candidates, question, first=TIMED)
