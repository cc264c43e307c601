"""Each promise of a cache is worth its tick: two versions of AsyncCache that break it fail it."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cachepool_lib import AsyncCache, lab
from cachepool_lib.lab.contracts.cache.contract import PROMISES

MISS: Any = object()


def broken(**methods: Any) -> type[AsyncCache]:
    """AsyncCache with these methods instead of its own."""
    return type("Broken", (AsyncCache,), methods)


def set_as(change: Callable[[Any], Any], only: Callable[[Any], bool] = lambda ttl: True) -> Any:
    """A cache whose `set` changes the ttl that it was given, where *only* says so."""

    async def set(self: Any, key: Any, value: Any, ttl: Any = None) -> None:
        await AsyncCache.set(self, key, value, change(ttl) if only(ttl) else ttl)

    return broken(set=set)


def made_with(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A cache whose constructor changes its options."""

    def init(
        self: Any,
        default_ttl: Any = 300,
        *,
        maxsize: Any = 1024,
        jitter: Any = 0.0,
        clock: Any = time.monotonic,
    ) -> None:
        options = {"default_ttl": default_ttl, "maxsize": maxsize, "jitter": jitter, "clock": clock}
        AsyncCache.__init__(self, **change(options))

    return broken(__init__=init)


def loading(function: Any, **methods: Any) -> Any:
    """A cache that loads by itself: `function(self, key, load)`, after a miss."""

    async def get_or_load(self: Any, key: Any, load: Any, ttl: Any = None, **options: Any) -> Any:
        value = await self.get(key, MISS)
        return await function(self, key, load) if value is MISS else value

    return broken(get_or_load=get_or_load, **methods)


