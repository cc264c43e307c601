"""Feedback on exercise 07-2: keep a first tier true to what others publish."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from typing import Any

from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock
from cachepool_lib.memory.async_cache import AsyncCache

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

KEYS = "x", "y", "Zoë"

DELETE = "await l1.delete(message['data'].decode())"
GO_ON = "async for message in messages: … goes on for as long as messages come; nothing may end it."
EACH = "Act at each message, as it comes. The line never ends, so a list of all is never complete."


class FirstTier(AsyncCache):
    """A first tier that remembers which keys it was told to delete, and if it was cleared."""

    def __init__(self) -> None:
        super().__init__(3600, clock=clock)
        self.asked: list[Any] = []
        self.cleared = False

    async def delete(self, key: Any) -> bool:
        self.asked.append(key)
        return await super().delete(key)

    async def clear(self, group: Hashable = None) -> None:
        self.cleared = True
        await super().clear(group)


class Line:
    """What redis-py's `pubsub.listen()` gives, one message at a time."""

    def __init__(self, answer: Any) -> None:
        self.l1 = FirstTier()
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listener: asyncio.Future[Any] = asyncio.ensure_future(
            answer(self._messages(), self.l1)
        )

    async def _messages(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield await self._queue.get()

    async def hold_all(self) -> None:
        await self.l1.set_many(dict.fromkeys(KEYS, "old"))

    async def tell(self, kind: str, data: Any) -> set[str]:
        """Send a message; what is kept once it was heard. Raises what the listener raised."""
        self._queue.put_nowait({"type": kind, "pattern": None, "channel": b"changes", "data": data})
        await asyncio.sleep(1)
        if self._listener.done():
            try:
                await self._listener
            except TypeError as error:
                if "async_generator" not in str(error):
                    raise
                raise Unmet(
                    expected="messages are taken as they come",
                    got=f"TypeError: {error}",
                    hint="Messages are waited for: `async for message in messages:`.",
                ) from None
        return {key for key in KEYS if await self.l1.exists(key)}

    @property
    def left(self) -> bool:
        """The listener has returned, though the line goes on."""
        return self._listener.done()

    @property
    def unheard(self) -> bool:
        return not self._queue.empty()

    async def end(self) -> None:
        """Cancel the listener, as a service that ends does."""
        self._listener.cancel()
        await asyncio.wait([self._listener], timeout=1)


@exercise("07-2", "Hear what others change")
async def hear(answer: Any) -> str:
    for look in (_one_line, _the_first_message):
        line = Line(answer)
        try:
            await look(line)
        finally:
            await line.end()
    return "changes, a line that broke three times, a PING, and what was held before the line"


async def _one_line(line: Line) -> None:
    await _changes(line)
    await _the_same_again(line)
    for again in ("", " again", " again"):
        await _a_lost_line(line, again)
    await _something_else(line)


async def _changes(line: Line) -> None:
    await line.tell("subscribe", 1)
    await line.hold_all()
    kept = await line.tell("message", b"x")
    if "x" in kept and b"x" in line.l1.asked:
        raise Unmet(
            expected="'x' is forgotten",
            got="'x' changed, and 'x' stayed: you deleted b'x', which is another key.",
            hint="What comes over the line is bytes: message['data'].decode().",
        )
    if "x" in kept:
        asked = f": you deleted {line.l1.asked[0]!r}" if line.l1.asked else ""
        got, hint = f"'x' changed, and 'x' stayed old{asked}.", DELETE
        if line.left:
            got, hint = f"Your function returned, and the line goes on. {got}", GO_ON
        elif (kept_for_x := await line.l1.get("x")) != "old":
            got = f"'x' changed, and {kept_for_x!r} was kept for it, as if it were the new page."
        elif not line.l1.asked and not line.l1.cleared:
            got, hint = f"Two messages came, and you did nothing to l1. {got}", EACH
        raise Unmet(
            expected="'x' is forgotten: {'type': 'message', 'data': b'x', …} came",
            got=got,
            hint=hint,
        )
    if "y" not in kept:
        raise Unmet(
            expected="'x' is forgotten, and 'y' stays",
            got="'x' changed, and 'y' went too.",
            hint="A 'message' names the one key that has changed.",
        )
    await line.tell("message", b"y")
    kept = await line.tell("message", "Zoë".encode())
    if kept:
        raise Unmet(
            expected="all that changed is forgotten, one message after the other",
            got="The second change went unheard."
            if line.unheard
            else f"{min(kept)!r} changed, and {min(kept)!r} stayed old.",
            hint=GO_ON,
        )


async def _the_same_again(line: Line) -> None:
    """Twice in a row, and read in again each time."""
    for _ in range(2):
        await line.hold_all()
        if "x" in await line.tell("message", b"x"):
            raise Unmet(
                expected="'x' is forgotten each time it changes",
                got="'x' changed, was read in again, changed again, and 'x' stayed old.",
                hint="What was forgotten may be read in again: forget it at each message.",
            )


async def _a_lost_line(line: Line, again: str) -> None:
    await line.hold_all()
    kept = await line.tell("subscribe", 1)
    if kept:
        stayed = "x" if "x" in kept else min(kept)
        raise Unmet(
            expected="nothing is kept: nobody knows what was missed",
            got=f"The line broke{again}, 'x' changed, and {stayed!r} stayed old.",
            hint="redis-py subscribes again by itself; all you see is another 'subscribe'. "
            "Clear at each.",
        )
    await line.hold_all()
    kept = await line.tell("message", b"x")
    if "x" in kept or "y" not in kept:
        raise Unmet(
            expected="after the line is back: 'x' is forgotten, 'y' stays",
            got="The line was back, 'x' changed, and "
            + ("'x' stayed old." if "x" in kept else "'y' went too."),
            hint=GO_ON if line.left else "",
        )


async def _something_else(line: Line) -> None:
    await line.hold_all()
    kept = await line.tell("pong", b"")
    if len(kept) < len(KEYS):
        raise Unmet(
            expected="everything is kept: a 'pong' answers a PING, and nothing has changed",
            got="The line was well, nothing had changed, and the first tier was emptied.",
            hint="Clear at 'subscribe', delete at 'message', and leave the rest alone.",
        )
    if "x" in await line.tell("message", b"x"):
        raise Unmet(
            expected="after a 'pong', 'x' changed and is forgotten",
            got="A 'pong' came, then 'x' changed, and 'x' stayed old.",
            hint=GO_ON,
        )


async def _the_first_message(line: Line) -> None:
    await asyncio.sleep(1)  # what it does before the line is open doesn't count
    await line.hold_all()
    if await line.tell("subscribe", 1):
        raise Unmet(
            expected="nothing is kept that was held before the line was open",
            got="Before the line was open 'x' changed, and 'x' stayed old.",
            hint="Nobody told you until then: clear at the first 'subscribe', too.",
        )
