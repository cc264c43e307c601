"""Real processes and real outages for notebook 02, and what is left of them."""

import asyncio
import math
import os
import re
from functools import partial
from typing import Any

import psutil
import pytest

from cachepool_lib import RedisCache, lab
from cachepool_lib.lab import processes
from cachepool_lib.lab.outages import _Screen
from cachepool_lib.lab.simulation import Replay


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
        for _ in range(2):
            await lab.crowds(partial(Plain, ""), processes=2, callers=1, load_seconds=0.01)
            assert len(mine()) == 2
        await lab.nothing_left()
        assert mine() == []

    before = mine()
    assert before == []
    asyncio.run(cells())


def test_what_a_class_raises_is_told() -> None:
    """And the processes that were to run with it don't wait for ever."""

    async def cells() -> None:
        with pytest.raises(RuntimeError, match="ValueError: no room"):
            await lab.crowds(partial(Broken, ""), processes=2)
        assert not processes._busy
        await lab.nothing_left()

    asyncio.run(cells())


def test_a_cut_costs_no_page_and_a_stall_a_moment() -> None:
    """The library's cache through both kinds of outage, on the shop's real pages."""

    async def cells() -> list[Replay]:
        services = await lab.services()
        shop = await lab.shop(services)
        runs = [
            await lab.outage(RedisCache, kind, (0.2, end), shop=shop, seconds=0.8)
            for kind, end in (("cut", 0.5), ("stall", math.inf))
        ]
        await shop.close()
        await lab.nothing_left()
        return runs

    for run in asyncio.run(cells()):
        assert len(run) > 20
        assert run.counts["failed"] == 0
        assert max(run.seconds) < 1


def test_the_moving_picture_shows_pages_failures_and_who_waits() -> None:
    run = Replay(
        at=[0.1, 0.2, 0.3],
        keys=[1, 2, 3],
        seconds=[0.002, 0.1, math.inf],
        outcomes=["hit", "failed", "failed"],
    )
    svg = _Screen(1.0).svg(run, 2.0)
    assert (svg.count("●"), svg.count("✕")) == (1, 1)
    assert "1.7 s: the longest that a visitor is waiting now" in svg
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" fill="#(?:0072B2|A6192E)"', svg)]
    assert heights == sorted(heights, reverse=True), "slower is higher"
