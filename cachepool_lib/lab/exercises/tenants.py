"""Feedback on exercise 07-4, in simulated time: a tenant for one transaction, behind a pooler."""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

ITEMS = "SELECT string_agg(item, ', ') FROM items"
ROWS = {"ada": "a lamp", "ben": "a boat", "o'neill": "a harp"}
# What a tenant can be set by: a text, or $1, in quotes where one stands in it twice.
_TEXT = r"'(?P<text>(?:[^']|'')*)'|(?P<text_given>\$1)"
_SET = re.compile(
    rf"SET\s+((?P<scope>LOCAL|SESSION)\s+)?shop\.tenant\s*(?:=|\s+TO\s)\s*(?:{_TEXT})", re.I
)
_CONFIG = re.compile(
    rf"SELECT\s+set_config\(\s*'shop\.tenant'\s*,\s*(?:{_TEXT})\s*,\s*(?P<local>true|false)\s*\)",
    re.I,
)
_RESET = re.compile(
    r"RESET\s+(shop\.tenant|ALL)|SET\s+shop\.tenant\s*(=|TO)\s*DEFAULT|DISCARD\s+ALL", re.I
)
_BEGIN = re.compile(r"(BEGIN|START)(\s+TRANSACTION)?", re.I)
_END = re.compile(r"(?P<how>COMMIT|END|ROLLBACK)(\s+TRANSACTION)?", re.I)
ANOTHERS = "Set it for the transaction alone: what a connection keeps, the next client finds."


class _Refused(Exception):
    """The server did not take a statement."""


class _Pooler:
    """One connection to the server, in transaction mode: nothing is reset between two clients."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.tenant = ""  # of the session
        self.local: str | None = None  # of the transaction that is open
        self.before = ""  # what the session had when that began
        self.failed = False  # something in it was refused
        self.broken = False  # ITEMS is refused


class _Client:
    """What asyncpg's connection has for this; a statement takes a millisecond."""

    def __init__(self, pooler: _Pooler) -> None:
        self.pooler, self.in_transaction = pooler, False

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        await self._send("BEGIN")
        try:
            yield
        except BaseException:
            await self._send("ROLLBACK")
            raise
        await self._send("COMMIT")

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        await self._send(query, *args)
        return "SELECT 1"

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._send(query, *args)

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[Any]:
        return [await self.fetchrow(query, *args)]

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return {"string_agg": await self._send(query, *args)}

    async def _send(self, query: str, *args: Any) -> Any:
        if not self.in_transaction:
            await self.pooler.turn.acquire()
        try:
            await asyncio.sleep(0.001)
            return self._done(" ".join(str(query).split()).rstrip("; "), args)
        finally:
            if not self.in_transaction:
                self.pooler.local = None
                self.pooler.turn.release()

    def _done(self, query: str, args: Any) -> Any:
        server = self.pooler
        if _BEGIN.fullmatch(query):
            server.before, server.failed, self.in_transaction = server.tenant, False, True
        elif end := _END.fullmatch(query):
            if self.in_transaction and (server.failed or end["how"].upper() == "ROLLBACK"):
                server.tenant = server.before
            self.in_transaction = False
        elif self.in_transaction and server.failed:
            raise _Refused("the transaction is aborted")
        elif query == " ".join(ITEMS.split()):
            if server.broken:
                server.failed = True
                raise _Refused("the table is locked")
            return ROWS.get(server.tenant if server.local is None else server.local)
        elif _RESET.fullmatch(query):
            server.tenant, server.local = "", None
        elif found := _SET.fullmatch(query) or _CONFIG.fullmatch(query):
            return self._set(found, query, args)
        else:
            raise _unknown(query, args)
        return None

    def _set(self, found: re.Match[str], query: str, args: Any) -> str:
        named = found.groupdict()
        if named["text_given"]:
            if "local" not in named:
                raise Unmet(
                    expected="SET with a text, or set_config('shop.tenant', $1, …)",
                    got="The server refuses: SET takes no $1.",
                    hint="set_config is a function, and takes one: SELECT set_config(…).",
                )
            if len(args) != 1 or not isinstance(args[0], str):
                raise _unknown(query, args)
            tenant = args[0]
        elif args:
            raise _unknown(query, args)
        else:
            tenant = named["text"].replace("''", "'")
        local = named.get("local", "").lower() == "true"
        if local or str(named.get("scope")).upper() == "LOCAL":
            self.pooler.local = tenant
        else:
            self.pooler.tenant, self.pooler.local = tenant, None
        return tenant


