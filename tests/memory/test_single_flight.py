"""However many ask for a key at once, one load runs, and it belongs to all who wait for it."""

import asyncio
import contextlib
import copy
import logging
import traceback
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from tests.tools.async_cache_tools import Loads, ManualClock, answer, begin, nothing_left, turns

pytestmark = pytest.mark.anyio
__all__ = ["nothing_left"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> AsyncCache:
    return AsyncCache(clock=clock)


async def callers(cache: AsyncCache, loads: Loads, number: int) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.create_task(cache.get_or_load("k", loads)) for _ in range(number)]
    await turns()
    return tasks


# One load for all


async def test_ten_thousand_callers_one_load(cache: AsyncCache) -> None:
    """10,000 ask at once, the database is asked once, and all get the very same value."""
    loads = Loads()
    tasks = await callers(cache, loads, 10_000)
    page = object()
    loads[0].set_result(page)
    assert set(await asyncio.gather(*tasks)) == {page}
    assert len(loads) == 1
    stats = cache.stats()
    assert (stats.misses, stats.shared, stats.loads) == (1, 9_999, 1)


async def test_keys_do_not_wait_for_each_other(cache: AsyncCache) -> None:
    """A slow load of one key holds up nobody who asks for another."""
    loads = Loads()
    slow = await begin(cache.get_or_load("slow", loads))
    assert await cache.get_or_load("quick", lambda: answer("q")) == "q"
    assert not slow.done()
    loads[0].set_result("s")
    assert await slow == "s"


async def test_get_does_not_wait_for_a_load(cache: AsyncCache) -> None:
    """get says what is there now: nothing, until the load has ended."""
    loads = Loads()
    (caller,) = await callers(cache, loads, 1)
    assert await cache.get("k", "nothing") == "nothing"
    loads[0].set_result("v")
    await caller
    assert await cache.get("k") == "v"


async def test_the_next_expiry_is_one_load_again(cache: AsyncCache, clock: ManualClock) -> None:
    """Each time the value expires, the crowd causes one load."""
    loads = Loads()
    for n in range(3):
        tasks = await callers(cache, loads, 50)
        loads[n].set_result(n)
        assert set(await asyncio.gather(*tasks)) == {n}
        clock.now += 300
    assert len(loads) == 3


async def test_without_keeping_there_is_still_one_load_at_a_time(cache: AsyncCache) -> None:
    """With ttl=0 nothing is kept, and yet those who ask at once share one load."""
    loads = Loads()
    tasks = [asyncio.create_task(cache.get_or_load("k", loads, ttl=0)) for _ in range(5)]
    await turns()
    loads[0].set_result("v")
    assert await asyncio.gather(*tasks) == ["v"] * 5
    assert len(loads) == 1
    assert await cache.get("k") is None


async def test_a_caller_who_comes_as_the_load_ends(cache: AsyncCache) -> None:
    """At whatever turn of the loop somebody comes, the value arrives and one load was enough."""
    for turn in range(6):
        loads = Loads()
        (first,) = await callers(cache, loads, 1)
        loads[0].set_result(turn)
        await turns(turn)
        assert await cache.get_or_load("k", loads) == turn
        assert await first == turn
        assert len(loads) == 1
        await cache.clear()


async def test_the_terms_are_those_of_the_first(cache: AsyncCache, clock: ManualClock) -> None:
    """Who joins a load does not change for how long its value is kept."""
    loads = Loads()
    first = await begin(cache.get_or_load("k", loads, ttl=10))
    second = await begin(cache.get_or_load("k", loads, ttl=1000))
    loads[0].set_result("v")
    await asyncio.gather(first, second)
    clock.now += 10
    assert await cache.get("k") is None


# Who leaves, and who stays


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_one_leaves_and_the_others_get_the_value(cache: AsyncCache, leaver: int) -> None:
    """The first, the last or any other caller is cancelled: nobody else notices."""
    loads = Loads()
    tasks = await callers(cache, loads, 3)
    tasks[leaver].cancel()
    await turns()
    assert tasks[leaver].cancelled()
    assert not loads[0].done()
    loads[0].set_result("v")
    staying = [task for task in tasks if task is not tasks[leaver]]
    assert await asyncio.gather(*staying) == ["v", "v"]
    assert await cache.get("k") == "v"
    assert len(loads) == 1


