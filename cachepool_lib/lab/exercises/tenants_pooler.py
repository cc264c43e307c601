"""A pooler in transaction mode for exercise 07-4, without a server: it knows few statements."""

import asyncio
import re
from typing import Any

from cachepool_lib.lab.notebook.checks import Unmet

ITEMS = "SELECT string_agg(item, ', ') FROM items"
ROWS = {"ada": "a lamp", "ben": "a boat", "o'neill": "a harp"}
TWO_QUOTES = "d'art'agnan"  # in no table of the notebook
# What a setting can be given: a text, or $1, in quotes where one stands in it twice.
_TEXT = r"'(?P<text>(?:[^']|'')*)'|\$(?P<given>\d)"
_SET = re.compile(
    rf"SET\s+((?P<scope>LOCAL|SESSION)\s+)?shop\.tenant\s*(?:=|\s+TO\s)\s*(?:{_TEXT})", re.I
)
_VALUE = r"'(?:[^']|'')*'|\$\d|true|false"
_CAST = r"(?:::\s*(?:text|boolean|bool))?"
_CONFIG = re.compile(
    rf"SELECT\s+set_config\(\s*({_VALUE}){_CAST}\s*,\s*({_VALUE}){_CAST}"
    rf"\s*,\s*({_VALUE}){_CAST}\s*\)",
    re.I,
)
_RESET = re.compile(
    r"RESET\s+(shop\.tenant|ALL)|SET\s+shop\.tenant\s*(=|TO)\s*DEFAULT|DISCARD\s+ALL", re.I
)
_BEGIN = re.compile(r"(BEGIN|START)(\s+TRANSACTION)?", re.I)
_END = re.compile(r"(?P<how>COMMIT|END|ROLLBACK)(\s+TRANSACTION)?", re.I)
LOCKED = "the table is locked"


class Refused(Exception):
    """The server did not take a statement."""


class _Session:
    """A connection to the server: nothing is reset between two clients."""

    def __init__(self) -> None:
        self.tenant = ""  # of the session
        self.local: str | None = None  # of the transaction that is open
        self.before = ""  # what the session had when that began
        self.failed = False  # something in it was refused


class Pooler:
    """In transaction mode: each transaction gets the next of so many connections."""

    def __init__(self, connections: int = 1) -> None:
        self.turn = asyncio.Lock()
        self.sessions = [_Session() for _ in range(connections)]
        self.broken = False  # ITEMS is refused

    async def acquire(self) -> _Session:
        await self.turn.acquire()
        self.sessions.append(self.sessions.pop(0))
        return self.sessions[-1]

    def left(self) -> bool:
        """Whether a session has a tenant still."""
        return any(session.tenant for session in self.sessions)


class _Record(dict[str, Any]):
    """A row, which knows its columns by number, too."""

    def __getitem__(self, key: Any) -> Any:
        return [*self.values()][key] if isinstance(key, int) else super().__getitem__(key)


class _Transaction:
    def __init__(self, client: "Client") -> None:
        self.client = client

    async def start(self) -> None:
        await self.client.execute("BEGIN")

    async def commit(self) -> None:
        await self.client.execute("COMMIT")

    async def rollback(self) -> None:
        await self.client.execute("ROLLBACK")

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, kind: object, error: object, where: object) -> None:
        await (self.rollback() if kind else self.commit())


class Client:
    """What asyncpg's connection has for this; a statement takes a millisecond."""

    def __init__(self, pooler: Pooler) -> None:
        self.pooler, self.in_transaction = pooler, False
        self.session = pooler.sessions[0]

    def transaction(self, **options: Any) -> _Transaction:
        return _Transaction(self)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        await self._send(query, *args)
        return "SELECT 1"

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await self._send(query, *args)

    async def fetch(self, query: str, *args: Any, **options: Any) -> list[Any]:
        return [await self.fetchrow(query, *args)]

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return _Record(string_agg=await self._send(query, *args))

    async def _send(self, query: str, *args: Any) -> Any:
        if not self.in_transaction:
            self.session = await self.pooler.acquire()
        try:
            await asyncio.sleep(0.001)
            return self._done(" ".join(str(query).split()).rstrip("; "), args)
        finally:
            if not self.in_transaction:
                self.session.local = None
                self.pooler.turn.release()

    def _done(self, query: str, args: Any) -> Any:
        session = self.session
        if _BEGIN.fullmatch(query):
            session.before, session.failed, self.in_transaction = session.tenant, False, True
        elif end := _END.fullmatch(query):
            if self.in_transaction and (session.failed or end["how"].upper() == "ROLLBACK"):
                session.tenant = session.before
            self.in_transaction = False
        elif self.in_transaction and session.failed:
            raise Refused("the transaction is aborted")
        elif query == " ".join(ITEMS.split()):
            if self.pooler.broken:
                session.failed = True
                raise Refused(LOCKED)
            tenant = session.tenant if session.local is None else session.local
            return "a sword" if tenant == TWO_QUOTES else ROWS.get(tenant)
        elif _RESET.fullmatch(query):
            session.tenant, session.local = "", None
        elif found := _SET.fullmatch(query):
            if found["given"]:
                raise Unmet(
                    expected="SET with a text, or set_config('shop.tenant', $1, …)",
                    got="The server refuses: SET takes no $1.",
                    hint="set_config is a function, and takes one: SELECT set_config(…).",
                )
            if args:
                raise _unknown(query, args)
            local = str(found["scope"]).upper() == "LOCAL"
            self._set(found["text"].replace("''", "'"), local)
        elif found := _CONFIG.fullmatch(query):
            name, tenant, local = (_value(each, query, args) for each in found.groups())
            used = len({*re.findall(r"\$\d", " ".join(found.groups()))})
            if local in ("true", "false"):
                local = local == "true"
            if name != "shop.tenant" or not isinstance(tenant, str) or used != len(args):
                raise _unknown(query, args)
            if not isinstance(local, bool):
                raise _unknown(query, args)
            self._set(tenant, local)
            return tenant
        else:
            raise _unknown(query, args)
        return None

    def _set(self, tenant: str, local: bool) -> None:
        if local:
            self.session.local = tenant
        else:
            self.session.tenant, self.session.local = tenant, None


def _value(written: str, query: str, args: Any) -> Any:
    """What stands for *written* in a call: a text, true or false, or one of *args*."""
    if written.startswith("'"):
        return written[1:-1].replace("''", "'")
    if written.startswith("$"):
        place = int(written[1:]) - 1
        if not 0 <= place < len(args):
            raise _unknown(query, args)
        return args[place]
    return written.lower() == "true"


def _unknown(query: str, args: Any) -> Unmet:
    if "o'neill" in query or "art'a" in query:
        return Unmet(
            expected="any text as a tenant: it comes from outside",
            got=f"The server refuses {query!r}: the quote in the name ends the text.",
            hint="set_config('shop.tenant', $1, …) takes the tenant as an argument.",
        )
    return Unmet(
        expected="what sets shop.tenant, BEGIN and COMMIT, and ITEMS",
        got=f"The query {query!r} with {args!r}.",
        hint="Nothing else is known here, right or not: there is no server behind it.",
    )
