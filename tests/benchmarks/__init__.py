"""How fast AsyncCache is beside its peers, and how well it keeps: `python -m tests.benchmarks`."""
