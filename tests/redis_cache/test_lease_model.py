"""Leases, values and invalidations under everything at once, in simulated time.

The caches are real; the server, time and all that goes wrong are simulated: writers, failing
loads, evictions, blocked and dying processes, late replies.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cachepool_lib.lab.simulation.loop import simulate
from cachepool_lib.redis_cache import slot
from tests.tools.lease_walk import Audit, Walk


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of outages are logged, and are not what is tested here."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def walk(seed: int, steps: int, server: type[Audit] = Audit) -> tuple[list[str], Counter[str]]:
    async def run() -> list[str]:
        made = Walk(seed, server)
        done.append(made.server.done)
        return await made.run(steps)

    done: list[Counter[str]] = []
    return simulate(run(), limit=100), done[0]


def test_no_walk_breaks_a_rule() -> None:
    """No reader gets a value older than the last write confirmed before; one load at most stores
    for a write; a lease that merely ran out still stores; nobody waits for who has died."""
    total: Counter[str] = Counter()
    for seed in range(6):
        broken, done = walk(seed, 1000)
        assert not broken, f"seed {seed}"
        total += done
    print(dict(total))
    for kind in [
        *("get", "get_many", "load", "stale", "early", "refresh", "set", "delete", "clear"),
        *(
            "stored",
            "stored late",
            "dropped",
            "taken",
            "taken over",
            "evicted lease",
            "blocked",
            "died",
        ),
    ]:
        assert total[kind] >= 10, kind


class StoresWithoutComparing(Audit):
    def store(self, keys: list[bytes], *told: bytes) -> int:
        data, px, origin, _, *stale = told
        return super().store(keys, data, px, origin, self.holder(keys[2]), *stale)


class DeleteLeavesTheLease(Audit):
    def delete(self, keys: list[bytes], origin: bytes) -> int:
        return self.unlink(keys[0], keys[1], keys[3])


class SetLeavesTheLease(Audit):
    def put(self, keys: list[bytes], *told: bytes) -> int:
        lease = self.held.get(keys[2])
        kept = super().put(keys, *told)
        if lease:
            self.held[keys[2]] = lease
        return kept


class ClearLeavesLeases(Audit):
    def scan(self, *told: Any) -> Any:
        cursor, names = super().scan(*told)
        return [cursor, [name for name in names if not name.endswith(b":load")]]


class ForgetsLeasesThatRanOut(Audit):
    def holder(self, lease: bytes) -> bytes:
        holder, _, deadline = (self.get(lease) or b"").partition(b" ")
        return holder if deadline and int(deadline) > self.clock() else b""


class HasNoDeadline(Audit):
    def take_lease(self, keys: list[bytes], token: bytes, lock: bytes, *told: bytes) -> Any:
        return super().take_lease(keys, token, told[0], *told)


class IgnoresTheHolder(Audit):
    def take_lease(self, keys: list[bytes], *told: bytes) -> Any:
        if self.get(keys[0]) is None:
            self.held.pop(keys[2], None)
        return super().take_lease(keys, *told)


class IgnoresTheValue(Audit):
    def take_lease(self, keys: list[bytes], *told: bytes) -> Any:
        return super().take_lease([b"nothing", *keys[1:]], *told)


class RenewsWithoutComparing(Audit):
    def renew_lease(self, keys: list[bytes], token: bytes, lock: bytes, life: bytes) -> int:
        self.set(keys[2], b"%s %d" % (token, self.clock() + int(lock)), px=life)
        return 1


class ReleasesWithoutComparing(Audit):
    def release_lease(self, keys: list[bytes], token: bytes, failed: bytes) -> int:
        return super().release_lease(keys, self.holder(keys[2]), failed)


def found(server: type[Audit]) -> set[str]:
    """The rules that the first walk that breaks any finds broken."""
    for seed in range(150):
        broken, _ = walk(seed, 500, server)
        if broken:
            return set(broken)
    return set()


@pytest.mark.parametrize(
    "server",
    [
        *(StoresWithoutComparing, DeleteLeavesTheLease, SetLeavesTheLease, ClearLeavesLeases),
        *(ForgetsLeasesThatRanOut, HasNoDeadline, IgnoresTheHolder),
        *(IgnoresTheValue, RenewsWithoutComparing, ReleasesWithoutComparing),
    ],
)
def test_a_walk_finds_the_script_that_breaks_a_rule(server: type[Audit]) -> None:
    """Each rule is needed, and the walk would see it missing."""
    assert found(server)


def test_a_walk_finds_who_joins_a_load_that_was_voided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody deleted the key, in another process."""

    async def may_join(self: slot.RedisSlot, call: Any) -> bool:
        return True

    monkeypatch.setattr(slot.RedisSlot, "may_join", may_join)
    assert found(Audit)
