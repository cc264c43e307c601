"""Feedback on the exercises of notebook 02 about the lock: load behind it, and give it back."""

import asyncio
import secrets
from types import SimpleNamespace
from typing import Any

import redis.asyncio

from cachepool_lib.lab.exercises.outcomes import outcomes
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.servers.services import services

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


# -- 02-3: load behind a lock ---------------------------------------------------------------------

MISS = SimpleNamespace()


class _Shared:
    """What the processes share: a lock and a page. A trip there takes half a millisecond."""

    def __init__(self, holder: str | None = None, page: Any = MISS) -> None:
        self.holder, self.page = holder, page
        self.value: Any = "page"
        self.loads = self.trips = 0
        self.held = True  # by whoever loads, whenever it loads
        self.ends_when_seen = False  # B is ready right after somebody has looked

    async def finish(self, seconds: float, page: Any = "page") -> None:
        """B stores its page, or nothing, and its lock is free."""
        await asyncio.sleep(seconds)
        if self.holder == "B":
            self.page, self.holder = page, None

    def process(self, answer: Any, name: str = "A") -> "asyncio.Task[Any]":
        async def claim() -> bool:
            mine = self.holder is None
            self.holder = self.holder or name  # done, however long the answer takes
            await self._trip()
            return mine

        async def look() -> Any:
            await self._trip()
            page = self.page
            if self.ends_when_seen:
                await self.finish(0)
            return page

        async def load() -> Any:
            self.loads += 1
            self.held &= self.holder == name
            await asyncio.sleep(0.1)
            self.held &= self.holder == name
            if isinstance(self.value, Exception):
                raise self.value
            self.page = self.value
            return self.value

        async def release() -> None:
            await self._trip()
            if self.holder == name:
                self.holder = None

        async def run() -> Any:
            return await answer(claim, look, load, release, MISS)

        return asyncio.create_task(run())

    async def _trip(self) -> None:
        self.trips += 1
        await asyncio.sleep(0.0005)
        if self.trips > 20_000:
            raise Unmet(
                expected="a pause between two looks",
                got="20,000 trips, and no end.",
                hint="await asyncio.sleep(0.02)",
            )


async def _call(shared: _Shared, answer: Any, case: str, expected: Any) -> Any:
    [outcome] = await outcomes([shared.process(answer)])
    if isinstance(outcome, NotImplementedError | Unmet):
        raise outcome
    if outcome is not expected and outcome != expected:
        raise Unmet(expected=repr(expected), got=f"{case}: {outcome!r} came.")
    if shared.holder is not None and shared.holder != "B":
        raise Unmet(
            expected="a lock that is free",
            got=f"{case}: the lock is still taken afterwards.",
            hint="Release it in `finally`: however this ends.",
        )
    return outcome


def _loads(shared: _Shared, count: int, case: str, hint: str) -> None:
    if shared.loads != count:
        loads = f"{shared.loads} load{'s' * (shared.loads != 1)}"
        raise Unmet(expected=f"{count} loads", got=f"{case}: {loads}.", hint=hint)


