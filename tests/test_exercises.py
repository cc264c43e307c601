"""The right answer of an exercise passes; each common mistake gets the message meant for it."""

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest

from cachepool_lib.lab.exercises import EXERCISES
from tests.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "01-build-a-ttl-cache.ipynb",
    {"01-1": "expires_at", "01-2": "Yours", "01-3": "LRU"},
)
Bounded, MyCache, MISSING = (COURSE.notebook[name] for name in ("Bounded", "MyCache", "MISSING"))


def test_every_exercise_is_tested_here() -> None:
    assert {name for name in EXERCISES if name.startswith("01")} == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


# 01-1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda hits, misses: hits / misses, "Divide by all visits"),
        (lambda hits, misses: 100 * hits / (hits + misses), "no percent"),
        (lambda hits, misses: misses / (hits + misses), "share of the misses"),
        (lambda hits, misses: None, "has no `return`"),
        (lambda hits, misses: hits / (hits + misses), "nothing to divide by: return 0"),
        (lambda hits, misses: hits / (hits + misses or hits), "nothing to divide by: return 0"),
        (lambda hits, misses: hits / (hits + misses) if hits + misses else 1, "return 0"),
        (lambda hits, misses: hits / (hits + misses) if hits + misses else None, "return 0"),
        (lambda hits, misses: hits, "divided by hits and misses together"),
    ],
)
def test_a_wrong_share_is_explained(answer: Any, expected: str) -> None:
    """Exercise 00-1: what the hits are divided by, and what comes before the first visit."""
    assert expected in message("00-1", answer)


def or_default(ttl: Any, default: Any, now: Any) -> Any:
    ttl = ttl or default
    return now + (ttl.total_seconds() if isinstance(ttl, timedelta) else ttl)


def refuse(ttl: Any, default: Any, now: Any, bad: Any) -> Any:
    """Right but for what *bad* says is nonsense."""
    if ttl is None:
        ttl = default
    if isinstance(ttl, timedelta):
        ttl = ttl.total_seconds()
    if bad(ttl):
        raise ValueError(ttl)
    return now + ttl


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (or_default, "ttl=0 lived 300 s. Zero is a value; test for None."),
        (
            lambda ttl, default, now: refuse(ttl, default, now, lambda ttl: ttl < 0),
            "NaN passed: every comparison with it is False. Ask `not ttl >= 0`.",
        ),
        (
            lambda ttl, default, now: max(refuse(ttl, default, now, math.isnan), now),
            "−5 accepted. The caller has a bug and won't hear of it.",
        ),
        (
            lambda ttl, default, now: now + (default if ttl is None else ttl),
            "ttl=datetime.timedelta(seconds=60) raised TypeError: unsupported operand type(s) for "
            "+: 'int' and 'datetime.timedelta' A timedelta has total_seconds().",
        ),
        (
            lambda ttl, default, now: (
                now + ttl.seconds
                if isinstance(ttl, timedelta)
                else refuse(ttl, default, now, lambda ttl: not ttl >= 0)
            ),
            "ttl=datetime.timedelta(days=1) gave 1000. "
            "Its .seconds leave the days out: take total_seconds().",
        ),
        (
            lambda ttl, default, now: (
                now + ttl.total_seconds()
                if isinstance(ttl, timedelta)
                else refuse(ttl, default, now, lambda ttl: not ttl >= 0)
            ),
            "timedelta(seconds=-1) accepted. "
            "Turn it into seconds first, then refuse what is no ttl.",
        ),
        (
            lambda ttl, default, now: None,
            "ttl=60 gave None. Add the ttl to now, and return the sum.",
        ),
        (
            lambda ttl, default, now: refuse(ttl, default, now, lambda ttl: ttl > 86_400),
            "ttl=inf raised ValueError: inf Infinity needs no case of its own: now + inf is inf.",
        ),
    ],
    ids=[
        "or default",
        "ttl < 0",
        "max(ttl, 0)",
        "no timedelta",
        "timedelta.seconds",
        "timedelta not refused",
        "no return",
        "inf refused",
    ],
)
def test_a_wrong_moment_is_explained(answer: Any, expected: str) -> None:
    assert message("01-1", answer) == expected


# 01-2


class Flights(Bounded):  # type: ignore[misc, valid-type]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.flights: dict[Any, Any] = {}
        self.lock = asyncio.Lock()


class LoadsItself(Flights):
    """The first caller loads for the others; if it is cancelled, nobody tells them."""

    async def get_or_load(self, key: Any, load: Any) -> Any:
        if (value := await self.get(key, MISSING)) is not MISSING:
            return value
        if key in self.flights:
            return await asyncio.shield(self.flights[key])
        flight = self.flights[key] = asyncio.get_running_loop().create_future()
        try:
            value = await load()
        except Exception as error:
            flight.set_exception(error)
            flight.exception()
            del self.flights[key]
            raise
        del self.flights[key]
        await self.set(key, value)
        flight.set_result(value)
        return value


