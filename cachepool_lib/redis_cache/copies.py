"""What Redis holds of keys, with what is left of it: for whoever keeps a copy of his own."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from cachepool_lib.loading import MISSING, LoadOptions
from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.batch import Budget, NoReply
from cachepool_lib.redis_cache.client import word
from cachepool_lib.redis_cache.key_names import Names
from cachepool_lib.redis_cache.session import FOREIGN, LONGEST, Session, whole_ms


class Copy(NamedTuple):
    """What Redis holds of a key, as of one moment."""

    value: Any  # or MISSING
    left: float  # seconds until it expires
    windows: tuple[float, float] | None  # seconds: those of the stale copy, where there is one
    load_seconds: float = 0  # that its load took, if it asked for an early refresh


NOTHING = Copy(MISSING, 0, None)


class Header(NamedTuple):
    """What a stale copy begins with, in ms. Of a value without windows it is all of the copy."""

    while_revalidate: int
    if_error: int
    load: int = 0


def header(options: LoadOptions, took: float) -> bytes:
    """That of a value whose load *took* so many seconds: b"" if it needs none."""
    windows = ms(options.stale_while_revalidate), ms(options.stale_if_error)
    if options.early_refresh:
        return b"%d/%d %d " % (windows[0], ms(took), windows[1])
    return b"%d %d " % windows if options.stale else b""


def split(data: bytes) -> tuple[Header, bytes]:
    """The header, and what follows. Raises ValueError for what is no copy of ours."""
    first, if_error, data = data.split(b" ", 2)
    while_revalidate, _, load = first.partition(b"/")
    return Header(int(while_revalidate), int(if_error), int(load or 0)), data


async def look(session: Session, budget: Budget, many: Iterable[Names]) -> dict[Names, Copy]:
    """What Redis holds of *many*. One is left out where Redis does not say, or owes a delete."""
    asked = [names for names in many if not session.owed.covers(names.value)]
    looks = [("EVAL", scripts.LOOK, 2, names.value, names.stale) for names in asked]
    copies, failure = {}, None
    for names, reply in zip(asked, await session.sender.ask_all(budget, looks), strict=True):
        if not isinstance(reply, NoReply):
            data, left, begins = reply
            value = MISSING
            if data is not None:
                value = await session.decode(budget, names.value, data)
            copies[names] = Copy(value, math.inf if left < 0 else left / 1000, *_told(begins))
        elif word(reply.__cause__) == FOREIGN:
            await session.drop(budget, names.value)
            copies[names] = NOTHING
        else:
            failure = reply
    if failure is not None:
        session.settings.failed(failure)
    return copies


def _told(begins: bytes) -> tuple[tuple[float, float] | None, float]:
    """The windows of a stale copy that *begins* so, and the seconds of the load."""
    try:
        (*windows, load), _ = split(begins)
    except ValueError:  # there is none, or none of ours
        return None, 0
    return (windows[0] / 1000, windows[1] / 1000) if any(windows) else None, load / 1000


def ms(length: float) -> int:
    """Seconds as Redis takes them."""
    return whole_ms(min(length, LONGEST))
