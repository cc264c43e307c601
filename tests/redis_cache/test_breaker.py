"""When the circuit breaker opens, closes and probes."""

import math

import pytest

from cachepool_lib.redis_cache.breaker import (
    CALM_SECONDS,
    LONGEST_PROBE_SECONDS,
    PROBE_SECONDS,
    Breaker,
    Event,
    State,
)
from tests.tools.async_cache_tools import ManualClock

SMALL, LARGE, UNSENT = 65_536, 65_537, 0  # bytes


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker(clock)


def begin(breaker: Breaker) -> int:
    batch = breaker.begin()
    assert batch is not None, "the circuit is open"
    return batch


def answer(breaker: Breaker, size: int = SMALL) -> None:
    breaker.answered(begin(breaker), size)


def fail(breaker: Breaker, size: int = SMALL) -> Event | None:
    return breaker.failed(begin(breaker), size)


def check(breaker: Breaker, passed: bool | None) -> Event | None:
    taken = breaker.take_check()
    assert taken is not None, "no check is due"
    return breaker.checked(taken, passed)


def open_circuit(breaker: Breaker) -> Event | None:
    fail(breaker)
    return check(breaker, passed=False)


# Opening


@pytest.mark.parametrize("size", [SMALL, LARGE, UNSENT])
def test_a_failure_that_a_check_confirms_opens_the_circuit(breaker: Breaker, size: int) -> None:
    """Whatever failed: silence, a lost connection, none at all, or a refusal of everything."""
    assert fail(breaker, size) is None
    assert breaker.state is State.CLOSED
    assert check(breaker, passed=False) is Event.OPENED
    assert breaker.state is State.OPEN
    assert breaker.begin() is None


@pytest.mark.parametrize("size", [SMALL, LARGE, UNSENT])
def test_a_failure_that_a_check_refutes_opens_nothing(
    breaker: Breaker, clock: ManualClock, size: int
) -> None:
    """However often: one value in three may be too slow, or cost a connection, for ever."""
    for _ in range(100):
        assert fail(breaker, size) is None
        assert check(breaker, passed=True) is None
        answer(breaker)
        answer(breaker)
        clock.now += PROBE_SECONDS
    assert breaker.state is State.CLOSED


def test_batches_go_on_while_a_check_is_under_way(breaker: Breaker) -> None:
    """One slow value makes nobody wait."""
    fail(breaker)
    assert breaker.take_check() is not None
    assert breaker.begin() is not None


def test_nothing_is_checked_without_a_failure(breaker: Breaker, clock: ManualClock) -> None:
    """Nor after a failure that is followed by an answer."""
    assert breaker.take_check() is None
    fail(breaker)
    answer(breaker)
    clock.now += 100
    assert breaker.take_check() is None


def test_an_answer_while_a_check_runs_refutes_it(breaker: Breaker) -> None:
    """The server takes no more connections, say, and serves those that are open.

    Even where another batch fails after that answer.
    """
    fail(breaker)
    taken = breaker.take_check()
    assert taken is not None
    answer(breaker)
    fail(breaker)
    assert breaker.checked(taken, passed=False) is None
    assert breaker.state is State.CLOSED


def test_one_check_at_a_time_and_one_each_half_second(breaker: Breaker, clock: ManualClock) -> None:
    """Many failures at once open one connection, not many."""
    fail(breaker)
    taken = breaker.take_check()
    assert taken is not None
    fail(breaker)
    assert breaker.take_check() is None
    breaker.checked(taken, passed=True)
    fail(breaker)
    assert breaker.take_check() is None
    clock.now += PROBE_SECONDS
    assert breaker.take_check() is not None


def test_eleven_failures_among_twenty_batches_open_at_the_eleventh(breaker: Breaker) -> None:
    """Though every check passes. Ten do not, for as long as there are no more."""
    for _ in range(100):
        answer(breaker)
        assert fail(breaker) is None
    answer(breaker)
    assert fail(breaker) is None
    assert fail(breaker) is Event.OPENED


