"""Every chart states what its data shows, is readable, and has one line of text to compare."""

import gc
import math
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from typing import Any

import matplotlib
import pytest
from matplotlib.colors import to_rgb
from matplotlib.font_manager import findfont
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from cachepool_lib.lab import charts, mean_wait
from cachepool_lib.lab.charts import Chart, Event, Lane, Step, canvas
from cachepool_lib.lab.contracts.pool.queue import Queue
from cachepool_lib.lab.experiments.pool_borrowing import Borrowing, Opening
from cachepool_lib.lab.experiments.pool_faults import Silence
from cachepool_lib.lab.experiments.pool_size import HotRow, Throughput
from cachepool_lib.lab.experiments.queueing import Arrivals
from cachepool_lib.lab.simulation.database import Query
from cachepool_lib.lab.simulation.replay import Replay


@dataclass
class Guess:
    guess: float | str | None
    unit: str = ""
    answered: bool = True
    name: str = ""
    result: float | str | None = None
    side: str | None = None


def five(lost: bool) -> list[Lane]:
    ends = ["page", "page", "left", "page", "page"]
    if lost:
        ends = ["lost", "lost", "left", "lost", "lost"]
    stop = 0.03 if lost else 0.05
    lanes = []
    for i, end in enumerate(ends):
        spans = [(i * 0.002, 0.03 if end == "left" else stop, "wait")]
        lanes.append(Lane(f"visitor {i + 1}", spans + [(0, stop, "load")] * (i == 0), end))
    return lanes


def fifty(flights: bool) -> list[Lane]:
    waits = [(i * 0.0002, 0.02 if flights else 0.02 + i * 0.0002) for i in range(50)]
    loads = waits[:1] if flights else waits
    return [
        Lane(f"visitor {i + 1}", [(*span, kind) for kind, all_ in (("wait", waits), ("load", loads))
                                 for span in all_[i : i + 1]])
        for i in range(50)
    ]  # fmt: skip


def outage(stale: bool) -> dict[str, list[int]]:
    gone = [0] * 60 + [min(90, 10 + 2 * i) for i in range(60)] + [0] * 60
    fresh = [100 - n for n in gone]
    rest = [n // 12 if stale else n for n in gone]
    kept = [n - bad for n, bad in zip(gone, rest, strict=True)]
    return {"hit": fresh, "miss": [0] * 180, "stale": kept, "failed": rest}


TTLS = {1: 0.30, 10: 0.53, 60: 0.71, 300: 0.85, 600: 0.90}
THEORY = {1: 0.30, 3: 0.41, 10: 0.53, 30: 0.64, 60: 0.71, 300: 0.85, 600: 0.90}
ROOMS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]
POLICIES = {
    "FIFO": [0.16, 0.21, 0.29, 0.35, 0.43, 0.55, 0.66],
    "LRU": [0.18, 0.24, 0.33, 0.39, 0.47, 0.59, 0.69],
    "S3-FIFO": [0.29, 0.36, 0.44, 0.50, 0.56, 0.66, 0.74],
    "foresight": [0.38, 0.45, 0.53, 0.58, 0.65, 0.74, 0.81],
}
LOADS = {"jitter 0": [2, 3] * 30 + [65] + [2] * 59 + [48], "jitter 0.2": [2] * 50 + [19] * 70}
QUERIES = [0.004 + 0.00001 * i for i in range(100)]
CACHED = [0.00004] * 97 + [0.004] * 3
RACE = [
    Step("loader", "reads the old page"),
    Step("writer", "updates the user"),
    Step("writer", "deletes the page from the cache"),
    Step("loader", "stores the old page", wrong=True),
    Step("reader", "gets the old page", wrong=True),
]
ANSWERS = [
    Guess(0.02, result=0.3, name="hit rate at 1 s"),
    Guess(60, "s", result=7260, name="age when gone"),
    Guess(1, result=50, name="queries for fifty visitors", answered=False),
    Guess(50, result=50, name="exactly right"),
    Guess(0, result=3, name="nothing guessed"),
    Guess(-5, result=5, name="below nothing"),
    Guess(1e9, result=2, name="far too much"),
    Guess(3, result=0, name="nothing came"),
    Guess("new", result="old", name="next reader sees"),
    Guess(2, name="not run yet"),
]

WORKERS = {1: 0.70, 2: 0.63, 4: 0.57, 8: 0.50, 16: 0.43, 32: 0.36}
STORES = {
    "memory": [0.000001 * (1 + i / 100) for i in range(100)],
    "Redis": [0.0002 * (1 + i / 100) for i in range(100)],
    "the query": [0.004 * (1 + i / 100) for i in range(50)],
}
TRIPS = {"one by one": (0.032, 100), "in one trip": (0.0011, 1)}


@dataclass
class Pages:
    at: list[float]
    seconds: list[float]
    outcomes: list[str]


def visits(failing: bool, slow: float) -> Pages:
    at = [i / 40 for i in range(96)]
    bad = [0.7 <= moment < 1.7 for moment in at]
    return Pages(at, [slow if b else 0.001 for b in bad],
                 ["failed" if b and failing else "hit" for b in bad])  # fmt: skip


DOWN = {"naive": visits(True, 5.01), "ours": visits(False, 0.004)}


def processes(killed: bool) -> list[Lane]:
    lanes = [Lane(f"process {i + 1}", [(0, 0.9, "wait")]) for i in range(4)]
    if not killed:
        return [Lane(lane.name, [(0, 0.3, "wait"), (0.01, 0.3, "load")]) for lane in lanes]
    lanes[0] = Lane("process 1", [(0, 0.15, "wait"), (0.01, 0.15, "load")], "killed")
    lanes[2] = Lane("process 3", [(0, 0.9, "wait"), (0.6, 0.9, "load")])
    return lanes


