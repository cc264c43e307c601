"""AsyncCache against a plain model that may forget, but never lies.

Hypothesis writes the story: values are set, deleted, asked for; loads end in any order, or fail;
callers leave; time moves. The model holds at most one entry and one load a key and knows no room.
A cache without a bound has to agree with it in everything. One with a bound may have forgotten, and
whatever it answers has to be what the model holds: never a value past its ttl, never one from
before a delete, never one that it had forgotten.
"""

import asyncio
import gc
import logging
import math
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cachepool_lib import AsyncCache
from tests.tools.async_cache_tools import ManualClock, turns

DEFAULT_TTL = 20
KEYS = st.sampled_from("ab")
TTLS = st.sampled_from([None, 0, 5, 5, math.inf])
WINDOWS = st.sampled_from([0, 10, 60])
MISSING = object()


@dataclass(frozen=True)
class Terms:
    ttl: float | None
    stale_while_revalidate: float
    stale_if_error: float
    early_refresh: float
    retry_after: float


TERMS = st.builds(Terms, TTLS, WINDOWS, WINDOWS, st.sampled_from([0, 0, 3]), st.just(7))


@dataclass
class Entry:
    value: Any
    expires_at: float
    terms: Terms | None = None  # of the load that stored it; None if it was set
    retry_at: float = -math.inf


@dataclass(eq=False)
class Load:
    key: str
    number: int
    terms: Terms
    end: "asyncio.Future[Any]"
    background: bool = True  # until a caller is found to wait for it
    callers: "list[Caller]" = field(default_factory=list)
    cancelled: bool = False  # as the model expects


@dataclass(eq=False)
class Caller:
    terms: Terms
    task: "asyncio.Task[Any]"
    load: Load | None = None


