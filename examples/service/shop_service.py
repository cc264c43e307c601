"""The page of a user over HTTP: FastAPI, a cache in two tiers, a pool to PostgreSQL. Copy it."""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Self

from asyncpg import PostgresConnectionError
from fastapi import Body, Depends, FastAPI, Path, Request, Response

from cachepool_lib import AsyncCache, DatabasePool, RedisCache, TieredCache, errors

TTL = 60  # seconds that a page is good for
STALE = {"stale_while_revalidate": 600, "stale_if_error": 600}  # more, if no new one is there yet
# Who can't be answered in time is told so at once, and others have room (seconds).
LIMITS: dict[str, Any] = {"max_waiting": 20, "acquire_timeout": 1, "command_timeout": 2}


@dataclass(frozen=True)
class Settings:
    database_url: str = field(repr=False)  # there is a password in it
    redis_url: str = field(repr=False)
    cache_namespace: str = "shop"
    pool_size: int = 5  # × workers × 2: during a deploy two generations run

    @classmethod
    def from_environ(cls) -> Self:
        env = {name.lower(): text for name, text in os.environ.items()}  # POOL_SIZE=3
        return cls(**{f.name: f.type(env[f.name]) for f in fields(cls) if f.name in env})


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings.from_environ()
    # Here, not at import: pool and cache belong to the event loop of this process.
    shared = RedisCache(settings.redis_url, TTL, namespace=settings.cache_namespace)
    cache = TieredCache(AsyncCache(), shared)  # its old pages lie in this process
    # All connections at once: a worker that can't have its share fails now, and not at noon.
    pool = DatabasePool(settings.database_url, settings.pool_size, settings.pool_size, **LIMITS)
    async with AsyncExitStack() as stack:  # closes in reverse, also if the second can't be opened
        app.state.cache = await stack.enter_async_context(cache)  # Redis need not be there
        app.state.pool = await stack.enter_async_context(pool)
        app.state.ready = True
        yield
        app.state.ready = False


app = FastAPI(lifespan=lifespan)
app.state.ready = False


async def get_pool(request: Request) -> DatabasePool:  # a plain def would go through a thread
    return request.app.state.pool


async def get_cache(request: Request) -> TieredCache:
    return request.app.state.cache


# The pool, and no connection: visits that find their page in the cache need none.
Pool = Annotated[DatabasePool, Depends(get_pool)]
Cache = Annotated[TieredCache, Depends(get_cache)]
UserId = Annotated[int, Path(ge=0, lt=2**31)]  # what fits into the column
City = Annotated[str, Body(embed=True)]


async def load_page(pool: DatabasePool, user_id: int) -> str | None:
    """The page as it is sent: an object would not come back from the cache as what it was."""
    async with pool.acquire() as connection:  # one for both: who borrows twice may wait for itself
        user = await connection.fetchrow("SELECT name, city FROM users WHERE id = $1", user_id)
        if user is None:
            return None
        query = """SELECT name AS product, day::text, quantity, cents FROM orders
            JOIN products ON products.id = product_id WHERE user_id = $1 ORDER BY orders.id DESC"""
        orders = await connection.fetch(query, user_id)
    return json.dumps({**user, "orders": [dict(order) for order in orders]})


async def page(cache: TieredCache, pool: DatabasePool, user_id: int) -> tuple[str | None, str]:
    """The page, and where it came from: miss is a query for this visit, shared for another one."""
    began, mine = time.time(), []

    async def load() -> dict[str, Any]:
        mine.append(True)
        return {"page": await load_page(pool, user_id), "at": time.time()}

    found = await cache.get_or_load(("user", user_id), load, TTL, **STALE)
    if found["at"] >= began:
        return found["page"], "miss" if mine else "shared"
    return found["page"], "hit" if began < found["at"] + TTL else "stale"


async def move(pool: DatabasePool, cache: TieredCache, user_id: int, city: str) -> bool:
    """Change where a user lives. False if there is no such user."""
    async with pool.transaction() as connection:
        query = "UPDATE users SET city = $2 WHERE id = $1 RETURNING id"
        if await connection.fetchval(query, user_id, city) is None:
            return False
    # After the commit: before it, a visit would load the old page, and keep it. And deleted, not
    # set: of two changes at once, the last to set need not be the last to commit.
    await cache.delete(("user", user_id))
    await cache.delete("version")  # of all lists: which of them have this user, nobody knows
    return True


@app.get("/users/{user_id}")
async def get_user(user_id: UserId, cache: Cache, pool: Pool) -> Response:
    text, outcome = await page(cache, pool, user_id)
    return Response(text or "null", 200 if text else 404, {"X-Cache": outcome}, "application/json")


@app.get("/cities/{city}")
async def get_city(city: str, cache: Cache, pool: Pool) -> list[str]:
    async def new_version() -> int:
        return time.time_ns()

    async def load() -> list[str]:
        query = "SELECT name FROM users WHERE city = $1 ORDER BY id LIMIT 20"
        return [row["name"] for row in await pool.fetch(query, city)]

    version = await cache.get_or_load("version", new_version, 24 * 3600)
    return await cache.get_or_load(("city", version, city), load)


@app.put("/users/{user_id}/city")
async def put_city(user_id: UserId, city: City, cache: Cache, pool: Pool) -> Response:
    return Response(status_code=404 if await move(pool, cache, user_id, city) is False else 204)


@app.exception_handler(errors.PoolFull)
@app.exception_handler(errors.PoolTimeout)
@app.exception_handler(errors.QueryTimeout)
@app.exception_handler(errors.DatabaseUnavailable)
@app.exception_handler(PostgresConnectionError)  # any other is our mistake, and stays a 500
async def come_back(request: Request, error: Exception) -> Response:
    return Response("come back", 503, {"Retry-After": "1"})


@app.get("/health")
async def health() -> str:
    return "ok"  # asks nobody: a new process would find the same Redis and the same database


@app.get("/ready")
async def ready(request: Request) -> Response:
    # False before the start and while leaving. Not while Redis is gone: all workers would leave.
    return Response(status_code=200 if request.app.state.ready else 503)
