"""async_cache: cache what an async function returns, by its arguments."""

import functools
import inspect
import types
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from types import EllipsisType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from cachepool_lib._arguments import Seconds, number, seconds
from cachepool_lib._circles import Run, inside
from cachepool_lib._stats import CacheStats
from cachepool_lib._store import Load
from cachepool_lib.memory import AsyncCache

if TYPE_CHECKING:
    from cachepool_lib.rediscache import RedisCache

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

# No value of one of these types equals a value of another, so they need no mark of their type.
PLAIN = frozenset({str, int, type(None)})

MISSING: Any = object()
EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Decorator:
    """What `async_cache` returns: it makes a CachedFunction of a function."""

    cache: "AsyncCache | RedisCache | None"
    own: Callable[[], AsyncCache]  # makes one for each function that is given none
    key: Callable[..., Hashable] | None
    name: str | None
    ttl: float | None
    windows: dict[str, Any]  # as get_or_load takes them

    # The function of a classmethod takes a class: checkers know no better what @classmethod makes
    # of a CachedFunction, so to them it stays a function.
    @overload
    def __call__(
        self, function: Callable[Concatenate[type[S], P], Awaitable[R]]
    ) -> Callable[Concatenate[type[S], P], Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]]) -> "CachedFunction[P, R]": ...

    def __call__(self, function: Callable[..., Awaitable[Any]]) -> Any:
        _require_async(function)
        calls = _Calls(function, self)
        cached: CachedFunction[..., Any] = CachedFunction(calls.call)
        functools.update_wrapper(cached, function)
        cached.__dict__.pop("_unbound", None)  # that of a cached function in this one
        cached._calls = calls
        return cached


def async_cache(
    ttl: Seconds | None = None,
    *,
    cache: "AsyncCache | RedisCache | None" = None,
    key: Callable[..., Hashable] | None = None,
    name: str | None = None,
    maxsize: int | EllipsisType | None = ...,
    stale_while_revalidate: Seconds = 0,
    stale_if_error: Seconds = 0,
    early_refresh: float = 0,
    retry_after: Seconds = 1,
) -> Decorator:
    """Cache what the decorated async function returns: write `@async_cache(ttl=60)` above it.

    Two calls share an entry exactly when Python binds them to the same arguments, however they are
    spelled, and those are equal and of the same types: 1, True, 1.0 and "1" differ, inside tuples
    and frozensets too. A method has entries of its own for each instance, by identity, and keeps
    none alive (unless a result does). The rest is as in `get_or_load`: however many call at once,
    the function runs once, in a task of its own with the context of the first caller; any caller
    may be cancelled; exceptions are kept nowhere.

    On a method @async_cache goes outermost, or right below @classmethod or @staticmethod: below a
    property or another decorator it takes the instance for an argument like any other.

    A call that would wait for itself, directly or through other cached functions of this process,
    raises RuntimeError and names the circle. Tasks that a function starts count as part of it.

    Args:
        ttl: seconds that a result lives; by default 300, or the default of *cache*.
        cache: where results are kept, perhaps together with those of other functions. By default
            an AsyncCache of its own.
        key: makes the key: called with the arguments of each call, the instance included, it
            returns what tells them apart. For arguments that are not hashable, or not worth to be
            told apart; and in a shared store for methods, and for what has no stable name.
        name: what the function is called in a store that processes share. By default its module
            and qualified name; needed for what is defined in a function or in `__main__`.
        maxsize: entries that its own cache has room for, 1,024 by default; None means no bound.
        stale_while_revalidate, stale_if_error, early_refresh, retry_after: as in `get_or_load`.
            early_refresh is for memory only.

    Raises:
        TypeError: when decorating, for what is not an async function; at a call, before the
            function runs, for an argument that can't be part of a key.
        TypeError, ValueError: for a bad argument.
    """
    if callable(ttl):
        raise TypeError("write @async_cache() with parentheses: its first argument is the ttl")
    if cache is not None and not hasattr(type(cache), "get_or_load"):
        raise TypeError(f"cache must be a cache, got {cache!r}")
    if name is not None and (not isinstance(name, str) or not name):
        raise TypeError(f"name must be a str that is not empty, got {name!r}")
    if cache is not None and maxsize is not ...:
        raise TypeError("maxsize is for the function's own cache: give it to the cache= instead")
    if key is not None and (not callable(key) or inspect.iscoroutinefunction(key)):
        raise TypeError(f"key must be a plain function that returns a key, got {key!r}")
    ttl = None if ttl is None else seconds("ttl", ttl)
    room = 1024 if maxsize is ... else maxsize
    own = functools.partial(AsyncCache, 300 if ttl is None else ttl, maxsize=room)
    own()  # refuses a bad maxsize at once
    windows: dict[str, Any] = {
        "stale_while_revalidate": seconds("stale_while_revalidate", stale_while_revalidate),
        "stale_if_error": seconds("stale_if_error", stale_if_error),
        "retry_after": seconds("retry_after", retry_after),
    }
    if number("early_refresh", early_refresh):
        if not isinstance(cache, AsyncCache | None):
            raise TypeError(f"early_refresh is for memory only, not for {type(cache).__name__}")
        windows["early_refresh"] = early_refresh
    return Decorator(cache, own, key, name, ttl, windows)


