"""How values become bytes in Redis, and values again: equal and of the same type, or not at all.

What can't come back as it was is refused before anything is stored, with its place in the value.
Neither serializer runs code that the bytes ask for, as pickle does.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn, Protocol
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

    def encode(self, value: Any) -> bytes:
        """The JSON of *value*, as UTF-8.

        TypeError or ValueError, with the place in *value*, for what would not come back equal.
        """
        _check(value, as_json=True)
        return _TO_JSON.encode(value).encode("utf-8", "surrogatepass")

    def decode(self, data: bytes) -> Any:
        """The value again. ValueError for what is not the JSON of one value."""
        text = data.decode("utf-8", "surrogatepass")
        value, end = _FROM_JSON.raw_decode(text)  # its `decode` looks for blanks on both sides
        if end != len(text):
            raise ValueError("there is more than one value")
        return value


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

    def encode(self, value: Any) -> bytes:
        """*value* as msgpack, with types of our own for what msgpack does not know.

        TypeError or ValueError, with the place in *value*, for what would not come back equal.
        """
        _check(value, as_json=False)
        packed: bytes = msgpack.packb(
            value, default=_extend, strict_types=True, unicode_errors="surrogatepass"
        )
        return packed

    def decode(self, data: bytes) -> Any:
        """The value again. Raises some Exception for bytes that `encode` has not made."""
        return msgpack.unpackb(
            data,
            ext_hook=lambda code, body: _KINDS[code] if code in _KINDS else _DECODERS[code](body),
            list_hook=_unmark,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )


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
    date: (5, lambda day: day.isoformat().encode(), lambda data: date.fromisoformat(data.decode())),
    Decimal: (6, lambda value: str(value).encode(), lambda data: Decimal(data.decode())),
    UUID: (7, lambda value: value.bytes, lambda data: UUID(bytes=data)),
    int: (8, lambda value: b"%x" % value, lambda data: int(data, 16)),  # more than 64 bits
}
# These are lists that begin with a mark. (An extension with the items in it would call msgpack
# inside of msgpack, 40 kB of the C stack each: bytes made for it could crash the process.)
_MARKS: dict[type, int] = {tuple: 1, set: 2, frozenset: 3}
_KINDS = {code: kind for kind, code in _MARKS.items()}
_DECODERS = {code: decode for code, _, decode in _EXTENSIONS.values()}


def _extend(value: Any) -> Any:
    kind = type(value)
    if kind in _MARKS:
        return [msgpack.ExtType(_MARKS[kind], b""), *value]
    code, encode, _ = _EXTENSIONS[kind]
    return msgpack.ExtType(code, encode(value))


def _unmark(items: list[Any]) -> Any:
    return items[0](items[1:]) if items and type(items[0]) is type else items


DEEPEST = 100  # so that nothing is stored that can't be read where the stack is nearly used up
_JSON_LEAVES = frozenset({type(None), bool, int, float, str})
_LEAVES = _JSON_LEAVES | {bytes, datetime, date, Decimal, UUID}
_SEQUENCES = frozenset({list, tuple, set, frozenset})


class _Fault(NamedTuple):
    """Why a value would not come back."""

    error: type[Exception]
    reason: str
    place: str = ""  # put together on the way up, so that a good value pays nothing for it


def _check(value: Any, *, as_json: bool) -> None:
    """Raise TypeError or ValueError for the first part of *value* that would not come back."""
    if fault := _find_fault(value, as_json):
        place = fault.place.removeprefix(".") or "the value"
        if len(place) > 200:
            place = f"{place[:100]} … {place[-100:]}"
        raise fault.error(f"{place}: {fault.reason}, would not come back as it was")


def _find_fault(part: Any, as_json: bool, depth: int = 0) -> _Fault | None:
    kind = type(part)
    if kind in (_JSON_LEAVES if as_json else _LEAVES):
        reason = _leaf_fault(part, kind, as_json)
        return _Fault(ValueError, reason) if reason else None
    if depth > DEEPEST:
        return _Fault(ValueError, "a value that is nested too deeply, or contains itself")
    if kind is dict:
        for key in part:
            if type(key) is str:
                continue
            if as_json:
                fault: _Fault | None = _Fault(TypeError, type(key).__name__)
            else:
                fault = _find_fault(key, as_json, depth + 1)
            if fault:
                return fault._replace(place=f".{_short(key)} (its key){fault.place}")
    elif kind is not list and (as_json or kind not in _SEQUENCES):
        row = isinstance(part, Mapping) or kind.__name__ == "Record"
        return _Fault(TypeError, kind.__name__ + ("; pass dict(row)" if row else ""))
    for step, item in part.items() if kind is dict else enumerate(part):
        # What is found most needs no call.
        if type(item) is str or (type(item) is int and abs(item) <= 2**62):
            continue
        if fault := _find_fault(item, as_json, depth + 1):
            at = f".{_short(step)}" if kind is dict else f"[{step}]"
            return fault._replace(place=at + fault.place)
    return None


def _leaf_fault(part: Any, kind: type, as_json: bool) -> str:
    if (kind is float and math.isnan(part)) or (kind is Decimal and part.is_nan()):
        return "NaN, which equals nothing"
    if as_json and kind is float and math.isinf(part):
        return "infinity, which JSON has no word for"
    if as_json and kind is int and part.bit_length() > 2000:
        return "an int of more than 600 digits"  # Python reads no more than so
    if kind is datetime and part.tzinfo is not None and type(part.tzinfo) is not timezone:
        return f"datetime with a {type(part.tzinfo).__name__}; convert it to UTC"
    return ""


def _short(key: Any) -> str:
    """How a key is shown in a place: never longer than it helps."""
    return key[:40] if type(key) is str else f"<{type(key).__name__}>"
