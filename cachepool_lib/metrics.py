"""Collector: what caches, pools and canaries did, for Prometheus.

    registry.register(Collector(caches={"pages": cache}, pools={"shop": pool}))

It gives counters, buckets and what is true now, and leaves the arithmetic to the query: counters of
several workers can be added up, their hit rates and percentiles can't. No key, address or other
value of a user becomes a label: each one would be a series that is kept for ever.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from cachepool_lib.stats import CacheStats, Histogram, PoolStats

try:
    from prometheus_client import core, registry
except ImportError as error:
    raise ImportError(
        "cachepool_lib.metrics needs prometheus-client: install cachepool-lib[prometheus]"
    ) from error

Counter, Gauge = core.CounterMetricFamily, core.GaugeMetricFamily
Buckets = core.HistogramMetricFamily


class WatchedCache(Protocol):
    def stats(self) -> CacheStats: ...


class WatchedPool(Protocol):
    def stats(self) -> PoolStats: ...


class Comparisons(Protocol):
    """Hits that were compared with the source: how many were right, and how many old."""

    @property
    def fresh(self) -> int: ...

    @property
    def stale(self) -> int: ...


class WatchedCanary(Protocol):
    def stats(self) -> Comparisons: ...


class Family(NamedTuple):
    """A metric, and the fields of the stats that are its values."""

    kind: type[core.Metric]
    name: str
    help: str
    fields: dict[str, str]  # by the words of the label; without a label it is one, of no word
    label: str = ""

    def metric(self, name_label: str) -> Any:
        """Without values yet."""
        labels = [name_label, self.label] if self.label else [name_label]
        kind: Any = self.kind
        return kind(self.name, self.help, labels=labels)

    def values(self, name: str, stats: object) -> Iterator[tuple[list[str], Any]]:
        """The values in *stats*, each with its labels. What the store can't tell is left out."""
        for word, field in self.fields.items():
            value = getattr(stats, field)
            if value is not None:
                yield [name, word] if word else [name], value


CACHE = (
    Family(
        Counter,
        "cachepool_cache_requests_total",
        "Requests that were answered: at hand (hit), at hand past its time (stale), by a load that "
        "another request had started (shared), by a load of its own or with the default (miss).",
        {"hit": "hits", "stale": "stale_hits", "shared": "shared", "miss": "misses"},
        label="outcome",
    ),
    Family(
        Counter,
        "cachepool_cache_loads_total",
        "Loads that gave a value (success) or raised (failure).",
        {"success": "loads", "failure": "load_failures"},
        label="result",
    ),
    Family(
        Counter,
        "cachepool_cache_load_seconds_total",
        "Seconds spent in loads that gave a value or raised.",
        {"": "load_seconds"},
    ),
    Family(
        Counter, "cachepool_cache_errors_total", "Failures of the store itself.", {"": "errors"}
    ),
    Family(
        Counter,
        "cachepool_cache_removals_total",
        "Entries that left memory to make room (evicted) or as their time was over (expired).",
        {"evicted": "evictions", "expired": "expirations"},
        label="reason",
    ),
    Family(Gauge, "cachepool_cache_entries", "Entries that are held in memory.", {"": "size"}),
    Family(
        Gauge, "cachepool_cache_max_entries", "Entries that memory has room for.", {"": "maxsize"}
    ),
)
CANARY = (
    Family(
        Counter,
        "cachepool_cache_compared_total",
        "Hits that were compared with the source: the same (fresh) or another value (stale).",
        {"fresh": "fresh", "stale": "stale"},
        label="outcome",
    ),
)
POOL = (
    Family(
        Gauge,
        "cachepool_pool_connections",
        "Open connections: held (in_use), free (idle), just being reset or closed (resetting).",
        {"in_use": "in_use", "idle": "idle", "resetting": "resetting"},
        label="state",
    ),
    Family(
        Gauge, "cachepool_pool_max_connections", "Connections that may be open.", {"": "max_size"}
    ),
    Family(Gauge, "cachepool_pool_waiting", "Callers who wait for a connection.", {"": "waiting"}),
    Family(
        Gauge,
        "cachepool_pool_longest_hold_seconds",
        "Seconds since which a connection is held, of all that are held now the most.",
        {"": "longest_hold"},
    ),
    Family(
        Counter,
        "cachepool_pool_acquired_total",
        "Connections that were handed out.",
        {"": "acquired"},
    ),
    Family(
        Counter,
        "cachepool_pool_refusals_total",
        "Callers who got no connection: none came in time (timeout), too many waited (full).",
        {"timeout": "timeouts", "full": "refused"},
        label="reason",
    ),
    Family(
        Buckets,
        "cachepool_pool_wait_seconds",
        "How long callers waited for a connection, those who gave up included.",
        {"": "waits"},
    ),
    Family(
        Buckets,
        "cachepool_pool_hold_seconds",
        "How long connections were held that are back, or were taken away.",
        {"": "holds"},
    ),
)


