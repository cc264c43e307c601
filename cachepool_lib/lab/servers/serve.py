"""A service as it runs in production: an ASGI app, served by uvicorn in several processes.

    async with lab.serve("shop_service.py", workers=4) as service:
        service.url

The workers share one listening socket, as those of `uvicorn --workers` do. They end with the block,
or with the process that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from cachepool_lib.lab.notebook import recorder
from cachepool_lib.lab.servers.service import Service, ServiceFailed, all_of
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.shop import make_tables
from cachepool_lib.lab.servers.workers import by_value

__all__ = ["SHOP_SERVICE", "App", "Service", "ServiceFailed", "serve"]

SHOP_SERVICE = Path(__file__).parents[3] / "examples" / "service" / "shop_service.py"
"""The service of notebook 05, to be copied."""

App = str | Path | Callable[[], Any]
Loop = Literal["asyncio", "uvloop"]

_serving: set[Service] = set()


@contextlib.asynccontextmanager
async def serve(
    app: App,
    *,
    workers: int = 4,
    env: Mapping[str, object] | None = None,
    replace: Mapping[str, Any] | None = None,
    loop: Loop = "asyncio",
) -> AsyncIterator[Service]:
    """Serve *app* on loopback, with so many processes, for as long as the block lasts.

    *app* is a file with an ASGI app named `app`, or a function without arguments that makes one:
    it may be written in a notebook. In the file, the names in *replace* stand for what is given
    there. The workers find in their environment, unless *env* says otherwise: DATABASE_URL, a
    database with the shop's tables; REDIS_URL; and CACHE_NAMESPACE, which nobody used before.

    The block begins when every worker serves; ServiceFailed if one can't, with the reason. A worker
    that ends is not started again. RuntimeError at the end if one had to be killed.
    """
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers!r}")
    if sys.platform == "win32":  # workers are forked
        raise ServiceFailed("on Windows the lab can't start a service: use WSL")
    file = None if callable(app) else Path(app).resolve(strict=True)
    if file is None and replace:
        raise ValueError("replace needs an app in a file, not a function that makes one")
    where = await services()
    await make_tables(where)
    name = f"shop-{secrets.token_hex(4)}"
    given = {
        "DATABASE_URL": where.database_url,
        "REDIS_URL": where.redis_url,
        "CACHE_NAMESPACE": name,
        **(env or {}),
    }
    url = str(given["DATABASE_URL"])
    given["DATABASE_URL"] = f"{url}{'&' if '?' in url else '?'}application_name={name}"
    order = {
        "file": None if file is None else str(file),
        "factory": None if file else by_value(app),
        "replace": by_value(dict(replace or {})),
        "loop": loop,
        "env": {name: str(value) for name, value in given.items()},
    }
    service = Service(order, name, where.database_url)
    _serving.add(service)
    try:
        async with service.open():
            await all_of(service.start() for _ in range(workers))
            yield service
    finally:
        _serving.discard(service)


def _borrowed() -> str | None:
    return f"{len(_serving)} services" if _serving else None


recorder.borrowed(_borrowed)