def around_expiry(stale: bool) -> Replay:
    """Fifty visits a second; the page expires at 2.2 s, the database is down from 3 to 4 s."""
    run = Replay(loads=[Query(1, 0, 0, 0.2, True), Query(1, 2.2, 100, 2.4, not stale)])
    for i in range(200):
        at = i / 50
        run.at.append(at)
        waits = 2.2 <= at < 2.4 or at == 0
        down = at >= 3
        run.seconds.append(0.2 if at == 0 else 2.4 - at if waits and not stale else 0.0)
        fate = "failed" if not stale else "stale"
        run.outcomes.append(fate if down else "stale" if waits and stale else "hit")
    return run


EXPIRY = {"OneFlight": around_expiry(False), "Stale": around_expiry(True)}
ALIVE = {"held": list(range(1, 1001)), "let go": [1] * 999 + [0]}
WHOSE = {"naive": [i % 3 for i in range(1000)], "ByValue": list(range(1000))}
EVENTS = [
    *(Event(0.001 * i, f"visitor {i + 1}", "comes") for i in range(5)),
    Event(0, "load 1", "load begins"),
    *(Event(0.007 + 0.002 * i, f"visitor {i + 1}", "leaves") for i in range(5)),
    Event(0.015, "visitor 6", "comes"),
    Event(0.015, "load 2", "load begins"),
    Event(0.015, "load 1", "load is cancelled"),
    Event(0.035, "load 2", "load ends"),
    Event(0.035, "visitor 6", "gets it"),
]
ALONE = [
    Event(0, "visitor 1", "comes"),
    Event(0, "visitor 1", "load begins"),
    Event(0.02, "visitor 1", "load ends"),
    Event(0.02, "visitor 1", "gets it"),
]
OPENINGS = {
    "NaivePool": Opening([(0, 0), (0.05, 10), (0.1, 30), (0.2, 30), (0.21, 27), (0.7, 27)], 0.2),
    "OpensOnce": Opening([(0, 0), (0.03, 3), (0.04, 5), (0.14, 5), (0.15, 0), (0.2, 0)], 0.14),
}
NINE = Borrowing(
    9, 10,
    [(lane, lane, 0.001, 0.09) for lane in range(9)]
    + [(9, page, 0.002 + page / 100, 0.01 + page / 100) for page in range(9)],
    [(0.002, 8), *((0.01 + page / 100, 8 - page) for page in range(9))], 9, 0.1,
)  # fmt: skip
TEN = Borrowing(10, 10, [(lane, lane, 0.001, 1.1) for lane in range(10)], [(0.002, 10)], 0, 1.1)
QUEUES = {
    "InTime": Queue(
        20, [*range(20, 40), *range(20)], [0.05 + 0.0025 * i for i in range(20)] + [0.0] * 20
    ),
    "Fair": Queue(20, [*range(40)], [0.0025 * i for i in range(20)] + [0.05] * 20),
}
SIZES = {
    "sleeping": {1: Throughput(90, 0.2), 2: Throughput(180, 0.1), 4: Throughput(350, 0.05),
                 8: Throughput(700, 0.025), 16: Throughput(1400, 0.01)},
    "computing": {1: Throughput(300, 0.07), 2: Throughput(500, 0.04), 4: Throughput(510, 0.04),
                  8: Throughput(500, 0.03), 16: Throughput(505, 0.03)},
}  # fmt: skip
BUSY = {
    0.61: Arrivals(0.62, 230, 0.0022, 0.011, 0.5),
    0.83: Arrivals(0.86, 310, 0.012, 0.011, 3.7),
    0.93: Arrivals(0.95, 340, 0.04, 0.011, 13),
}
ERLANG = {busy / 100: mean_wait(4, 4 * busy / 100) for busy in range(100)}
BY_SIZE = {size: mean_wait(size, 6) for size in range(1, 21)}
HOT = {
    4: HotRow(0.13, 0.013, 0.005, 210),
    8: HotRow(0.12, 0.033, 0.005, 200),
    32: HotRow(0.03, 0.14, 0.006, 190),
}
SILENT = {
    "Fair": Silence([None] * 3, 1, 2.5),
    "LetsGo": Silence([1.256, 1.257, 1.258], 1, 2.5),
}

