"""The store: what is kept, until when, and who has to leave. No loop, and time is a number."""

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepool_lib.loading import LoadOptions
from cachepool_lib.memory.queue import Queue
from cachepool_lib.memory.s3fifo import MAX_USES
from cachepool_lib.memory.store import SWEPT_PER_WRITE, WRITES_PER_SWEEP, Store
from tests.benchmarks.reference import MovingBorder


def put(store: Store, *keys: Any, now: float = 0, until: float = math.inf) -> None:
    for key in keys:
        store.put(key, f"value of {key}", until - now, now)


def present(store: Store, keys: Any, now: float = 0) -> set[Any]:
    """Those of *keys* that are there, without counting as a use."""
    return {key for key in keys if store.peek(key, now) is not None}


def loaded(stale_while_revalidate: float = 0, stale_if_error: float = 0) -> LoadOptions:
    """What a load with these windows leaves beside its value."""
    return LoadOptions(None, stale_while_revalidate, stale_if_error)


# Time


def test_fresh_until_its_end() -> None:
    """An entry is there before expires_at, and not at it."""
    store = Store(None)
    put(store, "k", until=10)
    entry = store.lookup("k", math.nextafter(10, 0))
    assert entry is not None
    assert entry.value == "value of k"
    assert store.lookup("k", 10) is None
    assert len(store) == 0
    assert store.expirations == 1


def test_kept_for_its_stale_windows() -> None:
    """Past its end an entry is not fresh, but can be peeked at until the longer window is over."""
    store = Store(None)
    store.put("k", "v", 10, 0, loaded(stale_while_revalidate=5, stale_if_error=20))
    assert store.lookup("k", 29) is None
    assert store.peek("k", 29) is not None
    assert store.peek("k", 30) is None
    assert len(store) == 1
    assert store.lookup("k", 30) is None
    assert len(store) == 0


def test_a_new_value_brings_its_own_end() -> None:
    """Overwriting replaces value, end and windows, and is neither eviction nor expiration."""
    store = Store(2)
    store.put("k", "old", 10, 0, loaded(stale_if_error=100))
    store.put("k", "new", 5, 0)
    entry = store.peek("k", 4)
    assert entry is not None
    assert (entry.value, entry.expires_at, entry.kept_until) == ("new", 5, 5)
    assert store.peek("k", 5) is None
    assert (len(store), store.evictions, store.expirations) == (1, 0, 0)


def test_remove_says_whether_it_was_fresh() -> None:
    """True for a fresh entry only; gone it is in any case."""
    store = Store(10)
    store.put("stale", "v", 10, 0, loaded(stale_if_error=100))
    put(store, "fresh", until=100)
    assert store.remove("stale", 50) is False
    assert store.remove("fresh", 50) is True
    assert store.remove("nobody", 50) is False
    assert len(store) == 0
    assert store.evictions == store.expirations == 0


@pytest.mark.parametrize("maxsize", [None, 10_000])
def test_the_sweep_is_bounded_and_complete(maxsize: int | None) -> None:
    """No write does more than a batch, and after one round of the ring nothing expired is left."""
    store = Store(maxsize)
    put(store, *range(1_000, 2_000), until=1_000)
    put(store, *range(1_000), until=10)
    writes = 0
    left = [len(store)]
    while store.expirations < 1_000:
        put(store, "k", now=10)
        writes += 1
        left.append(len(store))
    assert max(a - b for a, b in pairwise(left)) <= (WRITES_PER_SWEEP * SWEPT_PER_WRITE)
    assert writes <= 2_000 / SWEPT_PER_WRITE + 2 * WRITES_PER_SWEEP
    assert present(store, range(2_000), now=10) == set(range(1_000, 2_000))


# Who leaves


def test_a_key_used_once_passes_through() -> None:
    """In a full store the key that nobody asked for again leaves, not the one that was."""
    store = Store(10)
    put(store, "popular", *range(9))
    for _ in range(2):
        store.lookup("popular", 0)
    put(store, *range(100, 200))
    assert store.peek("popular", 0) is not None
    assert len(store) == 10
    assert store.evictions == 100


def test_a_key_that_comes_back_soon_stays_longer() -> None:
    """Its ghost takes it into the main queue at once, past those who never came back."""
    store = Store(10)
    put(store, *range(11))
    assert store.peek(0, 0) is None
    put(store, 0, *range(100, 130))
    assert store.peek(0, 0) is not None


def test_uses_are_counted_to_three_and_no_further() -> None:
    """A key that was popular long ago does not live for ever."""
    store = Store(10)
    put(store, "popular")
    for _ in range(1_000):
        store.lookup("popular", 0)
    entry = store.peek("popular", 0)
    assert entry is not None
    assert entry.uses == MAX_USES
    for number in range(200):  # new keys, each asked for often enough to matter
        put(store, number)
        for _ in range(2):
            store.lookup(number, 0)
    assert store.peek("popular", 0) is None


