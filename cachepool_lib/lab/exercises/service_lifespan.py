"""Feedback on exercise 05-1, in simulated time: what an app opens, it closes."""

import asyncio
import contextlib
import inspect
from types import SimpleNamespace
from typing import Any, Self

from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

CONNECTIONS = {"pool": 3, "cache": 1}
VISITORS = 20
CLOSE_ALL = "An `async with` closes, however its block ends; AsyncExitStack holds several."


class _Thing:
    """A pool or a cache: it is opened, and closed, and its connections are counted."""

    def __init__(self, name: str, log: list[str], broken: str = "") -> None:
        self.name, self.log, self.broken, self.is_open = name, log, broken, False

    async def initialize(self) -> None:
        await asyncio.sleep(0.01)
        if self.broken == "open":
            raise ConnectionRefusedError(f"the {self.name}'s server is down")
        if self.broken == "slow":
            await asyncio.sleep(3600)
        if not self.is_open:
            self.log.append(f"{self.name} opened")
        self.is_open = True

    connect = initialize

    async def close(self, *args: Any, **options: Any) -> None:
        await asyncio.sleep(0.01)
        if self.is_open:
            self.log.append(f"{self.name} closed")
        self.is_open = False
        if self.broken == "close":
            raise ConnectionResetError(f"the {self.name}'s server went first")

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class _Start:
    """One start of an app, with the learner's lifespan around its life."""

    def __init__(self, answer: Any, broken: str = "") -> None:
        self.app, self.log = SimpleNamespace(state=SimpleNamespace()), list[str]()
        self.pools: list[_Thing] = []
        self.caches: list[_Thing] = []
        self.broken = broken
        self.life = answer(self.app, self.make_pool, self.make_cache)
        if not hasattr(self.life, "__aenter__"):
            if inspect.iscoroutine(self.life):
                self.life.close()
            raise Unmet(
                expected="@asynccontextmanager, and an async function with one yield",
                got="`async with lifespan_mine(…)` can't be written.",
                hint="Keep the line above `async def`, and let the app live at a `yield`.",
            )

    def make_pool(self) -> _Thing:
        self.pools.append(_Thing("pool", self.log))
        return self.pools[-1]

    def make_cache(self) -> _Thing:
        self.caches.append(_Thing("cache", self.log, self.broken))
        return self.caches[-1]

    @property
    def left(self) -> int:
        """The connections that are open."""
        return sum(CONNECTIONS[one.name] for one in self.pools + self.caches if one.is_open)

    def found(self, name: str) -> Any:
        """What the app's visitors find in its state."""
        made = self.pools if name == "pool" else self.caches
        thing = getattr(self.app.state, name, None)
        if callable(thing) or inspect.isawaitable(thing):
            raise Unmet(
                expected=f"one {name} for all visitors",
                got=f"app.state.{name} makes a {name} each time: {VISITORS} visitors, "
                f"{VISITORS * CONNECTIONS[name]} connections.",
                hint=f"Call make_{name} once, and keep what it gives.",
            )
        if thing is None or not isinstance(thing, _Thing):
            raise Unmet(
                expected=f"the {name}, in app.state.{name}, before the yield",
                got=f"The first visitor finds {thing!r} in app.state.{name}.",
                hint=f"app.state.{name} = …",
            )
        if thing not in made:
            raise Unmet(
                expected=f"a {name} of its own for each start",
                got="WrongEventLoop in the second test: its "
                f"{name} was opened on the event loop of the first.",
                hint=f"Call make_{name} inside the function, each time it is called.",
            )
        if not thing.is_open:
            raise Unmet(
                expected=f"an open {name} for the first visitor",
                got=f"The {name} in app.state.{name} is not open.",
                hint=f"`async with make_{name}()` opens it.",
            )
        return thing


async def _lives(start: _Start) -> None:
    """The app starts, is asked, and ends."""
    async with start.life:
        for name in ("pool", "cache"):
            start.found(name)
        await asyncio.sleep(1)
    if start.left:
        raise Unmet(
            expected="nothing left when the app has ended",
            got=f"The app ended, and {_connections(start.left)}.",
            hint=CLOSE_ALL,
        )


