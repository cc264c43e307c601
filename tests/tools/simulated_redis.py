"""A Redis server in memory, for simulated time: its scripts restated, and replies that are late.

`tests/redis_cache/test_lease_scripts.py` holds it against a real server.
"""

import asyncio
import random
import re
import zlib
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError

from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.connections import pack

BUCKETS = 4  # that SCAN goes through, one a step


def wire(part: Any) -> bytes:
    """An argument as it is sent."""
    return part if isinstance(part, bytes) else str(part).encode()


def batched(parts: list[Any], size: int) -> list[list[Any]]:
    """*parts* in lists of *size*, as itertools.batched does it from Python 3.12 on."""
    return [parts[at : at + size] for at in range(0, len(parts), size)]


def unpack(data: bytes) -> list[tuple[Any, ...]]:
    """The commands that were packed into *data*; of a script the number of its names as an int."""
    commands = []
    while data:
        line, _, data = data.partition(b"\r\n")
        parts: list[Any] = []
        for _ in range(int(line[1:])):
            line, _, data = data.partition(b"\r\n")
            end = int(line[1:])
            parts.append(data[:end])
            data = data[end + 2 :]
        name = parts[0].decode()
        commands.append(
            (name, parts[1], int(parts[2]), *parts[3:]) if name == "EVAL" else (name, *parts[1:])
        )
    return commands


