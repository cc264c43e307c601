"""Cancelled at every await: whenever a caller leaves, the others get their answer.

Each test plays one story again and again and cancels somebody one turn of the loop later each
time, until that somebody was done before it could be cancelled. So every await is hit, those inside
the cache included, and no test needs to know how many there are.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from tests.tools.async_cache_tools import ManualClock, answer, nothing_left, turns

pytestmark = pytest.mark.anyio
__all__ = ["nothing_left"]

ENDINGS = ["value", "error"]
FACTORIES = [None, asyncio.eager_task_factory] if sys.version_info >= (3, 12) else [None]


@pytest.fixture(params=FACTORIES, ids=["tasks", "eager tasks"][: len(FACTORIES)])
async def tasks_of_each_kind(request: pytest.FixtureRequest) -> Any:
    """Every story is played with usual tasks and, where Python has them, with eager ones."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(request.param)
    yield
    loop.set_task_factory(None)


class Story:
    """One cache, one key, one loader that takes three turns, or more, and ends as it should."""

    def __init__(self, ending: str = "value") -> None:
        self.clock = ManualClock()
        self.cache = AsyncCache(clock=self.clock)
        self.ending = ending
        self.turns = 3
        self.loads = Counter[str]()  # begun, and then: value, error or cancelled

    async def load(self) -> str:
        self.loads["begun"] += 1
        how = "cancelled"
        try:
            await turns(self.turns)
            how = self.ending
            if how == "error":
                raise LookupError
            return "value"
        finally:
            self.loads[how] += 1

    def callers(self, number: int, **terms: Any) -> list["asyncio.Task[str]"]:
        return [
            asyncio.create_task(self.cache.get_or_load("k", self.load, **terms))
            for _ in range(number)
        ]

    async def end(self, callers: list["asyncio.Task[str]"]) -> Counter[str]:
        """Let it end and check what holds in every story. How the callers fared is returned."""
        await turns(20)
        assert all(caller.done() for caller in callers)
        assert self.loads["begun"] == self.loads.total() - self.loads["begun"]
        fates = Counter[str]()
        for caller in callers:
            if caller.cancelled():
                fates["cancelled"] += 1
            elif caller.exception():
                assert isinstance(caller.exception(), LookupError)
                fates["error"] += 1
            else:
                assert caller.result() == "value"
                fates["value"] += 1
        stats = self.cache.stats()
        answered = stats.hits + stats.stale_hits + stats.misses + stats.shared
        assert answered == fates["value"] + fates["error"]
        assert stats.loads == self.loads["value"]
        assert stats.load_failures == self.loads["error"]
        # And the key is as good as new: neither stuck nor poisoned.
        kept = stats.size == 1
        again = await self.cache.get_or_load("k", lambda: answer("again"))
        assert again == ("value" if kept else "again")
        return fates