def _unknown(query: str, args: Any) -> Unmet:
    if "o'neill" in query:
        return Unmet(
            expected="any text as a tenant: it comes from outside",
            got=f"The server refuses {query!r}: the quote in the name ends the text.",
            hint="set_config('shop.tenant', $1, …) takes the tenant as an argument.",
        )
    return Unmet(
        expected="what sets shop.tenant, BEGIN and COMMIT, and ITEMS",
        got=f"The query {query!r} with {args!r}.",
        hint="Nothing else is known here: there is no server behind it.",
    )


async def _ask(answer: Any, client: _Client, tenant: str) -> Any:
    call = answer(client, tenant)
    if not inspect.isawaitable(call):
        raise Unmet(
            expected="async def as_tenant(connection, tenant)",
            got=f"as_tenant(…) gave {call!r}, and nothing to await.",
        )
    return await call


async def _alone(answer: Any) -> None:
    pooler = _Pooler()
    ada, ben = _Client(pooler), _Client(pooler)
    seen = await _ask(answer, ada, "ada")
    if ada.in_transaction:
        raise Unmet(
            expected="a transaction that ends",
            got="The transaction is still open: nobody else gets the connection.",
            hint="`async with connection.transaction():` ends it in any case.",
        )
    if seen is None:
        raise Unmet(
            expected="Ada's rows: 'a lamp'",
            got="No tenant at all, and so no row: a statement is its own transaction.",
            hint="What is set for a transaction lasts as long as that. Where does yours begin?",
        )
    if seen != ROWS["ada"]:
        raise Unmet(
            expected="what ITEMS gives: 'a lamp'",
            got=f"as_tenant(connection, 'ada') returned {seen!r}.",
            hint="return await connection.fetchval(ITEMS)",
        )
    if await ben.fetchval(ITEMS) is not None:
        raise Unmet(
            expected="no row for Ben: he has set no tenant",
            got="Ben read Ada's rows.",
            hint=ANOTHERS,
        )


async def _at_once(answer: Any) -> None:
    pooler = _Pooler()
    names = ("ada", "ben")
    seen = await asyncio.gather(*(_ask(answer, _Client(pooler), name) for name in names))
    if seen != [ROWS[name] for name in names]:
        both = len({*seen}) == 1 and seen[0] in ROWS.values()
        who = next((name for name in names if ROWS[name] == seen[0]), "")
        raise Unmet(
            expected="Ada's rows for Ada and Ben's for Ben",
            got=f"Right alone; two at once, both are {who.capitalize()}."
            if both
            else f"Right alone; two at once get {seen[0]!r} and {seen[1]!r}.",
            hint="Between two statements the connection is anybody's. Who keeps it for longer?",
        )


async def _refused(answer: Any) -> None:
    """The rows can't be read: the error passes, and nothing stays behind."""
    pooler = _Pooler()
    ada, ben = _Client(pooler), _Client(pooler)
    pooler.broken = True
    told = False
    try:
        await _ask(answer, ada, "ada")
    except _Refused:
        told = True
    pooler.broken = False
    if not told:
        raise Unmet(
            expected="the error, for whoever asked",
            got="The server refused to give the rows, and nobody was told.",
            hint="Let the error pass.",
        )
    if ada.in_transaction or await ben.fetchval(ITEMS) is not None:
        raise Unmet(
            expected="nothing of Ada's on the connection after an error",
            got="The rows could not be read, and Ada's tenant stayed behind.",
            hint="`async with connection.transaction():` rolls back, and what was set is gone.",
        )


@exercise("07-4", "A tenant for one transaction")
async def as_tenant(answer: Any) -> str:
    await _alone(answer)
    await _at_once(answer)
    await _refused(answer)
    seen = await _ask(answer, _Client(_Pooler()), "o'neill")
    if seen != ROWS["o'neill"]:
        raise Unmet(expected="'a harp', for o'neill", got=f"o'neill got {seen!r}.")
    return "alone, two at once, with an error, and a name with a quote: each read their own"
