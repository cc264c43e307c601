"""CachedFunction: what `async_cache` makes of a function."""

import types
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import WRAPPER_ASSIGNMENTS, partial, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from cachepool_lib.decorator.calls import Calls, subclasses
from cachepool_lib.decorator.wrapper import Start
from cachepool_lib.protocol import Cache
from cachepool_lib.stats import CacheStats

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


def _of_wrapped(name: str) -> Any:
    """What a function has, and so a CachedFunction, too."""
    return property(lambda self: getattr(self.__wrapped__, name))


class CachedFunction(partial[Coroutine[Any, Any, R]], Generic[P, R]):
    """What `async_cache` makes of a function: called like it, and with a few methods more.

    A partial, because a call of one costs a third of a call of `__call__`, and because `inspect`
    looks through it and sees an async function. Of a function nothing is bound, of a method the
    instance.
    """

    __slots__ = ("_method", "_unbound")
    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, Awaitable[R]]
    # The same where the first argument is the instance of a method, once that was asked for.
    _unbound: "CachedFunction[..., Any] | None"
    _method: Callable[..., Coroutine[Any, Any, R]]

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...

    @classmethod
    def of(cls, calls: Calls) -> Self:
        """The cached function that these calls are of: `async_cache` makes it."""
        cached = cls(calls.call)
        update_wrapper(cached, calls.function)
        cached._unbound = None
        return cached

    @property
    def cache(self) -> Cache:
        """Where the results are."""
        return self._calls.cache

    def cache_info(self) -> CacheStats:
        """What `cache` did so far; if other functions share it, for all of them together."""
        return self._calls.cache.stats()

    def cache_key(self, /, *args: P.args, **kwargs: P.kwargs) -> Hashable:
        """The key in `cache` of the call with these arguments."""
        return self._binding(args, kwargs)[0]

    async def cache_clear(self) -> bool:
        """Forget all results of this function, of all instances if it is a method.

        A call that is under way is not kept. False if Redis did not confirm.
        """
        return await self._calls.cache.clear(self._calls.key.group) is not False

    async def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of the call with these arguments. True if there was one.

        A call that is under way still answers those who wait for it, but is not kept. Of a
        classmethod it is not said which class is meant: it is forgotten for the subclasses, too.
        """
        keys = [key for key, _ in self._bindings(args, kwargs)]
        return any([await self._calls.cache.delete(key) for key in keys])

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function now, whatever is cached, and keep what it returns.

        Others are served the old result meanwhile, and after a failure, which is raised here. It
        joins no call that is under way, which may have read what has changed since.
        """
        key, start = self._binding(args, kwargs)
        result: R = await self._calls.load(key, start, self._calls.refresh)
        return result

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(
        self: "CachedFunction[Concatenate[S, Q], R]", instance: S, owner: type | None = None
    ) -> "CachedFunction[Q, R]": ...

    @overload  # a staticmethod: checkers come here, although it is not the outer one
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is owner:
            # So binds @classmethod, up to Python 3.12. Later it does not ask us, and what it makes
            # is this: so it is the same in all.
            return types.MethodType(self, instance)
        if self._unbound is None:
            function: Any = self._calls.function
            if isinstance(function, CachedFunction):  # it is the same instance to that one
                function = function.__get__(None, object)
            self._unbound = CachedFunction.of(self._calls.of_instances(function))
            self._method = self._unbound.func
        return self._unbound if instance is None else BoundMethod(self._method, instance)

    # pydantic leaves alone what stands in the body of a model, and others let themselves be given,
    # what is a function to isinstance.
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return types.FunctionType

    # With a __getattr__ in their place Python takes longer for every attribute, those of the
    # descriptor included.
    __code__ = _of_wrapped("__code__")
    __defaults__ = _of_wrapped("__defaults__")
    __kwdefaults__ = _of_wrapped("__kwdefaults__")
    __globals__ = _of_wrapped("__globals__")
    __closure__ = _of_wrapped("__closure__")

    def __dir__(self) -> list[str]:  # without it, what FunctionType has
        return [*dir(type(self)), *vars(self)]

    def __repr__(self) -> str:
        return f"<cached {self._calls.key.title}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled and copied like a function: by its name."""
        return self._calls.key.title

    @property
    def _calls(self) -> Calls:
        calls: Calls = self.func.calls  # type: ignore[attr-defined]
        return calls

    def _binding(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Hashable, Start]:
        """The key and the start of the call with these arguments."""
        binding, *more = self._bindings(args, kwargs)
        if more:
            raise TypeError(
                f"{self!r} is a classmethod of several classes, and Python does not say of which "
                "it was asked for: pass the class as the first argument"
            )
        return binding

    def _bindings(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[tuple[Hashable, Start]]:
        """The same; of a classmethod, which is not told its class, for each that may be meant."""
        calls, firsts = self._calls, [self.args]
        if not self.args and (home := calls.classmethod_of):
            classes = [home, *subclasses(home)]
            if not any(kind is first for kind in classes for first in args[:1]):
                firsts = [(kind,) for kind in classes]
        return [calls.bind(*first, *args, **kwargs) for first in firsts]


class BoundMethod(CachedFunction[P, R]):
    """A CachedFunction with the instance that it was reached through."""

    __slots__ = ()

    @property
    def __wrapped__(self) -> Any:  # type: ignore[override]
        return types.MethodType(self._calls.function, *self.args)

    __self__ = _of_wrapped("__self__")

    @property
    def __func__(self) -> Any:
        return self.func

    @property
    def _plain(self) -> types.MethodType:
        """What Python binds where there is no cache."""
        return types.MethodType(self.func, *self.args)

    def __getattribute__(self, name: str) -> Any:
        if name in WRAPPER_ASSIGNMENTS:  # else some would be found on the class
            return getattr(self.func, name)
        return super().__getattribute__(name)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self

    def __eq__(self, other: object) -> bool:  # bound to one instance they are equal, as methods are
        return type(other) is BoundMethod and self._plain == other._plain

    def __hash__(self) -> int:
        return hash(self._plain)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return types.MethodType

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._plain.__reduce__()
