"""What a cache decorator promises of a store that others share: functions, and processes."""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import redis.asyncio

from cachepool_lib import AsyncCache, RedisCache
from cachepool_lib.lab.contracts.decorator.bench import DecoratorBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.workers import each
from cachepool_lib.lab.simulation.loop import clock

PROMISES: Checks[DecoratorBench] = Checks()
promise = PROMISES.add


async def keys_in_redis(candidate: Any, *, count: int = 2) -> int:
    """Make the same call in so many processes: how many keys does that leave in one Redis?

    The argument is a set of words. Each process has a hash seed of its own, and prints the words in
    an order of its own.
    """
    url, namespace = (await services()).redis_url, f"keys-{secrets.token_hex(8)}"
    job = partial(_one_call, candidate, url, namespace)
    await each(job, count, lambda *_: None)
    async with redis.asyncio.from_url(url) as client:
        names = [name async for name in client.scan_iter(f"{namespace}:*", 1000)]
        if names:
            await client.unlink(*names)
    return len(names)


def _one_call(candidate: Any, url: str, namespace: str) -> None:
    """In a process of its own: call a decorated function once."""

    async def page(tags: frozenset[str]) -> str:
        return f"{len(tags)} tags"

    async def run() -> None:
        async with RedisCache(url, namespace=namespace, timeout=5) as cache:
            await candidate(cache=cache)(_named(page, "shop.page"))(frozenset(TAGS))

    asyncio.run(run())


TAGS = [f"tag {number}" for number in range(20)]


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function, as if it stood in a module of its own."""
    function.__module__, _, function.__name__ = name.partition(".")
    function.__qualname__ = function.__name__
    return function


@promise("D10", "Two functions of one name have two entries")
async def names_do_not_collide(bench: DecoratorBench) -> str:
    async def of_the_shop(user_id: int) -> str:
        return "the shop's page"

    async def of_the_blog(user_id: int) -> str:
        return "the blog's page"

    store = bench.store()
    shop = bench.decorate(_named(of_the_shop, "shop.page"), cache=store, name=None)
    blog = bench.decorate(_named(of_the_blog, "blog.page"), cache=store, name=None)
    await shop(1)
    if (page := await blog(1)) != "the blog's page":
        raise Unmet(
            expected="the blog's page, in the blog",
            got=f"{page}, in the blog",
            hint="__name__ is short for people. The module and __qualname__ tell functions apart.",
        )
    return "each its own page"


@promise("D12", "The same call is the same key in every process")
async def processes_agree(bench: DecoratorBench) -> str:
    keys = await keys_in_redis(bench.candidate)
    if keys != 1:
        raise Unmet(
            expected="1 key for one call in 2 processes",
            got=f"{keys} keys for one call",
            hint="A set prints in the order of its hashes, which differ from process to process.",
        )
    return "1 key for one call"


class _Shared(AsyncCache):
    """As if other processes read it."""

    shared = True


@promise("D12-name", "What has no name in other processes is refused there")
async def strangers_names_are_refused(bench: DecoratorBench) -> str:
    async def page(user_id: int) -> str:  # its name is that of any page made in this function
        return "page"

    store = bench.store() if bench.shared else _Shared(clock=clock)
    try:
        bench.decorate(page, cache=store, name=None)
    except TypeError:
        return "refused at the @"
    raise Unmet(
        expected="a refusal when a function without a name of its own is decorated",
        got="a function made in another one is taken",
        hint="Look for '<locals>' in __qualname__, and for '__main__'; ask for name=.",
    )


@promise("D10-taken", "A name is of one function alone")
async def names_are_taken_once(bench: DecoratorBench) -> str:
    async def of_the_shop(user_id: int) -> str:
        return "the shop's page"

    async def of_the_blog(user_id: int) -> str:
        return "the blog's page"

    store = bench.store() if bench.shared else _Shared(clock=clock)
    shop = bench.decorate(of_the_shop, cache=store, name="page")
    try:
        bench.decorate(of_the_blog, cache=store, name="page")
    except ValueError:
        return "refused at the @"
    finally:
        del shop  # until then its name is taken
    raise Unmet(
        expected="a refusal when a second function takes the name of another",
        got="two functions of one name",
        hint="Note by store and name which function it is. What is loaded again is the same one.",
    )


@promise("D6-clear", "cache_clear() forgets one function, not its neighbours")
async def a_function_is_cleared_alone(bench: DecoratorBench) -> str:
    row = ["old"]

    async def of_the_shop(user_id: int) -> str:
        return f"{row[0]} page"

    async def of_the_blog(user_id: int) -> str:
        return f"{row[0]} post"

    store = bench.store()
    shop: Any = bench.decorate(_named(of_the_shop, "shop.page"), cache=store, name=None)
    blog: Any = bench.decorate(_named(of_the_blog, "blog.post"), cache=store, name=None)
    await shop(1)
    await blog(1)
    row[0] = "new"
    if hasattr(shop, "cache_clear"):
        await shop.cache_clear()
    if (value := await shop(1)) != "new page":
        raise Unmet(
            expected="'new page', after the shop's cache_clear()",
            got=f"{value!r}, for 300 s",
            hint="cache.clear(group) forgets the keys that begin with the group: the function.",
        )
    if await blog(1) != "old post":
        raise Unmet(
            expected="the blog's entries stay",
            got="the blog's entries went too",
            hint="cache.clear(group) forgets the keys that begin with the group: the function.",
        )
    return "the shop alone"
