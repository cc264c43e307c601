"""Feedback on the exercises of notebook 02: the learner's function meets a real Redis.

It gets a client that notes what is asked of it. What would hit other people's keys is not sent.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import redis.asyncio

from .checks import Unmet
from .faults import Proxy
from .services import services

__all__ = ["EXERCISES"]

Check = Callable[[Any], Coroutine[Any, Any, str]]
EXERCISES: dict[str, tuple[str, Check]] = {}


def _exercise(name: str, title: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        EXERCISES[name] = title, function
        return function

    return register


class Client(redis.asyncio.Redis):
    """Notes the commands; whoever would flush the database loses the keys of this check alone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.prefix = f"exercise-{secrets.token_hex(8)}-"
        self.commands: list[str] = []

    async def send(self, *command: Any, **options: Any) -> Any:
        """As redis-py does it."""
        return await super().execute_command(*command, **options)  # type: ignore[no-untyped-call]

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        name = str(command[0]).upper()
        self.commands.append(name)
        if name.startswith("FLUSH"):
            names = [key async for key in self.scan_iter(f"{self.prefix}*", 1000)]
            return bool(names and await self.send("UNLINK", *names))
        reply = await self.send(*command, **options)
        await self.after(name, *command[1:])
        return reply

    async def after(self, command: str, *args: Any) -> None:
        """What happens in Redis right after a command."""


@contextlib.asynccontextmanager
async def _client(kind: type[Client] = Client, url: str = "") -> AsyncIterator[Client]:
    client: Any = kind.from_url(url or (await services()).redis_url)
    try:
        yield client
    finally:
        await client.aclose()


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


async def _call(answer: Any, *args: Any, expected: str, case: str) -> Any:
    """Call the learner's function; what it raises is what came."""
    try:
        return await answer(*args)
    except (NotImplementedError, Unmet):
        raise
    except Exception as error:
        raise Unmet(expected=expected, got=f"{case}: {_text(error)}") from None


@_exercise("02-1", "Clear one namespace; neighbours stay")
async def clear(answer: Any) -> str:
    async with _client() as client:
        mine = f"{client.prefix}a"
        try:
            await client.mset({f"{mine}b:1": 1, f"{mine}:1": 1})
            await client.mset({f"{mine}:{number}": 1 for number in range(2_500)})
            client.commands = []
            await _call(answer, client, mine, expected="an empty namespace", case="clear")
            left = {name.decode() async for name in client.scan_iter(f"{client.prefix}*", 1000)}
            if f"{mine}b:1" not in left:
                raise Unmet(
                    expected="'ab:1' stays: its namespace is 'ab'",
                    got="A neighbour's key is gone.",
                    hint="Only names that begin with the namespace and a colon.",
                )
            if rest := sum(name.startswith(f"{mine}:") for name in left):
                raise Unmet(
                    expected="no key of 'a'",
                    got=f"{rest:,} of 2,500 keys are still there.",
                    hint="A SCAN is over when its cursor is 0 again; scan_iter asks until then.",
                )
            if "KEYS" in client.commands:
                raise Unmet(
                    expected="SCAN",
                    got="KEYS: It stops everyone while it walks; SCAN goes in steps.",
                )
            for odd in ("a*", "a?", "a[b]", "a\\b"):
                await _clear_odd(answer, client, odd)
        finally:
            await client.flushdb()
    return "2,500 keys, neighbours, signs in the name"


async def _clear_odd(answer: Any, client: Client, odd: str) -> None:
    """Clear a namespace that is also a pattern for 'ab'."""
    await client.set(f"{client.prefix}{odd}:1", 1)
    await _call(
        answer, client, f"{client.prefix}{odd}", expected="an empty namespace", case="clear"
    )
    hint = rf"In a pattern {odd[1]} has a meaning; \{odd[1]} stands for {odd[1]} alone."
    if not await client.exists(f"{client.prefix}ab:1"):
        got = f"'{odd}' also cleared 'ab:1'."
        raise Unmet(expected=f"'ab:1' stays, when '{odd}' is cleared", got=got, hint=hint)
    if await client.exists(f"{client.prefix}{odd}:1"):
        got = f"'{odd}:1' is still there."
        raise Unmet(expected=f"'{odd}:1' goes", got=got, hint=hint)


class Buggy:
    """A client with a mistake in it."""

    async def get(self, key: Any) -> Any:
        raise TypeError("a mistake of the programmer")