def _connections(count: int) -> str:
    return f"{count} connections are left" if count != 1 else "1 connection is left"


async def _in_order(answer: Any) -> None:
    start = _Start(answer)
    await _lives(start)
    if len(start.pools) > 1 or len(start.caches) > 1:
        raise Unmet(
            expected="one pool and one cache for each start",
            got=f"One start made {len(start.pools)} pools and {len(start.caches)} caches.",
        )
    if start.log != ["pool opened", "cache opened", "cache closed", "pool closed"]:
        raise Unmet(
            expected="pool opened, cache opened, cache closed, pool closed",
            got=f"{', '.join(start.log)}.",
            hint="What was opened last is closed first: whoever needs the other ends before it.",
        )


async def _ends_badly(answer: Any) -> None:
    for error in (RuntimeError("a bug"), asyncio.CancelledError()):
        start, came = _Start(answer), None
        try:
            async with start.life:
                raise error
        except (RuntimeError, asyncio.CancelledError) as told:
            came = told
        name = type(error).__name__
        if start.left:
            what = "An error" if isinstance(error, RuntimeError) else "Cancelled"
            raise Unmet(
                expected="nothing left, also when the app ends by an error",
                got=f"{what}, and {_connections(start.left)}.",
                hint="The yield raises, and the lines below it are skipped. " + CLOSE_ALL,
            )
        if came is not error:
            raise Unmet(
                expected=f"the {name}, for whoever runs the app",
                got=f"The app ended by a {name}, and nobody heard of it."
                if came is None
                else f"The app ended by a {name}, and {came!r} came.",
                hint="Close in `finally`, or by `async with`, and let the error pass.",
            )


async def _cannot_open(answer: Any) -> None:
    start, told = _Start(answer, broken="open"), False
    try:
        async with start.life:
            pass
    except ConnectionRefusedError:
        told = True
    if start.left:
        raise Unmet(
            expected="nothing left: the app did not start",
            got=f"The second start failed; {_connections(start.left)}.",
            hint="Between opening the pool and the yield there is an await that may raise. "
            + CLOSE_ALL,
        )
    if not told:
        raise Unmet(
            expected="ConnectionRefusedError: an app without its cache's server should not start",
            got="The cache could not be opened, and the app started as if all was well.",
        )


async def _leaves_while_opening(answer: Any) -> None:
    start = _Start(answer, broken="slow")
    opening = asyncio.ensure_future(start.life.__aenter__())
    await asyncio.sleep(1)
    opening.cancel()
    await asyncio.wait([opening], timeout=60)
    if start.left or not opening.cancelled():
        raise Unmet(
            expected="nothing left: the start was cancelled while the cache was being opened",
            got=f"Cancelled, and {_connections(start.left)}."
            if start.left
            else "Cancelled, and it went on.",
            hint="`except Exception` does not see CancelledError. " + CLOSE_ALL,
        )


async def _close_fails(answer: Any) -> None:
    start = _Start(answer, broken="close")
    with contextlib.suppress(ConnectionResetError):
        async with start.life:
            pass
    if start.left:
        raise Unmet(
            expected="the pool closed, although closing the cache raised",
            got=f"Closing the cache failed, and {_connections(start.left)}.",
            hint="Each close needs a `finally` of its own. " + CLOSE_ALL,
        )


async def _two_at_once(answer: Any) -> None:
    """Each app has its own; the first to end takes nothing from the other."""
    first, second = _Start(answer), _Start(answer)
    async with second.life:
        async with first.life:
            first.found("pool")
        second.found("pool")
        second.found("cache")
    if first.left + second.left:
        raise Unmet(
            expected="nothing left of two apps",
            got=f"Two apps ended, and {_connections(first.left + second.left)}.",
            hint="Keep what you open in local names and in app.state, nowhere else.",
        )


@exercise("05-1", "Open it, and close it again")
async def lifespan(answer: Any) -> str:
    await _lives(_Start(answer))
    await _lives(_Start(answer))
    await _ends_badly(answer)
    await _cannot_open(answer)
    await _leaves_while_opening(answer)
    await _in_order(answer)
    await _close_fails(answer)
    await _two_at_once(answer)
    return "ten starts: well, by an error, refused, cancelled, two at once; 0 connections left"
