"""One value in memory: until when it is fresh, and until when it may be served stale."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from cachepool_lib.loading import LoadOptions, early


@dataclass(slots=True)
class Entry:
    """One value. Fresh before `expires_at`, kept for its stale windows until `kept_until`."""

    key: Hashable
    value: Any
    expires_at: float
    kept_until: float
    options: LoadOptions  # of the load that gave it: they fix its stale windows
    load_seconds: float  # that this load took; 0 if the value was `set`
    retry_at: float = -math.inf  # until then no load in the background is due
    ends_at: float = -math.inf  # of its ttl, where it is fresh for less: its windows begin then
    uses: int = 0  # as the eviction policy counts them
    second_round: bool = False  # in the policy's small queue
    queue: object = None  # that it stands in

    def may_be_stale(self, now: float, reader: LoadOptions, *, failed: bool) -> bool:
        """May it be served at *now*, though it expired: is it in the smaller of two windows?"""
        age = max(0.0, now - max(self.expires_at, self.ends_at))
        stored = self.options
        return age < min(reader.stale_while_revalidate, stored.stale_while_revalidate) or (
            failed and age < min(reader.stale_if_error, stored.stale_if_error)
        )

    def due_early(self, now: float, beta: float) -> float:
        """Seconds before its end that it is to be loaded anew, if that is now; else 0."""
        seconds = early(self.load_seconds, beta)
        due = now >= self.retry_at and now + seconds >= max(self.expires_at, self.ends_at)
        return seconds if due else 0.0