@_exercise("02-2", "Never fail the page, never hold it up")
async def get(answer: Any) -> str:
    url = (await services()).redis_url
    async with Proxy(url) as proxy, _client(url=proxy.url) as client:
        key = f"{client.prefix}user"
        await client.set(key, "Ada", px=60_000)
        for name, expected in ((key, b"Ada"), (f"{key}:nobody", "miss")):
            case = "a hit" if name == key else "a miss"
            value = await _call(answer, client, name, "miss", expected=repr(expected), case=case)
            if value != expected:
                raise Unmet(expected=repr(expected), got=f"For {case} came {value!r}.")
        await client.set(key, b"", px=60_000)
        value = await _call(answer, client, key, "miss", expected="b''", case="an empty hit")
        if value != b"":
            raise Unmet(
                expected="b'', which is what is stored",
                got=f"b'' is stored, and {value!r} came.",
                hint="Nothing is an answer, too. A miss is None: test for that.",
            )

        await proxy.cut()
        hint = "redis.exceptions.RedisError is the base of what redis-py raises."
        try:
            value = await answer(client, key, "miss")
        except Exception as error:
            raise Unmet(
                expected="miss", got=f"Redis down: {type(error).__name__}.", hint=hint
            ) from None
        if value != "miss":
            raise Unmet(expected="miss", got=f"Redis down: {value!r}.")

        await proxy.restore()
        await client.get(key)
        proxy.stall()
        await _silent(answer, client, key)
        await _cancelled(answer, client, key)
        await proxy.restore()

    try:
        value = await answer(Buggy(), key, "miss")
    except TypeError:
        return "a hit, a miss, down, silent, cancelled, a bug"
    raise Unmet(
        expected="the TypeError",
        got="A TypeError became a miss.",
        hint="Catch what Redis may do to you, by name: RedisError and OSError.",
    )


async def _silent(answer: Any, client: Client, key: str) -> None:
    start = time.monotonic()
    waiting = asyncio.ensure_future(answer(client, key, "miss"))
    await asyncio.wait([waiting], timeout=1)
    if not waiting.done():
        waiting.cancel()
        await asyncio.wait([waiting], timeout=1)
        raise Unmet(
            expected="miss, after 0.25 s",
            got="Redis silent: no answer after 1 s.",
            hint="async with asyncio.timeout(0.25):",
        )
    if error := waiting.exception():
        hint = "asyncio.timeout raises TimeoutError, which is an OSError. A miss, too."
        raise Unmet(expected="miss", got=f"Redis silent: {type(error).__name__}.", hint=hint)
    if waiting.result() != "miss" or time.monotonic() - start < 0.1:
        raise Unmet(
            expected="miss, after 0.25 s",
            got=f"Redis silent: {waiting.result()!r}, after {time.monotonic() - start:.1f} s.",
        )


async def _cancelled(answer: Any, client: Client, key: str) -> None:
    waiting = asyncio.ensure_future(answer(client, key, "miss"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=1)
    if not waiting.cancelled():
        waiting.cancel()  # in a loop it goes on until then
        await asyncio.wait([waiting], timeout=1)
        if waiting.done() and not waiting.cancelled():
            waiting.exception()  # seen
        raise Unmet(
            expected="CancelledError, for whoever cancelled",
            got="Cancelled, and it went on.",
            hint="A bare `except` takes CancelledError too. Name what you catch.",
        )


class ChangesHands(Client):
    """Whoever looks at the lock without taking a script along is too late: B has it then."""

    async def after(self, command: str, *args: Any) -> None:
        if command == "GET":
            await self.send("SET", args[0], "B", "PX", 60_000)


@_exercise("02-3", "Release a lock, if it is still yours")
async def release(answer: Any) -> str:
    async with _client(ChangesHands) as client:
        name = f"{client.prefix}lock"

        async def after_release(holder: str) -> str | None:
            await client.set(name, holder, px=60_000)
            await _call(answer, client, name, "A", expected="no error", case="release")
            value: Any = await client.send("GET", name)
            return value.decode() if value else None

        try:
            if await after_release("B") != "B":
                raise Unmet(
                    expected="B's lock stays",
                    got="Yours had expired; you freed B's.",
                    hint="Look at the token before you delete.",
                )
            left = await after_release("A")
            if left == "A":
                hint = "Compare in the script, or as bytes: Redis answers b'A', and b'A' != 'A'."
                raise Unmet(
                    expected="no lock", got="It was yours, and it is still locked.", hint=hint
                )
            if left == "B" or "GET" in client.commands:
                raise Unmet(
                    expected="look and delete, in one step",
                    got="It changed hands between two trips; one script is one step.",
                    hint="redis.eval(script, 1, name, token)",
                )
        finally:
            await client.flushdb()
    return "yours, B's, changing hands"
