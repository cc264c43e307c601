"""The promises of a cache: who keeps them, who doesn't, and how a check says so."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from cachepool_lib import AsyncCache, lab
from cachepool_lib.lab.contracts.cache.contract import PROMISES
from cachepool_lib.lab.notebook.checks import Result, Unmet, judge
from tests.tools.notebook_tools import ROOT, definitions, read

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
    "A11": "[1, 2, 3], not [3, 1, 2]",
    "A12": "300 of 300 at once",
    "A13": "True, it had expired",
    "A14": "nobody counts",
    "A15": "ConnectionError",
    "A15-set": "ConnectionError, not 'Ben'",
    "A16": "a timedelta is refused",
    "A17": "one key at a time",
    "A19": "nobody counts who shares",
    "A20": "the visitor waits for the load",
}

REPAIRS = {
    "OnTime": "A1 A3 A8",
    "TellsMisses": "A4 A5",
    "Bounded": "A6 A7",
    "OneFlight": "A9",
    "AnyoneMayLeave": "A9-leave A9-last",
    "Leases": "A10",
    "Jitter": "A12",
    "OldBeatsNone": "A15 A15-set",
    "MyCache": "A2 A13 A14",
}
FLAT = {"Halfway": "OneFlight", "NearlyThere": "Jitter"}  # the class so far, in one piece: of which
BROKEN = {
    "Bounded": {"A18"},  # a bound, and the popular pages leave
    "OneFlight": {"A9-leave", "A9-last"},  # the crowd is helped, and who leaves is hurt: section 6
}


def kept(report: Any) -> set[str]:
    return {row[0].name for row in report.rows if row[0].passed}


async def test_the_naive_class_has_every_flaw_and_shows_its_symptom() -> None:
    """It fails by what it does, never by a method or an argument that it lacks."""
    report = await lab.exam(NOTEBOOK["NaiveCache"])
    assert {result.name: result.got for result in report.failed} == SYMPTOMS
    assert all(result.expected and result.hint for result in report.failed)


async def test_async_cache_keeps_every_promise() -> None:
    """But A11, which whoever makes the page has to keep: with pages that nobody can change."""
    report = await lab.exam(AsyncCache)
    assert [result.name for result in report.failed] == ["A11"]
    assert len(report.rows) == len(PROMISES)
    assert (await lab.check("A11", AsyncCache, page=lambda: (3, 1, 2))).failed == []


@pytest.mark.parametrize(("before", "after"), list(pairwise(["NaiveCache", *REPAIRS])))
async def test_each_repair_adds_its_promises_and_breaks_none(before: str, after: str) -> None:
    """As the notebook says where it introduces the class; what it breaks is told as well."""
    was, now = [kept(await lab.exam(NOTEBOOK[name])) for name in (before, after)]
    assert was - now == BROKEN.get(after, set())
    assert now - was == set(REPAIRS[after].split())


@pytest.mark.parametrize(("flat", "layers"), FLAT.items())
async def test_a_class_in_one_piece_does_what_its_layers_do(flat: str, layers: str) -> None:
    """Every promise is kept, or broken, in the same way; and a traffic fares the same."""
    one, other = NOTEBOOK[flat], NOTEBOOK[layers]
    report = await lab.exam(one, other)
    assert [first.got for first, _ in report.rows] == [second.got for _, second in report.rows]
    visits, database = lab.traffic(rate=100, users=300, seconds=60), lab.Database(seconds=0.1)
    database.down(20, 25)
    runs = [
        lab.replay(NOTEBOOK["page_from"](made(5, maxsize=200), database), visits, database=database)
        for made in (one, other)
    ]
    assert runs[0].outcomes == runs[1].outcomes
    assert runs[0].seconds == runs[1].seconds


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
    assert [row[0].name for row in report.rows] == ["A2", "A13", "A14"]
    assert all(not naive.passed and ours.passed for naive, ours in report.rows)


async def test_an_unknown_promise_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="A99"):
        await lab.check("A99", AsyncCache)


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
        await lab.exam(
            NOTEBOOK["NaiveCache"], NOTEBOOK["OneFlight"], NOTEBOOK["MyCache"], AsyncCache
        )
        await lab.nothing_left()

    asyncio.run(cells())


async def test_an_exam_says_what_is_not_kept_here() -> None:
    """In the place of the mark, for all but the first; it is not explained as a mistake."""
    told = {"A17": "notebook 02.6; AsyncCache keeps it"}
    report = repr(await lab.exam(NOTEBOOK["NaiveCache"], NOTEBOOK["MyCache"], not_kept=told))
    [line] = [line for line in report.splitlines() if line.startswith("A17")]
    assert "✗ one key at a time" in line
    assert line.endswith("– not kept here: notebook 02.6; AsyncCache keeps it")
    assert "✗ A17" not in report
    assert "✗ A18" in report, "what nobody told is a mistake"
