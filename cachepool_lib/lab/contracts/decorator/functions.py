"""What a cache decorator promises of functions: which it takes, what stays, who may go."""

import asyncio
import gc
import inspect
import weakref
from dataclasses import dataclass, field
from typing import Any, ParamSpec, get_overloads

from cachepool_lib.lab.contracts.decorator.bench import DecoratorBench
from cachepool_lib.lab.notebook.checks import Checks, Unmet

PROMISES: Checks[DecoratorBench] = Checks()
promise = PROMISES.add


@promise("D8", "What it can't cache it refuses at once")
async def others_are_refused(bench: DecoratorBench) -> str:
    def not_async() -> str:
        return "page"

    async def generator() -> Any:
        yield "page"

    for what, function in (("a sync function", not_async), ("an async generator", generator)):
        try:
            bench.decorate(function)
        except TypeError:
            continue
        raise Unmet(
            expected=f"a refusal when {what} is decorated",
            got=f"{what} is taken, and its calls fail",
            hint="Ask inspect.iscoroutinefunction(func) when decorating.",
        )
    return "refused at the @"


@promise("D9", "Names, parameters and types stay")
async def the_signature_stays(bench: DecoratorBench) -> str:
    async def page(user_id: int, orders: int = 20) -> str:
        """A user and their orders."""
        return "page"

    cached: Any = bench.decorate(page)
    for name in ("__name__", "__doc__", "__wrapped__"):
        wanted = page if name == "__wrapped__" else getattr(page, name)
        if (got := getattr(cached, name, None)) != wanted:
            raise Unmet(
                expected=f"the function's own {name}",
                got=f"{name} is {got!r}",
                hint="functools.wraps copies what says who a function is.",
            )
    if inspect.signature(cached) != inspect.signature(page):
        got = f"the parameters {inspect.signature(cached)}"
        raise Unmet(expected=f"the parameters {inspect.signature(page)}", got=got)
    decorates: Any = bench.candidate
    if isinstance(decorates, type):
        decorates = decorates.__call__
    returned = inspect.get_annotations(decorates).get("return")
    calls = get_overloads(returned.__call__) if isinstance(returned, type) else []  # an object
    kinds = [returned, *(inspect.get_annotations(call).get("return") for call in calls)]
    if not any(isinstance(p, ParamSpec) for k in kinds for p in getattr(k, "__parameters__", ())):
        raise Unmet(
            expected="annotations that say: the same parameters, the same result",
            got="no types: mypy lets any call pass",
            hint="A ParamSpec stands for the parameters: Callable[P, Awaitable[T]] goes in and "
            "comes out.",
        )
    return "all kept"


@promise("D13", "An instance can go, and nobody gets its pages")
async def instances_can_go(bench: DecoratorBench) -> str:
    loads = 0

    async def page(self: Any) -> Any:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return self.number

    class User:
        def __init__(self, number: int) -> None:
            self.number = number

    User.page = bench.decorate(page)  # type: ignore[attr-defined]
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    async def request(number: int) -> Any:
        alive.add(user := User(number))
        first, second = await user.page(), await user.page()  # type: ignore[attr-defined]
        return first if first == second else None

    try:
        pages = [await request(number) for number in range(100)]
    except TypeError:
        if bench.shared:
            return "refused"
        raise
    if pages != list(range(100)):
        raise Unmet(
            expected="each instance's own page",
            got="the page of its predecessor",
            hint="The next instance may get the address of the last one.",
        )
    if loads != 100:
        raise Unmet(expected="1 load for each of 100 instances", got=f"{loads} loads")
    gc.collect()
    if alive:
        raise Unmet(
            expected="0 of 100 still alive",
            got=f"{len(alive)} of 100 still alive",
            hint="A key is a reference. Hold the instance by a weak one, or not at all.",
        )
    return "0 of 100 still alive"


@promise("D13-equal", "Instances that are equal have pages of their own")
async def equal_instances_are_two(bench: DecoratorBench) -> str:
    @dataclass(frozen=True)
    class User:
        name: str
        city: str = field(compare=False)

    async def page(self: Any) -> str:
        return str(self.city)

    User.page = bench.decorate(page)  # type: ignore[attr-defined]
    users: list[Any] = [User("Ada", "Paris"), User("Ada", "Rome")]
    try:
        cities = [await user.page() for user in users]
    except TypeError:
        if bench.shared:
            return "refused"
        raise
    if cities != ["Paris", "Rome"]:
        raise Unmet(
            expected="Rome for the second Ada",
            got=f"{cities[1]} for the second Ada",
            hint="A weak reference equals another while what they refer to is equal. "
            "Take an object() for each instance, by its id(), until it is gone.",
        )
    return "Rome for the second Ada"
