"""`get_or_load_many`: all that is promised of one key, of many, and one call of the loader."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from cachepool_lib import AsyncCache, NotLoaded
from tests.tools import redis_tools, tiered_tools
from tests.tools.async_cache_tools import Loads, ManualClock, answer, nothing_left, turns

pytestmark = pytest.mark.anyio
__all__ = ["nothing_left"]

Cache = Any


class ManyLoads:
    """A loader whose calls end when the test says so: `loads.ends[0].set_result({"a": 1})`."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.ends: list[asyncio.Future[Any]] = []

    async def __call__(self, keys: list[Any]) -> Any:
        self.asked.append(keys)
        self.ends.append(asyncio.get_running_loop().create_future())
        return await self.ends[-1]

    async def begun(self, number: int = 1) -> None:
        """Wait until so many calls of it have begun."""
        await redis_tools.until(lambda: len(self.ends) >= number)


async def doubled(keys: list[Any]) -> dict[Any, Any]:
    return {key: 2 * key for key in keys}


@dataclass
class Store:
    """A cache, and how time passes for what is in it."""

    cache: Cache
    let_pass: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", "Redis", "two tiers"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Each store that there is."""
    if request.param == "memory":
        clock = ManualClock()

        async def let_pass(seconds: float) -> None:
            clock.now += seconds

        async with AsyncCache(clock=clock) as made:
            yield Store(made, let_pass)
    elif request.param == "Redis":
        async with redis_tools.cache() as made, redis_tools.raw() as client:
            name = redis_tools.namespace_of(made)
            yield Store(made, lambda seconds: redis_tools.shift(client, name, seconds))
    else:
        clock = ManualClock()

        async def let_both_pass(seconds: float) -> None:
            clock.now += seconds
            await redis_tools.shift(client, tiered_tools.namespace_of(tiers), seconds)

        async with tiered_tools.cache(clock=clock) as tiers, redis_tools.raw() as client:
            yield Store(tiers, let_both_pass)


@pytest.fixture
def cache(store: Store) -> Cache:
    return store.cache


def begin(call: Any) -> "asyncio.Task[Any]":
    return asyncio.ensure_future(call)


def counted(cache: Cache) -> tuple[int, int, int, int, int]:
    """hits, stale hits, misses, shared, loads."""
    seen = cache.stats()
    return seen.hits, seen.stale_hits, seen.misses, seen.shared, seen.loads


# What is loaded


async def test_what_is_not_at_hand_is_loaded_by_one_call(cache: Cache) -> None:
    """The answer is in the order of the keys; a key that is named twice is one."""
    loads = ManyLoads()
    await cache.set_many({1: "one", 3: None})
    call = begin(cache.get_or_load_many([4, 3, 2, 1, 4], loads))
    await loads.begun()
    loads.ends[0].set_result({2: "two", 4: "four"})
    assert list((await call).items()) == [(4, "four"), (3, None), (2, "two"), (1, "one")]
    assert loads.asked == [[4, 2]]
    assert counted(cache) == (2, 0, 2, 0, 2)
    assert await cache.get_many([1, 2, 3, 4]) == {1: "one", 2: "two", 3: None, 4: "four"}


async def test_where_all_is_at_hand_nothing_is_loaded(cache: Cache) -> None:
    loads = ManyLoads()
    await cache.set_many({1: "one", 2: "two"})
    assert list(await cache.get_or_load_many((2, 1), loads)) == [2, 1]
    assert await cache.get_or_load_many([], loads) == {}
    assert loads.asked == []


async def test_a_hundred_users(cache: Cache) -> None:
    """As the docstring tells it."""
    asked = []

    async def load_users(keys: list[tuple[str, int]]) -> dict[tuple[str, int], Any]:
        asked.append(len(keys))
        return {("user", id): {"id": id} for _, id in keys}

    keys = [("user", id) for id in range(100)]
    for _ in range(2):
        users = await cache.get_or_load_many(keys, load_users, ttl=60)
        assert list(users) == keys
        assert users["user", 7] == {"id": 7}
    assert asked == [100]


