"""Which runs of cached functions wait for which, so that none waits for itself for ever."""

import asyncio
import weakref
from collections.abc import Coroutine, Hashable
from contextvars import ContextVar
from typing import Any


class Run:
    """A run of a cached function: a node of the graph, with an edge to each that it waits for.

    Made in the task of the run, which has a context of its own: all that is called from there, and
    the tasks that are started there, find it in `inside`.
    """

    def __init__(self, node: Hashable, title: str) -> None:
        self.node = node  # the result that it makes: a cache, by its id, and a key in it
        self.title = title
        self.waits_for: list[Hashable] = []
        self.loop = asyncio.get_running_loop()
        self._ended = False
        running.setdefault(hash(node), weakref.WeakSet()).add(self)
        inside.set(self)

    def end(self) -> None:
        self._ended = True
        runs = running[hash(self.node)]
        runs.discard(self)
        if not runs:
            del running[hash(self.node)]

    @property
    def is_over(self) -> bool:
        return self._ended or self.loop.is_closed()

    async def wait(self, node: Hashable, answer: Coroutine[Any, Any, Any]) -> Any:
        """Await *answer*. Raises RuntimeError if that waits, perhaps through others, for us."""
        if cycle := self._cycle(node):
            answer.close()
            raise RuntimeError(f"this call would wait for itself: {' -> '.join(cycle)}")
        self.waits_for.append(node)
        try:
            return await answer
        finally:
            self.waits_for.remove(node)

    def _cycle(self, node: Hashable) -> list[str]:
        """The way from this run to *node* and on to this run, if there is one."""
        todo, seen = [(node, [self.title])], set()
        while todo:
            node, way = todo.pop()
            if node == self.node:
                return [*way, self.title]
            if node not in seen:
                seen.add(node)
                for run in running.get(hash(node), ()):
                    # What was cut off in a loop that ran before this one is waited for by nobody.
                    if run.node == node and run.loop is self.loop:
                        todo += [(following, [*way, run.title]) for following in run.waits_for]
        return []


# By the hash of their nodes: a table of the nodes would keep each cache, and all arguments, alive
# whose load was cut off when its loop was closed. Several of a node: a refresh joins no run.
running: dict[int, weakref.WeakSet[Run]] = {}
inside: ContextVar[Run | None] = ContextVar("cachepool_lib.inside", default=None)