def flights(self: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = self.__dict__.setdefault("flights", {})
    return found


# A1, A2


async def ignores_zero(self: Any, key: Any, value: Any, ttl: Any = None) -> None:
    if ttl != 0:
        await AsyncCache.set(self, key, value, ttl)


# A4, A5


def reloads(unless: Callable[[Any], bool]) -> Any:
    async def get_or_load(self: Any, key: Any, load: Any, *args: Any, **options: Any) -> Any:
        if not unless(await self.get(key)):
            await self.delete(key)
        return await AsyncCache.get_or_load(self, key, load, *args, **options)

    return broken(get_or_load=get_or_load)


def keeps_only(wanted: Callable[[Any], bool]) -> Any:
    async def get_or_load(self: Any, key: Any, load: Any, *args: Any, **options: Any) -> Any:
        value = await AsyncCache.get_or_load(self, key, load, *args, **options)
        if not wanted(value):
            await self.delete(key)
        return value

    return broken(get_or_load=get_or_load)


# A6, A7


def also_kept(keep: Callable[[Any, Any, Any], None]) -> Any:
    async def set(self: Any, key: Any, value: Any, ttl: Any = None) -> None:
        keep(self.__dict__.setdefault("kept", {}), key, value)
        await AsyncCache.set(self, key, value, ttl)

    return broken(set=set)


# A9


async def each_loads(self: Any, key: Any, load: Any) -> Any:
    value = await load()
    await self.set(key, value)
    return value


async def the_first_alone(self: Any, key: Any, load: Any) -> Any:
    """The others share a second load."""
    if key not in flights(self):
        flights(self)[key] = None
        return await each_loads(self, key, load)
    if flights(self)[key] is None:
        flights(self)[key] = asyncio.create_task(each_loads(self, key, load))
    return await asyncio.shield(flights(self)[key])


def started(self: Any, key: Any, load: Any) -> Any:
    """The task that loads *key*, which takes itself off the list."""

    async def run() -> Any:
        try:
            return await each_loads(self, key, load)
        finally:
            if flights(self).get(key) is asyncio.current_task():
                del flights(self)[key]

    if key not in flights(self):
        flights(self)[key] = asyncio.create_task(run())
    return flights(self)[key]


async def one_task(self: Any, key: Any, load: Any) -> Any:
    return await started(self, key, load)


async def shielded(self: Any, key: Any, load: Any) -> Any:
    return await asyncio.shield(started(self, key, load))


async def the_first_loads(self: Any, key: Any, load: Any) -> Any:
    """Nobody tells those who wait when the first one is cancelled."""
    if key in flights(self):
        return await asyncio.shield(flights(self)[key])
    end = flights(self)[key] = asyncio.get_running_loop().create_future()
    value = await each_loads(self, key, load)
    end.set_result(flights(self).pop(key) and value)
    return value


async def cancelled_then_forgotten(self: Any, key: Any, load: Any) -> Any:
    task = started(self, key, load)
    task.waiters = getattr(task, "waiters", 0) + 1
    try:
        return await asyncio.shield(task)
    finally:
        task.waiters -= 1
        if not task.waiters:
            task.cancel()


async def keeps_errors(self: Any, key: Any, load: Any) -> Any:
    if key not in flights(self):
        flights(self)[key] = asyncio.create_task(each_loads(self, key, load))
    return await flights(self)[key]


async def tells_the_first(self: Any, key: Any, load: Any) -> Any:
    joined = key in flights(self)
    try:
        return await started(self, key, load)
    except Exception:
        if joined:
            return None
        raise


# A10


def stores_unless(voids: str) -> Any:
    """Only one of delete, clear and set keeps a load under way from storing."""

    async def load_it(self: Any, key: Any, load: Any) -> Any:
        before = self.__dict__.get("version", 0)
        value = await load()
        if self.__dict__.get("version", 0) == before:
            await AsyncCache.set(self, key, value)
        return value

    async def void(self: Any, *args: Any) -> Any:
        self.version = self.__dict__.get("version", 0) + 1
        return await getattr(AsyncCache, voids)(self, *args)

    return loading(load_it, **{voids: void})


# A11


class Copies(AsyncCache):
    """Right, and slow: everybody gets a copy."""

    async def get_or_load(self, key: Any, load: Any, *args: Any, **options: Any) -> Any:
        async def loaded() -> Any:
            return copy.deepcopy(await load())

        return copy.deepcopy(await super().get_or_load(key, loaded, *args, **options))


class CopiesIn(AsyncCache):
    """What is loaded is the cache's own; what it hands out is everybody's."""

    async def get_or_load(self, key: Any, load: Any, *args: Any, **options: Any) -> Any:
        async def loaded() -> Any:
            return copy.deepcopy(await load())

        return await super().get_or_load(key, loaded, *args, **options)


# A12, A13, A14


def longer(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "default_ttl": options["default_ttl"] * (1 + options["jitter"])}


def deleting(says: Callable[[Any, bool], Any]) -> Any:
    async def delete(self: Any, key: Any) -> Any:
        return says(self.__dict__.get("seen", {}).get(key), await AsyncCache.delete(self, key))

    async def set(self: Any, key: Any, value: Any, ttl: Any = None) -> None:
        self.__dict__.setdefault("seen", {})[key] = True
        await AsyncCache.set(self, key, value, ttl)

    return broken(delete=delete, set=set)


def counting(**wrong: Any) -> Any:
    def stats(self: Any) -> Any:
        seen = AsyncCache.stats(self)
        names = ("hits", "misses", "hit_rate", "shared", "loads")
        told = {name: getattr(seen, name) for name in names}
        return SimpleNamespace(**(told | {k: change(told) for k, change in wrong.items()}))

    return broken(stats=stats)


# A15, A20


def with_options(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    async def get_or_load(self: Any, key: Any, load: Any, ttl: Any = None, **options: Any) -> Any:
        return await AsyncCache.get_or_load(self, key, load, ttl, **change(options))

    return broken(get_or_load=get_or_load)


async def never_fails(self: Any, key: Any, load: Any, ttl: Any = None, **options: Any) -> Any:
    try:
        return await AsyncCache.get_or_load(self, key, load, ttl, **options)
    except ConnectionError:
        return "Ada"


async def old_and_no_new(self: Any, key: Any, load: Any, ttl: Any = None, **options: Any) -> Any:
    last = self.__dict__.setdefault("last", {})
    if key not in last:
        last[key] = await AsyncCache.get_or_load(self, key, load, ttl, **options)
    return last[key]


def after_a_failure(answer: Callable[[Any, Any, Exception], Any]) -> Any:
    """A cache that, where a load failed, answers with `answer(old page, right answer, error)`."""

    async def get_or_load(self: Any, key: Any, load: Any, *, stale_if_error: float = 0) -> Any:
        last, failures = self.__dict__.setdefault("last", {}), []

        async def loaded() -> Any:
            try:
                return await load()
            except Exception as error:
                failures.append(error)
                raise

        right = await AsyncCache.get_or_load(self, key, loaded, stale_if_error=stale_if_error)
        old = last.setdefault(key, right)
        return answer(old, right, failures[0]) if failures else right

    return broken(get_or_load=get_or_load)


def an_old_page_or_none(old: Any, right: Any, error: Exception) -> Any:
    if right != old:
        raise error
    return old


# A16, A17, A18


async def no_timedelta(self: Any, key: Any, value: Any, ttl: Any = None) -> None:
    await AsyncCache.set(self, key, value, None if ttl is None else float(ttl))


async def no_function(self: Any, key: Any, load: Any, ttl: Any = None, **options: Any) -> Any:
    ttl = None if callable(ttl) else ttl
    return await AsyncCache.get_or_load(self, key, load, ttl, **options)


async def all_or_none(self: Any, keys: Any) -> Any:
    return {key: await self.get(key) for key in keys}


async def without_none(self: Any, keys: Any) -> Any:
    return {k: v for k, v in (await all_or_none(self, keys)).items() if v is not None}


def bounded_by(leaves: Callable[[list[Any]], Any]) -> Any:
    """A bound of its own: *leaves* picks the key that goes."""

    async def load_it(self: Any, key: Any, load: Any) -> Any:
        value = await each_loads(self, key, load)
        order = self.__dict__.setdefault("order", [])
        order.append(key)
        if len(order) > 100:
            gone = leaves(order)
            order.remove(gone)
            await self.delete(gone)
        return value

    return loading(load_it)


BROKEN: dict[str, tuple[Any, Any]] = {
    "A1": (set_as(lambda ttl: ttl or None), broken(set=ignores_zero)),
    "A2": (
        set_as(lambda ttl: None, lambda ttl: ttl is not None and ttl != ttl),
        set_as(lambda ttl: max(ttl, 0), lambda ttl: ttl is not None and ttl == ttl),
    ),
    "A3": (
        made_with(lambda options: {**options, "clock": lambda: time.time()}),
        made_with(lambda options: {**options, "clock": lambda: time.time() / 2 + lab.clock() / 2}),
    ),
    "A4": (reloads(lambda value: value is not None), keeps_only(lambda value: value is not None)),
    "A5": (reloads(bool), keeps_only(lambda value: value != 0)),
    "A6": (
        also_kept(lambda kept, key, value: kept.update({key: value})),
        also_kept(lambda kept, key, value: kept.update({len(kept) % 1_500: value})),
    ),
    "A7": (
        made_with(lambda options: {**options, "maxsize": None}),
        made_with(lambda options: {**options, "maxsize": 2 * options["maxsize"]}),
    ),
    "A8": (
        made_with(lambda options: {**options, "default_ttl": options["default_ttl"] + 0.001}),
        made_with(lambda options: {**options, "default_ttl": options["default_ttl"] / 2}),
    ),
    "A9": (loading(each_loads), loading(the_first_alone)),
    "A9-leave": (loading(one_task), loading(the_first_loads)),
    "A9-last": (loading(shielded), loading(cancelled_then_forgotten)),
    "A9-error": (loading(keeps_errors), loading(tells_the_first)),
    "A10": (loading(each_loads), stores_unless("delete")),
    "A11": (AsyncCache, CopiesIn),
    "A12": (
        made_with(lambda options: {**options, "jitter": 0.0}),
        made_with(longer),
    ),
    "A13": (deleting(lambda seen, was: bool(seen)), deleting(lambda seen, was: None)),
    "A14": (
        counting(hits=lambda told: told["hits"] + told["misses"]),
        counting(hit_rate=lambda told: 100 * told["hit_rate"]),
    ),
    "A15": (
        with_options(lambda options: {**options, "stale_if_error": 0}),
        broken(get_or_load=never_fails),
    ),
    "A15-set": (
        after_a_failure(lambda old, right, error: old),
        after_a_failure(an_old_page_or_none),
    ),
    "A16": (broken(set=no_timedelta), broken(get_or_load=no_function)),
    "A17": (broken(get_many=all_or_none), broken(get_many=without_none)),
    "A18": (bounded_by(lambda order: order[0]), bounded_by(lambda order: order[25])),
    "A19": (
        counting(misses=lambda told: told["misses"] + told["shared"]),
        counting(shared=lambda told: 0),
    ),
    "A20": (
        with_options(lambda options: {**options, "stale_while_revalidate": 0}),
        broken(get_or_load=old_and_no_new),
    ),
}
RIGHT = {"A11": Copies}  # AsyncCache keeps the others


def test_every_promise_is_broken_twice() -> None:
    assert BROKEN.keys() == PROMISES.keys()


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_promise_fails_it(name: str) -> None:
    """By what it does: no mistake of the broken class itself."""
    right, *wrong = asyncio.run(lab.check(name, RIGHT.get(name, AsyncCache), *BROKEN[name])).rows[0]
    assert right.passed, right
    for result in wrong:
        assert result.status == "failed"
        assert result.expected, result.got


def test_a_load_that_stops_for_the_newcomer_alone_is_noticed() -> None:
    """Asked with a newcomer alone, a plain shield would pass: its load runs on, for somebody."""
    [[result]] = asyncio.run(lab.check("A9-last", loading(shielded))).rows
    assert result.got == "the load runs on for nobody"


def test_timedelta_is_what_seconds_are() -> None:
    """The broken ones refuse what the library takes."""
    cache = AsyncCache()
    asyncio.run(cache.set("key", 1, timedelta(seconds=1)))
    with pytest.raises(TypeError):
        asyncio.run(BROKEN["A16"][0]().set("key", 1, timedelta(seconds=1)))