class CachedFunction(functools.partial[Coroutine[Any, Any, R]], Generic[P, R]):
    """What `async_cache` makes of a function: called like it, and with a few methods more.

    A partial, because a call of one costs a third of a call of `__call__`, and because `inspect`
    looks through it and sees an async function. Of a function nothing is bound, of a method the
    instance.
    """

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, Awaitable[R]]
    _calls: "_Calls"

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...

    @property
    def cache(self) -> "AsyncCache | RedisCache":
        """Where the results are."""
        return self._calls.cache

    def cache_info(self) -> CacheStats:
        """What `cache` did so far; if other functions share it, for all of them together."""
        return self._calls.cache.stats()

    async def cache_clear(self) -> bool:
        """Forget all results of this function, of all instances if it is a method.

        A call that is under way is not kept. False if Redis did not confirm.
        """
        return await self._calls.cache._clear_group(self._calls.group)

    async def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of the call with these arguments. True if there was one.

        A call that is under way still answers those who wait for it, but is not kept. Of a
        classmethod the class is the first argument.
        """
        return await self._calls.cache.delete(self._calls.key(self.args + args, kwargs))

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function now, whatever is cached, and keep what it returns.

        Others are served the old result meanwhile, and after a failure, which is raised here. It
        joins no call that is under way, which may have read what has changed since. Of a
        classmethod the class is the first argument.
        """
        args = cast(Any, self.args + args)
        calls = self._calls
        terms = calls.terms
        ask = functools.partial(calls.cache._reload, ttl=terms.ttl, **terms.windows)
        return cast(R, await calls.load(calls.key(args, kwargs), args, kwargs, ask))

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(
        self: "CachedFunction[Concatenate[S, Q], R]", instance: S, owner: type | None = None
    ) -> "CachedFunction[Q, R]": ...

    @overload  # a staticmethod: checkers come here, although it is not the outer one
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if self.args:  # bound already
            return self
        if instance is owner:  # how a classmethod binds up to Python 3.12; later it does as here
            return types.MethodType(self, instance)
        return self._unbound if instance is None else self._view(self._unbound._calls, instance)

    @functools.cached_property
    def _unbound(self) -> Any:
        """The same function where its first argument is the instance of a method."""
        return self._view(self._calls.of_instances())

    def _view(self, calls: "_Calls", *bound: Any) -> Any:
        view: CachedFunction[..., R] = CachedFunction(calls.call, *bound)
        view.__dict__.update(self.__dict__, _calls=calls)  # its name, words and annotations, too
        view.__wrapped__ = types.MethodType(calls.function, *bound) if bound else calls.function
        return view

    def __eq__(self, other: Any) -> bool:  # bound to one instance they are equal, as methods are
        return self.func is getattr(other, "func", 0) and self.__wrapped__ == other.__wrapped__

    def __hash__(self) -> int:
        return hash((self.func, *map(id, self.args)))

    def __repr__(self) -> str:
        return f"<cached {self._calls.title}>"

    def __reduce__(self) -> Any:
        """Pickled and copied like a function: by its name."""
        return (getattr, (*self.args, self.__name__)) if self.args else self.__qualname__


