"""The scripts of a lease on a real server do what the model of them does (simulated_redis.py)."""

import random
from typing import Any

import pytest

from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.key_names import Names, names_of
from tests.tools.redis_tools import namespace, raw
from tests.tools.simulated_redis import SimulatedRedis

pytestmark = pytest.mark.anyio

UNIT = 100_000  # ms: far longer than the test takes, so that what the clocks differ is rounded away


def command(chance: random.Random, names: Names) -> tuple[Any, ...]:
    """One at random, of one of two processes with two loads each."""
    own = chance.choice(["one.", "two."])
    token = own + chance.choice("ab")
    lock, more, ttl, stale = (UNIT * chance.randint(1, 5) for _ in range(4))
    kind = chance.choices(
        ["take", "seize", "renew", "release", "store", "drop", "set", "holder", "delete", "evict"],
        [6, 1, 2, 2, 3, 1, 1, 2, 1, 1],
    )
    least = -1 if kind == ["seize"] else chance.choice([0, 0, ttl])
    data = chance.choice("xyz")
    match kind:
        case ["take" | "seize"]:
            script, args = scripts.TAKE_LEASE, (token, lock, lock + more, own, least)
        case ["renew"]:
            script, args = scripts.RENEW_LEASE, (token, lock, lock + more)
        case ["release"]:
            script, args = scripts.RELEASE_LEASE, (token, chance.choice([0, ttl]))
        case ["store"]:
            copy = chance.choice([(0, ""), (0, "1/3 2 "), (stale, "1 2 ")])
            script, args = scripts.STORE, (data, ttl, "", token, *copy)
        case ["drop"]:
            script, args = scripts.STORE, (data, 0, "", token, 0, "")
        case ["set"]:
            script, args = scripts.SET, (data, chance.choice([0, ttl]), "")
        case ["holder"]:
            script, args = scripts.LEASE_HOLDER, ()
        case ["delete"]:
            script, args = scripts.DELETE, ("",)
        case _:
            return "UNLINK", chance.choice(names)
    return "EVAL", script, 4, *names, *args


def questions(names: Names) -> list[tuple[Any, ...]]:
    return [(what, name) for name in names for what in ("GET", "PTTL")] + [("TIME",)]


def state(replies: list[Any]) -> list[Any]:
    """What is there of a key, in units of time from now."""
    *found, (seconds, microseconds) = replies
    now = int(seconds) * 1000 + int(microseconds) // 1000
    values, left = found[::2], [-(-ms // UNIT) for ms in found[1::2]]
    if values[2] is not None:
        token, deadline = values[2].split()
        values[2] = token, -((now - int(deadline)) // UNIT)
    return [*values, *left]


async def move_time(client: Any, names: Names, length: int) -> None:
    """Let *length* ms pass for what the server holds."""
    if lease := await client.get(names.lease):
        token, deadline = lease.split()
        await client.set(names.lease, b"%s %d" % (token, int(deadline) - length), keepttl=True)
    for name in names:
        if await client.exists(name):
            await client.pexpireat(name, await client.pexpiretime(name) - length)


@pytest.mark.parametrize("seed", range(3))
async def test_the_scripts_do_what_the_model_does(seed: int) -> None:
    """Command by command: the same reply, the same values, the same deadlines and ends."""
    chance = random.Random(seed)
    names = names_of(namespace().encode() + b":{a}")
    now = 0
    model = SimulatedRedis(lambda: now)
    async with raw() as client:
        try:
            for number in range(700):
                if chance.random() < 0.2:
                    length = UNIT * chance.randint(1, 4)
                    now += length
                    await move_time(client, names, length)
                told = command(chance, names)
                asking = client.pipeline(transaction=False)
                for one in told, *questions(names):
                    asking.execute_command(*one)
                reply, *there = await asking.execute()
                assert reply == model.execute(*told), number
                expected = state([model.execute(*one) for one in questions(names)])
                assert state(there) == expected, number
        finally:
            await client.unlink(*names)


@pytest.mark.parametrize("seed", range(3))
async def test_many_values_are_stored_as_one_by_one(seed: int) -> None:
    """By one script: each has its own reply, and its own lease, which may be anything by now."""
    chance = random.Random(seed)
    async with raw() as client:
        space = namespace()
        keys = [names_of(f"{space}:{{{key}}}".encode()) for key in "abc"]
        try:
            for number in range(100):
                setting = chance.random() < 0.3
                for names in keys:
                    await client.unlink(*names)
                    if held := chance.choice(["", "one.a 7", "two.a 7", "foreign"]):
                        foreign = held == "foreign"
                        put = client.rpush if foreign else client.set
                        await put(names.lease, held)
                stores = [
                    (names, chance.choice("xyz"), chance.choice(["", 0, UNIT]))
                    for names in chance.choices(keys, k=4)
                ]
                held_by = {names: await holder(client, names) for names in keys}
                expected, values = [], {}
                for names, data, ttl in stores:
                    kept = setting or held_by[names] == "one.a"
                    expected.append(int(kept))
                    if kept:
                        held_by[names] = ""
                        values[names] = None if ttl == 0 else data
                more = ("",) if setting else ("", "one.a", 0, "")
                told = [part for _, *put in stores for part in (*put, *more)]
                others = [name for names, *_ in stores for name in names[1:]]
                script = scripts.SET if setting else scripts.STORE
                words = script, 16, *(names.value for names, *_ in stores), *others, *told
                reply = await client.execute_command("EVAL", *words)
                assert reply == (1 if all(expected) else expected), number
                for names, data in values.items():
                    found = await client.get(names.value)
                    assert found == (None if data is None else data.encode())
                    assert await client.exists(names.lease) == 0
        finally:
            for names in keys:
                await client.unlink(*names)


async def holder(client: Any, names: Names) -> str:
    """Whose lease it is; nobody's where something else has taken its name."""
    if await client.type(names.lease) != b"string":
        return ""
    return str((await client.get(names.lease)).decode().partition(" ")[0])
