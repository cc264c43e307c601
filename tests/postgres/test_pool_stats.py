"""What a pool says of itself: to whom it serves, and to a thread that only watches."""

import asyncio
import sys
import threading
import time
from typing import Any

import pytest

from cachepool_lib import DatabasePool, PoolFull, PoolStats, PoolTimeout, QueryTimeout, lab
from cachepool_lib.stats import Durations
from tests.tools.pool_tools import Hold, pool, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio

BOUNDS = Durations.BOUNDS


@pytest.mark.parametrize(
    "seconds, bucket",
    [
        (0, 0),
        (BOUNDS[0], 0),
        (BOUNDS[0] + 1e-9, 1),
        (BOUNDS[-1], len(BOUNDS) - 1),
        (BOUNDS[-1] + 1e-9, len(BOUNDS)),
        (86_400, len(BOUNDS)),
    ],
)
def test_a_duration_falls_into_one_bucket(seconds: float, bucket: int) -> None:
    """Into that of the first bound that it does not exceed, as in Prometheus."""
    durations = Durations()
    durations.add(seconds)
    found = durations.histogram()
    assert [number for number, count in enumerate(found.counts) if count] == [bucket]
    assert (found.count, found.sum) == (1, seconds)
    assert found.bounds == tuple(sorted(found.bounds))


def test_a_histogram_forgets_nothing() -> None:
    """Percentiles are of the last thousand, and lag; buckets and sums count all, and add up."""
    durations = Durations()
    for _ in range(2_000):
        durations.add(0.003)
    before = durations.histogram()
    for _ in range(100):
        durations.add(0.03)
    after = durations.histogram()
    assert durations.percentiles()[0] == 0.003
    assert before.count == 2_000
    assert after.count - before.count == 100
    assert after.sum - before.sum == pytest.approx(3)


async def test_who_gives_up_has_waited() -> None:
    """Not in time, cancelled, nothing at hand, told that the pool is closed: all have waited.

    Who is refused at once has not.
    """
    async with witness() as seen, pool(seen, 1, 1, max_waiting=3) as made:
        async with Hold(made):
            before = made.stats().waits
            late = asyncio.create_task(made.fetchval("SELECT 1"))
            cancelled = asyncio.create_task(made.fetchval("SELECT 1"))
            await until(lambda: made.stats().waiting == 2)
            with pytest.raises(PoolTimeout):
                await made.acquire(timeout=0.05)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            now = made.stats()
            assert now.waits.count - before.count == 2
            assert now.waits.sum - before.sum >= 0.1
            assert now.wait_p99 >= 0.05
            with pytest.raises(PoolTimeout):
                await made.acquire(timeout=0)
            assert made.stats().waits.count - before.count == 3
            others = [asyncio.create_task(made.fetchval("SELECT 1")) for _ in range(2)]
            await until(lambda: made.stats().waiting == 3)
            with pytest.raises(PoolFull):
                await made.fetchval("SELECT 1")
            assert made.stats().waits.count - before.count == 3
            closing = asyncio.create_task(made.close())
            await asyncio.wait([late, *others])
            assert made.stats().waits.count - before.count == 6
        await closing
        end = made.stats()
        assert (end.acquired, end.timeouts, end.refused) == (1, 2, 1)
        assert end.waits.count == end.acquired + 6


async def test_who_waits_for_a_pool_to_be_closed_and_gives_up_is_counted() -> None:
    """Its connections are another opening's, but it got none in time."""
    async with witness() as seen, pool(seen, 1, 1) as made:
        hold = await Hold(made).__aenter__()
        closing = asyncio.create_task(made.close())
        await until(lambda: "closed" in repr(made))
        opening = asyncio.create_task(made.initialize())
        await asyncio.sleep(0)
        before = made.stats()
        with pytest.raises(PoolTimeout, match="still being closed"):
            await made.acquire(timeout=0.05)
        now = made.stats()
        assert (now.timeouts, now.waits.count) == (before.timeouts + 1, before.waits.count + 1)
        await hold.free()
        await asyncio.gather(closing, opening)


async def test_what_is_being_reset_is_neither_idle_nor_in_use() -> None:
    """A pool where all are held or being reset has nothing to lend, and its numbers say so."""
    answered = asyncio.Event()

    async def reset(connection: Any) -> None:
        await answered.wait()

    def places() -> tuple[int, ...]:
        now = made.stats()
        return now.size, now.in_use, now.idle, now.resetting

    async with witness() as seen, pool(seen, 2, 2, reset=reset) as made:
        await made.initialize()
        assert places() == (2, 0, 2, 0)
        async with Hold(made) as hold:
            assert await made.fetchval("SELECT 1") == 1
            assert places() == (2, 1, 0, 1)
            answered.set()
            await until(lambda: places() == (2, 1, 1, 0))
            await hold.free()
        await until(lambda: places() == (2, 0, 2, 0))


