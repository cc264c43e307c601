"""Experiments with a service, as notebook 05 makes them: what they count is the same every time."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from cachepool_lib import JSONSerializer, PoolTimeout, lab

pytestmark = pytest.mark.anyio


async def change(pool: Any, user_id: int, city: str) -> None:
    async with pool.transaction() as connection:
        await connection.execute("UPDATE users SET city = $2 WHERE id = $1", user_id, city)
        await asyncio.sleep(0.1)


async def test_reads_after_a_write_that_deletes_too_early_are_old() -> None:
    """Before the commit a reader puts the old page back; after it, nobody can."""

    async def early(pool: Any, cache: Any, user_id: int, city: str) -> bool:
        await cache.delete(("user", user_id))
        await change(pool, user_id, city)
        return True

    seen = await lab.stale_after(early, writes=1, workers=2)
    assert repr(seen) == "old for nearly the ttl"
    assert 0.5 < seen.old_for <= seen.ttl + 0.5
    assert len(seen.writes) == 1


async def test_reads_after_a_write_that_deletes_in_time_are_new() -> None:
    """In the list as well, if its version is deleted, and only then."""

    async def in_time(pool: Any, cache: Any, user_id: int, city: str) -> None:
        await change(pool, user_id, city)
        await cache.delete(("user", user_id))
        await cache.delete("version")

    async def row_alone(pool: Any, cache: Any, user_id: int, city: str) -> bool:
        await change(pool, user_id, city)
        await cache.delete(("user", user_id))
        return True

    assert repr(await lab.stale_after(in_time, writes=1, workers=2)) == "never old"
    assert repr(await lab.stale_after(in_time, of="list", writes=1, workers=2)) == "never old"
    seen = await lab.stale_after(row_alone, of="list", writes=1, workers=2)
    assert repr(seen) == "old for nearly the ttl"


async def test_a_value_that_was_never_committed_is_old_too() -> None:
    """A write that fails has changed nothing: whoever sees it, sees what is wrong."""

    async def sets(pool: Any, cache: Any, user_id: int, city: str) -> bool:
        async with pool.transaction():
            await cache.set(("user", user_id), {"page": f'{{"city": "{city}"}}', "at": 0})
            raise RuntimeError("rolled back")

    assert repr(await lab.stale_after(sets, writes=1, workers=1)) == "old for nearly the ttl"


async def test_a_write_during_a_load() -> None:
    """By hand the old value is stored after the delete; get_or_load drops it."""

    async def by_hand(cache: Any, load: Any) -> str:
        if (value := await cache.get("row")) is None:
            await cache.set("row", value := await load())
        return str(value)

    async def by_lease(cache: Any, load: Any) -> str:
        return str(await cache.get_or_load("row", load))

    async def delete(cache: Any, value: str) -> None:
        await cache.delete("row")

    wrong, right = [await lab.write_during_load(read, delete) for read in (by_hand, by_lease)]
    assert (repr(wrong), repr(right)) == ("old for the whole ttl", "never old")
    assert [step.text for step in wrong.steps] == [
        *("loads old", "changes the row", "tells the cache", "has its page: old", "sees old")
    ]
    assert wrong.steps[-1].wrong and not right.steps[-1].wrong


async def test_two_generations_need_room_for_both() -> None:
    """A worker whose share of connections is not there does not start."""
    seen = await lab.generations((3, 2), workers=2, limit=8)
    assert seen.connections == {3: [3, 6], 2: [2, 4, 6, 8]}
    assert repr(seen) == "of 4 workers start: 2 with size 3, 4 with size 2"


async def test_a_worker_that_leaves_or_is_killed() -> None:
    """The first finishes what it has begun; in both cases no connection is left."""
    term = await lab.leave("SIGTERM", workers=2, rate=40, seconds=1.2)
    assert repr(term) == "SIGTERM: no page lost, 0 connections left"
    kill = await lab.leave("SIGKILL", workers=2, rate=40, seconds=1.2)
    assert repr(kill) == "SIGKILL: some pages lost, 0 connections left"


def app_of(pool: Any, scope: Any) -> Any:
    """One whose pages borrow a connection, and whose background task borrows another."""
    from fastapi import BackgroundTasks, Depends, FastAPI

    async def connection() -> Any:
        async with pool.acquire() as connection:
            yield connection

    app = FastAPI()
    Connection = Annotated[Any, Depends(connection, scope=scope)]

    async def page(user_id: int, tasks: BackgroundTasks, connection: Connection) -> str:
        tasks.add_task(pool.fetchval, "SELECT 1")
        return str(await connection.fetchval("SELECT name FROM users WHERE id = $1", user_id))

    page.__annotations__ |= {"tasks": BackgroundTasks, "connection": Connection}
    app.get("/users/{user_id}")(page)
    return app


async def test_what_a_request_holds_is_noted() -> None:
    """A connection that is injected is held until the background task has ended."""
    held = await lab.holding(lambda pool: app_of(pool, None), visits=1, size=1)
    assert (
        repr(held)
        == f"1 request, 1 borrowed a connection; after the answer: {PoolTimeout.__name__}"
    )
    free = await lab.holding(lambda pool: app_of(pool, "function"), visits=2, size=1)
    assert repr(free) == "2 requests, 2 borrowed a connection"
    assert len(free.holds) == 4


async def test_a_request_that_fails_is_no_answer() -> None:
    """An error before the answer comes to whoever made the app."""

    def broken(pool: Any) -> Any:
        from fastapi import FastAPI

        app = FastAPI()

        @app.get("/users/{user_id}")
        async def page(user_id: int) -> str:
            raise LookupError("no such table")

        return app

    with pytest.raises(LookupError):
        await lab.holding(broken, visits=1)


async def test_pages_that_do_not_come_back_cost_a_load_a_visit() -> None:
    """An object of a class is answered, and never stored."""

    @dataclass
    class Page:
        name: str

    json = JSONSerializer()
    seen = await lab.ten_visits(
        {"an object": (json, Page("Ada")), "a dict": (json, {"name": "Ada"})}
    )
    assert repr(seen) == "an object: 10\na dict: 1"
    assert "<td>an object</td><td>10</td>" in seen._repr_html_()
