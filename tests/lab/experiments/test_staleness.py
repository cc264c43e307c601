"""What notebook 06 measures of stale answers: as theory has it, and the same every time."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest

from cachepool_lib import AsyncCache, lab


@pytest.mark.parametrize("changes", [1 / 300, 1 / 60, 1 / 6])
def test_stale_answers_are_as_many_as_theory_says(changes: float) -> None:
    """At each ttl the hit rate, and the share of stale answers, to a few hundredths."""
    page = lab.staleness([1, 10, 60, 300], changes=changes)
    for ttl, answers in page.by_ttl.items():
        assert answers.hit_rate == pytest.approx(page.hit_rate(ttl), abs=0.01)
        assert answers.stale == pytest.approx(page.stale(ttl), abs=0.04)


def test_a_stale_answer_is_late_by_less_than_the_ttl() -> None:
    """On average by about a third of it, and by nothing where no row changes."""
    page = lab.staleness([60], changes=1 / 60)
    assert 15 < page[60].stale_for < 30
    never = lab.staleness([60], changes=1e-9)
    assert (never[60].stale, never[60].stale_for) == (0, 0)


def test_at_the_knee_loads_and_stale_answers_are_fewest() -> None:
    """Shorter costs loads, longer costs stale answers."""

    def cost(ttl: float) -> float:
        return 1 - page.hit_rate(ttl) + page.stale(ttl)

    page = lab.staleness([1], changes=1 / 60)
    assert page.knee == pytest.approx(10.95, abs=0.01)
    assert cost(page.knee) < min(cost(page.knee / 1.5), cost(page.knee * 1.5))


def test_a_hit_rate_knows_nothing_of_the_row() -> None:
    """The same one, however often the row changes."""
    seldom, often = (lab.staleness([60], changes=changes) for changes in (1 / 300, 1 / 6))
    assert seldom[60].hit_rate == often[60].hit_rate
    assert often[60].stale > 3 * seldom[60].stale > 0


def cache() -> AsyncCache:
    return AsyncCache(300, maxsize=None, clock=lab.clock)


class Canary:
    """Compares every hit, behind the reader."""

    def __init__(self) -> None:
        self.cache, self.compared = cache(), Counter[str]()
        self.tasks: set[Any] = set()

    async def get_or_load(self, key: Any, load: Any) -> Any:
        hit = await self.cache.exists(key)
        page = await self.cache.get_or_load(key, load)
        if hit:
            self.tasks.add(task := asyncio.create_task(self.compare(page, load)))
            task.add_done_callback(self.tasks.discard)
        return page

    async def compare(self, page: Any, load: Any) -> None:
        self.compared["fresh" if await load() == page else "stale"] += 1

    async def delete(self, key: Any) -> bool:
        return await self.cache.delete(key)

    def stats(self) -> Any:
        return self.cache.stats()


def test_without_its_deletes_a_shop_has_more_hits_and_they_are_wrong() -> None:
    """The canary alone says so; a cache without one says nothing of it."""
    plain, watched = lab.lost_delete(cache), lab.lost_delete(Canary)
    assert plain.canary == [] and watched.hit_rates == plain.hit_rates
    before, after = watched.means(watched.hit_rates)
    assert after > before + 0.03
    quiet, alarm = watched.means(watched.canary)
    assert quiet < 0.02 and alarm > 0.4
    assert (
        repr(watched).splitlines()[0] == repr(plain) == f"hit rate: {before:.2f}, then {after:.2f}"
    )
    assert repr(lab.lost_delete(cache)) == repr(plain)


PRICE = "UPDATE products SET cents = 200 WHERE id = 7"


async def never(pool: Any, cache: Any) -> None:
    async with pool.transaction() as connection:
        await connection.execute(PRICE)


async def first(pool: Any, cache: Any) -> None:
    await cache.delete("price")
    await never(pool, cache)


async def inside(pool: Any, cache: Any) -> None:
    async with pool.transaction() as connection:
        await connection.execute(PRICE)
        await cache.delete("price")


async def after(pool: Any, cache: Any) -> None:
    await never(pool, cache)
    await cache.delete("price")


async def refused(pool: Any, cache: Any) -> None:
    async with pool.transaction() as connection:
        await connection.execute(PRICE)
        await cache.set("price", 200)
        await connection.execute("UPDATE products SET cents = NULL WHERE id = 8")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("change", "seen", "row", "early"),
    [
        (never, 100, 200, []),
        (first, 100, 200, ["deletes the key"]),
        (inside, 100, 200, ["deletes the key"]),
        (after, 200, 200, []),
        (refused, 200, 100, ["sets 200"]),
    ],
)
async def test_what_the_next_reader_sees_after_a_transaction(
    change: Any, seen: int, row: int, early: list[str]
) -> None:
    """The row's price if the key was deleted after the commit; else what came too early is told."""
    told = await lab.around_commit(change)
    assert repr(told) == f"the next reader sees {seen}, the row says {row}"
    assert [step.text for step in told.steps if step.wrong] == early
    assert told.steps[-1].lane == "next reader"
    ends = [step.text for step in told.steps if step.text in ("commits", "rolls back")]
    assert ends == (["rolls back"] if change is refused else ["commits"])


@pytest.mark.anyio
async def test_the_row_is_as_before() -> None:
    """Other cells read the same shop."""
    where = await lab.services()
    read = "SELECT cents FROM products WHERE id = 7"
    connection = await asyncpg.connect(where.database_url)
    try:
        before = await connection.fetchval(read)
        assert (await lab.around_commit(after)).row == 200
        assert await connection.fetchval(read) == before != 200
    finally:
        await connection.close()


@pytest.mark.anyio
async def test_a_mistake_in_the_change_is_raised() -> None:
    """Only what the database refuses is part of the experiment."""

    async def wrong(pool: Any, cache: Any) -> None:
        raise KeyError("mistake")

    with pytest.raises(KeyError, match="mistake"):
        await lab.around_commit(wrong)
