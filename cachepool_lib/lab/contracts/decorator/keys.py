"""What a cache decorator promises of keys: the same call is one entry, and no other is."""

import asyncio
import hashlib
from typing import Any
from unittest import mock

from cachepool_lib.lab.contracts.cache.bench import Source
from cachepool_lib.lab.contracts.decorator.bench import DecoratorBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[DecoratorBench] = Checks()
promise = PROMISES.add


@promise("D1", "Nobody gets a stranger's page")
async def no_strangers(bench: DecoratorBench) -> str:
    class User:
        def __init__(self, number: int) -> None:
            self.number = number

    async def page(user: User) -> int:
        await asyncio.sleep(0)
        return user.number

    cached = bench.decorate(page)

    async def request(number: int) -> Any:
        return await cached(User(number))  # nobody else holds this user

    try:
        pages = [await request(number) for number in range(200)]
    except TypeError:
        if bench.shared:
            return "refused"
        raise
    if pages != list(range(200)):
        raise Unmet(
            expected="each user's own page",
            got="a stranger's page",
            hint="The key holds an address, and addresses are used again. A key must be a value.",
        )
    return "200 own pages"


class Rows:
    """Can be part of a key, and prints as long arrays do: its ends, and dots between."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash(self.numbers)

    def __repr__(self) -> str:
        return f"Rows({self.numbers[0]} ... {self.numbers[-1]})"


@promise("D2", "What prints alike isn't alike")
async def printing_does_not_matter(bench: DecoratorBench) -> str:
    async def total(rows: Rows) -> int:
        return sum(rows.numbers)

    cached, answers = bench.decorate(total), []
    for rows in (Rows(1, 2, 9), Rows(1, 7, 9)):
        try:
            answers.append(await cached(rows))
        except TypeError:
            if bench.shared:
                return "refused"
            raise
    if answers != [12, 17]:
        raise Unmet(
            expected="12, and 17 for other rows",
            got=f"{answers[1]} for Rows(1, 7, 9)",
            hint="repr() is for people, and leaves things out. Put the argument itself in the key.",
        )
    return "17 for Rows(1, 7, 9)"


@promise("D3", "However a call is spelled, it is one entry")
async def spelling_does_not_matter(bench: DecoratorBench) -> str:
    source = Source(seconds=0)

    async def page(user_id: int, orders: int = 20) -> Any:
        return await source.load()

    cached = bench.decorate(page)
    await cached(1)
    await cached(user_id=1)
    await cached(1, 20)
    await cached(orders=20, user_id=1)
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 4 spellings",
            got=f"{source.loads} loads for 4 spellings",
            hint="inspect.signature(func).bind(…) says what Python makes of a call; "
            "apply_defaults() adds the rest.",
        )

    async def search(*words: Any, **filters: Any) -> Any:
        return await source.load()

    found = bench.decorate(search)
    await found(1, a=1, b=2)
    await found(1, b=2, a=1)
    if source.loads != 2:
        raise Unmet(
            expected="1 load for a=1, b=2 and for b=2, a=1",
            got="2 loads",
            hint="Sort what was given by name.",
        )
    await found(("b", 2))
    await found(b=2)
    if source.loads != 4:
        raise Unmet(
            expected="2 loads: f(('b', 2)) is not f(b=2)",
            got="f(b=2) got the answer to f(('b', 2))",
            hint="Keep what was given by place apart from what was given by name.",
        )
    return "1 load for 4 spellings"


@promise("D3-types", "Equal isn't the same: 1, True and 1.0")
async def types_matter(bench: DecoratorBench) -> str:
    async def page(thing: Any) -> str:
        return repr(thing)

    cached = bench.decorate(page)
    for thing in (1, True, 1.0, "1", (1,), (True,), frozenset([1]), frozenset([True])):
        if (answer := await cached(thing)) != repr(thing):
            raise Unmet(
                expected=f"a page of its own for {thing!r}",
                got=f"page({thing!r}) received page({answer})",
                hint="Put the type beside the value, inside tuples and frozensets too.",
            )
    return "8 pages for 8 things"


class Session:
    """Equal to no other, and no part of what is asked for."""


@promise("D3-key", "What makes no difference can be left out of the key")
async def a_key_of_ones_own(bench: DecoratorBench) -> str:
    source = Source(seconds=0)

    async def page(session: Session, user_id: int) -> Any:
        return await source.load()

    cached = bench.decorate(page, key=lambda session, user_id: user_id)
    sessions = [Session() for _ in range(3)]  # all alive: no address is used again
    try:
        for session, user_id in zip(sessions, (1, 1, 2), strict=True):
            await cached(session, user_id)
    except TypeError:
        if not bench.shared:
            raise
        source.loads = 3
    if source.loads != 2:
        raise Unmet(
            expected="2 loads for 2 users, whatever the session",
            got=f"{source.loads} loads for 2 users",
            hint="key=lambda session, user_id: user_id says what tells calls apart.",
        )
    return "2 loads for 2 users"


@promise("D3-default", "A default may be what can't be hashed")
async def defaults_may_be_lists(bench: DecoratorBench) -> str:
    source, usual = Source(seconds=0), ["all"]

    async def page(user_id: int, tags: list[str] = usual) -> Any:
        return await source.load()

    cached = bench.decorate(page)
    try:
        await cached(1)
        await cached(user_id=1)
    except TypeError:
        source.loads = 0
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 2 spellings, with a list for a default",
            got=f"{source.loads} loads for 2 spellings" if source.loads else "the list is refused",
            hint="What is left at its default needs no place in the key: a mark stands for it.",
        )
    return "1 load for 2 spellings"


@promise("D3-told", "The key of a call can be asked for")
async def keys_can_be_asked_for(bench: DecoratorBench) -> str:
    async def page(user_id: int, orders: int = 20) -> str:
        return "page"

    store = bench.store()
    cached: Any = bench.decorate(page, cache=store)
    await cached(1)
    if not hasattr(cached, "cache_key"):
        raise Unmet(
            expected="cache_key(user_id=1), under which the page is in the cache",
            got="nobody tells",
            hint="cache_key(*args) makes the key of that call, and returns it.",
        )
    value = await store.get(cached.cache_key(user_id=1))
    if value != "page":
        raise Unmet(expected="'page' under cache_key(user_id=1)", got=f"{value!r} there")
    return "'page' is there"


@promise("D11", "A hit costs a look-up, and no digest")
async def hits_are_cheap(bench: DecoratorBench) -> str:
    async def page(user_id: int) -> str:
        return "page"

    cached = bench.decorate(page)
    await cached(1)
    with mock.patch("hashlib.md5", wraps=hashlib.md5) as md5:
        for _ in range(10):
            await cached(1)
    if md5.call_count:
        raise Unmet(
            expected="no digest",
            got=f"{md5.call_count} digests for 10 hits",
            hint="A tuple is a key as it is. Some systems refuse md5 altogether.",
        )
    return "no digest"