@pytest.mark.parametrize("size", [LARGE, UNSENT])
def test_large_batches_and_those_never_sent_are_not_looked_at(breaker: Breaker, size: int) -> None:
    """A large one may be slow because it is large; one that found no connection wasn't slow."""
    for _ in range(100):
        assert fail(breaker, size) is None
        breaker.answered(begin(breaker), size=LARGE)


def test_a_large_answer_does_not_make_up_for_small_failures(breaker: Breaker) -> None:
    """Only the batches that are looked at count on either side."""
    for _ in range(10):
        fail(breaker)
        answer(breaker, LARGE)
    assert fail(breaker) is Event.OPENED


@pytest.mark.parametrize("calls", [11, 1000])
def test_who_fails_together_is_one_failure(breaker: Breaker, calls: int) -> None:
    """All waited while one value was sent, or lost the same connection: the check decides."""
    together = [begin(breaker) for _ in range(calls)]
    assert [breaker.failed(batch, SMALL) for batch in together] == [None] * calls
    assert check(breaker, passed=True) is None


def test_who_fails_while_others_are_answered_is_a_failure_of_its_own(breaker: Breaker) -> None:
    """Then it is no stall of the whole server, and a check that passes does not excuse it."""
    together = [begin(breaker) for _ in range(12)]
    breaker.failed(together.pop(), SMALL)
    assert check(breaker, passed=True) is None
    events = [breaker.failed(batch, SMALL) for batch in together]
    assert events == [None] * 9 + [Event.OPENED, None]


# Open and half-open


def test_one_probe_each_half_second_while_open(breaker: Breaker, clock: ManualClock) -> None:
    """The next one half a second after the last began; everybody else is told that it is open."""
    open_circuit(breaker)
    for _ in range(50):
        assert breaker.take_check() is None
        assert breaker.check_in() == PROBE_SECONDS
        clock.now += PROBE_SECONDS
        assert breaker.check_in() == 0
        probe = breaker.take_check()
        assert probe is not None
        assert breaker.state is State.HALF_OPEN
        assert breaker.take_check() is None
        assert breaker.begin() is None
        assert breaker.checked(probe, passed=False) is None
        assert breaker.state is State.OPEN


def test_a_probe_that_passes_closes_the_circuit(breaker: Breaker, clock: ManualClock) -> None:
    """At once, for everybody."""
    open_circuit(breaker)
    clock.now += PROBE_SECONDS
    assert check(breaker, passed=True) is Event.CLOSED
    assert breaker.state is State.CLOSED
    answer(breaker)


def test_reopening_within_five_seconds_is_the_same_outage(
    breaker: Breaker, clock: ManualClock
) -> None:
    """The pause doubles each time, to 8 seconds; after 5 s it is a new one, which begins anew."""
    assert open_circuit(breaker) is Event.OPENED
    pauses = []
    for _ in range(7):
        pauses.append(breaker.check_in())
        clock.now += breaker.check_in()
        assert check(breaker, passed=True) is Event.CLOSED
        clock.now = math.nextafter(clock.now + CALM_SECONDS, 0)
        assert open_circuit(breaker) is Event.REOPENED
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]
    clock.now += breaker.check_in()
    check(breaker, passed=True)
    clock.now += CALM_SECONDS
    assert open_circuit(breaker) is Event.OPENED
    assert breaker.check_in() == PROBE_SECONDS


def test_a_probe_that_fails_keeps_its_longer_pause(breaker: Breaker, clock: ManualClock) -> None:
    """The pause grows with each reopening, not with each probe."""
    open_circuit(breaker)
    clock.now += PROBE_SECONDS
    check(breaker, passed=True)
    open_circuit(breaker)
    for _ in range(5):
        clock.now += breaker.check_in()
        check(breaker, passed=False)
        assert breaker.check_in() == 2 * PROBE_SECONDS


# What began before counts no more


def test_a_failure_of_before_does_not_open_again(breaker: Breaker, clock: ManualClock) -> None:
    """A batch that was sent before the server came back fails late: it isn't even suspected."""
    before = [begin(breaker) for _ in range(30)]
    open_circuit(breaker)
    clock.now += PROBE_SECONDS
    check(breaker, passed=True)
    assert [breaker.failed(batch, SMALL) for batch in before] == [None] * 30
    assert breaker.take_check() is None


