"""Names of keys in a shared store: one name for what Python calls equal, and for nothing else."""

import os
import subprocess
import sys
from collections.abc import Hashable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import KEEP, Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepool_lib.redis_cache.key_names import key_name


class Colour(Enum):
    RED = 1
    BLUE = 2
    CRIMSON = 1  # another word for red


class Size(Enum):
    RED = 1


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    ADA = "Ada"


class Right(Flag):
    READ = 1
    WRITE = 2


class Bits(Flag, boundary=KEEP):
    LOWEST = 1


class Point(NamedTuple):
    x: int
    y: int


# Few values, many types and spellings: so that pairs are often equal.
numbers = st.sampled_from([0, 1, -1, 2, 2**53, 2**53 + 1, 2**200])
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-23))])
moments = st.builds(
    datetime,
    st.sampled_from([1, 2026, 9999]),
    st.sampled_from([1, 12]),
    st.sampled_from([1, 31]),
    st.sampled_from([0, 2, 23]),
    tzinfo=zones,
    fold=st.sampled_from([0, 1]),
)
words = st.text("a!%{}:;1", max_size=3) | st.sampled_from(
    ["n", "i1;", "!i1;", "\ud83d\ude00", "😀"]
)
parts = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.integers(),
    st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e300, float("inf"), float(2**53)]),
    st.floats(allow_nan=False),
    words,
    words.map(lambda word: word.encode("utf-8", "surrogatepass")),
    st.sampled_from([UUID(int=0), UUID(int=1)]),
    moments,
    moments.map(datetime.date),
    st.sampled_from([*Colour, *Size, *Number, *Word, *Right, Right(0), Right.READ | Right.WRITE]),
    st.sampled_from([0, 1, 8, 9, 16, 24]).map(Bits),
)
keys = st.recursive(
    parts,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Point, inner, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=1500, deadline=None)
@given(keys, keys)
def test_two_keys_have_one_name_exactly_if_python_calls_them_equal(
    one: Hashable, other: Hashable
) -> None:
    """Whatever their types and spellings."""
    assert (key_name(one) == key_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0, -0.0),
        (1, Number.ONE),
        ("Ada", Word.ADA),
        ((1, 2), Point(1, 2)),
        (Colour.RED, Colour.CRIMSON),
        (
            datetime(2026, 1, 1, 12, tzinfo=UTC),
            datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
        ),
        (frozenset({1, "a"}), frozenset({"a", True})),
    ],
)
def test_equal_keys_of_different_types_have_one_name(one: Hashable, other: Hashable) -> None:
    """As they are one key in a dict."""
    assert one == other
    assert key_name(one) == key_name(other)
    assert key_name(("a", one)) == key_name(("a", other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", 1),
        (b"a", "a"),
        ("!i1;", 1),
        ("", ()),
        ("None", None),
        (("a", "b"), ("ab",)),
        (("a", ("b",)), (("a",), "b")),
        ((1, 2), frozenset({1, 2})),
        (Colour.RED, Size.RED),
        (Colour.RED, Colour.BLUE),
        (Colour.RED, 1),
        (Bits(8), Bits(16)),  # neither has a name
        (Bits(0), Right(0)),
        (date(2026, 1, 1), datetime(2026, 1, 1)),
        ("a{b}", "a%7Bb%7D"),
        (2**53, 2**53 + 1),
    ],
)
def test_keys_that_differ_have_different_names(one: Hashable, other: Hashable) -> None:
    """Types and nesting count, and nobody can spell another key's name."""
    assert key_name(one) != key_name(other)


SAMPLE: list[Any] = [
    "user:1",
    "",
    (1, "a", None, b"x", 0.1),
    frozenset({"a", "b", "c", ("d", 1)}),
    frozenset(range(20)),
    UUID(int=7),
    date(2026, 1, 2),
    datetime(2026, 1, 2, tzinfo=UTC),
    10**5000,
]


def names_elsewhere(seed: int) -> str:
    code = (
        "from tests.redis_cache.test_key_names import SAMPLE, Colour, key_name\n"
        "print([key_name(key) for key in [*SAMPLE, Colour.RED, frozenset(Colour)]])"
    )
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_another_process_gives_the_same_names() -> None:
    """Sets have another order there, and strings another hash."""
    here = [key_name(key) for key in [*SAMPLE, Colour.RED, frozenset(Colour)]]
    assert names_elsewhere(1) == names_elsewhere(2) == f"{here}\n"


class Loud(str):
    """Prints its address, as most classes do."""

    __hash__ = str.__hash__

    def __str__(self) -> str:
        return f"<{id(self)}>"

    __repr__ = __str__

    def __format__(self, how: str) -> str:
        return str(self)


class LoudNumber(int):
    def __str__(self) -> str:
        return f"<{id(self)}>"

    __repr__ = __str__

    def __format__(self, how: str) -> str:
        return str(self)


def test_what_str_and_repr_print_does_not_matter() -> None:
    """A subclass that prints its address is named by its value."""
    assert key_name(Loud("Ada")) == key_name("Ada")
    assert key_name((Loud("Ada"), LoudNumber(7))) == key_name(("Ada", 7))


@pytest.mark.parametrize(
    "key",
    [
        object(),
        Decimal(1),
        Fraction(1, 2),
        1j,
        print,
        partial(print),
        int,
        ("a", (object(),)),
        frozenset({object()}),
        timedelta(1),
        datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        memoryview(b"a"),
        [1],
        {"a": 1},
    ],
    ids=lambda key: type(key).__name__,
)
def test_a_key_without_a_canonical_form_is_a_type_error(key: Any) -> None:
    """It says what to use instead."""
    with pytest.raises(TypeError, match=r"key=|astimezone"):
        key_name(key)


class Tagged(tuple[int, ...]):
    """Its contents are not all there is to it."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


class AnyCase(str):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


@pytest.mark.parametrize("key", [Tagged((1,)), AnyCase("Ada"), ("a", AnyCase("b"))])
def test_a_key_with_an_equality_of_its_own_is_refused(key: Any) -> None:
    """What Python calls equal, or not, its contents would not tell."""
    with pytest.raises(TypeError, match=r"equality of its own.*key="):
        key_name(key)


def test_an_enum_that_only_a_function_knows_is_refused() -> None:
    """Two calls make two classes of one name, whose members differ."""

    class Local(Enum):
        A = 1

    with pytest.raises(TypeError, match="Local has no name"):
        key_name(Local.A)


@pytest.mark.parametrize("key", [float("nan"), ("a", float("nan"))])
def test_nan_is_refused(key: Hashable) -> None:
    """It is not equal to itself: nobody would find what it names."""
    with pytest.raises(ValueError, match="NaN"):
        key_name(key)


@given(keys)
def test_a_name_has_no_braces(key: Hashable) -> None:
    """They would decide in which slot of a cluster it is; and none is empty, which would not."""
    name = key_name(key)
    assert name
    assert not {"{", "}"} & set(name)