class NoShield(Flights):
    async def get_or_load(self, key: Any, load: Any) -> Any:
        if (value := await self.get(key, MISSING)) is not MISSING:
            return value
        if key not in self.flights:
            self.flights[key] = asyncio.create_task(self.fly(key, load))
        return await self.wait(self.flights[key])

    async def wait(self, task: Any) -> Any:
        return await task

    async def fly(self, key: Any, load: Any) -> Any:
        try:
            value = await load()
            await self.set(key, value)
            return value
        finally:
            del self.flights[key]


class KeepsErrors(NoShield):
    async def wait(self, task: Any) -> Any:
        return await asyncio.shield(task)

    async def fly(self, key: Any, load: Any) -> Any:
        value = await load()
        await self.set(key, value)
        del self.flights[key]
        return value


class ForgetsToStore(KeepsErrors):
    async def fly(self, key: Any, load: Any) -> Any:
        try:
            return await load()
        finally:
            del self.flights[key]


class AsksTooLate(KeepsErrors):
    """Stores what it loads, and never looks."""

    async def get_or_load(self, key: Any, load: Any) -> Any:
        if key not in self.flights:
            self.flights[key] = asyncio.create_task(self.fly(key, load))
        return await self.wait(self.flights[key])

    async def fly(self, key: Any, load: Any) -> Any:
        try:
            value = await load()
            await self.set(key, value)
            return value
        finally:
            del self.flights[key]


class LeaverRemovesTheFlight(Flights):
    """Whoever waits stores, and takes the flight off the list: the one who leaves, too."""

    async def get_or_load(self, key: Any, load: Any) -> Any:
        if (value := await self.get(key, MISSING)) is not MISSING:
            return value
        if key not in self.flights:
            self.flights[key] = asyncio.create_task(load())
        try:
            value = await asyncio.shield(self.flights[key])
            await self.set(key, value)
            return value
        finally:
            self.flights.pop(key, None)


class TriesForEver(Flights):
    """Waits for the flight, and looks into the cache: what failed is flown again."""

    async def get_or_load(self, key: Any, load: Any) -> Any:
        while (value := await self.get(key, MISSING)) is MISSING:
            if key not in self.flights:
                self.flights[key] = asyncio.create_task(self.fly(key, load))
            await asyncio.wait([self.flights[key]])
        return value

    async def fly(self, key: Any, load: Any) -> Any:
        try:
            await self.set(key, await load())
        finally:
            del self.flights[key]


class KeepsFlights(KeepsErrors):
    async def fly(self, key: Any, load: Any) -> Any:
        try:
            value = await load()
        except Exception:
            del self.flights[key]
            raise
        await self.set(key, value)
        return value


class OneLock(Flights):
    def lock_for(self, key: Any) -> Any:
        return self.lock

    async def get_or_load(self, key: Any, load: Any) -> Any:
        async with self.lock_for(key):
            if (value := await self.get(key, MISSING)) is MISSING:
                value = await load()
                await self.set(key, value)
            return value


