"""async_cache: the decorator and its arguments."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from cachepool_lib._validate import Seconds, number, seconds
from cachepool_lib.decorator.cached_function import CachedFunction
from cachepool_lib.decorator.calls import Calls
from cachepool_lib.loading import TTL
from cachepool_lib.memory.async_cache import AsyncCache
from cachepool_lib.protocol import Cache

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


@dataclass(frozen=True)
class Decorator:
    """What `async_cache` returns: it makes a CachedFunction of a function."""

    cache: Callable[[], Cache]  # that which was given, or one of its own for each function
    key: Callable[..., Hashable] | None
    name: str | None
    options: dict[str, Any]  # as get_or_load takes them

    # The function of a classmethod takes a class: checkers know no better what @classmethod makes
    # of a CachedFunction, so to them it stays a function.
    @overload
    def __call__(
        self, function: Callable[Concatenate[type[S], P], Awaitable[R]]
    ) -> Callable[Concatenate[type[S], P], Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]]) -> CachedFunction[P, R]: ...

    def __call__(self, function: Callable[..., Awaitable[Any]]) -> Any:
        if not _is_async(function):
            raise _not_async(function)
        calls = Calls(function, self.cache(), self.key, self.name, self.options)
        return CachedFunction.of(calls)


def async_cache(
    ttl: TTL = None,
    *,
    cache: Cache | None = None,
    key: Callable[..., Hashable] | None = None,
    name: str | None = None,
    maxsize: int | EllipsisType | None = ...,
    jitter: float | EllipsisType = ...,
    clock: Callable[[], float] | EllipsisType = ...,
    stale_while_revalidate: Seconds = 0,
    stale_if_error: Seconds = 0,
    early_refresh: float = 0,
    retry_after: Seconds = 1,
) -> Decorator:
    """Cache what the decorated async function returns: write `@async_cache(ttl=60)` above it.

    Two calls share an entry exactly when Python binds them to the same arguments, however they are
    spelled, and those are equal and of the same types: 1, True, 1.0 and "1" differ, inside tuples
    and frozensets too. A parameter that is left at its default needs to be no part of a key: the
    default may be a list. A method has entries of its own for each instance, by identity, and keeps
    none alive (unless a result does). The rest is as in `get_or_load`: however many call at once,
    the function runs once, in a task of its own with the context of the first caller; any caller
    may be cancelled; exceptions are kept nowhere.

    On a method @async_cache goes outermost, or right below @classmethod or @staticmethod: below a
    property or another decorator it takes the instance for an argument like any other.

    A call that would wait for itself, directly or through other cached functions of this process,
    raises RuntimeError and names the cycle. Tasks that a function starts count as part of it.

    Args:
        ttl: seconds that a result lives, or a function that is given the result and returns them
            (so that what was not found, say, is kept for 5 seconds, or with 0 not at all); by
            default 300, or the default of *cache*.
        cache: where results are kept, perhaps together with those of other functions: one of ours,
            or anybody's with the methods of `Cache`. By default an AsyncCache of its own.
        key: makes the key: called with the arguments of each call, the instance included, it
            returns what tells them apart. For arguments that are not hashable, or not worth to be
            told apart; and in a shared store for methods, and for what has no stable name.
        name: what the function is called in a store that processes share, and no other function.
            By default its module and qualified name; needed for what is defined in a function or in
            `__main__`.
        maxsize, jitter, clock: of its own cache, as AsyncCache takes them.
        stale_while_revalidate, stale_if_error, early_refresh, retry_after: as in `get_or_load`.

    Raises:
        TypeError: when decorating, for what is not an async function; at a call, before the
            function runs, for an argument that can't be part of a key.
        TypeError, ValueError: for a bad argument; ValueError when decorating, for a name that is
            another function's in the same store.
    """
    if _is_async(ttl) or inspect.isasyncgenfunction(ttl):
        raise TypeError("write @async_cache() with parentheses: its first argument is the ttl")
    if ttl is not None and not callable(ttl):
        ttl = seconds("ttl", ttl)
    if name is not None and (not isinstance(name, str) or not name):
        raise TypeError(f"name must be a str that is not empty, got {name!r}")
    if key is not None and (not callable(key) or _is_async(key)):
        raise TypeError(f"key must be a plain function that returns a key, got {key!r}")
    windows: dict[str, Any] = {
        "stale_while_revalidate": seconds("stale_while_revalidate", stale_while_revalidate),
        "stale_if_error": seconds("stale_if_error", stale_if_error),
        "early_refresh": number("early_refresh", early_refresh),
        "retry_after": seconds("retry_after", retry_after),
    }
    usual = {"retry_after": 1}
    windows = {name: value for name, value in windows.items() if value != usual.get(name, 0)}
    own: dict[str, Any] = {"maxsize": maxsize, "jitter": jitter, "clock": clock}
    own = {name: value for name, value in own.items() if value is not ...}  # which is: not given
    if cache is None:
        make = partial(AsyncCache, 300 if ttl is None or callable(ttl) else ttl, **own)
        make()  # refuses a bad maxsize or jitter at once
    elif own:
        names = " and ".join(own)
        raise TypeError(f"{names} is for the function's own cache: give it to the cache= instead")
    else:
        _require_cache(cache, windows)
    return Decorator(lambda: make() if cache is None else cache, key, name, {"ttl": ttl, **windows})


def _require_cache(cache: Any, windows: dict[str, Any]) -> None:
    """Raise TypeError unless *cache* has what Cache asks for, and takes these *windows*."""
    wanted = [name for name in vars(Cache) if not name.startswith("_")]
    missing = [name for name in wanted if not hasattr(cache, name)]
    if missing or isinstance(cache, type):
        lacks = f"it lacks {', '.join(missing)}" if missing else "that is the class of one"
        raise TypeError(f"cache must be a cache, got {cache!r}: {lacks}; see cachepool_lib.Cache")
    takes = inspect.signature(cache.get_or_load).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        return
    for name in windows.keys() - {parameter.name for parameter in takes}:
        kind = type(cache).__name__
        raise TypeError(f"{name} is for caches that take it: {kind}.get_or_load does not")


def _is_async(function: Any) -> bool:
    return any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))


def _not_async(function: Any) -> TypeError:
    """What is raised for what is no async function."""
    title = getattr(function, "__qualname__", type(function).__name__)
    if isinstance(function, (classmethod, staticmethod)):
        hint = f"put @{type(function).__name__} above @async_cache, not below"
    elif inspect.isasyncgenfunction(function):
        hint = "an async generator can be read once only: return a list or a tuple instead"
    else:
        hint = "for one that is not async there is functools.lru_cache"
    return TypeError(f"async_cache needs an async function, and {title} is none: {hint}")
