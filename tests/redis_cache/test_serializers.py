"""What a serializer accepts comes back equal and of the same type; what it refuses has a place.

Bytes that are not its own raise an exception at most: they run nothing.
"""

import json
import math
import pickle
import random
import subprocess
import sys
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepool_lib import JSONSerializer, MsgpackSerializer

JSON, MSGPACK = JSONSerializer(), MsgpackSerializer()

text = st.text(st.characters(exclude_categories=())) | st.sampled_from(["\ud83d\ude00", "😀", "é"])
integers = st.integers() | st.sampled_from([2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**500])
zones = st.none() | st.integers(-86_399_999_999, 86_399_999_999).map(
    lambda offset: timezone(timedelta(microseconds=offset))
)
json_leaves = (
    st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | text
)
json_values = st.recursive(
    json_leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
leaves = (
    json_leaves
    | st.floats(allow_nan=False)
    | st.sampled_from([1, -1]).map(lambda sign: sign * 10**4000)
    | st.binary()
    | st.datetimes(timezones=zones, allow_imaginary=True)
    | st.builds(lambda moment: moment.replace(fold=1), st.datetimes())
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
hashable = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=3),
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal and of the same type, all the way down; and no sign or zone lost."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, (list, tuple)):
        return all(map(same, one, other))
    if isinstance(one, dict):
        return all(same(*pair) for pair in zip(one.items(), other.items(), strict=True))
    if isinstance(one, (set, frozenset)):
        kinds = [Counter((type(item), item) for item in items) for items in (one, other)]
        return kinds[0] == kinds[1]
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, datetime):
        return (one.utcoffset(), one.fold) == (other.utcoffset(), other.fold)
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    return True


@settings(max_examples=500, deadline=None)
@given(json_values)
def test_json_brings_back_what_it_accepts(value: Any) -> None:
    """Equal, and of the same types."""
    assert same(JSON.decode(JSON.encode(value)), value)


@settings(max_examples=500, deadline=None)
@given(values)
def test_msgpack_brings_back_what_it_accepts(value: Any) -> None:
    """tuple, set, bytes, datetime, date, Decimal and UUID too, as values and as keys."""
    assert same(MSGPACK.decode(MSGPACK.encode(value)), value)


@settings(max_examples=500, deadline=None)
@given(values)
def test_json_refuses_what_would_not_come_back(value: Any) -> None:
    """Accepted and the same, or a TypeError or a ValueError: never something else instead."""
    try:
        data = JSON.encode(value)
    except (TypeError, ValueError) as error:
        assert "would not come back as it was" in str(error)
        return
    assert same(JSON.decode(data), value)


def test_json_is_json() -> None:
    """Another program reads the same."""
    value = {"name": "Ada é 😀", "orders": [1, 2.5, None, True]}
    assert json.loads(JSON.encode(value)) == value


# -- refusals ----------------------------------------------------------------------------------


class Text(str):
    pass


class Size(IntEnum):
    BIG = 1


class Word(StrEnum):
    ADA = "Ada"


Pair = namedtuple("Pair", "x y")
Record = type("Record", (), {})  # what asyncpg's rows are called
LOOP: list[Any] = []
LOOP.append({"again": LOOP})
DEEP: Any = ()
for _ in range(500):
    DEEP = (DEEP,)


def orders(total: Any) -> Any:
    return {"orders": [{}, {}, {}, {"total": total}]}