class LockForEachKey(OneLock):
    def lock_for(self, key: Any) -> Any:
        return self.flights.setdefault(key, asyncio.Lock())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Bounded,
            "50 callers, 50 loads. Whoever misses while a load is under way waits for that one.",
        ),
        (LoadsItself, "Caller 1 left; 2–5 still wait. Give the load its own task."),
        (
            NoShield,
            "Caller 1 left; 4 others lost the page. Give the load its own task and await it "
            "through asyncio.shield: cancelling a waiter cancels what it awaits.",
        ),
        (
            KeepsErrors,
            "The next call got the old error. "
            "Remove the flight when the load ends, also when it fails.",
        ),
        (
            LeaverRemovesTheFlight,
            "Caller 1 left, caller 6 came: 2 loads. "
            "Remove the flight when the load ends, not when a waiter leaves.",
        ),
        (
            TriesForEver,
            "The load failed, and was tried 100 times. Those who waited for it get its error.",
        ),
        (
            AsksTooLate,
            "The next caller loaded again. "
            "The page is stored. Ask for it first: await self.get(key, MISSING).",
        ),
        (
            ForgetsToStore,
            "The next caller loaded again. Store what was loaded: await self.set(key, value).",
        ),
        (
            KeepsFlights,
            "The ttl was over, and the old page came back. "
            "Remove the flight when the load ends: when it fails and when it doesn't.",
        ),
        (OneLock, "Key b waited for key a. Flights are per key: keep them in a dict."),
        (
            LockForEachKey,
            "The load failed, and was tried 5 times. Those who waited for it get its error.",
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_wrong_flight_is_explained(answer: Any, expected: str) -> None:
    assert message("01-2", answer) == expected


# 01-3


class Policy(MyCache):  # type: ignore[misc, valid-type]
    """The part of the stub that is given."""

    async def get(self, key: Any, default: Any = None) -> Any:
        value = await super().get(key, MISSING)
        if value is MISSING:
            return default
        self._touch(key)
        return value

    def _touch(self, key: Any) -> None:
        self.entries[key] = self.entries.pop(key)

    def _store(self, key: Any, value: Any, expires: Any) -> None:
        self.entries.pop(key, None)
        self.entries[key] = value, expires
        while len(self.entries) > self.maxsize:
            del self.entries[next(iter(self.entries))]


class EvictsOnOverwrite(Policy):
    def _store(self, key: Any, value: Any, expires: Any) -> None:
        if len(self.entries) >= self.maxsize:
            del self.entries[next(k for k in self.entries if k != key)]
        super()._store(key, value, expires)


class TouchesOnWriteOnly(Policy):
    def _touch(self, key: Any) -> None:
        pass


class LeavesOverwrittenInPlace(Policy):
    def _store(self, key: Any, value: Any, expires: Any) -> None:
        self.entries[key] = value, expires
        if len(self.entries) > self.maxsize:
            del self.entries[next(iter(self.entries))]


class NoBound(Policy):
    def _store(self, key: Any, value: Any, expires: Any) -> None:
        self.entries.pop(key, None)
        self.entries[key] = value, expires


class EvictsTheNewest(Policy):
    def _store(self, key: Any, value: Any, expires: Any) -> None:
        self.entries[key] = value, expires
        if len(self.entries) > self.maxsize:
            self.entries.popitem()


class WantsAnOrderedDict(Policy):
    def _touch(self, key: Any) -> None:
        self.entries.move_to_end(key)


class PopsTheFirst(Policy):
    def _store(self, key: Any, value: Any, expires: Any) -> None:
        self.entries[key] = value, expires
        if len(self.entries) > self.maxsize:
            self.entries.popitem(last=False)


class StoresNothing(Policy):
    def _store(self, key: Any, value: Any, expires: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            EvictsOnOverwrite,
            "Overwriting 'a' removed 'b'. "
            "No new entry, no eviction: look at the number after storing.",
        ),
        (
            TouchesOnWriteOnly,
            "'a' was just read and left: that is FIFO. "
            "_touch moves the entry to the end: take it out and put it back.",
        ),
        (
            LeavesOverwrittenInPlace,
            "'a' was just written and left. "
            "A dict keeps an overwritten key in its old place. Take it out first.",
        ),
        (
            NoBound,
            "3 entries after writing 'a', 'b', 'c'. "
            "After a write, while there are more than maxsize: let one go.",
        ),
        (
            EvictsTheNewest,
            "After writing 'a', 'b', 'c' it was 'c' that left. "
            "A dict keeps its order: next(iter(self.entries)) is the oldest.",
        ),
        (
            WantsAnOrderedDict,
            "AttributeError: 'dict' object has no attribute 'move_to_end'. "
            "self.entries is a dict, not an OrderedDict: "
            "to move a key to the end, take it out and put it back.",
        ),
        (
            PopsTheFirst,
            "TypeError: dict.popitem() takes no keyword arguments. "
            "self.entries is a dict, not an OrderedDict: "
            "to move a key to the end, take it out and put it back.",
        ),
        (StoresNothing, "'a' was written and isn't there. Store it first."),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_wrong_policy_is_explained(answer: Any, expected: str) -> None:
    assert message("01-3", answer) == expected


def test_another_right_policy_passes() -> None:
    """The check looks at what is kept, not at how."""
    assert look_at("01-3", Policy).passed


def test_an_answer_that_never_ends_is_stopped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Busy in one place, or asking again and again without letting time pass."""

    def busy(ttl: Any, default: Any, now: Any) -> Any:
        while True:
            pass

    class Asks(Flights):
        async def get_or_load(self, key: Any, load: Any) -> Any:
            while key not in self.flights:  # noqa: ASYNC110 - the very mistake
                await asyncio.sleep(0)

    monkeypatch.setattr("cachepool_lib.lab.exercises.LIMIT", 0.2)
    for name, answer in (("01-1", busy), ("01-2", Asks)):
        result = look_at(name, answer)
        assert result.got == "TimeoutError: not done after 0.2 s. Is there a loop that never ends?"
    assert caplog.text == ""


def test_what_fails_in_an_answer_is_not_printed_beside_the_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A hundred flights fail, and nobody takes their exceptions: the message says it all."""
    look_at("01-2", TriesForEver)
    assert caplog.text == ""


def test_an_answer_of_the_wrong_kind_is_a_message_too() -> None:
    assert look_at("01-1", None).status == "failed"
    assert look_at("01-2", 42).status == "failed"
