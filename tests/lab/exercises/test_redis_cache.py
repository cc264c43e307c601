"""Notebook 02's exercises: the right answer passes; each common mistake gets its own message."""

import asyncio
import time
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from cachepool_lib import lab
from cachepool_lib.lab.exercises import exercise as exercises
from cachepool_lib.lab.exercises.exercise import WHERE
from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "02-share-a-redis-cache.ipynb",
    {"02-1": "breaks", "02-2": "in_time_mine", "02-3": "load_once_mine", "02-4": "release_mine"},
)


def test_every_exercise_is_tested_here() -> None:
    assert {name for name in WHERE if name.startswith("02")} == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


@pytest.mark.parametrize("name", ["in_time_ours", "load_once_ours", "release_ours"])
def test_what_the_notebook_goes_on_with_passes(name: str) -> None:
    """Where the learner's own does not pass, ours is used: it is right, too."""
    [exercise] = [e for e, mine in COURSE.answers.items() if mine == name.replace("ours", "mine")]
    assert look_at(exercise, COURSE.notebook[name]).passed


# 02-1


async def no_delete(cache: Any, proxy: Any) -> None:
    await cache.set("a", "old")
    await proxy.cut()
    await proxy.restore()
    assert await cache.get("a") != "old"


async def no_cut(cache: Any, proxy: Any) -> None:
    await cache.set("a", "old")
    await cache.delete("a")
    assert await cache.get("a") != "old"


async def no_assert(cache: Any, proxy: Any) -> None:
    await cache.set("a", "old")
    await proxy.cut()
    await cache.delete("a")
    await proxy.restore()
    await cache.get("a")


async def never_back(cache: Any, proxy: Any) -> None:
    await cache.set("a", "old")
    await proxy.cut()
    await cache.delete("a")
    assert await cache.get("a") != "old"


async def wants_a_hit(cache: Any, proxy: Any) -> None:
    await cache.set("a", "old")
    await proxy.cut()
    await cache.set("a", "new")
    await proxy.restore()
    assert await cache.get("a") == "new"


async def wants_a_true_delete(cache: Any, proxy: Any) -> None:
    await cache.set("a", "old")
    await proxy.cut()
    assert await cache.delete("a")


async def always(cache: Any, proxy: Any) -> None:
    await no_assert(cache, proxy)
    raise AssertionError


async def looks_at_the_class(cache: Any, proxy: Any) -> None:
    assert hasattr(cache, "stats")


async def raises(cache: Any, proxy: Any) -> None:
    await cache.forget("a")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (no_delete, "Your assert failed, but nobody got an old page."),
        (no_cut, "CarriesOn passes your visits."),
        (no_assert, "CarriesOn served the old page, and your visits ended well."),
        (never_back, "CarriesOn passes your visits."),
        (wants_a_hit, "A cache that remembers its deletes serves no old page, and fails"),
        (wants_a_true_delete, "Your assert failed, but nobody got an old page."),
        (always, "A cache that remembers its deletes serves no old page, and fails"),
        (looks_at_the_class, "Your assert failed, but nobody got an old page."),
        (raises, "AttributeError: "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_visits_that_show_no_bug_are_explained(answer: Any, expected: str) -> None:
    assert message("02-1", answer).startswith(expected)


async def with_a_set(cache: Any, proxy: Any) -> None:
    await cache.set("a", "old")
    await proxy.cut()
    await cache.set("a", "new")
    await proxy.restore()
    assert await cache.get("a") in ("new", None)


async def with_a_load(cache: Any, proxy: Any) -> None:
    async def load() -> str:
        return row

    row = "old"
    await cache.get_or_load("a", load)
    await proxy.cut()
    row = "new"
    await cache.delete("a")
    await proxy.restore()
    assert await cache.get_or_load("a", load) == "new"


@pytest.mark.parametrize("answer", [with_a_set, with_a_load])
def test_other_visits_that_show_the_bug_pass(answer: Any) -> None:
    assert look_at("02-1", answer).passed


# 02-2


def waits(
    *,
    limit: bool = True,
    rest: float = 0.5,
    caught: Any = (RedisError, OSError),
    replies: Any = ResponseError,
    one_tries: bool = True,
    ends: bool = True,
    instead: bool = False,
) -> Any:
    """An in_time as somebody may write it: each argument is a thing to forget."""

    async def in_time(line: Any, send: Any, most: float) -> Any:
        now = time.monotonic()
        if now < line.away_until:
            if instead:
                return None
            raise ConnectionError("a moment ago")
        if line.away_until and one_tries:
            line.away_until = now + most + rest
        try:
            async with asyncio.timeout(most if limit else None):
                answer = await send()
        except replies:
            line.away_until = 0
            raise
        except caught:
            line.away_until = time.monotonic() + rest
            if instead:
                return None
            raise
        if ends:
            line.away_until = 0
        return answer

    return in_time


async def swallows(line: Any, send: Any, limit: float) -> Any:
    try:
        return await waits()(line, send, limit)
    except:  # noqa: E722
        raise ConnectionError from None


async def only_a_limit(line: Any, send: Any, limit: float) -> Any:
    async with asyncio.timeout(limit):
        return await send()


async def empty_is_none(line: Any, send: Any, limit: float) -> Any:
    return await waits()(line, send, limit) or None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (waits(limit=False), "Redis silent: still waiting after a minute."),
        (waits(rest=0.2), "Redis down: 0.4 s later 1 of 20 visitors asked again."),
        (waits(rest=2), "Redis is back, and nobody asks it."),
        (waits(caught=Exception), "After a TypeError 0 of 20 visitors ask Redis."),
        (waits(caught=BaseException), "After a TypeError 0 of 20 visitors ask Redis."),
        (waits(caught=RedisError), "Redis down: 0 s later 20 of 20 visitors asked again."),
        (waits(caught=OSError), "Redis down: 0 s later 20 of 20 visitors asked again."),
        (waits(replies=()), "Redis is back, and nobody asks it."),
        (waits(one_tries=False), "Half a second later 60 visitors waited for it."),
        (waits(ends=False), "Redis is back, and 0 of 20 visitors ask it."),
        (waits(instead=True), "Redis down: None."),
        (swallows, "Redis down: ConnectionError()."),
        (only_a_limit, "Redis down: 0 s later 20 of 20 visitors asked again."),
        (empty_is_none, "Redis says b'', and None came."),
    ],
)
def test_a_wrong_wait_is_explained(answer: Any, expected: str) -> None:
    assert message("02-2", answer).startswith(expected)


