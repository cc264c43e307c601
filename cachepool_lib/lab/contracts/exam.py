"""The questions of the notebooks: some promises of a contract, or all of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from cachepool_lib.lab.contracts.cache.bench import constructor_options
from cachepool_lib.lab.notebook.checks import Candidate, Report

# Those of later notebooks bring redis or asyncpg: imported when they are asked for.
_CONTRACTS = {
    "A": "cachepool_lib.lab.contracts.cache.contract",
    "R": "cachepool_lib.lab.contracts.redis_cache.contract",
    "D": "cachepool_lib.lab.contracts.decorator.contract",
    "P": "cachepool_lib.lab.contracts.pool.contract",
}
_TAKES = {"R": "redis_url", "P": "database_url"}  # the option that tells what a class is

_ALSO_BROKEN = {
    "A": "A2 A13 A14",
    "R": "R4 R5 R6 R11 R13 R14 R15 R16",
    "D": "D2 D6-clear D6-info D7 D8 D9 D11",
    "P": "P6 P7 P10 P11 P12 P14 P15 P17",
}


async def check(
    names: str, *candidates: Candidate, page: Callable[..., Any] | None = None
) -> Report:
    """Ask one candidate or several for the promises in *names*, such as "A9" or "R7 R8".

    Where the last of them fails, the report says what was expected, what came, and a hint.
    A1 to A20 (caches) and D1 to D14 (decorators) run in simulated time; R2 to R24 (caches in
    Redis) and D12 against the lab's Redis, P1 to P17 (pools) against its PostgreSQL.
    *page* makes the page that is cached in A11, some orders: a list, where none is given.
    """
    options = {} if page is None else {"page": page}
    report: Report = await _contract(names[:1]).check(names, *candidates, **options)
    return report


async def exam(*candidates: Candidate, not_kept: Mapping[str, str] | None = None) -> Report:
    """Ask each candidate for every promise of what the first is: a cache, one in Redis, a
    decorator, or a pool.

    *not_kept* names the promises that a notebook's last class does not keep, and where that is
    told: the report says so in their place.
    """
    report = await check(" ".join(_contract(_kind(candidates[0])).PROMISES), *candidates)
    return replace(report, not_kept=not_kept or {})


async def also_broken(naive: Candidate, ours: Candidate) -> Report:
    """The flaws of the naive version that have no section of their own in the notebook."""
    return await check(_ALSO_BROKEN[_kind(ours)], naive, ours)


def _kind(candidate: Candidate) -> str:
    """The letter that the names of its promises begin with."""
    if not isinstance(candidate, type):
        return "D"
    if any("__call__" in vars(parent) for parent in candidate.__mro__):
        return "D"  # its instances are called with a function
    options = constructor_options(candidate)
    return next((letter for letter, option in _TAKES.items() if option in options), "A")


def _contract(kind: str) -> Any:
    return import_module(_CONTRACTS.get(kind, _CONTRACTS["A"]))
