"""The promises of a pool: who keeps them, who doesn't, and how a check says so."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from cachepool_lib import AsyncCache, DatabasePool, lab
from cachepool_lib.lab.contracts.pool.bench import PoolBench
from cachepool_lib.lab.contracts.pool.contract import PROMISES
from tests.lab.contracts.broken_pools import BROKEN, end_all
from tests.tools.notebook_tools import ROOT, definitions, read

pytestmark = pytest.mark.anyio

CELLS = read(ROOT / "notebooks" / "04-pool-your-connections.ipynb").cells
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
    "P18": "still waiting after 1 s",
    "P19": "5 of 5 callers wait",
    "P20": "nobody measures",
    "P21": "no word of who held it",
    "P22": "the last borrower's role",
}

REPAIRS = {
    "OpensOnce": "P1 P2 P16",
    "InTime": "P3 P4 P5",
    "Fair": "P13",
    "FairPool": "",
    "LetsGo": "P8",
    "LooksFirst": "P9",
    "SoundPool": "",
    "Handy": "P10 P11 P15 P17",
    "Closes": "P7",
    "MyPool": "P6 P12 P14",
}
NOT_KEPT = {"P18", "P19", "P20", "P21", "P22"}


ALSO = ["P6", "P7", "P10", "P11", "P12", "P14", "P15", "P17"]  # without a section of their own


def kept(report: Any, column: int) -> set[str]:
    return {row[0].name for row in report.rows if row[column].passed}


async def test_each_repair_adds_its_promises_and_breaks_none() -> None:
    """As the notebook says where it introduces the class. The naive class fails by what it does,
    never by a method or an argument that it lacks; what asyncpg does right it does, too.
    """
    names = ["NaivePool", *REPAIRS]
    report = await lab.exam(*(NOTEBOOK[name] for name in names))
    naive = [row[0] for row in report.rows if not row[0].passed]
    assert {result.name: result.got for result in naive} == SYMPTOMS
    assert all(result.expected and result.hint for result in naive)
    assert kept(report, 0) == {"P5-cancel", "P5-after", "P5-reset"}
    for (column, _), (after, name) in pairwise(enumerate(names)):
        added = kept(report, after) - kept(report, column)
        assert added == set(REPAIRS[name].split()), name
        assert kept(report, column) <= kept(report, after), name
    assert kept(report, len(names) - 1) == PROMISES.keys() - NOT_KEPT


async def test_database_pool_keeps_every_promise() -> None:
    report = await lab.exam(DatabasePool)
    assert report.failed == []
    assert len(report.rows) == len(PROMISES)


async def test_the_name_of_a_promise_says_that_pools_are_asked() -> None:
    """P is for pools; an exam asks for what the class is."""
    assert [row[0].name for row in (await lab.check("P10", DatabasePool)).rows] == ["P10"]
    assert {row[0].name[0] for row in (await lab.exam(AsyncCache)).rows} == {"A"}
    with pytest.raises(KeyError, match="P99"):
        await lab.check("P99", DatabasePool)


async def test_also_broken_shows_the_flaws_without_a_section() -> None:
    """A line each, the naive result beside ours."""
    report = await lab.also_broken(NaivePool, MyPool)
    assert [row[0].name for row in report.rows] == ALSO
    assert all(not naive.passed and ours.passed for naive, ours in report.rows)


def test_the_notebook_says_what_its_last_class_does_not_keep() -> None:
    """The exam prints it in the place of a tick."""
    [cell] = [cell.source for cell in CELLS if "not_kept=not_kept" in cell.source]
    assert set(re.findall(r'"(P\d+)": ', cell)) == NOT_KEPT


@pytest.mark.parametrize("name", PROMISES)
async def test_a_broken_promise_is_noticed(name: str) -> None:
    """By two versions of the library's class that break it in different ways."""
    broken = BROKEN[name]
    assert len(broken) >= 2
    try:
        [row] = (await lab.check(name, *broken)).rows
    finally:
        await end_all()
    assert [kind.__name__ for kind, result in zip(broken, row, strict=True) if result.passed] == []


async def test_a_look_at_an_idle_connection_works_beyond_1023_open_files() -> None:
    """Where `select` ends the program."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1500:
        pytest.skip("no more files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1500), hard))
    held: list[int] = []
    try:
        while not held or held[-1] < 1100:
            held.append(os.open(os.devnull, os.O_RDONLY))
        report = await lab.check("P9", MyPool, DatabasePool)
        assert all(result.passed for result in report.rows[0])
    finally:
        for number in held:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
