"""Feedback on the exercises: the smallest case that goes wrong, and a hint.

A check never raises. It calls the learner's own function or class, in simulated time or on the
lab's Redis, and stops at the first case that goes wrong; the order of the cases is the order in
which people meet them.
"""

import asyncio
import re
from dataclasses import replace
from importlib import import_module
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import LIMIT
from cachepool_lib.lab.notebook import recorder
from cachepool_lib.lab.notebook.checks import Checks, Result, judge
from cachepool_lib.lab.simulation.loop import simulate, too_late

# Their modules bring redis or asyncpg: imported when they are asked for.
WHERE = {
    "00-1": "cachepool_lib.lab.exercises.memory",
    "01-1": "cachepool_lib.lab.exercises.memory",
    "01-2": "cachepool_lib.lab.exercises.single_flight",
    "01-3": "cachepool_lib.lab.exercises.leaving",
    "01-4": "cachepool_lib.lab.exercises.lease",
    "02-1": "cachepool_lib.lab.exercises.lost_write",
    "02-2": "cachepool_lib.lab.exercises.redis_outage",
    "02-3": "cachepool_lib.lab.exercises.redis_lock",
    "02-4": "cachepool_lib.lab.exercises.redis_lock",
    "03-1": "cachepool_lib.lab.exercises.call_key",
    "03-2": "cachepool_lib.lab.exercises.instances",
    "03-3": "cachepool_lib.lab.exercises.stale",
    "04-1": "cachepool_lib.lab.exercises.pool_opening",
    "04-2": "cachepool_lib.lab.exercises.pool",
    "04-3": "cachepool_lib.lab.exercises.pool_queue",
    "04-4": "cachepool_lib.lab.exercises.pool_lost_slot",
    "05-1": "cachepool_lib.lab.exercises.service_lifespan",
    "05-2": "cachepool_lib.lab.exercises.service_move",
    "05-3": "cachepool_lib.lab.exercises.service_outage",
    "05-4": "cachepool_lib.lab.exercises.service_sign_up",
    "06-1": "cachepool_lib.lab.exercises.canary",
    "06-2": "cachepool_lib.lab.exercises.watch_hit_rate",
    "06-3": "cachepool_lib.lab.exercises.pool_advice",
    "06-4": "cachepool_lib.lab.exercises.early_leaver",
    "07-1": "cachepool_lib.lab.exercises.key_owner",
    "07-2": "cachepool_lib.lab.exercises.first_tier",
    "07-3": "cachepool_lib.lab.exercises.queue_places",
    "07-4": "cachepool_lib.lab.exercises.tenants",
}
REAL = {"02-1", "02-4"}  # in real time, on the lab's Redis; the others in simulated time
# Seconds, instead of LIMIT: a ring that is sorted in each call takes two, and many on a machine
# that is busy.
LIMITS = {"07-1": 120}


async def exercise(name: str, answer: Any) -> Result:
    """Look at the *answer* to the exercise called *name*, such as "01-1"."""
    exercises: Checks[Any] = import_module(WHERE[name]).EXERCISES
    title, function = exercises[name]

    async def silently() -> str:
        # What is wrong with an answer is in the message, not in a hundred tracebacks beside it.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        return await function(answer)

    async def in_time() -> str:
        attempt = asyncio.ensure_future(function(answer))
        try:
            await asyncio.wait([attempt], timeout=LIMIT)
            late = not attempt.done()
        finally:
            while not attempt.done():  # once is not enough: wait_for may swallow it (before 3.12)
                attempt.cancel()
                await asyncio.wait([attempt], timeout=0.1)
        if late:
            raise TimeoutError(too_late(LIMIT)) from (
                None if attempt.cancelled() else attempt.exception()
            )
        return attempt.result()

    async def question() -> str:
        if name in REAL:
            return await in_time()
        return simulate(silently(), limit=LIMITS.get(name, LIMIT))

    with recorder.overheard() as heard:
        seen = await judge(name, title, question())
    if any("was never awaited" in text for text in heard) and seen.status != "not solved yet":
        got = (
            "A coroutine was never awaited." if seen.passed else re.sub(" at 0x\\w+", "", seen.got)
        )
        hint = "An `await` is missing: without it the call doesn't even begin."
        seen = replace(seen, status="failed", got=got, hint=hint)
    elif "NameError: " in seen.got and not seen.hint:
        hint = (
            "Nothing has that name: define it, or import it, in the cell above, and run that one."
        )
        seen = replace(seen, hint=hint)
    return seen
