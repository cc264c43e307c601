"""Names for keys in a store that several processes share.

A name depends on the value of the key alone: not on the process, its hash seed, an address, or
what `str` and `repr` happen to print. Keys that Python calls equal get the same name (1, 1.0 and
True are one key, as they are in a dict); keys that differ get different names.
"""

import math
from collections.abc import Hashable
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from typing import NamedTuple
from uuid import UUID

YEAR_1 = datetime.min.replace(tzinfo=UTC)


def key_name(key: Hashable) -> str:
    """The name of *key*: a str stays readable, everything else starts with an exclamation mark.

    Raises TypeError for a key without a canonical form, ValueError for one that is not even equal
    to itself (NaN).
    """
    plain = isinstance(key, str) and key and not key.startswith("!")
    if plain and type(key) is str:  # most keys are: they need no second look
        name = key
    else:
        encoded = _encode(key)  # refuses a kind of str with an equality of its own
        name = str.__str__(key) if plain else "!" + encoded
    # Braces are where Redis Cluster looks for the part of a name that decides the slot.
    return name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")


def group_prefix(group: Hashable) -> str:
    """What the names of all keys in *group* begin with, and no others."""
    return key_name((group,))[:-1]


class Names(NamedTuple):
    """The names of one key: in a cluster all in one slot."""

    value: bytes
    stale: bytes
    lease: bytes
    failure: bytes


class Namespace:
    """The names of all keys in one part of a database."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name or set("{}") & set(name):
            raise ValueError(f"namespace must be a str with no braces, got {name!r}")
        self.name = name
        self.everything = self.group(None)
        self.channel = self.other("changed")  # as the scripts call it

    def value(self, key: Hashable) -> bytes:
        """The name of the value of *key*."""
        return self.other(f"{{{key_name(key)}}}")

    def names(self, key: Hashable) -> Names:
        return names_of(self.value(key))

    def group(self, group: Hashable) -> bytes:
        """What the names of all keys in *group* begin with; None is every key."""
        return self.other("{" if group is None else "{" + group_prefix(group))

    def other(self, name: str) -> bytes:
        """*name* in this namespace; without braces it is no key's."""
        return f"{self.name}:{name}".encode("utf-8", "surrogatepass")


def names_of(value: bytes) -> Names:
    return Names(value, value + b":stale", value + b":load", value + b":failed")


def _encode(part: object) -> str:
    """*part* of a key in a form that says where it ends: lengths first, then contents."""
    for base in (str, bytes, int, float, tuple, frozenset):
        if isinstance(part, base) and type(part).__eq__ is not base.__eq__:
            raise TypeError(
                f"{type(part).__name__} can't be (in) a key: it has an equality of its own, which "
                "its contents don't tell; say with key= how to make one"
            )
    match part:
        case None:
            return "n"
        case str():
            return f"s{len(part)}:{str.__str__(part)}"  # an Enum of str prints something else
        case bytes():
            return f"b{part.hex()};"
        case int():  # bool and IntEnum too: they equal their number
            return _number(int(part))
        case float() if math.isnan(part):
            raise ValueError("NaN can't be (in) a key: it is not equal to itself")
        case float() if part.is_integer():
            return _number(int(part))
        case float():
            return f"f{float(part).hex()};"
        case UUID():
            return f"u{part.hex};"
        case datetime() if part.tzinfo is None:
            return f"t{part.isoformat()};"
        case datetime() if type(part.tzinfo) is timezone:
            # The moment: equal ones may be written in different zones.
            return f"m{(part - YEAR_1) // timedelta(microseconds=1)};"
        case datetime():
            # Where clocks change, Python's own idea of which of them are equal is no simple one.
            raise TypeError(
                f"a datetime with a {type(part.tzinfo).__name__} can't be (in) a key: "
                "use .astimezone(timezone.utc)"
            )
        case date():
            return f"d{part.isoformat()};"
        case Enum() if "<locals>" not in type(part).__qualname__:
            kind = f"{type(part).__module__}.{type(part).__qualname__}"
            # Some values of a Flag have no name: those are told apart by their bits.
            known = f"{kind}.{part.name}" if part.name else (kind, part.value)
            return f"e{_encode(known)}"
        case tuple():
            return f"({''.join(map(_encode, part))})"
        case frozenset():
            return f"<{''.join(sorted(map(_encode, part)))}>"
    raise TypeError(
        f"{type(part).__name__} has no name that is the same in every process: use a key made of "
        "str, bytes, int, float, bool, None, UUID, date, Enum, tuples and frozensets of them, "
        "or say with key= how to make one"
    )


def _number(number: int) -> str:
    """Decimal, but for those so long that Python refuses to write them so."""
    return f"i{number};" if number.bit_length() <= 64 else f"i0x{number:x};"
