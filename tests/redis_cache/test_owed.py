"""A set, delete or clear that Redis did not confirm is owed: no old value is served after it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cachepool_lib import RedisCache, lab
from cachepool_lib.redis_cache.batch import Command, NoReply
from cachepool_lib.redis_cache.breaker import State
from cachepool_lib.redis_cache.key_names import Namespace
from cachepool_lib.redis_cache.owed import MOST_NAMES, Owed, Payer
from cachepool_lib.redis_cache.sender import Sender
from tests.tools.async_cache_tools import answer, turns
from tests.tools.redis_tools import cache, namespace, namespace_of, raw, until, url

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[lab.Proxy, RedisCache, RedisCache]]:
    """A cache behind a proxy, and another process' on the same namespace that nothing disturbs."""
    async with (
        lab.Proxy(await url()) as proxy,
        cache(redis_url=proxy.url, timeout=0.25) as here,
        cache(namespace=namespace_of(here)) as elsewhere,
    ):
        yield proxy, here, elsewhere


WRITES: dict[str, Any] = {
    "delete": lambda made: made.delete("a"),
    "set": lambda made: made.set("a", "new"),
    "set 0": lambda made: made.set("a", "new", ttl=0),
    "set_many": lambda made: made.set_many({"a": "new", "b": "new"}),
    "clear": lambda made: made.clear(),
    "clear of a group": lambda made: made.clear("g"),
}


@pytest.mark.parametrize("fault", ["cut", "stall"])
@pytest.mark.parametrize("write", WRITES)
async def test_what_was_not_confirmed_is_not_served_afterwards(write: str, fault: str) -> None:
    """By this process never, by others not a moment after it has reached Redis; nobody asks it."""
    key: Any = ("g", 1) if write == "clear of a group" else "a"
    async with two() as (proxy, here, elsewhere):
        stale: dict[str, Any] = {"stale_while_revalidate": 60, "stale_if_error": 60}
        assert await here.get_or_load(key, lambda: answer("old"), **stale) == "old"
        if (waits := getattr(proxy, fault)()) is not None:
            await waits
        assert await WRITES[write](here) is False
        assert await here.get(key) is None
        assert await here.exists(key) is False
        assert await here.get_or_load(key, lambda: answer("new"), **stale) == "new"
        assert await elsewhere.get(key) == "old"  # nobody can tell it
        await proxy.restore()
        async with asyncio.timeout(10):
            while await elsewhere.get(key) == "old":
                await asyncio.sleep(0.02)
        for _ in range(50):
            assert await here.get(key) != "old"
            await asyncio.sleep(0.005)


async def test_it_is_paid_before_anything_else_is_read() -> None:
    """Also where the first call after the outage is the one that would find the old value."""
    async with two() as (proxy, here, elsewhere):
        await here.set("a", "old")
        await proxy.cut()
        await here.delete("a")
        await proxy.restore()
        seen = set()
        async with asyncio.timeout(10):
            while await elsewhere.get("a") == "old":
                seen.add(await here.get("a"))
        seen.add(await here.get("a"))
        assert seen == {None}


async def test_a_write_that_is_confirmed_pays_the_debt() -> None:
    """A newer value is not deleted for an older debt."""
    async with two() as (proxy, here, elsewhere):
        await here.set("a", "old")
        await proxy.cut()
        assert await here.set("a", "unconfirmed") is False
        await proxy.restore()
        async with asyncio.timeout(10):
            while not await here.set("a", "new"):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.6)  # longer than it waits to pay
        assert await elsewhere.get("a") == await here.get("a") == "new"