async def test_the_ttl_may_be_a_function_of_each_value(store: Store) -> None:
    """So a user who does not exist is asked for again sooner."""

    async def load(keys: list[Any]) -> dict[Any, Any]:
        return {key: None if key == "nobody" else "page" for key in keys}

    def ttl(value: Any) -> float:
        return 60 if value else 5

    await store.cache.get_or_load_many(["a", "nobody"], load, ttl)
    await store.let_pass(6)
    assert await store.cache.get_many(["a", "nobody"]) == {"a": "page"}


async def test_a_ttl_that_is_none_fails_its_key(cache: Cache) -> None:
    """The others are kept, and the error says what was wrong."""
    with pytest.raises(ValueError, match="ttl must be 0 or more, got -1"):
        await cache.get_or_load_many([1, 2], doubled, ttl=lambda value: 3 - value)
    assert await cache.get_many([1, 2]) == {1: 2}


async def test_what_the_loader_leaves_out_is_absent(cache: Cache) -> None:
    """It is not stored, and no failure: the next one asks for it again."""
    loads = ManyLoads()
    for number in range(2):
        call = begin(cache.get_or_load_many(["a", "b"], loads))
        await loads.begun(number + 1)
        loads.ends[number].set_result({"a": 1} if not number else {})
        assert await call == {"a": 1}
    assert loads.asked == [["a", "b"], ["b"]]
    assert cache.stats().load_failures == 0
    assert counted(cache) == (1, 0, 3, 0, 1)


async def test_who_joined_a_load_that_gave_nothing_is_told(cache: Cache) -> None:
    """By NotLoaded, a LookupError; in get_or_load_many the key is absent for this one, too."""
    loads = ManyLoads()
    first = begin(cache.get_or_load_many(["a", "b"], loads))
    await loads.begun()
    one = begin(cache.get_or_load("a", lambda: answer("another")))
    many = begin(cache.get_or_load_many(["a", "b"], loads))
    await redis_tools.until(lambda: waiting(cache, "a") == waiting(cache, "b") + 1 == 3)
    loads.ends[0].set_result({"b": 1})
    assert await first == await many == {"b": 1}
    with pytest.raises(NotLoaded, match="left it out"):
        await one
    assert issubclass(NotLoaded, LookupError)
    assert await cache.get_or_load("a", lambda: answer("another")) == "another"


def waiting(cache: Cache, key: Any) -> int:
    """How many wait for the load of *key*."""
    loads = cache._calls.current if isinstance(cache, AsyncCache) else redis_tools.loads_of(cache)
    return len(loads[key].waiters) if key in loads else 0


# Bad arguments


@pytest.mark.parametrize("wrong", [["a"], None, "page"])
async def test_a_loader_that_returns_no_dict(cache: Cache, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"must return a dict .* got {type(wrong).__name__}"):
        await cache.get_or_load_many(["a"], lambda keys: answer(wrong))
    assert await cache.get_many(["a"]) == {}


async def test_a_loader_that_returns_other_keys(cache: Cache) -> None:
    """As "7" for 7: else each would be loaded again and again, and none would be found."""
    with pytest.raises(ValueError, match=r"a value for '7', which it was not asked for.* as 7"):
        await cache.get_or_load_many([7, 8], lambda keys: answer({"7": "page"}))
    assert await cache.get_many([7, 8, "7"]) == {}


async def test_bad_arguments_are_refused_before_anything_is_loaded(cache: Cache) -> None:
    """Also where all is at hand, and the message names what is wrong."""
    await cache.set("a", 1)
    loads = ManyLoads()
    for options, error, what in (
        ({"ttl": -1}, ValueError, "ttl must be 0 or more"),
        ({"stale_if_error": "long"}, TypeError, "stale_if_error must be a number"),
        ({"stale_if_eror": 60}, TypeError, "'stale_if_eror'"),
    ):
        options_of_any_kind: Any = options
        with pytest.raises(error, match=what):
            await cache.get_or_load_many(["a"], loads, **options_of_any_kind)
    coroutine = answer({})
    with pytest.raises(TypeError, match=r"loader .* got coroutine: pass the function itself"):
        await cache.get_or_load_many(["a"], coroutine)
    coroutine.close()
    assert loads.asked == []


