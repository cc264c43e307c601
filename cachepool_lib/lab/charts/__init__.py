"""The charts of the course: plain data in, a `Chart` out.

The title says what the data shows, the line under it what is drawn and whether it was simulated or
is real. The reader's guess is dashed and grey. Times go in as seconds, shares as 0 to 1. Data that
can't be drawn raises a ValueError or TypeError that names the value.
"""

from cachepool_lib.lab.charts.canvas import Chart, Guess, Source
from cachepool_lib.lab.charts.capacity import scarcest
from cachepool_lib.lab.charts.changes import generations, holding, old_reads
from cachepool_lib.lab.charts.comparisons import before_after, latencies, trips
from cachepool_lib.lab.charts.connections import borrowings, connecting, connections_over_time
from cachepool_lib.lab.charts.counters import one_address, true_and_computed
from cachepool_lib.lab.charts.expected import Answer, bar_of_life, guesses
from cachepool_lib.lab.charts.fleet import loads_by_instances
from cachepool_lib.lab.charts.freshness import knee, over_the_deploy, stale_by_ttl
from cachepool_lib.lab.charts.goodput import goodput
from cachepool_lib.lab.charts.hot_key import gets_by_shard
from cachepool_lib.lab.charts.key_owners import moved_keys, ring_shares
from cachepool_lib.lab.charts.lanes import Event, Lane, Step, flight, race, swimlane
from cachepool_lib.lab.charts.over_time import (
    loads_per_second,
    outcomes_over_time,
)
from cachepool_lib.lab.charts.pages import Run, pages_around_expiry, pages_through_fault
from cachepool_lib.lab.charts.pool_sizes import throughput_by_size, wait_by_size, where_time_goes
from cachepool_lib.lab.charts.pool_watched import dashboard, wait_and_hold
from cachepool_lib.lab.charts.pooling import carried, instances
from cachepool_lib.lab.charts.rates import (
    hit_rate_by_capacity,
    hit_rate_by_room,
    hit_rate_by_ttl,
    hit_rate_by_workers,
)
from cachepool_lib.lab.charts.replica_lag import replica_lag
from cachepool_lib.lab.charts.requests import alive_over_requests, whose_page
from cachepool_lib.lab.charts.service import at_the_door, bad_day, no_room, workers
from cachepool_lib.lab.charts.shards import pages_by_shard
from cachepool_lib.lab.charts.signals import alarms, signals
from cachepool_lib.lab.charts.waiting import (
    price_of_order,
    silent_server,
    wait_by_utilisation,
    waits,
)
from cachepool_lib.lab.charts.worth import loop_turns, worth

__all__ = [
    "Answer",
    "Chart",
    "Event",
    "Guess",
    "Lane",
    "Run",
    "Source",
    "Step",
    "alarms",
    "alive_over_requests",
    "at_the_door",
    "bad_day",
    "bar_of_life",
    "before_after",
    "borrowings",
    "carried",
    "connecting",
    "connections_over_time",
    "dashboard",
    "flight",
    "generations",
    "gets_by_shard",
    "goodput",
    "guesses",
    "hit_rate_by_capacity",
    "hit_rate_by_room",
    "hit_rate_by_ttl",
    "hit_rate_by_workers",
    "holding",
    "instances",
    "knee",
    "latencies",
    "loads_by_instances",
    "loads_per_second",
    "loop_turns",
    "moved_keys",
    "no_room",
    "old_reads",
    "one_address",
    "outcomes_over_time",
    "over_the_deploy",
    "pages_around_expiry",
    "pages_by_shard",
    "pages_through_fault",
    "price_of_order",
    "race",
    "replica_lag",
    "ring_shares",
    "scarcest",
    "signals",
    "silent_server",
    "stale_by_ttl",
    "swimlane",
    "throughput_by_size",
    "trips",
    "true_and_computed",
    "wait_and_hold",
    "wait_by_size",
    "wait_by_utilisation",
    "waits",
    "where_time_goes",
    "whose_page",
    "workers",
    "worth",
]
