"""Feedback on exercise 04-2, in simulated time: ten pages on a pool of one connection."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any

from cachepool_lib.lab.exercises.no_server import URL, opening_with
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


NAME = "SELECT name FROM users WHERE id = $1"
ORDERS = "SELECT day, quantity FROM orders WHERE user_id = $1 ORDER BY id"

USERS = (
    "Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Alan",
    "Donald",
    "Frances",
    "Tony",
    "Jean",
    "Niklaus",
)


class _Lent:
    """A connection of the pool of one; knows the names and orders of the shop's users."""

    def __init__(self) -> None:
        self.back = self.busy = False

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109
        if self.back:
            raise Unmet(
                expected="queries while the page has the connection",
                got="The connection was used after it was given back.",
                hint="It is given back where the `async with` ends: ask for both inside.",
            )
        if self.busy:
            # In asyncpg: InterfaceError, cannot perform operation: another operation is in progress
            raise Unmet(
                expected="one query after the other",
                got="Two queries at once on one connection: asyncpg raises InterfaceError.",
                hint="A connection does one thing at a time: await the first, then ask again.",
            )
        if " ".join(query.split()) not in (NAME, ORDERS) or len(args) != 1:
            raise Unmet(
                expected="NAME or ORDERS, as slow_page has them, and the id of the user",
                got=f"The query {query!r} with {args!r}.",
                hint="Nothing but these two is known here: there is no server behind it.",
            )
        self.busy = True
        try:
            await asyncio.sleep(0.01)
        finally:
            self.busy = False
        name, orders = _shown(*args)
        return [{"name": name}] if " ".join(query.split()) == NAME else orders

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return (await self.fetch(query, *args, **options))[0]

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return next(iter((await self.fetchrow(query, *args, **options)).values()))


def _shown(user_id: int) -> tuple[str, list[dict[str, int]]]:
    """What the page of a user shows."""
    return USERS[user_id], [{"day": day, "quantity": 3 * user_id + day} for day in (1, 2)]


class _One:
    """A pool of one connection, which can do what NaivePool can."""

    def __init__(self) -> None:
        self.slots, self.min_size, self.max_size = asyncio.Semaphore(1), 1, 1
        self.database_url, self.lent, self.waiting = URL, 0, 0

    def __getattr__(self, name: str) -> Any:
        raise Unmet(
            expected="acquire or fetch, which NaivePool has",
            got=f"NaivePool has no {name}.",
            hint="A connection can do more: `async with pool.acquire() as connection`.",
        )

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[_Lent]:
        self.waiting += 1
        try:
            await self.slots.acquire()
        finally:
            self.waiting -= 1
        self.lent += 1
        lent = _Lent()
        try:
            yield lent
        finally:
            lent.back = True
            self.slots.release()

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)


@exercise("04-2", "Ten pages on a pool of one")
async def page(answer: Any) -> str:
    pool, others = _One(), 0
    expected = "10 pages, with one connection"

    def another(*args: Any, **options: Any) -> Any:
        nonlocal others
        others += 1
        raise ConnectionRefusedError("the server allows one connection")

    async def show(user_id: int) -> Any:
        made = answer(pool, user_id)
        if not inspect.isawaitable(made):
            raise Unmet(
                expected="async def page(pool, user_id)",
                got=f"page(pool, {user_id}) gave {made!r}, and nothing to await.",
                hint="A query has to be awaited, so the page is async as well.",
            )
        return await made

    with opening_with(another):
        pages = [asyncio.create_task(show(user_id)) for user_id in range(len(USERS))]
        await asyncio.wait(pages, timeout=60)
        stuck, waiting = sum(not page.done() for page in pages), pool.waiting
        held = pool.slots.locked()
        for page_ in pages:
            page_.cancel()
        answers = await asyncio.gather(*pages, return_exceptions=True)
    if others:
        raise Unmet(expected=expected, got="Your budget was one connection.",
                    hint="The pool that you are given is all there is.")  # fmt: skip
    if pool.max_size != 1:
        raise Unmet(
            expected=expected,
            got="Stuck again at that size. The number wasn't the fault.",
            hint="As many pages as connections, and each needs one more.",
        )
    errors = [error for error in answers if isinstance(error, Exception)]
    for error in errors:
        if isinstance(error, Unmet | NotImplementedError):
            raise error
    if stuck:
        hint = "The page that has the connection waits for something else than the pool: for what?"
        if not held:
            hint = "Nobody has the connection, and nobody waits for it: what do they wait for?"
        elif waiting >= stuck:
            hint = "The page that has the connection waits for another one. Borrow once, "
            hint += "and hand the connection on to whoever needs it."
        raise Unmet(expected=expected, got=f"{stuck} of 10 pages are stuck.", hint=hint)
    if any(isinstance(error, TimeoutError) for error in errors):
        raise Unmet(
            expected=expected,
            got="Pages failed; none had to.",
            hint="A limit ends the wait, and nothing more. Borrow once.",
        )
    for error in errors:
        raise error
    for user_id, got in enumerate(answers):
        if got == _shown(user_id):
            continue
        text, hint = f"The page of user {user_id} is {got!r}.", "return name, orders"
        if isinstance(got, list) and tuple(got) == _shown(user_id):
            text, hint = f"A list: {got!r}.", "A tuple was asked for: tuple(…) makes one of it."
        elif got is None:
            text, hint = "page returned None.", "A `return` is missing."
        raise Unmet(expected=f"(name, orders): {_shown(user_id)!r}", got=text, hint=hint)
    if pool.lent > len(USERS):
        return "10 pages, one connection; each borrowed twice in turn, and once is enough"
    return "10 pages, one connection"
