"""TieredCache across operating-system processes: after writes stop, all agree."""

import asyncio
import contextlib
import json
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cachepool_lib import RedisCache, lab
from tests.tools import redis_tools

pytestmark = pytest.mark.anyio


class Processes:
    """Four of them, and what they answer."""

    def __init__(self, each: list[asyncio.subprocess.Process]) -> None:
        self.each = each

    def order(self, what: str) -> None:
        for process in self.each:
            assert process.stdin is not None
            process.stdin.write(what.encode() + b"\n")

    async def answers(self) -> list[str]:
        async with asyncio.timeout(60):
            lines = [process.stdout.readline() for process in self.each if process.stdout]
            return [line.decode().strip() for line in await asyncio.gather(*lines)]

    async def stop(self) -> tuple[Counter[str], float]:
        """Have them stop: what they did together, and the longest that a call took."""
        self.order("stop")
        told = [json.loads(line) for line in await self.answers()]
        total: Counter[str] = Counter()
        for one in told:
            total.update({name: count for name, count in one.items() if name != "worst"})
        return total, max(one["worst"] for one in told)

    async def pages(self) -> list[Any]:
        """What each has for each key."""
        self.order("tell")
        return [json.loads(line) for line in await self.answers()]


@contextlib.asynccontextmanager
async def four(url: str, namespace: str, **told: Any) -> AsyncIterator[Processes]:
    told = {"url": url, "namespace": namespace, "keys": 8, "l1_ttl": 60, **told}
    each = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.tools.tiered_process", json.dumps(told | {"seed": n})),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for n in range(4)
    ]
    try:
        every = Processes(each)
        assert await every.answers() == ["ready"] * 4
        yield every
    finally:
        for process in each:
            assert process.stdin is not None
            process.stdin.close()
        for process in each:
            assert await process.wait() == 0


async def test_a_hundred_milliseconds_after_the_last_write_all_agree() -> None:
    """Four processes read, load, set, delete and clear at random; then each has what Redis has."""
    namespace = redis_tools.namespace()
    url = await redis_tools.url()
    total: Counter[str] = Counter()
    async with (
        four(url, namespace, pause=0.1) as every,  # within which all have to agree
        RedisCache(url, namespace=namespace, timeout=5) as plain,
    ):
        for _ in range(4):
            every.order("run")
            await asyncio.sleep(0.7)  # for how long they write
            done, _ = await every.stop()
            total += done
            pages = await every.pages()
            assert pages == [[await plain.get(("page", key)) for key in range(8)]] * 4
        await plain.clear()
    print(dict(total))
    for kind in ("reads", "loads", "sets", "deletes", "refreshes", "clears", "near"):
        assert total[kind] >= 10, kind


async def test_cut_off_they_carry_on_and_agree_a_second_after_the_return() -> None:
    """Meanwhile somebody else writes, whom they can't hear; l1_ttl is a minute."""
    namespace = redis_tools.namespace()
    url = await redis_tools.url()
    async with (
        lab.Proxy(url) as proxy,
        four(proxy.url, namespace, timeout=0.25) as every,
        RedisCache(url, namespace=namespace, timeout=5) as plain,
    ):
        every.order("run")
        await asyncio.sleep(0.5)
        before, _ = await every.stop()
        every.order("run")
        await proxy.cut()
        await asyncio.sleep(1.5)
        done, worst = await every.stop()
        print(dict(done - before), "the longest call took", worst)
        assert done["reads"] - before["reads"] > 100
        assert done["near"] > before["near"]
        for key in range(8):
            await plain.set(("page", key), "changed")
        await proxy.restore()
        returned = time.monotonic()
        async with asyncio.timeout(5):  # a second is meant; a busy machine may take longer
            while await every.pages() != [[await plain.get(("page", key)) for key in range(8)]] * 4:
                await asyncio.sleep(0.01)
        print("all agreed after", time.monotonic() - returned)
        await plain.clear()


FORK = """
    import asyncio, os, sys
    from cachepool_lib import AsyncCache, RedisCache, TieredCache

    cache = TieredCache(AsyncCache(), RedisCache({url!r}, namespace={namespace!r}, timeout=5))

    async def before():
        await cache.set("a", "old")

    async def parent():
        await cache.connect()
        while await cache.get("a") != "old" or cache.lookup("a") != "old":
            pass
        print("holds it", flush=True)
        await asyncio.to_thread(os.waitpid, child, 0)
        while cache.lookup("a") == "old":
            await asyncio.sleep(0.001)
        print(await cache.get("a"), flush=True)
        await cache.close()

    async def in_child():
        await cache.connect()
        await asyncio.to_thread(sys.stdin.readline)
        assert await cache.set("a", "new") is True
        assert cache.lookup("a") == "new"
        await cache.close()

    asyncio.run(before())
    child = os.fork()
    asyncio.run(parent() if child else in_child())
"""


async def test_a_fork_is_somebody_else() -> None:
    """What the child writes, its parent forgets, though both began as one."""
    script = textwrap.dedent(FORK).format(
        url=await redis_tools.url(), namespace=redis_tools.namespace()
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"holds it\n"
        out, errors = await process.communicate(b"\n")
    assert (out, process.returncode) == (b"new\n", 0), errors.decode()
