"""Calls: how the calls of one function are answered by a cache, and loaded."""

import copy
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
from functools import cached_property, partial
from types import MethodType
from typing import Any

from cachepool_lib.decorator.call_key import CallKey
from cachepool_lib.decorator.shared_name import shared_name, unknown_instance
from cachepool_lib.decorator.wait_graph import Run, inside
from cachepool_lib.decorator.wrapper import Start, wrap
from cachepool_lib.protocol import Cache


class Calls:
    """The calls of *function* in *cache*: how they are told apart, answered and loaded.

    *key* and *name* are as `async_cache` takes them; *options* are for `get_or_load`.
    """

    is_method = False

    def __init__(
        self,
        function: Callable[..., Awaitable[Any]],
        cache: Any,
        key: Callable[..., Hashable] | None,
        name: str | None,
        options: dict[str, Any],
    ) -> None:
        self.function = function
        self.cache: Cache = cache
        self.refresh = partial(cache.refresh, **options)
        self._get_or_load = partial(cache.get_or_load, **options)
        early = "early_refresh" in options  # a hit may be due to be loaded anew: see get_or_load
        self._lookup = None if early else _lookup(cache)
        self._custom = key
        innermost, bound = _innermost(function)
        title = getattr(function, "__qualname__", None) or type(function).__name__
        in_store = None
        if cache.shared:
            classes = [thing for thing in bound if isinstance(thing, type)]
            if key is None and len(classes) < len(bound):
                raise unknown_instance(title)
            in_store = shared_name(cache, name, function, classes)
        # A key= takes what it likes. What `functools.wraps` says of parameters is believed of our
        # own alone: another decorator may take other ones.
        parameters = partial(innermost, *bound) if key is None else lambda *args, **kwargs: None
        signature = inspect.signature(parameters, follow_wrapped=False)
        self.key = CallKey(title, in_store, signature)
        self._wrap()

    def _wrap(self) -> None:
        self.call, self.bind = wrap(
            self.key, self.function, self._custom, self._lookup, self.load, method=self.is_method
        )
        # So a CachedFunction, which is a partial of it, finds these calls. (A bound method is made
        # in C, too, and could not be given anything else.)
        self.call.calls = self  # type: ignore[attr-defined]

    def of_instances(self, function: Callable[..., Awaitable[Any]]) -> "Calls":
        """The same for calls of *function* whose first argument is the instance of a method."""
        if self.is_method or self._custom is not None:  # which is given the instance
            return self
        calls = copy.copy(self)
        calls.is_method, calls.function = True, function
        calls._wrap()
        return calls

    @cached_property
    def classmethod_of(self) -> type | None:
        """The class that has the CachedFunction of these calls for a classmethod."""
        parent, _, name = self.call.__qualname__.rpartition(".")
        for kind in subclasses(object) if parent and not parent.endswith("<locals>") else ():
            method = vars(kind).get(name)
            cached = method.__func__ if isinstance(method, classmethod) else None
            if getattr(cached, "func", None) is self.call:
                return kind
        return None

    def load(self, key: Hashable, start: Start, ask: Any = None) -> Coroutine[Any, Any, Any]:
        """Have the function run, or wait for a run of it."""
        node = id(self.cache), key

        async def loader() -> Any:
            run = Run(node, self.key.title)
            try:
                return await start()
            finally:
                run.end()

        answer: Coroutine[Any, Any, Any] = (ask or self._get_or_load)(key, loader)
        outer = inside.get()
        return answer if outer is None or outer.is_over else outer.wait(node, answer)


def _innermost(function: Any) -> tuple[Any, tuple[Any, ...]]:
    """The function inside cached functions and methods, and what these are bound to."""
    bound: tuple[Any, ...] = ()
    while True:
        call = getattr(function, "func", function)  # of a CachedFunction
        if isinstance(function, MethodType):
            function, bound = function.__func__, (function.__self__, *bound)
        elif isinstance(calls := getattr(call, "calls", None), Calls):
            function = calls.function
        else:
            return function, bound


def _lookup(cache: Any) -> Any:
    """The method `lookup` of *cache*, if whoever wrote its `get_or_load` knew of it."""
    for kind in type(cache).__mro__:
        if "lookup" in vars(kind):
            return cache.lookup
        if "get_or_load" in vars(kind):  # it counts, say, and wants to be asked each time
            break
    return None


def subclasses(kind: type) -> Iterator[type]:
    """All of them, with theirs."""
    each: type
    for each in type.__subclasses__(kind):
        yield each
        yield from subclasses(each)
