"""What a cache decorator promises, one small check each.

A candidate is what stands behind the @: called with a ttl and options, it gives a decorator. What
a crowd and an unknown user may expect of a cache is asked of a decorated function by the very
checks of a cache. Time is simulated, but where two processes meet at a real Redis.
"""

from cachepool_lib.lab.contracts.cache.bench import LIMIT
from cachepool_lib.lab.contracts.decorator import calls, forgetting, functions, keys, store
from cachepool_lib.lab.contracts.decorator.bench import DecoratorBench
from cachepool_lib.lab.notebook.checks import Candidate, Check, Report, ask_in_turn, by_number
from cachepool_lib.lab.simulation.loop import simulate

PROMISES = by_number(
    keys.PROMISES, calls.PROMISES, forgetting.PROMISES, functions.PROMISES, store.PROMISES
)


async def check(names: str, *candidates: Candidate) -> Report:
    """Ask each candidate for the promises in *names*."""

    async def question(function: Check[DecoratorBench], candidate: Candidate) -> str:
        bench = DecoratorBench(candidate)
        if function is store.processes_agree:  # in real time: it brings other processes
            return await function(bench)
        return simulate(function(bench), limit=LIMIT)

    return await ask_in_turn(PROMISES, names, candidates, question)
