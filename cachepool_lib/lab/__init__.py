"""What the course needs around the library: simulated time, traffic, charts, checks, servers.

This is the table of contents. Importing it is quick and installs the recorder; what is heavy
(charts, servers) is imported when it is first used.
"""

from importlib import import_module
from typing import Any

from . import recorder
from .contract import also_broken, check, exam
from .exercises import exercise
from .experiments import (
    after_a_write,
    entries_over_time,
    hit_rates_by_ttl,
    hit_rates_by_workers,
    lanes,
    last_one_out,
    one_by_one,
    timed,
    update_during_load,
)
from .faults import Proxy
from .policies import POLICIES, hit_rates
from .pool_experiments import (
    COMPUTE,
    SLEEP,
    arrivals,
    first_callers,
    hot_row,
    idle_cut,
    mean_wait,
    pages_that_borrow_twice,
    queue_with_newcomers,
    silence,
    throughput,
)
from .predictions import Prediction, guesses, predict, result
from .recorder import nothing_left
from .servers import Server, cluster, server
from .services import services
from .shop import shop
from .simulation import (
    Database,
    Page,
    Query,
    Replay,
    Watch,
    clock,
    record,
    replay,
    simulate,
    theory_hit_rate,
    twin,
    wall,
)
from .traffic import TRACES, Traffic, crowd, trace, traffic, warmed

__all__ = [
    "COMPUTE",
    "POLICIES",
    "SLEEP",
    "TRACES",
    "Database",
    "Page",
    "Prediction",
    "Proxy",
    "Query",
    "Replay",
    "Server",
    "Traffic",
    "Watch",
    "after_a_write",
    "also_broken",
    "arrivals",
    "charts",
    "check",
    "clock",
    "cluster",
    "crowd",
    "crowds",
    "entries_over_time",
    "exam",
    "exercise",
    "first_callers",
    "guesses",
    "hit_rates",
    "hit_rates_by_ttl",
    "hit_rates_by_workers",
    "hot_row",
    "idle_cut",
    "keys_in_redis",
    "lanes",
    "last_one_out",
    "mean_wait",
    "nothing_left",
    "one_by_one",
    "outage",
    "pages_that_borrow_twice",
    "predict",
    "queue_with_newcomers",
    "record",
    "replay",
    "result",
    "round_trips",
    "server",
    "services",
    "shop",
    "silence",
    "simulate",
    "slider",
    "theory_hit_rate",
    "throughput",
    "timed",
    "trace",
    "traffic",
    "twin",
    "update_during_load",
    "wall",
    "warmed",
]


# They bring matplotlib, ipywidgets or redis: imported when first asked for.
_LATER = {
    "crowds": "processes",
    "keys_in_redis": "decorator_contract",
    "outage": "outages",
    "round_trips": "redis_contract",
    "slider": "widgets",
}


def __getattr__(name: str) -> Any:
    if name == "charts":
        return import_module(f"{__name__}.charts")
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


recorder.install()