class Collector(registry.Collector):
    """What a registry of prometheus-client asks at each scrape: the stats of all it was given.

    Each worker is scraped by itself: prometheus-client's multiprocess mode asks no collectors. Any
    thread may scrape. What a store can't tell, such as the number of entries in Redis, is left out.

    Args:
        caches: by name, what has `stats()`; of a decorated function its `cache`. The name is the
            label `cache`.
        pools: by name, DatabasePools. The name is the label `pool`.
        canaries: by the name of the cache that it watches, what has `stats()` with the counts
            `fresh` and `stale`.

    A registry takes one Collector, since each metric comes once.

    Raises:
        TypeError, ValueError: for what can't be watched, for a name that is empty or can't be
            printed, and for an object with two names: it would be counted twice.
    """

    def __init__(
        self,
        caches: Mapping[str, WatchedCache] | None = None,
        pools: Mapping[str, WatchedPool] | None = None,
        canaries: Mapping[str, WatchedCanary] | None = None,
    ) -> None:
        self._watched = (
            ("cache", CACHE, _checked("caches", caches, CACHE)),
            ("cache", CANARY, _checked("canaries", canaries, CANARY)),
            ("pool", POOL, _checked("pools", pools, POOL)),
        )

    def describe(self) -> Iterable[core.Metric]:
        """All metrics, without values: what a registry looks at for names that it has already."""
        return [each.metric(label) for label, families, _ in self._watched for each in families]

    def collect(self) -> Iterable[core.Metric]:
        """All metrics that have values now."""
        metrics = []
        for label, families, objects in self._watched:
            stats = {name: each.stats() for name, each in objects.items()}
            for family in families:
                metric = family.metric(label)
                for name, said in stats.items():
                    for labels, value in family.values(name, said):
                        if isinstance(value, Histogram):
                            metric.add_metric(labels, _cumulative(value), value.sum)
                        else:
                            metric.add_metric(labels, value)
                if metric.samples:
                    metrics.append(metric)
        return metrics


def _cumulative(histogram: Histogram) -> list[tuple[str, int]]:
    """As Prometheus has buckets: each takes all that is no longer than its bound."""
    bounds = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))


def _checked(argument: str, objects: Any, families: tuple[Family, ...]) -> dict[str, Any]:
    """A copy of *objects*. Raises unless each has a name, and stats with what *families* need."""
    if objects is None:
        return {}
    if not isinstance(objects, Mapping):
        got = type(objects).__name__
        raise TypeError(f"{argument} must be a dict of names and objects, got {got}")
    for name, each in objects.items():
        if not isinstance(name, str):
            raise TypeError(f"a name in {argument} must be text, got {name!r}")
        if not name.strip() or not name.isprintable():
            raise ValueError(f"a name in {argument} must be printable and not empty, got {name!r}")
        if isinstance(each, type) or not callable(getattr(each, "stats", None)):
            raise TypeError(
                f"{argument}[{name!r}] must be an object with stats(), got {_said(each)}; "
                "of a decorated function pass its cache"
            )
        stats = each.stats()
        for field in (field for family in families for field in family.fields.values()):
            if not hasattr(stats, field):
                raise TypeError(
                    f"the stats() of {argument}[{name!r}] must have {field!r}, "
                    f"got {_said(stats)} from {_said(each)}"
                )
        for other, one in objects.items():
            if one is each and other != name:
                raise ValueError(
                    f"{argument}[{name!r}] is {argument}[{other!r}], too: it would be counted "
                    "twice; give it one name"
                )
    return dict(objects)


def _said(thing: object) -> str:
    """What it is; no repr, since nobody knows what that shows."""
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__