# What takes a guess, and the line of text it ends in without one.
GUESSING: dict[str, tuple[Callable[..., Chart], str]] = {
    "before_after": (
        partial(charts.before_after, QUERIES, CACHED, ["hit"] * 97 + ["miss"] * 3),
        "visits before and after, real: 100 and 100 visits, the median more than 3 times faster",
    ),
    "hit_rate_by_ttl": (
        partial(charts.hit_rate_by_ttl, TTLS, THEORY),
        "hit rate by ttl, simulated: 1 s 0.30, 10 s 0.53, 60 s 0.71, 300 s 0.85, 600 s 0.90",
    ),
    "bar_of_life": (
        partial(charts.bar_of_life, {"time.time": 7260, "monotonic": 60}, 60),
        "life of an entry promised 60 s, simulated: time.time 7,260 s, monotonic 60 s",
    ),
    "hit_rate_by_capacity": (
        partial(charts.hit_rate_by_capacity, ROOMS, POLICIES),
        "hit rate with room for 1 % of users, simulated: "
        "FIFO 0.35, LRU 0.39, S3-FIFO 0.50, foresight 0.58",
    ),
    "swimlane": (
        partial(charts.swimlane, {"naive": fifty(False), "single flight": fifty(True)}),
        "50 visitors, simulated: naive 50 loads, single flight 1 load",
    ),
    "swimlane, one leaves": (
        partial(charts.swimlane, {"naive": five(True), "ours": five(False)}),
        "5 visitors, simulated: naive 1 load and 5 without a page, "
        "ours 1 load and 1 without a page",
    ),
    "loads_per_second": (
        partial(charts.loads_per_second, LOADS),
        "peak of loads per second, simulated: jitter 0 65, jitter 0.2 19",
    ),
    "outcomes_over_time": (
        partial(charts.outcomes_over_time, {"off": outage(False), "on": outage(True)}, (60, 120)),
        "share of visits failed in the outage, simulated: off 0.63, on 0.05",
    ),
    "hit_rate_by_workers": (
        partial(charts.hit_rate_by_workers, WORKERS, 100),
        "hit rate by workers, simulated: "
        "1 0.70, 2 0.63, 4 0.57, 8 0.50, 16 0.43, 32 0.36; shared 0.70",
    ),
    "latencies": (
        partial(charts.latencies, STORES, (100, 3)),
        "time for one answer, real: Redis more than 100 times memory, "
        "the query more than 3 times Redis",
    ),
    "trips": (
        partial(charts.trips, TRIPS, at_least=5),
        "time by trips, real: one by one 100 trips, in one trip 1 trip, more than 5 times faster",
    ),
    "pages_through_fault": (
        partial(charts.pages_through_fault, DOWN, (0.7, 1.7), "Redis is silent"),
        "pages while Redis is silent, real: naive all fail, not all within 1 s, "
        "ours none fail, all within 1 s",
    ),
    "pages_around_expiry": (
        partial(charts.pages_around_expiry, EXPIRY, 2, down=(3, 4)),
        "pages around expiry, simulated: OneFlight p99 180 ms, of 200 11 wait and 50 fail, "
        "Stale p99 0 ms, of 200 1 wait and none fail",
    ),
    "alive_over_requests": (
        partial(charts.alive_over_requests, ALIVE, "users"),
        "users in memory at the end, real: held 1,000, let go 0",
    ),
    "whose_page": (
        partial(charts.whose_page, WHOSE),
        "strangers' pages, real: naive more than half, ByValue none",
    ),
    "swimlane, processes": (
        partial(charts.swimlane, {"each": processes(False), "one killed": processes(True)},
                who="process"),
        "4 processes, simulated: each 4 loads, one killed 2 loads",
    ),
    "connecting": (
        partial(charts.connecting, 0.0084, 0.0004),
        "time for a query, real: connecting takes more than 3 times as long as borrowing",
    ),
    "connections_over_time": (
        partial(charts.connections_over_time, OPENINGS, 5),
        "connections with max_size 5, real: "
        "NaivePool 30, 27 after close, OpensOnce no more, 0 after close",
    ),
    "borrowings": (
        partial(charts.borrowings, [NINE, TEN]),
        "pages that borrow twice, 10 connections, real: 9 pages 9 finish, 10 pages 0 finish",
    ),
    "waits": (
        partial(charts.waits, QUEUES),
        "the unluckiest caller, real: InTime overtaken by 20, Fair overtaken by nobody",
    ),
    "price_of_order": (
        partial(charts.price_of_order, {"InTime": 0.00015, "Fair": 0.00018}),
        "a query with Fair, real: less than 1.5 times the processor",
    ),
    "throughput_by_size": (
        partial(charts.throughput_by_size, SIZES, 2),
        "queries a second, 16 connections instead of 2, real: "
        "sleeping more than 3 times as many",
    ),
    "wait_by_utilisation": (
        partial(charts.wait_by_utilisation, BUSY, ERLANG),
        "mean wait by utilisation, real: more than 3 times longer at 0.93 than at 0.61",
    ),
    "where_time_goes": (
        partial(charts.where_time_goes, HOT),
        "one row, 8 times the connections, real: "
        "fewer than 2 times the pages, the wait moves from the pool to the lock",
    ),
    "silent_server": (
        partial(charts.silent_server, SILENT),
        "a silent server, promised 1 s, real: "
        "Fair still waiting after 2.5 s, LetsGo back within 2 s",
    ),
}  # fmt: skip
PLAIN: dict[str, tuple[Callable[..., Chart], str]] = {
    "wait_by_size": (
        partial(charts.wait_by_size, BY_SIZE, 6, 8),
        "mean wait, load 6, 8 connections, theory: 0.18 times the work",
    ),
    "race": (
        partial(charts.race, RACE),
        "steps, simulated: 1 loader: reads the old page; 2 writer: updates the user; "
        "3 writer: deletes the page from the cache; "
        "4 loader: stores the old page (too late); 5 reader: gets the old page (too late)",
    ),
    "flight": (
        partial(charts.flight, EVENTS),
        "events, simulated: 2 loads, 1 cancelled, 5 visitors left, 0 ms after the last of them",
    ),
    "guesses": (
        partial(charts.guesses, ANSWERS),
        "guess → result, simulated: hit rate at 1 s 0.02 → 0.3; age when gone 60 → 7,260 s; "
        "queries for fifty visitors 1 → 50; exactly right 50 → 50; nothing guessed 0 → 3; "
        "below nothing −5 → 5; far too much 1e+09 → 2; nothing came 3 → 0; "
        "next reader sees new → old",
    ),
}
ALL = GUESSING | PLAIN
GUESSES = [0, 0.4, math.inf, Guess(7000, "queries", answered=False)]
# All tests of a chart stay on one worker, which draws it once.
EVERY = [pytest.param(name, marks=pytest.mark.xdist_group(f"chart: {name}")) for name in ALL]
every_chart = pytest.mark.parametrize("name", EVERY)


@cache
def drawn(name: str) -> Chart:
    """A chart without a guess, drawn once for all tests that only look at it."""
    chart = ALL[name][0]()
    gc.freeze()  # it stays: no need to go through it in the collection after each test
    return chart


