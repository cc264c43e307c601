"""Feedback on the exercises of notebook 03, in simulated time."""

import asyncio
import contextlib
import gc
import inspect
import io
import logging
import weakref
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from .checks import Unmet
from .contract import Source
from .decorator_contract import DecoratorBench, Rows
from .simulation import clock

__all__ = ["EXERCISES"]

Check = Callable[[Any], Coroutine[Any, Any, str]]
EXERCISES: dict[str, tuple[str, Check]] = {}


def _exercise(name: str, title: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        EXERCISES[name] = title, function
        return function

    return register


# -- 03-1 ---------------------------------------------------------------------------------------


async def page(a: Any, b: Any = 2) -> None: ...


async def f(*args: Any, **kwargs: Any) -> None: ...


class Call:
    """A call as somebody writes it."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs

    def __repr__(self) -> str:
        return self.written(self.function.__name__)

    def written(self, name: str) -> str:
        """The same arguments, given to what is called *name*."""
        given = [repr(value) for value in self.args]
        given += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{name}({', '.join(given)})"

    @property
    def signature(self) -> str:
        """How the function begins."""
        parameters = inspect.signature(self.function).parameters.values()
        bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
        return f"async def {self.function.__name__}{inspect.Signature(bare)}"

    @property
    def bound(self) -> Any:
        """What Python makes of it, with the type of everything."""
        arguments = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        arguments.apply_defaults()
        return {name: _with_types(value) for name, value in arguments.arguments.items()}


def _with_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_types(part) for name, part in value.items()}
    if isinstance(value, tuple | frozenset):
        return type(value), type(value)(map(_with_types, value))
    return type(value), value


NEARLY_EQUAL = (
    *(1, True, 1.0, "1", 2, 2.0, None, "", (1,), (True,), ("b", 2)),
    *(frozenset([1]), frozenset([True])),
)


def _spellings(a: Any, b: Any) -> tuple[list[Call], list[Call]]:
    """Calls of each function with these arguments."""
    of_page = [Call(page, a, b), Call(page, a, b=b), Call(page, b=b, a=a)]
    if b is page.__defaults__[0]:  # type: ignore[index]
        of_page += [Call(page, a), Call(page, a=a)]
    return of_page, [Call(f, a, b), Call(f, a, b=b), Call(f, a=a, b=b), Call(f, b=b, a=a)]


def _random_pair(random: Random) -> tuple[Call, Call]:
    """Two calls of one function; half of the pairs with the same arguments."""
    a, b = random.choice(NEARLY_EQUAL), random.choice((2, 2, *NEARLY_EQUAL))
    which = random.randrange(2)
    one = random.choice(_spellings(a, b)[which])
    if random.random() < 0.5:
        a = random.choice(NEARLY_EQUAL)
    return one, random.choice(_spellings(a, b)[which])


@dataclass(frozen=True)
class Name:
    """Equal to another of the same text, although it is another object."""

    text: str


class User:
    """As in section 1: equal to nobody else, and printed with its address."""


BIND = (
    "inspect.signature(func).bind(*args, **kwargs) says what Python makes of a call; "
    "its apply_defaults() adds the rest."
)
TYPES = "Put the type beside the value."
APART = "Keep what was given by place apart from what was given by name."
INSIDE = "Look into tuples and frozensets: call yourself for what is in them."
PRINTS = (
    "repr() and str() are for people, and leave things out. Put the argument itself in the key."
)
HASHES = (
    "A hash is no value: other values have the same. Return the tuple, and let the dict hash it."
)
ADDRESS = (
    "id() and the default repr() are an address: others get it later, and equal objects have two. "
    "Put the argument itself in the key."
)


@_exercise("03-1", "Same call, same key; other types, other keys")
async def make_key(answer: Any) -> str:
    def key(call: Call) -> Any:
        case = f"make_key for {call!r}"
        try:
            made = answer(call.function, call.args, call.kwargs)
        except NotImplementedError:
            raise
        except Exception as error:
            got = f"{case} raised {type(error).__name__}: {error}"
            raise Unmet(expected=f"a key for {call!r} ({call.signature})", got=got) from None
        if inspect.iscoroutine(made):
            made.close()
            raise Unmet(
                expected="a key",
                got="make_key is async: its call makes a coroutine, and no key yet.",
                hint="Write `def make_key`: nothing in it has to wait.",
            )
        try:
            hash(made)
        except TypeError as error:
            raise Unmet(
                expected="something that a dict takes as a key",
                got=f"{case}: {error}.",
                hint="A list can change, a tuple can't: make it one with tuple(...)."
                if "'list'" in str(error)
                else "Turn a dict into tuple(sorted(kwargs.items())).",
            ) from None
        return made

    def same(one: Call, other: Call, got: str, hint: str) -> None:
        if key(one) != key(other):
            expected = f"one key for {one} and {other} ({one.signature})"
            raise Unmet(expected=expected, got=got, hint=hint)

    def differ(one: Call, other: Call, got: str, hint: str) -> None:
        if key(one) == key(other):
            expected = f"two keys for {one} and {other} ({one.signature})"
            raise Unmet(expected=expected, got=got, hint=hint)

    differ(Call(page, 1), Call(page, 3), "page(1) and page(3) share a key.", "Use the arguments.")
    same(
        Call(page, 1), Call(page, 1, b=2), "page(1) and page(1, b=2), its default, loaded twice.",
        BIND,
    )  # fmt: skip
    same(Call(page, 1), Call(page, a=1), "page(1) and page(a=1) loaded twice.", BIND)
    same(
        Call(f, a=1, b=2), Call(f, b=2, a=1), "f(a=1, b=2) and f(b=2, a=1) loaded twice.",
        "Sort what was given by name.",
    )  # fmt: skip
    differ(Call(page, "1"), Call(page, 1), "page('1') received page(1)'s result.", TYPES)
    differ(Call(page, True), Call(page, 1), "page(True) received page(1)'s result.", TYPES)
    got = "page(-1) received page(-2)'s result: the two have one hash."
    differ(Call(page, -1), Call(page, -2), got, HASHES)
    differ(Call(f, ("b", 2)), Call(f, b=2), "f(('b', 2)) and f(b=2) share a key.", APART)
    differ(Call(f, "a", 1), Call(f, a=1), "f('a', 1) and f(a=1) share a key.", APART)
    for ones in (((1,), (True,)), (frozenset([1]), frozenset([True]))):
        got = f"page({ones[1]}) received page({ones[0]})'s result."
        differ(Call(page, ones[0]), Call(page, ones[1]), got, INSIDE)
    got = "page(rows) received the result for other rows, which print alike."
    differ(Call(page, Rows(1, 2, 9)), Call(page, Rows(1, 7, 9)), got, PRINTS)
    one, equal = (Call(page, Name("Ada")) for _ in range(2))
    same(one, equal, f"{one} and {equal}, an equal one, loaded twice.", ADDRESS)
    users = 200
    if len({key(Call(page, User())) for _ in range(users)}) < users:  # each gone after its call
        raise Unmet(
            expected=f"{users} keys for {users} users, one after the other",
            got="A new user received the result of one who is gone.",
            hint=ADDRESS,
        )
    random = Random(3)
    for _ in range(3_000):
        one, other = _random_pair(random)
        if one.bound == other.bound:
            same(one, other, f"{one} and {other} loaded twice.", BIND)
        else:
            differ(one, other, f"{one} and {other} share a key.", TYPES)
    return "3,000 pairs of calls"


# -- 03-2 ---------------------------------------------------------------------------------------


@_exercise("03-2", "Forget one call, however it is spelled")
async def invalidate(answer: Any) -> str:
    row = ["old"]

    async def page(user_id: int, orders: int = 20) -> str:
        text = row[0]
        await asyncio.sleep(0.02)
        return text

    async def card(name: str) -> str:
        return row[0]

    async def forget(cached: Any, call: Call) -> None:
        try:
            await cached.invalidate(*call.args, **call.kwargs)
        except NotImplementedError:
            raise
        except Exception as error:
            raise Unmet(
                expected=f"{call!r} forgotten ({call.signature})",
                got=f"{call.written('invalidate')} raised {type(error).__name__}: {error}",
                hint="It takes whatever the function takes: `*args, **kwargs`, passed on as "
                "self._key(func, args, kwargs)."
                if isinstance(error, TypeError)
                else "",
            ) from None

    spellings = [Call(page, 1), Call(page, user_id=1), Call(page, 1, 20)]
    spellings += [Call(page, 1, orders=20), Call(page, orders=20, user_id=1)]
    for call in spellings:
        row[0], cached = "old", DecoratorBench(answer).decorate(page)
        await cached(1)
        await cached(2)
        row[0] = "new"
        await forget(cached, call)
        if await cached(1) != "new":
            raise Unmet(
                expected=f"page(1) is loaded again ({call.signature})",
                got=f"{call.written('invalidate')} left page(1).",
                hint="Make the key as a call does: self._key(func, args, kwargs).",
            )
        if await cached(2) != "old":
            raise Unmet(
                expected="page(2) stays in the cache",
                got="page(2) went too.",
                hint="Delete one key, and leave the others.",
            )
        row[0] = "old"
        under_way = asyncio.create_task(cached(4))
        await asyncio.sleep(0.01)
        row[0] = "new"
        await forget(cached, Call(page, 4))
        await under_way
        if await cached(4) != "new":
            raise Unmet(
                expected="page(4) is loaded again: its row was changed while it was loading",
                got="The running load put the old page back.",
                hint="There may be no entry yet. The cache's delete voids a load as well.",
            )

    row[0], cached, call = "old", DecoratorBench(answer).decorate(card), Call(card, name="Ada")
    await cached("Ada")
    row[0] = "new"
    await forget(cached, call)
    if await cached("Ada") != "new":
        raise Unmet(
            expected=f"card('Ada') is loaded again ({call.signature})",
            got=f"{call.written('invalidate')} left card('Ada').",
            hint="Make the key as a call does: self._key(func, args, kwargs).",
        )
    return "five spellings, a neighbour, a load under way, another function"


# -- 03-3 ---------------------------------------------------------------------------------------


class OldPages:
    """What stale_get is given: two pages, and how long they are fresh (seconds)."""

    def __init__(self, fresh_for: float) -> None:
        self.ttl = 60
        old = "old", clock() + fresh_for
        self.entries = {"user:1": old, "user:2": old}
        self.refreshes: dict[Any, Any] = {}


class _Heard(logging.Handler):
    """Keeps what is logged, at any level."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.printed = io.StringIO()

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.append(record.levelno)


@contextlib.contextmanager
def _hearing() -> Iterator[_Heard]:
    """Hear what is logged or printed in this block, instead of showing it."""
    heard, root = _Heard(), logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.setLevel(logging.DEBUG)
    root.handlers[:] = [heard]
    try:
        with contextlib.redirect_stdout(heard.printed), contextlib.redirect_stderr(heard.printed):
            yield heard
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@_exercise("03-3", "Refresh behind the reader's back, once")
async def stale_get(answer: Any) -> str:
    unseen: list[Any] = []
    handler = lambda _, context: unseen.append(context)  # noqa: E731
    asyncio.get_running_loop().set_exception_handler(handler)

    async def read(cache: OldPages, load: Any, expected: str = "old", key: str = "user:1") -> None:
        start = clock()
        value = await answer(cache, key, load)
        if clock() > start:
            raise Unmet(
                expected=f"{expected!r}, at once",
                got=f"The reader waited {1000 * (clock() - start):.0f} ms for what was meant for "
                "later.",
                hint="Start a task that loads and stores, and return what is at hand.",
            )
        if value != expected:
            raise Unmet(expected=repr(expected), got=f"The reader got {value!r}.")

    await _one_refresh(read)
    await _one_refresh_a_key(read)
    await _from_the_moment_itself(read)
    await _a_task_that_stays(read)
    with _hearing() as heard:
        await _tries_again(read)
        gc.collect()
    if unseen:
        raise Unmet(
            expected="somebody who hears that the refresh failed",
            got="The refresh failed and nobody looked.",
            hint="Inside the task: try, except Exception, and log it.",
        )
    if not heard.printed.getvalue() and not any(n >= logging.WARNING for n in heard.levels):
        got = "The refresh failed, and its error went nowhere."
        if heard.levels:
            level = logging.getLevelName(max(heard.levels))
            got = f"The refresh failed, and said so at the level {level}, which nobody sees."
        raise Unmet(
            expected="somebody who hears that the refresh failed",
            got=got,
            hint='Log it as a warning: logging.getLogger("shop").warning("...: %r", error).',
        )
    return "fresh, stale, forty at once, two keys, a failure"


Read = Callable[..., Coroutine[Any, Any, None]]


async def _one_refresh(read: Read) -> None:
    cache, source = OldPages(fresh_for=60), Source("new", seconds=0.2)
    await read(cache, source.load)
    await asyncio.sleep(1)
    if source.loads:
        raise Unmet(
            expected="no load: the page is fresh",
            got="A fresh page was loaded again.",
            hint="It is fresh while time.monotonic() < expires.",
        )
    await asyncio.sleep(60)
    for _ in range(40):
        await read(cache, source.load)
        await asyncio.sleep(0.001)
    if not source.loads:
        raise Unmet(
            expected="1 load for 40 stale hits",
            got="40 stale hits, and no load.",
            hint="Start a task with asyncio.create_task; in it, await load().",
        )
    if source.loads != 1:
        raise Unmet(
            expected="1 load for 40 stale hits",
            got=f"40 stale hits, {source.loads} loads.",
            hint="Note in cache.refreshes which key is being refreshed, and look there first.",
        )
    await asyncio.sleep(1)
    if cache.entries["user:1"][0] != "new" or cache.entries["user:1"][1] < clock() + 50:
        raise Unmet(
            expected="'new' in cache.entries, for 60 seconds from then on",
            got="The refresh is over, and the old page is still there.",
            hint="Store the pair: the value, and time.monotonic() + cache.ttl.",
        )
    await asyncio.sleep(61)
    await read(cache, source.load, "new")
    await asyncio.sleep(1)
    if source.loads < 2:
        raise Unmet(
            expected="another refresh, now that the page has expired again",
            got="1 refresh, and then no more.",
            hint="When the refresh ends, well or not, take its key out of cache.refreshes.",
        )


async def _one_refresh_a_key(read: Read) -> None:
    cache, one, two = OldPages(fresh_for=-1), Source("new"), Source("new, too")
    await read(cache, one.load)
    await asyncio.sleep(0.01)
    await read(cache, two.load, key="user:2")
    await asyncio.sleep(1)
    if (one.loads, two.loads) != (1, 1):
        raise Unmet(
            expected="2 refreshes for 2 keys, at the same time",
            got="user:2 was stale, and not refreshed: a refresh of user:1 was under way.",
            hint="One refresh a key: look whether the key is in cache.refreshes.",
        )
    if (pages := [value for value, _ in cache.entries.values()]) != ["new", "new, too"]:
        raise Unmet(expected="'new' and 'new, too', each in its entry", got=f"{pages}.")


async def _from_the_moment_itself(read: Read) -> None:
    cache, source = OldPages(fresh_for=0), Source("new")
    await read(cache, source.load)
    await asyncio.sleep(1)
    if not source.loads:
        raise Unmet(
            expected="a refresh at the very moment when the page expires",
            got="At time.monotonic() == expires the page was taken for a fresh one.",
            hint="Fresh means now < expires: at the moment itself its time is over, so `>=`.",
        )


async def _a_task_that_stays(read: Read) -> None:
    """A load that waits for an answer that nobody but its own task holds on to."""
    cache, answers = OldPages(fresh_for=-1), weakref.WeakSet[Any]()

    async def load() -> Any:
        answers.add(page := asyncio.get_running_loop().create_future())
        return await page

    await read(cache, load)
    await asyncio.sleep(0.01)
    gc.collect()
    if not answers:
        raise Unmet(
            expected="a refresh that goes on until it is done",
            got="The refresh vanished half-way: nobody held its task.",
            hint="A loop forgets a task that nobody holds. "
            "Keep it: cache.refreshes[key] = asyncio.create_task(...).",
        )
    for page in answers:
        page.set_result("new")
    await asyncio.sleep(1)


async def _tries_again(read: Read) -> None:
    cache, source = OldPages(fresh_for=-1), Source(ConnectionError("down"))
    for reader in (1, 2):
        await read(cache, source.load)
        await asyncio.sleep(30)
        if source.loads < reader:
            raise Unmet(
                expected="another attempt when the next reader comes",
                got="A refresh failed once, and was never tried again.",
                hint="When the refresh ends, well or not, take its key out of cache.refreshes.",
            )
        if source.loads > reader:
            raise Unmet(
                expected="1 attempt for 1 reader",
                got=f"1 reader, and {source.loads - reader + 1:,} attempts while the database is "
                "down.",
                hint="No loop: log the failure, and let the next reader try again.",
            )
    cache.refreshes.clear()
