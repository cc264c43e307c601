"""The promises of a pool: who keeps them, who doesn't, and how a check says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from cachepool_lib import AsyncCache, DatabasePool, lab
from cachepool_lib.lab.pool_bench import PoolBench
from cachepool_lib.lab.pool_contract import PROMISES
from tests.notebook_tools import ROOT, definitions, read

pytestmark = pytest.mark.anyio

NOTEBOOK = definitions(read(ROOT / "notebooks" / "04-pool-your-connections.ipynb"))
NaivePool, MyPool = NOTEBOOK["NaivePool"], NOTEBOOK["MyPool"]

SYMPTOMS = {
    "P1": "10 connections, 8 after close",
    "P2": "TooManyConnectionsError for some of 24 callers",
    "P3": "still waiting after 1 s",
    "P4": "2 pages on 2 connections, stuck after 1 s",
    "P5": "close still waits after 1 s",
    "P6": "InterfaceError: pool is closed",
    "P7": "errors from inside asyncpg for those who wait",
    "P8": "still waiting after 1 s",
    "P9": "ConnectionDoesNotExistError for 2 of 2",
    "P10": "nothing, until the first query",
    "P11": "the first half stays",
    "P12": "nobody counts",
    "P13": "a caller is overtaken by 20",
    "P14": "an error that names another cause",
    "P15": "s3cret in vars()",
    "P16": "2 connections",
    "P17": "a Record, which JSON can't carry",
}

REPAIRS = {
    "OpensOnce": "P1 P2",
    "InTime": "P3 P4 P5 P16",
    "Fair": "P13",
    "LetsGo": "P8",
    "LooksFirst": "P9",
    "Handy": "P10 P11 P15 P17",
    "MyPool": "P6 P7 P12 P14",
}


ALSO = ["P6", "P7", "P10", "P11", "P12", "P14", "P15", "P17"]  # without a section of their own


def kept(report: Any, column: int) -> set[str]:
    return {row[0].name for row in report.rows if row[column].passed}


async def test_the_naive_class_has_every_flaw_and_shows_its_symptom() -> None:
    """It fails by what it does, never by a method or an argument that it lacks; what asyncpg does
    right it does, too.
    """
    report = await lab.exam(NaivePool)
    assert {result.name: result.got for result in report.failed} == SYMPTOMS
    assert all(result.expected and result.hint for result in report.failed)
    assert kept(report, 0) == {"P5-cancel", "P5-after", "P5-reset"}


async def test_each_repair_adds_its_promises_and_breaks_none() -> None:
    """As the notebook says where it introduces the class."""
    names = ["NaivePool", *REPAIRS]
    report = await lab.exam(*(NOTEBOOK[name] for name in names))
    for (column, _), (after, name) in pairwise(enumerate(names)):
        added = kept(report, after) - kept(report, column)
        assert added == set(REPAIRS[name].split()), name
        assert kept(report, column) <= kept(report, after), name


async def test_database_pool_keeps_every_promise() -> None:
    report = await lab.exam(DatabasePool)
    assert report.failed == []
    assert len(report.rows) == len(PROMISES)


async def test_the_name_of_a_promise_says_that_pools_are_asked() -> None:
    """P is for pools; an exam asks for what the class is."""
    assert [row[0].name for row in (await lab.check("P10", DatabasePool)).rows] == ["P10"]
    assert {row[0].name[0] for row in (await lab.exam(AsyncCache)).rows} == {"A"}
    with pytest.raises(KeyError, match="P18"):
        await lab.check("P18", DatabasePool)


async def test_also_broken_shows_the_flaws_without_a_section() -> None:
    """A line each, the naive result beside ours."""
    report = await lab.also_broken(NaivePool, MyPool)
    assert [row[0].name for row in report.rows] == ALSO
    assert all(not naive.passed and ours.passed for naive, ours in report.rows)


class Leaky(DatabasePool):
    """Forgets to give back when its caller is cancelled."""

    async def _give_back(self, lease: Any) -> None:
        if (task := asyncio.current_task()) and task.cancelling():
            return
        await super()._give_back(lease)

    async def close(self, timeout: Any = 0) -> None:  # noqa: ASYNC109
        await super().close(timeout)


async def test_a_leak_is_noticed() -> None:
    """The three promises that the naive pool keeps can be broken, and a check says so."""
    report = await lab.check("P5-cancel", Leaky)
    assert [result.got for result in report.failed] == ["no answer"]


async def test_connections_are_counted_and_ended_whatever_the_class_does() -> None:
    """A pool that its class has lost is terminated with the check."""
    url = (await lab.services()).database_url
    make = asyncpg.create_pool
    opening = await lab.first_callers(NaivePool, 4, min_size=2, max_size=3)
    assert (opening.most, opening.left) == (8, 6)
    assert asyncpg.create_pool is make
    async with PoolBench(NaivePool, url) as bench:
        name = "application_name LIKE 'check-%' AND datname = current_database()"
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {name}"
        for _ in range(200):
            if not await bench.admin.fetchval(query):
                return
            await asyncio.sleep(0.02)
        raise AssertionError("connections of a check are left")


def test_checks_leave_nothing_for_the_last_cell_to_find() -> None:
    """No connection, no task, no complaint of asyncpg; what a naive class leaves open is closed."""

    async def cells() -> None:
        await lab.exam(NaivePool, DatabasePool)
        await lab.nothing_left()

    asyncio.run(cells())


async def test_a_check_that_is_interrupted_ends() -> None:
    """It waits neither for two pages that lock each other out, nor for the pool to close, which
    would take five seconds. Then it leaves no task."""
    stuck, asked = asyncio.Event(), 0

    class Watched(NaivePool):  # type: ignore[misc]
        @asynccontextmanager
        async def acquire(self) -> AsyncIterator[Any]:
            nonlocal asked
            asked += 1
            if asked == 4:  # each of the two has one, and asks for another
                stuck.set()
            async with super().acquire() as connection:
                yield connection

    before = asyncio.all_tasks()
    check = asyncio.create_task(lab.check("P4", Watched))
    await stuck.wait()
    check.cancel()
    await asyncio.wait([check], timeout=4)
    assert check.done()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
