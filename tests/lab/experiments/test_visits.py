"""Visitors over HTTP: what is counted, and that nothing is sent twice."""

from typing import Any

import pytest

from cachepool_lib import lab
from cachepool_lib.lab.simulation.traffic import Traffic

pytestmark = pytest.mark.anyio


def outcomes() -> Any:
    """What becomes of a page depends on its number."""
    import os

    from fastapi import FastAPI, Response

    app, visits = FastAPI(), []

    @app.get("/users/{user_id}")
    async def page(user_id: int, response: Response) -> int:
        visits.append(user_id)
        says = {1: "miss", 2: "hit", 3: "shared", 4: "stale", 5: "odd"}
        if user_id in says:
            response.headers["X-Cache"] = says[user_id]
        response.status_code = {7: 503, 8: 500, 9: 404}.get(user_id, 200)
        if user_id == 10:
            os._exit(1)
        return user_id

    @app.get("/visits")
    @app.get("/all visits")
    async def seen() -> list[int]:
        return visits

    return app


async def test_every_outcome_is_told_apart() -> None:
    """By the header and the status; who was refused has not failed, who got nothing has."""
    from cachepool_lib.lab.servers.ask import ask

    keys = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    async with lab.serve(outcomes, workers=1) as service:
        [pid] = service.pids
        seen = await lab.visit(service.url, Traffic([0.01 * key for key in keys], keys))
        assert sorted((await ask(service.url, "/visits")).json()) == keys
        assert sorted((await ask(service.url, "/all visits")).json()) == keys
        assert seen.outcomes == [
            *("miss", "hit", "shared", "stale", "fresh", "fresh", "refused", "failed", "failed")
        ]
        assert seen.pids == [pid] * 9
        assert (seen.loads, seen.refused, seen.failed, len(seen.pages)) == (1, 1, 2, 6)
        assert repr(seen) == "9 visits, 2 failed, some refused"
        assert seen.counts["fresh"] == 2
        nobody = await lab.visit(service.url, lab.crowd(1, key=10))
    assert (nobody.outcomes, nobody.pids, repr(nobody)) == (["failed"], [0], "1 visit, 1 failed")


async def test_faults_come_at_their_moments() -> None:
    """A fault is called when it is due, between the visits before and after."""
    async with lab.serve(outcomes, workers=2) as service:
        first, second = service.pids
        visits = Traffic([0.0, 0.1, 0.2, 0.6, 0.7, 0.8], [2] * 6)
        seen = await lab.visit(service.url, visits, {0.4: lambda: service.kill(first)})
        assert seen.failed == 0
        assert seen.pids[3:] == [second] * 3


async def test_full_load_counts_pages_and_failures() -> None:
    """Every page is counted once, and so is every error."""
    async with lab.serve(outcomes, workers=1) as service:
        good = await lab.full_load(service.url, clients=3, seconds=0.3, users=2)
        assert good.failed == 0
        assert 0 < good.rate * 0.3 <= len(good.seconds)
        assert 0 < good.p50 <= good.p99 < 20
        bad = await lab.full_load(service.url, clients=2, seconds=0.1, path="/nothing/{}")
    assert bad.failed
    assert not bad.seconds
    assert repr(good) == "3 clients, 0 failed"
