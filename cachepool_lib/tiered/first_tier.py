"""The first tier of one process: what it has in memory of Redis, and how it stays true to it.

Whoever writes to Redis publishes the name that has changed, in the same script. Here a message
takes out what is kept under that name, and it voids what is on its way: whoever asked Redis before
the message came may hold what was there before the change. So each name has a version: a number
that a change raises. What was asked for at one version is not kept at another.
"""

import os
import secrets
from collections.abc import Hashable
from typing import Any

from cachepool_lib.loading import MISSING, LoadOptions
from cachepool_lib.memory.async_cache import AsyncCache
from cachepool_lib.memory.store import NO_LOAD
from cachepool_lib.redis_cache.copies import Copy

# Names share versions, by their hash. A change of one voids what is on its way of its neighbours:
# a value that is not kept for once, and no table that grows.
VERSIONS = 1024
LOST = -1  # the version of nothing


class FirstTier:
    """Entries by name, and the versions of names.

    Args:
        l1: where entries are kept.
        ttl: seconds that an entry is fresh at most.
    """

    def __init__(self, l1: AsyncCache, ttl: float) -> None:
        self.store, self.clock = l1.store, l1.clock
        self._ttl = ttl
        self._id = secrets.token_hex(8)
        self._versions = [0] * VERSIONS
        self._keys: dict[bytes, Hashable] = {}  # of what is kept, by name: messages tell names

    # -- reading and keeping ------------------------------------------------------------------

    def version(self, name: bytes) -> int:
        """What to keep a value with that is asked for from now on."""
        return self._versions[hash(name) % VERSIONS]

    def keep(
        self,
        name: bytes,
        key: Hashable,
        value: Any,
        left: float,
        asked_at: float,
        version: int,
        options: LoadOptions = NO_LOAD,
        load_seconds: float = 0,
    ) -> None:
        """Keep *value*, unless *name* has changed since *version*.

        It had *left* seconds to live when it was asked for or sent, at *asked_at*, or more: here it
        ends sooner than in Redis. The stale windows in *options* begin when its ttl ends, though
        it is fresh here for less.
        """
        if version != self.version(name):
            return
        if left <= 0:
            self.drop(name)
            return
        self.store.put(key, value, left, asked_at, options, load_seconds)
        entry = self.store.peek(key, asked_at)
        if entry is None:
            return
        entry.ends_at = entry.expires_at
        entry.expires_at = min(entry.ends_at, asked_at + self._ttl)
        if not options.stale:
            entry.kept_until = entry.expires_at
        self._keys[name] = key
        if len(self._keys) > 2 * len(self.store) + VERSIONS:
            kept = self._keys.items()
            self._keys = {n: k for n, k in kept if self.store.peek(k, asked_at) is not None}

    def keep_copy(
        self, name: bytes, key: Hashable, copy: Copy, asked_at: float, version: int
    ) -> None:
        """Keep what Redis holds; where it holds nothing, not even a stale copy, nor does memory."""
        if copy.value is not MISSING:
            options = NO_LOAD if copy.windows is None else LoadOptions(None, *copy.windows)
            told = options, copy.load_seconds
            self.keep(name, key, copy.value, copy.left, asked_at, version, *told)
        elif copy.windows is None and version == self.version(name):
            self.drop(name)

    def due_early(self, key: Hashable, beta: float) -> float:
        """Seconds before its end that the value of *key* is to be loaded anew, if it is here and
        that is now; else 0. It ends with its ttl, not when it is fresh no more."""
        now = self.clock()
        entry = self.store.peek(key, now)
        return entry.due_early(now, beta) if entry and now < entry.expires_at else 0.0

    def take_due(self, found: dict[Any, Any], beta: float) -> dict[Hashable, float]:
        """Take out of *found* the keys that are `due_early`; for each, how many seconds."""
        early = {key: self.due_early(key, beta) for key in found} if beta else {}
        due = {key: seconds for key, seconds in early.items() if seconds}
        for key in due:
            del found[key]
        return due

    def drop(self, name: bytes) -> None:
        """Forget what is kept under *name*."""
        if name in self._keys:
            self.store.remove(self._keys.pop(name), self.clock())

    # -- changes ------------------------------------------------------------------------------

    def begin(self, name: bytes) -> int:
        """A write of ours begins: the version that is its number. It voids what is on its way."""
        self._versions[hash(name) % VERSIONS] += 2
        return self.version(name)

    def end(self, name: bytes, number: int, *, confirmed: bool) -> int:
        """That write has ended: the version with which its value may be kept.

        Nothing may be kept if another change came between, which may be the later one. What
        readers asked for meanwhile may be older than the write.
        """
        if not confirmed or self.version(name) != number:
            self.change(name)
            return LOST
        self._versions[hash(name) % VERSIONS] += 1
        return number + 1

    def origin(self, number: int) -> bytes:
        """What a write of ours is published with. A fork is somebody else."""
        return f"{self._id}.{os.getpid()}.{number}".encode()

    def change(self, name: bytes) -> None:
        """*name* has changed: forget what is kept, and what is on its way."""
        self.begin(name)
        self.drop(name)

    def change_all(self, prefix: bytes) -> None:
        """The same for all names that begin with *prefix*."""
        self._versions = [version + 2 for version in self._versions]
        for name in [name for name in self._keys if name.startswith(prefix)]:
            self.drop(name)

    def doubt(self) -> None:
        """Messages may have been lost: nothing is fresh any more, and what has windows is stale."""
        self._versions = [version + 2 for version in self._versions]
        self.store.expire(self.clock())

    def hear(self, message: bytes) -> None:
        """What somebody has published: who, and the name that has changed, or a beginning of names.

        Several names come one after the other, each with its origin before it, and a brace at its
        end. Of a write of our own the entry stays if nothing came after it: the version is its
        number, or the next one, once it has ended. Else who came last in Redis can't be told.
        """
        *changes, beginning = message.split(b"}")
        for change in changes:
            origin, _, name = change.partition(b" ")
            name += b"}"
            version = self.version(name)
            if origin not in (self.origin(version), self.origin(version - 1)):
                self.change(name)
        if beginning:
            self.change_all(beginning.partition(b" ")[2])
