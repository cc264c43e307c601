"""The service in this process, with a real Redis and a real PostgreSQL behind it."""

import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cachepool_lib import lab

sys.path.insert(0, str(Path(__file__).parents[1]))

import shop_service


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def redis(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[lab.Proxy]:
    """The way to Redis, to be cut. With your own servers: set the addresses, and no more."""
    services = await lab.services()
    await (await lab.shop(services)).close()  # its tables are there now
    async with lab.Proxy(services.redis_url) as proxy:
        monkeypatch.setenv("DATABASE_URL", services.database_url)
        monkeypatch.setenv("REDIS_URL", proxy.url)
        monkeypatch.setenv("CACHE_NAMESPACE", f"test-{secrets.token_hex(4)}")
        yield proxy


@pytest.fixture
async def client(redis: lab.Proxy) -> AsyncIterator[httpx.AsyncClient]:
    # httpx sends requests to the app and nothing else: start and end are ours to run.
    async with shop_service.lifespan(shop_service.app):
        transport = httpx.ASGITransport(shop_service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            yield client
