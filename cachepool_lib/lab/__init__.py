"""What the course needs around the library: simulated time, traffic, charts, checks, servers.

This is the table of contents. Importing it is quick and installs the recorder; what is heavy
(charts, servers) is imported when it is first used.
"""

from importlib import import_module
from typing import Any

from . import recorder
from .contract import also_broken, check, exam
from .exercises import exercise
from .experiments import entries_over_time, hit_rates_by_ttl, lanes, update_during_load
from .policies import POLICIES, hit_rates
from .predictions import Prediction, guesses, predict, result
from .recorder import nothing_left
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
    "POLICIES",
    "TRACES",
    "Database",
    "Page",
    "Prediction",
    "Query",
    "Replay",
    "Traffic",
    "Watch",
    "also_broken",
    "charts",
    "check",
    "clock",
    "crowd",
    "entries_over_time",
    "exam",
    "exercise",
    "guesses",
    "hit_rates",
    "hit_rates_by_ttl",
    "lanes",
    "nothing_left",
    "predict",
    "record",
    "replay",
    "result",
    "services",
    "shop",
    "simulate",
    "slider",
    "theory_hit_rate",
    "trace",
    "traffic",
    "twin",
    "update_during_load",
    "wall",
    "warmed",
]


def __getattr__(name: str) -> Any:
    """Charts and sliders bring matplotlib and ipywidgets: imported when first asked for."""
    if name == "charts":
        return import_module(f"{__name__}.charts")
    if name == "slider":
        return import_module(f"{__name__}.widgets").slider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


recorder.install()
