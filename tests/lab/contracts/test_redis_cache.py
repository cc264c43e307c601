"""The promises of a cache in Redis: who keeps them, who doesn't, and how a check says so."""

import asyncio
import re
from types import SimpleNamespace
from typing import Any

import pytest

from cachepool_lib import AsyncCache, MsgpackSerializer, RedisCache, lab
from cachepool_lib.lab.contracts.redis_cache.contract import PROMISES
from tests.tools.notebook_tools import ROOT, definitions, read

pytestmark = pytest.mark.anyio

CELLS = read(ROOT / "notebooks" / "02-share-a-redis-cache.ipynb").cells
NOTEBOOK = definitions(read(ROOT / "notebooks" / "02-share-a-redis-cache.ipynb"))
VALUES = [(1, 2), {1: 2}, None, b"raw", "é", 1.5]

SYMPTOMS = {
    "R2": "[1, 2] for (1, 2)",
    "R3": "10 queries",
    "R4": "ResponseError for ttl=0.5",
    "R5": "'old', for 300 s",
    "R6": "'Ada', the shop's",
    "R7": "ConnectionError",
    "R8": "no page after 1 s",
    "R9": "UnicodeDecodeError, 3 times",
    "R10": "100 trips",
    "R11": "'Ada', from a closed cache",
    "R12": "10 loads",
    "R13": "200 get MaxConnectionsError",
    "R14": "RuntimeError: Event loop is closed",
    "R15": "s3cret in vars()",
    "R16": "nobody counts",
    "R17": "'old', after a delete",
    "R18": "'old', now that Redis is back",
    "R19": "ResponseError",
    "R20": "2 loads",
    "R22": "ConnectionError",
    "R23": "100 end together",
    "R24": "the visitor waits",
}

# What each class of the notebook adds to the one that it stands on.
REPAIRS = {
    "Exact": ("SharedCache", "R2 R3"),
    "CarriesOn": ("Exact", "R7 R9 R19"),
    "InTime": ("CarriesOn", "R8"),
    "InOneTrip": ("InTime", "R10"),
    "OneFlight": ("InTime", ""),
    "Locked": ("OneFlight", "R10 R12"),
    "GoodNeighbour": ("Locked", "R4 R5 R6"),
    "Counts": ("GoodNeighbour", "R16"),
    "MyRedisCache": ("Counts", "R11 R13 R14 R15"),
}
NOT_KEPT = {"R17", "R18", "R20", "R22", "R23", "R24"}


def kept(report: Any, column: int) -> set[str]:
    return {row[0].name for row in report.rows if row[column].passed}


async def test_the_naive_class_has_every_flaw_and_shows_its_symptom() -> None:
    """It fails by what it does, never by a method or an argument that it lacks. R1, the import, is
    repaired before anything can be asked of it.
    """
    report = await lab.exam(NOTEBOOK["NaiveRedisCache"])
    assert {result.name: result.got for result in report.failed} == SYMPTOMS
    assert all(result.expected and result.hint for result in report.failed)


async def test_each_repair_adds_its_promises_and_breaks_none() -> None:
    """As the notebook says where it introduces the class. What they stand on, the naive class taken
    apart, has its flaws, and the last has those alone that the notebook says are not kept.
    """
    names = ["SharedCache", *REPAIRS]
    keeps: dict[str, set[str]] = {}
    for some in (names[:4], names[4:7], names[7:]):  # all at once are too many for two cores
        report = await lab.exam(*(NOTEBOOK[name] for name in some))
        keeps |= {name: kept(report, column) for column, name in enumerate(some)}
    assert keeps["SharedCache"] == PROMISES.keys() - SYMPTOMS.keys()
    assert keeps["MyRedisCache"] == PROMISES.keys() - NOT_KEPT
    for name, (before, added) in REPAIRS.items():
        assert keeps[name] - keeps[before] == set(added.split()), name
        assert keeps[before] <= keeps[name], name


def test_the_notebook_says_what_its_last_class_does_not_keep() -> None:
    """The exam prints it in the place of a tick."""
    [source] = [cell.source for cell in CELLS if cell.source.startswith("await shop.close()")]
    assert set(re.findall(r'"(R\d+)": ', source)) == NOT_KEPT


async def test_redis_cache_keeps_every_promise() -> None:
    report = await lab.exam(RedisCache)
    assert report.failed == []
    assert len(report.rows) == len(PROMISES)


async def test_the_name_of_a_promise_says_which_caches_are_asked() -> None:
    """A is for caches in memory, R for those in Redis; an exam asks for what the class is."""
    assert [row[0].name for row in (await lab.check("R3", RedisCache)).rows] == ["R3"]
    assert {row[0].name[0] for row in (await lab.exam(AsyncCache)).rows} == {"A"}
    with pytest.raises(KeyError, match="R99"):
        await lab.check("R99", RedisCache)


async def test_one_loop_after_another_is_not_enough() -> None:
    """Servers run a loop in each of several threads: what a loop owns can't lie where all write."""

    class InTurns(NOTEBOOK["MyRedisCache"]):  # type: ignore[misc]
        async def _send(self, *command: Any) -> Any:
            self.last = self.links.setdefault(  # of whichever loop was here last
                asyncio.get_running_loop(), (self.connect(), asyncio.Semaphore(50))
            )
            return await super()._send(*command)

        def _client(self) -> Any:
            return self.last[0]

    InTurns.__module__ = "__main__"  # travels by value, as a notebook's classes do
    [result] = (await lab.check("R14", InTurns)).failed
    assert result.expected == "'Ada' for everybody, on two loops at the same time"