def texts(chart: Chart) -> Iterator[tuple[str, Bbox, Text]]:
    """All text that is drawn, with its place in pixels."""
    hidden = set()
    for ax in chart.figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    for text in chart.figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in hidden:
            yield text.get_text(), Text.get_window_extent(text), text


def title(chart: Chart) -> str:
    return chart.figure.texts[0].get_text()


def written(chart: Chart) -> str:
    return " ".join(words.replace("\n", " ") for words, _, _ in texts(chart))


def dashed(chart: Chart) -> set[str]:
    """The colours of what is drawn dashed: lines, and the frames of words."""
    lines = [line for ax in chart.figure.axes for line in ax.lines]
    boxes = [text.get_bbox_patch() for _, _, text in texts(chart) if text.get_bbox_patch()]
    found = {line.get_color() for line in lines if line.get_linestyle() == "--"}
    frames = {canvas.GUESS for box in boxes if box.get_linestyle() in ("--", "dashed")}
    return found | frames


def assert_readable(chart: Chart) -> None:
    places = list(texts(chart))
    for words, box, text in places:
        inside = box.x0 >= 0 and box.y0 >= 0
        inside = inside and box.x1 <= chart.figure.bbox.x1 and box.y1 <= chart.figure.bbox.y1
        assert inside, f"{words!r} leaves the picture: {box}"
        assert text.get_fontsize() >= 10, f"{words!r} is too small to read from afar"
    for (words, box, _), (others, other, _) in combinations(places, 2):
        both = Bbox.intersection(box, other)
        if both is not None:
            assert min(both.width, both.height) < 2, f"{words!r} lies on {others!r}"


@every_chart
def test_line_of_text_carries_the_figures(name):
    """The line that notebooks compare has the chart's main figures, and is also its repr."""
    assert drawn(name).text == ALL[name][1]
    assert repr(drawn(name)) == drawn(name).text


@every_chart
def test_text_is_readable(name):
    """No text lies on another, leaves the picture or is smaller than 10 points."""
    assert_readable(drawn(name))


@pytest.mark.parametrize("guess", GUESSES, ids=str)
@pytest.mark.parametrize("name", GUESSING)
def test_any_guess_is_readable(name, guess):
    """However far off, a guess is labelled in the picture and in the text, and hides nothing. It is
    dashed, and grey.
    """
    chart = GUESSING[name][0](guess=guess)
    assert_readable(chart)
    assert dashed(chart) == {canvas.GUESS}
    mine = not isinstance(guess, Guess)
    label = "your guess: " if mine else "a common first guess: "
    assert label in written(chart)
    assert chart.text.startswith(GUESSING[name][1] + "; " + label)


@pytest.mark.parametrize("mark", ROOMS)
def test_figures_stand_at_the_mark(mark):
    """Wherever the mark is, each line's figure there is beside it, and can be read."""
    chart = charts.hit_rate_by_capacity(ROOMS, POLICIES, mark=mark, guess=0.5)
    assert_readable(chart)
    [ax] = chart.figure.axes
    upright = ax.transData.transform((100 * mark, 0))[0]
    at_mark = {f"{rates[ROOMS.index(mark)]:.2f}" for rates in POLICIES.values()}
    gaps = [
        min(abs(box.x0 - upright), abs(box.x1 - upright))
        for words, box, _ in texts(chart)
        if words in at_mark
    ]
    assert len(gaps) == len(POLICIES)
    assert max(gaps) < 20


@pytest.mark.parametrize("when", [(0, 30), (70, 100), (150, 180)], ids=str)
def test_guess_of_a_share_stands_beside_the_share(when):
    """Whenever the outage is, the guess is written as a share and not drawn as visits a second."""
    runs = {"off": outage(False), "on": outage(True)}
    chart = charts.outcomes_over_time(runs, when, guess=Guess(0.05, answered=False))
    assert_readable(chart)
    assert "a common first guess: 5 %" in written(chart)
    assert not any(ax.lines for ax in chart.figure.axes)


def test_a_narrow_stretch_of_stale_pages_is_named_beside_it():
    """A short outage late in a long run: the word has no room in it, and stands next to it."""
    late = {name: [*values[:1] * 240, *values[60:120]] for name, values in outage(True).items()}
    chart = charts.outcomes_over_time({"on": late, "again": late}, (240, 300))
    assert_readable(chart)
    assert written(chart).count("stale") == 2


def test_waiting_is_named_where_it_is_seen():
    """Where every visitor's wait is a load, nothing is pale."""
    chart = charts.swimlane({"naive": fifty(False)})
    assert "pale" not in written(chart)
    assert "pale: the visitor waits" in written(drawn("swimlane"))


@pytest.mark.parametrize("name", [each for each in EVERY if each.values[0] in GUESSING])
def test_without_a_guess_nothing_is_dashed(name):
    """Dashed is a guess, and nothing else."""
    assert not dashed(drawn(name))


def test_what_is_written_over_a_fault_is_about_the_fault():
    """The slowest page outside it is not meant; and no line stands there that nobody asked for."""
    run = visits(True, 0.0006)
    run.seconds[0] = 0.0065  # long before
    chart = charts.pages_through_fault({"naive": run}, (0.7, 1.7), "Redis is down")
    assert "100 % fail, slowest 0.6 ms" in written(chart)
    assert "250 ms" not in written(chart)
    limited = charts.pages_through_fault({"naive": run}, (0.7, 1.7), "Redis is down", limit=0.25)
    assert "250 ms" in written(limited)


def test_pages_of_runs_that_differ_in_length_share_both_axes():
    """And the quickest answers of Redis and of an error are not cut off."""
    short = visits(True, 5.0)
    short = Pages(short.at[:40], short.seconds[:40], short.outcomes[:40])
    runs = {"short": short, "long": visits(False, 0.0002)}
    axes = charts.pages_through_fault(runs, (0.7, 1.7), "Redis is down").figure.axes
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert axes[0].get_ylim()[0] <= 0.1  # milliseconds


