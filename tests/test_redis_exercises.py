"""Notebook 02's exercises: the right answer passes; each common mistake gets its own message."""

import asyncio
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import RedisError

from cachepool_lib import lab
from cachepool_lib.lab import exercises
from cachepool_lib.lab.redis_exercises import EXERCISES
from tests.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "02-share-a-redis-cache.ipynb",
    {"02-1": "clear", "02-2": "get", "02-3": "release"},
)


def test_every_exercise_is_tested_here() -> None:
    assert set(EXERCISES) == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


# 02-1


async def flush(client: Any, namespace: str) -> None:
    await client.flushdb()


async def all_keys(client: Any, namespace: str) -> None:
    names = await client.keys(f"{namespace}:*")
    await client.delete(*names)


async def unescaped(client: Any, namespace: str) -> None:
    async for name in client.scan_iter(f"{namespace}:*"):
        await client.unlink(name)


async def no_colon(client: Any, namespace: str) -> None:
    async for name in client.scan_iter(f"{namespace}*"):
        await client.unlink(name)


def escapes(signs: str) -> Any:
    """A clear that thinks of some signs alone."""

    async def clear(client: Any, namespace: str) -> None:
        plain = "".join(f"\\{letter}" if letter in signs else letter for letter in namespace)
        async for name in client.scan_iter(f"{plain}:*", 1000):
            await client.unlink(name)

    return clear


