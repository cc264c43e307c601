"""The promises of a cache: who keeps them, who doesn't, and how a check says so."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from cachepool_lib import AsyncCache, lab
from cachepool_lib.lab.checks import Result, Unmet, judge
from cachepool_lib.lab.contract import PROMISES
from tests.notebook_tools import ROOT, definitions, read

pytestmark = pytest.mark.anyio

SOURCE = read(ROOT / "notebooks" / "01-build-a-ttl-cache.ipynb")
NOTEBOOK = definitions(SOURCE)

SYMPTOMS = {
    "A1": "'Ben', not a miss",
    "A2": "NaN accepted, lives for ever",
    "A3": "served at 7,260 s",
    "A4": "10 queries for 10 visits",
    "A5": "30 queries for 3 values × 10 visits",
    "A6": "1,000 still in memory",
    "A7": "1,000 values",
    "A8": "still 'Ada' at 60 s",
    "A9": "50 loads",
    "A10": "'old', not 'new'",
    "A11": "'Mallory', not 'Ada'",
    "A12": "300 of 300 at once",
    "A13": "True, it had expired",
    "A14": "nobody counts",
    "A15": "ConnectionError",
}

REPAIRS = {
    "OnTime": "A1 A3 A8",
    "TellsMisses": "A4 A5",
    "Bounded": "A6 A7",
    "OneFlight": "A9",
    "AnyoneMayLeave": "A9-leave A9-last",
    "Leases": "A10",
    "Jitter": "A12",
    "OldBeatsNone": "A15",
    "MyCache": "A2 A13 A14",
}


def kept(report: Any) -> set[str]:
    return {row[0].name for row in report.rows if row[0].passed}


async def test_the_naive_class_has_every_flaw_and_shows_its_symptom() -> None:
    """It fails by what it does, never by a method or an argument that it lacks."""
    report = await lab.exam(NOTEBOOK["NaiveCache"])
    assert {result.name: result.got for result in report.failed} == SYMPTOMS
    assert all(result.expected and result.hint for result in report.failed)


async def test_async_cache_keeps_every_promise() -> None:
    report = await lab.exam(AsyncCache)
    assert report.failed == []
    assert len(report.rows) == len(PROMISES)


@pytest.mark.parametrize(("before", "after"), list(pairwise(["NaiveCache", *REPAIRS])))
async def test_each_repair_adds_its_promises_and_breaks_none(before: str, after: str) -> None:
    """As the notebook says where it introduces the class."""
    # Used through get_or_load, a class caches pages that nobody can change.
    with_it = {"A11"} if after == "TellsMisses" else set()
    was, now = [kept(await lab.exam(NOTEBOOK[name])) for name in (before, after)]
    added = set(REPAIRS[after].split()) | with_it
    if after == "OneFlight":  # the crowd is helped, and who leaves is hurt: section 6
        assert was - now == {"A9-leave", "A9-last"}
        was &= now
    assert now == was | added


async def test_a_page_that_can_be_changed_is_noticed() -> None:
    """No cache can repair it: the check is about what is cached."""
    report = await lab.check("A11", AsyncCache, page=dict)
    assert [result.got for result in report.failed] == ["'Mallory', not 'Ada'"]


class Clumsy:
    def __init__(self) -> None:
        raise OSError("no room for <caches>")


async def test_a_check_never_raises() -> None:
    """Whatever the class does is a result, in text and in HTML."""
    report = await lab.exam(Clumsy)
    assert {result.got for result in report.failed} == {"OSError: no room for <caches>"}
    assert "no room for &lt;caches&gt;" in report._repr_html_()
    assert "no room for <caches>" in repr(report)


async def test_a_report_explains_what_the_last_class_fails() -> None:
    """Expected, got and a hint stand under the table; what the others fail doesn't."""
    naive = NOTEBOOK["NaiveCache"]
    explained = repr(await lab.check("A8", AsyncCache, naive))
    assert explained.splitlines()[-4:] == [
        "✗ A8 Gone exactly at its ttl",
        "  expected  a miss at 60 s",
        "  got       still 'Ada' at 60 s",
        "  hint      Fresh means now < expires: at the moment itself the promise is over.",
    ]
    assert "expected" not in repr(await lab.check("A8", naive, AsyncCache))


async def test_also_broken_shows_the_flaws_without_a_section() -> None:
    """A line each, the naive result beside ours."""
    report = await lab.also_broken(NOTEBOOK["NaiveCache"], AsyncCache)
    assert [row[0].name for row in report.rows] == ["A2", "A11", "A13", "A14"]
    assert all(not naive.passed and ours.passed for naive, ours in report.rows)


async def test_an_unknown_promise_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="A16"):
        await lab.check("A16", AsyncCache)


async def test_a_result_shows_its_outcome() -> None:
    """A sign in front, so that nobody depends on the colour."""

    async def passes() -> str:
        return "3 hits"

    async def fails() -> str:
        raise Unmet(expected="1 < 2", got="2", hint="Count.")

    async def stub() -> str:
        raise NotImplementedError

    results = [await judge("X", "counts", question()) for question in (passes, fails, stub)]
    assert [repr(result) for result in results] == [
        "✓ X counts: 3 hits",
        "✗ X counts\n  expected  1 < 2\n  got       2\n  hint      Count.",
        "○ X counts: not solved yet",
    ]
    assert "1 &lt; 2" in results[1]._repr_html_()
    assert isinstance(results[0], Result)


def test_checks_leave_nothing_for_the_last_cell_to_find() -> None:
    async def cells() -> None:
        await lab.exam(NOTEBOOK["NaiveCache"], NOTEBOOK["OneFlight"], AsyncCache)
        await lab.nothing_left()

    asyncio.run(cells())