class _Calls:
    """How the calls of one function are told apart, answered and loaded."""

    def __init__(self, function: Callable[..., Awaitable[Any]], terms: Decorator) -> None:
        self.function = function
        self.cache = cache = terms.own() if terms.cache is None else terms.cache
        self.terms = terms
        self.title = getattr(function, "__qualname__", None) or type(function).__name__
        self.shared = not isinstance(cache, AsyncCache)
        innermost, bound = _innermost(function)
        self.group: Hashable = self  # the first part of each key
        if self.shared:
            classes = [thing for thing in bound if isinstance(thing, type)]
            if terms.key is None and len(classes) < len(bound):
                raise self.unknown()
            hint = "say with name= what it is called there"
            named = (function, *classes)  # a subclass has the same function by the same name
            self.group = terms.name or " of ".join(_stable_name(thing, hint) for thing in named)
        # What `functools.wraps` says of parameters is believed of our own alone: another decorator
        # may take other ones.
        signature = inspect.signature(functools.partial(innermost, *bound), follow_wrapped=False)
        self.bind, self.names = _binder(signature, self.title)
        by_place = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        self.takes_one = terms.key is None and len(kinds) == 1 and kinds[0] in by_place
        self.owners: dict[int, _Owner] | None = None
        # In memory a hit is found at once, without a coroutine; elsewhere nothing is.
        self.at_hand: Callable[[Hashable, float], Any] = lambda key, now: None
        self.clock: Callable[[], float] = lambda: 0.0
        self.ask = functools.partial(cache.get_or_load, ttl=terms.ttl, **terms.windows)
        early = "early_refresh" in terms.windows
        if not early and type(cache).get_or_load is AsyncCache.get_or_load:
            assert isinstance(cache, AsyncCache)
            self.at_hand, self.clock = cache._store.lookup, cache._clock
            load = Load(**terms.windows)
            self.ask = functools.partial(cache._stale_or_load, ttl=terms.ttl, load=load)
        self.call = self.caller()

    def __repr__(self) -> str:
        return self.title

    def of_instances(self) -> "_Calls":
        """The same for calls whose first argument is the instance of a method."""
        if self.owners is not None:
            return self
        calls = _Calls.__new__(_Calls)
        calls.__dict__.update(self.__dict__, takes_one=False, owners={})
        if isinstance(self.function, CachedFunction):  # it is the same instance to that one
            calls.function = self.function.__get__(None, object)
        calls.call = calls.caller()
        return calls

    def caller(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """The function that answers calls: a closure, since each attribute of self takes time."""
        group, at_hand, clock = self.group, self.at_hand, self.clock
        # One argument of a plain type is a key as it is. This is what self.key does, only sooner.
        plain = PLAIN if self.takes_one else frozenset()

        async def call(first: Any = MISSING, /, *args: Any, **kwargs: Any) -> Any:
            if type(first) in plain and not args and not kwargs:
                key: Hashable = group, first
            else:
                key = self.key(() if first is MISSING else (first, *args), kwargs)
            entry = at_hand(key, clock())
            if entry is not None:
                return entry.value
            args = () if first is MISSING else (first, *args)
            return await self.load(key, args, kwargs, self.ask)

        return call

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """The key of a call. Raises TypeError for an argument that can't be part of one."""
        if self.terms.key is not None:
            return self.group, self.typed(self.terms.key(*args, **kwargs), "what key= returns")
        group: tuple[Hashable, ...] = (self.group,)
        if self.owners is not None:
            first = self.names[0] if self.names else ""
            if args:
                group, args = (self.group, self.owner(args[0])), (None, *args[1:])
            elif first in kwargs:
                group, kwargs = (self.group, self.owner(kwargs[first])), {**kwargs, first: None}
        values = self.bind(*args, **kwargs)
        if not PLAIN.issuperset(map(type, values)):
            if self.names[-1].startswith("**"):
                *values, named = values
                values.append(tuple(sorted(named.items())))  # no name is there twice
            values = map(self.typed, values, self.names)
        return *group, *values

    def load(self, key: Hashable, args: Any, kwargs: Any, ask: Any) -> Coroutine[Any, Any, Any]:
        """Have the function run, or wait for a run of it, by way of *ask*."""
        node = self.cache, key

        async def loader() -> Any:
            run = Run(node, self.title)
            try:
                return await self.function(*args, **kwargs)
            finally:
                run.end()

        answer: Coroutine[Any, Any, Any] = ask(key, loader)
        outer = inside.get()
        return answer if outer is None or outer.ended else outer.wait(node, answer)

    def typed(self, value: Any, name: str) -> Hashable:
        """*value* with its type, so that what is equal and of another type differs."""
        kind = type(value)
        if kind in PLAIN:
            return cast(Hashable, value)
        mark = _stable_name(kind, "say with key= how to make a key") if self.shared else kind
        if issubclass(kind, tuple) and kind.__eq__ is tuple.__eq__:
            return mark, *(self.typed(part, name) for part in value)
        if issubclass(kind, frozenset) and kind.__eq__ is frozenset.__eq__:
            return mark, frozenset(self.typed(part, name) for part in value)
        try:
            hash(value)
        except TypeError as error:
            raise TypeError(
                f"{self.title}: {name} can't be part of a key ({error}): pass a tuple or "
                "another value that does not change, or say with key= how to make a key"
            ) from None
        return mark, value

    def owner(self, instance: object) -> "_Owner":
        """What stands for *instance* in keys."""
        assert self.owners is not None
        if self.shared:
            raise self.unknown()
        owners, number = self.owners, id(instance)
        owner = owners.get(number)
        if owner is None or owner() is not instance:
            try:
                owner = _Owner(instance, lambda _: owners.pop(number, None))
            except TypeError:
                raise TypeError(
                    f"{self.title}: {type(instance).__name__} has no room for a weak reference: "
                    "add '__weakref__' to its __slots__, or say with key= what tells them apart"
                ) from None
            owners[number] = owner
        return owner

    def unknown(self) -> TypeError:
        """What is raised for an instance in a store that processes share."""
        return TypeError(
            f"{self.title} is a method, and other processes don't know this instance: say with "
            "key= in the class what tells instances apart, as key=lambda self, x: (self.id, x)"
        )


def _innermost(function: Any) -> tuple[Any, tuple[Any, ...]]:
    """The function inside cached functions and methods, and what these are bound to."""
    bound: tuple[Any, ...] = ()
    while isinstance(function, (CachedFunction, types.MethodType)):
        if isinstance(function, CachedFunction):
            function, bound = function._calls.function, (*function.args, *bound)
        else:
            function, bound = function.__func__, (function.__self__, *bound)
    return function, bound


class _Owner(weakref.ref[Any]):
    """A reference that does not keep its instance alive, and equals nothing but itself."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _binder(signature: inspect.Signature, title: str) -> tuple[Callable[..., Any], list[str]]:
    """A function of this signature that returns what its parameters are bound to; their names.

    So it is Python itself that binds.
    """
    parameters, defaults, names = [], {}, []
    for parameter in signature.parameters.values():
        names.append(str(parameter.replace(annotation=EMPTY, default=EMPTY)))  # with its stars
        parameter = parameter.replace(annotation=EMPTY)
        if parameter.default is not EMPTY:
            defaults[parameter.name] = parameter.default
            parameter = parameter.replace(default=_Name(f"defaults[{parameter.name!r}]"))
        parameters.append(parameter)
    text = str(inspect.Signature(parameters))[1:-1]
    values = "".join(f"{name.lstrip('*')}," for name in names)
    bind = eval(f"lambda {text}: ({values})", {"defaults": defaults})
    bind.__qualname__ = title  # for the TypeError about a missing argument
    return bind, names


class _Name(str):
    """Printed without quotes."""

    __repr__ = str.__str__


def _stable_name(thing: Any, hint: str) -> str:
    """The name of a function or a class in every process. Raises TypeError if it has none."""
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not qualname or module == "__main__" or "<locals>" in qualname:
        title = f"{module}.{qualname}" if qualname else type(thing).__name__
        raise TypeError(f"{title} has no name that is the same in every process: {hint}")
    return f"{module}.{qualname}"


def _require_async(function: Any) -> None:
    """Raise TypeError unless *function* is an async function."""
    if any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):
        return
    title = getattr(function, "__qualname__", type(function).__name__)
    if isinstance(function, (classmethod, staticmethod)):
        hint = f"put @{type(function).__name__} above @async_cache, not below"
    elif inspect.isasyncgenfunction(function):
        hint = "an async generator can be read once only: return a list or a tuple instead"
    else:
        hint = "for one that is not async there is functools.lru_cache"
    raise TypeError(f"async_cache needs an async function, and {title} is none: {hint}")
