"""DatabasePool in simulated time: it lends, queues, gives up and counts as it does anywhere."""

import asyncio
from typing import Any

import pytest

from cachepool_lib import PoolTimeout, lab


async def call(pool: Any, seconds: float | None = None) -> float:
    """When a statement was answered."""
    async with pool.acquire(timeout=seconds) as connection:
        await connection.fetchval("SELECT 1")
    return lab.clock()


def test_who_comes_first_is_served_first_and_exactly_then() -> None:
    """Five callers on two connections, statements of a second: two, two and one at a time."""

    async def main() -> Any:
        async with lab.simulated_pool(2, seconds=1) as pool:
            ends = await asyncio.gather(*(call(pool) for _ in range(5)))
            return ends, pool.stats()

    ends, stats = lab.simulate(main())
    assert ends == [1, 1, 2, 2, 3]
    assert (stats.acquired, stats.opened, stats.waits.sum) == (5, 2, 4)
    assert stats.wait_p99 == 2


def test_callers_give_up_where_connections_are_kept() -> None:
    """Who gives up gets the pool's own PoolTimeout, and its time is among the waits."""

    async def main() -> Any:
        async with lab.simulated_pool(1) as pool:
            kept = await pool.acquire()
            results = await asyncio.gather(
                *(call(pool, 0.5) for _ in range(3)), return_exceptions=True
            )
            stats = pool.stats()
            await pool.release(kept)
            return results, stats

    results, stats = lab.simulate(main())
    assert [type(result) for result in results] == [PoolTimeout] * 3
    assert (stats.timeouts, stats.wait_p99, stats.longest_hold) == (3, 0.5, 0.5)


def test_a_statement_answers_with_its_last_argument() -> None:
    async def main() -> Any:
        async with lab.simulated_pool(1) as pool:
            return await pool.fetchval("SELECT $1, $2", 1, 2), await pool.execute("SELECT 1")

    assert lab.simulate(main()) == (2, None)


@pytest.mark.parametrize("error", [KeyError("a bug"), asyncio.CancelledError()])
def test_an_error_in_the_block_closes_the_pool(error: BaseException) -> None:
    """It comes as it is, and nothing is left open."""
    pools: list[Any] = []

    async def main() -> None:
        async with lab.simulated_pool(1) as pool:
            pools.append(pool)
            raise error

    with pytest.raises(type(error)):
        lab.simulate(main())
    assert "closed" in repr(pools[0])