def test_peek_is_not_a_use() -> None:
    """Looking at a stale value does not make it popular."""
    store = Store(10)
    put(store, "k")
    for _ in range(5):
        store.peek("k", 0)
    put(store, *range(10))
    assert store.peek("k", 0) is None


def test_what_expired_leaves_before_what_is_popular() -> None:
    """An expired entry that comes up for eviction leaves, however often it was used."""
    store = Store(10)
    put(store, "old", until=10)
    for _ in range(5):
        store.lookup("old", 0)
    put(store, *range(10), now=10)
    assert store.peek("old", 0) is None
    assert (store.evictions, store.expirations) == (0, 1)
    assert present(store, range(10), now=10) == set(range(10))


def test_what_expired_in_the_main_queue_leaves_too() -> None:
    """There too, uses of its time do not buy an expired entry another round."""
    store = Store(10)
    put(store, "old", until=10)
    for _ in range(2):
        store.lookup("old", 0)
    put(store, *range(20))  # it moves to the main queue
    for key in ["old", *range(12, 20)] * 3:
        store.lookup(key, 0)
    for number in range(100, 120):
        put(store, number, now=10)
        for _ in range(2):
            store.lookup(number, 10)
    assert store.expirations == 1


def test_growing_old_is_not_growing_unpopular() -> None:
    """A key of the main queue that expired is remembered: its next value starts there again."""
    store = Store(10)
    put(store, "popular", until=10)
    for _ in range(2):
        store.lookup("popular", 0)
    put(store, *range(20))  # it moves to the main queue
    assert store.lookup("popular", 10) is None
    put(store, "popular", now=10)
    put(store, *range(100, 150), now=10)
    assert store.peek("popular", 10) is not None


def test_what_was_removed_is_not_remembered() -> None:
    """delete and clear forget the key altogether."""
    for forget in ("remove", "clear"):
        store = Store(10)
        put(store, "popular")
        for _ in range(2):
            store.lookup("popular", 0)
        put(store, *range(20))
        if forget == "remove":
            assert store.remove("popular", 0)
        else:
            store.clear()
            assert len(store) == 0
            put(store, *range(10))
        put(store, "popular")
        put(store, *range(100, 110))
        assert store.peek("popular", 0) is None


def test_clear_forgets_the_ghosts_too() -> None:
    """After clear a key that had just left is as new as any other."""
    store = Store(10)
    put(store, *range(20))
    store.clear()
    put(store, 9, *range(100, 110))
    assert store.peek(9, 0) is None


def test_ghosts_are_bounded() -> None:
    """A key that left longer ago than as many as there is room for starts anew."""
    store = Store(100)
    put(store, *range(1_000))
    put(store, 0, *range(2_000, 2_101))
    assert store.peek(0, 0) is None


@settings(max_examples=50, deadline=None, derandomize=True)
@given(maxsize=st.integers(1, 60), skew=st.floats(0.3, 2), seed=st.integers())
def test_the_same_keys_as_the_rule_in_plain_lists(maxsize: int, skew: float, seed: int) -> None:
    """Whatever is asked for, hit by hit it is what the rule, written down once more, keeps."""
    store, rule, random = Store(maxsize), MovingBorder(maxsize), Random(seed)
    for n in range(2_000):
        key = int(random.paretovariate(skew)) % 300 + n // 500 * 100
        hit = store.lookup(key, 0) is not None
        if not hit:
            put(store, key)
        assert hit == rule.read(key)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    maxsize=st.sampled_from([None, 1, 2, 3, 10]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "lookup", "lookup", "remove", "clear", "wait"]),
            st.integers(0, 15),
            st.sampled_from([1, 5, 50, math.inf]),
        ),
        max_size=200,
    ),
)
def test_the_queues_hold_what_the_table_holds(
    maxsize: int | None, steps: list[tuple[str, int, float]]
) -> None:
    """After any steps: nothing is counted twice or lost, and nobody outlives its end."""
    store, now = Store(maxsize), 0.0
    ends: dict[int, float] = {}
    for step, key, seconds in steps:
        if step == "put":
            put(store, key, now=now, until=now + seconds)
            ends[key] = now + seconds
        elif step == "lookup":
            entry = store.lookup(key, now)
            assert entry is None or (entry.expires_at == ends[key] > now)
            assert entry is not None or maxsize is not None or ends.get(key, -1) <= now
        elif step == "remove":
            was_fresh = store.remove(key, now)
            end = ends.pop(key, -1)
            assert not was_fresh or end > now
        elif step == "clear":
            store.clear()
            ends.clear()
        else:
            now += seconds if seconds < math.inf else 2
        assert maxsize is None or len(store) <= maxsize
        policy = store._queues
        queues = [policy] if isinstance(policy, Queue) else [policy._small, policy._main]
        queued = [
            entry
            for queue in queues
            for entry in (*queue._ahead, *queue._passed)
            if entry.queue is queue
        ]
        assert len(queued) == sum(queue.size for queue in queues) == len(store)
        assert {entry.key: entry for entry in queued} == store._entries