async def test_a_delete_that_nobody_waited_for_is_owed_too() -> None:
    """Its caller was cancelled, and Redis did not answer."""
    async with two() as (proxy, here, elsewhere):
        await here.set("a", "old")
        proxy.stall()
        task = asyncio.create_task(here.delete("a"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: here.stats().errors or "circuit open" in repr(here))
        assert await here.get("a") is None
        await proxy.cut()  # what was on its way is lost
        await proxy.restore()
        async with asyncio.timeout(10):
            while await elsewhere.get("a") == "old":
                await asyncio.sleep(0.02)


async def test_ten_thousand_and_one_names_become_one_clear() -> None:
    """Of the namespace and not outside of it; who owes the same need not do it again."""
    async with (
        lab.server() as server,
        lab.Proxy(server.url) as proxy,
        raw(server.url) as look,
        RedisCache(proxy.url, namespace="n", timeout=0.25) as here,
        RedisCache(proxy.url, namespace="n", timeout=0.25) as other,
        RedisCache(server.url, namespace="outside") as outside,
    ):
        await outside.set("a", 1)
        await here.set("untouched", 1)
        await look.set("n:{0}", '"old"')
        await proxy.cut()
        for made in here, other:
            assert await made.set_many(dict.fromkeys(range(MOST_NAMES + 1), "new")) is False
        await look.config_resetstat()
        await proxy.restore()
        async with asyncio.timeout(20):
            while await look.exists("n:{untouched}"):
                await asyncio.sleep(0.02)
            for made in here, other:
                while not await made.set("back", 1) or await made.get("back") != 1:
                    await asyncio.sleep(0.05)
        assert await outside.get("a") == 1
        stats = await look.info("commandstats")
        assert int(stats["cmdstat_scan"]["calls"]) <= 4  # two for each of at most two clears
        assert int(stats.get("cmdstat_eval", {"calls": 0})["calls"]) < 1_000


async def test_close_tries_once_more_and_tells_what_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """How many, and no name of one."""
    async with lab.Proxy(await url()) as proxy, raw() as client:
        for back in True, False:
            made = RedisCache(proxy.url, namespace=namespace())
            await made.set("key-of-ada", 1)
            await proxy.cut()
            await made.delete("key-of-ada")
            caplog.clear()
            if back:
                await proxy.restore()
                async with asyncio.timeout(10):
                    while not await made.set("back", 1):
                        await asyncio.sleep(0.05)
            await made.close()
            name = f"{namespace_of(made)}:{{key-of-ada}}"
            assert await client.exists(name) == (not back)
            told = [line for line in caplog.messages if "not confirmed" in line]
            left = [line.split(" deletes")[0].split()[-1] for line in told]
            assert left == ([] if back else ["1"])
            await client.delete(name)
            await proxy.restore()
    assert "ada" not in caplog.text


async def test_without_permission_nothing_is_owed() -> None:
    """It would be owed for ever."""
    async with lab.server() as server, raw(server.url) as client:
        await client.set("n:{a}", "1")
        await client.acl_setuser(
            "reader",
            enabled=True,
            passwords=["+pw"],
            keys=["*"],
            commands=["+@read", "-@scripting"],
        )
        address = f"redis://reader:pw@{server.url.rpartition('@')[2]}"
        async with RedisCache(address, namespace="n") as made:
            assert await made.delete("a") is False
            assert await made.get("a") == 1


async def test_debts_survive_their_event_loop() -> None:
    """The next loop pays them."""
    async with lab.Proxy(await url()) as proxy, raw() as client:
        made = RedisCache(proxy.url, namespace=namespace())

        def in_another_loop(work: Any) -> Any:
            return asyncio.to_thread(asyncio.run, work)

        name = f"{namespace_of(made)}:{{a}}"
        await client.set(name, '"old"')
        await proxy.cut()

        async def forgets() -> None:
            assert await made.delete("a") is False
            await made.close()

        async def pays() -> None:
            async with made:
                assert await made.get("a") is None
                await made.get("b")
                await asyncio.sleep(1.5)

        await in_another_loop(forgets())
        await proxy.restore()
        await in_another_loop(pays())
        assert not await client.exists(name)


def test_what_is_owed_is_paid_as_it_was_owed() -> None:
    """A debt that grew while it was paid is still owed: random walks beside a set of names."""
    chance = random.Random(3)
    for _ in range(200):
        owed, known = Owed(b"n:{"), set()
        for _ in range(50):
            name = b"n:{%d" % chance.randrange(5)
            step = chance.random()
            if step < 0.5:
                owed.add(name)
                known.add(name)
            elif step < 0.8:
                numbers = dict(owed.names)
                again = b"n:{%d" % chance.randrange(5)
                owed.add(again)
                known.add(again)
                for paid, debt in numbers.items():
                    owed.paid(paid, debt)
                known -= numbers.keys() - {again}
            else:
                owed.paid(name, owed.names.get(name, 0))
                known.discard(name)
            assert set(owed.names) == known
            assert all(owed.covers(name) == (name in known) for name in (b"n:{1", b"n:{2"))


class HeldSender:
    """It sends nothing: the test says what comes back."""

    def __init__(self) -> None:
        self.circuit = SimpleNamespace(state=State.CLOSED, start_check=lambda: None)
        self.commands: list[Command] = []

    def put(self, command: Command) -> Any:
        self.commands.append(command)
        command.reply = asyncio.get_running_loop().create_future()
        return command.reply


async def test_a_write_waits_for_the_delete_that_pays_for_its_name() -> None:
    """On another connection it might arrive first, and be deleted. Others need not wait."""
    owed, sender = Owed(b"n:{"), HeldSender()
    payer = Payer(owed, cast(Sender, sender), Namespace("n"), 1)
    owed.add(b"n:{a}")
    payer.pay()
    writing = asyncio.create_task(payer.write([(b"n:{a}", ("SET", "a"))]))
    other = asyncio.create_task(payer.write([(b"n:{b}", ("SET", "b"))]))
    await turns()
    paying, of_other = sender.commands
    assert of_other.args == ("SET", "b")
    of_other.settle(1)
    paying.settle(NoReply(TimeoutError(), sent=True))
    assert owed.covers(b"n:{a}")
    await turns()
    sender.commands[-1].settle(1)
    assert not owed.covers(b"n:{a}")  # a newer value that was confirmed has paid
    assert await asyncio.gather(writing, other) == [[1], [1]]
    await payer.close()


async def test_a_lease_that_may_be_left_is_no_delete_that_others_wait_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is deleted like the rest; closing while Redis is away says nothing of it."""
    owed, sender = Owed(b"n:{"), HeldSender()
    payer = Payer(owed, cast(Sender, sender), Namespace("n"), 1)
    for name, lease in ((b"n:{a}", True), (b"n:{b}", False), (b"n:{b}", True), (b"n:{c}", True)):
        payer.owe(name, lease=lease)
    payer.owe(b"n:{c}")
    assert all(owed.covers(name) for name in (b"n:{a}", b"n:{b}", b"n:{c}"))
    payer.pay()
    for command in sender.commands:
        command.settle(NoReply(TimeoutError(), sent=True))
    sender.circuit.state = State.OPEN
    sender.circuit.check_now = lambda: answer(None)
    await turns()
    await payer.close()
    assert "not confirmed 2 deletes" in caplog.text


def test_a_clear_that_is_owed_covers_all() -> None:
    """Its names need not be remembered any more; those of a group cover that group."""
    owed = Owed(b"n:{")
    owed.add(b"n:{a}")
    owed.add_prefix(b"n:{!(s1:g")
    assert owed.covers(b"n:{!(s1:gi1;)}")
    assert not owed.covers(b"n:{!(s1:hi1;)}")
    owed.add_prefix(b"n:{")
    assert not owed.names
    assert owed.covers(b"n:{anything}")
    for prefix, number in list(owed.prefixes.items()):
        owed.paid(prefix, number)
    assert not owed
