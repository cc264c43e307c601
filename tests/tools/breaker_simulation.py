"""Servers in trouble, simulated, and rules that decide when to leave them alone.

`python -m tests.tools.breaker_simulation` prints what each rule makes of each server.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cachepool_lib.redis_cache.breaker import PROBE_SECONDS, Breaker, Event

LIMIT = 0.25  # seconds that a batch or a check waits for its reply
QUICK, LATE, NEVER = 0.001, 0.3, 1e9  # seconds until a reply
SIZE = 100  # bytes of a batch


@dataclass
class Reply:
    """What comes back, and after how many seconds. *sent* is False where nothing could be sent."""

    after: float = QUICK
    good: bool = True
    sent: bool = True


class Server:
    """A healthy server. The others are called at each batch and each check, in order of time."""

    rate = 100.0  # batches a second, at random moments

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def reply(self, now: float, is_check: bool) -> Reply:
        return Reply()


class FourOfFiveLate(Server):
    """Four of five replies take 0.3 s, of checks too."""

    def reply(self, now: float, is_check: bool) -> Reply:
        return Reply(LATE if self.rng.random() < 0.8 else QUICK)


class SlowUnderLoad(Server):
    """Quick when idle, slow under load.

    That is 0.3 s for what comes with three others within 0.1 s. A check is always quick.
    """

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.came: deque[float] = deque([-1.0] * 3, maxlen=3)

    def reply(self, now: float, is_check: bool) -> Reply:
        if is_check:
            return Reply()
        crowded = now - self.came[0] < 0.1
        self.came.append(now)
        return Reply(LATE if crowded else QUICK)


class TenSecondsOf(Server):
    """Healthy, but from second 20 to second 30."""

    trouble = Reply()

    def reply(self, now: float, is_check: bool) -> Reply:
        return self.trouble if 20 <= now < 30 else Reply()


class Refusing(TenSecondsOf):
    """Refuses whatever is asked, for 10 of 60 s."""

    trouble = Reply(good=False)


class Silent(TenSecondsOf):
    """Silent for 10 of 60 s."""

    trouble = Reply(NEVER)


class Gone(TenSecondsOf):
    """Refuses connections for 10 of 60 s."""

    trouble = Reply(good=False, sent=False)


class OneSlowValue(Server):
    """One value in twenty takes 0.3 s, the others don't notice."""

    def reply(self, now: float, is_check: bool) -> Reply:
        return Reply(LATE if not is_check and self.rng.random() < 0.05 else QUICK)


class OneAtATime(Server):
    """Every 5 s a value takes 0.3 s, and all others wait for it."""

    rate = 1000.0

    def reply(self, now: float, is_check: bool) -> Reply:
        since = now % 5
        return Reply(max(LATE - since, 0) + QUICK)


class HalfRefused(Server):
    """Takes no more connections: half of the batches find none.

    A check finds one that is open.
    """

    def reply(self, now: float, is_check: bool) -> Reply:
        refused = not is_check and self.rng.random() < 0.5
        return Reply(good=False, sent=False) if refused else Reply()


class Rule(Protocol):
    """What the simulation asks of a breaker: the public methods of ours."""

    def begin(self) -> int | None: ...
    def answered(self, batch: int, size: int) -> None: ...
    def failed(self, batch: int, size: int) -> Event | None: ...
    def take_check(self) -> int | None: ...
    def checked(self, check: int, passed: bool) -> Event | None: ...
    def check_in(self) -> float: ...


