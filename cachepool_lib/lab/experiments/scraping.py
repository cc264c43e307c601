"""Scraping the workers of a real service, each by itself, as Prometheus does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from cachepool_lib.lab.servers.ask import ask
from cachepool_lib.lab.servers.service import Service

PREFIX = "cachepool_"
FIND_SECONDS = 20.0  # until every worker has answered once


@dataclass(frozen=True, repr=False)
class Scraped:
    """What the workers of a service answered, a row of metrics each."""

    workers: Sequence[Sequence[Metric]]

    def each(self, name: str) -> list[float]:
        """The samples called *name* added up, for each worker: whatever labels they have."""
        return [
            sum(s.value for metric in metrics for s in metric.samples if s.name == name)
            for metrics in self.workers
        ]

    def total(self, name: str) -> float:
        """The samples called *name*, those of all workers added up."""
        return sum(self.each(name))

    def __repr__(self) -> str:
        kinds: dict[str, set[str]] = {}
        for metric in self.workers[0]:
            if metric.name.startswith(PREFIX):
                kinds.setdefault(metric.type, set()).add(metric.name.removeprefix(PREFIX))
        return "\n".join(f"{kind}: {_listed(kinds[kind])}" for kind in sorted(kinds))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


async def scrape_each(service: Service, path: str = "/metrics-port") -> Scraped:
    """Ask each worker of *service* for its metrics, once, on the port that it serves them on.

    *path* says which: it is asked until every worker has answered, whoever takes the connection.
    TimeoutError if one has not after FIND_SECONDS.
    """
    ports: dict[str, int] = {}
    async with asyncio.timeout(FIND_SECONDS):
        while len(ports) < len(service.pids):
            for answer in await asyncio.gather(*(ask(service.url, path) for _ in range(8))):
                ports[answer.headers["x-worker"]] = answer.json()
    scrapes = [ask(f"http://127.0.0.1:{port}", "/metrics") for port in ports.values()]
    texts = [answer.body.decode() for answer in await asyncio.gather(*scrapes)]
    return Scraped([list(text_string_to_metric_families(text)) for text in texts])
