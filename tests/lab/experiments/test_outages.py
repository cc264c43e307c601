"""Real outages for notebook 02, and the picture that moves meanwhile."""

import asyncio
import math
import re

from cachepool_lib import RedisCache, lab
from cachepool_lib.lab.experiments.live import Screen
from cachepool_lib.lab.simulation.replay import Replay
from tests.tools.redis_tools import Lag


def test_a_cut_costs_no_page_and_a_stall_a_moment() -> None:
    """The library's cache through both kinds of outage, on the shop's real pages."""

    async def cells() -> tuple[list[Replay], float]:
        services = await lab.services()
        shop = await lab.shop(services)
        async with Lag() as lag:
            runs = [
                await lab.outage(RedisCache, kind, (0.2, end), shop=shop, seconds=0.8)
                for kind, end in (("cut", 0.5), ("stall", math.inf))
            ]
        await shop.close()
        await lab.nothing_left()
        return runs, lag.total

    runs, late = asyncio.run(cells())
    for run in runs:
        assert len(run) > 20
        assert run.counts["failed"] == 0
        assert max(run.seconds) < 1 + late


def test_the_moving_picture_shows_pages_failures_and_who_waits() -> None:
    run = Replay(
        at=[0.1, 0.2, 0.3],
        keys=[1, 2, 3],
        seconds=[0.002, 0.1, math.inf],
        outcomes=["hit", "failed", "failed"],
    )
    svg = Screen(1.0).svg(run, 2.0)
    assert (svg.count("●"), svg.count("✕")) == (1, 1)
    assert "1.7 s: the longest that a visitor is waiting now" in svg
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" fill="#(?:0072B2|A6192E)"', svg)]
    assert heights == sorted(heights, reverse=True), "slower is higher"
