"""What holds of the circuit breaker whatever happens, in any order."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cachepool_lib.redis_cache.breaker import (
    CALM_SECONDS,
    LONGEST_PROBE_SECONDS,
    PROBE_SECONDS,
    WINDOW_BYTES,
    Breaker,
    Event,
    State,
)
from tests.tools.async_cache_tools import ManualClock

SMALL, LARGE, UNSENT = 100, WINDOW_BYTES + 1, 0  # bytes


class AnyOrder(RuleBasedStateMachine):
    """Batches and checks that begin, end and are forgotten in any order, and time that passes."""

    batches: Bundle[tuple[int, int]] = Bundle("batches")  # each with the changes before it began
    checks: Bundle[int] = Bundle("checks")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.breaker = Breaker(self.clock)
        self.events: list[Event] = []
        self.closed_at = -math.inf
        self.open_since = math.inf
        self.probed_at = -math.inf
        self.under_way: tuple[int, float] | None = None  # the check, and when it began
        self.failures = 0  # since the last change

    def note(self, event: Event | None) -> None:
        if event is None:
            return
        if event is Event.CLOSED:
            assert self.is_open()
            self.closed_at, self.open_since = self.clock.now, math.inf
        else:
            assert not self.is_open()
            assert self.failures, "it opened, and nothing had failed"
            same = self.clock.now - self.closed_at < CALM_SECONDS
            assert event is (Event.REOPENED if same else Event.OPENED)
            self.open_since = self.clock.now
        self.events.append(event)
        self.under_way, self.failures = None, 0

    def is_open(self) -> bool:
        return bool(self.events) and self.events[-1] is not Event.CLOSED

    @rule(target=batches)
    def begin(self) -> tuple[int, int]:
        batch = self.breaker.begin()
        assert (batch is None) == self.is_open()
        return (-1 if batch is None else batch), len(self.events)

    @rule(batch=consumes(batches), size=st.sampled_from([SMALL, LARGE]))
    def answered(self, batch: tuple[int, int], size: int) -> None:
        if batch[0] >= 0:
            self.breaker.answered(batch[0], size)

    @rule(batch=consumes(batches), size=st.sampled_from([SMALL, LARGE, UNSENT]))
    def failed(self, batch: tuple[int, int], size: int) -> None:
        if batch[0] < 0:
            return
        current = batch[1] == len(self.events)
        self.failures += current
        event = self.breaker.failed(batch[0], size)
        assert current or event is None, "it began before the last change"
        self.note(event)

    @rule(target=checks)
    def take_check(self) -> int:
        taken = self.breaker.take_check()
        if taken is None:
            return -1
        assert self.is_open() or self.failures
        if self.under_way is not None:
            assert self.clock.now - self.under_way[1] >= LONGEST_PROBE_SECONDS, "two at once"
        self.under_way, self.probed_at = (taken, self.clock.now), self.clock.now
        return taken

    @rule(check=consumes(checks), passed=st.sampled_from([True, False, None]))
    def checked(self, check: int, passed: bool | None) -> None:
        current = self.under_way is not None and self.under_way[0] == check
        event = self.breaker.checked(check, passed)
        assert current or event is None, "it was given up, or began before the last change"
        if passed is not False:
            assert event in (None, Event.CLOSED)
        if current:
            self.under_way = None
        self.note(event)

    @rule(after=st.sampled_from([0.001, 0.25, PROBE_SECONDS, 1.0, CALM_SECONDS, 8.0]))
    def pass_time(self, after: float) -> None:
        self.clock.now += after

    @invariant()
    def a_probe_is_never_far(self) -> None:
        assert 0 <= self.breaker.check_in() <= LONGEST_PROBE_SECONDS
        last = max(self.open_since, self.probed_at)
        if self.is_open() and self.clock.now - last >= LONGEST_PROBE_SECONDS:
            assert self.breaker.check_in() == 0

    @invariant()
    def the_state_is_what_was_said(self) -> None:
        assert (self.breaker.state is not State.CLOSED) == self.is_open()
        if self.is_open() and self.under_way is not None:
            assert self.breaker.state is State.HALF_OPEN


AnyOrder.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestAnyOrder = AnyOrder.TestCase