@pytest.mark.parametrize("seconds", [3, 10, 30, 60, 100, 300])
def test_the_line_of_a_guess_strikes_through_no_words(seconds):
    """What is written in the panels lies above it, or far up hides what runs behind it."""
    chart = GUESSING["pages_through_fault"][0](guess=seconds)
    ax = chart.figure.axes[0]
    line = ax.transData.transform((0, 1000 * seconds))[1]
    [(box, text)] = [(b, t) for words, b, t in texts(chart) if words.startswith("100 % fail")]
    assert box.y0 > line if seconds <= 60 else text.get_bbox_patch()


@pytest.mark.parametrize("guess", [0.3, 0.45])
def test_gap_between_workers_is_that_of_the_title_and_no_line_runs_through_it(guess):
    """50 % and 70 % of 100 visits are 20 queries apart, whatever lies behind the rounding."""
    rates = WORKERS | {1: 0.704, 8: 0.496}
    chart = charts.hit_rate_by_workers(rates, 100, guess=guess)
    assert "answer 50 %, with a shared one 70 %" in title(chart)
    [label] = [text for words, _, text in texts(chart) if "more queries" in words]
    assert label.get_text().startswith("20 more")
    assert label.get_bbox_patch()


def test_no_row_of_the_guesses_is_empty():
    """Words are right or not so, and counted with the others; a figure is drawn as it came."""
    rows = [
        Guess("old", result="new", name="the next reader"),
        Guess("four", result="four", name="in words"),
        Guess(1, result=50, name="queries"),
        Guess(2, result=11.7, name="keys", side="over 5"),
    ]
    chart = charts.guesses(rows)
    assert written(chart).count("not so") == 1
    assert "2 → 11.7" in written(chart)
    assert chart.text.endswith("; keys 2 → over 5"), "its figure differs from run to run"
    assert title(chart) == "3 of 4 guesses were wrong, or more than 3 times off"
    assert_readable(chart)


def test_guess_in_words_is_left_out():
    """No axis can show "a few"; the chart is drawn without it."""
    chart = charts.hit_rate_by_ttl(TTLS, THEORY, guess=Guess("a few"))
    assert chart.text == GUESSING["hit_rate_by_ttl"][1]
    assert "guess" not in written(chart)


@every_chart
def test_says_simulated_or_real(name):
    """The line under the title says whether what is drawn was simulated or is real."""
    draw, other = ALL[name][0], "simulated" if ", real: " in drawn(name).text else "real"
    for chart in drawn(name), draw(source=other):
        source = chart.figure.texts[1].get_text().split(":")[0]
        assert f", {source}: " in chart.text
    assert source == other
    with pytest.raises(ValueError, match="'made up'"):
        draw(source="made up")


AXES = {
    "before_after": ("time for one visit (milliseconds, log scale)", "before after"),
    "hit_rate_by_ttl": ("ttl (seconds, log scale)", "hit rate"),
    "bar_of_life": ("age of the entry (seconds)", "time.time monotonic"),
    "hit_rate_by_capacity": ("room in the cache (% of users, log scale)", "hit rate"),
    "swimlane": ("time (milliseconds)", "visitor 1 visitor 50"),
    "swimlane, one leaves": ("time (milliseconds)", "visitor 1 visitor 2 visitor 3"),
    "loads_per_second": ("time (seconds)", "loads per second"),
    "outcomes_over_time": ("time (seconds)", "visits per second"),
    "hit_rate_by_workers": ("number of workers (log scale)", "hit rate"),
    "latencies": ("time for one answer (milliseconds, log scale)", "memory Redis query"),
    "trips": ("time (milliseconds)", "one by one in one trip"),
    "pages_through_fault": ("asked for at (seconds)", "time for a page (ms, log)"),
    "swimlane, processes": ("time (milliseconds)", "process 1 process 4"),
    "pages_around_expiry": ("asked for at (seconds)", "time for a page (milliseconds)"),
    "alive_over_requests": ("requests", "users in memory"),
    "whose_page": ("request, made by the user of that number", "whose page it got (user)"),
    "flight": ("time (milliseconds)", "visitor 1 visitor 6 load 1 load 2"),
    "race": ("step, in order of time", "loader writer reader"),
    "connecting": ("time (milliseconds)", "connection for each query from the pool"),
    "connections_over_time": ("time (milliseconds)", "connections"),
    "borrowings": ("time (milliseconds)", "connections"),
    "waits": ("callers, in the order in which they asked", "wait (milliseconds)"),
    "price_of_order": ("processor time (milliseconds)", "InTime Fair"),
    "throughput_by_size": ("connections in the pool (log scale)", "queries per second"),
    "wait_by_utilisation": ("utilisation: share of the time", "mean wait"),
    "wait_by_size": ("connections in the pool", "mean wait"),
    "where_time_goes": ("connections in the pool", "time of a page (ms)"),
    "silent_server": ("time (seconds)", "Fair LetsGo"),
    "guesses": ("guess ÷ result (log scale)", "hit rate at 1 s age when gone"),
}


@every_chart
def test_axes_are_labelled(name):
    """Every axis has a label with its unit, or names its rows; nothing needs a legend."""
    chart = drawn(name)
    ax = chart.figure.axes[-1]
    x = ax.get_xlabel() or " ".join(tick.get_text() for tick in ax.get_xticklabels())
    first = chart.figure.axes[0]
    y = first.get_ylabel() or " ".join(tick.get_text() for tick in first.get_yticklabels())
    y = " ".join(y.split())
    assert AXES[name][0] in " ".join(x.split())
    assert all(word in y for word in AXES[name][1].split())
    assert not any(ax.get_legend() for ax in chart.figure.axes)


