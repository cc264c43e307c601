"""The promises of a cache decorator: who keeps them, over which store, and how a check says so."""

import asyncio
import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from cachepool_lib import AsyncCache, RedisCache, async_cache, lab
from cachepool_lib.lab.contracts.decorator.bench import DecoratorBench
from cachepool_lib.lab.contracts.decorator.contract import PROMISES
from cachepool_lib.lab.notebook.checks import Unmet
from cachepool_lib.lab.servers.workers import each, tell
from tests.tools import redis_tools
from tests.tools.notebook_tools import ROOT, definitions, read
from tests.tools.redis_bench import OverRedis

pytestmark = pytest.mark.anyio

NOTEBOOK = definitions(read(ROOT / "notebooks" / "03-cache-with-one-line.ipynb"))

SYMPTOMS = {
    "D1": "a stranger's page",
    "D2": "12 for Rows(1, 7, 9)",
    "D3": "4 loads for 4 spellings",
    "D3-key": "3 loads for 2 users",
    "D3-default": "2 loads for 2 spellings",
    "D3-told": "nobody tells",
    "D4": "10 queries for 10 visits",
    "D4-ttl": "one ttl for all",
    "D5": "50 loads",
    "D5-self": "calls itself until Python gives up",
    "D6": "'old', for 300 s",
    "D6-class": "'old', for 300 s",
    "D6-method": "'old', for 300 s",
    "D6-classmethod": "'old', for 300 s",
    "D6-refresh": "'old', for 300 s",
    "D6-clear": "'old page', for 300 s",
    "D6-info": "nobody counts",
    "D7": "1,000 values",
    "D8": "a sync function is taken, and its calls fail",
    "D9": "no types: mypy lets any call pass",
    "D10": "the shop's page, in the blog",
    "D10-taken": "two functions of one name",
    "D11": "10 digests for 10 hits",
    "D12": "2 keys for one call",
    "D12-name": "a function made in another one is taken",
    "D13": "the page of its predecessor",
    "D14": "0 pages, 40 attempts",
    "D14-wait": "10 of 10 wait",
}

# What each adds, and breaks: the notebook shows both.
REPAIRS = {
    "ByValue": ("D1 D2 D11 D12", "D3-types D13-equal"),
    "OneSpelling": ("D3 D3-types D4", ""),
    "WeakSelf": ("D13", ""),
    "ByIdentity": ("D13-equal", ""),
    "HalfWay": ("", ""),
    "OneFlight": ("D5", ""),
    "Forgets": ("D6 D6-class", ""),
    "Stale": ("D14 D14-wait", ""),
    "AlmostDone": ("", ""),
    "Named": ("D10", ""),
    "MyDecorator": ("D6-clear D6-info D7 D8 D9", ""),
}


def kept(report: Any, column: int) -> set[str]:
    return {row[0].name for row in report.rows if row[column].passed}


async def test_the_naive_decorator_has_every_flaw_and_shows_its_symptom() -> None:
    """It fails by what it does, never by a method or an argument that it lacks."""
    report = await lab.exam(NOTEBOOK["naive_cache"])
    assert {result.name: result.got for result in report.failed} == SYMPTOMS
    assert all(result.expected and result.hint for result in report.failed)


async def test_each_repair_adds_its_promises() -> None:
    """As the notebook says where it introduces the class."""
    names = ["naive_cache", *REPAIRS]
    report = await lab.exam(*(NOTEBOOK[name] for name in names))
    for (column, _), (after, name) in pairwise(enumerate(names)):
        added, broken = (set(promises.split()) for promises in REPAIRS[name])
        assert kept(report, after) == kept(report, column) - broken | added, name


async def test_async_cache_keeps_every_promise() -> None:
    report = await lab.exam(async_cache)
    assert report.failed == []
    assert len(report.rows) == len(PROMISES)


NOT_IN_REDIS = {
    "D6-class": "there a method needs a key=",
    "D6-method": "there a method needs a key=",
    "D6-classmethod": "there the class needs a name",
    "D7": "it is about the function's own cache; the server has its maxmemory",
    "D8": "it is about decorating, whatever the store",
    "D9": "it is about decorating, whatever the store",
    "D12": "it is about Redis anyway",
}
REFUSED = {"D1", "D2", "D13", "D13-equal"}  # objects, whose keys another process could not know


class RedisBench(OverRedis, DecoratorBench):
    """The same checks over RedisCache."""

    shared = True

    def __init__(self, client: Any) -> None:
        super().__init__(client, async_cache)

    def store(self) -> RedisCache:
        return self.cache(timeout=5)

    def decorate(self, function: Callable[..., Any], **options: Any) -> Any:
        return super().decorate(function, **{"name": "page", **options})


