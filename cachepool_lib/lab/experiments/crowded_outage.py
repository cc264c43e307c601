"""An outage at any rate of visits, in simulated time: what becomes of the database behind it."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from cachepool_lib.lab.simulation.database import Database, current
from cachepool_lib.lab.simulation.loop import clock, simulate
from cachepool_lib.lab.simulation.replay import Replay, Watch
from cachepool_lib.lab.simulation.traffic import traffic

HIT_SECONDS = 0.0005


class SimulatedRedis:
    """What a cache of notebook 02 sends its commands to: answers in half a millisecond.

    While *is_down* says so, it refuses every connection. It knows no ttl: none ends meanwhile.
    """

    def __init__(self, is_down: Callable[[], bool]) -> None:
        self._is_down = is_down
        self._values: dict[Any, Any] = {}

    async def execute_command(self, command: str, name: Any, *args: Any) -> Any:
        if self._is_down():
            raise ConnectionError("connection refused")
        await asyncio.sleep(HIT_SECONDS)
        if command == "GET":
            return self._values.get(name)
        value = args[1] if command == "SETEX" else args[0]
        self._values[name] = value.encode() if isinstance(value, str) else value
        return True


def crowded_outage(
    candidate: type,
    *,
    database: Database,
    rate: float = 400,
    down: tuple[float, float] = (0.5, 2.5),
    seconds: float = 4.0,
    users: int = 200,
    old_pages: bool = False,
) -> Replay:
    """*rate* visits a second to the pages of so many *users*, while Redis is down.

    *candidate* is a class of notebook 02, which asks *database* on a miss. Every page is in Redis
    when the visits begin; *down* is when it can't be used (seconds). With *old_pages* this process
    keeps the last page of each user that it has seen, for visitors whom the database refuses.
    """

    async def run() -> Replay:
        start, online = 0.0, False
        cache = candidate()
        cache.redis = SimulatedRedis(lambda: online and down[0] <= clock() - start < down[1])
        seen: dict[int, Any] = {}
        served_old: set[int] = set()

        async def page(user_id: int) -> Any:
            async def load() -> Any:
                return json.loads(json.dumps((await database.page(user_id)).orders))

            try:
                value = seen[user_id] = await cache.get_or_load(str(user_id), load)
            except ConnectionError:
                if not old_pages:
                    raise
                value = seen[user_id]
                if request := current.get():
                    served_old.add(request.number)
            return value

        for user_id in range(users):
            seen[user_id] = []
            await cache.set(str(user_id), [])
        watch, start, online = Watch(page, database), clock(), True

        async def visit(user_id: int) -> None:
            with contextlib.suppress(ConnectionError):
                await watch(user_id)

        async with asyncio.TaskGroup() as group:
            for at, user_id in traffic(rate=rate, users=users, seconds=seconds):
                await asyncio.sleep(max(0, start + at - clock()))
                group.create_task(visit(user_id))
        for number in served_old:
            watch.replay.outcomes[number] = "stale"
        return watch.replay

    return simulate(run())
