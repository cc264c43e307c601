"""What is kept, and until when: the synchronous half of AsyncCache.

Nothing here waits, and nothing here knows the time: `now` comes in as a number of seconds on any
clock that does not go back. So expiry and eviction can be tested, and simulated, without a loop.
"""

import random
from collections.abc import Hashable
from dataclasses import replace
from math import inf
from typing import Any

from cachepool_lib.loading import LoadOptions
from cachepool_lib.memory.entries import Entry
from cachepool_lib.memory.queue import Queue
from cachepool_lib.memory.s3fifo import MAX_USES, S3FIFO
from cachepool_lib.single_flight import in_group
from cachepool_lib.stats import CacheStats, Counts

WRITES_PER_SWEEP = 64  # a batch costs less than a step on every write
SWEPT_PER_WRITE = 2  # one would only keep pace with the writes; two catch up
NO_LOAD = LoadOptions(None)  # those of what was `set`, which is never served stale


class Store:
    """A bounded mapping whose entries expire."""

    def __init__(self, maxsize: int | None, default_ttl: float = inf, jitter: float = 0) -> None:
        self.maxsize = maxsize
        self.default_ttl = default_ttl
        self.jitter = jitter
        self.hits = 0
        self.evictions = 0
        self.expirations = 0
        self._writes = 0  # since the last sweep
        self._entries: dict[Hashable, Entry] = {}
        # The same entries in order: of who has to leave, or only for the sweep.
        self._queues = Queue() if maxsize is None else S3FIFO(maxsize)

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
            self._expire(entry)
        return None

    # The same, for who asks once more after a miss: what counts requests (Shadow) tells them apart.
    at_hand = lookup

    def peek(self, key: Hashable, now: float) -> Entry | None:
        """The entry of *key*, be it fresh or only kept for its stale windows; not a use."""
        entry = self._entries.get(key)
        return entry if entry is not None and now < entry.kept_until else None

    def put(
        self,
        key: Hashable,
        value: Any,
        ttl: float | None,
        now: float,
        options: LoadOptions = NO_LOAD,
        load_seconds: float = 0,
    ) -> None:
        """Keep *value* for *ttl* seconds, and after that for the stale windows of its *options*."""
        if ttl is None:
            ttl = self.default_ttl
        if not ttl:
            self.remove(key, now)
            return
        if self.jitter:
            ttl *= 1 - self.jitter * random.random()
        self._writes += 1
        if self._writes == WRITES_PER_SWEEP:
            self._writes = 0
            self._sweep(now)
        expires_at = now + ttl
        kept_until = expires_at + options.stale if options.stale else expires_at  # one float less
        entry = self._entries.get(key)
        if entry is not None:
            entry.value = value
            entry.expires_at = expires_at
            entry.kept_until = kept_until
            entry.options = options
            entry.load_seconds = load_seconds
            entry.retry_at = entry.ends_at = -inf
            return
        if len(self._entries) == self.maxsize:
            self._evict(now)
        entry = Entry(key, value, expires_at, kept_until, options, load_seconds)
        self._queues.add(entry)
        self._entries[key] = entry

    def remove(self, key: Hashable, now: float) -> bool:
        """Forget *key*. True if it was there and fresh."""
        entry = self._entries.get(key)  # pop() of an empty dict takes what is no key at all
        if entry is None:
            return False
        del self._entries[key]
        self._queues.remove(entry, expired=False)
        return now < entry.expires_at

    def remove_group(self, group: Hashable, now: float) -> None:
        for key in [key for key in self._entries if in_group(key, group)]:
            self.remove(key, now)

    def expire(self, now: float) -> None:
        """Let nothing be fresh any more; what has a stale window stays for that."""
        for entry in list(self._entries.values()):
            entry.expires_at = min(entry.expires_at, now)
            if not entry.options.stale:
                entry.kept_until = entry.expires_at
            if now >= entry.kept_until:
                self._expire(entry)

    def clear(self) -> None:
        self._entries.clear()
        self._queues.clear()

    def stats(self, counts: Counts) -> CacheStats:
        """A snapshot: what *counts* says, and what only the store knows."""
        return replace(
            counts.snapshot(),
            hits=self.hits,
            evictions=self.evictions,
            expirations=self.expirations,
            size=len(self),
            maxsize=self.maxsize,
        )

    def _sweep(self, now: float) -> None:
        for entry in self._queues.sweep(WRITES_PER_SWEEP * SWEPT_PER_WRITE, now):
            del self._entries[entry.key]
            self.expirations += 1

    def _evict(self, now: float) -> None:
        assert isinstance(self._queues, S3FIFO)
        entry = self._queues.evict(now)
        del self._entries[entry.key]
        if now >= entry.kept_until:
            self.expirations += 1
        else:
            self.evictions += 1

    def _expire(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self._queues.remove(entry, expired=True)
        self.expirations += 1
