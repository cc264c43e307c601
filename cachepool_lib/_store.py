"""What is kept, until when, and who has to leave: the synchronous half of AsyncCache.

Nothing here waits, and nothing here knows the time: `now` comes in as a number of seconds on any
clock that does not go back. So expiry and eviction can be tested, and simulated, without a loop.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import Any

from cachepool_lib._keys import in_group

MAX_USES = 3  # two bits of use count are enough, says the S3-FIFO paper
WRITES_PER_SWEEP = 64  # a batch costs less than a step on every write
SWEPT_PER_WRITE = 2  # one would only keep pace with the writes; two catch up


class Load:
    """The terms of a load, and how it went: what `set` does not know and `get_or_load` does."""

    __slots__ = (
        "early_refresh",
        "retry_after",
        "retry_at",
        "seconds",
        "stale_if_error",
        "stale_while_revalidate",
    )

    def __init__(
        self,
        stale_while_revalidate: float = 0,
        stale_if_error: float = 0,
        early_refresh: float = 0,
        retry_after: float = 0,
    ) -> None:
        self.stale_while_revalidate = stale_while_revalidate
        self.stale_if_error = stale_if_error
        self.early_refresh = early_refresh
        self.retry_after = retry_after
        self.seconds = 0.0  # how long the load took
        self.retry_at = -math.inf  # not before this may a stale or early entry be loaded anew

    def again(self) -> "Load":
        """Another load on the same terms."""
        return Load(
            self.stale_while_revalidate, self.stale_if_error, self.early_refresh, self.retry_after
        )


class Entry:
    """One value. Fresh before `expires_at`, kept for its stale windows until `kept_until`."""

    __slots__ = ("expires_at", "kept_until", "load", "queue", "uses", "value")

    queue: "OrderedDict[Hashable, Entry] | None"

    def __init__(self, value: Any, expires_at: float, kept_until: float, load: Load | None) -> None:
        self.value = value
        self.expires_at = expires_at
        self.kept_until = kept_until
        self.load = load
        self.uses = 0
        self.queue = None


class S3FIFO:
    """Which entry leaves when there is no room (Yang et al., "FIFO queues are all you need", 2023).

    A new key starts in a small queue, a tenth of the room. Used more than once by the time it
    reaches the end, it moves to the main queue; otherwise it leaves, and only its hash is
    remembered. A key that comes back while it is remembered goes to the main queue at once. There,
    each use buys one more round. So keys that are asked for once pass through without pushing out
    the popular ones, and a hit only has to count.
    """

    __slots__ = ("_ghosts", "_main", "_main_size", "_small", "_small_size")

    def __init__(self, maxsize: int) -> None:
        self._small_size = max(1, maxsize // 10)
        self._main_size = maxsize - self._small_size
        self._small: OrderedDict[Hashable, Entry] = OrderedDict()
        self._main: OrderedDict[Hashable, Entry] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def add(self, key: Hashable, entry: Entry) -> None:
        """Queue a key that is new."""
        ghost = hash(key)
        if ghost in self._ghosts:
            del self._ghosts[ghost]
            entry.queue = self._main
        else:
            entry.queue = self._small
        entry.queue[key] = entry

    def evict(self, now: float) -> tuple[Hashable, Entry]:
        """Take out the entry that leaves. An expired one, once met, leaves whatever its uses."""
        while True:
            if len(self._small) >= self._small_size or not self._main:
                key, entry = self._small.popitem(last=False)
                if entry.kept_until <= now:
                    return key, entry
                if entry.uses <= 1:
                    self._remember(key)
                    return key, entry
                entry.uses = 0
            else:
                key, entry = self._main.popitem(last=False)
                if not entry.uses or entry.kept_until <= now:
                    return key, entry
                entry.uses -= 1
            entry.queue = self._main
            self._main[key] = entry

    def remove(self, key: Hashable, entry: Entry, *, expired: bool) -> None:
        """Take out a key that was deleted or has expired.

        An expired entry of the main queue is remembered, so that its next value need not start
        from the small queue again: the value grew old, the key did not become unpopular.
        """
        assert entry.queue is not None
        del entry.queue[key]
        if expired and entry.queue is self._main:
            self._remember(key)

    def clear(self) -> None:
        self._small.clear()
        self._main.clear()
        self._ghosts.clear()

    def _remember(self, key: Hashable) -> None:
        self._ghosts[hash(key)] = None
        if len(self._ghosts) > self._main_size:
            self._ghosts.popitem(last=False)


class Store:
    """A bounded mapping whose entries expire."""

    __slots__ = ("_entries", "_policy", "_writes", "evictions", "expirations", "hits", "maxsize")

    def __init__(self, maxsize: int | None) -> None:
        self.maxsize = maxsize
        self.hits = 0
        self.evictions = 0
        self.expirations = 0
        self._writes = 0  # since the last sweep
        self._policy = None if maxsize is None else S3FIFO(maxsize)
        # The order of this table is nobody's rank: it is the ring that the sweep walks round.
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def lookup(self, key: Hashable, now: float) -> Entry | None:
        """The entry of *key* if it is fresh, counted as a hit. This is the hit path."""
        try:
            entry = self._entries[key]  # quicker than get(), and a hit is what has to be quick
        except KeyError:
            return None
        if now < entry.expires_at:
            if entry.uses < MAX_USES:
                entry.uses += 1
            self.hits += 1
            return entry
        if now >= entry.kept_until:
            self._expire(key, entry)
        return None

    def peek(self, key: Hashable, now: float) -> Entry | None:
        """The entry of *key*, be it fresh or only kept for its stale windows; not a use."""
        entry = self._entries.get(key)
        return entry if entry is not None and now < entry.kept_until else None

    def put(
        self, key: Hashable, value: Any, expires_at: float, now: float, load: Load | None = None
    ) -> None:
        """Keep *value* until *expires_at*, and for the stale windows of *load* after that."""
        self._writes += 1
        if self._writes == WRITES_PER_SWEEP:
            self._writes = 0
            self._sweep(now)
        kept_until = expires_at
        if load is not None:
            kept_until += max(load.stale_while_revalidate, load.stale_if_error)
        entry = self._entries.get(key)
        if entry is not None:
            entry.value = value
            entry.expires_at = expires_at
            entry.kept_until = kept_until
            entry.load = load
            return
        entry = Entry(value, expires_at, kept_until, load)
        if self._policy is not None:
            if len(self._entries) == self.maxsize:
                self._evict(now)
            self._policy.add(key, entry)
        self._entries[key] = entry

    def remove(self, key: Hashable, now: float) -> bool:
        """Forget *key*. True if it was there and fresh."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        if self._policy is not None:
            self._policy.remove(key, entry, expired=False)
        return now < entry.expires_at

    def remove_group(self, group: Hashable, now: float) -> None:
        for key in [key for key in self._entries if in_group(key, group)]:
            self.remove(key, now)

    def clear(self) -> None:
        self._entries.clear()
        if self._policy is not None:
            self._policy.clear()

    def _sweep(self, now: float) -> None:
        """Walk a stretch of the ring and let the expired entries go."""
        entries = self._entries
        for key, entry in list(islice(entries.items(), WRITES_PER_SWEEP * SWEPT_PER_WRITE)):
            if now >= entry.kept_until:
                self._expire(key, entry)
            else:
                entries.move_to_end(key)

    def _evict(self, now: float) -> None:
        assert self._policy is not None
        key, entry = self._policy.evict(now)
        del self._entries[key]
        if now >= entry.kept_until:
            self.expirations += 1
        else:
            self.evictions += 1

    def _expire(self, key: Hashable, entry: Entry) -> None:
        del self._entries[key]
        if self._policy is not None:
            self._policy.remove(key, entry, expired=True)
        self.expirations += 1