def test_titles_state_the_finding():
    """A title has the figures that the data shows."""
    titles = {name: title(drawn(name)) for name in ALL}
    assert titles == {
        "before_after": "The median visit is 110 times faster",
        "hit_rate_by_ttl": "A ttl of 1 s answers 30 % of visits; 300 to 600 s adds 5 points",
        "bar_of_life": "Promised 60 s, served for 7,260 s",
        "hit_rate_by_capacity": "Room for 1 % of users answers 50 % of visits with S3-FIFO",
        "swimlane": "50 visitors, 50 loads; single flight: 1",
        "swimlane, one leaves": "1 of 5 visitors leaves, 5 without a page; ours: 1",
        "loads_per_second": "The peak falls from 65 to 19 loads a second",
        "outcomes_over_time": "While the database is down, 63 % of visits fail, then 5 %",
        "hit_rate_by_workers": "8 workers with caches of their own answer 50 %, "
        "with a shared one 70 %",
        "latencies": "Redis takes 200 times as long as memory, the query 17 times as long as Redis",
        "trips": "In one trip: 29 times faster",
        "pages_through_fault": "While Redis is silent, 100 % of pages fail, then 0 %",
        "swimlane, processes": "4 processes, 4 loads; one killed: 2",
        "pages_around_expiry": "OneFlight: 11 of 200 visitors wait, 50 get no page; "
        "Stale: 1 and none",
        "alive_over_requests": "held: 1,000 users are kept after 1,000 requests; let go: 0",
        "whose_page": "997 of 1,000 requests get a stranger's page, then 0 of 1,000",
        "flight": "When the last of 5 has left, the load is cancelled",
        "race": "Step 4 comes too late: the loader stores the old page",
        "guesses": "8 of 9 guesses were wrong, or more than 3 times off",
        "connecting": "Connecting each time takes 21 times as long",
        "connections_over_time": "max_size is 5, and NaivePool opens 30 connections, OpensOnce 5",
        "borrowings": "9 pages, 9 finish; 10 pages, 0 finish",
        "waits": "The unluckiest caller is overtaken by 20 (InTime), by nobody (Fair)",
        "price_of_order": "With Fair, a query takes 1.2 times the processor",
        "throughput_by_size": "16 connections instead of 2: sleeping × 7.8, computing × 1",
        "wait_by_utilisation": "From 0.62 to 0.95 busy, the wait grows 18 times",
        "wait_by_size": "8 connections for a load of 6: a mean wait of 0.18 times the use",
        "where_time_goes": "8 times the connections, no more pages",
        "silent_server": "Promised 1 s: Fair still waiting after 2.5 s, LetsGo back after 1.3 s",
    }