@exercise("02-3", "Load behind a lock")
async def load_once(answer: Any) -> str:
    for page in ("page", None):
        shared = _Shared()
        shared.value = page
        await _call(shared, answer, "Nobody has the lock", page)
        _loads(shared, 1, "Nobody has the lock", "It is yours: load.")
        if not shared.held:
            raise Unmet(
                expected="the lock is yours for as long as you load",
                got="You loaded without the lock.",
                hint="Load when claim() says True, and release afterwards.",
            )
        shared = _Shared(page=page)
        await _call(shared, answer, f"{page!r} is there already", page)
        _loads(shared, 0, f"{page!r} is there already", "Look before you load: `is not miss`.")

    shared = _Shared("B")
    other = asyncio.create_task(shared.finish(1.03))
    start = asyncio.get_running_loop().time()
    await _call(shared, answer, "B loads, for a second", "page")
    took = asyncio.get_running_loop().time() - start
    await other
    _loads(shared, 0, "B loads, for a second", "Who doesn't get the lock looks again, and again.")
    if took > 1.14:
        raise Unmet(
            expected="the page within a tenth of a second after it is there",
            got=f"B's page was there after 1.03 s, yours after {took:.2f} s.",
            hint="await asyncio.sleep(0.02) between two looks is short enough.",
        )
    if shared.trips > 500:
        raise Unmet(
            expected="a few trips to Redis while B loads",
            got=f"B loads for a second, and you make {shared.trips:,} trips.",
            hint="await asyncio.sleep(0.02) between two looks is long enough.",
        )

    case = "B stores its page and frees the lock right after you have looked"
    shared = _Shared("B")
    shared.ends_when_seen = True
    other = asyncio.create_task(shared.finish(0.3))  # if nobody looks
    await _call(shared, answer, case, "page")
    await other
    _loads(shared, 0, case, "Look once more when you have the lock: claim first, look afterwards.")

    shared = _Shared("B")
    other = asyncio.create_task(shared.finish(0.5, page=MISS))
    await _call(shared, answer, "B dies, and its lock ends", "page")
    await other
    _loads(shared, 1, "B dies, and its lock ends", "Claim again, each time before you look.")

    shared = _Shared()
    shared.value = error = ConnectionError("the database is down")
    await _call(shared, answer, "The load fails", error)

    for after, when in ((0.05, "in the load"), (0.0001, "while it claims")):
        shared = _Shared()
        visit = shared.process(answer)
        await asyncio.sleep(after)
        visit.cancel()
        await asyncio.wait([visit], timeout=60)
        if not visit.cancelled():
            raise Unmet(expected="CancelledError", got=f"Cancelled {when}, and it went on.")
        if shared.holder is not None:
            raise Unmet(
                expected="a lock that is free",
                got=f"Cancelled {when}: the lock is still taken.",
                hint="The claim may have reached Redis all the same: `try` begins before it.",
            )

    shared = _Shared()
    got = await outcomes([shared.process(answer, name) for name in "ACDEF"])
    if got != ["page"] * 5:
        raise Unmet(expected="5 pages", got=f"Five processes at once got {got!r}.")
    _loads(shared, 1, "Five processes at once", "Who doesn't get the lock looks again.")
    return "free, taken, just released, dead, an error, cancelled, five at once"


# -- 02-4: give it back ---------------------------------------------------------------------------


@exercise("02-4", "Release a lock, if it is still yours")
async def release(answer: Any) -> str:
    client: Any = redis.asyncio.from_url((await services()).redis_url)
    name = f"exercise-{secrets.token_hex(8)}:lock"
    midway = handed_over = False  # B gets the lock between two trips

    async def ask(*command: Any) -> Any:
        nonlocal handed_over
        if str(command[0]).upper().startswith("FLUSH"):
            raise Unmet(
                expected="one lock released",
                got=f"{command[0]}, with everybody's keys in it.",
                hint="Remove the lock alone.",
            )
        reply = await client.execute_command(*command)
        if midway and await client.get(name) == b"A":
            handed_over = True
            await client.set(name, "B", px=60_000)
        return reply

    async def call(case: str) -> None:
        try:
            await answer(ask, name, "A")
        except (NotImplementedError, Unmet):
            raise
        except Exception as error:
            got = f"{case}: {type(error).__name__}: {error}"
            raise Unmet(expected="no error", got=got) from None

    try:
        await client.set(name, "B", px=60_000)
        async with client.pipeline() as watching:
            await watching.watch(name)
            await call("It is B's")
            if await client.get(name) != b"B":
                raise Unmet(
                    expected="B's lock stays",
                    got="Yours had expired; you freed B's.",
                    hint="Look at the token before you delete.",
                )
            watching.multi()
            watching.pexpire(name, 60_000)
            try:
                await watching.execute()
            except redis.asyncio.WatchError:
                raise Unmet(
                    expected="B's lock is left as it is",
                    got="You took B's lock, and put it back: meanwhile others could have it.",
                    hint="First look, then delete, both in the script.",
                ) from None
        await client.set(name, "A", px=60_000)
        await call("It is yours")
        if await client.get(name) is not None:
            hint = "Compare in the script, or as bytes: Redis answers b'A', and b'A' != 'A'."
            raise Unmet(expected="no lock", got="It was yours, and it is still locked.", hint=hint)
        await call("It has ended by itself")
        if await client.exists(name):
            raise Unmet(
                expected="no lock",
                got="It had ended by itself, and now somebody holds it.",
                hint="Release: never SET.",
            )
        midway = True
        await client.set(name, "A", px=60_000)
        await call("It changes hands")
        if handed_over and await client.get(name) != b"B":
            raise Unmet(
                expected="look and delete, in one step",
                got="It changed hands between two trips; one script is one step.",
                hint='ask("EVAL", script, 1, name, token)',
            )
    finally:
        await client.unlink(name)
        await client.aclose()
    return "yours, B's, gone, changing hands"