class CacheMachine(RuleBasedStateMachine):
    """The cache under test, the model beside it, and the loop that both live in."""

    @initialize(maxsize=st.sampled_from([None, None, 1, 2]))
    def build(self, maxsize: int | None) -> None:
        self.maxsize = maxsize
        self.clock = ManualClock()
        self.cache = AsyncCache(DEFAULT_TTL, maxsize=maxsize, clock=self.clock)
        self.loop = asyncio.new_event_loop()
        self.complaints: list[Any] = []
        self.loop.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self.entries: dict[str, Entry] = {}
        self.live: dict[str, Load] = {}  # the load that a newcomer would join
        self.loads: list[Load] = []
        self.callers: list[Caller] = []  # those who wait
        self.values = 0
        self.answered = 0

    def run(self, coroutine: Awaitable[Any]) -> Any:
        async def main() -> Any:
            result = await coroutine
            await turns(8)
            return result

        return self.loop.run_until_complete(main())

    def new_value(self) -> int:
        self.values += 1
        return self.values

    # What the world does

    @rule(seconds=st.sampled_from([1, 4, 5, 15, 40]))
    def advance(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(key=KEYS, ttl=TTLS)
    def set(self, key: str, ttl: float | None) -> None:
        value = self.new_value()
        self.run(self.cache.set(key, value, ttl))
        self.store(key, value, ttl, None)
        self.void(key)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        value = self.run(self.cache.get(key, MISSING))
        self.answered += 1
        entry = self.entries.get(key)
        if entry is None or entry.expires_at <= self.clock.now:
            assert value is MISSING
        elif value is MISSING:
            self.forgotten(key)
        else:
            assert value == entry.value

    @rule(key=KEYS, how=st.sampled_from(["delete", "delete", "clear", "close"]))
    def forget(self, key: str, how: str) -> None:
        if how == "delete":
            was_there = self.run(self.cache.delete(key))
            entry = self.entries.pop(key, None)
            fresh = entry is not None and self.clock.now < entry.expires_at
            assert was_there == fresh or (self.maxsize is not None and not was_there)
            self.void(key)
        elif how == "clear":
            self.run(self.cache.clear())
            self.entries.clear()
            for each in list(self.live):
                self.void(each)
        else:
            unowned = [load for load in self.loads if load.background and not load.end.done()]
            self.run(self.cache.close())
            for load in unowned:
                load.background = False
                load.cancelled = not load.callers
                if self.live.get(load.key) is load:
                    self.void(load.key)

    @rule(
        key=KEYS,
        terms=TERMS,
        good=st.sampled_from([True, True, False]),
        seconds=st.sampled_from([0, 1, 5, 15]),
    )
    def visit(self, key: str, terms: Terms, good: bool, seconds: float) -> None:
        """What happens most: somebody asks, a load ends if there was one, and time goes by."""
        self.ask(key, terms)
        if key in self.live:
            self.end(self.live[key], good)
        self.clock.now += seconds

    @rule(key=KEYS, terms=TERMS)
    def ask_and_leave(self, key: str, terms: Terms) -> None:
        """Somebody without patience, who may have begun a load or joined one."""
        waiting = len(self.callers)
        self.ask(key, terms)
        if len(self.callers) > waiting:
            self.leave(self.callers[-1])

    @rule(key=KEYS, terms=TERMS)
    def ask(self, key: str, terms: Terms) -> None:
        """Somebody calls get_or_load, and is answered at once or has to wait."""
        loads_before = len(self.loads)

        async def loader() -> Any:
            load = Load(key, self.new_value(), terms, asyncio.get_running_loop().create_future())
            self.loads.append(load)
            return await load.end

        caller = Caller(
            terms,
            self.loop.create_task(
                self.cache.get_or_load(
                    key,
                    loader,
                    terms.ttl,
                    stale_while_revalidate=terms.stale_while_revalidate,
                    stale_if_error=terms.stale_if_error,
                    early_refresh=terms.early_refresh,
                    retry_after=terms.retry_after,
                )
            ),
        )
        self.run(turns())
        begun = self.loads[loads_before:]
        assert len(begun) <= 1
        if begun:
            assert key not in self.live, "two loads of one key"
            self.live[key] = begun[0]
        if caller.task.done():
            self.answered_at_once(key, caller, begun)
        else:
            self.has_to_wait(key, caller, begun)

    def answered_at_once(self, key: str, caller: Caller, begun: list[Load]) -> None:
        self.answered += 1
        entry = self.entries[key]
        assert caller.task.result() == entry.value
        if self.clock.now < entry.expires_at:
            early = caller.terms.early_refresh and entry.terms and self.clock.now >= entry.retry_at
            assert early or not begun
        else:
            due = self.clock.now >= entry.retry_at
            assert self.in_window(entry, caller.terms, failed=not due)
            assert key in self.live if due else not begun

    def has_to_wait(self, key: str, caller: Caller, begun: list[Load]) -> None:
        entry = self.entries.get(key)
        if entry is not None:
            at_hand = self.clock.now < entry.expires_at or self.in_window(
                entry, caller.terms, failed=self.clock.now < entry.retry_at
            )
            if at_hand:
                self.forgotten(key)
        caller.load = self.live[key]
        caller.load.callers.append(caller)
        if begun:
            caller.load.background = False
        self.callers.append(caller)

    @precondition(lambda self: any(not load.end.done() for load in self.loads))
    @rule(data=st.data(), good=st.booleans())
    def a_load_ends(self, data: st.DataObject, good: bool) -> None:
        running = [load for load in self.loads if not load.end.done()]
        self.end(data.draw(st.sampled_from(running)), good)

    def end(self, load: Load, good: bool) -> None:
        if good:
            load.end.set_result(load.number)
        else:
            load.end.set_exception(LookupError(load.number))
        self.run(turns())
        entry = self.entries.get(load.key)
        if self.live.get(load.key) is load:
            del self.live[load.key]
            if good:
                self.store(load.key, load.number, load.terms.ttl, load.terms)
            elif entry is not None and entry.terms is not None:
                entry.retry_at = self.clock.now + load.terms.retry_after
        for caller in load.callers:
            self.callers.remove(caller)
            self.answered += 1
            assert caller.task.done()
            error = caller.task.exception()
            if good:
                assert caller.task.result() == load.number
            elif error is not None:
                assert isinstance(error, LookupError)
                assert error.args == (load.number,)
                if entry is not None and self.stands_in(entry, caller.terms):
                    self.forgotten(load.key)
            else:
                assert entry is not None
                assert caller.task.result() == entry.value
                assert self.stands_in(entry, caller.terms)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def a_caller_leaves(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(self.callers)))

    def leave(self, caller: Caller) -> None:
        caller.task.cancel()
        self.run(turns())
        assert caller.task.cancelled()
        self.callers.remove(caller)
        load = caller.load
        assert load is not None
        load.callers.remove(caller)
        if not load.callers and not load.background:
            load.cancelled = True
            if self.live.get(load.key) is load:
                del self.live[load.key]

    # What the model makes of it

    def store(self, key: str, value: Any, ttl: float | None, terms: Terms | None) -> None:
        seconds = DEFAULT_TTL if ttl is None else ttl
        self.entries.pop(key, None)
        if seconds:
            self.entries[key] = Entry(value, self.clock.now + seconds, terms)

    def void(self, key: str) -> None:
        """No newcomer joins the load of *key* any more, and it may not store."""
        self.live.pop(key, None)

    def forgotten(self, key: str) -> None:
        assert self.maxsize is not None, f"{key} was forgotten, and there is no bound"
        del self.entries[key]

    def in_window(self, entry: Entry, reader: Terms, *, failed: bool) -> bool:
        """Fresh, or within the smaller of both windows. What was set has none."""
        age = self.clock.now - entry.expires_at
        if age < 0 or entry.terms is None:
            return age < 0
        return age < min(reader.stale_while_revalidate, entry.terms.stale_while_revalidate) or (
            failed and age < min(reader.stale_if_error, entry.terms.stale_if_error)
        )

    def stands_in(self, entry: Entry, reader: Terms) -> bool:
        """After a failed load, for who allows it: also a value that was set meanwhile."""
        return reader.stale_if_error > 0 and self.in_window(entry, reader, failed=True)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "cache"):
            return
        for load in self.loads:
            assert load.end.cancelled() == load.cancelled
        for key, load in self.live.items():
            assert load.background or load.callers, f"{key} is loaded for nobody"
        stats = self.cache.stats()
        assert stats.hits + stats.stale_hits + stats.misses + stats.shared == self.answered
        assert self.maxsize is None or stats.size <= self.maxsize
        assert not self.complaints

    def teardown(self) -> None:
        for caller in self.callers:
            caller.task.cancel()
        self.run(turns())
        self.run(self.cache.close())
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()
        del self.callers, self.loads, self.live
        gc.collect(0)
        assert not self.complaints


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Failed refreshes are logged, by the hundred here."""
    caplog.set_level(logging.CRITICAL, "cachepool_lib")


class TestCache(CacheMachine.TestCase):  # type: ignore[misc,valid-type]
    """Every story that hypothesis can think of."""

    settings = settings(
        max_examples=200,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,  # the same stories in every run
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