class SimpleRule:
    """Opens by one rule, without a check. A probe each half second; one that passes closes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.is_open = False
        self.begun: list[float] = []
        self.probe_at = 0.0
        self.last_reply = 0.0
        self.results: list[bool] = []  # since it closed

    def trips(self, began: float) -> bool:
        return True

    def begin(self) -> int | None:
        if self.is_open:
            return None
        self.begun.append(self.clock())
        return len(self.begun) - 1

    def replied(self) -> None:
        self.last_reply = self.clock()

    def answered(self, batch: int, size: int) -> None:
        self.results.append(True)

    def failed(self, batch: int, size: int) -> Event | None:
        self.results.append(False)
        if self.is_open or not self.trips(self.begun[batch]):
            return None
        self.is_open, self.probe_at = True, self.clock() + PROBE_SECONDS
        return Event.OPENED

    def take_check(self) -> int | None:
        if not self.is_open or self.clock() < self.probe_at:
            return None
        self.probe_at = self.clock() + PROBE_SECONDS
        return 0

    def checked(self, check: int, passed: bool) -> Event | None:
        if not passed:
            return None
        self.is_open = False
        self.results.clear()
        return Event.CLOSED

    def check_in(self) -> float:
        return self.probe_at - self.clock()


class FirstFailure(SimpleRule):
    """the first failure"""


class FiveInARow(SimpleRule):
    """five failures in a row"""

    def trips(self, began: float) -> bool:
        return len(self.results) >= 5 and not any(self.results[-5:])


class SilenceSinceLastReply(SimpleRule):
    """silence since the last reply"""

    def trips(self, began: float) -> bool:
        return self.last_reply <= began


class HalfOfTwenty(SimpleRule):
    """half of the last 20, no check"""

    def trips(self, began: float) -> bool:
        return self.results[-20:].count(False) > 10


@dataclass
class Outcome:
    served: int = 0  # answered in time
    failed: int = 0  # sent, and not answered in time or not at all
    waited: int = 0  # of those: how many waited for as long as a batch may
    unsent: int = 0  # the circuit was open
    events: list[tuple[float, Event]] = field(default_factory=list)
    failed_before_open: int = 0
    checks: list[tuple[float, float]] = field(default_factory=list)  # when each began and ended

    @property
    def total(self) -> int:
        return self.served + self.failed + self.unsent

    def times(self, *events: Event) -> list[float]:
        return [when for when, event in self.events if event in events]


def simulate(
    make_rule: Callable[[Callable[[], float]], Rule],
    make_server: type[Server],
    *,
    rate: float | None = None,
    lasts: float = 60.0,
    seed: int = 1,
) -> Outcome:
    """Send batches at random moments for *lasts* simulated seconds; tell what becomes of them."""
    rng = random.Random(seed)
    server, outcome = make_server(rng), Outcome()
    order = itertools.count()
    due: list[tuple[float, int, Callable[[], None]]] = []
    now = 0.0
    rule = make_rule(lambda: now)

    def later(after: float, step: Callable[[], None]) -> None:
        heapq.heappush(due, (now + after, next(order), step))

    def note(event: Event | None) -> None:
        if event is not None:
            if not outcome.events:
                outcome.failed_before_open = outcome.failed
            outcome.events.append((now, event))
            if event is not Event.CLOSED:
                later(rule.check_in(), probe)

    def check() -> bool:
        number = rule.take_check()
        if number is None:
            return False
        began, reply = now, server.reply(now, is_check=True)
        passed = reply.good and reply.after <= LIMIT

        def end() -> None:
            outcome.checks.append((began, now))
            event = rule.checked(number, passed)
            note(event)
            if rule.begin() is None and event is None:
                later(rule.check_in(), probe)

        later(min(reply.after, LIMIT), end)
        return True

    def probe() -> None:
        if rule.begin() is None:
            check()

    def arrive() -> None:
        later(rng.expovariate(rate or server.rate), arrive)
        batch = rule.begin()
        if batch is None:
            outcome.unsent += 1
            return
        reply = server.reply(now, is_check=False)
        if isinstance(rule, SimpleRule) and reply.sent:
            later(reply.after, rule.replied)

        def end() -> None:
            if reply.good and reply.after <= LIMIT:
                outcome.served += 1
                rule.answered(batch, SIZE)
                return
            outcome.failed += 1
            outcome.waited += reply.after > LIMIT
            note(rule.failed(batch, SIZE if reply.sent else 0))
            check()

        later(min(reply.after, LIMIT), end)

    arrive()
    while due[0][0] < lasts:
        now, _, step = heapq.heappop(due)
        step()
    return outcome


SIMPLE_RULES = [FirstFailure, FiveInARow, SilenceSinceLastReply, HalfOfTwenty]
SERVERS = [
    FourOfFiveLate,
    SlowUnderLoad,
    Refusing,
    Silent,
    Gone,
    OneSlowValue,
    OneAtATime,
    HalfRefused,
]


def main() -> None:
    """Print a table: how many percent of the batches were served, and waited in vain; outages."""
    print("|  |", *(f"{rule.__doc__} |" for rule in SIMPLE_RULES), "ours |")
    print("|---|" + "--:|" * (len(SIMPLE_RULES) + 1))
    for server in SERVERS:
        cells = []
        for rule in (*SIMPLE_RULES, Breaker):
            of = simulate(rule, server)
            served, waited = (f"{100 * part / of.total:.1f}" for part in (of.served, of.waited))
            cells.append(f"{served} / {waited} / {len(of.times(Event.OPENED))}")
        print(f"| {(server.__doc__ or '').splitlines()[0]} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
