"""`get_or_load`, once for every store: serve what is fresh, or stale, or join a load, or load.

What differs between stores is a Slot: one key of a store, for the length of one call.
"""

import math
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple, Protocol, TypedDict, TypeVar

from cachepool_lib._validate import Seconds, number, seconds
from cachepool_lib.errors import NotLoaded
from cachepool_lib.single_flight import Call, SingleFlight
from cachepool_lib.stats import Counts

T = TypeVar("T")
Loader = Callable[[], Awaitable[T]]
TTL = Seconds | None | Callable[[Any], Seconds | None]

MISSING: Any = object()  # no value, where None is one


def nothing() -> None:
    """What is called where nobody wants to know."""


class LoadKeywords(TypedDict, total=False):
    """The options that `get_or_load` takes in every store, for the methods that take the same."""

    stale_while_revalidate: Seconds
    stale_if_error: Seconds
    early_refresh: float
    retry_after: Seconds


class LoadOptions:
    """What the caller of `get_or_load` asks for, in seconds; its docstring says what each means.

    Raises TypeError or ValueError for a bad one.
    """

    __slots__ = (
        "early_refresh",
        "retry_after",
        "stale",
        "stale_if_error",
        "stale_while_revalidate",
        "ttl",
    )

    def __init__(
        self,
        ttl: TTL,
        stale_while_revalidate: Seconds = 0,
        stale_if_error: Seconds = 0,
        retry_after: Seconds = 1,
        early_refresh: float = 0,
    ) -> None:
        self.ttl = ttl if ttl is None or callable(ttl) else seconds("ttl", ttl)
        self.stale_while_revalidate = seconds("stale_while_revalidate", stale_while_revalidate)
        self.stale_if_error = seconds("stale_if_error", stale_if_error)
        self.retry_after = seconds("retry_after", retry_after)
        self.early_refresh = number("early_refresh", early_refresh)
        # Seconds after its ttl that a value may be of use.
        self.stale = max(self.stale_while_revalidate, self.stale_if_error)

    def ttl_of(self, value: Any) -> float | None:
        """Seconds that *value* is to be kept; None means the store's default."""
        ttl = self.ttl(value) if callable(self.ttl) else self.ttl
        return None if ttl is None else seconds("ttl", ttl)


def early(load_seconds: float, beta: float) -> float:
    """Seconds before its end that a value is to be loaded anew, drawn for this one read of it.

    XFetch: the longer its load took, and the nearer the end, the likelier.
    """
    return load_seconds * beta * -math.log(1 - random.random())  # random() may be 0


class Found(NamedTuple):
    """A value that may be served."""

    value: Any
    stale: bool
    due: bool  # a load in the background should fetch the next one


class Slot(Protocol):
    """One key of a store, for the length of one call of `get_or_load`.

    In memory none of its coroutines ever suspends, so there the steps between two loads are one
    moment.
    """

    key: Hashable
    calls: SingleFlight  # the loads under way in its store
    counts: Counts

    @property
    def clock(self) -> Callable[[], float]: ...

    @property
    def on_join(self) -> Callable[[], None]:
        """To be called where a load is waited for that another call or process has begun."""
        ...

    async def find(self, options: LoadOptions, *, failed: bool = False) -> Found | None:
        """What may be served now, or after a load that *failed*."""
        ...

    async def may_join(self, call: Call) -> bool:
        """Could *call* still store what it loads: has nobody deleted the key meanwhile?"""
        ...

    async def take_lease(self, call: Call, *, seize: bool) -> Any:
        """Take the right to load, waiting for whoever has it, unless it is to be *seize*-d.

        Returns what they stored, or MISSING: our turn to load.
        """
        ...

    async def store(
        self, call: Call, value: Any, ttl: float | None, options: LoadOptions, took: float
    ) -> None:
        """Keep *value*, whose load *took* so many seconds, if the lease still holds; give it up."""
        ...

    async def release(self, call: Call, retry_after: float) -> None:
        """Give the lease up; for *retry_after* seconds a stale value is served without a load."""
        ...


async def get_or_load(slot: Slot, loader: Loader[Any], options: LoadOptions) -> Any:
    """The value of the slot's key, loaded if need be: one load, however many ask."""
    found = await slot.find(options)
    if found is None:
        return await join_or_load(slot, loader, options)
    if found.due and slot.calls.find(slot.key) is None:
        _start(slot, loader, options, background=True)
    return _served(found, slot.counts)


async def join_or_load(slot: Slot, loader: Loader[Any], options: LoadOptions) -> Any:
    """The value of the slot's key, where nothing is at hand that may be served."""
    key, calls, counts = slot.key, slot.calls, slot.counts
    call = calls.find(key)
    if call is not None:
        if not await slot.may_join(call):
            calls.forget(key, call)
        call = calls.current.get(key)  # meanwhile it may have ended, or another begun
    shared = call is not None
    if call is None:
        call = _start(slot, loader, options)
    else:
        slot.on_join()
    try:
        value, loaded_here = await calls.wait(key, call)
    except Exception:
        found = await slot.find(options, failed=True) if options.stale_if_error else None
        if found is not None and found.stale:
            return _served(found, counts)
        counts.asked(shared)
        if found is not None:  # it was set meanwhile
            return found.value
        raise
    counts.asked(shared or not loaded_here)
    if value is MISSING:
        raise NotLoaded("this key was loaded by get_or_load_many, whose loader left it out")
    return value


async def refresh(slot: Slot, loader: Loader[Any], options: LoadOptions) -> Any:
    """Load whatever is at hand; join no load under way, which may have read what has changed."""
    call = _start(slot, loader, options, seize=True)
    value, _ = await slot.calls.wait(slot.key, call)
    return value


def require_loader(loader: object) -> None:
    if not callable(loader):
        raise TypeError(
            f"loader must be a function to call, got {type(loader).__name__}: "
            "pass the function itself, or a lambda, not the result of calling it"
        )


def _served(found: Found, counts: Counts) -> Any:
    if found.stale:
        counts.stale_hits += 1
    else:
        counts.hits += 1
    return found.value


def _start(
    slot: Slot,
    loader: Loader[Any],
    options: LoadOptions,
    background: bool = False,
    seize: bool = False,
) -> Call:
    """Start a load that stores what it loads, unless its key is forgotten meanwhile."""
    require_loader(loader)
    key, calls, clock, counts = slot.key, slot.calls, slot.clock, slot.counts

    async def load(call: Call) -> tuple[Any, bool]:
        """The value, and whether this load has made it: another process may have."""
        try:
            value = await slot.take_lease(call, seize=seize)
            if value is not MISSING:
                return value, False
            started = clock()
            try:
                value = await loader()  # MISSING if that of get_or_load_many leaves it out
                ttl = None if value is MISSING else options.ttl_of(value)
            except Exception:
                counts.load_failures += 1
                counts.load_seconds += clock() - started
                raise
            took = clock() - started
            counts.loads += value is not MISSING
            counts.load_seconds += took
            if value is not MISSING and calls.is_current(key, call):
                await slot.store(call, value, ttl, options, took)
            else:
                await slot.release(call, 0)
        except BaseException as error:
            # Cancelled while it asked for the lease, it may have it and not know it.
            await slot.release(call, options.retry_after if isinstance(error, Exception) else 0)
            raise
        return value, True

    return calls.start(key, load, background=background)
