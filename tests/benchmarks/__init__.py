"""How fast AsyncCache is beside its peers, and how well it keeps: `python -m tests.benchmarks`."""

# `python -m tests.benchmarks` is then a command as those of the course are: see there.
from cachepool_lib.lab import command  # noqa: F401