async def one_step(client: Any, namespace: str) -> None:
    _, names = await client.scan(0, f"{namespace}:*", 100)
    if names:
        await client.unlink(*names)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (flush, "A neighbour's key is gone."),
        (no_colon, "A neighbour's key is gone."),
        (all_keys, "KEYS: It stops everyone while it walks; SCAN goes in steps."),
        (unescaped, "'a*' also cleared 'ab:1'."),
        (escapes("*"), r"'a?' also cleared 'ab:1'. In a pattern ? has a meaning; \? stands for ?"),
        (escapes("*?"), "'a[b]' also cleared 'ab:1'."),
        (escapes("*?[]"), r"'a\b' also cleared 'ab:1'."),
        (one_step, "of 2,500 keys are still there."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_clear_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("02-1", answer)


def test_a_flush_reaches_nobody_elses_keys() -> None:
    """The learner's FLUSHDB is not sent: the server may be their own."""

    async def cells() -> Any:
        async with redis.asyncio.from_url((await lab.services()).redis_url) as client:
            await client.set("somebody:else", "Ada", px=60_000)
            await lab.exercise("02-1", flush)
            return await client.get("somebody:else")

    assert asyncio.run(cells()) == b"Ada"


# 02-2


async def bare(client: Any, key: str, miss: Any) -> Any:
    try:
        async with asyncio.timeout(0.25):
            value = await client.get(key)
    except:  # noqa: E722
        return miss
    return miss if value is None else value


async def any_exception(client: Any, key: str, miss: Any) -> Any:
    try:
        async with asyncio.timeout(0.25):
            value = await client.get(key)
    except Exception:
        return miss
    return miss if value is None else value


async def no_limit(client: Any, key: str, miss: Any) -> Any:
    try:
        value = await client.get(key)
    except (RedisError, OSError):
        return miss
    return miss if value is None else value


async def nothing_caught(client: Any, key: str, miss: Any) -> Any:
    async with asyncio.timeout(0.25):
        value = await client.get(key)
    return miss if value is None else value


async def no_timeout_error(client: Any, key: str, miss: Any) -> Any:
    try:
        async with asyncio.timeout(0.25):
            value = await client.get(key)
    except RedisError:
        return miss
    return miss if value is None else value


async def empty_is_a_miss(client: Any, key: str, miss: Any) -> Any:
    return await client.get(key) or miss


async def none_for_a_miss(client: Any, key: str, miss: Any) -> Any:
    return await client.get(key)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (bare, "Cancelled, and it went on."),
        (any_exception, "A TypeError became a miss."),
        (no_limit, "Redis silent: no answer after 1 s."),
        (nothing_caught, "Redis down: ConnectionError."),
        (no_timeout_error, "Redis silent: TimeoutError."),
        (empty_is_a_miss, "b'' is stored, and 'miss' came. Nothing is an answer, too."),
        (none_for_a_miss, "For a miss came None."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_get_is_explained(answer: Any, expected: str) -> None:
    assert message("02-2", answer).startswith(expected)


# 02-3


async def delete(client: Any, name: str, token: str) -> None:
    await client.delete(name)


async def get_then_delete(client: Any, name: str, token: str) -> None:
    if await client.get(name) == token.encode():
        await client.delete(name)


async def compares_text(client: Any, name: str, token: str) -> None:
    if await client.get(name) == token:
        await client.delete(name)


async def nothing(client: Any, name: str, token: str) -> None:
    pass


async def watch(client: Any, name: str, token: str) -> None:
    """The other way to do it in one step."""
    async with client.pipeline() as pipe:
        await pipe.watch(name)
        if await pipe.get(name) == token.encode():
            pipe.multi()
            pipe.delete(name)
            await pipe.execute()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (delete, "Yours had expired; you freed B's."),
        (get_then_delete, "It changed hands between two trips; one script is one step."),
        (compares_text, "It changed hands between two trips; one script is one step."),
        (nothing, "It was yours, and it is still locked."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_release_is_explained(answer: Any, expected: str) -> None:
    assert message("02-3", answer).startswith(expected)


def test_another_right_release_passes() -> None:
    """WATCH and MULTI are one step, too."""
    assert look_at("02-3", watch).passed


# All of them


async def unawaited_clear(client: Any, namespace: str) -> None:
    client.unlink(f"{namespace}:1")


async def unawaited_get(client: Any, key: str, miss: Any) -> Any:
    value = client.get(key)
    return miss if value is None else value


async def unawaited_release(client: Any, name: str, token: str) -> None:
    client.eval("return redis.call('DEL', KEYS[1])", 1, name)


async def awaited_but_once(client: Any, name: str, token: str) -> None:
    await watch(client, name, token)
    client.exists(name)


UNAWAITED = [
    ("02-1", unawaited_clear),
    ("02-2", unawaited_get),
    ("02-3", unawaited_release),
    ("02-3", awaited_but_once),
]


@pytest.mark.parametrize(("name", "answer"), UNAWAITED, ids=lambda value: str(value)[:20])
def test_a_forgotten_await_is_what_the_check_names(name: str, answer: Any) -> None:
    """Whatever else is wrong because of it, and no last cell fails for an attempt at an exercise:
    `look_at` calls nothing_left().
    """
    result = look_at(name, answer)
    assert result.status == "failed"
    assert result.hint == "An `await` is missing: without it the call doesn't even begin."
    assert " at 0x" not in result.got


def test_a_loop_that_never_ends_ends_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the exercises in simulated time; nothing of it goes on afterwards."""

    async def for_ever(client: Any, namespace: str) -> None:
        while True:
            await client.get("a")

    monkeypatch.setattr(exercises, "LIMIT", 0.5)
    result = look_at("02-1", for_ever)
    said = "TimeoutError: not done after 0.5 s. Is there a loop that never ends?"
    assert (result.status, result.got) == ("failed", said)


def test_a_timeout_of_the_learners_own_is_told_as_such() -> None:
    async def own(client: Any, namespace: str) -> None:
        raise TimeoutError("mine")

    assert "TimeoutError: mine" in message("02-1", own)


def test_a_cancelled_loop_that_goes_on_is_told() -> None:
    """And stopped: nothing is left."""

    async def stubborn(client: Any, key: str, miss: Any) -> Any:
        for _ in range(2):
            try:
                return await bare_minimum(client, key, miss)
            except asyncio.CancelledError:
                await asyncio.sleep(60)

    assert message("02-2", stubborn).startswith("Cancelled, and it went on.")


async def bare_minimum(client: Any, key: str, miss: Any) -> Any:
    return await COURSE.solution("02-2")(client, key, miss)
