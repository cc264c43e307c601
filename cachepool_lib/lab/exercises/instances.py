"""Feedback on exercise 03-2: find the users that a weak reference takes for one and the same."""

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any

from cachepool_lib import AsyncCache, async_cache
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

Method = Callable[..., Any]


def caching_by(stand_in: Callable[[Any], Any]) -> Callable[[Method], Method]:
    """A decorator of methods, in whose keys *stand_in(instance)* stands for the instance."""

    def decorate(method: Method) -> Method:
        cache = AsyncCache(maxsize=None, clock=clock)

        @functools.wraps(method)
        async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            key = stand_in(self), args, tuple(sorted(kwargs.items()))
            return await cache.get_or_load(key, functools.partial(method, self, *args, **kwargs))

        return wrapper

    return decorate


class Tokens:
    """A token for each instance, whatever it equals, until the instance is gone."""

    def __init__(self) -> None:
        self._tokens: dict[int, object] = {}

    def __call__(self, instance: Any) -> object:
        number = id(instance)
        if number not in self._tokens:
            weakref.finalize(instance, self._tokens.pop, number)
            self._tokens[number] = object()
        return self._tokens[number]


@exercise("03-2", "Visits that WeakSelf gets wrong, and a right decorator doesn't")
async def breaks(answer: Any) -> str:
    calls = 0

    def counted(decorator: Callable[[Method], Method]) -> Callable[[Method], Method]:
        """All are put above a method in the same way: what tells them apart is what they answer."""

        def cached(method: Method) -> Method:
            @functools.wraps(method)
            async def counts(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                return await method(*args, **kwargs)

            return decorator(counts)

        return cached

    async def visits(decorator: Callable[[Method], Method]) -> Exception | None:
        try:
            outcome = answer(counted(decorator))
            if not inspect.isawaitable(outcome):
                raise Unmet(
                    expected="an async function, whose visits are awaited",
                    got="breaks is not async.",
                    hint="Write `async def breaks(cached)`.",
                )
            await outcome
        except (Unmet, NotImplementedError):
            raise
        except Exception as error:
            return error
        return None

    wrong = await visits(caching_by(weakref.ref))
    if wrong is None:
        raise Unmet(
            expected="an assert that fails where WeakSelf decorates the method",
            got="Every assert holds with WeakSelf, too."
            if calls
            else "No page was asked for: nothing called a method below @cached.",
            hint="Two live users, one after the other. A dict takes them for one and the same: "
            "which two methods of their class does it ask?"
            if calls
            else "Make two users, and await user.get_user_page() of each.",
        )
    for decorator in (caching_by(Tokens()), async_cache(maxsize=None)):
        try:
            right = await visits(decorator)
        except NotImplementedError:
            raise Unmet(
                expected="visits that end well with a right decorator",
                got="They end with NotImplementedError, the last line of the stub.",
                hint="An assert fails with WeakSelf, as it should. Now take that line out.",
            ) from None
        if right is not None:
            told = f": {str(right).splitlines()[0]}" if str(right) else ""
            raise Unmet(
                expected="visits in which a right decorator gives each user their own page",
                got=f"They fail with a right decorator as well, by {type(right).__name__}{told}.",
                hint="Assert what must hold of the pages, with every decorator.",
            )
    return f"WeakSelf fails by {type(wrong).__name__}, two right decorators don't"