@pytest.mark.parametrize(
    ("serializer", "value", "error", "says"),
    [
        (JSON, orders(Decimal(1)), TypeError, "orders[3].total: Decimal, would not come back"),
        (JSON, (1,), TypeError, "the value: tuple"),
        (JSON, {"a": {"b": 0, 1: 2}}, TypeError, "a.<int> (its key): int"),
        (JSON, [b"x"], TypeError, "[0]: bytes"),
        (JSON, {"a": math.inf}, ValueError, "a: infinity"),
        (JSON, {"a": math.nan}, ValueError, "a: NaN"),
        (JSON, [10**5000], ValueError, "[0]: an int of more than"),
        (JSON, {"at": datetime(2026, 1, 1)}, TypeError, "at: datetime"),
        (JSON, {"a": Text("x")}, TypeError, "a: Text"),
        (JSON, {Text("x"): 1}, TypeError, "<Text> (its key): Text"),
        (MSGPACK, {None: object()}, TypeError, "<NoneType>: object"),
        (JSON, {None: 1}, TypeError, "<NoneType> (its key): NoneType"),
        (JSON, [Size.BIG], TypeError, "[0]: Size"),
        (JSON, [Word.ADA], TypeError, "[0]: Word"),
        (JSON, OrderedDict(a=1), TypeError, "the value: OrderedDict; pass dict(row)"),
        (JSON, [Record()], TypeError, "[0]: Record; pass dict(row)"),
        (JSON, LOOP, ValueError, "nested too deeply"),
        (MSGPACK, LOOP, ValueError, "nested too deeply"),
        (MSGPACK, DEEP, ValueError, "nested too deeply"),
        (MSGPACK, orders(object()), TypeError, "orders[3].total: object"),
        (MSGPACK, {"a": Pair(1, 2)}, TypeError, "a: Pair"),
        (MSGPACK, {"a": Size.BIG}, TypeError, "a: Size"),
        (MSGPACK, {"a": bytearray(b"x")}, TypeError, "a: bytearray"),
        (MSGPACK, [Decimal("NaN")], ValueError, "[0]: NaN"),
        (MSGPACK, [Decimal("sNaN")], ValueError, "[0]: NaN"),
        (MSGPACK, {(1, object): 2}, TypeError, "<tuple> (its key)[1]: type"),
        (MSGPACK, {math.nan: 2}, ValueError, "<float> (its key): NaN"),
        (
            MSGPACK,
            {"at": datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))},
            ValueError,
            "at: datetime with a ZoneInfo; convert it to UTC",
        ),
        (MSGPACK, {"x" * 1000: {"y" * 1000: object()}}, TypeError, "x" * 40 + "." + "y" * 40 + ":"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_refusal_names_the_place(
    serializer: Any, value: Any, error: type[Exception], says: str
) -> None:
    """Where in the value it is, of what type, and what to do; in a line that can be read."""
    with pytest.raises(error) as refusal:
        serializer.encode(value)
    assert says in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(("serializer", "wrap"), [(JSON, list), (MSGPACK, tuple)])
def test_the_deepest_value_that_is_accepted_is_read_on_a_full_stack(
    serializer: Any, wrap: Callable[[Any], Any]
) -> None:
    """Nothing is stored that only a caller with a shallow stack can read."""
    deepest: Any = None
    with pytest.raises(ValueError, match="too deeply"):
        while True:
            value = wrap([deepest])
            data = serializer.encode(value)
            deepest = value

    def down(levels: int) -> Any:
        return down(levels - 1) if levels else serializer.decode(data)

    assert down(sys.getrecursionlimit() - 300) == deepest


# -- hostile bytes -----------------------------------------------------------------------------


SEEDS = [
    MSGPACK.encode(
        {
            "a": [1, (2, 3), {4}, b"x", None, 10**40],
            (1, date(2026, 1, 1)): datetime(2026, 1, 1, tzinfo=UTC),
            "c": [Decimal("1.50"), UUID(int=7), frozenset({1.5})],
        }
    ),
    JSON.encode({"a": [1, 2.5, "é", None, True], "b": {"c": []}}),
    pickle.dumps({"a": [1]}),
    b"",
]


def hostile(number: int) -> list[bytes]:
    """Random payloads, mutated good ones, and those known to hurt."""
    chance = random.Random(1)
    payloads = [
        b"[" * 100_000,
        b"\x91" * 100_000,
        b"\xc7\xff\x01" * 50_000,
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"9" * 100_000,
        b"1e999999999",
        b"NaN",
        b"-Infinity",
        b"\xff\xfe[\x00",
        msgpack.packb(msgpack.ExtType(6, b"1e99999999999999999999")),
        msgpack.packb(msgpack.ExtType(8, b"f" * 100_000)),
        msgpack.packb(msgpack.ExtType(99, b"unknown")),
        msgpack.packb(msgpack.ExtType(2, msgpack.packb([[1]]))),
        pickle.dumps(Boom()),
    ]
    nested = b"\x90"
    while len(nested) < 20_000:  # an extension in an extension, and so on
        nested = msgpack.packb(msgpack.ExtType(1, b"\x91" + nested))
    payloads += [nested, b"\x92\xc7\x00\x01" * 20_000]
    while len(payloads) < number:
        kind = chance.randrange(3)
        if kind == 0:
            payload = bytearray(chance.randbytes(chance.randrange(60)))
        else:
            payload = bytearray(chance.choice(SEEDS))
            for _ in range(chance.randint(1, 4)):
                if payload:
                    payload[chance.randrange(len(payload))] = chance.randrange(256)
            if kind == 2:
                del payload[chance.randrange(len(payload) + 1) :]
        payloads.append(bytes(payload))
    return payloads


class Boom:
    """A pickle of it would say so."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exploded.append, ("boom",)


exploded: list[str] = []


@pytest.mark.parametrize("serializer", [JSON, MSGPACK])
def test_hostile_bytes_are_an_exception_at_most(serializer: Any) -> None:
    """10,000 of them: no code of theirs runs, and nothing but Exceptions comes out."""
    for payload in hostile(10_000):
        try:
            serializer.decode(payload)
        except Exception:
            continue
    assert not exploded


def test_no_module_of_the_library_can_unpickle() -> None:
    """The one way to run what bytes say is not even imported."""
    code = (
        "import sys, cachepool_lib.redis_cache.serializers as s; "
        "sys.exit(any(hasattr(s, name) for name in ('pickle', 'marshal', 'shelve', 'eval')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
