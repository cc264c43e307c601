"""What the circuit breaker makes of servers in trouble, simulated: no sleeping, no event loop."""

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest

from cachepool_lib.redis_cache.breaker import (
    CALM_SECONDS,
    LONGEST_PROBE_SECONDS,
    PROBE_SECONDS,
    Breaker,
    Event,
)
from tests.tools import breaker_simulation as simulated
from tests.tools.breaker_simulation import Server, SimpleRule, simulate

SEEDS = range(5)


def rates(*of: float) -> Iterator[tuple[float, int]]:
    return ((rate, seed) for rate in of for seed in SEEDS)


def assert_never_flaps(outcome: simulated.Outcome) -> None:
    """Outages are five seconds apart, and each reopening doubles the pause before the probe."""
    pause, last = PROBE_SECONDS, -math.inf
    probes = iter(began for began, _ in outcome.checks)
    for when, event in outcome.events:
        if event is Event.CLOSED:
            last = when
            continue
        assert (event is Event.OPENED) == (when - last >= CALM_SECONDS)
        pause = PROBE_SECONDS if event is Event.OPENED else min(2 * pause, LONGEST_PROBE_SECONDS)
        probe = next((began for began in probes if began > when), None)
        assert probe is None or probe == pytest.approx(when + pause)


def test_four_of_five_replies_late() -> None:
    """It opens before 30 batches have failed, however many there are a second, and stays away.

    "Silence since the last reply" never opens there: there always was a reply a moment ago.
    """
    simple = simulate(simulated.SilenceSinceLastReply, simulated.FourOfFiveLate)
    assert not simple.events
    assert simple.waited > 0.75 * simple.total
    for rate, seed in rates(10, 30, 100, 1000):
        ours = simulate(Breaker, simulated.FourOfFiveLate, rate=rate, seed=seed, lasts=30)
        assert ours.times(Event.OPENED)
        assert ours.failed_before_open <= 30
        assert ours.waited < 0.25 * ours.total
        assert_never_flaps(ours)


def test_four_of_five_replies_late_and_hardly_any_traffic() -> None:
    """One batch a second: then the check is what finds out, within ten of them."""
    for seed in SEEDS:
        ours = simulate(Breaker, simulated.FourOfFiveLate, rate=1, seed=seed)
        assert ours.times(Event.OPENED)
        assert ours.failed_before_open <= 10


def test_quick_when_idle_and_slow_under_load() -> None:
    """One outage a minute, and ever longer pauses, though each check and each probe is quick.

    Rules that close at the first quick reply, with the same pause each time, open 60 to 80 times.
    """
    for simple_rule in simulated.SIMPLE_RULES:
        assert len(simulate(simple_rule, simulated.SlowUnderLoad).times(Event.OPENED)) > 60
    for rate, seed in rates(50, 100, 300):
        ours = simulate(Breaker, simulated.SlowUnderLoad, rate=rate, seed=seed)
        assert len(ours.times(Event.OPENED)) == 1
        assert len(ours.times(Event.REOPENED)) <= 10
        assert_never_flaps(ours)
        assert ours.waited < 0.15 * ours.total


@pytest.mark.parametrize(
    "server", [simulated.Refusing, simulated.Silent, simulated.Gone], ids=lambda s: s.__name__
)
def test_ten_seconds_without_a_server(server: type[Server]) -> None:
    """Refusing everything, silent or gone: one outage, open within a second, closed within one."""
    for rate, seed in rates(10, 100, 1000):
        ours = simulate(Breaker, server, rate=rate, seed=seed, lasts=40)
        (opened, first), (closed, last) = ours.events
        assert (first, last) == (Event.OPENED, Event.CLOSED)
        assert 20 <= opened < 21
        assert 30 <= closed < 31


@pytest.mark.parametrize(
    "server",
    [Server, simulated.OneSlowValue, simulated.OneAtATime, simulated.HalfRefused],
    ids=lambda s: s.__name__,
)
def test_what_one_value_or_connection_suffers_never_opens(server: type[Server]) -> None:
    """Nor where everybody waits for that value, once every five seconds."""
    for rate, seed in rates(10, 100, 1000):
        assert not simulate(Breaker, server, rate=rate, seed=seed, lasts=20).events


@pytest.mark.parametrize("simple_rule", simulated.SIMPLE_RULES, ids=lambda r: r.__name__)
def test_each_simple_rule_is_broken_by_one_of_these_servers(simple_rule: type[SimpleRule]) -> None:
    """So the servers are hard enough."""
    assert simulate(simple_rule, simulated.OneAtATime).times(Event.OPENED)


def test_never_two_checks_at_once_in_any_simulation() -> None:
    """Each began when the one before had ended."""
    for server in simulated.SERVERS:
        checks = simulate(Breaker, server).checks
        for (_, ended), (began, _) in pairwise(checks):
            assert began >= ended
