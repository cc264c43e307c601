"""A pool that is watched while visits come: what is read, what is shown, and what is left."""

import asyncio
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from cachepool_lib import DatabasePool, lab
from cachepool_lib.lab.experiments.pool_watched import means
from cachepool_lib.lab.kernels import ThisPython


# Twice as long, and half as often, as in the notebook: what a busy machine adds counts half.
async def held(pool: DatabasePool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_sleep(0.02)")
        await asyncio.sleep(0.08)


async def given_back(pool: DatabasePool) -> None:
    await pool.execute("SELECT pg_sleep(0.02)")
    await asyncio.sleep(0.08)


@pytest.mark.anyio
async def test_what_holds_shorter_waits_less_with_half_of_the_connections() -> None:
    """Waits are over five times shorter; holds hardly have what the page awaits besides."""
    often = {"rate": 100, "seconds": 2.5}
    eight, four = await lab.watched(held, 8, **often), await lab.watched(given_back, 4, **often)
    assert repr(eight) == "a pool of 8: callers wait most of the time"
    assert repr(four) == "a pool of 4: callers wait seldom or never"
    assert 5 * four.wait < eight.wait
    assert four.hold < 0.8 * eight.hold
    assert max(each.busy for each in eight.readings) == 8
    assert max(each.waiting for each in eight.readings) > 10
    assert all(0 < each.at <= eight.seconds for each in eight.readings)


@pytest.mark.anyio
async def test_what_a_page_raises_reaches_the_caller() -> None:
    """And the pool is closed, nothing runs on."""
    pools = []

    async def broken(pool: DatabasePool) -> None:
        pools.append(pool)
        await asyncio.sleep(0.01)
        raise LookupError("no such page")

    before = asyncio.all_tasks()
    with pytest.raises(ExceptionGroup) as raised:
        await lab.watched(broken, 1)
    assert raised.group_contains(LookupError)
    assert "closed" in repr(pools[0])
    assert asyncio.all_tasks() == before


@pytest.mark.anyio
async def test_who_interrupts_it_leaves_nothing_running() -> None:
    """All visits end with it."""
    begun = asyncio.Event()

    async def endless(pool: DatabasePool) -> None:
        begun.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    watching = asyncio.create_task(lab.watched(endless, 1))
    await begun.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert asyncio.all_tasks() == before


@pytest.mark.anyio
async def test_means_are_of_what_ended_in_between() -> None:
    """Not of all since the beginning; None where none did."""
    url = (await lab.services()).database_url
    async with DatabasePool(url, 1, 1) as pool:
        none = pool.stats()
        await pool.execute("SELECT pg_sleep(0.2)")
        slow = pool.stats()
        await pool.execute("SELECT 1")
        quick = pool.stats()
    assert means(none, none) == (None, None)
    first, second = means(none, slow)[1], means(slow, quick)[1]
    assert first == slow.holds.sum > 0.2
    assert second == pytest.approx(quick.holds.sum - slow.holds.sum)


class Listening(NotebookClient):
    """It keeps what a cell shows in the place of something shown before."""

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "update_display_data":
            self.frames.append(msg["content"]["data"])
        return super().process_message(msg, cell, cell_index)

    frames: list[dict[str, str]]


@pytest.mark.xdist_group("recorder")  # it starts a kernel
def test_a_notebook_shows_frames_and_stores_the_chart_alone() -> None:
    """While visits come a picture moves; of that nothing is stored, and a still chart is."""
    source = (
        "from cachepool_lib import lab\n"
        "async def page(pool): await pool.execute('SELECT 1')\n"
        "lab.charts.dashboard(await lab.watched(page, 2))"
    )
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = Listening(node, timeout=60, kernel_manager_class=ThisPython)
    client.frames = []
    client.execute()
    *frames, last = client.frames
    assert len(frames) > 3 and all("<svg role" in frame["text/html"] for frame in frames)
    assert frames[0] != frames[-1]
    assert last == {}
    moving, still = node.cells[0].outputs
    assert moving.data == {}
    assert set(still.data) == {"image/png", "text/plain"}
    assert still.data["text/plain"].startswith("dashboard of a pool of 2, real: ")