class SimulatedRedis:
    """What the server holds. *clock* gives milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.held: dict[bytes, tuple[bytes, float]] = {}  # with the moment when it expires
        self.scripts: dict[str, Callable[..., Any]] = {
            scripts.TAKE_LEASE: self.take_lease,
            scripts.RENEW_LEASE: self.renew_lease,
            scripts.RELEASE_LEASE: self.release_lease,
            scripts.LEASE_HOLDER: self.lease_holder,
            scripts.SET: self.put,
            scripts.STORE: self.store,
            scripts.DELETE: self.delete,
            scripts.LOOK: self.look,
            scripts.TELL: self.tell,
        }

    # -- commands -----------------------------------------------------------------------------

    def execute(self, command: str, *args: Any) -> Any:
        if command == "EVAL":
            script, number, *rest = args
            told = [wire(part) for part in rest]
            return self.scripts[script](told[:number], *told[number:])
        return getattr(self, command.lower())(*args)

    def get(self, name: bytes) -> bytes | None:
        value, end = self.held.get(name, (None, 0))
        return value if end > self.clock() else None

    def mget(self, *names: bytes) -> list[bytes | None]:
        return [self.get(name) for name in names]

    def exists(self, name: bytes) -> int:
        return int(self.get(name) is not None)

    def pttl(self, name: bytes) -> int:
        if self.get(name) is None:
            return -2
        end = self.held[name][1]
        return -1 if end == float("inf") else int(end - self.clock())

    def set(self, name: bytes, value: Any, _px: str = "PX", px: bytes | int = b"") -> None:
        self.held[name] = wire(value), self.clock() + int(px) if px else float("inf")

    def time(self) -> list[int]:
        return [self.clock() // 1000, self.clock() % 1000 * 1000]

    def unlink(self, *names: bytes) -> int:
        there = [name for name in names if self.get(name) is not None]
        for name in there:
            del self.held[name]
        return len(there)

    def scan(self, cursor: Any, _match: str, pattern: bytes, _count: str, count: int) -> Any:
        """One bucket a step: what comes into one that was passed already is not seen."""
        bucket = int(cursor)
        glob = re.compile(re.escape(pattern.replace(b"\\", b"")).replace(b"\\*", b".*"))
        names = [name for name in self.held if zlib.crc32(name) % BUCKETS == bucket]
        found = [name for name in names if glob.fullmatch(name)]
        return [wire((bucket + 1) % BUCKETS), found]

    # -- scripts ------------------------------------------------------------------------------

    def holder(self, lease: bytes) -> bytes:
        return (self.get(lease) or b"").split(b" ")[0]

    def take_lease(
        self, keys: list[bytes], token: bytes, lock: bytes, life: bytes, own: bytes, least: bytes
    ) -> Any:
        value, _, lease, failure = keys
        if least != b"-1":
            left = self.pttl(value)
            counts = least == b"0" or self.exists(failure) or left < 0 or left > int(least)
            if (data := self.get(value)) is not None and counts:
                return [1, data]
            if (found := self.get(lease)) is not None:
                holder, _, deadline = found.partition(b" ")
                alive = int(deadline) > self.clock() if deadline else self.pttl(lease) > 0
                if alive and not holder.startswith(own):
                    return [0, holder, self.get(failure)]
        self.set(lease, b"%s %d" % (token, self.clock() + int(lock)), px=life)
        return [2]

    def renew_lease(self, keys: list[bytes], token: bytes, lock: bytes, life: bytes) -> int:
        if self.holder(keys[2]) != token:
            return 0
        self.set(keys[2], b"%s %d" % (token, self.clock() + int(lock)), px=life)
        return 1

    def release_lease(self, keys: list[bytes], token: bytes, failed: bytes) -> int:
        if self.holder(keys[2]) != token:
            return 0
        self.unlink(keys[2])
        if failed != b"0":
            self.set(keys[3], token, px=failed)
        return 1

    def lease_holder(self, keys: list[bytes]) -> bytes:
        return self.holder(keys[2])

    def look(self, keys: list[bytes]) -> Any:
        value, stale = keys
        return [self.get(value), self.pttl(value), (self.get(stale) or b"")[:61]]

    def tell(self, keys: list[bytes]) -> int:
        return 0

    def keep(self, keys: list[bytes], data: bytes, px: bytes) -> int:
        self.unlink(*keys)
        if px != b"0":
            self.set(keys[0], data, px=px)
        return 1

    def put(self, keys: list[bytes], data: bytes, px: bytes, origin: bytes) -> int:
        return self.keep(keys, data, px)

    def store(
        self,
        keys: list[bytes],
        data: bytes,
        px: bytes,
        origin: bytes,
        token: bytes,
        stale: bytes,
        header: bytes,
    ) -> int:
        if self.holder(keys[2]) != token:
            return 0
        self.keep(keys, data, px)
        if header:
            copied = b"" if stale == b"0" else data
            self.set(keys[1], header + copied, px=int(px) + int(stale))
        return 1

    def delete(self, keys: list[bytes], origin: bytes) -> int:
        self.unlink(*keys[1:])
        return self.unlink(keys[0])


class Way:
    """The way from one process to the server: how long it takes, and whether it leads there."""

    def __init__(self, server: Any, chance: random.Random) -> None:
        self.server, self._chance = server, chance
        self.cut = False
        self.blocked_until = 0.0  # by the clock of the event loop
        self.tasks: set[asyncio.Task[None]] = set()

    async def there(self, commands: Any) -> None:
        await self.pass_by()

    async def back(self, commands: Any) -> None:
        await self.pass_by()

    async def pass_by(self) -> None:
        """Mostly quick, now and then late; not while the process is blocked."""
        slow = self._chance.random() < 0.2
        await asyncio.sleep(self._chance.uniform(0, 1.2 if slow else 0.01))
        await asyncio.sleep(max(0, self.blocked_until - asyncio.get_running_loop().time()))
        if self.cut:
            raise ConnectionError("cut")


class HeldWay(Way):
    """A way on which the replies to one command are held back until they are let go."""

    def __init__(self, server: Any) -> None:
        super().__init__(server, random.Random(0))
        self._held = ""
        self.arrived = asyncio.Event()  # the command is done, its reply held
        self._let_go = asyncio.Event()

    def hold(self, command: str) -> None:
        """From now on, replies to batches with *command*: a script, or the word itself."""
        self._held = command
        self.arrived, self._let_go = asyncio.Event(), asyncio.Event()

    def let_go(self) -> None:
        """Let pass what was held, and all that follows."""
        self._held = ""
        self._let_go.set()

    async def there(self, commands: Any) -> None:
        pass

    async def back(self, commands: Any) -> None:
        if any(self._held in command[:2] for command in commands):
            let_go = self._let_go
            self.arrived.set()
            await let_go.wait()


class _Connection:
    """Sends what a Sender sends, in simulated time."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._replies: asyncio.Queue[Any] = asyncio.Queue()

    async def connect(self) -> None:
        await self._way.there([])

    async def send_command(self, *args: Any) -> None:
        await self.send_packed_command(pack([args]))

    async def send_packed_command(self, data: bytes) -> None:
        task = asyncio.create_task(self._serve(unpack(data)))
        self._way.tasks.add(task)
        task.add_done_callback(self._way.tasks.discard)

    async def _serve(self, commands: Any) -> None:
        """What is on its way is done, whether somebody still waits for the replies or not."""
        try:
            await self._way.there(commands)
            replies = []
            for command in commands:
                replies.append(self._do(*command))
                await asyncio.sleep(0)  # others are served between two commands of a batch
            await self._way.back(commands)
            for reply in replies:
                self._replies.put_nowait(reply)
        except ConnectionError as error:
            self._replies.put_nowait(error)

    def _do(self, name: str, *args: Any) -> Any:
        if name == "EVAL" and args[0] in (scripts.SET, scripts.STORE) and args[1] > 4:
            script, keys, *rest = args  # several values
            number, told = keys // 4, rest[keys:]
            others, words = batched(rest[number:keys], 3), batched(told, len(told) // number)
            replies = [
                self._do(name, script, 4, value, *names, *more)
                for value, names, more in zip(rest[:number], others, words, strict=True)
            ]
            return replies if any(reply != 1 for reply in replies) else 1
        return self._way.server.execute(name, *args)

    async def read_response(self) -> Any:
        reply = await self._replies.get()
        if isinstance(reply, ConnectionError):
            raise reply
        return reply

    async def disconnect(self, *, nowait: bool = False) -> None:
        self._replies = asyncio.Queue()


class _Pool:
    max_connections = 10

    def __init__(self, way: Way) -> None:
        self._way = way

    def make_connection(self) -> _Connection:
        return _Connection(self._way)

    async def get_connection(self, *_: Any) -> _Connection:
        return self.make_connection()

    async def release(self, connection: _Connection) -> None:
        pass

    async def disconnect(self, **_: Any) -> None:
        pass

    def get_encoder(self) -> Any:
        return redis.asyncio.connection.Encoder("utf-8", "strict", False)


class SimulatedClient(redis.asyncio.Redis):
    """A client of redis-py whose connections take a *way* instead of a network."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        self.connection_pool = _Pool(way)  # type: ignore[assignment]