@pytest.mark.parametrize("name", [name for name in PROMISES if name not in NOT_IN_REDIS])
async def test_async_cache_keeps_its_promises_over_redis(name: str) -> None:
    """One contract, two stores: all but those named above, each with its reason."""
    async with redis_tools.raw() as client:
        bench = RedisBench(client)
        saw = await PROMISES[name][1](bench)
        await bench.close()
    assert bench.caches
    assert (saw == "refused") == (name in REFUSED)


def test_what_is_left_out_is_in_the_contract() -> None:
    """A promise that is renamed does not slip away."""
    assert NOT_IN_REDIS.keys() | REFUSED < PROMISES.keys()


async def test_what_is_asked_decides_which_promises() -> None:
    """A function, or a class whose instances are called with one, is asked for D1 to D14."""
    for candidate in (async_cache, NOTEBOOK["MyDecorator"]):
        assert {row[0].name[0] for row in (await lab.exam(candidate)).rows} == {"D"}
    assert {row[0].name[0] for row in (await lab.exam(AsyncCache)).rows} == {"A"}


async def test_also_broken_shows_the_flaws_without_a_section() -> None:
    """A line each, the naive result beside ours."""
    report = await lab.also_broken(NOTEBOOK["naive_cache"], NOTEBOOK["MyDecorator"])
    assert [row[0].name for row in report.rows] == [
        "D2",
        "D6-clear",
        "D6-info",
        "D7",
        "D8",
        "D9",
        "D11",
    ]
    assert all(not naive.passed and ours.passed for naive, ours in report.rows)


async def test_a_call_of_a_method_is_forgotten_as_notebook_03_says() -> None:
    """With its class the instance has to be named; the library knows it either way."""

    def user(decorator: Any) -> Any:
        class User:
            text = "old"

            @decorator()
            async def page(self) -> str:
                return self.text

        return User()

    ours, librarys = user(NOTEBOOK["MyDecorator"]), user(async_cache)
    for one in (ours, librarys):
        await one.page()
        one.text = "new"
        assert await type(one).page.invalidate(one)
        assert await one.page() == "new"
    with pytest.raises(TypeError, match="missing a required argument: 'self'"):
        await ours.page.invalidate()
    assert await librarys.page.invalidate()


async def test_only_a_store_that_is_shared_may_refuse() -> None:
    """In memory an object can be part of a key: a TypeError is no answer there."""

    def refuses(**options: Any) -> Any:
        def decorate(function: Any) -> Any:
            async def cached(*args: Any) -> Any:
                raise TypeError("no objects, please")

            return cached

        return decorate

    bench = DecoratorBench(refuses)
    for name in REFUSED:
        with pytest.raises(TypeError, match="no objects"):
            await PROMISES[name][1](bench)
    bench.shared = True
    for name in REFUSED:
        assert await PROMISES[name][1](bench) == "refused"
    with pytest.raises((TypeError, Unmet)):
        await PROMISES["D3"][1](bench)


def _tell_seed() -> None:
    tell(seed=os.environ["PYTHONHASHSEED"], words=list({f"word {n}" for n in range(20)}))


def test_each_process_prints_a_set_in_an_order_of_its_own() -> None:
    """What D12 rests on: no two of them have the same hash seed."""
    heard: list[Any] = []

    async def cells() -> None:
        await each(_tell_seed, 3, lambda _, __, event: heard.append(event))
        await lab.nothing_left()

    asyncio.run(cells())
    assert len({event["seed"] for event in heard}) == 3
    orders = [tuple(event["words"]) for event in heard]
    assert len(set(orders)) == 3
    assert len({frozenset(order) for order in orders}) == 1


def test_keys_in_redis_counts_and_removes_them() -> None:
    """One for each process that asks for another key; nothing stays behind."""

    async def cells() -> tuple[int, int, int]:
        async with redis_tools.raw() as client:
            naive = await lab.keys_in_redis(NOTEBOOK["naive_cache"], count=3)
            ours = await lab.keys_in_redis(async_cache, count=3)
            left = [name async for name in client.scan_iter("keys-*", 1000)]
        await lab.nothing_left()
        return naive, ours, len(left)

    assert asyncio.run(cells()) == (3, 1, 0)


def test_checks_leave_nothing_for_the_last_cell_to_find() -> None:
    async def cells() -> None:
        await lab.exam(NOTEBOOK["naive_cache"], NOTEBOOK["MyDecorator"], async_cache)
        await lab.nothing_left()

    asyncio.run(cells())
