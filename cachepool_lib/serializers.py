"""How values become bytes in Redis, and values again: equal and of the same type, or not at all.

What can't come back as it was is refused before anything is stored, with its place in the value.
Neither serializer runs code that the bytes ask for, as pickle does.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NoReturn, Protocol
from uuid import UUID

import msgpack


class Serializer(Protocol):
    """What RedisCache needs: two functions that undo each other."""

    def encode(self, value: Any) -> bytes:
        """Raise TypeError or ValueError, naming the place in *value*, for what can't come back."""
        ...

    def decode(self, data: bytes) -> Any:
        """Raise any Exception for bytes that `encode` can't have made; never run what they say."""
        ...


class JSONSerializer:
    """None, bool, int, float, str, and lists and dicts (with keys of str) of them."""

    _LEAVES = frozenset({type(None), bool, int, float, str})

    def encode(self, value: Any) -> bytes:
        _check(value, self._LEAVES, frozenset({list}), as_json=True)
        return _TO_JSON.encode(value).encode("utf-8", "surrogatepass")

    def decode(self, data: bytes) -> Any:
        return _FROM_JSON.decode(data.decode("utf-8", "surrogatepass"))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_FROM_JSON = json.JSONDecoder(parse_constant=_no_constant)
# Two halves of a pair, each a character of its own, would come back as one if escaped.
_TO_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


class MsgpackSerializer:
    """JSON's types, and tuple, set, frozenset, bytes, datetime, date, Decimal and UUID.

    A dict may have keys of any of these that can be hashed. A datetime may be naive or have a
    `datetime.timezone`; other time zones are refused.
    """

    _LEAVES = frozenset({type(None), bool, int, float, str, bytes, datetime, date, Decimal, UUID})

    def encode(self, value: Any) -> bytes:
        _check(value, self._LEAVES, frozenset({list, tuple, set, frozenset}), as_json=False)
        return _pack(value)

    def decode(self, data: bytes) -> Any:
        return _unpack(data)


def _moment_bytes(value: datetime) -> bytes:
    offset = value.utcoffset()
    zone = "" if offset is None else offset // timedelta(microseconds=1)
    return f"{value.replace(tzinfo=None).isoformat()}|{value.fold}|{zone}".encode()


def _moment(data: bytes) -> datetime:
    moment, fold, offset = data.decode().split("|")
    zone = timezone(timedelta(microseconds=int(offset))) if offset else None
    return datetime.fromisoformat(moment).replace(fold=int(fold), tzinfo=zone)


# The codes are part of the stored format: don't renumber them.
_EXTENSIONS: dict[type, tuple[int, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    datetime: (4, _moment_bytes, _moment),
    date: (
        5,
        lambda value: value.isoformat().encode(),
        lambda data: date.fromisoformat(data.decode()),
    ),
    Decimal: (6, lambda value: str(value).encode(), lambda data: Decimal(data.decode())),
    UUID: (7, lambda value: value.bytes, lambda data: UUID(bytes=data)),
    int: (8, lambda value: b"%x" % value, lambda data: int(data, 16)),  # more than 64 bits
}
# These are lists that begin with a mark. (An extension with the items in it would call msgpack
# inside of msgpack, 40 kB of the C stack each: bytes made for it could crash the process.)
_MARKS: dict[type, int] = {tuple: 1, set: 2, frozenset: 3}
_KINDS = {code: kind for kind, code in _MARKS.items()}
_DECODERS = {code: decode for code, _, decode in _EXTENSIONS.values()}


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(
        value, default=_extend, strict_types=True, unicode_errors="surrogatepass"
    )
    return packed


def _extend(value: Any) -> Any:
    kind = type(value)
    if kind in _MARKS:
        return [msgpack.ExtType(_MARKS[kind], b""), *value]
    code, encode, _ = _EXTENSIONS[kind]
    return msgpack.ExtType(code, encode(value))


def _unpack(data: bytes) -> Any:
    return msgpack.unpackb(
        data,
        ext_hook=lambda code, body: _KINDS[code] if code in _KINDS else _DECODERS[code](body),
        list_hook=_unmark,
        strict_map_key=False,
        unicode_errors="surrogatepass",
    )


def _unmark(items: list[Any]) -> Any:
    return items[0](items[1:]) if items and type(items[0]) is type else items


_HERE: Any = object()
DEEPEST = 100  # so that nothing is stored that can't be read where the stack is nearly used up


class _Refused(Exception):
    """Collects the place on the way up, so that a good value pays nothing for it."""

    def __init__(self, error: type[Exception], reason: str) -> None:
        self.error = error
        self.reason = reason
        self.place = ""


def _check(
    value: Any, leaves: frozenset[type], sequences: frozenset[type], *, as_json: bool
) -> None:
    """Raise TypeError or ValueError for the first part of *value* that would not come back."""

    def check(part: Any, depth: int) -> None:
        kind, step, which = type(part), _HERE, ""
        try:
            if kind in leaves:
                _check_leaf(part, kind, as_json)
            elif depth > DEEPEST:
                reason = "a value that is nested too deeply, or contains itself"
                raise _Refused(ValueError, reason)
            elif kind is dict or kind in sequences:
                if kind is dict:
                    which = " (its key)"
                    for step in part:
                        if type(step) is not str:
                            if as_json:
                                raise _Refused(TypeError, f"{type(step).__name__}")
                            check(step, depth + 1)
                    which = ""
                for step, item in (  # noqa: B007 (the step is for the refusal)
                    part.items() if kind is dict else enumerate(part)
                ):
                    # What is found most needs no call.
                    if type(item) is not str and (type(item) is not int or abs(item) > 2**62):
                        check(item, depth + 1)
            else:
                row = isinstance(part, Mapping) or kind.__name__ == "Record"
                raise _Refused(TypeError, kind.__name__ + ("; pass dict(row)" if row else ""))
        except _Refused as refused:
            if step is not _HERE:
                at = f".{_short(step)}{which}" if kind is dict else f"[{step}]"
                refused.place = at + refused.place
            raise

    try:
        check(value, 0)
    except _Refused as refused:
        place = refused.place.removeprefix(".")
        if len(place) > 200:
            place = f"{place[:100]} … {place[-100:]}"
        raise refused.error(
            f"{place or 'the value'}: {refused.reason}, would not come back as it was"
        ) from None


def _check_leaf(part: Any, kind: type, as_json: bool) -> None:
    if kind is float or kind is Decimal:
        if math.isnan(part) if kind is float else part.is_nan():
            raise _Refused(ValueError, "NaN, which equals nothing")
        if as_json and math.isinf(part):
            raise _Refused(ValueError, "infinity, which JSON has no word for")
    elif kind is int and as_json and part.bit_length() > 2000:
        raise _Refused(ValueError, "an int of more than 600 digits")  # Python reads no more than so
    elif kind is datetime and part.tzinfo is not None and type(part.tzinfo) is not timezone:
        zone = type(part.tzinfo).__name__
        raise _Refused(ValueError, f"datetime with a {zone}; convert it to UTC")


def _short(key: Any) -> str:
    """How a key is shown in a place: never longer than it helps."""
    return key[:40] if type(key) is str else f"<{type(key).__name__}>"
