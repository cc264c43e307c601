"""A circuit breaker: leave a server alone while it can't be used, and find out when it can again.

It does no I/O and never waits: it is told what became of each batch (the requests that were sent
together, and share a fate), and answers what to do. It knows nothing of what is sent, or to whom.

    batch = breaker.begin()                  # None: the circuit is open, don't send
    ... send, and wait for the replies ...
    breaker.answered(batch, size)            # or: event = breaker.failed(batch, size)

    check = breaker.take_check()             # after each failure, and while the circuit is open
    if check is not None:
        ... in a task of its own: ask for something small on a fresh connection ...
        event = breaker.checked(check, passed)

`failed` and `checked` return an Event where the circuit has just opened or closed. To find out that
the server is back though nobody calls: until it has closed, sleep for `check_in()` seconds and take
a check.

A failed batch alone never opens the circuit: it may have been the fault of one request, or of
one connection. It asks for a check, and the check decides. Meanwhile batches go on as before: most
failures are no outage, and to hold the others back would make everybody wait for the one. If it
is an outage, each waits for its own reply no longer than it would have waited for the check.

Not for several threads at once: whoever has event loops in several threads locks each call.

The states are those of Michael Nygard, "Release It!" (2007): closed, open, half-open.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from enum import Enum

WINDOW = 20  # batches that are looked at; the circuit opens when fewer than half were answered
WINDOW_BYTES = 64 * 1024  # a larger batch may be slow because it is large, so it isn't looked at
PROBE_SECONDS = 0.5  # from one probe to the next, and from one check to the next
LONGEST_PROBE_SECONDS = 8.0  # the same when the circuit has opened again and again
CALM_SECONDS = 5.0  # who opens again sooner than this after closing is in the same outage


class State(Enum):
    CLOSED = "closed"  # batches are sent
    OPEN = "open"  # nothing is sent
    HALF_OPEN = "half-open"  # nothing is sent but one probe, which is under way


class Event(Enum):
    """What has just happened to the circuit."""

    OPENED = "opened"  # a new outage: the moment for a line in the log
    REOPENED = "reopened"  # the outage that was taken to be over isn't: no new line
    CLOSED = "closed"  # the server can be used


class Breaker:
    """Say whether to send, and when to check whether the server can be used.

    The circuit opens when

    - a batch failed, then the check failed too, and no batch was answered while it ran; or
    - fewer than half of the last 20 batches of up to 64 kB were answered. Those that failed
      together, with no answer between them, were in one stall (or lost one connection) and count
      as one: whether that is an outage is for the check to say.

    Then `begin` says None until a probe passes, which is the same check. There is one every half
    second. A circuit that opens again within 5 seconds of closing doubles that pause, up to 8
    seconds: a server that is quick only while it is left alone is left alone.

    What began before the circuit last opened or closed changes nothing any more.

    Args:
        clock: returns the time in seconds; it must never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open = False
        self._suspected = False  # a batch failed, and nothing was answered since
        self._window: deque[bool] = deque(maxlen=WINDOW)  # was the batch answered?
        self._pause = PROBE_SECONDS
        self._check: int | None = None  # the check under way
        self._check_began = self._check_due = self._closed_at = -math.inf
        # What came before what is counted in steps: two things may have the same time.
        self._step = self._last_change = self._last_answer = self._last_failure = 0

    @property
    def state(self) -> State:
        if not self._open:
            return State.CLOSED
        return State.OPEN if self._check is None else State.HALF_OPEN

    def begin(self) -> int | None:
        """Call before a batch is sent: what to report it with, or None if it must not be sent.

        A batch of which nothing was learnt (cancelled, say) need not be reported.
        """
        return None if self._open else self._step

    def answered(self, batch: int, size: int) -> None:
        """Report that replies came in time, whatever they say: errors of a request are replies.

        *size* is the batch in bytes, sent and received.
        """
        if batch < self._last_change:
            return
        self._hear()
        if size <= WINDOW_BYTES:
            self._window.append(True)

    def failed(self, batch: int, size: int) -> Event | None:
        """Report that the server could not be used.

        That is: no reply in time, a reply that refuses whatever is asked (not this one request),
        or connections that were refused or lost, all that were tried: a batch that may be sent
        again on another connection is reported when that has ended.

        *size* is the batch in bytes; 0 where nothing was sent, as no connection could be made.
        """
        if batch < self._last_change:
            return None
        self._suspected = True
        same_stall = self._last_answer <= batch < self._last_failure
        if 0 < size <= WINDOW_BYTES and not same_stall:
            self._window.append(False)
            self._last_failure = self._next_step()
        # Not before all 20 are there, but as soon as it is certain what they will say.
        return self._trip() if self._window.count(False) > WINDOW // 2 else None

    def take_check(self, at_once: bool = False) -> int | None:
        """Call after each failure and, while open, from time to time: a check to carry out now.

        None if none is due, or one is under way. Whoever takes a check reports it with `checked`,
        whatever happens; one that isn't reported for 8 seconds is given up (its process was forked,
        its event loop has ended), and the next may be taken.

        The check asks, on a fresh connection, for something that a refusing server refuses, and
        waits as long as a batch may. Where no connection can be made, but one is open and idle, it
        asks there: the server may have as many connections as it takes, and serve those.

        *at_once* gives one in any case, for somebody who wants to know; any other is then void.
        """
        now = self._clock()
        if not at_once and (now < self._check_due or not (self._open or self._suspected)):
            return None
        self._check_began, self._check_due = now, now + LONGEST_PROBE_SECONDS
        self._check = self._next_step()
        return self._check

    def checked(self, check: int, passed: bool | None) -> Event | None:
        """Report a check; None if it was not carried out (cancelled, say), so another may."""
        if check != self._check:
            return None  # given up, or the circuit has opened or closed meanwhile
        self._check = None
        if passed is None:
            self._check_due = self._clock()
            return None
        self._check_due = self._check_began + (self._pause if self._open else PROBE_SECONDS)
        if self._open:
            return self._close() if passed else None
        if passed:
            self._hear()
            return None
        # An answer since the check began: what is at fault is its connection, not the server.
        return self._trip() if self._last_answer < check else None

    def check_in(self) -> float:
        """Seconds until the next check may be taken, for a timer that probes while open."""
        return max(0.0, self._check_due - self._clock())

    def _hear(self) -> None:
        self._suspected = False
        self._last_answer = self._next_step()

    def _trip(self) -> Event:
        now = self._clock()
        same_outage = now - self._closed_at < CALM_SECONDS
        self._pause = min(2 * self._pause, LONGEST_PROBE_SECONDS) if same_outage else PROBE_SECONDS
        self._change(is_open=True, next_check=now + self._pause)
        return Event.REOPENED if same_outage else Event.OPENED

    def _close(self) -> Event:
        self._closed_at = self._clock()
        self._change(is_open=False, next_check=self._closed_at)
        return Event.CLOSED

    def _change(self, is_open: bool, next_check: float) -> None:
        self._open, self._check_due = is_open, next_check
        self._suspected, self._check = False, None
        self._window.clear()
        self._last_change = self._next_step()

    def _next_step(self) -> int:
        self._step += 1
        return self._step
