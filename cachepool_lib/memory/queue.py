"""Entries in the order in which they came, at eight bytes each."""

from collections import deque

from cachepool_lib.memory.entries import Entry


class Queue:
    """A FIFO queue of entries, and a hand that goes round it, from the newest to the oldest.

    All that lies ahead of the hand is older than what it has passed in this round, so two deques,
    one on each side of the hand, are the queue. An entry that is taken out of the middle is only
    marked, for to find it there would take long; its place goes once it comes up.
    """

    def __init__(self) -> None:
        self.size = 0  # without those that were taken out
        self._passed: deque[Entry] = deque()
        self._ahead: deque[Entry] = deque()

    @property
    def places(self) -> int:
        """Those of entries that were taken out included."""
        return len(self._ahead) + len(self._passed)

    def add(self, entry: Entry) -> None:
        entry.queue = self
        self._passed.append(entry)  # ahead, it would be met while it is new, and not for long after
        self.size += 1

    def pop(self) -> Entry:
        """Take out the oldest; there has to be one."""
        while True:
            entry = (self._ahead or self._passed).popleft()
            if entry.queue is self:
                self.size -= 1
                return entry

    def remove(self, entry: Entry, *, expired: bool = False) -> None:
        """Take out one from anywhere."""
        entry.queue = entry.value = None
        self.size -= 1

    def sweep(self, steps: int, now: float) -> list[Entry]:
        """Move the hand past *steps* entries, at most all, and take out those that are over."""
        expired = []
        for _ in range(min(steps, self.places)):
            if not self._ahead:  # a round is over
                self._ahead, self._passed = self._passed, self._ahead
            entry = self._ahead.pop()
            if entry.queue is not self:
                continue
            if entry.kept_until <= now:
                self.size -= 1
                expired.append(entry)
            else:
                self._passed.appendleft(entry)
        return expired

    def clear(self) -> None:
        self.size = 0
        self._passed.clear()
        self._ahead.clear()
