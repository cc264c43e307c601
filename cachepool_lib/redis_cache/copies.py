"""What Redis holds of keys, with what is left of it: for whoever keeps a copy of his own."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from cachepool_lib.loading import MISSING
from cachepool_lib.redis_cache import scripts
from cachepool_lib.redis_cache.batch import Budget, NoReply
from cachepool_lib.redis_cache.client import word
from cachepool_lib.redis_cache.key_names import Names
from cachepool_lib.redis_cache.session import FOREIGN, Session


class Copy(NamedTuple):
    """What Redis holds of a key, as of one moment."""

    value: Any  # or MISSING
    left: float  # seconds until it expires
    windows: tuple[float, float] | None  # seconds: those of the stale copy, where there is one


NOTHING = Copy(MISSING, 0, None)


async def look(session: Session, budget: Budget, many: Iterable[Names]) -> dict[Names, Copy]:
    """What Redis holds of *many*. One is left out where Redis does not say, or owes a delete."""
    asked = [names for names in many if not session.owed.covers(names.value)]
    looks = [("EVAL", scripts.LOOK, 2, names.value, names.stale) for names in asked]
    copies, failure = {}, None
    for names, reply in zip(asked, await session.sender.ask_all(budget, looks), strict=True):
        if not isinstance(reply, NoReply):
            data, left, header = reply
            value = MISSING
            if data is not None:
                value = await session.decode(budget, names.value, data)
            copies[names] = Copy(value, math.inf if left < 0 else left / 1000, _windows(header))
        elif word(reply.__cause__) == FOREIGN:
            await session.drop(budget, names.value)
            copies[names] = NOTHING
        else:
            failure = reply
    if failure is not None:
        session.settings.failed(failure)
    return copies


def _windows(header: bytes) -> tuple[float, float] | None:
    """Those that a stale copy begins with."""
    try:
        while_revalidate, if_error, _ = header.split(b" ", 2)
        return int(while_revalidate) / 1000, int(if_error) / 1000
    except ValueError:  # there is none, or none of ours
        return None