async def test_a_timeout_around_one_caller_is_its_own(cache: AsyncCache) -> None:
    """A caller whose patience ends gets TimeoutError; the other gets the value."""
    loads = Loads()
    (patient,) = await callers(cache, loads, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cache.get_or_load("k", loads)
    loads[0].set_result("v")
    assert await patient == "v"


async def test_the_last_one_out_cancels_the_load(cache: AsyncCache) -> None:
    """When nobody waits any longer the load is cancelled, and stores nothing."""
    loads = Loads()
    tasks = await callers(cache, loads, 3)
    for task in tasks:
        task.cancel()
        assert not loads[0].cancelled()
        await turns()
    assert loads[0].cancelled()
    assert cache.stats().size == cache.stats().loads == cache.stats().misses == 0


@pytest.mark.parametrize("first", ["caller", "load"])
async def test_a_shutdown_lets_a_load_clean_up(cache: AsyncCache, first: str) -> None:
    """It cancels caller and load; a load cancelled twice could not wait for its own cleanup."""
    cleaned: list[bool] = []

    async def loader() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns()
            cleaned.append(True)

    before = asyncio.all_tasks()
    caller = await begin(cache.get_or_load("k", loader))
    [load] = asyncio.all_tasks() - before - {caller}
    for task in [caller, load] if first == "caller" else [load, caller]:
        task.cancel()
    await asyncio.wait([caller, load])
    assert cleaned


async def test_a_load_that_cannot_begin_holds_nobody_up(
    cache: AsyncCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a recursion has used up the stack: the next caller loads."""

    def full(*args: Any, **options: Any) -> Any:
        raise RecursionError

    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "create_task", full)
        with pytest.raises(RecursionError):
            await cache.get_or_load("k", lambda: answer("v"))
    async with asyncio.timeout(5):
        assert await cache.get_or_load("k", lambda: answer("v")) == "v"


async def test_who_comes_as_the_last_one_leaves_starts_afresh(cache: AsyncCache) -> None:
    """A load that is being cancelled is joined by nobody: at every turn of the loop."""
    for turn in range(6):
        loads = Loads()
        (last,) = await callers(cache, loads, 1)
        last.cancel()
        await turns(turn)
        late = await begin(cache.get_or_load("k", loads))
        assert not late.done()
        loads[-1].set_result("v")
        assert await late == "v"
        assert last.cancelled()
        await cache.clear()


async def test_a_load_that_is_slow_to_die_is_not_joined(cache: AsyncCache) -> None:
    """While the cancelled load still cleans up, a newcomer has a load of its own."""
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def slow_to_die() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await cleaned.wait()
        return "never"

    last = await begin(cache.get_or_load("k", slow_to_die))
    last.cancel()
    await cleaning.wait()
    assert await cache.get_or_load("k", lambda: answer("fresh")) == "fresh"
    cleaned.set()
    await turns()
    assert await cache.get("k") == "fresh"


async def test_a_load_that_survives_its_cancellation_stores_nothing(cache: AsyncCache) -> None:
    """A loader that swallows the cancellation and returns all the same has lost its right."""

    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "old"

    last = await begin(cache.get_or_load("k", stubborn))
    last.cancel()
    await turns()
    assert await cache.get("k") is None


# Errors


async def test_an_error_reaches_all_and_is_not_kept(cache: AsyncCache) -> None:
    """Everybody who waits gets the error, and the next caller tries again."""
    loads = Loads()
    tasks = await callers(cache, loads, 5)
    loads[0].set_exception(LookupError("no such user"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["no such user"] * 5
    assert {type(result) for result in results} == {LookupError}
    stats = cache.stats()
    assert (stats.loads, stats.load_failures, stats.misses, stats.shared) == (0, 1, 1, 4)
    assert await cache.get_or_load("k", lambda: answer("v")) == "v"


class WantsOther(Exception):
    """Its arguments are not what it keeps, so it cannot be copied by calling it again."""

    def __init__(self, user: int, *, table: str) -> None:
        super().__init__(f"no {user} in {table}")
        self.user = user


class Decorated(Exception):
    """Copied by calling it again, it would say everything twice."""

    def __init__(self, what: str) -> None:
        super().__init__(f"<{what}>")


@dataclass(frozen=True)
class Frozen(Exception):
    """No attribute of it can be set: neither a context nor a cause."""

    user: int


class Incomparable(Exception):
    """Its arguments can't be compared, like an array of numpy."""

    def __init__(self, array: object) -> None:
        super().__init__(copy.copy(array))


class Array:
    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class FromErrno(OSError):
    """Its number lies in C, and its class sets it when it is called."""

    def __init__(self, host: str, error: OSError) -> None:
        super().__init__(error.errno, error.strerror)
        self.host = host


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, text: str, *, code: int) -> None:
        super().__init__(text)
        self.code = code


ERRORS: list[Callable[[], Exception]] = [
    lambda: ValueError("bad"),
    lambda: KeyError("k"),
    lambda: ConnectionError("down"),
    lambda: FileNotFoundError(2, "No such file", "page.html"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
    lambda: WantsOther(7, table="users"),
    lambda: Decorated("x"),
    lambda: FromErrno("db", OSError(111, "Connection refused")),
    lambda: Slotted("bad", code=7),
    lambda: NameError("who?", name="who"),
    lambda: AttributeError("no page", name="page", obj=cached_pages),
]


cached_pages = object()
FIELDS = "args", "errno", "strerror", "filename", "code", "name", "obj", "start", "exceptions"


def fails(error: Exception) -> Callable[[], Awaitable[Any]]:
    async def loader() -> Any:
        raise error from OSError("the cause")

    return loader


@pytest.mark.parametrize("make", ERRORS)
async def test_every_waiter_has_an_exception_of_its_own(
    cache: AsyncCache, make: Callable[[], Exception]
) -> None:
    """Equal in all that can be seen, but distinct: what one caller does to its own stays there."""
    error = make()
    error.add_note("seen by the loader")
    tasks = [asyncio.create_task(cache.get_or_load("k", fails(error))) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert len({id(result) for result in results}) == 3
    for result in results:
        assert type(result) is type(error)
        assert (str(result), repr(result)) == (str(error), repr(error))
        assert isinstance(result, Exception)
        assert isinstance(result.__cause__, OSError)
        assert vars(result) == vars(error)
        for name in FIELDS:
            assert getattr(result, name, None) == getattr(error, name, None)
        result.add_note("mine")
        assert result.__notes__ == ["seen by the loader", "mine"]
    assert error.__notes__ == ["seen by the loader"]


@pytest.mark.parametrize("make", [lambda: Frozen(7), lambda: Incomparable(Array())])
async def test_an_exception_that_cannot_be_copied_still_arrives(
    cache: AsyncCache, make: Callable[[], Exception]
) -> None:
    """However odd its class, nobody is left waiting."""
    error = make()

    async def loader() -> Any:
        raise error

    tasks = [asyncio.create_task(cache.get_or_load("k", loader)) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {type(error)}


@pytest.mark.parametrize("make", [*ERRORS, lambda: Incomparable(Array())])
async def test_a_shared_error_does_not_grow(
    cache: AsyncCache, make: Callable[[], Exception]
) -> None:
    """The hundredth waiter sees as long a traceback as the first, and its own context."""
    lengths: list[int] = []

    async def ask(number: int) -> None:
        try:
            raise RuntimeError(number)
        except RuntimeError as mine:
            with pytest.raises(Exception) as caught:
                await cache.get_or_load("k", loads)
            lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
            contexts[number] = (caught.value, mine)

    loads = Loads()
    contexts: dict[int, tuple[BaseException, BaseException]] = {}
    tasks = [asyncio.create_task(ask(number)) for number in range(100)]
    await turns()
    loads[0].set_exception(make())
    await asyncio.gather(*tasks)
    assert len(set(lengths)) == 1
    assert all(error.__context__ is mine for error, mine in contexts.values())


async def test_the_traceback_shows_the_loader(cache: AsyncCache) -> None:
    """Who gets the error sees the line of the loader that raised it."""
    with pytest.raises(ValueError, match="bad") as caught:
        await cache.get_or_load("k", fails(ValueError("bad")))
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[0] == "test_the_traceback_shows_the_loader"
    assert names[-1] == "loader"


async def test_an_error_in_the_call_itself(cache: AsyncCache) -> None:
    """A loader that raises before there is anything to await fails like any other."""

    def loader() -> Awaitable[Any]:
        raise LookupError("at once")

    tasks = [asyncio.create_task(cache.get_or_load("k", loader)) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["at once"] * 3
    assert cache.stats().load_failures == 1


async def test_a_loader_that_cannot_be_called(cache: AsyncCache) -> None:
    """Passing the coroutine in place of the function is a TypeError that says what to do."""
    coroutine = answer("v")
    with pytest.raises(TypeError, match=r"loader .* got coroutine: pass the function itself"):
        await cache.get_or_load("k", coroutine)  # type: ignore[arg-type]
    coroutine.close()
    with pytest.raises(TypeError, match=r"loader .* got NoneType"):
        await cache.get_or_load("k", None)  # type: ignore[arg-type]
    assert await cache.get_or_load("k", lambda: answer("v")) == "v"


async def test_a_loader_that_is_not_async(cache: AsyncCache) -> None:
    """A function whose result cannot be awaited is a TypeError for all who wait."""
    loader: Any = lambda: 5  # noqa: E731
    tasks = [asyncio.create_task(cache.get_or_load("k", loader)) for _ in range(2)]
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, TypeError)
        assert "int" in str(result)
    assert cache.stats().size == 0


async def test_a_loader_may_return_any_awaitable(cache: AsyncCache) -> None:
    """A future or a task will do."""
    future = asyncio.get_running_loop().create_future()
    caller = await begin(cache.get_or_load("a", lambda: future))
    future.set_result(1)
    assert await caller == 1
    assert await cache.get_or_load("b", lambda: asyncio.create_task(answer(2))) == 2


async def test_a_loader_that_gives_itself_up(cache: AsyncCache) -> None:
    """CancelledError out of the loader reaches all who wait, is not kept, and nobody hangs."""

    async def loader() -> Any:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    tasks = [asyncio.create_task(cache.get_or_load("k", loader)) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 3
    assert await cache.get_or_load("k", lambda: answer("v")) == "v"
    assert cache.stats().misses == 1


async def test_an_error_that_nobody_waits_for_is_logged(
    cache: AsyncCache, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one left, the load fails while it is cancelled: one warning, no lost exception."""

    async def loader() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    last = await begin(cache.get_or_load("k", loader))
    last.cancel()
    with caplog.at_level(logging.WARNING, "cachepool_lib"):
        await turns()
    assert [record.getMessage() for record in caplog.records] == [
        "loading 'k' failed while nobody waited"
    ]


# Leases: who writes during a load


@pytest.mark.parametrize("ending", ["value", "error"])
async def test_set_during_a_load_wins(cache: AsyncCache, ending: str) -> None:
    """The older load gives its callers what it found, and leaves the newer value alone."""
    loads = Loads()
    (caller,) = await callers(cache, loads, 1)
    await cache.set("k", "new")
    assert await cache.get_or_load("k", loads) == "new"
    if ending == "value":
        loads[0].set_result("old")
        assert await caller == "old"
    else:
        loads[0].set_exception(LookupError())
        with pytest.raises(LookupError):
            await caller
    assert await cache.get("k") == "new"
    assert len(loads) == 1


@pytest.mark.parametrize("forget", ["delete", "clear", "set ttl=0"])
async def test_what_was_deleted_during_a_load_is_not_stored(cache: AsyncCache, forget: str) -> None:
    """Who waited gets the old value, nobody else does, and who comes after loads afresh."""
    loads = Loads()
    (early,) = await callers(cache, loads, 1)
    if forget == "delete":
        assert await cache.delete("k") is False
    elif forget == "clear":
        await cache.clear()
    else:
        await cache.set("k", "x", ttl=0)
    (late,) = await callers(cache, loads, 1)
    assert len(loads) == 2
    loads[0].set_result("old")
    assert await early == "old"
    assert await cache.get("k") is None
    loads[1].set_result("new")
    assert await late == "new"
    assert await cache.get("k") == "new"


async def test_the_older_load_ends_last(cache: AsyncCache) -> None:
    """It finds a newer entry and does not touch it, whether it gives a value or raises."""
    for ending in "value", "error":
        loads = Loads()
        (early,) = await callers(cache, loads, 1)
        await cache.delete("k")
        (late,) = await callers(cache, loads, 1)
        loads[1].set_result("new")
        assert await late == "new"
        if ending == "value":
            loads[0].set_result("old")
        else:
            loads[0].set_exception(LookupError())
        await asyncio.gather(early, return_exceptions=True)
        assert await cache.get("k") == "new"
        await cache.clear()


async def test_delete_while_two_generations_load(cache: AsyncCache) -> None:
    """Each delete voids the load of its time; a third caller gets a third load."""
    loads = Loads()
    tasks = []
    for _ in range(3):
        tasks += await callers(cache, loads, 2)
        await cache.delete("k")
    for n in range(3):
        loads[n].set_result(n)
    assert await asyncio.gather(*tasks) == [0, 0, 1, 1, 2, 2]
    assert await cache.get("k") is None


async def test_last_one_out_of_a_voided_load_cancels_it(cache: AsyncCache) -> None:
    """A load that lost its right to store is still ended when nobody waits for it."""
    loads = Loads()
    (caller,) = await callers(cache, loads, 1)
    await cache.delete("k")
    (late,) = await callers(cache, loads, 1)
    caller.cancel()
    await turns()
    assert loads[0].cancelled()
    assert not loads[1].done()
    (later,) = await callers(cache, loads, 1)
    assert len(loads) == 2  # the newer load is the one to join, as before
    loads[1].set_result("new")
    assert await late == await later == "new"
    assert await cache.get("k") == "new"


async def test_a_loader_that_writes_itself(cache: AsyncCache) -> None:
    """What the loader sets is a newer word than what it returns."""

    async def loader() -> str:
        await cache.set("k", "set by the loader")
        return "returned"

    assert await cache.get_or_load("k", loader) == "returned"
    assert await cache.get("k") == "set by the loader"


async def test_a_load_may_need_another_key(cache: AsyncCache) -> None:
    """Loaders ask the same cache for what they are made of, and share those loads too."""
    loads = Loads()

    async def page() -> Any:
        return ["page of", await cache.get_or_load("user", loads)]

    first = await begin(cache.get_or_load("page", page))
    second = await begin(cache.get_or_load("user", loads))
    loads[0].set_result("Ada")
    assert await first == ["page of", "Ada"]
    assert await second == "Ada"


# The callers' own


variable: ContextVar[str] = ContextVar("variable", default="nobody")


async def test_context_variables_stay_with_their_callers(cache: AsyncCache) -> None:
    """The loader sees those of the caller that started it; nobody sees what it sets."""
    seen = []
    go = asyncio.Event()

    async def loader() -> str:
        seen.append(variable.get())
        variable.set("the loader")
        await go.wait()
        seen.append(variable.get())
        return "v"

    async def caller(name: str) -> str:
        variable.set(name)
        await cache.get_or_load("k", loader)
        return variable.get()

    tasks = [asyncio.create_task(caller(name)) for name in ("Ada", "Ben", "Cyd")]
    await turns()
    go.set()
    assert await asyncio.gather(*tasks) == ["Ada", "Ben", "Cyd"]
    assert seen == ["Ada", "the loader"]
    assert variable.get() == "nobody"


async def test_a_task_group_is_not_confused(cache: AsyncCache) -> None:
    """In a TaskGroup one load that fails ends the group by that error alone."""
    loads = Loads()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(cache.get_or_load("k", loads))
            await turns()
            loads[0].set_exception(LookupError("gone"))
    assert {str(error) for error in caught.value.exceptions} == {"gone"}
    assert await cache.get_or_load("k", lambda: answer("v")) == "v"