# Single flight


async def test_what_is_under_way_is_left_out_and_waited_for(cache: Cache) -> None:
    """The rest does not wait for it, and each key is loaded once."""
    single, loads = Loads(), ManyLoads()
    before = begin(cache.get_or_load("b", single))
    await redis_tools.until(lambda: len(single))
    call = begin(cache.get_or_load_many(["a", "b", "c"], loads))
    await loads.begun()
    assert loads.asked == [["a", "c"]]
    loads.ends[0].set_result({"a": 1, "c": 3})
    await redis_tools.until(lambda: cache.stats().loads == 2)
    assert not call.done()
    single[0].set_result(2)
    assert await call == {"a": 1, "b": 2, "c": 3}
    assert await before == 2
    assert counted(cache)[2:] == (3, 1, 3)


async def test_two_lists_that_overlap_load_each_key_once(cache: Cache) -> None:
    first, second = ManyLoads(), ManyLoads()
    one = begin(cache.get_or_load_many([1, 2, 3], first))
    await first.begun()
    two = begin(cache.get_or_load_many([2, 3, 4], second))
    await second.begun()
    assert (first.asked, second.asked) == ([[1, 2, 3]], [[4]])
    first.ends[0].set_result({1: 1, 2: 2, 3: 3})
    second.ends[0].set_result({4: 4})
    assert await one == {1: 1, 2: 2, 3: 3}
    assert await two == {2: 2, 3: 3, 4: 4}


async def test_a_list_that_is_wholly_under_way_loads_nothing(cache: Cache) -> None:
    first, second = ManyLoads(), ManyLoads()
    one = begin(cache.get_or_load_many([1, 2], first))
    await first.begun()
    two = begin(cache.get_or_load_many([2, 1], second))
    await redis_tools.until(lambda: waiting(cache, 1) == waiting(cache, 2) == 2)
    first.ends[0].set_result({1: 1, 2: 2})
    assert await two == await one == {1: 1, 2: 2}
    assert second.asked == []


async def test_who_asks_for_one_of_them_meanwhile_joins(cache: Cache) -> None:
    loads, single = ManyLoads(), Loads()
    many = begin(cache.get_or_load_many(["a", "b"], loads))
    await loads.begun()
    one = begin(cache.get_or_load("a", single))
    await redis_tools.until(lambda: waiting(cache, "a") == 2)
    loads.ends[0].set_result({"a": 1, "b": 2})
    assert (await many, await one) == ({"a": 1, "b": 2}, 1)
    assert len(single) == 0


# Who leaves, and who stays


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_one_leaves_and_the_others_get_their_values(cache: Cache, leaver: int) -> None:
    """Be it the list that began the load, another list, or a caller of one key."""
    loads = ManyLoads()
    callers = [begin(cache.get_or_load_many(["a", "b"], loads))]
    await loads.begun()
    callers.append(begin(cache.get_or_load_many(["b", "a"], loads)))
    callers.append(begin(cache.get_or_load("a", lambda: answer("another"))))
    await redis_tools.until(lambda: waiting(cache, "a") == 3)
    callers[leaver].cancel()
    await asyncio.wait([callers[leaver]])
    assert callers[leaver].cancelled()
    loads.ends[0].set_result({"a": 1, "b": 2})
    wanted: list[Any] = [{"a": 1, "b": 2}, {"a": 1, "b": 2}, 1]
    for caller, value in zip(callers, wanted, strict=True):
        if caller is not callers[leaver]:
            assert await caller == value
    assert await cache.get_many(["a", "b"]) == {"a": 1, "b": 2}


async def test_the_last_one_out_cancels_the_loader(cache: Cache) -> None:
    """Nothing is stored, and whoever comes next begins anew."""
    loads = ManyLoads()
    call = begin(cache.get_or_load_many(["a", "b"], loads))
    await loads.begun()
    call.cancel()
    await asyncio.wait([call])
    await redis_tools.until(loads.ends[0].cancelled)
    await redis_tools.until(lambda: not waiting(cache, "a"))
    again = begin(cache.get_or_load_many(["a", "b"], loads))
    await loads.begun(2)
    loads.ends[1].set_result({"a": 1, "b": 2})
    assert await again == {"a": 1, "b": 2}


