"""Exercise 07-1: whoever asks, a key has one node, and only those of a node that leaves move."""

import bisect
import hashlib
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cachepool_lib.lab.exercises.key_owner import FIVE
from tests.tools.exercise_tools import look_at, message

Nodes = Sequence[str]


def sha(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def md5(text: str) -> int:
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)


def ring(points: int, number: Callable[[str], int] = sha) -> Any:
    def owner(key: str, nodes: Nodes) -> str:
        ring = sorted((number(f"{node} {n}"), node) for node in nodes for n in range(points))
        return ring[bisect.bisect(ring, (number(key), "")) % len(ring)][1]

    return owner


def rendezvous(key: str, nodes: Nodes) -> str:
    return max(nodes, key=lambda node: sha(f"{node} {key}"))


def first_point(key: str, nodes: Nodes) -> str:
    """A ring as a dict, and a walk along it."""
    points = {sha(f"{n}{node}"): node for node in nodes for n in range(150)}
    after = [point for point in points if point > sha(key)]
    return points[min(after or points)]


def last_point_has_the_rest(key: str, nodes: Nodes) -> str:
    """Not round, and right: what lies past the last point is the last one's."""
    points = sorted((sha(f"{node} {n}"), node) for node in nodes for n in range(100))
    return points[min(bisect.bisect(points, (sha(key), "")), len(points) - 1)][1]


@pytest.mark.parametrize(
    "answer",
    [ring(100), ring(60), ring(200, md5), rendezvous, first_point, last_point_has_the_rest],
)
def test_right_answers_pass(answer: Any) -> None:
    """A ring, however it is written, and rendezvous hashing, which needs none."""
    assert look_at("07-1", answer).passed


def modulo(key: str, nodes: Nodes) -> str:
    return nodes[sha(key) % len(nodes)]


def another_if_it_is_away(key: str, nodes: Nodes) -> str:
    """Right for the five names it was written for, until a second of them leaves."""
    node = FIVE[sha(key) % len(FIVE)]
    return node if node in nodes else sorted(nodes)[sha(f"{key}x") % len(nodes)]


