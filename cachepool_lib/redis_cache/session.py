"""What a RedisCache was made with, and what one event loop has of it: reads, writes, loads."""

import asyncio
import logging
import math
import os
import random
import secrets
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
from redis.exceptions import ResponseError

from cachepool_lib._validate import Seconds, seconds
from cachepool_lib.errors import CacheUnavailable
from cachepool_lib.loading import MISSING
from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.batch import Budget, NoReply
from cachepool_lib.redis_cache.client import CLUSTER, describe, word
from cachepool_lib.redis_cache.connections import Connections
from cachepool_lib.redis_cache.key_names import Namespace
from cachepool_lib.redis_cache.owed import Owed, Payer, Write, delete, never
from cachepool_lib.redis_cache.sender import MOST_COMMANDS, Sender
from cachepool_lib.redis_cache.serializers import Serializer
from cachepool_lib.redis_cache.shards import Shards
from cachepool_lib.single_flight import SingleFlight
from cachepool_lib.stats import Counts

logger = logging.getLogger("cachepool_lib")

LONGEST = 1e10  # seconds, three hundred years: a ttl beyond is for ever
QUIET_SECONDS = 60.0  # for which the same is not logged again
FOREIGN = "WRONGTYPE"  # somebody else put something under our name that is no string
NOBODY = b""  # as the origin of a write: whoever hears of it forgets what it has


@dataclass
class Settings:
    """What the event loops of one RedisCache have in common."""

    namespace: Namespace
    default_ttl: float
    serializer: Serializer
    timeout: float
    max_connections: int
    jitter: float
    fail_open: bool
    lock_ms: int
    counts: Counts = field(default_factory=Counts)
    owed: Owed = field(init=False)
    name: str = field(default_factory=lambda: secrets.token_hex(8))  # of this cache, for its leases
    logged: dict[str, float] = field(default_factory=dict)  # what, and when
    longest_ms: int = 0  # of all times that values were to be kept, but for those kept for ever

    def __post_init__(self) -> None:
        self.owed = Owed(self.namespace.everything)

    def milliseconds(self, ttl: Seconds | None) -> int | str:
        """A ttl as Redis takes it: at least 1 ms, unless 0; an empty str never expires."""
        length = self.default_ttl if ttl is None else seconds("ttl", ttl)
        if length <= LONGEST:
            self.longest_ms = max(self.longest_ms, whole_ms(length))
        if self.jitter:
            length *= 1 - self.jitter * random.random()
        return "" if length > LONGEST else whole_ms(length)

    def shortest(self, ttl: Seconds | None) -> float:
        """Seconds that a value lives at least, with this ttl and the most of jitter."""
        length = self.default_ttl if ttl is None else seconds("ttl", ttl)
        return length * (1 - self.jitter)

    def tell(self, what: str, text: str, *args: object) -> None:
        """Log a warning, unless the same was logged a moment ago."""
        now = time.monotonic()
        if now - self.logged.get(what, -math.inf) >= QUIET_SECONDS:
            self.logged[what] = now
            logger.warning(text, *args)

    def failed(self, error: NoReply) -> None:
        """`note` what Redis did not do. Raises CacheUnavailable, if that was asked for."""
        self.note(error)
        if not self.fail_open:
            raise unavailable(error.__cause__) from error.__cause__

    def note(self, error: NoReply) -> None:
        """Count and log it."""
        cause = error.__cause__
        if cause is not None:
            self.counts.errors += 1
        if isinstance(cause, ResponseError) and word(cause) != FOREIGN:
            self.tell(
                word(cause), "Redis refuses (%s): the cache carries on without", describe(cause)
            )


def whole_ms(length: float) -> int:
    """Seconds in whole milliseconds: at least 1, unless it is 0."""
    return round(length * 1000) or math.ceil(length * 1000)


def unavailable(cause: BaseException | None) -> CacheUnavailable:
    why = describe(cause) if cause else "it failed a moment ago"
    return CacheUnavailable(f"Redis is not available: {why}")


def _sender(client: Any, most: int, **options: Any) -> Sender | Shards:
    if isinstance(client, redis.asyncio.RedisCluster):
        return Shards(client, most=most, **options)
    pool = client.connection_pool
    most = min(most, getattr(pool, "max_connections", most))
    return Sender(Connections(lambda: pool.make_connection()), most=most, **options)