def test_a_success_of_before_does_not_close(breaker: Breaker, clock: ManualClock) -> None:
    """Nor does a check that began before it opened."""
    before = begin(breaker)
    fail(breaker)
    taken = breaker.take_check()
    assert taken is not None
    assert [fail(breaker) for _ in range(10)] == [None] * 9 + [Event.OPENED]
    breaker.answered(before, SMALL)
    assert breaker.checked(taken, passed=True) is None
    assert breaker.state is State.OPEN


def test_a_success_of_before_is_no_answer_after(breaker: Breaker, clock: ManualClock) -> None:
    """It refutes no check of a later outage."""
    before = begin(breaker)
    open_circuit(breaker)
    clock.now += PROBE_SECONDS
    check(breaker, passed=True)
    fail(breaker)
    taken = breaker.take_check()
    assert taken is not None
    breaker.answered(before, SMALL)
    assert breaker.checked(taken, passed=False) is Event.REOPENED


def test_each_outage_is_judged_by_its_own_batches(breaker: Breaker, clock: ManualClock) -> None:
    """The failures that opened the circuit don't help to open it again."""
    assert [fail(breaker) for _ in range(11)] == [None] * 10 + [Event.OPENED]
    clock.now += PROBE_SECONDS
    check(breaker, passed=True)
    assert [fail(breaker) for _ in range(11)] == [None] * 10 + [Event.REOPENED]


def test_what_began_after_counts(breaker: Breaker, clock: ManualClock) -> None:
    """From the first batch on that was sent when the circuit had closed."""
    open_circuit(breaker)
    clock.now += PROBE_SECONDS
    check(breaker, passed=True)
    first = begin(breaker)
    fail(breaker)
    taken = breaker.take_check()
    assert taken is not None
    breaker.answered(first, SMALL)
    assert breaker.checked(taken, passed=False) is None


# Checks that end in no way, or were asked for


def test_a_check_that_nobody_reports_is_given_up(breaker: Breaker, clock: ManualClock) -> None:
    """After 8 seconds another may be taken; the lost one means nothing any more."""
    open_circuit(breaker)
    clock.now += PROBE_SECONDS
    lost = breaker.take_check()
    assert lost is not None
    clock.now = math.nextafter(clock.now + LONGEST_PROBE_SECONDS, 0)
    assert breaker.take_check() is None
    clock.now += 0.001
    probe = breaker.take_check()
    assert probe is not None
    assert breaker.checked(lost, passed=True) is None
    assert breaker.checked(probe, passed=True) is Event.CLOSED


def test_a_check_that_was_cancelled_is_left_to_the_next(
    breaker: Breaker, clock: ManualClock
) -> None:
    """It says nothing of the server, and nobody waits for its pause."""
    fail(breaker)
    assert check(breaker, passed=None) is None
    assert check(breaker, passed=False) is Event.OPENED
    clock.now += PROBE_SECONDS
    assert check(breaker, passed=None) is None
    assert breaker.state is State.OPEN
    assert check(breaker, passed=True) is Event.CLOSED


def test_a_check_may_be_had_at_once(breaker: Breaker) -> None:
    """For somebody who wants to know, with no failure before, or while another is under way."""
    wanted = breaker.take_check(at_once=True)
    assert wanted is not None
    assert breaker.checked(wanted, passed=False) is Event.OPENED
    other, wanted = breaker.take_check(at_once=True), breaker.take_check(at_once=True)
    assert other is not None
    assert wanted is not None
    assert breaker.checked(wanted, passed=True) is Event.CLOSED
    assert breaker.checked(other, passed=False) is None
    assert breaker.state is State.CLOSED


def test_a_report_counts_once(breaker: Breaker, clock: ManualClock) -> None:
    """A check that is reported twice does not open twice."""
    fail(breaker)
    taken = breaker.take_check()
    assert taken is not None
    assert breaker.checked(taken, passed=False) is Event.OPENED
    assert breaker.checked(taken, passed=True) is None
    assert breaker.state is State.OPEN
