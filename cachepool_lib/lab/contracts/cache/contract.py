"""What a cache promises, one small check each.

The same promises judge the naive class, the learner's class and the library's AsyncCache in
notebook 01, and they are the contract of the test suite. All of them look at a cache from outside:
at what callers get, at how often a page is loaded and at which values are still in memory. Time is
simulated.
"""

from collections.abc import Callable
from typing import Any

from cachepool_lib.lab.contracts.cache import entries, loads, production
from cachepool_lib.lab.contracts.cache.bench import LIMIT, Bench
from cachepool_lib.lab.notebook.checks import Candidate, Check, Report, ask_in_turn, by_number
from cachepool_lib.lab.simulation.loop import simulate

PROMISES = by_number(entries.PROMISES, loads.PROMISES, production.PROMISES)


async def check(
    names: str, *candidates: Candidate, page: Callable[..., Any] | None = None
) -> Report:
    """Ask each candidate for the promises in *names*; *page* makes the value cached in A11."""

    async def question(function: Check[Bench], candidate: Any) -> str:
        return simulate(function(Bench(candidate, page)), limit=LIMIT)

    return await ask_in_turn(PROMISES, names, candidates, question)
