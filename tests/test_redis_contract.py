"""The promises of a cache in Redis: who keeps them, who doesn't, and how a check says so."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from cachepool_lib import AsyncCache, MsgpackSerializer, RedisCache, lab
from cachepool_lib.lab.redis_contract import PROMISES
from tests.notebook_tools import ROOT, definitions, read

pytestmark = pytest.mark.anyio

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
}

REPAIRS = {
    "Exact": "R2 R3",
    "CarriesOn": "R7 R9",
    "InTime": "R8",
    "InOneTrip": "R10",
    "OneFlight": "",
    "Locked": "R12",
    "GoodNeighbour": "R4 R5 R6",
    "Counts": "R16",
    "MyRedisCache": "R11 R13 R14 R15",
}


def kept(report: Any, column: int) -> set[str]:
    return {row[0].name for row in report.rows if row[column].passed}


async def test_the_naive_class_has_every_flaw_and_shows_its_symptom() -> None:
    """It fails by what it does, never by a method or an argument that it lacks. R1, the import, is
    repaired before anything can be asked of it.
    """
    report = await lab.exam(NOTEBOOK["NaiveRedisCache"])
    assert {result.name: result.got for result in report.failed} == SYMPTOMS
    assert all(result.expected and result.hint for result in report.failed)


async def test_the_naive_class_taken_apart_has_the_same_flaws() -> None:
    report = await lab.exam(NOTEBOOK["SharedCache"])
    assert {result.name for result in report.failed} == SYMPTOMS.keys()


async def test_each_repair_adds_its_promises_and_breaks_none() -> None:
    """As the notebook says where it introduces the class."""
    names = ["SharedCache", *REPAIRS]
    report = await lab.exam(*(NOTEBOOK[name] for name in names))
    for (column, _), (after, name) in pairwise(enumerate(names)):
        added = kept(report, after) - kept(report, column)
        assert added == set(REPAIRS[name].split()), name
        assert kept(report, column) <= kept(report, after), name


async def test_redis_cache_keeps_every_promise() -> None:
    report = await lab.exam(RedisCache)
    assert report.failed == []
    assert len(report.rows) == len(PROMISES)


async def test_the_name_of_a_promise_says_which_caches_are_asked() -> None:
    """A is for caches in memory, R for those in Redis; an exam asks for what the class is."""
    assert [row[0].name for row in (await lab.check("R3", RedisCache)).rows] == ["R3"]
    assert {row[0].name[0] for row in (await lab.exam(AsyncCache)).rows} == {"A"}
    with pytest.raises(KeyError, match="R17"):
        await lab.check("R17", RedisCache)


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
