"""Visits in real time, faults at their moments, and a picture that moves meanwhile."""

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from cachepool_lib.lab.notebook.live import Live
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.lab.simulation.traffic import Traffic

FRAME_SECONDS = 0.1

Faults = Mapping[float, Callable[[], Awaitable[None] | None]]


class Run(Protocol):
    """Visits in columns: when each came, its seconds (infinity: it waits), what became of it."""

    @property
    def at(self) -> Sequence[float]: ...

    @property
    def seconds(self) -> Sequence[float]: ...

    @property
    def outcomes(self) -> Sequence[str]: ...


async def live(
    visit: Callable[[int], Coroutine[Any, Any, None]], visits: Traffic, faults: Faults, run: Run
) -> None:
    """Call *visit* for each of *visits* at its moment, and show the *run* as it grows.

    *faults* are called at their seconds, such as {0.7: proxy.cut, 1.7: proxy.restore}; what is due
    at infinity never happens. *visit* writes into *run*. Back when all visits are answered.
    """
    start = clock()
    seconds = max([*visits.times, *(at for at in faults if at < math.inf)]) + 0.2
    screen = Screen(seconds)

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
                    screen.live.show(screen.svg(run, clock() - start))
        finally:
            screen.live.close()


class Screen:
    """The moving picture: drawn as SVG in well under a millisecond, for drawing it must not delay
    the pages that it shows."""

    width, height, bottom, left = 760, 190, 165, 60

    def __init__(self, seconds: float) -> None:
        self.seconds, self.live = seconds, Live()

    def svg(self, run: Run, now: float) -> str:
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
