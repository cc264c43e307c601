"""What a cache decorator promises of forgetting: a call, a method's call, and who counts them."""

import asyncio
from typing import Any

from cachepool_lib.lab.contracts.decorator.bench import DecoratorBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[DecoratorBench] = Checks()
promise = PROMISES.add


@promise("D6", "A call can be forgotten")
async def calls_can_be_forgotten(bench: DecoratorBench) -> str:
    row, reading, go = ["old"], asyncio.Event(), asyncio.Event()
    go.set()

    async def page(user_id: int, orders: int = 20) -> str:
        text = row[0]
        reading.set()
        await go.wait()
        return text

    cached: Any = bench.decorate(page)
    await cached(1)
    await cached(2)
    row[0] = "new"
    await bench.forget(cached, user_id=1)
    if (value := await cached(1)) != "new":
        raise Unmet(
            expected="'new', after the row was changed",
            got=f"{value!r}, for 300 s",
            hint="invalidate(*args) makes the key of that call, and deletes it.",
        )
    if await cached(2) != "old":
        raise Unmet(expected="page(2) stays: it was not asked to go", got="page(2) went too")

    row[0] = "old"
    go.clear()
    reading.clear()
    under_way = asyncio.create_task(cached(3))
    await reading.wait()
    row[0] = "new"
    await bench.forget(cached, 3)
    go.set()
    await under_way
    if await cached(3) != "new":
        raise Unmet(
            expected="'new': the row was changed while its page was loading",
            got="the load under way put the old page back",
            hint="Delete the key even if there is nothing yet: that voids a load under way.",
        )
    return "'new'"


def _user_with(bench: DecoratorBench) -> Any:
    """A class whose method is decorated, and whose page can change."""

    class User:
        text = "old"

    async def page(self: Any) -> str:
        return str(self.text)

    User.page = bench.decorate(page)  # type: ignore[attr-defined]
    return User


@promise("D6-info", "Hits are counted")
async def hits_are_counted(bench: DecoratorBench) -> str:
    async def page(user_id: int) -> str:
        return "page"

    cached: Any = bench.decorate(page)
    for _ in range(4):
        await cached(1)
    if not hasattr(cached, "cache_info"):
        raise Unmet(
            expected="3 hits of 4",
            got="nobody counts",
            hint="The cache counts: hand out its stats() as cache_info().",
        )
    stats = cached.cache_info()
    if (seen := f"{stats.hits} hits of {stats.hits + stats.misses}") != "3 hits of 4":
        raise Unmet(expected="3 hits of 4", got=seen)
    return seen


@promise("D6-class", "A method's call can be forgotten by way of its class")
async def calls_of_a_class_can_be_forgotten(bench: DecoratorBench) -> str:
    user_class = _user_with(bench)
    return await _forgotten(user_class, "User.page.invalidate(user)")


@promise("D6-method", "A method's call can be forgotten by way of its instance")
async def calls_of_a_method_can_be_forgotten(bench: DecoratorBench) -> str:
    user_class = _user_with(bench)
    return await _forgotten(user_class, "user.page.invalidate()")


async def _forgotten(user_class: Any, way: str) -> str:
    user, neighbour = user_class(), user_class()
    await user.page()
    await neighbour.page()
    user.text = neighbour.text = "new"
    try:
        if way.startswith("user"):
            await user.page.invalidate()
        else:
            await user_class.page.invalidate(user)
    except AttributeError:
        pass  # it can't forget: the page will say so
    except Exception as error:
        raise Unmet(
            expected=f"the page of one user forgotten, by {way}",
            got=f"it raises {type(error).__name__}",
            hint="The attribute is the function's. What Python calls when it looks a method up on "
            "an instance is __get__.",
        ) from None
    if (page := await user.page()) != "new":
        raise Unmet(
            expected=f"'new', after {way}",
            got=f"{page!r}, for 300 s",
            hint="invalidate(*args) makes the key of that call, and deletes it.",
        )
    if await neighbour.page() != "old":
        raise Unmet(expected="the other user's page stays", got="the other user's page went too")
    return "'new'"


@promise("D6-classmethod", "A classmethod's call can be forgotten without naming the class")
async def calls_of_a_classmethod_can_be_forgotten(bench: DecoratorBench) -> str:
    row = ["old"]
    decorate: Any = bench.decorate

    class User:  # as it is written: from Python 3.13 on a classmethod hides its class otherwise
        @classmethod
        @decorate  # type: ignore[untyped-decorator]
        async def page(cls) -> str:
            return row[0]

    user_class: Any = User
    await user_class.page()
    row[0] = "new"
    try:
        await user_class.page.invalidate()
    except AttributeError:
        pass  # it can't forget: the page will say so
    except TypeError:
        raise Unmet(
            expected="the class's page forgotten, by User.page.invalidate()",
            got="it raises TypeError",
            hint="The attribute is the function's: find the class that has it for a classmethod.",
        ) from None
    if (value := await user_class.page()) != "new":
        raise Unmet(
            expected="'new', after User.page.invalidate()",
            got=f"{value!r}, for 300 s",
            hint="invalidate(*args) makes the key of that call, and deletes it.",
        )
    return "'new'"


@promise("D6-refresh", "A call can be loaded anew while others are served")
async def calls_can_be_refreshed(bench: DecoratorBench) -> str:
    row, go = ["old"], asyncio.Event()
    go.set()

    async def page(user_id: int) -> str:
        text = row[0]
        await go.wait()
        return text

    cached: Any = bench.decorate(page)
    await cached(1)
    row[0] = "new"
    go.clear()
    if not hasattr(cached, "refresh"):
        raise Unmet(
            expected="'old' for readers until 'new' is there",
            got="'old', for 300 s",
            hint="The cache's refresh(key, load) loads a key now, whatever is there.",
        )
    refresh = asyncio.create_task(cached.refresh(1))
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            meanwhile = await cached(1)
    except TimeoutError:
        meanwhile = "nothing"
    go.set()
    got = meanwhile, await refresh, await cached(1)
    if got != ("old", "new", "new"):
        raise Unmet(expected="'old' meanwhile, then 'new'", got=f"{got[0]!r}, then {got[2]!r}")
    return "'old' meanwhile, then 'new'"