async def test_the_longest_hold_is_of_those_that_have_not_ended() -> None:
    """A connection that never comes back is in no percentile, but here, and then in the sum."""
    async with witness() as seen, pool(seen, 1, 2) as made:
        assert made.stats().longest_hold == 0
        async with Hold(made) as hold:
            for _ in range(5):
                await made.fetchval("SELECT 1")
            await asyncio.sleep(0.05)
            now, [holder] = made.stats(), made.holders()
            assert 0.05 <= now.longest_hold <= holder.seconds
            assert (now.holds.count, now.hold_p99 < now.longest_hold) == (5, True)
            await hold.free()
        now = made.stats()
        assert now.longest_hold == 0
        assert now.holds.count == 6
        assert now.holds.sum >= 0.05


async def test_what_is_taken_away_was_held() -> None:
    """By command_timeout, and by close: the longest holds are those, and they are counted."""
    async with witness() as seen, pool(seen, 1, 2, command_timeout=0.1) as made:
        with pytest.raises(QueryTimeout):
            await made.fetchval("SELECT 1 FROM pg_sleep(60)")
        held = made.stats()
        assert (held.holds.count, held.hold_p99 >= 0.1) == (1, True)
        async with Hold(made):
            await made.close(timeout=0)
            assert made.stats().holds.count == 2
        assert made.stats().holds.count == 2


class Watcher:
    """A thread that asks for stats and holders all the time, and keeps what was wrong.

    At each line and each call it lets the event loop go on, so that it is stopped halfway in
    whatever it reads.
    """

    def __init__(self, made: DatabasePool) -> None:
        self._pool = made
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.wrong: list[object] = []
        self.asked = 0

    def _let_go(self, *event: object) -> Any:
        time.sleep(0)
        return self._let_go

    def _watch(self) -> None:
        sys.settrace(self._let_go)
        before = self._pool.stats()
        while not self._stop.is_set():
            try:
                now = self._pool.stats()
                holders = self._pool.holders()
            except Exception as error:
                self.wrong.append(error)
                return
            self.asked += 1
            if not self._possible(before, now) or len(holders) > now.max_size:
                self.wrong.append(now)
            before = now

    @staticmethod
    def _possible(before: PoolStats, now: PoolStats) -> bool:
        """Not more than there may be, and nothing grows less."""
        counters = [
            (each.acquired, each.waits.count, each.waits.sum, *each.waits.counts, each.holds.count)
            for each in (before, now)
        ]
        less = any(new < old for old, new in zip(*counters, strict=True))
        return now.size == now.in_use + now.idle + now.resetting <= now.max_size and not less

    async def __aenter__(self) -> "Watcher":
        self._thread.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join)


async def test_another_thread_may_watch() -> None:
    """While callers come, wait, give up and go, and the pool is closed and opened again."""
    async with witness() as seen, pool(seen, 2, 4) as made:

        async def visit(number: int) -> None:
            if number % 7 == 0:
                try:
                    async with made.acquire(timeout=0.001) as connection:
                        await connection.fetchval("SELECT 1")
                except PoolTimeout:
                    pass
            else:
                await made.fetchval("SELECT 1")

        async with Watcher(made) as watcher:
            while watcher.asked < 50 and not watcher.wrong:
                await asyncio.gather(*(visit(number) for number in range(60)))
                await made.close()
                await made.initialize()
        assert not watcher.wrong, watcher.wrong[:3]


async def test_numbers_go_on_after_an_outage_and_when_it_is_opened_again() -> None:
    """What a pool did is true for ever; what it does now can be asked while nobody answers."""
    async with (
        witness() as seen,
        lab.Proxy(seen.url) as proxy,
        pool(seen, 2, 2, url=proxy.url) as made,
    ):
        await made.initialize()
        async with Hold(made):
            proxy.stall()
            with pytest.raises(QueryTimeout):
                await made.fetchval("SELECT 1", timeout=0.2)
            silent = made.stats()
            assert (silent.in_use, silent.acquired, silent.holds.count) == (1, 2, 1)
        await made.close()
        closed = made.stats()
        assert (closed.size, closed.in_use, closed.longest_hold) == (0, 0, 0)
        await proxy.restore()
        await made.initialize()
        await made.fetchval("SELECT 1")
        again = made.stats()
        assert again.acquired == again.waits.count == 3
        assert again.holds.count == closed.holds.count + 1 == 3