async def test_a_flight_is_of_one_loop() -> None:
    """A task that another loop's callers would await is a RuntimeError for them."""

    class OneFlightForAll(NOTEBOOK["MyRedisCache"]):  # type: ignore[misc]
        async def get_or_load(self, key: Any, load: Any) -> Any:
            if (value := await self.get(key)) is not None:
                return value
            if key not in self.flights:
                task = self.flights[key] = asyncio.create_task(self._load(key, load))
                task.add_done_callback(lambda _: self.flights.pop(key))
            return await asyncio.shield(self.flights[key])

    OneFlightForAll.__module__ = "__main__"
    [result] = (await lab.check("R14", OneFlightForAll)).failed
    assert result.got.startswith("RuntimeError: Task attached to a different loop, for ")


async def test_a_default_that_is_no_ttl_is_refused_where_it_is_given() -> None:
    """Where a value can't be stored the page comes all the same: what would refuse the ttl there is
    suppressed with it, and every visit loads."""

    class Late(NOTEBOOK["MyRedisCache"]):  # type: ignore[misc]
        def __init__(self, *args: Any, default_ttl: float = 300, **options: Any) -> None:
            super().__init__(*args, **options)
            self.ttl = default_ttl

        async def set(self, key: Any, value: Any, ttl: float | None = None) -> None:
            await super().set(key, value, self.ttl if ttl is None else ttl)

    [result] = (await lab.check("R4", Late)).failed
    assert result.got == "accepted, and nothing is stored"
    with pytest.raises(ValueError, match="ttl must be 0 seconds or more, not -1"):
        NOTEBOOK["MyRedisCache"](default_ttl=-1)


def test_one_visitor_at_a_time_asks_whether_a_silent_redis_is_back() -> None:
    """And those who were there before anybody knew; the others don't wait."""

    class Line:
        asked, silent = 0, True

        async def execute_command(self, *command: Any) -> None:
            self.asked += 1
            await asyncio.sleep(60 if self.silent else 0.001)

    async def visits(cache: Any, line: Line) -> tuple[int, float]:
        """How many of twenty asked Redis, and the longest that one of the others waited."""
        before, start, took = line.asked, lab.clock(), []

        async def visit() -> None:
            await cache.get("a")
            took.append(lab.clock() - start)

        await asyncio.gather(*(visit() for _ in range(20)))
        asked = line.asked - before
        return asked, round(sorted(took)[-1 - asked % 20], 2)

    async def story() -> list[tuple[int, float]]:
        cache, line = NOTEBOOK["InTime"](), Line()
        cache.redis = line
        seen = [await visits(cache, line)]  # nobody knows yet
        for _ in range(2):
            seen.append(await visits(cache, line))  # left alone
            await asyncio.sleep(0.6)
            seen.append(await visits(cache, line))  # somebody tries
        line.silent = False
        await asyncio.sleep(0.6)
        seen.append(await visits(cache, line))
        seen.append(await visits(cache, line))  # and it is back
        return seen

    assert lab.simulate(story()) == [
        (20, 0.25), (0, 0), (1, 0), (0, 0), (1, 0), (1, 0), (20, 0),
    ]  # fmt: skip


async def test_who_waits_for_a_turn_is_told_that_the_cache_was_closed() -> None:
    answer = asyncio.Event()

    class Slow(NOTEBOOK["MyRedisCache"]):  # type: ignore[misc]
        def _client(self) -> Any:
            async def execute_command(*command: Any) -> None:
                await answer.wait()

            return SimpleNamespace(execute_command=execute_command)

    cache = Slow(timeout=5)
    reads = [asyncio.create_task(cache.get("a")) for _ in range(60)]
    await asyncio.sleep(0)  # fifty have a turn
    await cache.close()
    answer.set()
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["None"] * 50 + ["this cache is closed"] * 10


async def test_also_broken_shows_the_flaws_without_a_section() -> None:
    """A line each, the naive result beside ours."""
    report = await lab.also_broken(NOTEBOOK["NaiveRedisCache"], NOTEBOOK["MyRedisCache"])
    names = ["R4", "R5", "R6", "R11", "R13", "R14", "R15", "R16"]
    assert [row[0].name for row in report.rows] == names
    assert all(not naive.passed and ours.passed for naive, ours in report.rows)


async def test_round_trips_say_what_becomes_of_a_value() -> None:
    """Read twice, as a page does it: the second time it should be a hit."""

    class Rich(RedisCache):
        def __init__(self, redis_url: str, **options: Any) -> None:
            super().__init__(redis_url, serializer=MsgpackSerializer(), **options)

    fates = await lab.round_trips(NOTEBOOK["NaiveRedisCache"], VALUES)
    assert list(fates.values()) == [
        "comes back as [1, 2]",
        "comes back as {'1': 2}",
        "loaded again",
        "TypeError, after the load",
        "a hit",
        "a hit",
    ]
    assert set((await lab.round_trips(Rich, VALUES)).values()) == {"a hit"}
    assert set((await lab.round_trips(RedisCache, [{1: 2}])).values()) == {"loaded again"}


def test_checks_leave_nothing_for_the_last_cell_to_find() -> None:
    """No process, no connection, no task; what a naive class leaves open is closed."""

    async def cells() -> None:
        await lab.exam(NOTEBOOK["NaiveRedisCache"], RedisCache)
        await lab.nothing_left()

    asyncio.run(cells())
