"""What a request holds while it is answered, and which pages come back from a cache."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from typing import Any

from cachepool_lib import DatabasePool, RedisCache
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.shop import make_tables

USER = 7

_request: ContextVar[int] = ContextVar("request")


@dataclass(frozen=True, repr=False)
class Holding:
    """Requests, one after the other, and the connections that they held; times are in seconds."""

    requests: Sequence[tuple[float, float]]  # from, and when the answer was on its way
    holds: Sequence[tuple[int, float, float]]  # of which request, from, to
    after: Sequence[str]  # errors that came once a request had been answered

    @property
    def borrowed(self) -> int:
        """How many of the requests borrowed a connection."""
        return len({request for request, _, _ in self.holds})

    def __repr__(self) -> str:
        count = len(self.requests)
        text = f"{count} request{'s' * (count != 1)}, {self.borrowed} borrowed a connection"
        return f"{text}; after the answer: {', '.join(self.after)}" if self.after else text


class _Noted:
    """A pool that notes who holds a connection: what an app may use of a DatabasePool."""

    def __init__(self, pool: DatabasePool, note: Callable[[float, float], None]) -> None:
        self._pool, self._note = pool, note

    def acquire(self, timeout: float | None = None) -> Any:
        return self._noted(self._pool.acquire(timeout))

    def transaction(self, timeout: float | None = None, **options: Any) -> Any:
        return self._noted(self._pool.transaction(timeout, **options))

    @contextlib.asynccontextmanager
    async def _noted(self, borrowing: Any) -> AsyncIterator[Any]:
        async with borrowing as connection:
            start = time.perf_counter()
            try:
                yield connection
            finally:
                self._note(start, time.perf_counter())

    def __getattr__(self, name: str) -> Any:
        if name not in ("fetch", "fetchrow", "fetchval", "execute", "executemany"):
            return getattr(self._pool, name)

        async def ask(*args: Any) -> Any:
            async with self.acquire() as connection:
                return await getattr(connection, name)(*args)

        return ask


async def holding(
    app_of: Callable[[Any], Any],
    *,
    visits: int = 10,
    size: int = 10,
    acquire_timeout: float = 0.5,
) -> Holding:
    """Send *visits* to GET /users/7 of an app, one after the other, and note what each holds.

    `app_of(pool)` makes the app, with a DatabasePool of *size* connections to the shop. It runs in
    this process, and its background tasks too: an error there is noted, and the visitor has had the
    answer. Any other error is raised.
    """
    where = await services()
    await make_tables(where)
    requests: list[tuple[float, float]] = []
    holds: list[tuple[int, float, float]] = []
    after: list[str] = []
    url = where.database_url
    start = time.perf_counter()

    def note(begin: float, end: float) -> None:
        holds.append((_request.get(), begin - start, end - start))

    async with DatabasePool(url, 1, size, acquire_timeout=acquire_timeout) as pool:
        app = app_of(_Noted(pool, note))
        start = time.perf_counter()
        for number in range(visits):
            token = _request.set(number)
            begin, answered, status = time.perf_counter() - start, 0.0, 500

            async def send(message: Any) -> None:
                nonlocal answered, status
                if message["type"] == "http.response.start":
                    status = message["status"]
                elif message["type"] == "http.response.body" and not message.get("more_body"):
                    answered = time.perf_counter() - start

            try:
                await app(_scope(), _no_body, send)
            except Exception as error:
                if status >= 500:  # instead of an answer, not after it
                    raise
                after.append(type(error).__name__)
            requests.append((begin, answered))
            _request.reset(token)
    return Holding(requests, holds, after)


def _scope() -> dict[str, Any]:
    path = f"/users/{USER}"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@dataclass(frozen=True, repr=False)
class TenVisits:
    """How many loads the visits to one page took, by what the page was."""

    visits: int
    loads: Mapping[str, int]

    def __repr__(self) -> str:
        return "\n".join(f"{shape}: {count}" for shape, count in self.loads.items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(shape)}</td><td>{count}</td></tr>"
            for shape, count in self.loads.items()
        )
        head = f"<tr><th>the page is</th><th>loads for {self.visits} visits</th></tr>"
        return f"<table>{head}{rows}</table>"


async def ten_visits(shapes: Mapping[str, tuple[Any, Any]], *, visits: int = 10) -> TenVisits:
    """Ask a RedisCache so many times for a page, and count the loads, for each of *shapes*.

    A shape is a serializer, and the page that a load brings: `{"a dict": (JSONSerializer(), {})}`.
    """
    url, loads = (await services()).redis_url, {}
    with _unsaid():
        for shape, (serializer, page) in shapes.items():
            count = 0

            async def load(page: Any = page) -> Any:
                nonlocal count
                count += 1
                return page

            name = f"shapes-{secrets.token_hex(4)}"
            async with RedisCache(
                url, 60, namespace=name, serializer=serializer, timeout=2
            ) as cache:
                for _ in range(visits):
                    await cache.get_or_load("page", load)
                await cache.clear()
            loads[shape] = count
    return TenVisits(visits, loads)


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Keep to itself what the library logs of values that can't be stored: the table says it."""
    logger = logging.getLogger("cachepool_lib")
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before
