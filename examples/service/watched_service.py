"""The same service, watched: Prometheus scrapes each worker by itself, on a port of its own.

On the port that all workers share a scrape would reach now this worker, now that one, and counters
would seem to fall.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, start_http_server
from shop_service import app, lifespan

from cachepool_lib.metrics import Collector

# Where each worker says on which port it is scraped. Prometheus looks there by itself, with
# `file_sd_configs: [{files: [/run/shop/*.json]}]`.
TARGETS = Path(os.environ.get("METRICS_TARGETS", "."))


@asynccontextmanager
async def watched(app: FastAPI) -> AsyncIterator[None]:
    async with lifespan(app):
        registry = CollectorRegistry()
        registry.register(Collector({"pages": app.state.cache}, {"shop": app.state.pool}))
        # It has a thread of its own, and answers also where the event loop is too busy to.
        server, thread = start_http_server(0, "127.0.0.1", registry)
        target = TARGETS / f"shop-{os.getpid()}.json"
        target.write_text(
            json.dumps([{"targets": [f"127.0.0.1:{server.server_port}"]}]), encoding="utf-8"
        )
        try:
            yield
        finally:
            target.unlink()
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            thread.join()


app.router.lifespan_context = watched
