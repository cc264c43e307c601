"""What Prometheus gets to see: read by the parser of prometheus-client, and scraped over HTTP."""

import asyncio
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastapi
import httpx
import pytest
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from cachepool_lib import (
    AsyncCache,
    DatabasePool,
    PoolTimeout,
    RedisCache,
    async_cache,
    lab,
)
from cachepool_lib.lab.servers.ask import ask
from cachepool_lib.metrics import Collector
from tests.tools import redis_tools, tiered_tools
from tests.tools.async_cache_tools import ManualClock
from tests.tools.pool_tools import Hold, database_url, pool, witness
from tests.tools.redis_tools import until

pytestmark = pytest.mark.anyio

SERVICE = Path(__file__).parents[1] / "examples" / "service"

# Each metric: its type, its labels, and all words of the second label.
METRICS = {
    "cachepool_cache_requests": ("counter", "cache", "outcome", "hit stale shared miss"),
    "cachepool_cache_loads": ("counter", "cache", "result", "success failure"),
    "cachepool_cache_load_seconds": ("counter", "cache", None, ""),
    "cachepool_cache_errors": ("counter", "cache", None, ""),
    "cachepool_cache_removals": ("counter", "cache", "reason", "evicted expired"),
    "cachepool_cache_entries": ("gauge", "cache", None, ""),
    "cachepool_cache_max_entries": ("gauge", "cache", None, ""),
    "cachepool_cache_compared": ("counter", "cache", "outcome", "fresh stale"),
    "cachepool_pool_connections": ("gauge", "pool", "state", "in_use idle resetting"),
    "cachepool_pool_max_connections": ("gauge", "pool", None, ""),
    "cachepool_pool_waiting": ("gauge", "pool", None, ""),
    "cachepool_pool_longest_hold_seconds": ("gauge", "pool", None, ""),
    "cachepool_pool_acquired": ("counter", "pool", None, ""),
    "cachepool_pool_refusals": ("counter", "pool", "reason", "timeout full"),
    "cachepool_pool_wait_seconds": ("histogram", "pool", None, ""),
    "cachepool_pool_hold_seconds": ("histogram", "pool", None, ""),
}

Samples = dict[tuple[str, ...], float]
"""Values by the name of the sample and what its labels say, in the order of their names."""


@dataclass
class Canary:
    """Has what a Collector asks of one."""

    fresh: int = 19
    stale: int = 1

    def stats(self) -> "Canary":
        return self


def registered(*args: Any, **kwargs: Any) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Collector(*args, **kwargs))
    return registry


