"""Rules for alarms: how often for nothing, and how late when it counts."""

from cachepool_lib import lab


def test_a_short_window_rings_at_every_hiccup() -> None:
    alarms = lab.alarms(lambda share: share(5) > 0.01)
    assert (alarms.false, alarms.after) == (23, 5)
    assert len(alarms.spans) == 24


def test_two_windows_ring_for_the_outage_alone_and_stop_soon() -> None:
    """The long one alone goes on for its own length."""
    both = lab.alarms(lambda share: share(300) > 0.01 and share(60) > 0.01)
    long = lab.alarms(lambda share: share(300) > 0.01)
    assert (both.false, both.after) == (long.false, long.after) == (0, 10)
    assert repr(both) == "0 false alarms; the outage: after 10 s, and until 60 s after its end"
    assert repr(long) == "0 false alarms; the outage: after 10 s, and until 295 s after its end"


def test_a_rule_that_never_fires_misses_the_outage() -> None:
    assert repr(lab.alarms(lambda share: False)) == "0 false alarms; the outage: none"


def test_a_share_is_of_the_pages_that_there_were() -> None:
    """Also where the window is longer than the day has been, or shorter than a step."""
    asked: list[tuple[float, float]] = []
    alarms = lab.alarms(lambda share: asked.append((share(1), share(10**6))) or False)
    now, since = zip(*asked, strict=True)
    assert list(now) == alarms.failed
    assert since[0] == now[0]
    assert abs(since[-1] - sum(now) / len(now)) < 1e-12
