"""Feedback on exercise 07-1: which of several nodes has a key, whoever asks, whoever leaves."""

import inspect
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

FIVE = ("A", "B", "C", "D", "E")
# Who sorts a ring in each call needs a millisecond for each of these.
KEYS = [f"user:{number}" for number in range(1, 201)]
SOME = KEYS[:30]
# With a single point a node five names may happen to lie well; not the names of all three.
OTHER_FIVES = tuple(tuple(f"{name}{n}" for n in range(1, 6)) for name in ("cache-", "10.0.0."))
TEN = tuple(f"n{number}" for number in range(10))
# Times its share, by the number of nodes: chance alone gives the fullest of five up to 1.5.
FAIR = {5: 1.7, 10: 2.0}

STAYS = (
    "Whose node is still there should stay. Let node and key decide, not the number of nodes; "
    "and a ring must be sorted."
)
MORE = "By chance one arc of a ring is far longer than another. Many points a node even that out."
RETURN = "Is there a `return` before the name?"
TUPLES = "The pairs are tuples, so look for one: (point(key),), with the comma."
WRAP = "Past the last point comes the first: it is a ring."


@exercise("07-1", "The owner of a key")
async def owner(answer: Any) -> str:
    before = _owners(answer, FIVE, KEYS)
    for leaves in ("E", "B"):
        _look_at_moves(leaves, before, _owners(answer, _without(leaves, FIVE), KEYS))
    if _differs(before, _owners(answer, FIVE, SOME)):
        raise Unmet(
            expected="the same node for the same key, each time",
            got="The same key and the same nodes, asked twice: another node.",
            hint="Nothing may decide but the texts: no random number, and nothing kept in between.",
        )
    if _differs(before, _owners(answer, FIVE[::-1], SOME)):
        raise Unmet(
            expected="the same owners, in whatever order the nodes are listed",
            got="Another process lists the same nodes in another order, and sends keys elsewhere.",
            hint="Let the names of the nodes decide, not their places in the list.",
        )
    elsewhere = _in_another_process(answer)
    if elsewhere and (moved := _differs(before, _owners(elsewhere, FIVE, SOME))):
        raise Unmet(
            expected="the same owner in every process",
            got=f"Another process sends {moved!r} elsewhere: its seed differs.",
            hint="Python's hash() of a text is another number in each process. hashlib's are not.",
        )
    _look_at_shares(before)
    for nodes in OTHER_FIVES:
        _look_at_shares(_owners(answer, nodes, KEYS))
    # Who wrote the five names into the function is right until a second one leaves.
    four = _without("E", FIVE)
    three = _owners(answer, _without("B", four), KEYS)
    _look_at_moves("B", _owners(answer, four, KEYS), three, when=" after E")
    ten = _owners(answer, TEN, KEYS)
    _look_at_moves("n3", ten, _owners(answer, _without("n3", TEN), KEYS), when=", of n0 to n9,")
    _look_at_shares(ten, TEN)
    # So many keys that some lie past the last point of a ring with few points.
    _owners(answer, ("A",), [f"user:{number}" for number in range(1_000)])
    return "only the keys of the node that leaves move, and no node has much more than its share"


def _without(leaves: str, nodes: Sequence[str]) -> list[str]:
    return [node for node in nodes if node != leaves]


def _owners(answer: Any, nodes: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """The node of each key, which must be one of *nodes*."""
    return {key: _one(answer, key, nodes) for key in keys}


def _one(answer: Any, key: str, nodes: Sequence[str]) -> str:
    expected = f"one of {', '.join(nodes)}" if len(nodes) > 1 else f"{nodes[0]}, the only node"
    case = f"owner({key!r}, {list(nodes)})"
    try:
        node = answer(key, list(nodes))
    except (IndexError, StopIteration) as error:
        raise Unmet(
            expected=f"{expected} for {case}",
            got=f"{case} raised {type(error).__name__}: {error}".removesuffix(": "),
            hint=WRAP,
        ) from None
    except TypeError as error:
        if "not supported between" not in str(error) or "'tuple'" not in str(error):
            raise
        raise Unmet(
            expected=f"{expected} for {case}", got=f"{case} raised TypeError: {error}", hint=TUPLES
        ) from None
    if inspect.isawaitable(node):
        if inspect.iscoroutine(node):
            node.close()
        raise Unmet(
            expected="def owner(key, nodes)",
            got="owner gave something to await.",
            hint="There is nothing to wait for here: an ordinary function will do.",
        )
    if not isinstance(node, str) or node not in nodes:
        hint = "Return the name of a node, as it stands in the list."
        if node is None:
            hint = RETURN if key == KEYS[0] else WRAP
        raise Unmet(expected=expected, got=f"{case} is {node!r}.", hint=hint)
    return node


def _look_at_moves(
    leaves: str, before: dict[str, str], after: dict[str, str], when: str = ""
) -> None:
    had_to = sum(node == leaves for node in before.values())
    moved = sum(before[key] != after[key] for key in before)
    if moved == had_to:
        return
    a, b = (round(100 * count / len(before)) for count in (moved, had_to))
    got = f"Node {leaves} left{when} and {a} keys in 100 moved; {b} had to."
    if a == b:
        got = f"Node {leaves} left{when} and {moved - had_to} keys moved that were not on it."
    raise Unmet(expected="only the keys of the node that has left move", got=got, hint=STAYS)


def _differs(before: dict[str, str], after: dict[str, str]) -> str:
    """The first key of *after* with another owner, or nothing."""
    return next((key for key in after if before[key] != after[key]), "")


def _look_at_shares(owners: dict[str, str], nodes: Sequence[str] = FIVE) -> None:
    counts = Counter(owners.values())
    node, most = counts.most_common(1)[0]
    times, fair = most * len(nodes) / len(owners), FAIR[len(nodes)]
    if times > fair:
        share = "twice" if 1.9 <= times < 2.1 else f"{times:.1f} times"
        limit = f"{fair * len(owners) / len(nodes):.0f} of {len(owners)} keys"
        raise Unmet(
            expected=f"at most {limit} on each of {len(nodes)} nodes, {fair:g} times its share",
            got=f"One node has {share} its share: {most} of {len(owners)} keys are on {node}.",
            hint=MORE,
        )


def _in_another_process(answer: Any) -> Callable[[str, Sequence[str]], Any] | None:
    """The function as another process would run it: hash() of a text has another seed there.

    With it change the functions beside it in its cells. None for what is no function.
    """
    if not isinstance(answer, FunctionType):
        return None
    names: dict[str, Any] = dict(answer.__globals__)
    names["hash"] = lambda value: zlib.crc32(f"another seed {hash(value)}".encode())

    def copied(function: FunctionType) -> FunctionType:
        copy = FunctionType(
            function.__code__,
            names,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        return copy

    for name, value in answer.__globals__.items():
        if isinstance(value, FunctionType) and value.__globals__ is answer.__globals__:
            names[name] = copied(value)
    return copied(answer)
