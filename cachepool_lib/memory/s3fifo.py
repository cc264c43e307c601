"""S3-FIFO with a border that moves: which entry leaves when there is no room."""

from cachepool_lib.memory.entries import Entry
from cachepool_lib.memory.ghosts import Ghosts
from cachepool_lib.memory.queue import Queue

MAX_USES = 3  # two bits of use count are enough, says the S3-FIFO paper


class S3FIFO:
    """Which entry leaves when there is no room.

    The queues are those of S3-FIFO (Yang et al., "FIFO queues are all you need for cache
    eviction", SOSP 2023). A new key starts in the small queue. Not used by the time it reaches the
    end, it leaves, and its hash is remembered; used once, it goes one more round; used more, it
    moves to the main queue. So does a key that comes back while it is remembered. In the main
    queue each use buys one more round. So keys that are asked for once pass through without
    pushing out the popular ones, and a hit only has to count.

    How much room the small queue has, who comes back decides, as in ARC (Megiddo and Modha, FAST
    2003). A key that comes back and that the main queue let go makes the small queue one place
    shorter. A key that the small queue let go makes it longer, by one place if it left just now,
    and by less the more have left since: so many places more it would have taken to keep it. If no
    small queue is long enough for that, nothing moves: a main queue is what such a key needs.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._least, self._most = max(1.0, 0.01 * maxsize), max(1.0, 0.9 * maxsize)
        self._border = max(1.0, 0.1 * maxsize)  # the small queue's share of the room
        self._small, self._main = Queue(), Queue()
        self._left_small, self._left_main = Ghosts(maxsize), Ghosts(maxsize // 4)
        self._expired = Ghosts(maxsize)

    def add(self, entry: Entry) -> None:
        """Queue an entry that is new."""
        left_after = self._left_small.pop(entry.key)
        if left_after is not None:
            if left_after <= self._maxsize - self._small.size:
                longer = self._left_small.width / 2 / left_after
                self._border = min(self._most, self._border + longer)
            self._main.add(entry)
        elif self._expired.pop(entry.key) is not None:
            self._main.add(entry)
        else:
            if self._left_main.pop(entry.key) is not None:
                self._border = max(self._least, self._border - 1)
            self._small.add(entry)

    def evict(self, now: float) -> Entry:
        """Take out the entry that leaves. An expired one, once met, leaves whatever its uses."""
        while True:
            if self._small.size >= self._border or not self._main.size:
                entry = self._small.pop()
                if entry.kept_until <= now:
                    return entry
                if not entry.uses:
                    self._left_small.add(entry.key)
                    return entry
                again = entry.uses == 1 and not entry.second_round
                entry.second_round, entry.uses = True, 0
                (self._small if again else self._main).add(entry)
            else:
                entry = self._main.pop()
                if entry.kept_until <= now:
                    return entry
                if not entry.uses:
                    self._left_main.add(entry.key)
                    return entry
                entry.uses -= 1
                self._main.add(entry)

    def remove(self, entry: Entry, *, expired: bool) -> None:
        """Take out an entry that was deleted or has expired.

        An expired entry of the main queue is remembered, so that its next value need not start
        from the small queue again: the value grew old, the key did not become unpopular.
        """
        popular = entry.queue is self._main
        (self._main if popular else self._small).remove(entry, expired=expired)
        if expired and popular:
            self._expired.add(entry.key)

    def sweep(self, steps: int, now: float) -> list[Entry]:
        """Look at the next *steps* entries on a way round both queues; take out the expired."""
        small, main = self._small.places, self._main.places
        share = max(1, steps * small // max(1, small + main))
        popular = self._main.sweep(steps - share, now)
        for entry in popular:
            self._expired.add(entry.key)
        return self._small.sweep(share, now) + popular

    def clear(self) -> None:
        """Forget everything, but not where the border is."""
        self._small.clear()
        self._main.clear()
        for ghosts in self._left_small, self._left_main, self._expired:
            ghosts.clear()
