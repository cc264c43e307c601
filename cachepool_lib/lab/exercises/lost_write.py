"""Feedback on exercise 02-1, find the bug: a write that is lost while Redis is down."""

import secrets
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cachepool_lib import RedisCache
from cachepool_lib.lab.contracts.redis_cache.bench import quietly
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.lab.servers.services import services

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


class CarriesOn:
    """A cache that fails is a miss: as the notebook's class of that name, and as forgetful."""

    def __init__(self, url: str) -> None:
        self.served_old = False
        self._prefix = f"exercise-{secrets.token_hex(8)}"
        again = Retry(NoBackoff(), 1)  # with a new connection where the old one was cut
        self._client: Any = redis.asyncio.from_url(url, retry=again)
        self._overtaken: set[Any] = set()  # a write of theirs was lost

    async def get(self, key: Any, default: Any = None) -> Any:
        data = await self._ask(key, self._client.get)
        self.served_old |= data is not None and key in self._overtaken
        return default if data is None else data.decode()

    async def set(self, key: Any, value: str, ttl: int = 300) -> None:
        if await self._ask(key, self._client.setex, ttl, value) is None:
            self._overtaken.add(key)
        else:
            self._overtaken.discard(key)

    async def delete(self, key: Any) -> bool:
        gone = await self._ask(key, self._client.unlink)
        if gone is None:
            self._overtaken.add(key)
        return bool(gone)

    async def get_or_load(self, key: Any, load: Callable[[], Any]) -> Any:
        value = await self.get(key)
        if value is None:
            value = await load()
            await self.set(key, value)
        return value

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, key: Any, command: Callable[..., Any], *args: Any) -> Any:
        try:
            return await command(f"{self._prefix}:{key}", *args)
        except (RedisError, OSError):
            return None


class Remembers(CarriesOn):
    """A right one: what it could not delete it never serves again."""

    async def get(self, key: Any, default: Any = None) -> Any:
        return default if key in self._overtaken else await super().get(key, default)


class StoresNothing(CarriesOn):
    """A right one, if a slow one: it never has an old page, as it never has any."""

    async def set(self, key: Any, value: str, ttl: int = 300) -> None:
        pass


RIGHT: dict[str, Callable[[str], Any]] = {
    "A cache that remembers its deletes": Remembers,
    "A cache that stores nothing": StoresNothing,
    "RedisCache": lambda url: RedisCache(url, namespace=f"exercise-{secrets.token_hex(8)}"),
}


async def _visits(answer: Any, cache: Any, proxy: Proxy) -> AssertionError | None:
    """Carry out the learner's visits: the assertion that failed."""
    try:
        await answer(cache, proxy)
    except (NotImplementedError, Unmet):
        raise
    except AssertionError as error:
        return error
    except Exception as error:
        raise Unmet(
            expected="visits that end, or an `assert` that fails",
            got=f"{type(error).__name__}: {error}",
        ) from None
    finally:
        await proxy.restore()
        await cache.close()
    return None


@exercise("02-1", "Find the bug: an old page, after an outage")
async def breaks(answer: Any) -> str:
    url = (await services()).redis_url
    with quietly():
        async with Proxy(url) as proxy:
            faulty = CarriesOn(proxy.url)
            failed = await _visits(answer, faulty, proxy)
        if not faulty.served_old:
            raise Unmet(
                expected="a visitor of CarriesOn who gets a page that was deleted or replaced",
                got="Your assert failed, but nobody got an old page."
                if failed
                else "CarriesOn passes your visits.",
                hint="A row may change while Redis is down. Who hears of the delete?",
            )
        if failed is None:
            raise Unmet(
                expected="an `assert` that fails on the old page",
                got="CarriesOn served the old page, and your visits ended well.",
                hint="Say what a visitor may not see: assert value != 'old'.",
            )
        for kind, make in RIGHT.items():
            async with Proxy(url) as proxy:
                if await _visits(answer, make(proxy.url), proxy) is not None:
                    raise Unmet(
                        expected="visits that every cache passes which serves no old page",
                        got=f"{kind} serves no old page, and fails on your visits, too.",
                        hint="A miss is right. Assert only that nobody sees the old page.",
                    )
    return "CarriesOn serves an old page, three others don't"
