"""Six promises of the service. They take a few seconds, and would fail for most mistakes."""

import asyncio

import pytest
from httpx import AsyncClient
from shop_service import app

from cachepool_lib import lab

pytestmark = pytest.mark.anyio


async def test_the_second_visit_is_a_hit(client: AsyncClient) -> None:
    """And gets the same page."""
    first, second = await client.get("/users/7"), await client.get("/users/7")
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.json() == second.json()
    assert first.json()["name"] == "Hugo Kaya"
    assert (await client.get("/users/10000")).status_code == 404


async def test_fifty_visitors_cause_one_load(client: AsyncClient) -> None:
    """However many come before the page is there."""
    answers = await asyncio.gather(*(client.get("/users/8") for _ in range(50)))
    outcomes = [answer.headers["x-cache"] for answer in answers]
    assert outcomes.count("miss") == 1
    assert outcomes.count("shared") == 49


async def test_who_changes_something_sees_it(client: AsyncClient) -> None:
    """On the page and in the lists of both cities, though all of them were cached."""
    old, new = "Oslo", "Quito"
    for city in (old, new):
        assert (await client.put("/users/9/city", json={"city": city})).status_code == 204
        page, *lists = [
            await client.get(f"/{p}") for p in ("users/9", "cities/Oslo", "cities/Quito")
        ]
        assert page.json()["city"] == city
        assert [len(one.json()) for one in lists] == [city == old, city == new]
    assert (await client.put("/users/10000/city", json={"city": new})).status_code == 404


async def test_without_redis_there_are_pages(client: AsyncClient, redis: lab.Proxy) -> None:
    """They cost a query, and the service stays ready."""
    await client.get("/users/7")
    await redis.cut()
    assert (await client.get("/users/7")).status_code == 200
    assert (await client.get("/ready")).status_code == 200


async def test_everything_can_be_cached(client: AsyncClient) -> None:
    """What can't be stored is answered all the same, at the price of a query a visit; the cache
    counts it as an error."""
    for path in ("/users/7", "/users/10000", "/cities/Faro"):
        for _ in range(2):
            await client.get(path)
    assert app.state.cache.stats().errors == 0


async def test_nothing_stays_borrowed(client: AsyncClient) -> None:
    """Not by pages, not by changes, and not by visitors who leave."""
    visits = [asyncio.create_task(client.get(f"/users/{user_id}")) for user_id in range(20)]
    await client.put("/users/9/city", json={"city": "Quito"})
    for visit in visits[::2]:
        visit.cancel()
    await asyncio.wait(visits)
    stats = app.state.pool.stats()
    assert (stats.in_use, stats.waiting) == (0, 0)