async def test_a_caller_may_leave_at_any_turn(cache: Cache) -> None:
    """Whoever shares a key with it gets that key's value."""
    for turn in range(12):
        leaving = begin(cache.get_or_load_many([1, 2], doubled))
        staying = begin(cache.get_or_load_many([2, 3], doubled))
        await turns(turn)
        leaving.cancel()
        assert await staying == {2: 4, 3: 6}
        await asyncio.wait([leaving])
        await cache.clear()


# Errors


async def test_a_loader_that_fails_reaches_all_who_wait(cache: Cache) -> None:
    """Nothing is kept: the next one tries again."""
    loads = ManyLoads()
    callers = [begin(cache.get_or_load_many(["a", "b"], loads))]
    await loads.begun()
    callers.append(begin(cache.get_or_load_many(["b"], loads)))
    callers.append(begin(cache.get_or_load("a", lambda: answer("another"))))
    await redis_tools.until(lambda: waiting(cache, "a") == waiting(cache, "b") == 2)
    loads.ends[0].set_exception(LookupError("the database is down"))
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [repr(result) for result in results] == [repr(LookupError("the database is down"))] * 3
    assert len({id(result) for result in results}) == 3
    assert await cache.get_or_load_many([1, 2], doubled) == {1: 2, 2: 4}


async def test_the_error_of_a_load_that_was_joined_is_raised(cache: Cache) -> None:
    """What was loaded beside it is kept."""
    single = Loads()
    before = begin(cache.get_or_load(2, single))
    await redis_tools.until(lambda: len(single))
    call = begin(cache.get_or_load_many([1, 2], doubled))
    await redis_tools.until(lambda: cache.stats().loads == 1)
    single[0].set_exception(LookupError("gone"))
    for caller in before, call:
        with pytest.raises(LookupError, match="gone"):
            await caller
    assert await cache.get_many([1, 2]) == {1: 2}


async def test_a_loader_that_gives_itself_up(cache: Cache) -> None:
    """CancelledError out of the loader reaches the caller, and nobody hangs."""

    async def loader(keys: list[Any]) -> Any:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    result = await asyncio.gather(cache.get_or_load_many([1, 2], loader), return_exceptions=True)
    assert [type(one) for one in result] == [asyncio.CancelledError]
    assert await cache.get_or_load_many([1, 2], doubled) == {1: 2, 2: 4}


async def test_a_load_that_was_joined_and_gives_itself_up(cache: Cache) -> None:
    """The list waits for what is its own before it says so, and that is kept."""
    single, loads = Loads(), ManyLoads()
    before = begin(cache.get_or_load(2, single))
    await redis_tools.until(lambda: len(single))
    call = begin(cache.get_or_load_many([1, 2], loads))
    await loads.begun()
    await redis_tools.until(lambda: waiting(cache, 2) == 2)
    single[0].cancel()
    await asyncio.wait([before])
    await turns()
    assert not call.done()
    loads.ends[0].set_result({1: 2})
    await asyncio.wait([call])
    assert before.cancelled()
    assert call.cancelled()
    assert await cache.get_many([1, 2]) == {1: 2}


# Writes meanwhile


@pytest.mark.parametrize("write", ["set", "delete"])
async def test_a_write_meanwhile_voids_its_key_alone(cache: Cache, write: str) -> None:
    """The caller gets what was loaded; the others are stored."""
    loads = ManyLoads()
    call = begin(cache.get_or_load_many(["a", "b"], loads))
    await loads.begun()
    await (cache.set("a", "new") if write == "set" else cache.delete("a"))
    loads.ends[0].set_result({"a": "old", "b": "kept"})
    assert await call == {"a": "old", "b": "kept"}
    stored = {"a": "new", "b": "kept"} if write == "set" else {"b": "kept"}
    assert await cache.get_many(["a", "b"]) == stored


