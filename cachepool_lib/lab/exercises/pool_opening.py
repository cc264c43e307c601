"""Feedback on exercise 04-1, in simulated time: open once, however many ask."""

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

from cachepool_lib.lab.exercises.outcomes import WAITS, outcomes
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

FREE_IT = "What holds the others back has to let go however it ends: async with, or finally."
PER_POOL = "Keep what you need in `state`: each pool has its own."


class _Opener:
    """Opens pools that are nothing, after so many seconds, and counts them, and how many at once.

    As a pool of asyncpg, what it gives may count as false.
    """

    def __init__(self, fails: bool = False, seconds: float = 0.1) -> None:
        self.fails, self.seconds = fails, seconds
        self.opened = self.now = self.at_once = 0
        self.made: list[Any] = []

    async def __call__(self) -> Any:
        self.opened += 1
        self.now += 1
        self.at_once = max(self.at_once, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1
        if self.fails:
            raise ConnectionRefusedError("the server is down")
        self.made.append(SimpleNamespace(number=len(self.made)))
        return self.made[-1]


def _new() -> Any:
    return SimpleNamespace(pool=None, lock=asyncio.Lock())


async def _asked(
    answer: Any, state: Any, opener: _Opener, callers: int, leaver: int | None = None
) -> list[Any]:
    """What so many callers at once get: what state.pool is when they are back, or an error."""

    async def caller() -> Any:
        call = answer(state, opener)
        if not inspect.isawaitable(call):
            raise Unmet(
                expected="async def open_once(state, connect)",
                got=f"open_once(state, connect) gave {call!r}, and nothing to await.",
                hint="connect() has to be awaited, so open_once is async as well.",
            )
        await call
        return state.pool

    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    if leaver is not None:
        await asyncio.sleep(opener.seconds / 2)
        gone = tasks.pop(leaver)
        gone.cancel()
        await asyncio.wait([gone], timeout=60)
        if not gone.cancelled():
            raise Unmet(
                expected="CancelledError for the one who leaves",
                got=f"Caller {leaver + 1} was cancelled, and went on.",
                hint="Let CancelledError through, and never catch BaseException for good.",
            )
    answers = await outcomes(tasks)
    for error in answers:
        _not_a_slip(error)
    return answers


def _not_a_slip(error: Any) -> None:
    """Raise what tells of the code and not of the database."""
    if isinstance(error, RuntimeError) and "event loop" in str(error):
        raise Unmet(expected="a lock for each pool", got=f"RuntimeError: {error}", hint=PER_POOL)
    if isinstance(error, TypeError) and "context manager" in str(error):
        hint = "A lock of asyncio is taken with `async with`."
        raise Unmet(expected="a lock", got=f"TypeError: {error}", hint=hint)
    slips = NotImplementedError | TypeError | AttributeError | NameError | Unmet
    if isinstance(error, slips | asyncio.InvalidStateError):
        raise error


@exercise("04-1", "Open once, however many ask")
async def open_once(answer: Any) -> str:
    opener, state = _Opener(), _new()
    answers = await _asked(answer, state, opener, 50)
    for error in answers:
        if isinstance(error, Exception):
            raise error
    if WAITS in answers:
        raise Unmet(
            expected="50 callers, 1 pool, and nobody who waits",
            got=f"{answers.count(WAITS)} of 50 callers still wait after a minute.",
            hint=FREE_IT,
        )
    if not opener.opened or state.pool is None or state.pool not in opener.made:
        raise Unmet(
            expected="what connect() gave, in state.pool",
            got=f"open_once returned, and state.pool is {state.pool!r}.",
            hint="state.pool = await connect()",
        )
    if opener.opened > 1:
        one_by_one = opener.at_once == 1
        raise Unmet(
            expected="50 callers, 1 pool",
            got="The waiters opened again, one by one."
            if one_by_one
            else f"50 callers, {opener.opened} pools.",
            hint="Look again once you have the lock: somebody may have opened meanwhile."
            if one_by_one
            else "Between the look and the assignment there is an await: a lock lets one in.",
        )
    if None in answers:
        raise Unmet(
            expected="a pool, for everybody whose open_once has returned",
            got="Some went on before the pool was open.",
            hint="Whoever doesn't open has to wait for the one who does.",
        )
    before = state.pool
    await _asked(answer, state, opener, 2)
    if opener.opened > 1 or state.pool is not before:
        raise Unmet(
            expected="nothing to do: the pool is open",
            got="Two callers who came later opened it again.",
            hint="Is there a pool in state.pool already? Then there is nothing to do.",
        )
    await _two_pools(answer)
    await _fails_then_works(answer)
    await _one_leaves(answer)
    await _opens_again(answer)
    return "50 callers, two pools, a failure, one who leaves, closed and opened again"


async def _two_pools(answer: Any) -> None:
    """One opens for an hour; the other one has nothing to do with it."""
    slow, quick, opener = _new(), _new(), _Opener()
    opening = asyncio.create_task(answer(slow, _Opener(seconds=3600)))
    await asyncio.sleep(0.01)
    [got] = await _asked(answer, quick, opener, 1)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    if got is WAITS:
        raise Unmet(
            expected="two pools of two databases, which have nothing to do with each other",
            got="One pool waits for the other to open.",
            hint=PER_POOL,
        )
    if got is None or got not in opener.made:
        raise Unmet(
            expected="two pools of two databases, which have nothing to do with each other",
            got="The second pool didn't open: the first one had.",
            hint=PER_POOL,
        )


async def _fails_then_works(answer: Any) -> None:
    opener, state = _Opener(fails=True), _new()
    answers = await _asked(answer, state, opener, 5)
    waiting = answers.count(WAITS)
    told = sum(isinstance(error, ConnectionRefusedError) for error in answers)
    if told < 5:
        strange = [a for a in answers if isinstance(a, Exception)]
        got = f"{5 - told - waiting} of 5 callers returned as if all was well."
        hint = "Let the error out of open_once, also for those who waited for the opening."
        if waiting:
            got = f"{waiting} of 5 callers still wait after a minute."
            hint = FREE_IT
        elif strange and not isinstance(strange[-1], ConnectionRefusedError):
            got = f"callers got {type(strange[-1]).__name__} instead of what connect() raised."
            hint = "Let the error of connect() out as it is: it says what is wrong."
        if opener.opened > 50:
            got += f" It was tried {opener.opened} times."
            hint = "Let the error out: whoever asks next may try again."
        raise Unmet(
            expected="ConnectionRefusedError for each of 5 callers: the server is down",
            got=f"The opening failed, and {got}",
            hint=hint,
        )
    opener.fails = False
    [after] = await _asked(answer, state, opener, 1)
    if after is None or after is WAITS or isinstance(after, BaseException):
        got, hint = "you still fail", "Keep the pool, when there is one, and never the failure."
        if after is None:
            got = "the next caller got no pool"
            hint = "What says that somebody is opening has to be taken back when opening fails."
        elif after is WAITS:
            got, hint = "the next caller waits for ever", FREE_IT
        raise Unmet(
            expected="a pool, now that the server is back",
            got=f"The server is back; {got}.",
            hint=hint,
        )


async def _one_leaves(answer: Any) -> None:
    opener, state = _Opener(), _new()
    answers = await _asked(answer, state, opener, 3, leaver=0)
    if any(got not in opener.made for got in answers):
        others = "the others still wait" if WAITS in answers else "the others have no pool"
        raise Unmet(
            expected="a pool for the two who stay",
            got=f"Caller 1 left while it opened; {others}.",
            hint="Another one has to open then, or the opening has to go on: asyncio.shield.",
        )
    if opener.at_once > 1 or len(opener.made) > 1:
        raise Unmet(
            expected="one pool for the two who stay",
            got=f"Caller 1 left while it opened; the others opened {len(opener.made)} pools.",
            hint="Look again once you have the lock, also when the one before you left.",
        )


async def _opens_again(answer: Any) -> None:
    """After a close, which sets state.pool to None."""
    opener, state = _Opener(), _new()
    await _asked(answer, state, opener, 1)
    state.pool = None
    [got] = await _asked(answer, state, opener, 1)
    if got is None or got is not opener.made[-1] or len(opener.made) != 2:
        raise Unmet(
            expected="a second pool: close has set state.pool to None",
            got="Nothing was opened again.",
            hint="What counts is state.pool: is there one now?",
        )
