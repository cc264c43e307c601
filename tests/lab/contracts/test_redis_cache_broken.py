"""No promise of a cache in Redis is kept by accident: each has two broken versions that fail it."""

import asyncio
import contextlib
import json
import os
import random
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from cachepool_lib import CacheClosed, RedisCache, lab
from cachepool_lib.errors import CacheUnavailable
from cachepool_lib.lab.contracts.redis_cache.contract import PROMISES

pytestmark = pytest.mark.anyio
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # some checks use other processes


class PlainJSON:
    def encode(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def decode(self, data: bytes) -> Any:
        return json.loads(data)


class OnlyText(PlainJSON):
    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise TypeError("text only")
        return super().encode(value)


class Guesses(PlainJSON):
    """Says None for what it can't read."""

    def decode(self, data: bytes) -> Any:
        try:
            return super().decode(data)
        except ValueError:
            return None


def made_with(**wrong: Any) -> Any:
    """RedisCache with some options fixed, whatever is asked for."""

    class Fixed(RedisCache):
        def __init__(self, redis_url: str, **options: Any) -> None:
            super().__init__(redis_url, **{**options, **wrong})

    return Fixed


class Lists(RedisCache):
    async def get_or_load(self, *args: Any, **options: Any) -> Any:
        value = await super().get_or_load(*args, **options)
        return list(value) if isinstance(value, tuple) else value


class LoadsAlways(RedisCache):
    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        return await loader()


class NoneIsAMiss(RedisCache):
    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        value = await self.get(key)
        if value is None:
            value = await loader()
            await self.set(key, value)
        return value


class NoneIsNotStored(RedisCache):
    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        return await super().get_or_load(key, loader, lambda v: 0 if v is None else None)


class WholeSeconds(RedisCache):
    async def set(self, key: Any, value: Any, ttl: Any = None) -> bool:
        return await super().set(key, value, ttl and (int(ttl) if ttl == ttl else ttl))


class TakesNonsense(RedisCache):
    async def set(self, key: Any, value: Any, ttl: Any = None) -> bool:
        return await super().set(key, value, None if ttl is None else max(0, ttl))


class NeverDeletes(RedisCache):
    async def delete(self, key: Any) -> bool:
        return False


class AlwaysTrue(RedisCache):
    async def delete(self, key: Any) -> bool:
        await super().delete(key)
        return True


class ClearsNothing(RedisCache):
    async def clear(self, group: Any = None) -> bool:
        return True


class ClearsAll(RedisCache):
    made: list[Any] = []  # noqa: RUF012 (shared on purpose)

    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self.made.append(self)

    async def clear(self, group: Any = None) -> bool:
        for cache in self.made:
            with contextlib.suppress(CacheClosed):
                await RedisCache.clear(cache)
        return True

    async def close(self) -> None:
        self.made.remove(self)
        await super().close()


class NeverComesBack(RedisCache):
    gone = False

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        before = self.stats().errors
        value = await (loader() if self.gone else super().get_or_load(key, loader))
        self.gone |= self.stats().errors > before
        return value


class RefusesWhatItCantRead(RedisCache):
    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        there, missing = await self.exists(key), object()
        if there and await self.get(key, missing) is missing:
            raise ValueError("this can't be read")
        return await super().get_or_load(key, loader)


class OneByOne(RedisCache):
    async def get_many(self, keys: Any) -> dict[Any, Any]:
        return {key: await self.get(key) for key in keys}


class EachOnItsOwnConnection(RedisCache):
    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self._alike = partial(RedisCache, redis_url, **options)

    async def get_many(self, keys: Any) -> dict[Any, Any]:
        found = {}
        for key in keys:
            async with self._alike() as one:
                found |= await one.get_many([key])
        return found


class HalfOfThem(RedisCache):
    async def get_many(self, keys: Any) -> dict[Any, Any]:
        return await super().get_many(list(keys)[::2])


class OpensAgain(RedisCache):
    async def get(self, key: Any, default: Any = None) -> Any:
        try:
            return await super().get(key, default)
        except CacheClosed:
            await self.connect()
            return await super().get(key, default)


class ClosedIsAMiss(RedisCache):
    async def get(self, key: Any, default: Any = None) -> Any:
        with contextlib.suppress(CacheClosed):
            return await super().get(key, default)
        return default


class EachProcessForItself(RedisCache):
    def __init__(self, redis_url: str, *, namespace: str = "a", **options: Any) -> None:
        super().__init__(redis_url, namespace=f"{namespace}-{os.getpid()}", **options)


class GivesUp(RedisCache):
    seconds = 0.3

    async def get_or_load(self, *args: Any, **options: Any) -> Any:
        async with asyncio.timeout(self.seconds):
            return await super().get_or_load(*args, **options)


class GivesNothing(GivesUp):
    async def get_or_load(self, *args: Any, **options: Any) -> Any:
        with contextlib.suppress(TimeoutError):
            return await super().get_or_load(*args, **options)


class RefusesACrowd(RedisCache):
    inside = 0

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        if self.inside >= 100:
            return await self.too_many(loader)
        self.inside += 1
        try:
            return await super().get_or_load(key, loader)
        finally:
            self.inside -= 1

    async def too_many(self, loader: Any) -> Any:
        raise ConnectionError("too many")


class LoadsForACrowd(RefusesACrowd):
    async def too_many(self, loader: Any) -> Any:
        return await loader()


class OneLoop(RedisCache):
    loop: Any = None

    async def get(self, key: Any, default: Any = None) -> Any:
        self.loop = self.loop or id(asyncio.get_running_loop())
        if self.loop != id(asyncio.get_running_loop()):
            return self.other_loop()
        return await super().get(key, default)

    async def set(self, key: Any, value: Any, ttl: Any = None) -> bool:
        await self.get(key)
        return await super().set(key, value, ttl)

    def other_loop(self) -> Any:
        raise RuntimeError("Event loop is closed")


class NothingOnOtherLoops(OneLoop):
    def other_loop(self) -> Any:
        return None


class KeepsTheAddress(RedisCache):
    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self.redis_url = redis_url


class ShowsTheAddress(RedisCache):
    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self.show = lambda: redis_url

    def __repr__(self) -> str:
        return f"<{self.show()}>"


class CountsNoHits(RedisCache):
    def stats(self) -> Any:
        return SimpleNamespace(hits=0, misses=4, hit_rate=0.0)


class WrongRate(RedisCache):
    def stats(self) -> Any:
        stats = super().stats()
        return SimpleNamespace(hits=stats.hits, misses=stats.misses, hit_rate=stats.hits)


class StoresAnyway(RedisCache):
    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        value = await super().get_or_load(key, loader)
        await self.set(key, value)
        return value


class ForgetsItsDeletes(RedisCache):
    async def delete(self, key: Any) -> bool:
        try:
            await self.connect()
        except CacheUnavailable:
            return False
        return await super().delete(key)


class ForgetsTheOthers(ForgetsItsDeletes):
    """A delete that was lost counts here, and nowhere else."""

    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self.lost: set[Any] = set()

    async def delete(self, key: Any) -> bool:
        self.lost.add(key)
        return await super().delete(key)

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        return await (loader() if key in self.lost else super().get_or_load(key, loader))


class SwitchesOff(RedisCache):
    off = False

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        before = self.stats().errors
        value = await (loader() if self.off else super().get_or_load(key, loader))
        self.off |= self.stats().errors > before
        return value


class WaitsNoLonger(GivesUp):
    seconds = 2.0

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        try:
            return await super().get_or_load(key, loader)
        except TimeoutError:
            return await loader()


class AllForOne(RedisCache):
    """Visitors share a task, and nothing shields it."""

    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self.tasks: dict[Any, Any] = {}

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        if key not in self.tasks:
            self.tasks[key] = asyncio.ensure_future(super().get_or_load(key, loader))
        return await self.tasks[key]


class KeepsErrors(RedisCache):
    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self.errors: dict[Any, Exception] = {}

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        if key in self.errors:
            raise self.errors[key]
        try:
            return await super().get_or_load(key, loader)
        except ConnectionError as error:
            self.errors[key] = error
            raise


class NoOldPages(RedisCache):
    async def get_or_load(
        self,
        key: Any,
        loader: Any,
        ttl: Any = None,
        *,
        stale_if_error: Any = 0,
        stale_while_revalidate: Any = 0,
        retry_after: Any = 1,
    ) -> Any:
        return await super().get_or_load(key, loader, ttl)


class OldForEver(RedisCache):
    async def get_or_load(
        self,
        key: Any,
        loader: Any,
        ttl: Any = None,
        *,
        stale_if_error: Any = 0,
        stale_while_revalidate: Any = 0,
        retry_after: Any = 1,
    ) -> Any:
        return await super().get_or_load(key, loader, ttl, stale_if_error=100_000)


class OldAgainAndAgain(RedisCache):
    def __init__(self, redis_url: str, **options: Any) -> None:
        super().__init__(redis_url, **options)
        self.seen: dict[Any, Any] = {}

    async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
        if key not in self.seen:
            self.seen[key] = await super().get_or_load(key, loader)
        return self.seen[key]


class LivesLonger(RedisCache):
    async def set(self, key: Any, value: Any, ttl: Any = None) -> bool:
        return await super().set(key, value, 300 * (1 + 0.2 * random.random()))


BROKEN: dict[str, tuple[Any, Any]] = {
    "R2": (Lists, made_with(serializer=PlainJSON())),
    "R2-hit": (LoadsAlways, made_with(serializer=OnlyText())),
    "R3": (NoneIsAMiss, NoneIsNotStored),
    "R4": (WholeSeconds, TakesNonsense),
    "R5": (NeverDeletes, AlwaysTrue),
    "R6": (made_with(namespace="everybody"), ClearsAll),
    "R7": (made_with(fail_open=False), NeverComesBack),
    "R8": (made_with(timeout=5), made_with(timeout=3)),
    "R9": (made_with(serializer=Guesses()), RefusesWhatItCantRead),
    "R10": (OneByOne, EachOnItsOwnConnection, HalfOfThem),
    "R11": (OpensAgain, ClosedIsAMiss),
    "R12": (LoadsAlways, EachProcessForItself),
    "R12-kill": (GivesUp, GivesNothing),
    "R13": (RefusesACrowd, LoadsForACrowd),
    "R14": (OneLoop, NothingOnOtherLoops),
    "R15": (KeepsTheAddress, ShowsTheAddress),
    "R16": (CountsNoHits, WrongRate),
    "R17": (StoresAnyway, ClearsNothing),
    "R18": (ForgetsItsDeletes, ForgetsTheOthers),
    "R19": (RefusesWhatItCantRead, SwitchesOff),
    "R20": (LoadsAlways, WaitsNoLonger),
    "R21": (AllForOne, KeepsErrors),
    "R22": (NoOldPages, OldForEver),
    "R23": (made_with(jitter=0.0), LivesLonger),
    "R24": (NoOldPages, OldAgainAndAgain),
}


def test_every_promise_has_two_broken_versions() -> None:
    assert list(BROKEN) == list(PROMISES)


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_version_fails_the_promise(name: str) -> None:
    """And says what was expected: none fails by a mistake of the check itself."""
    report = await lab.check(name, *BROKEN[name])
    for result in report.rows[0]:
        assert result.status == "failed", result
        assert result.expected, result


@pytest.mark.parametrize("broken", [made_with(default_ttl=300), ClearsNothing])
async def test_a_ttl_that_is_not_heard_and_a_clear_that_clears_nothing_are_noticed(
    broken: Any,
) -> None:
    """R5 asks for three things."""
    [result] = (await lab.check("R5", broken)).failed
    assert result.expected


async def test_a_page_that_was_not_stored_is_no_delete_that_counts() -> None:
    """R18 waits until there is: on a busy machine a class takes Redis for silent at first."""
    lost = iter(range(3))

    class StoresLate(ForgetsItsDeletes):
        async def get_or_load(self, key: Any, loader: Any, *args: Any, **options: Any) -> Any:
            if next(lost, None) is not None:
                return await loader()
            return await super().get_or_load(key, loader)

    [result] = (await lab.check("R18", StoresLate)).failed
    assert result.expected