class Session:
    """Reads and writes for the callers of one event loop."""

    def __init__(self, settings: Settings, client: Any) -> None:
        self.settings = settings
        self.calls = SingleFlight()
        self.owed = settings.owed
        # What the tokens of its leases begin with. A fork is another process, and a loop beside
        # this one is like one.
        self.holder = f"{settings.name}.{os.getpid()}.{id(asyncio.get_running_loop())}."
        self.sender = _sender(
            client,
            timeout=settings.timeout,
            most=settings.max_connections,
            probe=settings.namespace.other("probe"),
            on_closed=self._pay,
        )
        self.payer = Payer(self.owed, self.sender, settings.namespace, settings.timeout)

    def _pay(self) -> None:
        self.payer.pay()

    def budget(self) -> Budget:
        return Budget(self.settings.timeout)

    async def read(self, name: bytes, budget: Budget) -> Any:
        """The value that *name* holds, or MISSING."""
        data = await self.ask(budget, "GET", name)
        return MISSING if data is None else await self.decode(budget, name, data)

    async def ask(self, budget: Budget, command: str, name: bytes) -> Any:
        """The reply to a *command* that reads; None if Redis does not say, or owes a delete."""
        if self.owed.covers(name):
            return None
        try:
            return await self.sender.ask(budget, command, name)
        except NoReply as error:
            if word(error.__cause__) == FOREIGN:
                await self.drop(budget, name)
            else:
                self.settings.failed(error)
            return None

    async def read_many(self, names: Iterable[bytes]) -> dict[bytes, Any]:
        """The values that *names* hold, where there is one."""
        asked = [name for name in names if not self.owed.covers(name)]
        found, failure = {}, None
        while asked:
            part, asked = asked[:MOST_COMMANDS], asked[MOST_COMMANDS:]
            budget = self.budget()
            if self.sender.cluster:  # they are in many slots
                replies = await self.sender.ask_all(budget, [("GET", name) for name in part])
            else:
                [got] = await self.sender.ask_all(budget, [("MGET", *part)])
                replies = [got] * len(part) if isinstance(got, NoReply) else got
            for name, data in zip(part, replies, strict=True):
                if isinstance(data, NoReply):
                    failure = data
                elif data is not None:
                    found[name] = await self.decode(budget, name, data)
        if failure is not None:
            self.settings.failed(failure)
        return {name: value for name, value in found.items() if value is not MISSING}

    async def decode(self, budget: Budget, name: bytes, data: bytes) -> Any:
        """The value in *data*; MISSING for what this serializer can't read, which is removed."""
        try:
            return self.settings.serializer.decode(data)
        except Exception:
            await self.drop(budget, name)
            return MISSING

    async def drop(self, budget: Budget, name: bytes) -> None:
        """Count and remove what can't be read."""
        self.settings.counts.errors += 1
        await self.sender.ask_all(budget, [("UNLINK", name)])

    async def set_many(
        self,
        items: Mapping[Any, Any],
        ttl: Seconds | None,
        origin: Callable[[bytes], bytes] = lambda name: NOBODY,
    ) -> bool:
        """As RedisCache.set_many. *origin* is asked, for each name, who writes: others hear it."""
        if ttl is not None:
            seconds("ttl", ttl)  # also where there are no items
        stores = []
        for key, value in items.items():
            data = self.settings.serializer.encode(value)
            stores.append((self.settings.namespace.names(key), data))
        for key in items:
            self.calls.forget(key)
        writes: list[Write] = []
        for names, data in stores:
            put = data, self.settings.milliseconds(ttl), origin(names.value)
            writes.append((names.value, ("EVAL", scripts.SET, 4, *names, *put)))
        return await self.write(writes) is not None

    async def delete(self, key: Hashable, origin: bytes = NOBODY) -> bool | None:
        """True if a value was there, False if not, None if Redis did not confirm."""
        names = self.settings.namespace.names(key)
        self.calls.forget(key)
        replies = await self.write([(names.value, delete(names, origin))])
        return None if replies is None else bool(replies[0])

    async def write(self, writes: list[Write]) -> list[Any] | None:
        """The replies to *writes*; None unless Redis confirmed all. The others are owed."""
        replies = await self.payer.write(writes)
        for reply in replies:
            if isinstance(reply, NoReply):
                self.settings.failed(reply)
                return None
        return replies

    async def clear(self, prefix: bytes) -> bool:
        """Remove all names that begin with *prefix*, step by step, or owe it."""
        try:
            await self.payer.sweep(prefix)
        except NoReply as error:
            if not never(error):
                self.payer.owe_prefix(prefix)
            self.settings.failed(error)
            return False
        except BaseException:  # cancelled half way
            self.payer.owe_prefix(prefix)
            raise
        return True

    async def may_publish(self) -> bool:
        """Try it: tell that a name has changed that is no key's. Raises NoReply."""
        return await self.payer.tell(self.settings.namespace.everything + b"}")

    async def connect(self) -> None:
        """Make sure that Redis can be used. Raises CacheUnavailable."""
        try:
            await self.sender.circuit.check_now()
        except NoReply as error:
            raise unavailable(error.__cause__) from error.__cause__
        info, evaluated, scanned = await self.sender.ask_all(
            self.budget(), [("INFO", "cluster"), ("EVAL", "return 1", 0), ("SCAN", 0, "COUNT", 1)]
        )
        if isinstance(info, bytes) and b"cluster_enabled:1" in info and not self.sender.cluster:
            raise CacheUnavailable(f"Redis is not available: {CLUSTER}")
        for command, reply in ("EVAL", evaluated), ("SCAN", scanned):
            if isinstance(reply, NoReply) and never(reply):
                raise CacheUnavailable(
                    f"this user of Redis may not run {command}: allow it (ACL SETUSER … "
                    f"+{command.lower()}), or much of the cache can't work"
                ) from reply.__cause__

    async def close(self) -> None:
        """Cancel what loads in the background, pay what can be paid, answer all, and end."""
        await self.calls.close()
        held = [(key, call.lease) for key, call in self.calls.current.items() if call.lease]
        release, names = ("EVAL", scripts.RELEASE_LEASE, 4), self.settings.namespace.names
        releases = [(*release, *names(key), lease, 0) for key, lease in held]
        await self.sender.ask_all(self.budget(), releases)
        await self.payer.close()
        await self.sender.close()
