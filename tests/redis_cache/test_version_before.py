"""Two versions of the library in one namespace, as during a deploy: this one, and the one before.

The names and what they mean are the same, but for the lease: it was a token alone, which ended with
its name, and nobody read a deadline in it. So two things are left of the old version's ways for as
long as its processes run: they wait for a process of this version that has died until the name of
its lease ends (unless one of this version takes the load over), and, waiting, they don't
recognize the failure of a load of this version, and try for themselves.
"""

import asyncio
from typing import Any

import pytest

from tests.tools.redis_tools import cache, namespace_of, raw

pytestmark = pytest.mark.anyio

# The text of its scripts.
STORE = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
local put = {err = false}
if ARGV[3] == '' then put = redis.pcall('SET', KEYS[1], ARGV[2])
elseif ARGV[3] ~= '0' then put = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else redis.call('UNLINK', KEYS[1]) end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
if put.err then
  redis.call('UNLINK', KEYS[1])
  return put
end
if ARGV[4] ~= '0' then redis.call('SET', KEYS[2], ARGV[5] .. ARGV[2], 'PX', ARGV[3] + ARGV[4]) end
return 1"""
DELETE = """
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
return redis.call('UNLINK', KEYS[1])"""
CLAIM = """
local value = redis.call('GET', KEYS[1])
if value then return {1, value} end
local holder = redis.call('GET', KEYS[3])
if holder and string.sub(holder, 1, #ARGV[3]) ~= ARGV[3] and redis.call('PTTL', KEYS[3]) > 0 then
  return {0, holder, redis.call('GET', KEYS[4])}
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return {2}"""
RENEW = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[3], ARGV[2])"""
GIVE_UP = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[3])
if ARGV[2] ~= '0' then redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2]) end
return 1"""


class Before:
    """A process of the version before: what it sends for one key."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        value = f"{namespace}:{{a}}"
        self.names = value, value + ":stale", value + ":load", value + ":failed"

    async def _eval(self, script: str, *args: Any) -> Any:
        return await self._client.eval(script, 4, *self.names, *args)

    async def claim(self, lock_ms: int = 10_000) -> Any:
        return await self._eval(CLAIM, "old.1", lock_ms, "old.")

    async def renew(self) -> int:
        return int(await self._eval(RENEW, "old.1", 10_000))

    async def store(self, data: str, claim: str = "old.1") -> int:
        return int(await self._eval(STORE, claim, data, 60_000, 60_000, "60000 60000 "))

    async def set(self, data: str) -> int:
        return await self.store(data, "")

    async def delete(self) -> int:
        return int(await self._eval(DELETE))

    async def give_up(self, pause_ms: int = 0) -> int:
        return int(await self._eval(GIVE_UP, "old.1", pause_ms))


class Load:
    """A loader that waits to be told what it loads."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.page: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.begun.set()
        return await self.page


async def test_what_one_version_stores_the_other_reads() -> None:
    """Values and stale copies."""
    async with cache() as now, raw() as client:
        before = Before(client, namespace_of(now))
        assert await before.claim() == [2]
        assert await before.store('"old"') == 1
        assert await now.get("a") == "old"
        await client.unlink(before.names[0])
        load = Load()
        stale = now.get_or_load("a", load, stale_while_revalidate=60)
        assert await stale == "old"
        load.page.set_result("new")
        async with asyncio.timeout(20):
            while True:
                if await now.get("a") == "new":
                    break
                await asyncio.sleep(0.01)
        assert await before.claim() == [1, b'"new"']


@pytest.mark.parametrize("write", ["delete", "set"])
async def test_a_write_of_either_version_voids_a_load_of_the_other(write: str) -> None:
    """Of the one before first, then of this one."""
    async with cache() as now, raw() as client:
        before, load = Before(client, namespace_of(now)), Load()
        asking = asyncio.create_task(now.get_or_load("a", load))
        await load.begun.wait()
        await (before.set('"written"') if write == "set" else before.delete())
        load.page.set_result("voided")
        assert await asking == "voided"
        written = "written" if write == "set" else None
        assert await now.get("a") == written

        await now.delete("a")
        assert await before.claim() == [2]
        await (now.set("a", "written") if write == "set" else now.delete("a"))
        assert await before.renew() == 0
        assert await before.store('"voided"') == 0
        assert await now.get("a") == written


async def test_neither_version_stores_over_the_lease_of_the_other() -> None:
    """Who holds it is waited for, by either; what it stores is what the other gets."""
    async with cache() as now, raw() as client:
        before, load = Before(client, namespace_of(now)), Load()
        asking = asyncio.create_task(now.get_or_load("a", load))
        await load.begun.wait()
        state, holder, failed = await before.claim()
        assert (state, failed) == (0, None)
        assert await before.store('"old"') == await before.renew() == await before.give_up() == 0
        assert await client.get(before.names[2]) == holder
        load.page.set_result("new")
        assert await asking == "new"
        assert await before.claim() == [1, b'"new"']

        await now.delete("a")
        assert await before.claim() == [2]
        waiting = asyncio.create_task(now.get_or_load("a", load))
        assert await before.renew() == 1
        assert await before.store('"old"') == 1
        assert await waiting == "old"


async def test_this_version_takes_over_from_one_before_that_died_or_failed() -> None:
    """Once the name of its lease has ended; at once where it gave up."""
    async with cache() as now, raw() as client:
        before = Before(client, namespace_of(now))
        for end in ("died", "failed"):
            assert await before.claim(lock_ms=200 if end == "died" else 10_000) == [2]
            load = Load()
            load.page.set_result(end)
            waiting = asyncio.create_task(now.get_or_load("a", load))
            if end == "failed":
                assert await before.give_up(1000) == 1
            async with asyncio.timeout(5):
                assert await waiting == end
            assert await before.store('"late"') == 0
            assert await now.get("a") == end
            await now.delete("a")