def dealt_out_by_slot(key: str, nodes: Nodes) -> str:
    slot = sha(key) % 100
    node = FIVE[slot % 5]
    return node if node in nodes else sorted(nodes)[slot // 5 % len(nodes)]


def five_names_else_ring(key: str, nodes: Nodes) -> str:
    """With other names it is the modulo of their number."""
    if set(nodes) <= set(FIVE):
        return rendezvous(key, nodes)
    return modulo(key, sorted(nodes))


def nearest_by_xor(key: str, nodes: Nodes) -> str:
    return min(nodes, key=lambda node: sha(node) ^ sha(key))


def highest_checksum(key: str, nodes: Nodes) -> str:
    return max(nodes, key=lambda node: zlib.crc32(f"{node} {key}".encode()))


def pairs_of(nodes: Nodes) -> list[tuple[int, str]]:
    return [(sha(f"{node} {number}"), node) for node in nodes for number in range(100)]


def no_return(key: str, nodes: Nodes) -> None:
    pairs = sorted(pairs_of(nodes))
    pairs[bisect.bisect(pairs, (sha(key), "")) % len(pairs)]


def looks_for_a_number(key: str, nodes: Nodes) -> Any:
    pairs: list[Any] = sorted(pairs_of(nodes))
    return pairs[bisect.bisect(pairs, sha(key)) % len(pairs)][1]


def unsorted(key: str, nodes: Nodes) -> str:
    pairs = pairs_of(nodes)
    return pairs[bisect.bisect(pairs, (sha(key), "")) % len(pairs)][1]


def modulo_of_hash(key: str, nodes: Nodes) -> str:
    return nodes[hash(key) % len(nodes)]


def jump(key: str, nodes: Nodes) -> str:
    """Consistent as long as only the last one leaves (Lamping and Veach)."""
    number, bucket, following = sha(key), -1, 0
    while following < len(nodes):
        bucket = following
        number = (number * 2862933555777941757 + 1) % 2**64
        following = int((bucket + 1) * (2**31 / ((number >> 33) + 1)))
    return nodes[bucket]


def point_by_hash(text: str) -> int:
    return hash(text)


def highest_hash(key: str, nodes: Nodes) -> str:
    return max(nodes, key=lambda node: hash((node, key)))


def through_a_helper(key: str, nodes: Nodes) -> str:
    return max(nodes, key=lambda node: point_by_hash(f"{node} {key}"))


def no_wrap(key: str, nodes: Nodes) -> str:
    points = sorted((sha(f"{node} {n}"), node) for node in nodes for n in range(100))
    return points[bisect.bisect(points, (sha(key), ""))][1]


def next_point(key: str, nodes: Nodes) -> str:
    points = sorted((sha(f"{node} {n}"), node) for node in nodes for n in range(100))
    return next(node for point, node in points if point > sha(key))


def no_wrap_and_none(key: str, nodes: Nodes) -> str | None:
    points = sorted((sha(f"{node} {n}"), node) for node in nodes for n in range(100))
    return next((node for point, node in points if point > sha(key)), None)


def places_in_the_list(key: str, nodes: Nodes) -> str:
    """A node's points are those of its place: who leaves moves all that come after it."""
    points = sorted((sha(f"{place} {n}"), place) for place in range(len(nodes)) for n in range(99))
    return nodes[points[bisect.bisect(points, (sha(key),)) % len(points)][1]]


def anybody(key: str, nodes: Nodes) -> str:
    return random.choice(nodes)


def first_of_the_list(key: str, nodes: Nodes) -> str:
    return "A" if "A" in nodes else nodes[0]


class Remembers:
    """Right as long as it remembers; the next process begins anew."""

    def __init__(self) -> None:
        self.turn = 0

    def __call__(self, key: str, nodes: Nodes) -> str:
        self.turn += 1
        right = rendezvous(key, nodes)
        return right if self.turn <= 600 else nodes[self.turn % len(nodes)]


def ties_by_order(key: str, nodes: Nodes) -> str:
    """Nodes are told apart by one bit; of several the first one listed has the key."""
    return max(nodes, key=lambda node: sha(f"{node} {key}") % 2)


async def awaited(key: str, nodes: Nodes) -> str:
    return rendezvous(key, nodes)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (modulo, "Node E left and 82 keys in 100 moved; 24 had to."),
        (modulo_of_hash, "Node E left and "),
        (jump, "Node B left and "),
        (another_if_it_is_away, "Node B left after E and "),
        (dealt_out_by_slot, "Node B left after E and "),
        (five_names_else_ring, "Node n3 left, of n0 to n9, and "),
        (nearest_by_xor, "One node has "),
        (highest_checksum, "One node has "),
        (unsorted, "Node E left and "),
        (places_in_the_list, "Node B left and "),
        (anybody, "Node E left and "),
        (highest_hash, "Another process sends 'user:"),
        (through_a_helper, "Another process sends 'user:"),
        (ring(1), "One node has "),
        (ring(1, md5), "One node has "),
        (ring(1, lambda text: zlib.crc32(text.encode())), "One node has "),
        (ring(3), "One node has "),
        (first_of_the_list, "One node has 5.0 times its share: 200 of 200 keys are on A."),
        (Remembers(), "The same key and the same nodes, asked twice: another node."),
        (ties_by_order, "Another process lists the same nodes in another order"),
        (no_wrap, "owner('user:"),
        (next_point, "owner('user:"),
        (no_wrap_and_none, "owner('user:"),
        (awaited, "owner gave something to await."),
        (lambda key, nodes: None, "owner('user:1', ['A', 'B', 'C', 'D', 'E']) is None."),
        (lambda key, nodes: 3, "owner('user:1', ['A', 'B', 'C', 'D', 'E']) is 3. Return the name"),
        (lambda key, nodes: "F", "owner('user:1', ['A', 'B', 'C', 'D', 'E']) is 'F'."),
    ],
)
def test_each_wrong_answer_is_told_what_is_wrong(answer: Any, expected: str) -> None:
    assert message("07-1", answer).startswith(expected)


@pytest.mark.parametrize("answer", [no_wrap, next_point, no_wrap_and_none])
def test_who_does_not_go_round_is_told_so(answer: Any) -> None:
    """Although few keys lie past the last point."""
    assert message("07-1", answer).endswith("Past the last point comes the first: it is a ring.")


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (no_return, "Is there a `return` before the name?"),
        (looks_for_a_number, "look for one: (point(key),), with the comma."),
        (unsorted, "and a ring must be sorted."),
    ],
)
def test_a_slip_in_the_ring_has_its_own_hint(answer: Any, hint: str) -> None:
    assert message("07-1", answer).endswith(hint)


def test_another_type_error_is_not_taken_for_the_pairs() -> None:
    def adds(key: str, nodes: Nodes) -> Any:
        return len(nodes) + key  # type: ignore[operator]

    assert not look_at("07-1", adds).hint


def test_a_seed_that_differs_is_named() -> None:
    """Which key it shows depends on the seed here, too."""
    assert "' elsewhere: its seed differs. Python's hash() of" in message("07-1", highest_hash)


def test_what_hash_says_elsewhere_is_looked_at_only_in_the_check() -> None:
    """The learner's function and those beside it go on with Python's own hash()."""
    before = through_a_helper("user:1", FIVE)
    message("07-1", through_a_helper)
    assert through_a_helper("user:1", FIVE) == before
    assert point_by_hash("user:1") == hash("user:1")


def test_a_stub_is_not_solved_yet() -> None:
    def stub(key: str, nodes: Nodes) -> str:
        raise NotImplementedError

    assert look_at("07-1", stub).status == "not solved yet"
