"""What the course needs around the library: simulated time, traffic, charts, checks, servers.

This is the table of contents. Importing it is quick and installs the recorder; what is heavy
(charts, servers) is imported when it is first used.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

if find_spec("nbformat") is None:
    raise ImportError("cachepool_lib.lab needs what notebooks need: install cachepool-lib[lab]")

# First: a command is interrupted with a line, and has its environment, from here on.
from cachepool_lib.lab import command  # noqa: F401
from cachepool_lib.lab.contracts.exam import also_broken, check, exam
from cachepool_lib.lab.exercises.exercise import exercise
from cachepool_lib.lab.experiments.alarms import alarms
from cachepool_lib.lab.experiments.crowded_outage import crowded_outage
from cachepool_lib.lab.experiments.deploys import generations, leave
from cachepool_lib.lab.experiments.freshness import stale_after, write_during_load
from cachepool_lib.lab.experiments.key_owners import Moves, moves, ring_shares
from cachepool_lib.lab.experiments.leaving import last_one_out
from cachepool_lib.lab.experiments.loop_turns import turns
from cachepool_lib.lab.experiments.lost_delete import lost_delete
from cachepool_lib.lab.experiments.memory import (
    after_a_write,
    hit_rates_by_ttl,
    hit_rates_by_workers,
    lanes,
    one_by_one,
    timed,
    update_during_load,
)
from cachepool_lib.lab.experiments.one_address import one_address
from cachepool_lib.lab.experiments.one_key import one_key
from cachepool_lib.lab.experiments.pool_borrowing import (
    first_callers,
    pages_that_borrow_twice,
    price_of_order,
    queue_with_newcomers,
)
from cachepool_lib.lab.experiments.pool_faults import idle_cut, silence
from cachepool_lib.lab.experiments.pool_size import COMPUTE, SLEEP, hot_row, throughput
from cachepool_lib.lab.experiments.queueing import arrivals, mean_wait
from cachepool_lib.lab.experiments.staleness import staleness
from cachepool_lib.lab.experiments.uneven_workers import bucket_percentile, uneven_workers
from cachepool_lib.lab.experiments.visits import full_load, visit
from cachepool_lib.lab.experiments.worth import Calls, worth
from cachepool_lib.lab.notebook import recorder
from cachepool_lib.lab.notebook.logged import logged
from cachepool_lib.lab.notebook.predictions import Prediction, guesses, predict, result
from cachepool_lib.lab.notebook.recorder import nothing_left
from cachepool_lib.lab.servers.pooler import Pooler
from cachepool_lib.lab.servers.private import Postgres, Server, cluster, postgres, server
from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.lab.servers.serve import SHOP_SERVICE, ServiceFailed, serve
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.shop import Order, User, shop
from cachepool_lib.lab.servers.shop import Page as ShopPage
from cachepool_lib.lab.simulation.database import Database, Page, Query
from cachepool_lib.lab.simulation.loop import clock, simulate, wall
from cachepool_lib.lab.simulation.policies import POLICIES, hit_rates
from cachepool_lib.lab.simulation.replay import Replay, Watch, record, replay
from cachepool_lib.lab.simulation.traffic import TRACES, Traffic, crowd, trace, traffic, warmed
from cachepool_lib.lab.simulation.twin import theory_hit_rate, twin

__all__ = [
    "COMPUTE",
    "POLICIES",
    "SHOP_SERVICE",
    "SLEEP",
    "TRACES",
    "Calls",
    "Database",
    "Moves",
    "Order",
    "Page",
    "Pooler",
    "Postgres",
    "Prediction",
    "Proxy",
    "Query",
    "Replay",
    "Server",
    "ServiceFailed",
    "ShopPage",
    "Traffic",
    "User",
    "Watch",
    "after_a_write",
    "agree",
    "alarms",
    "also_broken",
    "around_commit",
    "arrivals",
    "bad_day",
    "bucket_percentile",
    "charts",
    "check",
    "clock",
    "cluster",
    "cluster_rules",
    "cold_start",
    "crowd",
    "crowded",
    "crowded_outage",
    "crowds",
    "exam",
    "exercise",
    "first_callers",
    "fleet",
    "from_replica",
    "full_load",
    "full_redis",
    "generations",
    "gets_by_shard",
    "guesses",
    "hear_changes",
    "hit_rates",
    "hit_rates_by_ttl",
    "hit_rates_by_workers",
    "holding",
    "hot_row",
    "idle_cut",
    "keys_in_redis",
    "lanes",
    "last_one_out",
    "leave",
    "locked_loads",
    "logged",
    "lost_delete",
    "mean_wait",
    "moves",
    "nothing_left",
    "one_address",
    "one_by_one",
    "one_key",
    "open_instances",
    "outage",
    "pages_that_borrow_twice",
    "postgres",
    "predict",
    "price_of_order",
    "queue_with_newcomers",
    "record",
    "replay",
    "result",
    "ring_shares",
    "round_trips",
    "scrape_each",
    "serve",
    "server",
    "services",
    "shard_away",
    "shop",
    "silence",
    "simulate",
    "simulated_pool",
    "slider",
    "stale_after",
    "staleness",
    "ten_visits",
    "theory_hit_rate",
    "throughput",
    "timed",
    "trace",
    "traffic",
    "turns",
    "twin",
    "two_clients",
    "uneven_workers",
    "untold",
    "update_during_load",
    "visit",
    "wall",
    "warmed",
    "watched",
    "watched_days",
    "worth",
    "write_during_load",
]

# They bring matplotlib, ipywidgets, redis, fakeredis or aiohttp: imported when first asked for.
_LATER = {
    "agree": "cachepool_lib.lab.experiments.first_tiers",
    "cluster_rules": "cachepool_lib.lab.experiments.cluster_rules",
    "shard_away": "cachepool_lib.lab.experiments.shard_away",
    "around_commit": "cachepool_lib.lab.experiments.around_commit",
    "bad_day": "cachepool_lib.lab.experiments.bad_days",
    "cold_start": "cachepool_lib.lab.experiments.cold_start",
    "crowded": "cachepool_lib.lab.experiments.bad_days",
    "crowds": "cachepool_lib.lab.contracts.crowds",
    "fleet": "cachepool_lib.lab.experiments.fleet",
    "from_replica": "cachepool_lib.lab.experiments.replica_lag",
    "full_redis": "cachepool_lib.lab.experiments.full_redis",
    "gets_by_shard": "cachepool_lib.lab.experiments.hot_key",
    "hear_changes": "cachepool_lib.lab.experiments.first_tiers",
    "holding": "cachepool_lib.lab.experiments.holding",
    "keys_in_redis": "cachepool_lib.lab.contracts.decorator.store",
    "locked_loads": "cachepool_lib.lab.experiments.full_redis",
    "open_instances": "cachepool_lib.lab.experiments.instances",
    "outage": "cachepool_lib.lab.experiments.outages",
    "round_trips": "cachepool_lib.lab.contracts.redis_cache.contract",
    "scrape_each": "cachepool_lib.lab.experiments.scraping",
    "slider": "cachepool_lib.lab.notebook.widgets",
    "ten_visits": "cachepool_lib.lab.experiments.holding",
    "untold": "cachepool_lib.lab.experiments.first_tiers",
    "simulated_pool": "cachepool_lib.lab.simulation.postgres",
    "two_clients": "cachepool_lib.lab.experiments.behind_pooler",
    "watched_days": "cachepool_lib.lab.experiments.signals",
    "watched": "cachepool_lib.lab.experiments.pool_watched",
}


def __getattr__(name: str) -> Any:
    if name == "charts":
        return import_module("cachepool_lib.lab.charts")
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


recorder.install()
