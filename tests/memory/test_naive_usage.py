"""The usage from the tutorial, as people have it in their code, runs unchanged against ours.

A module-level cache, get, a look at what came, the database, set with a ttl. Only that `if data:`
takes an empty answer for none is the caller's own, and stays so.
"""

import asyncio
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from tests.tools.async_cache_tools import ManualClock

pytestmark = pytest.mark.anyio

cache = AsyncCache(default_ttl=600)
users: dict[str, Any] = {"7": {"name": "Ada"}, "8": {}}
queries: list[str] = []


async def fetch_user_from_db(user_id: str) -> Any:
    queries.append(user_id)
    await asyncio.sleep(0)
    return users[user_id]


async def get_user_data(user_id: str) -> Any:
    cached_data = await cache.get(f"user:{user_id}")
    if cached_data:
        return cached_data
    user_data = await fetch_user_from_db(user_id)
    await cache.set(f"user:{user_id}", user_data, ttl=300)
    return user_data


@pytest.fixture(autouse=True)
async def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    queries.clear()
    await cache.clear()


async def test_the_second_visit_asks_nobody() -> None:
    """One query, and the same answer twice."""
    assert await get_user_data("7") == await get_user_data("7") == {"name": "Ada"}
    assert queries == ["7"]


async def test_the_answer_is_gone_after_300_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ttl of the call counts, not the 600 seconds of the cache."""
    clock = ManualClock()
    monkeypatch.setattr(cache, "_clock", clock)
    await get_user_data("7")
    clock.now += 299
    await get_user_data("7")
    assert queries == ["7"]
    clock.now += 1
    await get_user_data("7")
    assert queries == ["7", "7"]


async def test_an_update_is_seen_after_delete() -> None:
    """delete says that there was something, and the next visit fetches anew."""
    await get_user_data("7")
    assert await cache.delete("user:7") is True
    assert await cache.delete("user:7") is False
    await get_user_data("7")
    assert queries == ["7", "7"]


async def test_clear_forgets_everybody() -> None:
    """After clear every visit fetches anew."""
    await get_user_data("7")
    await cache.clear()
    await get_user_data("7")
    assert queries == ["7", "7"]


async def test_an_empty_answer_is_cached_but_not_taken() -> None:
    """Ours keeps it; the `if` of the caller asks again. With a default of its own it is a hit."""
    await get_user_data("8")
    await get_user_data("8")
    assert queries == ["8", "8"]
    missing = object()
    assert await cache.get("user:8", missing) == {}


async def test_every_spelling_of_the_tutorial() -> None:
    """Positional and by keyword, with and without a ttl."""
    plain = AsyncCache()
    assert await plain.get("k") is None
    assert await plain.set("k", "v") is None  # type: ignore[func-returns-value]
    assert await plain.set("k", "v", 60) is None  # type: ignore[func-returns-value]
    assert await plain.set(key="k", value="w", ttl=None) is None  # type: ignore[func-returns-value]
    assert await plain.get(key="k") == "w"
    assert await plain.delete(key="k") is True
    assert await plain.clear() is None  # type: ignore[func-returns-value]
    assert await AsyncCache(600).get("k") is None