def test_an_error_reply_may_not_switch_redis_off() -> None:
    """Found by everybody who has read that an error of Redis is an outage."""

    async def in_time(line: Any, send: Any, limit: float) -> Any:
        probing = bool(line.away_until)
        try:
            return await waits(replies=())(line, send, limit)
        except ResponseError:
            if probing:
                line.away_until = 0  # right only while it is thought to be away
            raise

    assert message("02-2", in_time).startswith("After a ResponseError 0 of 20 visitors ask Redis.")


# 02-3


async def looks_first(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> Any:
    while True:
        page = await look()
        if page is not miss:
            return page
        if await claim():
            try:
                return await load()
            finally:
                await release()
        await asyncio.sleep(0.02)


def locks(
    *,
    looks: bool = True,
    pause: float = 0.02,
    again: bool = True,
    truth: bool = False,
    outside: bool = False,
    late: bool = False,
) -> Any:
    """A load_once as somebody may write it: each argument is a thing to forget."""

    async def load_once(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> Any:
        mine = await claim() if outside or not again else False
        try:
            while not mine:
                if again:
                    mine = await claim()
                if looks or not mine:
                    page = await look()
                    if page is not miss and (page or not truth):
                        return page
                if not mine:
                    await asyncio.sleep(pause)
            return await load()
        finally:
            if not late:
                await release()

    return load_once


async def no_finally(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> Any:
    while not await claim():
        if (page := await look()) is not miss:
            return page
        await asyncio.sleep(0.02)
    if (page := await look()) is miss:
        page = await load()
    await release()
    return page


async def no_lock(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> Any:
    page = await look()
    return await load() if page is miss else page


async def gives_up(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> Any:
    if not await claim():
        return await load()
    try:
        page = await look()
        return await load() if page is miss else page
    finally:
        await release()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (looks_first, "B stores its page and frees the lock right after you have looked: 1 load."),
        (locks(looks=False), "'page' is there already: 1 load."),
        (locks(pause=0), "B loads for a second, and you make"),
        (locks(pause=1), "B's page was there after 1.03 s, yours after"),
        (locks(again=False), "'page' is there already: 1 load."),
        (locks(truth=True), "None is there already: 'page' came."),
        (locks(late=True), "Nobody has the lock: the lock is still taken afterwards."),
        (no_finally, "The load fails: the lock is still taken afterwards."),
        (no_lock, "You loaded without the lock."),
        (gives_up, "B loads, for a second: 1 load."),
    ],
)
def test_a_wrong_lock_is_explained(answer: Any, expected: str) -> None:
    assert expected in message("02-3", answer)


def test_a_claim_that_was_cancelled_may_have_been_heard() -> None:
    async def claims_outside(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> Any:
        while not await claim():
            page = await look()
            if page is not miss:
                return page
            await asyncio.sleep(0.02)
        try:
            page = await look()
            return await load() if page is miss else page
        finally:
            await release()

    expected = "Cancelled while it claims: the lock is still taken."
    assert message("02-3", claims_outside).startswith(expected)


async def waits_for_its_turn(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> Any:
    try:
        while not await claim():
            await asyncio.sleep(0.01)
        page = await look()
        return await load() if page is miss else page
    finally:
        await release()


def test_another_right_lock_passes() -> None:
    """Who looks only with the lock in hand comes a moment later, and loads no page twice."""
    assert look_at("02-3", waits_for_its_turn).passed


# 02-4

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


async def delete(ask: Any, name: str, token: str) -> None:
    await ask("DEL", name)


async def get_then_delete(ask: Any, name: str, token: str) -> None:
    if await ask("GET", name) == token.encode():
        await ask("DEL", name)


async def compares_text(ask: Any, name: str, token: str) -> None:
    if await ask("GET", name) == token:
        await ask("DEL", name)


async def nothing(ask: Any, name: str, token: str) -> None:
    pass


async def puts_it_back(ask: Any, name: str, token: str) -> None:
    """What MULTI, GET, DEL, and then SET comes to: the other's lock loses its end."""
    script = (
        "local had = redis.call('GET', KEYS[1]); redis.call('DEL', KEYS[1]); "
        "if had and had ~= ARGV[1] then redis.call('SET', KEYS[1], had) end"
    )
    await ask("EVAL", script, 1, name, token)


async def puts_back_nothing(ask: Any, name: str, token: str) -> None:
    script = (
        RELEASE + " if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], '') end"
    )
    await ask("EVAL", script, 1, name, token)


async def dies_on_nothing(ask: Any, name: str, token: str) -> None:
    value = (await ask("GET", name)).decode()
    if value == token:
        await ask("EVAL", RELEASE, 1, name, token)


async def flushes(ask: Any, name: str, token: str) -> None:
    await ask("FLUSHDB")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (delete, "Yours had expired; you freed B's."),
        (get_then_delete, "It changed hands between two trips; one script is one step."),
        (compares_text, "It was yours, and it is still locked."),
        (nothing, "It was yours, and it is still locked."),
        (puts_it_back, "You took B's lock, and put it back"),
        (puts_back_nothing, "It was yours, and it is still locked."),
        (dies_on_nothing, "It has ended by itself: AttributeError: "),
        (flushes, "FLUSHDB, with everybody's keys in it."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_release_is_explained(answer: Any, expected: str) -> None:
    assert message("02-4", answer).startswith(expected)


async def by_its_hash(ask: Any, name: str, token: str) -> None:
    sha = await ask("SCRIPT", "LOAD", RELEASE)
    await ask("EVALSHA", sha, 1, name, token)


async def looks_before(ask: Any, name: str, token: str) -> None:
    if await ask("GET", name) == token.encode():
        await ask("EVAL", RELEASE, 1, name, token)


@pytest.mark.parametrize("answer", [by_its_hash, looks_before])
def test_another_right_release_passes(answer: Any) -> None:
    assert look_at("02-4", answer).passed


def test_a_flush_reaches_nobody_elses_keys() -> None:
    """The learner's FLUSHDB is not sent: the server may be their own."""

    async def cells() -> Any:
        async with redis.asyncio.from_url((await lab.services()).redis_url) as client:
            await client.set("somebody:else", "Ada", px=60_000)
            await lab.exercise("02-4", flushes)
            return await client.get("somebody:else")

    assert asyncio.run(cells()) == b"Ada"


# All of them


async def unawaited_visits(cache: Any, proxy: Any) -> None:
    cache.set("a", "old")


async def unawaited_send(line: Any, send: Any, limit: float) -> None:
    send()


async def unawaited_claim(claim: Any, look: Any, load: Any, release: Any, miss: Any) -> None:
    claim()


async def unawaited_release(ask: Any, name: str, token: str) -> None:
    ask("DEL", name)


UNAWAITED = [
    ("02-1", unawaited_visits),
    ("02-2", unawaited_send),
    ("02-3", unawaited_claim),
    ("02-4", unawaited_release),
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

    async def for_ever(ask: Any, name: str, token: str) -> None:
        while True:
            await ask("GET", "a")

    monkeypatch.setattr(exercises, "LIMIT", 0.5)
    result = look_at("02-4", for_ever)
    said = "TimeoutError: not done after 0.5 s. Is there a loop that never ends?"
    assert (result.status, result.got) == ("failed", said)


def test_a_timeout_of_the_learners_own_is_told_as_such() -> None:
    async def own(ask: Any, name: str, token: str) -> None:
        raise TimeoutError("mine")

    assert "TimeoutError: mine" in message("02-4", own)
