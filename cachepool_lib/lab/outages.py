"""An outage as it happens: visits in real time, faults at their moments, a picture that moves."""

import asyncio
import contextlib
import inspect
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from redis.exceptions import RedisError

from .contract import Bench
from .faults import Proxy
from .live import Live
from .services import services
from .shop import Shop
from .simulation import Database, PageFunction, Replay, Watch, clock
from .traffic import Traffic, traffic

FRAME_SECONDS = 0.1


async def live(
    page: PageFunction,
    visits: Traffic,
    faults: Mapping[float, Callable[[], Awaitable[None] | None]],
    *,
    database: Database,
) -> Replay:
    """Send *visits* through *page* in the time that it takes, and show each page as it comes.

    *faults* are called at their seconds, such as {0.7: proxy.cut, 1.7: proxy.restore}; what is due
    at infinity never happens. A visit that raises an OSError or an error of Redis has failed. Back
    when all visits are answered.
    """
    watch, start = Watch(page, database), clock()
    seconds = max([*visits.times, *(at for at in faults if at < math.inf)]) + 0.2
    screen = _Screen(seconds)

    async def visit(key: int) -> None:
        with contextlib.suppress(OSError, RedisError):
            await watch(key)

    async def send() -> None:
        async with asyncio.TaskGroup() as group:
            for at, key in visits:
                await asyncio.sleep(start + at - clock())
                group.create_task(visit(key))

    async def break_things() -> None:
        for at in sorted(at for at in faults if at < math.inf):
            await asyncio.sleep(start + at - clock())
            if inspect.isawaitable(happening := faults[at]()):
                await happening

    async with asyncio.TaskGroup() as group:
        work = [group.create_task(send()), group.create_task(break_things())]
        try:
            while pending := [task for task in work if not task.done()]:
                await asyncio.wait(pending, timeout=FRAME_SECONDS)
                if screen.live.seen:
                    screen.live.show(screen.svg(watch.replay, clock() - start))
        finally:
            screen.live.close()
    return watch.replay


async def outage(
    candidate: type,
    fault: Literal["cut", "stall"],
    when: tuple[float, float],
    *,
    shop: Shop,
    seconds: float = 2.4,
) -> Replay:
    """Forty visits a second to pages of the *shop*, while the way to Redis is broken and mended.

    *candidate* is a class of caches that is made with an address. A proxy stands there; it breaks
    and is well again at the seconds in *when*, where infinity is never. The visits begin with no
    page in the cache and go on for so many *seconds*.
    """
    url, run = (await services()).redis_url, secrets.token_hex(8)
    database, bench = Database(query=shop.card), Bench(candidate)

    async def page(user_id: int) -> Any:
        return await bench.read(cache, f"{run}:{user_id}", lambda: database.page(user_id))

    async with Proxy(url) as proxy:
        cache = candidate(proxy.url)
        faults = {when[0]: getattr(proxy, fault), when[1]: proxy.restore}
        visits = traffic(rate=40, users=20, seconds=seconds)
        seen = await live(page, visits, faults, database=database)
        await cache.close()
    return seen


class _Screen:
    """The moving picture: drawn as SVG in well under a millisecond, for drawing it must not delay
    the pages that it shows."""

    width, height, bottom, left = 760, 190, 165, 60

    def __init__(self, seconds: float) -> None:
        self.seconds, self.live = seconds, Live()

    def svg(self, run: Replay, now: float) -> str:
        """Dots for pages, crosses for failures, and how long the visitor who waits longest has."""
        marks, longest = [], 0.0
        for at, seconds, outcome in zip(run.at, run.seconds, run.outcomes, strict=True):
            if seconds == math.inf:
                longest = max(longest, now - at)
            elif outcome == "failed":
                marks.append(self._text(at + seconds, seconds, "✕", "#A6192E"))
            else:
                marks.append(self._text(at + seconds, seconds, "●", "#0072B2"))
        lines = [
            f'<path d="M{self.left} {self._y(s)}H{self.width}" stroke="#ccc"/>'
            f'<text x="0" y="{self._y(s) + 4}" font-size="12" fill="#666">{label}</text>'
            for s, label in ((0.001, "1 ms"), (0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"))
        ]
        waiting = f"{longest:.1f} s: the longest that a visitor is waiting now"
        lines.append(
            f'<path d="M{self.left} {self._y(longest)}H{self.width}" stroke="#E69F00" '
            f'stroke-width="3"/><text x="{self.left}" y="186" font-size="14" fill="#888">'
            f"{waiting}</text>"
        )
        size = f'width="{self.width}" height="{self.height}"'
        return f"<svg {size} font-family='sans-serif'>{''.join(lines + marks)}</svg>"

    def _y(self, seconds: float) -> int:
        decades = math.log10(min(10, max(0.0005, seconds)) / 0.0005)
        return round(self.bottom - decades * (self.bottom - 10) / math.log10(20_000))

    def _text(self, at: float, seconds: float, mark: str, colour: str) -> str:
        x = self.left + min(1, at / self.seconds) * (self.width - self.left - 15)
        return f'<text x="{x:.0f}" y="{self._y(seconds) + 4}" fill="{colour}">{mark}</text>'
