"""What every provider of servers gives: a pair of them, or a reason why not in one line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

ANSWER_SECONDS = 3.0  # how long a server may take to answer, once it runs


class Unavailable(Exception):
    """These servers can't be had here; the message says why, in one line without secrets."""


class BadSetting(Unavailable):
    """What was asked for can't be had: nothing else is tried. Says on a second line what to do."""


class Died(Unavailable):
    """A server of ours ended while it was starting: its port may have been taken meanwhile."""


@dataclass
class Pair:
    """A Redis and a PostgreSQL, with the address and the rights to make databases in them."""

    redis_url: str
    database_url: str
    start_seconds: float = ANSWER_SECONDS  # how long they may take until they answer
    died: asyncio.Event = field(default_factory=asyncio.Event)
    said: Callable[[], str] = str  # why one of them died


def forced() -> str:
    """The kind that CACHEPOOL_SERVICES asks for, empty if it asks for none. Raises BadSetting."""
    kind = os.environ.get("CACHEPOOL_SERVICES", "")
    if kind not in ("", "docker", "embedded"):
        raise BadSetting(f"CACHEPOOL_SERVICES is {kind}: it may be docker or embedded, or unset")
    return kind


def place(url: str) -> str:
    """Host, port and database of *url*: what may be shown of it."""
    return url.rpartition("://")[2].partition("?")[0].rpartition("@")[2]


def reason(error: BaseException) -> str:
    """The errors of clients are towers of errors: what the lowest one says, in one line."""
    if isinstance(error, ValueError):
        return "that is no address"  # and what the error says may have the password in it
    said = getattr(error, "explanation", None)  # Docker's own words
    while not said and not isinstance(error, TimeoutError):
        if (below := error.__cause__ or error.__context__) is None:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        else:
            error = below
    return str(said or "no answer in time").partition("\n")[0].rstrip(".")[:120]
