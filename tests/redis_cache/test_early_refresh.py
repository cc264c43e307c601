"""XFetch in Redis: what is left of a value tells Redis, what its load took stands beside it."""

import math
from typing import Any

import pytest

from cachepool_lib import lab
from tests.tools.async_cache_tools import Loads, answer
from tests.tools.redis_tools import cache, loads_of, namespace_of, raw, until

pytestmark = pytest.mark.anyio

EARLY: dict[str, Any] = {"ttl": 60, "early_refresh": 1e9}  # always due


@pytest.mark.parametrize(("beta", "due"), [(9, False), (11, True)])
async def test_it_is_due_as_xfetch_has_it(
    beta: float, due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load of 1,000 s, ln(random) = -1, 10,000 s left: 9 times the load is less, 11 more."""
    monkeypatch.setattr("random.random", lambda: 1 - math.exp(-1))
    async with cache() as made, raw() as client:
        name = f"{namespace_of(made)}:{{k}}"
        await client.set(name, '"old"', px=10_000_000)
        await client.set(f"{name}:stale", "0/1000000 0 ", px=10_000_000)
        value = await made.get_or_load("k", lambda: answer("new"), early_refresh=beta)
        assert value == "old"
        await until(lambda: not loads_of(made))
        assert await made.get("k") == ("new" if due else "old")


async def test_a_hit_is_one_command() -> None:
    """As without it, though it is another one."""
    async with lab.server() as server, cache(redis_url=server.url) as made, raw(server.url) as look:
        await made.get_or_load("k", lambda: answer("v"), early_refresh=1e-9, ttl=1000)
        await look.config_resetstat()
        await made.get_or_load("k", lambda: answer("v"), early_refresh=1e-9)
        await made.get_or_load("k", lambda: answer("v"))
        stats = await look.info("commandstats")
        asked = {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}
        assert asked.pop("config|resetstat", 1) == 1
        # The script asks for three things.
        assert asked == {"eval": 1, "get": 2, "pttl": 1, "getrange": 1}


async def test_two_processes_load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is second waits in the background, and finds what the first has stored."""
    monkeypatch.setattr("random.random", lambda: 1 - math.exp(-1))
    early: dict[str, Any] = {"ttl": 100_000, "early_refresh": 20}  # of a load of 1,000 s
    loads = Loads()
    async with cache() as here, cache(namespace=namespace_of(here)) as there, raw() as client:
        name = f"{namespace_of(here)}:{{k}}"
        await client.set(name, '"old"', px=10_000_000)
        await client.set(f"{name}:stale", "0/1000000 0 ", px=10_000_000)
        assert await here.get_or_load("k", loads, **early) == "old"
        await until(lambda: len(loads) == 1)
        assert await there.get_or_load("k", loads, **early) == "old"
        assert loads_of(there)
        loads[0].set_result("new")
        await until(lambda: not loads_of(there))
        assert len(loads) == 1
        assert await there.get("k") == "new"


@pytest.mark.parametrize("copied", [None, '60000 60000 "older"', "foreign"])
async def test_values_of_before_are_read(copied: str | None) -> None:
    """Of them nobody knows how long their load took: they are hits until their end."""
    loads = Loads()
    async with cache() as made, raw() as client:
        name = f"{namespace_of(made)}:{{k}}"
        await client.set(name, '"old"', px=60_000)
        if copied is not None:
            await client.set(f"{name}:stale", copied, px=120_000)
        for _ in range(5):
            assert await made.get_or_load("k", loads, **EARLY) == "old"
        await until(lambda: not loads_of(made))
        assert len(loads) == 0
        assert made.stats().errors == 0


async def test_the_note_of_the_seconds_is_no_stale_copy() -> None:
    """A value that the server has evicted left it behind: it is loaded, and a failure raised."""
    async with cache() as made, raw() as client:
        name = f"{namespace_of(made)}:{{k}}"
        assert await made.get_or_load("k", lambda: answer("v"), **EARLY) == "v"
        assert await client.get(f"{name}:stale") is not None
        await client.unlink(name)

        async def fails() -> str:
            raise LookupError

        with pytest.raises(LookupError):
            await made.get_or_load("k", fails, **EARLY, stale_if_error=60)
        assert made.stats().errors == 0


async def test_with_windows_the_stale_copy_has_the_seconds() -> None:
    """So nothing more is stored; after its ttl the value is served stale."""
    async with cache() as made, raw() as client:
        name = f"{namespace_of(made)}:{{k}}"
        windows: dict[str, Any] = {**EARLY, "stale_while_revalidate": 60}
        assert await made.get_or_load("k", lambda: answer("old"), **windows) == "old"
        assert await made.get_or_load("k", lambda: answer("new"), **windows) == "old"
        await until(lambda: not loads_of(made))
        await client.unlink(name)
        assert await made.get_or_load("k", lambda: answer("newest"), **windows) == "new"
        await until(lambda: not loads_of(made))
        assert await made.get("k") == "newest"
        assert made.stats().stale_hits == 1
