"""Feedback on exercise 05-2, in simulated time: change a row, then forget what shows it."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from cachepool_lib import AsyncCache
from cachepool_lib.lab.exercises.service_rows import Rows, no_such_query
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.lab.simulation.loop import clock

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

MOVE = "UPDATE users SET city = $2 WHERE id = $1"
VERSION = "version"  # of all lists
DELETE = "Deleting can't be wrong for long: the next reader loads what is committed."


class _Connection:
    """A borrowed connection: what it changes is seen by others at the end of the transaction."""

    def __init__(self, database: "_Database") -> None:
        self.database, self.changes, self.in_transaction = database, dict[int, str](), False
        self.holds = False

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        if " ".join(str(query).split()) != MOVE or len(args) != 2:
            raise no_such_query(query, args, "MOVE, the id of the user and the city")
        user_id, city = args
        if not isinstance(user_id, int) or not isinstance(city, str):
            # In asyncpg: DataError
            raise Unmet(
                expected="$1, the id, then $2, the city",
                got=f"The database refuses {user_id!r} for an id and {city!r} for a city.",
            )
        if not self.holds:
            await self.database.row.acquire()  # as of a row: who writes second waits
            self.holds = True
        await asyncio.sleep(self.database.seconds)
        if self.database.refuses == "statement" or (
            self.database.refuses == "commit" and not self.in_transaction
        ):
            raise ValueError("the city is refused")
        self.changes[user_id] = city
        if not self.in_transaction:
            self.end(commit=True)
        return f"UPDATE {int(user_id in self.database.rows.cities)}"

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self.execute(query, *args, **options)

    fetch = fetchrow = fetchval

    def end(self, *, commit: bool) -> None:
        if commit:
            self.database.rows.cities |= self.changes
        self.changes = {}
        if self.holds:
            self.database.row.release()
            self.holds = False

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        self.in_transaction = True
        commit = False
        try:
            yield
            await asyncio.sleep(self.database.seconds)
            if self.database.refuses == "commit":
                raise ValueError("the city is refused, at the commit")
            commit = True
        finally:
            self.end(commit=commit)
            self.in_transaction = False


class _Database:
    """A pool: what DatabasePool has for changing a row. *refuses* is where it raises."""

    def __init__(self, rows: Rows, refuses: str = "", seconds: float = 0.05) -> None:
        self.rows, self.refuses, self.seconds = rows, refuses, seconds
        self.row = asyncio.Lock()

    @asynccontextmanager
    async def acquire(self, timeout: Any = None) -> AsyncIterator[_Connection]:  # noqa: ASYNC109
        connection = _Connection(self)
        try:
            yield connection
        finally:
            connection.end(commit=False)

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[_Connection]:
        async with self.acquire() as connection, connection.transaction():
            yield connection

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(query, *args)


class _Cache(AsyncCache):
    """A cache that is some way off: a write arrives *after* so many seconds."""

    def __init__(self, after: float = 0.001) -> None:
        super().__init__(clock=clock)
        self.after = after

    async def set(self, key: Any, value: Any, ttl: Any = None) -> None:
        await asyncio.sleep(self.after)
        await super().set(key, value, ttl)

    async def delete(self, key: Any) -> bool:
        await asyncio.sleep(self.after)
        return await super().delete(key)

    async def clear(self, group: Any = None) -> None:
        await asyncio.sleep(self.after)
        await super().clear(group)


class _FarAway:
    """The same cache, seen from another worker: what that one writes arrives later."""

    def __init__(self, cache: _Cache, after: float) -> None:
        self.cache, self.after = cache, after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def later(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(self.after)
            return await getattr(self.cache, name)(*args, **options)

        return later


class _Shop:
    """A shop of three users in Paris, with their pages and a list of them in the cache."""

    def __init__(self, answer: Any, refuses: str = "") -> None:
        self.answer, self.rows, self.cache = answer, Rows(), _Cache()
        self.pool, self.versions = _Database(self.rows, refuses), 0

    async def open(self) -> "_Shop":
        for user_id in self.rows.cities:
            await self.page(user_id)
        await self.list()
        return self

    async def page(self, user_id: int) -> Any:
        return await self.cache.get_or_load(("user", user_id), lambda: self.rows.page(user_id))

    async def list(self) -> Any:
        async def new_version() -> int:
            self.versions += 1
            return self.versions

        version = await self.cache.get_or_load(VERSION, new_version)
        return await self.cache.get_or_load(("list", version), self.rows.list)

    async def move(self, user_id: int, city: str, cache: Any = None) -> None:
        call = self.answer(self.pool, cache or self.cache, user_id, city)
        if not inspect.isawaitable(call):
            raise Unmet(
                expected="async def move(pool, cache, user_id, city)",
                got=f"move(…) gave {call!r}, and nothing to await.",
            )
        await call


async def _moves(answer: Any) -> None:
    shop = await _Shop(answer).open()
    await shop.move(1, "Rome")
    if shop.rows.cities != {1: "Rome", 2: "Paris", 3: "Paris"}:
        raise Unmet(
            expected="the row of user 1, and that row alone, in Rome",
            got=f"The database has {shop.rows.cities}.",
            hint="await connection.execute(MOVE, user_id, city), in a transaction that ends well.",
        )
    before = shop.rows.loads
    page, others = await shop.page(1), [await shop.page(2), await shop.page(3)]
    if page == {"id": 1, "city": "Paris"}:
        raise Unmet(
            expected="the new page, for whoever asks after the move",
            got='("user", 1) still has the old page.',
            hint='await cache.delete(("user", user_id))',
        )
    if page != {"id": 1, "city": "Rome"}:
        raise Unmet(
            expected="a page as loads make it",
            got=f'The next reader of ("user", 1) got {page!r}.',
            hint="Leave it to the next reader to load the page. " + DELETE,
        )
    if (await shop.list())[1] != "Rome":
        raise Unmet(
            expected="the new list, for whoever asks after the move",
            got="The list still has her in Paris.",
            hint="What else shows the city? The row's own page is not alone.",
        )
    if others and shop.rows.loads > before + 2:
        raise Unmet(
            expected="two loads: her page, and the list",
            got=f"{shop.rows.loads - before} loads after the move: the pages of others went, too.",
            hint="Name the keys; `clear` forgets everybody's.",
        )


async def _with_a_reader(answer: Any) -> None:
    """Somebody reads all the time, also while the transaction is open."""
    shop = await _Shop(answer).open()
    moving = asyncio.ensure_future(shop.move(1, "Rome"))
    while not moving.done():
        await asyncio.sleep(0.002)
        await asyncio.gather(shop.page(1), shop.list())
    await moving
    if (await shop.page(1))["city"] != "Rome" or (await shop.list())[1] != "Rome":
        raise Unmet(
            expected="the new page, for whoever asks after the move",
            got="A reader put the old page back: what it loaded was not committed yet.",
            hint="Until the commit everybody else reads the old row. What comes after it?",
        )


async def _two_writers(answer: Any) -> None:
    """The first to commit is the last to reach the cache."""
    shop = await _Shop(answer).open()
    slow = asyncio.ensure_future(shop.move(1, "Rome", _FarAway(shop.cache, 1.0)))
    await asyncio.sleep(0.01)
    await shop.move(1, "Oslo")
    await slow
    page = await shop.page(1)
    if shop.rows.cities[1] != page["city"]:
        raise Unmet(
            expected="what the row says: Oslo",
            got="Two writers; the first one's value stayed.",
            hint=DELETE,
        )


async def _rolled_back(answer: Any, refuses: str) -> None:
    shop = await _Shop(answer, refuses).open()
    loads, told = shop.rows.loads, False
    try:
        await shop.move(1, "Atlantis")
    except ValueError:
        told = True
    if (await shop.page(1))["city"] == "Atlantis" or (await shop.list())[1] == "Atlantis":
        raise Unmet(
            expected="the page of the row: the move was rolled back",
            got="Rolled back, and everybody sees a city that was never committed.",
            hint=DELETE,
        )
    if not told:
        raise Unmet(
            expected="the error, for whoever asked for the move",
            got="The move was rolled back, and nobody was told.",
            hint="Let the error pass.",
        )
    if shop.rows.loads > loads:
        raise Unmet(
            expected="no load: nothing has changed",
            got="Rolled back, and a good page thrown away.",
            hint="`finally` runs after an error as well; the lines after the block don't.",
        )


@exercise("05-2", "Change a row, then forget")
async def move(answer: Any) -> str:
    await _moves(answer)
    await _with_a_reader(answer)
    await _two_writers(answer)
    await _rolled_back(answer, "statement")
    await _rolled_back(answer, "commit")
    return "a move, with a reader, two writers, rolled back twice: nobody saw an old page after it"