async def test_clear_meanwhile_voids_them_all(cache: Cache) -> None:
    loads = ManyLoads()
    call = begin(cache.get_or_load_many(["a", "b"], loads))
    await loads.begun()
    await cache.clear()
    loads.ends[0].set_result({"a": 1, "b": 2})
    assert await call == {"a": 1, "b": 2}
    assert await cache.get_many(["a", "b"]) == {}


async def test_a_loader_that_clears_runs_to_its_end(cache: Cache) -> None:
    async def loader(keys: list[Any]) -> dict[Any, Any]:
        await cache.clear()
        return await doubled(keys)

    assert await cache.get_or_load_many([1, 2], loader) == {1: 2, 2: 4}
    assert await cache.get_many([1, 2]) == {}


# Stale values


async def test_stale_values_at_once_and_one_call_behind_them(store: Store) -> None:
    """What is missing is loaded by the same call; what is fresh is not."""
    cache, loads = store.cache, ManyLoads()
    patient: dict[str, Any] = {"ttl": 60, "stale_while_revalidate": 300}
    await cache.get_or_load_many([1, 2], doubled, **patient)
    await store.let_pass(61)
    await cache.set(3, "fresh")
    assert await cache.get_or_load_many([1, 2, 3], loads, **patient) == {1: 2, 2: 4, 3: "fresh"}
    await loads.begun()
    assert [sorted(keys) for keys in loads.asked] == [[1, 2]]
    loads.ends[0].set_result({1: "new", 2: "new"})
    await redis_tools.until(lambda: cache.stats().loads == 4)
    await redis_tools.until(lambda: not waiting(cache, 1))
    assert cache.stats().stale_hits == 2
    call = begin(cache.get_or_load_many([1, 2, 4], loads, **patient))
    await loads.begun(2)
    assert loads.asked[1:] == [[4]]
    loads.ends[1].set_result({4: 4})
    assert await call == {1: "new", 2: "new", 4: 4}


async def test_stale_values_where_the_loader_fails(store: Store) -> None:
    """With an old value for each key they are the answer; if one has none, it is the error."""
    cache = store.cache
    patient: dict[str, Any] = {"ttl": 60, "stale_if_error": 300}
    await cache.get_or_load_many([1, 2], doubled, **patient)
    await store.let_pass(61)

    async def down(keys: list[Any]) -> Any:
        raise ConnectionError("down")

    assert await cache.get_or_load_many([1, 2], down, **patient) == {1: 2, 2: 4}
    with pytest.raises(ConnectionError):
        await cache.get_or_load_many([1, 2, 3], down, **patient)


async def test_what_is_set_while_the_loader_fails_is_the_answer(cache: Cache) -> None:
    loads = ManyLoads()
    call = begin(cache.get_or_load_many(["a", "b"], loads, stale_if_error=60))
    await loads.begun()
    await cache.set_many({"a": 1, "b": 2})
    loads.ends[0].set_exception(ConnectionError("down"))
    assert await call == {"a": 1, "b": 2}


# In any order


@pytest.mark.parametrize("part", range(10))
async def test_whatever_comes_in_whatever_order(cache: Cache, part: int) -> None:
    """Lists and single keys, writes, failures and callers who leave, at any turn of the loop.

    Whoever stays gets an answer, of no key one that was deleted before the call began, or the
    error that a loader raised; where nobody writes or leaves, no key is loaded twice at a time;
    and nothing is left under way.
    """
    for seed in range(20 if isinstance(cache, AsyncCache) else 2):
        await walk(cache, Random(20 * part + seed), calm=seed % 2 == 0)
        await cache.clear()


