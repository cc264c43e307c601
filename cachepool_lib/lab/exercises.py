"""Feedback on the exercises: the smallest case that goes wrong, and a hint.

A check never raises. It calls the learner's own function or class, in simulated time or on the
lab's Redis, and stops at the first case that goes wrong; the order of the cases is the order in
which people meet them.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any

from . import recorder
from .checks import Result, Unmet, judge
from .contract import LIMIT, Bench, Source
from .simulation import simulate, too_late

__all__ = ["EXERCISES", "exercise"]

Check = Callable[[Any], Coroutine[Any, Any, str]]
EXERCISES: dict[str, tuple[str, Check]] = {}
# Their modules bring redis or asyncpg: imported when they are asked for.
_ELSEWHERE = {"02": "redis_exercises", "03": "decorator_exercises", "04": "pool_exercises"}


def _exercise(name: str, title: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        EXERCISES[name] = title, function
        return function

    return register


async def exercise(name: str, answer: Any) -> Result:
    """Look at the *answer* to the exercise called *name*, such as "01-1"."""
    module = _ELSEWHERE.get(name[:2])
    known: dict[str, tuple[str, Check]] = EXERCISES
    if module:
        known = import_module(f"{__package__}.{module}").EXERCISES
    title, function = known[name]

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
        if module == "redis_exercises":
            return await in_time()
        return simulate(silently(), limit=LIMIT)

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


@_exercise("00-1", "The share of visits that are hits")
async def hit_rate(answer: Any) -> str:
    hints: dict[str, str] = {
        "4.0": "Divide by all visits, not by the misses.",
        "80.0": "A share runs from 0 to 1: no percent.",
        "0.2": "That is the share of the misses.",
        "None": "The function has no `return`.",
    }
    for hits, misses, expected in ((8, 2, 0.8), (5, 0, 1.0), (0, 5, 0.0), (0, 0, 0.0)):
        case = f"{hits} hits and {misses} misses"
        try:
            value = answer(hits, misses)
            got = f"{case} gave {value!r}."
        except ZeroDivisionError:
            value, got = math.nan, f"{case} raised ZeroDivisionError."
        if not isinstance(value, int | float) or not math.isclose(value, expected):
            hint = hints.get(repr(value), "Hits, divided by hits and misses together.")
            if not hits + misses:
                hint = "Before the first visit there is nothing to divide by: return 0."
            raise Unmet(expected=f"{expected}", got=got, hint=hint)
    return "four pairs of counts"


@_exercise("01-1", "Turn a ttl into a moment")
async def expires_at(answer: Any) -> str:
    default, now = 300, 1_000

    def moment(ttl: Any, expected: float, hint: str) -> Any:
        try:
            value = answer(ttl, default, now)
        except NotImplementedError:
            raise
        except Exception as error:
            got = f"ttl={ttl!r} raised {type(error).__name__}: {error}"
            raise Unmet(expected=f"{expected}", got=got, hint=hint) from None
        if value != expected:
            got = f"ttl={ttl!r} gave {value!r}."
            if isinstance(value, int | float) and ttl == 0:
                got = f"ttl=0 lived {value - now:g} s."
            raise Unmet(expected=f"{expected}", got=got, hint=hint)

    moment(60, 1_060, "Add the ttl to now, and return the sum.")
    moment(None, 1_300, "None asks for the default.")
    moment(0, 1_000, "Zero is a value; test for None.")
    moment(math.inf, math.inf, "Infinity needs no case of its own: now + inf is inf.")
    moment(timedelta(minutes=1), 1_060, "A timedelta has total_seconds().")
    moment(timedelta(days=1), 87_400, "Its .seconds leave the days out: take total_seconds().")
    for ttl, got, hint in (
        (-5, "−5 accepted.", "The caller has a bug and won't hear of it."),
        (math.nan, "NaN passed: every comparison with it is False.", "Ask `not ttl >= 0`."),
        (
            timedelta(seconds=-1),
            "timedelta(seconds=-1) accepted.",
            "Turn it into seconds first, then refuse what is no ttl.",
        ),
    ):
        try:
            answer(ttl, default, now)
        except ValueError:
            continue
        except Exception as error:
            got = f"ttl={ttl} raised {type(error).__name__}."
            hint = "ValueError is what says: right type, wrong value."
        raise Unmet(expected="ValueError", got=got, hint=hint)
    return "nine kinds of ttl"


async def _callers(count: int, call: Callable[[], Awaitable[Any]]) -> list[asyncio.Task[Any]]:
    """Start *count* calls at once and let each run up to its first wait."""

    async def caller() -> Any:
        return await call()

    tasks = [asyncio.create_task(caller()) for _ in range(count)]
    await asyncio.sleep(0.01)
    return tasks


async def _outcomes(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    """What each task returned or raised; "waits" for those that still wait after a minute."""
    _, waiting = await asyncio.wait(tasks, timeout=60)
    for task in waiting:
        task.cancel()
    values = await asyncio.gather(*tasks, return_exceptions=True)
    return ["waits" if t in waiting else v for t, v in zip(tasks, values, strict=True)]


class _Patient(Source):
    """Counts at most 100 loads, and answers no further one: else a loop that tries again for ever
    would never end.
    """

    most = 100

    async def load(self) -> Any:
        if self.loads >= self.most:
            await asyncio.Event().wait()
        return await super().load()


def _unsolved(outcomes: list[Any]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, NotImplementedError):
            raise outcome


@_exercise("01-2", "One load for all; anyone may leave")
async def get_or_load(answer: Any) -> str:
    bench = Bench(answer)

    source, cache = _Patient("page"), bench.new(default_ttl=300)
    fifty = await _callers(50, lambda: cache.get_or_load("a", source.load))
    outcomes = await _outcomes(fifty)
    _unsolved(outcomes)
    for outcome in outcomes:
        if outcome != "page":
            raise Unmet(
                expected="50 pages",
                got=f"A caller got {outcome!r}.",
                hint="Return the value to every caller, the first included.",
            )
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 50 callers",
            got=f"50 callers, {source.loads} loads.",
            hint="Whoever misses while a load is under way waits for that one.",
        )
    await cache.get_or_load("a", source.load)
    if source.loads != 1:
        raise Unmet(
            expected="a hit for the next caller",
            got="The next caller loaded again.",
            hint="Store what was loaded: await self.set(key, value)."
            if await cache.get("a") is None
            else "The page is stored. Ask for it first: await self.get(key, MISSING).",
        )
    await asyncio.sleep(301)
    await cache.get_or_load("a", source.load)
    if source.loads != 2:
        raise Unmet(
            expected="a new load once the ttl is over",
            got="The ttl was over, and the old page came back.",
            hint="Remove the flight when the load ends: when it fails and when it doesn't.",
        )

    slow, quick, cache = Source(seconds=10), Source(seconds=0.02), bench.new(default_ttl=300)
    first = await _callers(1, lambda: cache.get_or_load("a", slow.load))
    second = await _callers(1, lambda: cache.get_or_load("b", quick.load))
    await asyncio.sleep(1)
    if not second[0].done():
        await _outcomes([*first, *second])
        raise Unmet(
            expected="key b after 20 ms",
            got="Key b waited for key a.",
            hint="Flights are per key: keep them in a dict.",
        )
    await _outcomes([*first, *second])

    source, cache = _Patient(ConnectionError("down")), bench.new(default_ttl=300)
    outcomes = await _outcomes(await _callers(5, lambda: cache.get_or_load("a", source.load)))
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 5 callers, also when it fails",
            got=f"The load failed, and was tried {source.loads} times.",
            hint="Those who waited for it get its error.",
        )
    told = sum(isinstance(outcome, ConnectionError) for outcome in outcomes)
    if told != 5:
        raise Unmet(
            expected="the error, for each of the 5 callers",
            got=f"The load failed; {told} of 5 callers were told.",
            hint="A task keeps its error for everyone who awaits it.",
        )
    source.value = "page"
    again = await _outcomes(await _callers(1, lambda: cache.get_or_load("a", source.load)))
    if again != ["page"]:
        raise Unmet(
            expected="a page, now that the database is back",
            got="The next call got the old error.",
            hint="Remove the flight when the load ends, also when it fails.",
        )

    for leaver in (0, 2):
        await _one_leaves(bench, leaver)
        await _one_leaves_and_another_comes(bench, leaver)
    return "50 callers, two keys, an error, some who leave, one who comes later"


async def _one_leaves(bench: Bench, leaver: int) -> None:
    source, cache = Source("page"), bench.new(default_ttl=300)
    callers = await _callers(5, lambda: cache.get_or_load("a", source.load))
    callers[leaver].cancel()
    outcomes = await _outcomes(callers)
    others = outcomes[:leaver] + outcomes[leaver + 1 :]
    if "waits" in others:
        raise Unmet(
            expected="a page for the four who stay",
            got="Caller 1 left; 2–5 still wait.",
            hint="Give the load its own task.",
        )
    if others != ["page"] * 4:
        raise Unmet(
            expected="a page for the four who stay",
            got=f"Caller {leaver + 1} left; {4 - others.count('page')} others lost the page.",
            hint="Give the load its own task and await it through asyncio.shield: "
            "cancelling a waiter cancels what it awaits.",
        )
    if source.loads != 1:
        raise Unmet(
            expected="the load goes on when a caller leaves",
            got=f"Caller {leaver + 1} left, and the load began again.",
            hint="Give the load its own task.",
        )


async def _one_leaves_and_another_comes(bench: Bench, leaver: int) -> None:
    source, cache = Source("page", seconds=1), bench.new(default_ttl=300)
    callers = await _callers(5, lambda: cache.get_or_load("a", source.load))
    callers[leaver].cancel()
    await asyncio.sleep(0.01)  # now it has left
    callers += await _callers(1, lambda: cache.get_or_load("a", source.load))
    await _outcomes(callers)
    if source.loads != 1:
        raise Unmet(
            expected="1 load: caller 6 joins the one under way",
            got=f"Caller {leaver + 1} left, caller 6 came: {source.loads} loads.",
            hint="Remove the flight when the load ends, not when a waiter leaves.",
        )


@_exercise("01-3", "Keep n entries; the least recently used leaves")
async def lru(answer: Any) -> str:
    bench = Bench(answer)

    async def kept(steps: str) -> set[str]:
        """Do *steps* in a cache with room for two: a small letter is written, a capital read."""
        cache = bench.new(default_ttl=300, maxsize=2)
        try:
            for step in steps:
                if step.islower():
                    await cache.set(step, step)
                else:
                    await cache.get(step.lower())
            return {key for key in "abc" if await cache.get(key) is not None}
        except (AttributeError, TypeError) as error:
            # move_to_end() and popitem(last=False) are what OrderedDict has and dict hasn't.
            if "move_to_end" not in str(error) and "popitem" not in str(error):
                raise
            raise Unmet(
                expected="an order kept in a plain dict",
                got=f"{type(error).__name__}: {error}.",
                hint="self.entries is a dict, not an OrderedDict: "
                "to move a key to the end, take it out and put it back.",
            ) from None

    left = await kept("a")
    if left != {"a"}:
        raise Unmet(expected="'a'", got="'a' was written and isn't there.", hint="Store it first.")
    left = await kept("abc")
    if len(left) != 2:
        raise Unmet(
            expected="2 entries with maxsize=2",
            got=f"{len(left)} entries after writing 'a', 'b', 'c'.",
            hint="After a write, while there are more than maxsize: let one go.",
        )
    if left != {"b", "c"}:
        gone = min({"a", "b", "c"} - left)
        raise Unmet(
            expected="'a' leaves",
            got=f"After writing 'a', 'b', 'c' it was '{gone}' that left.",
            hint="A dict keeps its order: next(iter(self.entries)) is the oldest.",
        )
    if await kept("aba") != {"a", "b"}:
        raise Unmet(
            expected="'a' and 'b'",
            got="Overwriting 'a' removed 'b'.",
            hint="No new entry, no eviction: look at the number after storing.",
        )
    if "a" not in await kept("abAc"):
        raise Unmet(
            expected="'b' leaves: 'a' was read after it",
            got="'a' was just read and left: that is FIFO.",
            hint="_touch moves the entry to the end: take it out and put it back.",
        )
    if "a" not in await kept("abac"):
        raise Unmet(
            expected="'b' leaves: 'a' was written after it",
            got="'a' was just written and left.",
            hint="A dict keeps an overwritten key in its old place. Take it out first.",
        )
    return "order, overwriting, reading"