def text_of(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def samples(text: str) -> Samples:
    """Of all metrics in *text*; each comes once."""
    found: Samples = {}
    for family in prometheus(text):
        for name, labels, value, *_ in family.samples:
            key = (name, *(word for _, word in sorted(labels.items())))
            assert key not in found
            found[key] = value
    return found


def scraped(registry: CollectorRegistry) -> Samples:
    return samples(text_of(registry))


def check_histograms(found: Samples, name: str = "shop") -> None:
    """A bucket has all that is no longer than its bound, the last has all, and the sum fits."""
    for metric in "cachepool_pool_wait_seconds", "cachepool_pool_hold_seconds":
        buckets = {key[1]: n for key, n in found.items() if key[::2] == (f"{metric}_bucket", name)}
        bounds, counts = list(map(float, buckets)), list(buckets.values())
        assert bounds == sorted(bounds)
        assert counts == sorted(counts)
        assert bounds[-1] == math.inf
        assert counts[-1] == found[f"{metric}_count", name]
        alone = [count - less for count, less in zip(counts, [0, *counts], strict=False)]
        lengths = list(zip(alone, [0, *bounds], bounds, strict=False))
        least, most = (sum(n * each[k] for n, *each in lengths if n) for k in (0, 1))
        assert least <= found[f"{metric}_sum", name] <= most


def only_grows(before: Samples, after: Samples) -> None:
    """No counter and no bucket falls, and none is lost."""
    gauges = {name for name, (kind, *_) in METRICS.items() if kind == "gauge"}
    for key, value in before.items():
        if key[0] not in gauges:
            assert after[key] >= value, key


# -- what there is ------------------------------------------------------------------------------


@pytest.fixture
def everything() -> CollectorRegistry:
    made = DatabasePool("postgresql://postgres:secret@127.0.0.1:1/postgres")
    return registered({"pages": AsyncCache()}, {"shop": made}, {"pages": Canary()})


@pytest.mark.parametrize(
    "generate, parse", [(generate_latest, prometheus), (generate_openmetrics, openmetrics)]
)
def test_names_types_and_labels(everything: CollectorRegistry, generate: Any, parse: Any) -> None:
    """Those that dashboards and alerts ask for, in both formats that Prometheus reads."""
    families = {family.name: family for family in parse(generate(everything).decode())}
    assert families.keys() == METRICS.keys()
    for name, (kind, first, second, words) in METRICS.items():
        family = families[name]
        assert family.type == kind
        assert family.documentation.endswith(".")
        said = [{**sample.labels} for sample in family.samples]
        for labels in said:
            labels.pop("le", None)
            assert labels.pop(first) == ("shop" if first == "pool" else "pages")
            assert labels.keys() == ({second} if second else set())
        assert sorted({word for labels in said for word in labels.values()}) == sorted(
            words.split()
        )
        endings = {
            "counter": ["_total"],
            "gauge": [""],
            "histogram": ["_bucket", "_count", "_sum"],
        }
        found = {sample.name.removeprefix(name) for sample in family.samples}
        assert sorted(found) == endings[kind]


def test_all_are_described(everything: CollectorRegistry) -> None:
    """`describe` names what `collect` may give, so a registry notices what it has already."""
    collector = Collector()
    assert {family.name: family.type for family in collector.describe()} == {
        name: kind for name, (kind, *_) in METRICS.items()
    }
    assert list(collector.collect()) == []
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        everything.register(collector)


async def test_a_cache_is_counted() -> None:
    """Requests by outcome, loads by result, removals by reason, entries and room."""
    clock = ManualClock()
    cache = AsyncCache(10, maxsize=2, clock=clock)
    registry = registered({"pages": cache})

    async def load() -> str:
        clock.now += 0.5
        return "page"

    async def fail() -> str:
        raise LookupError

    await cache.get_or_load("a", load, stale_while_revalidate=60)
    await cache.get_or_load("a", load)
    clock.now += 20
    await cache.get_or_load("a", load, stale_while_revalidate=60)
    await until(lambda: cache.stats().loads == 2)
    await asyncio.gather(*(cache.get_or_load("b", load) for _ in range(3)))
    with pytest.raises(LookupError):
        await cache.get_or_load("c", fail)
    await cache.set("d", 1)
    await cache.set("e", 1, ttl=1)
    clock.now += 5
    await cache.get("e")
    found = scraped(registry)
    outcomes = {"hit": 1, "stale": 1, "shared": 2, "miss": 4}
    assert outcomes == {
        word: found["cachepool_cache_requests_total", "pages", word] for word in outcomes
    }
    assert found["cachepool_cache_loads_total", "pages", "success"] == 3
    assert found["cachepool_cache_loads_total", "pages", "failure"] == 1
    assert found["cachepool_cache_load_seconds_total", "pages"] == 1.5
    assert found["cachepool_cache_errors_total", "pages"] == 0
    assert found["cachepool_cache_removals_total", "pages", "evicted"] == 2
    assert found["cachepool_cache_removals_total", "pages", "expired"] == 1
    assert found["cachepool_cache_entries", "pages"] == 1
    assert found["cachepool_cache_max_entries", "pages"] == 2


def test_a_canary_is_counted() -> None:
    """Under the name of its cache."""
    found = scraped(registered(canaries={"pages": Canary(19, 1)}))
    assert found == {
        ("cachepool_cache_compared_total", "pages", "fresh"): 19,
        ("cachepool_cache_compared_total", "pages", "stale"): 1,
    }


async def test_a_pool_is_counted() -> None:
    """Connections by state, who waits, who got none and why, the longest hold, the histograms."""
    async with witness() as seen, pool(seen, 1, 2, max_waiting=1) as made:
        registry = registered(pools={"shop": made})
        async with Hold(made, 2):
            waiting = asyncio.create_task(made.fetchval("SELECT 1"))
            await until(lambda: made.stats().waiting)
            with pytest.raises(RuntimeError):
                await made.fetchval("SELECT 1")
            during = scraped(registry)
            waiting.cancel()
            await asyncio.wait([waiting])
            with pytest.raises(PoolTimeout):
                await made.acquire(timeout=0.03)
        await until(lambda: made.stats().idle == 2)
        after = scraped(registry)
    for found in during, after:
        check_histograms(found)
    only_grows(during, after)
    states = [
        [found["cachepool_pool_connections", "shop", word] for word in ("in_use", "idle")]
        for found in (during, after)
    ]
    assert states == [[2, 0], [0, 2]]
    assert during["cachepool_pool_waiting", "shop"] == 1
    assert during["cachepool_pool_max_connections", "shop"] == 2
    assert during["cachepool_pool_longest_hold_seconds", "shop"] > 0
    assert after["cachepool_pool_longest_hold_seconds", "shop"] == 0
    assert after["cachepool_pool_acquired_total", "shop"] == 2
    assert after["cachepool_pool_refusals_total", "shop", "timeout"] == 1
    assert after["cachepool_pool_refusals_total", "shop", "full"] == 1
    assert after["cachepool_pool_wait_seconds_count", "shop"] == 4
    assert after["cachepool_pool_wait_seconds_sum", "shop"] >= 0.03
    assert after["cachepool_pool_hold_seconds_count", "shop"] == 2


async def test_what_a_store_cannot_tell_is_left_out() -> None:
    """Redis does not say how many entries are ours; a first tier has a number. 0 would lie."""
    unbounded = AsyncCache(maxsize=None)
    async with redis_tools.cache() as redis, tiered_tools.cache(maxsize=7) as tiered:
        caches: dict[str, Any] = {"memory": unbounded, "redis": redis, "tiered": tiered}
        for cache in caches.values():
            await cache.set("key", 1)
            await cache.get("key")
        found = scraped(registered(caches))
    for name in caches:
        assert found["cachepool_cache_requests_total", name, "hit"] == 1
    entries = {key[1:]: value for key, value in found.items() if "entries" in key[0]}
    assert entries == {("memory",): 1, ("tiered",): 1} | {("tiered",): 7}


async def test_nothing_of_a_user_is_told() -> None:
    """No key, no value, no address, no password, no line of code: names and fixed words alone."""
    secret = "s3cret"
    async with redis_tools.raw(), witness() as seen, pool(seen, name=secret) as made:
        cache = AsyncCache()
        away = RedisCache(f"redis://{secret}:{secret}@127.0.0.1:1", namespace=secret)

        @async_cache(ttl=60)
        async def user(name: str) -> str:
            return name

        await cache.set(secret, secret)
        await away.get(secret)
        await user(secret)
        await made.fetchval(f"SELECT '{secret}'")
        async with Hold(made):
            text = text_of(registered({"a": cache, "b": away, "c": user.cache}, {"shop": made}))
        await away.close()
    assert secret not in text
    assert "127.0.0.1" not in text
    words = {word for *_, words in METRICS.values() for word in words.split()} | {"a", "b", "c"}
    for family in prometheus(text):
        for sample in family.samples:
            said = {word for label, word in sample.labels.items() if label != "le"}
            assert said <= words | {"shop"}


# -- as time goes by ----------------------------------------------------------------------------


def test_event_loops_come_and_go() -> None:
    """A cache outlives them, a pool is closed and opened again on another: counters go on."""
    cache = AsyncCache()
    registry = CollectorRegistry()

    async def use(made: DatabasePool) -> None:
        async with made:
            await made.fetchval("SELECT 1")
            await cache.get("key")
            await cache.set("key", 1)

    url = asyncio.run(database_url())
    made = DatabasePool(url, 1, 1)
    registry.register(Collector({"pages": cache}, {"shop": made}))
    seen = [scraped(registry)]
    for number in range(1, 4):
        asyncio.run(use(made))
        seen.append(scraped(registry))
        only_grows(*seen[-2:])
        check_histograms(seen[-1])
        assert seen[-1]["cachepool_pool_acquired_total", "shop"] == number
        assert seen[-1]["cachepool_cache_requests_total", "pages", "hit"] == number - 1
        assert seen[-1]["cachepool_pool_connections", "shop", "idle"] == 0
    assert seen[0]["cachepool_pool_wait_seconds_count", "shop"] == 0


async def test_a_scrape_during_an_outage_and_after_the_end() -> None:
    """It asks no server: what is counted is in this process, and stays true when all is closed."""
    where = await redis_tools.url()
    async with lab.Proxy(where) as proxy, witness() as seen, pool(seen, 1, 1) as made:
        namespace = redis_tools.namespace()
        caches: dict[str, Any] = {
            "redis": RedisCache(proxy.url, namespace=namespace),
            "tiered": tiered_tools.tiers(proxy.url, namespace + "-2"),
        }
        registry = registered(caches, {"shop": made})
        for cache in caches.values():
            await cache.set("key", 1)
        before = scraped(registry)
        await proxy.cut()
        for cache in caches.values():
            await cache.get("another")
        during = scraped(registry)
        only_grows(before, during)
        for name in caches:
            errors = "cachepool_cache_errors_total", name
            assert during[errors] > before[errors]
            assert during["cachepool_cache_requests_total", name, "miss"] == 1
        for cache in caches.values():
            await cache.close()
        await made.close()
        only_grows(during, scraped(registry))


async def test_a_thread_may_scrape() -> None:
    """As a WSGI server does, while the event loop works."""
    cache = AsyncCache(maxsize=50)
    registry = registered({"pages": cache})
    stop = asyncio.Event()

    async def load() -> int:
        return 1

    async def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await cache.get_or_load(number % 100, load)
            await asyncio.sleep(0)

    working = asyncio.create_task(work())
    before = await asyncio.to_thread(scraped, registry)
    for _ in range(30):
        after = await asyncio.to_thread(scraped, registry)
        only_grows(before, after)
        before = after
    stop.set()
    await working


# -- over HTTP ----------------------------------------------------------------------------------


async def test_four_workers_are_scraped_each_by_itself(tmp_path: Path) -> None:
    """Each says what it did itself, and together they are all; nothing falls.

    The example says where its workers are scraped, and no word is left of one that has gone.
    """
    folder = str(SERVICE)

    def watched() -> Any:
        sys.path.insert(0, folder)  # as if uvicorn ran there
        from watched_service import app

        return app

    env = {"METRICS_TARGETS": tmp_path, "POOL_SIZE": 2}
    async with lab.serve(watched, workers=4, env=env) as service:
        urls = {}
        for path in tmp_path.iterdir():
            [said] = json.loads(path.read_text(encoding="utf-8"))
            urls[int(path.stem.removeprefix("shop-"))] = f"http://{said['targets'][0]}"
        assert urls.keys() == set(service.pids)
        answered, seen = Counter[int](), [await scrape(urls)]
        for first in range(0, 120, 40):
            visits = (ask(service.url, f"/users/{n % 30}") for n in range(first, first + 40))
            for answer in await asyncio.gather(*visits):
                answered[int(answer.headers["x-worker"])] += 1
            seen.append(await scrape(urls))
            for pid in urls:
                only_grows(seen[-2][pid], seen[-1][pid])
                check_histograms(seen[-1][pid])
    assert not list(tmp_path.iterdir())
    for pid, found in seen[-1].items():
        assert total(found, "cachepool_cache_requests_total") == answered[pid]
        loads = found["cachepool_cache_loads_total", "pages", "success"]
        assert found["cachepool_pool_acquired_total", "shop"] == loads
        assert found["cachepool_pool_hold_seconds_count", "shop"] == loads
    assert answered.total() == 120


async def test_a_worker_may_be_scraped_on_its_own_port() -> None:
    """As the example's README shows it, where there is one worker alone."""
    [code] = re.findall("```python\n(.+?)```", (SERVICE / "README.md").read_text("utf-8"), re.S)
    names = {
        "app": fastapi.FastAPI(),
        "cache": AsyncCache(),
        "pool": DatabasePool("postgresql://localhost"),
        **{each.__name__: each for each in (CollectorRegistry, Collector, fastapi.Response)},
        **{"generate_latest": generate_latest, "CONTENT_TYPE_LATEST": CONTENT_TYPE_LATEST},
    }
    exec(code, names)
    transport = httpx.ASGITransport(names["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST
    assert total(samples(answer.text), "cachepool_pool_max_connections") == 20


async def scrape(urls: Mapping[int, str]) -> dict[int, Samples]:
    """What each of four workers says, by pid."""
    answers = await asyncio.gather(*(ask(url, "/metrics") for url in urls.values()))
    assert {answer.status for answer in answers} == {200}
    return {pid: samples(answer.body.decode()) for pid, answer in zip(urls, answers, strict=True)}


def total(found: Samples, name: str) -> float:
    """Of all its labels."""
    return sum(value for key, value in found.items() if key[0] == name)


# -- what is refused ----------------------------------------------------------------------------


@async_cache(ttl=60)
async def page() -> str:
    return ""


CACHE, CANARY = AsyncCache(), Canary()


@pytest.mark.parametrize(
    "given, error, text",
    [
        ({"caches": CACHE}, TypeError, "caches must be a dict of names and objects, got AsyncC"),
        ({"caches": [("a", CACHE)]}, TypeError, "caches must be a dict .*, got list"),
        ({"caches": {1: CACHE}}, TypeError, "a name in caches must be text, got 1"),
        ({"caches": {"": CACHE}}, ValueError, "a name in caches must be printable .*, got ''"),
        ({"pools": {" ": CACHE}}, ValueError, "a name in pools must be .* not empty, got ' '"),
        ({"caches": {"a\n": CACHE}}, ValueError, r"must be printable .*, got 'a\\n'"),
        ({"caches": {"a\ud800": CACHE}}, ValueError, "must be printable and not empty"),
        ({"caches": {"a": None}}, TypeError, r"caches\['a'\] must be .* stats\(\), got NoneType"),
        ({"caches": {"a": AsyncCache}}, TypeError, "got the class AsyncCache"),
        ({"caches": {"a": page}}, TypeError, "got CachedFunction; .* decorated function .* cache"),
        ({"caches": {"a": CANARY}}, TypeError, r"caches\['a'\] must have 'hits', got Canary"),
        ({"canaries": {"a": CACHE}}, TypeError, "have 'fresh', got CacheStats from AsyncCache"),
        ({"pools": {"a": CACHE}}, TypeError, "must have 'in_use', got CacheStats from AsyncCache"),
        (
            {"caches": {"a": CACHE, "b": CACHE}},
            ValueError,
            r"'a'\] is caches\['b'\], too: .* twice",
        ),
        ({"canaries": {"a": CANARY, "b": CANARY}}, ValueError, "it would be counted twice"),
    ],
)
def test_bad_input_is_refused_at_once(given: Any, error: type[Exception], text: str) -> None:
    """With the value, and what was expected."""
    with pytest.raises(error, match=text):
        Collector(**given)


def test_what_was_given_may_change_afterwards() -> None:
    """A Collector has looked at what it was given, and watches that."""
    caches: dict[str, Any] = {"pages": AsyncCache()}
    registry = registered(caches)
    caches["others"] = SimpleNamespace()
    assert {key[1] for key in scraped(registry)} == {"pages"}


def test_without_prometheus_client_the_error_says_what_to_install() -> None:
    """Nothing else needs it."""
    code = """
import sys
sys.modules["prometheus_client"] = None
import cachepool_lib
[getattr(cachepool_lib, name) for name in cachepool_lib.__all__]
try:
    import cachepool_lib.metrics
except ImportError as error:
    assert "cachepool-lib[prometheus]" in str(error), error
else:
    raise SystemExit(1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