async def walk(cache: Cache, chance: Random, *, calm: bool) -> None:
    version, deleted, under_way = Counter[int](), Counter[int](), Counter[int]()
    problems = list[str]()

    async def load(keys: list[int]) -> dict[int, int]:
        read = {key: version[key] for key in keys if chance.random() < 0.95}
        under_way.update(keys)
        try:
            if calm and max(under_way.values()) > 1:
                problems.append(f"loaded twice: {under_way}")
            await turns(chance.randrange(6))
            if chance.random() < 0.1:
                raise ConnectionError
            return read
        finally:
            under_way.subtract(keys)

    async def load_one(key: int) -> int:
        return (await load([key])).get(key, version[key])

    async def ask() -> None:
        keys = chance.sample(range(8), chance.randrange(1, 6))
        before = {key: deleted[key] for key in keys}
        try:
            if chance.random() < 0.3:
                key = keys[0]
                answers = {key: await cache.get_or_load(key, lambda: load_one(key))}
            else:
                answers = await cache.get_or_load_many(keys, load)
                assert list(answers) == [key for key in keys if key in answers]
        except (ConnectionError, NotLoaded):
            return
        problems.extend(f"{key} is old" for key in answers if answers[key] < before[key])

    tasks: list[asyncio.Task[None]] = []
    for _ in range(30):
        tasks.append(begin(ask()))
        if not calm and chance.random() < 0.3:
            key = chance.randrange(8)
            version[key] += 1
            await cache.delete(key)
            deleted[key] = version[key]  # from now on: before, an old value may be the answer
        if not calm and chance.random() < 0.3:
            chance.choice(tasks).cancel()
        await turns(chance.randrange(3))
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    problems += [repr(one) for one in results if isinstance(one, Exception)]
    assert not problems
    await redis_tools.until(lambda: not +under_way)


# In memory


async def test_early_refresh_of_many_is_one_call() -> None:
    """What is nearly over is loaded behind its value, all by one call."""
    clock, loads = ManualClock(), ManyLoads()

    async def slow(keys: list[Any]) -> dict[Any, Any]:
        clock.now += 5
        return await doubled(keys)

    async with AsyncCache(clock=clock) as cache:
        await cache.get_or_load_many([1, 2], slow, 60)
        clock.now += 59.999999
        early: dict[str, Any] = {"ttl": 60, "early_refresh": 1000}
        assert await cache.get_or_load_many([1, 2], loads, **early) == {1: 2, 2: 4}
        await turns()
        assert loads.asked == [[1, 2]]
        loads.ends[0].set_result({1: "new", 2: "new"})
        await turns()
        assert await cache.get_many([1, 2]) == {1: "new", 2: "new"}


async def test_close_waits_for_a_loader_in_the_background() -> None:
    """It is cancelled, and close returns when it has cleaned up."""
    clock, ended, begun = ManualClock(), [], asyncio.Event()

    async def slow(keys: list[Any]) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await turns()
            ended.append(keys)

    cache = AsyncCache(clock=clock)
    patient: dict[str, Any] = {"ttl": 60, "stale_while_revalidate": 60}
    await cache.get_or_load_many([1, 2], doubled, **patient)
    clock.now += 60
    assert await cache.get_or_load_many([1, 2], slow, **patient) == {1: 2, 2: 4}
    await begun.wait()
    await cache.close()
    assert ended == [[1, 2]]


@pytest.fixture
async def eager() -> AsyncIterator[None]:
    """Tasks that begin at once, inside the call that starts them."""
    if sys.version_info < (3, 12):
        pytest.skip("eager tasks are new in 3.12")
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    yield
    loop.set_task_factory(factory)


async def test_with_eager_tasks_it_is_one_call_too(eager: None, cache: Cache) -> None:
    loads = ManyLoads()
    call = begin(cache.get_or_load_many([1, 2, 3], loads))
    await loads.begun()
    assert loads.asked == [[1, 2, 3]]
    loads.ends[0].set_result({1: 1, 2: 2, 3: 3})
    assert await call == {1: 1, 2: 2, 3: 3}


async def test_with_eager_tasks_a_load_may_end_before_anybody_waits(
    eager: None, cache: Cache
) -> None:
    """A loader that waits for nothing ends within the call that starts it."""
    async with asyncio.timeout(20):
        assert await cache.get_or_load(0, lambda: answer("v")) == "v"
        assert await cache.get_or_load_many([1, 2], doubled) == {1: 2, 2: 4}
        with pytest.raises(ConnectionError):
            await cache.get_or_load(3, _fails)
        with pytest.raises(ConnectionError):
            await cache.get_or_load_many([4, 5], _fails)


async def _fails(*keys: Any) -> Any:
    raise ConnectionError