@pytest.mark.parametrize(
    ("chart", "expected"),
    [
        (partial(charts.before_after, QUERIES, QUERIES), "The visits before and after"),
        (partial(charts.before_after, CACHED, QUERIES), "The visits before and after"),
        (partial(charts.before_after, QUERIES, [0.0001] * 9 + [1]),
         "The median visit is 45 times faster"),
        (partial(charts.hit_rate_by_ttl, {1: 0.3, 60: 0.7, 300: 0.6}, THEORY),
         "A ttl of 1 s answers 30 % of visits"),
        (partial(charts.bar_of_life, {"ours": 60}, 60), "Gone after 60 s, as promised"),
        (partial(charts.bar_of_life, {"ours": 50}, 60), "Promised 60 s, gone by 50 s"),
        (partial(charts.loads_per_second, {"a": [19], "b": [65]}),
         "The peak is 19 loads a second"),
        (partial(charts.loads_per_second, {"a": [0, 0]}), "The peak is 0 loads a second"),
        (partial(charts.outcomes_over_time, {"on": outage(True), "off": outage(False)}, (60, 120)),
         "While the database is down, 5 % of visits fail"),
        (partial(charts.outcomes_over_time, {"on": outage(False)}, (0, 60)),
         "While the database is down, 0 % of visits fail"),
        (partial(charts.swimlane, {"ours": five(False)[:2]}), "2 visitors, 1 load"),
        (partial(charts.swimlane, {"ours": fifty(True), "naive": fifty(False)}),
         "50 visitors, 1 load; naive: 50"),
        (partial(charts.flight, ALONE), "1 load, and none is cancelled"),
        (partial(charts.pages_around_expiry, {"Stale": around_expiry(True)}, 2),
         "Stale: 1 of 200 visitors wait"),
        (partial(charts.alive_over_requests, {"let go": [1, 0]}, "users"),
         "let go: 0 users are kept after 2 requests"),
        (partial(charts.whose_page, {"ours": [0, 1, 2]}), "0 of 3 requests get a stranger's page"),
        (partial(charts.whose_page, {"some": [0, 0, 2]}), "1 of 3 requests get a stranger's page"),
        (partial(charts.race, [Step("reader", "gets the new page")]),
         "1 step, and none comes too late"),
        (partial(charts.guesses, ANSWERS[3:4]), "No guess was more than 3 times off"),
        (partial(charts.guesses, ANSWERS[-1:]), "No guess has a result yet"),
        (partial(charts.guesses, []), "No guess has a result yet"),
        (
            partial(charts.guesses, ANSWERS[8:9]),
            "1 of 1 guesses was wrong, or more than 3 times off",
        ),
        (partial(charts.connections_over_time, {"ours": OPENINGS["OpensOnce"]}, 5),
         "max_size is 5, and ours keeps to it"),
        (partial(charts.waits, {"ours": QUEUES["Fair"]}),
         "The unluckiest caller is overtaken by nobody"),
        (partial(charts.wait_by_size, BY_SIZE, 6, 4),
         "4 connections for a load of 6: the queue never ends"),
        (partial(charts.wait_by_size, {8: 1.0, 9: 0.5}, 2, 9),
         "9 connections for a load of 2: a mean wait of 0.5 times the use"),
        (partial(charts.wait_by_size, {size: mean_wait(size, 2) for size in range(1, 21)}, 2, 16),
         "16 connections for a load of 2: practically no wait"),
        (partial(charts.where_time_goes, {4: HotRow(0.1, 0.01, 0.005, 100),
                                          8: HotRow(0.05, 0.01, 0.005, 200)}),
         "2 times the connections, 2 times the pages"),
        (partial(charts.silent_server, {"ours": SILENT["Fair"]}),
         "Promised 1 s, still waiting after 2.5 s"),
        (partial(charts.silent_server, {"ours": SILENT["LetsGo"]}),
         "Promised 1 s, back after 1.3 s"),
        (partial(charts.throughput_by_size, SIZES, 64, compare=(1, 2)),
         "2 connections instead of 1: sleeping × 2, computing × 1.7"),
        (partial(charts.wait_by_utilisation,
                 {0.5: BUSY[0.61], 0.9: Arrivals(1.2, 300, 0.2, 0.01, 9)}, ERLANG),
         "From 0.62 to 1.2 busy, the wait grows 100 times"),
    ],
)  # fmt: skip
def test_titles_claim_nothing_that_does_not_hold(chart, expected):
    """Where the usual finding is not there, the title says what is, or only what is drawn."""
    shown = chart()
    assert title(shown) == expected
    assert_readable(shown)


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: charts.before_after([], CACHED), "before is empty"),
    (lambda: charts.before_after(QUERIES, [0.1, -1.0]), r"after\[1\].*-1.0"),
    (lambda: charts.before_after(QUERIES, [0.1], ["hit", "hit"]), "1 visits after, but 2 outcomes"),
    (lambda: charts.hit_rate_by_ttl({1: 30}, THEORY), r"hit rate\[0\].*from 0 to 1, not 30"),
    (lambda: charts.hit_rate_by_ttl({0: 0.3}, THEORY), r"measured ttl\[0\].*not 0"),
    (lambda: charts.hit_rate_by_ttl(TTLS, {}), "theory ttl is empty"),
    (lambda: charts.hit_rate_by_ttl(TTLS, THEORY, guess=math.nan), "guess.*not nan"),
    (lambda: charts.bar_of_life({}, 60), "lives is empty"),
    (lambda: charts.bar_of_life({"ours": math.inf}, 60), r"lives\[0\].*not inf"),
    (lambda: charts.hit_rate_by_capacity(ROOMS, POLICIES, mark=0.03), "mark.*0.03"),
    (lambda: charts.hit_rate_by_capacity(ROOMS, {}), "hit_rates is empty"),
    (
        lambda: charts.hit_rate_by_capacity(ROOMS, {"LRU": [0.5]}),
        "LRU has 1 hit rates for 7 capacities",
    ),
    (lambda: charts.swimlane({"naive": []}), "every panel a lane"),
    (lambda: charts.swimlane({"naive": [Lane("a", [])]}), "'a' has no span"),
    (lambda: charts.swimlane({"naive": [Lane("a", [(0, 1, "nap")])]}), "'a'.*'nap'"),
    (lambda: charts.swimlane({"naive": [Lane("a", [(0, math.inf, "wait")])]}), "'a'.*inf"),
    (lambda: charts.race([]), "steps is empty"),
    (lambda: charts.flight([]), "seconds is empty"),
    (lambda: charts.flight([Event(math.nan, "a", "comes")]), r"seconds\[0\].*not nan"),
    (lambda: charts.pages_around_expiry({}, 2), "runs is empty"),
    (lambda: charts.pages_around_expiry({"a": Replay()}, 2), "at of a is empty"),
    (lambda: charts.pages_around_expiry(EXPIRY, -2), r"ttl\[0\].*-2"),
    (lambda: charts.pages_around_expiry(EXPIRY, 2, down=(-1, 2)), r"down\[0\].*-1"),
    (lambda: charts.alive_over_requests({}, "users"), "runs is empty"),
    (lambda: charts.alive_over_requests({"a": [-1]}, "users"), r"counts of a\[0\].*-1"),
    (lambda: charts.whose_page({}), "runs is empty"),
    (lambda: charts.whose_page({"a": [None]}), r"pages of a\[0\].*not None"),
    (lambda: charts.loads_per_second({"a": []}), "loads of a is empty"),
    (lambda: charts.loads_per_second({"a": [None]}), r"loads of a\[0\].*not None"),
    (lambda: charts.outcomes_over_time({}, (0, 1)), "runs is empty"),
    (lambda: charts.outcomes_over_time({"a": {"lost": [1]}}, (0, 1)), "'lost'.*'a'"),
    (lambda: charts.outcomes_over_time({"a": {"hit": [1], "miss": []}}, (0, 1)), "miss.*a.*empty"),
    (lambda: charts.outcomes_over_time({"a": {"hit": [1], "miss": [1, 2]}}, (0, 1)), "'a'.*secon"),
    (lambda: charts.outcomes_over_time({"a": {"hit": [1]}}, (5, 5)), "after 5 s, not at 5 s"),
    (lambda: charts.connecting(0.01, 0), r"seconds\[1\].*not 0"),
    (lambda: charts.connections_over_time({}, 5), "runs is empty"),
    (lambda: charts.borrowings([]), "runs is empty"),
    (lambda: charts.waits({}), "queues is empty"),
    (lambda: charts.waits({"ours": Queue(1)}), "waits of ours is empty"),
    (lambda: charts.price_of_order({"ours": 1}), "price_of_order needs two pools or more"),
    (lambda: charts.throughput_by_size({}, 2), "runs is empty"),
    (lambda: charts.throughput_by_size(SIZES, 2, compare=(2, 32)), "must have the sizes 2 and 32"),
    (lambda: charts.wait_by_utilisation({0.9: BUSY[0.93]}, ERLANG), "two measured"),
    (lambda: charts.wait_by_size(BY_SIZE, 6, 40), "size must be one of those in waits, not 40"),
    (lambda: charts.where_time_goes({4: HOT[4]}), "two sizes or more"),
    (lambda: charts.silent_server({"ours": Silence([], 1, 2)}), "every run a caller"),
]


