"""A random walk of processes that share a cache, in simulated time, and what must always hold.

The processes are real RedisCaches; the server, the ways to it and the time are simulated. A
saboteur removes names as an eviction would, processes are blocked, and die.
"""

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any

from cachepool_lib import RedisCache
from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.key_names import Namespace, names_of
from tests.tools.simulated_redis import SimulatedClient, SimulatedRedis, Way, wire

NAMESPACE = "walk"
LOCK_SECONDS = 1.0
PATIENCE = 30.0  # seconds in which whoever reads has an answer, however many loads are in its way
WRITTEN, DELETED = ["set"], ["a"]  # keys: those that are set, and those that are deleted


class Audit(SimulatedRedis):
    """The server, with a second look at what it does: by what happened, not by what it holds."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.taken: dict[bytes, tuple[bytes, bool]] = {}  # the lease of a key, and if it was seized
        self.deadlines: dict[bytes, float] = {}
        self.stored: set[bytes] = set()  # keys whose value was loaded, and is there since
        self.broken: list[str] = []
        self.done: Counter[str] = Counter()

    def require(self, holds: bool, rule: str) -> None:
        if not holds:
            self.broken.append(rule)

    def execute(self, command: str, *args: Any) -> Any:
        self._expire()
        reply = super().execute(command, *args)
        if command == "UNLINK":
            self._removed(*args)
        elif command == "EVAL" and args[0] not in (scripts.TELL, scripts.LOOK):
            script, _, value, _, lease, _, *rest = args
            self._check(script, value, lease, [wire(part) for part in rest], reply)
        return reply

    def _check(
        self, script: str, value: bytes, lease: bytes, told: list[bytes], reply: Any
    ) -> None:
        holder, seized = self.taken.get(lease, (b"", False))
        if script == scripts.TAKE_LEASE and reply[0] == 2:
            token, own, seize = told[0], told[3], told[4] == b"-1"
            alive = holder and self.deadlines[lease] > self.clock()
            self.done["taken over" if holder else "taken"] += 1
            self.require(
                seize or not alive or holder.startswith(own),
                "a lease is taken from its holder before its deadline",
            )
            self.taken[lease] = token, told[4] != b"0"  # it replaces what is there
            self.deadlines[lease] = self.clock() + int(told[1])
        elif script == scripts.RENEW_LEASE and reply:
            self.require(holder == told[0], "a lease is renewed that is gone")
            self.deadlines[lease] = self.clock() + int(told[1])
        elif script == scripts.RELEASE_LEASE and reply:
            self.require(holder == told[0], "a lease is released by whoever has it not")
            self.taken.pop(lease, None)
        elif script in (scripts.DELETE, scripts.SET):
            self._removed(value, lease)
        elif script == scripts.STORE:
            late = self.deadlines.get(lease, 0) <= self.clock()
            self.done["dropped" if not reply else "stored late" if late else "stored"] += 1
            self.require(not reply or holder == told[3], "a load stores whose lease is gone")
            self.require(
                bool(reply) or holder != told[3],
                "a load does not store, though nobody took or voided its lease",
            )
            if reply:
                self.require(value not in self.stored or seized, "two loads store for one write")
                self.stored.add(value)
                self.taken.pop(lease, None)

    def _removed(self, *names: bytes) -> None:
        for name in names:
            self.taken.pop(name, None)
            self.stored.discard(name)

    def _expire(self) -> None:
        for name, (_, end) in list(self.held.items()):
            if end <= self.clock():
                del self.held[name]
                self._removed(name)


class Process:
    """A cache, its way to the server, and what runs there."""

    def __init__(self, walk: "Walk") -> None:
        self._walk, self._chance = walk, walk.chance
        self.way = Way(walk.server, walk.chance)
        self.cache = RedisCache(
            client=SimulatedClient(self.way),
            namespace=NAMESPACE,
            lock_timeout=LOCK_SECONDS,
            timeout=50,
        )
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self, action: Any) -> None:
        task = asyncio.create_task(self._watch(action))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _watch(self, action: Any) -> None:
        started = asyncio.get_running_loop().time()
        await action
        waited = asyncio.get_running_loop().time() - started
        self._walk.server.require(waited < PATIENCE, "somebody waits for whoever has died")

    async def read(self) -> None:
        """Read a key in one of all ways; nothing that comes may be older than what was confirmed
        before."""
        walk, chance = self._walk, self._chance
        key = chance.choice(WRITTEN + DELETED)
        known = walk.confirmed[key]
        seconds = chance.choice([0, 0.05, 0.3, 2, 6])
        ttl = chance.choice([1, 3, 30])

        async def load() -> int:
            row = walk.rows[key]
            await asyncio.sleep(seconds)
            if chance.random() < 0.1:
                raise LookupError
            return row

        how = chance.choice(
            ["get", "get_many", "load", "load", "load", "stale", "stale", "early", "refresh"]
        )
        walk.server.done[how] += 1
        value = None
        with contextlib.suppress(LookupError):
            match how:
                case "get":
                    value = await self.cache.get(key)
                case "get_many":
                    value = (await self.cache.get_many([key])).get(key)
                case "load":
                    value = await self.cache.get_or_load(key, load, ttl)
                case "stale":
                    value = await self.cache.get_or_load(
                        key, load, ttl, stale_while_revalidate=3, stale_if_error=5
                    )
                case "early":
                    value = await self.cache.get_or_load(key, load, ttl, early_refresh=3)
                case "refresh":
                    value = await self.cache.refresh(key, load, ttl)
        walk.server.require(value is None or value >= known, f"{how} gives an old value")

    async def write(self) -> None:
        """Change a row, then have its value forgotten, or replaced."""
        walk, chance = self._walk, self._chance
        key = chance.choice(WRITTEN + DELETED)
        how = "set" if key in WRITTEN else chance.choice(["delete", "clear"])
        # Two who set at once may do so in either order: such writers keep out of each other's way.
        async with walk.setting if how == "set" else contextlib.nullcontext():
            walk.server.done[how] += 1
            walk.rows[key] += 1
            row = walk.rows[key]
            match how:
                case "set":
                    await self.cache.set(key, row, chance.choice([1, 30]))
                case "delete":
                    await self.cache.delete(key)
                case "clear":
                    await self.cache.clear()
            if not self.way.cut:
                walk.confirmed[key] = max(walk.confirmed[key], row)

    def block(self) -> None:
        until = asyncio.get_running_loop().time() + self._chance.choice([0.5, 2, 5])
        self.way.blocked_until = until

    async def die(self) -> None:
        """Nothing comes from it any more."""
        self.way.cut = True
        await self.end(cancel=True)

    async def end(self, *, cancel: bool = False) -> None:
        while self.tasks:
            if cancel:
                for task in self.tasks:
                    task.cancel()
            await asyncio.wait(self.tasks)
        await self.cache.close()
        while self.way.tasks:
            await asyncio.wait(self.way.tasks)


class Walk:
    """So many random steps of three processes on three keys."""

    def __init__(self, seed: int, server: type[Audit] = Audit) -> None:
        self.chance = random.Random(seed)
        self.server = server(lambda: int(asyncio.get_running_loop().time() * 1000))
        self.rows: Counter[str] = Counter()
        self.confirmed: Counter[str] = Counter()

    async def run(self, steps: int) -> list[str]:
        """The rules that were found broken; it ends with the first."""
        self.setting = asyncio.Lock()
        processes = [Process(self) for _ in range(3)]
        for _ in range(steps):
            at = self.chance.randrange(len(processes))
            match self.chance.choices(
                ["read", "write", "evict", "block", "die", "rest"], [60, 6, 4, 4, 2, 3]
            ):
                case ["read"]:
                    processes[at].begin(processes[at].read())
                case ["write"]:
                    processes[at].begin(processes[at].write())
                case ["evict"]:
                    self._evict()
                case ["block"]:
                    self.server.done["blocked"] += 1
                    processes[at].block()
                case ["die"]:
                    self.server.done["died"] += 1
                    await processes[at].die()
                    processes[at] = Process(self)
                case ["rest"]:
                    await asyncio.sleep(self.chance.choice([2, 10, 80]))
            await asyncio.sleep(self.chance.expovariate(10))
            if self.server.broken:
                break
        for process in processes:
            await process.end(cancel=bool(self.server.broken))
        return self.server.broken

    def _evict(self) -> None:
        key = self.chance.choice(WRITTEN + DELETED)
        names = names_of(Namespace(NAMESPACE).value(key))
        name = self.chance.choice([names.lease, names.lease, *names])
        if self.server.get(name) is not None:
            self.server.done["evicted lease" if name == names.lease else "evicted other"] += 1
            self.server.execute("UNLINK", name)
