"""Which runs of cached functions wait for which, so that none waits for itself for ever."""

from collections.abc import Coroutine, Hashable
from contextvars import ContextVar
from typing import Any


class Run:
    """A run of a cached function, and what it waits for.

    Made in the task of the run, which has a context of its own: all that is called from there, and
    the tasks that are started there, find it in `inside`. A node is a cache and a key in it.
    """

    def __init__(self, node: Hashable, title: str) -> None:
        self.node = node
        self.title = title
        self.waits_for: list[Hashable] = []
        self.ended = False
        running.setdefault(node, []).append(self)
        inside.set(self)

    def end(self) -> None:
        self.ended = True
        runs = running[self.node]
        runs.remove(self)
        if not runs:
            del running[self.node]

    async def wait(self, node: Hashable, answer: Coroutine[Any, Any, Any]) -> Any:
        """Await *answer*. Raises RuntimeError if that waits, perhaps through others, for us."""
        if circle := self._circle(node):
            answer.close()
            raise RuntimeError(f"this call would wait for itself: {' -> '.join(circle)}")
        self.waits_for.append(node)
        try:
            return await answer
        finally:
            self.waits_for.remove(node)

    def _circle(self, node: Hashable) -> list[str]:
        """The way from this run to *node* and on to this run, if there is one."""
        todo, seen = [(node, [self.title])], set()
        while todo:
            node, way = todo.pop()
            if node == self.node:
                return [*way, self.title]
            if node not in seen:
                seen.add(node)
                for run in running.get(node, ()):
                    todo += [(following, [*way, run.title]) for following in run.waits_for]
        return []


running: dict[Hashable, list[Run]] = {}  # several of a node: a refresh joins no run before it
inside: ContextVar[Run | None] = ContextVar("cachepool_lib.inside", default=None)
