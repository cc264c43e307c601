"""RedisCache across operating-system processes: one load, whoever fails, dies or deletes."""

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cachepool_lib import RedisCache
from tests.tools.redis_tools import cache, names, namespace_of, raw, url

pytestmark = pytest.mark.anyio


class Worker:
    """A process with a cache and fifty callers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            return (await self.process.stdout.readline()).decode().strip()

    async def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self.line())
        return answer


class Workers:
    """Several of them, on one namespace, and what they noted of their loads."""

    def __init__(self, client: Any, made: RedisCache, told: dict[str, Any]) -> None:
        self.client, self.cache, self.told = client, made, told
        self.all: list[Worker] = []

    async def begin(self, program: str = "cache_process", **more: Any) -> Worker:
        """Start one more."""
        told = json.dumps({**self.told, **more})
        worker = Worker(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"tests.tools.{program}", told),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )
        self.all.append(worker)
        return worker

    async def notes(self, what: str) -> list[int]:
        """The processes that noted this, in order."""
        lines = [one.decode() for one in await self.client.lrange(self.told["notes"], 0, -1)]
        return [int(line.split()[1]) for line in lines if line.startswith(what)]

    async def noted(self, what: str, number: int = 1) -> list[int]:
        """Wait until so many did."""
        async with asyncio.timeout(60):
            while True:
                if len(found := await self.notes(what)) >= number:
                    return found
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def workers(number: int, **told: Any) -> AsyncIterator[Workers]:
    async with raw() as client, cache() as made:
        namespace = namespace_of(made)
        told = {"url": await url(), "namespace": namespace, "notes": f"{namespace}-notes", **told}
        every = Workers(client, made, told)
        try:
            await asyncio.gather(*(every.begin() for _ in range(number)))
            for worker in every.all:
                assert await worker.line() == "ready"
            yield every
        finally:
            for worker in every.all:
                assert worker.process.stdin is not None
                worker.process.stdin.close()
            for worker in every.all:
                await worker.process.wait()
            await client.unlink(told["notes"])


async def ask_all(every: Workers) -> list[dict[str, Any]]:
    for worker in every.all:
        worker.ask()
    return list(await asyncio.gather(*(worker.answer() for worker in every.all)))


@pytest.mark.parametrize(
    ("seconds", "lock_timeout"), [(0.2, 10), (2.5, 1)], ids=["quick", "longer than the lock"]
)
async def test_four_processes_of_fifty_callers_load_once(
    seconds: float, lock_timeout: float
) -> None:
    """All 200 get the page of that load; also if it takes longer than lock_timeout."""
    async with workers(4, seconds=seconds, lock_timeout=lock_timeout) as every:
        answers = await ask_all(every)
        (loader,) = await every.notes("begin")
        pages = [page for answer in answers for page in answer["answers"]]
        assert pages == [f"page of {loader}"] * 200
        assert await every.notes("end") == [loader]
        assert await every.cache.get("page") == f"page of {loader}"


async def test_a_failing_load_makes_no_convoy() -> None:
    """Each process tries once, and waits for one failure at most: two loads' time in all."""
    async with workers(4, seconds=1, fails=True) as every:
        answers = await ask_all(every)
        assert sorted(await every.notes("fail")) == sorted(one.process.pid for one in every.all)
        for answer in answers:
            assert answer["answers"] == ["ConnectionError('the database is down')"] * 50
            assert answer["seconds"] < 3  # in turn it would be four for the last


async def test_a_killed_holder_is_replaced() -> None:
    """Killed in mid-load: within lock_timeout one other process loads, for all that wait."""
    async with workers(4, seconds=1, lock_timeout=2) as every:
        for worker in every.all:
            worker.ask()
        (holder,) = await every.noted("begin")
        (victim,) = [one for one in every.all if one.process.pid == holder]
        left = [one for one in every.all if one is not victim]
        victim.process.send_signal(signal.SIGKILL)
        answers = await asyncio.gather(*(worker.answer() for worker in left))
        _, second = await every.notes("begin")
        assert await every.notes("end") == [second]
        pages = [page for answer in answers for page in answer["answers"]]
        assert pages == [f"page of {second}"] * 150
        assert (
            max(answer["seconds"] for answer in answers) < 1 + 2 + 1 + 1
        )  # its load, the lock, ours


async def test_a_delete_here_voids_a_load_there() -> None:
    """It answers its caller and stores nothing; who asks there afterwards starts afresh."""
    async with workers(1, seconds=1, callers=1) as every:
        (worker,) = every.all
        worker.ask()
        await every.noted("begin")
        assert await every.cache.delete("page") is False
        page = (await worker.answer())["answers"]
        assert page == [f"page of {worker.process.pid}"]
        assert await every.cache.get("page") is None
        worker.ask()
        assert (await worker.answer())["answers"] == page
        assert len(await every.notes("begin")) == 2
        assert await every.cache.get("page") == page[0]


async def test_a_process_that_ends_leaves_no_claim() -> None:
    """Interrupted in mid-load, it gives its claim up: nobody waits for the lock."""
    async with workers(2, seconds=1, callers=1) as every:
        first, second = every.all
        first.ask()
        await every.noted("begin")
        first.process.send_signal(signal.SIGINT)
        await first.process.wait()
        second.ask()
        answer = await second.answer()
        assert answer["answers"] == [f"page of {second.process.pid}"]
        assert answer["seconds"] < 5  # lock_timeout is 10


async def test_no_reader_gets_what_is_older_than_a_confirmed_write() -> None:
    """Four processes read, load, set, delete and clear at random, for longer than their leases
    last, with blocked event loops, and leases that somebody removes."""
    kinds = ["get", "load", "stale", "refresh", "set", "delete", "clear", "blocked", "long loads"]
    chance = random.Random(1)
    async with workers(0, seconds=4, lock_timeout=0.2, processes=4) as every:
        for number in range(4):
            await every.begin("busy_process", number=number, seed=number)
        for worker in every.all:
            assert await worker.line() == "ready"
        running = asyncio.create_task(ask_all(every))
        evicted = 0
        while not running.done():
            there = await names(every.client, every.told["namespace"])
            leases = [name for name in there if name.endswith(b"}:load")]
            if leases and chance.random() < 0.3:
                evicted += await every.client.unlink(chance.choice(leases))
            await asyncio.sleep(0.02)
        total: Counter[str] = Counter()
        for answer in await running:
            assert not answer["old"]
            total.update(answer["done"])
        print(dict(total), "evicted leases", evicted)
        assert evicted >= 3
        for kind in (*kinds, "loads", "dropped", "shared"):
            assert total[kind] >= 3, kind
        await every.client.unlink(
            *(every.told["namespace"] + end for end in ("-rows", "-confirmed"))
        )