@pytest.mark.parametrize(("draw", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_named(draw, message):
    """What can't be drawn is refused with an error that names the value."""
    with pytest.raises((ValueError, TypeError), match=message):
        draw()


def test_notebooks_get_picture_and_text():
    """A chart shows as a PNG of 800 by 320 pixels, and as its line of text."""
    chart = charts.race(RACE)
    shown: Mapping[str, str] = chart._repr_mimebundle_()
    png = b64decode(shown["image/png"])
    assert png.startswith(b"\x89PNG")
    assert [int.from_bytes(png[i : i + 4]) for i in (16, 20)] == [800, 320]
    assert b"Software" not in png
    assert shown["text/plain"] == chart.text


def test_how_many_strangers_is_no_number_in_the_text():
    """Where new objects are put differs between Pythons: none, some or more than half."""
    for strangers, words in ((0, "none"), (1, "some"), (5, "some"), (6, "more than half")):
        pages = [0 if i and i <= strangers else i for i in range(10)]
        chart = charts.whose_page({"naive": pages})
        assert chart.text == f"strangers' pages, real: naive {words}"


@pytest.mark.parametrize(
    ("pages", "colours"),
    [
        ({"naive": [0] * 1000}, "; red: a stranger's"),
        ({"ours": list(range(1000))}, "; blue: its own"),
        (WHOSE, "; red: a stranger's; blue: its own"),
        ({"half": [i - i % 2 for i in range(1000)]}, "; red: a stranger's; blue: its own"),
    ],
)
def test_only_the_colours_that_are_seen_are_explained(pages, colours):
    """One dot in a corner is not seen."""
    chart = charts.whose_page(pages)
    line = chart.figure.texts[1].get_text()
    assert line == f"real: whose page each request got{colours}"


def test_short_and_long_waits_are_to_scale():
    """Who comes later waits for the rest: a straight line, from the time of a query to nothing."""
    chart = charts.pages_around_expiry(EXPIRY, 2)
    ax = chart.figure.axes[0]
    assert ax.get_yscale() == "linear"
    low, high = ax.get_ylim()
    assert low < 0 < 200 < high < 300


def test_the_line_of_the_last_one_out_crosses_no_words():
    """It leads from the cross of who left last to the load that is cancelled."""
    chart = charts.flight(EVENTS)
    [line] = [line for line in chart.figure.axes[0].lines if line.get_linestyle() == ":"]
    assert line.get_ydata().tolist() == [4, 6]  # visitor 5, load 1
    ends = line.axes.transData.transform(line.get_xydata())
    for words, box, _ in texts(chart):
        if words in ("leaves", "cancelled"):
            assert not (box.x0 < ends[0][0] < box.x1 and ends[1][1] < box.y0 < box.y1 < ends[0][1])


@every_chart
def test_picture_does_not_depend_on_settings(name):
    """The same bytes every time, whatever the reader has set in matplotlib."""
    draw = ALL[name][0]
    png = drawn(name).png()
    with matplotlib.rc_context({"font.size": 30, "font.family": "serif", "savefig.dpi": 20}):
        assert draw().png() == png


@every_chart
def test_fonts_come_with_matplotlib(name):
    """No chart needs a font of the machine that draws it."""
    fonts = {findfont(text.get_fontproperties()) for _, _, text in texts(drawn(name))}
    assert all(font.startswith(matplotlib.get_data_path()) for font in fonts)


def test_long_title_shrinks():
    """A long name in a title makes it smaller, not wider than the picture."""
    steps = [Step("loader that everybody waits for", "stores what it read before", wrong=True)]
    chart = charts.race(steps * 2)
    head = chart.figure.texts[0]
    assert head.get_window_extent().width <= 780


def test_no_window_is_left_open():
    """Drawing needs no pyplot, which would keep every figure."""
    code = "import sys, cachepool_lib.lab.charts; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


MEETING = ["HIT MISS", "LOAD WAIT", "FRESH STALE", "STALE FAILED", "FRESH FAILED", "OURS QUIET"]
MEETING += ["OURS INK", "LOAD FAILED", "WAIT FAILED", "LOAD GUESS", "FRESH GUESS", "MISS INK"]


@pytest.mark.parametrize("pair", MEETING)
def test_colours_differ_without_red_and_green(pair):
    """Colours that meet in a chart stay apart for readers with deuteranopia."""
    one, other = (seen_with_deuteranopia(getattr(canvas, name)) for name in pair.split())
    assert math.dist(one, other) > 20  # CIE76: 2.3 is just noticeable


def seen_with_deuteranopia(colour: str) -> tuple[float, float, float]:
    """CIELAB of a colour after the transform of Machado, Oliveira and Fernandes (2009)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    deuteranopia = [
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ]
    to_xyz = [  # of sRGB, over the white of D65
        (0.4124 / 0.9505, 0.3576 / 0.9505, 0.1805 / 0.9505),
        (0.2126, 0.7152, 0.0722),
        (0.0193 / 1.089, 0.1192 / 1.089, 0.9505 / 1.089),
    ]
    for matrix in (deuteranopia, to_xyz):
        linear = [max(0.0, sum(a * b for a, b in zip(row, linear, strict=True))) for row in matrix]
    x, y, z = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in linear)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
