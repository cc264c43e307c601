"""The charts of the course: plain data in, a `Chart` out.

The title says what the data shows, the line under it what is drawn and whether it was simulated or
is real. The reader's guess is dashed and grey. Times go in as seconds, shares as 0 to 1. Data that
can't be drawn raises a ValueError or TypeError that names the value.
"""

from ._canvas import Chart, Guess, Source
from .comparisons import Answer, bar_of_life, before_after, guesses, latencies, trips
from .lanes import Event, Lane, Step, flight, race, swimlane
from .pools import (
    borrowings,
    connecting,
    connections_over_time,
    silent_server,
    throughput_by_size,
    wait_by_size,
    wait_by_utilisation,
    waits,
    where_time_goes,
)
from .rates import hit_rate_by_capacity, hit_rate_by_ttl, hit_rate_by_workers, popularity
from .series import (
    Run,
    alive_over_requests,
    entries_over_time,
    loads_per_second,
    outcomes_over_time,
    pages_around_expiry,
    pages_through_fault,
    whose_page,
)

__all__ = [
    "Answer",
    "Chart",
    "Event",
    "Guess",
    "Lane",
    "Run",
    "Source",
    "Step",
    "alive_over_requests",
    "bar_of_life",
    "before_after",
    "borrowings",
    "connecting",
    "connections_over_time",
    "entries_over_time",
    "flight",
    "guesses",
    "hit_rate_by_capacity",
    "hit_rate_by_ttl",
    "hit_rate_by_workers",
    "latencies",
    "loads_per_second",
    "outcomes_over_time",
    "pages_around_expiry",
    "pages_through_fault",
    "popularity",
    "race",
    "silent_server",
    "swimlane",
    "throughput_by_size",
    "trips",
    "wait_by_size",
    "wait_by_utilisation",
    "waits",
    "where_time_goes",
    "whose_page",
]
