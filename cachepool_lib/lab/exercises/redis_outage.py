"""Feedback on exercise 02-2: wait for Redis a moment, then leave it alone. In simulated time."""

import asyncio
from types import SimpleNamespace
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

SILENT = object()
LIMIT = 0.4  # seconds: not the notebook's, since the limit is an argument


class _Server:
    """Stands for Redis: *reply* is what it says, SILENT, or the kind of error that comes."""

    def __init__(self, reply: Any = b"Ada") -> None:
        self.reply, self.asked = reply, 0

    async def send(self) -> Any:
        self.asked += 1
        if self.reply is SILENT:
            await asyncio.sleep(3600)
        await asyncio.sleep(0.001)
        if isinstance(self.reply, type):
            raise self.reply("as the server says")
        return self.reply


class _Visitors:
    """Ask through the learner's function, with one line for all."""

    def __init__(self, answer: Any, reply: Any = b"Ada") -> None:
        self.answer, self.server = answer, _Server(reply)
        self.line = SimpleNamespace(away_until=0)

    async def one(self) -> tuple[Any, float]:
        """What one visitor got or was raised, and after how many seconds."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        visit = asyncio.ensure_future(self.answer(self.line, self.server.send, LIMIT))
        await asyncio.wait([visit], timeout=60)
        if not visit.done():
            visit.cancel()
            await asyncio.wait([visit], timeout=1)
            raise Unmet(
                expected=f"an error after {LIMIT} s",
                got="Redis silent: still waiting after a minute.",
                hint="async with asyncio.timeout(limit):",
            )
        outcome = visit.exception() if not visit.cancelled() else asyncio.CancelledError()
        if isinstance(outcome, NotImplementedError | Unmet):
            raise outcome
        return (visit.result() if outcome is None else outcome), loop.time() - start

    async def many(self, count: int = 20) -> tuple[int, list[tuple[Any, float]]]:
        """How many of so many at once asked the server, and what each got."""
        before = self.server.asked
        got = await asyncio.gather(*(self.one() for _ in range(count)))
        return self.server.asked - before, got


def _is_away(outcome: Any) -> bool:
    return isinstance(outcome, RedisError | OSError)


async def _answers(answer: Any) -> None:
    for reply in (b"Ada", b"", None, 0):
        visitors = _Visitors(answer, reply)
        for _ in range(2):
            outcome, _ = await visitors.one()
            if outcome != reply or type(outcome) is not type(reply):
                raise Unmet(
                    expected=f"{reply!r}, which is what Redis says",
                    got=f"Redis says {reply!r}, and {outcome!r} came.",
                    hint="Return what send() gives. None is an answer, too: there is no such key.",
                )


async def _refused(answer: Any, error: type[Exception]) -> None:
    visitors = _Visitors(answer, error)
    outcome, _ = await visitors.one()
    if not isinstance(outcome, error):
        raise Unmet(
            expected=f"{error.__name__}: the caller makes a miss of it",
            got=f"Redis down: {outcome!r}.",
            hint="Note the time, then `raise`.",
        )
    for pause in (0.0, 0.4):
        await asyncio.sleep(pause)
        asked, got = await visitors.many()
        if asked:
            raise Unmet(
                expected="an error at once, for half a second",
                got=f"Redis down: {pause:g} s later {asked} of 20 visitors asked again.",
                hint="line.away_until is the moment until which nobody asks.",
            )
        _all_away(got, "left alone")
    visitors.server.reply = b"Ada"
    await asyncio.sleep(0.2)
    await _is_back(visitors)


def _all_away(got: list[tuple[Any, float]], when: str) -> None:
    for outcome, seconds in got:
        if not _is_away(outcome):
            raise Unmet(
                expected="a ConnectionError, which the caller takes for a miss",
                got=f"{when}: {outcome!r} came.",
                hint='raise ConnectionError("it did not answer a moment ago")',
            )
        if seconds > 0.01:
            raise Unmet(expected="an error at once", got=f"{when}: it took {seconds:.2f} s.")


async def _is_back(visitors: _Visitors) -> None:
    """Redis answers again, and its half second is over: one asks, then all do."""
    if isinstance((await visitors.one())[0], Exception):
        raise Unmet(
            expected="the answer: half a second is over",
            got="Redis is back, and nobody asks it.",
            hint="After half a second somebody has to try.",
        )
    asked, got = await visitors.many()
    if asked != 20 or any(isinstance(outcome, Exception) for outcome, _ in got):
        raise Unmet(
            expected="20 answers for 20 visitors",
            got=f"Redis is back, and {asked} of 20 visitors ask it.",
            hint="An answer ends it: line.away_until = 0.",
        )


async def _not_its_fault(answer: Any, error: type[Exception], hint: str) -> None:
    """What says nothing about whether Redis can be used: it passes, and everybody goes on."""
    visitors = _Visitors(answer, error)
    outcome, _ = await visitors.one()
    if not isinstance(outcome, error):
        raise Unmet(expected=f"the {error.__name__}", got=f"{outcome!r} came.", hint=hint)
    visitors.server.reply = b"Ada"
    asked, _ = await visitors.many()
    if asked != 20:
        raise Unmet(
            expected="20 visitors who ask Redis",
            got=f"After a {error.__name__} {asked} of 20 visitors ask Redis.",
            hint=hint,
        )


async def _silent(answer: Any) -> None:
    visitors = _Visitors(answer, SILENT)
    asked, got = await visitors.many()
    for outcome, seconds in got:
        if not _is_away(outcome):
            hint = "asyncio.timeout raises TimeoutError, which is an OSError: let it pass."
            raise Unmet(expected="a TimeoutError", got=f"Redis silent: {outcome!r}.", hint=hint)
        if asked == 20 and not 0.9 * LIMIT < seconds < 1.1 * LIMIT:
            raise Unmet(
                expected=f"an error after {LIMIT} s",
                got=f"Redis silent: it came after {seconds:.2f} s.",
                hint="The limit is an argument.",
            )
    asked, got = await visitors.many()
    if asked:
        raise Unmet(
            expected="nobody asks for half a second",
            got=f"Redis silent: right after it {asked} of 20 visitors asked again.",
            hint="A limit alone isn't enough: each visitor would pay for it.",
        )
    _all_away(got, "left alone")
    await asyncio.sleep(0.6)
    await _one_tries(visitors)
    asked, got = await visitors.many()
    if asked:
        raise Unmet(
            expected="another half second of rest",
            got=f"The one who tried found it silent, and {asked} of 20 asked right after.",
        )
    visitors.server.reply = ResponseError  # not the answer that was hoped for, but one
    await asyncio.sleep(0.6)
    await visitors.one()
    visitors.server.reply = b"Ada"
    await _is_back(visitors)


async def _one_tries(visitors: _Visitors) -> None:
    """Half a second is over, Redis is still silent: one of the visitors pays for all."""
    first = asyncio.ensure_future(visitors.many())
    await asyncio.sleep(0.8 * LIMIT)
    asked_later, got_later = await visitors.many()
    asked, got = await first
    if asked + asked_later != 1:
        raise Unmet(
            expected="1 visitor who tries whether Redis is back",
            got=f"Half a second later {asked + asked_later} visitors waited for it.",
            hint="Whoever tries moves line.away_until first, so that the others go on.",
        )
    _all_away(sorted(got, key=lambda one: one[1])[:-1] + got_later, "while one tries")


async def _cancelled(answer: Any, away: bool) -> None:
    visitors = _Visitors(answer, SILENT)
    if away:
        await visitors.one()
        await asyncio.sleep(0.6)
    visit = asyncio.ensure_future(answer(visitors.line, visitors.server.send, LIMIT))
    await asyncio.sleep(0.05)
    visit.cancel()
    await asyncio.wait([visit], timeout=60)
    if not visit.cancelled():
        raise Unmet(
            expected="CancelledError, for whoever cancelled",
            got="Cancelled, and it went on.",
            hint="A bare `except` takes CancelledError too. Name what you catch.",
        )
    visitors.server.reply = b"Ada"
    if away:
        await asyncio.sleep(1)  # that visitor was trying: the next one may
        await visitors.one()
    asked, _ = await visitors.many()
    if asked != 20:
        raise Unmet(
            expected="20 visitors who ask Redis",
            got=f"One visitor left, and {asked} of 20 ask Redis after that.",
            hint="Who leaves says nothing about Redis.",
        )


@exercise("02-2", "Wait a moment, then leave it alone")
async def in_time(answer: Any) -> str:
    await _answers(answer)
    for error in (RedisConnectionError, RedisTimeoutError, ConnectionRefusedError):
        await _refused(answer, error)
    await _silent(answer)
    reply = "An error reply is a reply: Redis can be used. ResponseError is a RedisError."
    await _not_its_fault(answer, ResponseError, reply)
    mine = "Catch what Redis may do to you, by name: RedisError and OSError."
    await _not_its_fault(answer, TypeError, mine)
    for away in (False, True):
        await _cancelled(answer, away)
    return "answers, down, silent, back, an error reply, a bug, cancelled"