def every_turn() -> Iterator[int]:
    """0, 1, 2 … until the test breaks out; a story longer than this would be stuck."""
    yield from range(40)
    pytest.fail("the story has no end")


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("leaver", [0, 1, 2], ids=["first", "middle", "last"])
async def test_one_of_three_is_cancelled(ending: str, leaver: int) -> None:
    """The load runs once and to its end; both others are answered."""
    for turn in every_turn():
        story = Story(ending)
        callers = story.callers(3)
        await turns(turn)
        in_time = callers[leaver].cancel()
        fates = await story.end(callers)
        assert story.loads == {"begun": 1, ending: 1}
        assert fates == ({ending: 2, "cancelled": 1} if in_time else {ending: 3})
        if not in_time:
            break


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_only_caller_is_cancelled(ending: str) -> None:
    """Its load is cancelled with it, or had just ended; then what it found is kept."""
    for turn in every_turn():
        story = Story(ending)
        callers = story.callers(1)
        await turns(turn)
        in_time = callers[0].cancel()
        fates = await story.end(callers)
        assert fates == ({"cancelled": 1} if in_time else {ending: 1})
        assert story.loads["begun"] <= 1
        if story.loads["value"]:
            assert await story.cache.get("k") == "value"
        if not in_time:
            break


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
async def test_two_of_three_are_cancelled_at_any_two_turns(ending: str) -> None:
    """In every order and distance: the third is answered by the one load."""
    for first in range(8):
        for second in range(8):
            for stays in range(3):
                story = Story(ending)
                callers = story.callers(3)
                leavers = [caller for n, caller in enumerate(callers) if n != stays]
                for turn in range(max(first, second) + 1):
                    if turn == first:
                        leavers[0].cancel()
                    if turn == second:
                        leavers[1].cancel()
                    await asyncio.sleep(0)
                await story.end(callers)
                assert not callers[stays].cancelled()
                assert story.loads == {"begun": 1, ending: 1}


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
async def test_one_leaves_and_another_comes_at_any_turn(ending: str) -> None:
    """The newcomer joins a living load or has its own; a dying one is never joined."""
    for turn in every_turn():
        all_done = True
        for later in range(6):
            story = Story(ending)
            callers = story.callers(1)
            await turns(turn)
            in_time = callers[0].cancel()
            all_done = all_done and not in_time
            await turns(later)
            callers += story.callers(1)
            await story.end(callers)
            assert not callers[1].cancelled()
            assert callers[0].cancelled() == in_time
        if all_done:
            break


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("event", ["delete", "set", "clear"])
async def test_cancelled_around_a_write_at_any_turn(ending: str, event: str) -> None:
    """One of two leaves and somebody writes, in every order: no old value is kept."""
    for written in range(8):
        for cancelled in range(8):
            story = Story(ending)
            callers = story.callers(2)
            for turn in range(max(written, cancelled) + 1):
                if turn == cancelled:
                    callers[0].cancel()
                if turn == written:
                    if event == "delete":
                        await story.cache.delete("k")
                    elif event == "clear":
                        await story.cache.clear()
                    else:
                        await story.cache.set("k", "value")
                    loads_before = story.loads["begun"], story.loads[ending]
                await asyncio.sleep(0)
            await story.end(callers)
            assert not callers[1].cancelled()
            if event != "set" and loads_before == (1, 0):
                # Begun before, ended after: it was answered, not kept.
                assert await story.cache.get("k") == "again"


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_reader_of_a_stale_value_is_cancelled(ending: str) -> None:
    """A refresh in the background goes on, whoever leaves: it belongs to nobody."""
    for turn in every_turn():
        story = Story()
        await asyncio.gather(*story.callers(1, ttl=10, stale_while_revalidate=60))
        story.clock.now += 10
        story.ending = ending
        callers = story.callers(2, ttl=10, stale_while_revalidate=60)
        await turns(turn)
        in_time = callers[0].cancel()
        await turns(20)
        assert callers[1].result() == "value"
        assert story.loads["begun"] == 2
        assert story.loads["cancelled"] == 0
        if not in_time:
            break


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("joined", [1, 2])
async def test_who_joined_a_refresh_is_cancelled(ending: str, joined: int) -> None:
    """Callers without a stale window wait for the refresh; their leaving does not end it."""
    for turn in every_turn():
        story = Story()
        await asyncio.gather(*story.callers(1, ttl=10, stale_while_revalidate=60))
        story.clock.now += 10
        story.ending = ending
        story.turns = 8  # long enough to be joined, and left, while it runs
        await asyncio.gather(*story.callers(1, ttl=10, stale_while_revalidate=60))
        callers = story.callers(joined)
        await turns(turn)
        in_time = callers[0].cancel()
        await turns(20)
        for stays in callers[1:]:
            assert not stays.cancelled()
            assert stays.exception() is None or ending == "error"
        assert callers[0].cancelled() == in_time
        assert story.loads == Counter({"begun": 2, "value": 1}) + Counter({ending: 1})
        if not in_time:
            break


@pytest.mark.usefixtures("tasks_of_each_kind")
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("event", ["close", "delete", "clear", "set"])
async def test_a_refresh_is_voided_at_any_turn(event: str, ending: str) -> None:
    """close cancels it; after delete, clear or set it runs to its end, and is not stored."""
    for turn in every_turn():
        story = Story()
        await asyncio.gather(*story.callers(1, ttl=10, stale_while_revalidate=60))
        story.clock.now += 10
        story.ending = ending
        await asyncio.gather(*story.callers(1, ttl=10, stale_while_revalidate=60))
        await turns(turn)
        ended = story.loads["value"] + story.loads["error"] == 2
        if event == "close":
            await story.cache.close()
            # It has ended, not only been told to.
            assert story.loads["begun"] == story.loads.total() - story.loads["begun"]
        elif event == "set":
            await story.cache.set("k", "newer")
        elif event == "delete":
            await story.cache.delete("k")
        else:
            await story.cache.clear()
        await turns(20)
        if not ended:
            last = Counter({"cancelled" if event == "close" else ending: 1})
            assert story.loads == Counter({"begun": 2, "value": 1}) + last
        if event == "set":
            assert await story.cache.get("k") == "newer"
        elif event != "close" and not ended:
            assert story.cache.stats().size == 0
        if ended:
            break


@pytest.mark.usefixtures("tasks_of_each_kind")
async def test_close_itself_is_cancelled_at_any_turn() -> None:
    """The refresh ends all the same, and closing again works."""
    for turn in every_turn():
        story = Story()
        await asyncio.gather(*story.callers(1, ttl=10, stale_while_revalidate=60))
        story.clock.now += 10
        await asyncio.gather(*story.callers(1, ttl=10, stale_while_revalidate=60))
        closing = asyncio.create_task(story.cache.close())
        await turns(turn)
        in_time = closing.cancel()
        await turns(20)
        await story.cache.close()
        assert story.loads["begun"] == story.loads["value"] + story.loads["cancelled"]
        if turn:  # else it was cancelled before it did anything
            assert story.loads["value"] == 1
        if not in_time:
            break
