"""Feedback on two exercises about a cache in memory: 00-1 and 01-1."""

import math
from typing import Any

from cachepool_lib.lab.notebook.checks import Checks, Unmet

ROOM = 3  # entries, in exercise 01-1

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


@exercise("00-1", "The share of visits that are hits")
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


class _Room:
    """A cache with room for three, in the order in which entries leave. Right, by one policy."""

    policy = "first in, first out"

    def __init__(self) -> None:
        self.entries: dict[Any, Any] = {}

    async def get(self, key: Any, default: Any = None) -> Any:
        if key in self.entries:
            self._use(key)
        return self.entries.get(key, default)

    async def set(self, key: Any, value: Any, ttl: Any = None) -> None:
        self._write(key, value)

    async def delete(self, key: Any) -> bool:
        return self.entries.pop(key, self) is not self

    async def clear(self) -> None:
        self.entries.clear()

    def _use(self, key: Any) -> None:
        pass

    def _write(self, key: Any, value: Any) -> None:
        self.entries[key] = value
        if len(self.entries) > ROOM:
            del self.entries[self._leaves()]

    def _leaves(self) -> Any:
        return next(iter(self.entries))


class _LeastRecentlyUsed(_Room):
    policy = "least recently used leaves"

    def _use(self, key: Any) -> None:
        self.entries[key] = self.entries.pop(key)

    def _write(self, key: Any, value: Any) -> None:
        self.entries.pop(key, None)
        super()._write(key, value)


class _LastIn(_Room):
    policy = "the newest but one leaves"

    def _leaves(self) -> Any:
        return list(self.entries)[-2]


class _Hasty(_Room):
    """Makes room before it looks whether it needs any: the bug."""

    def _write(self, key: Any, value: Any) -> None:
        if len(self.entries) >= ROOM:
            del self.entries[self._leaves()]
        self.entries[key] = value


@exercise("01-1", "Find the bug: visits that show it")
async def breaks(answer: Any) -> str:
    async def holds(cache: _Room) -> bool:
        """Does what the learner asserts hold for this cache?"""
        try:
            await answer(cache)
        except AssertionError:
            return False
        return True

    if await holds(_Hasty()):
        raise Unmet(
            expected="an assert that fails for Hasty",
            got="Hasty passed.",
            hint="Fill the room, then write in such a way that nothing has to leave. What left?",
        )
    for right in (_Room, _LeastRecentlyUsed, _LastIn):
        if not await holds(right()):
            raise Unmet(
                expected="visits that a right cache passes",
                got=f"A right cache failed, too ({right.policy}).",
                hint="Room for three: a fourth key has to push one out, and which one is up to the "
                "policy. Three keys need no policy.",
            )
    return "Hasty fails, and three right caches pass"
