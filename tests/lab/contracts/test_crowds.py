"""Real processes for notebook 02, and what is left of them."""

import asyncio
import os
from functools import partial
from typing import Any

import psutil
import pytest

from cachepool_lib import RedisCache, lab
from cachepool_lib.lab.servers import workers


class Plain:
    """A class that no other process can import: it travels by value, as a notebook's classes do."""

    def __init__(self, redis_url: str) -> None:
        self.entries: dict[Any, Any] = {}
        self.pid = os.getpid()

    async def get(self, key: Any) -> Any:
        return self.entries.get(key)

    async def set(self, key: Any, value: Any, ttl: float = 300) -> None:
        self.entries[key] = value

    async def close(self) -> None:
        pass


class Broken(Plain):
    async def get(self, key: Any) -> Any:
        raise ValueError("no room")


Plain.__module__ = Broken.__module__ = "__main__"


def test_each_process_loads_for_itself() -> None:
    """Loads and pages are counted over all of them, with a lane for each."""

    async def cells() -> Any:
        run = await lab.crowds(partial(Plain, ""), processes=2, callers=5, load_seconds=0.05)
        await lab.nothing_left()
        return run

    run = asyncio.run(cells())
    assert repr(run) == "2 processes × 5 callers: 10 loads, 10 pages"
    assert [lane.name for lane in run.lanes] == ["process 1", "process 2"]
    assert all(lane.end == "page" and len(lane.spans) == 6 for lane in run.lanes)


def test_the_process_that_loads_is_killed_and_another_one_loads() -> None:
    async def cells() -> Any:
        url = (await lab.services()).redis_url
        new = partial(RedisCache, url, lock_timeout=0.5, timeout=5)
        run = await lab.crowds(new, processes=2, callers=5, load_seconds=0.2, kill_loader=True)
        await lab.nothing_left()
        return run

    run = asyncio.run(cells())
    assert repr(run) == "2 processes × 5 callers: 2 loads, 5 pages, 1 process killed"
    assert sorted(lane.end for lane in run.lanes) == ["killed", "page"]


def test_processes_are_used_again_and_end_with_the_last_cell() -> None:
    def mine() -> list[psutil.Process]:
        return psutil.Process().children()

    async def cells() -> None:
        await lab.nothing_left()  # those of another test, which wait for work
        before = mine()
        for _ in range(2):
            await lab.crowds(partial(Plain, ""), processes=2, callers=1, load_seconds=0.01)
            assert len(mine()) == len(before) + 2
        await lab.nothing_left()
        assert mine() == before

    asyncio.run(cells())


def test_what_a_class_raises_is_told() -> None:
    """And the processes that were to run with it don't wait for ever."""

    async def cells() -> None:
        with pytest.raises(RuntimeError, match="ValueError: no room"):
            await lab.crowds(partial(Broken, ""), processes=2)
        assert not workers._busy
        await lab.nothing_left()

    asyncio.run(cells())
