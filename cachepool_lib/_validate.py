"""Checks of arguments that several classes take."""

import math
from datetime import timedelta

Seconds = float | timedelta


def number(name: str, value: object) -> float:
    """*value* as a number, 0 or more. Raises TypeError or ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not value >= 0:  # NaN fails every comparison, so ask for what is wanted
        raise ValueError(f"{name} must be 0 or more, got {value!r}")
    return value


def seconds(name: str, value: object) -> float:
    """*value*, a number or a timedelta, as seconds, 0 or more; `math.inf` is allowed."""
    if type(value) is int and value >= 0:  # most are: each miss asks four times
        return value
    return number(name, value.total_seconds() if isinstance(value, timedelta) else value)


def fraction(name: str, value: object) -> float:
    """*value* as a number from 0 up to, but not including, 1."""
    if number(name, value) >= 1:
        raise ValueError(f"{name} must be less than 1, got {value!r}")
    return number(name, value)


def whole(name: str, value: object, least: int = 1) -> int:
    """*value* as a whole number, *least* or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return value


def span(name: str, value: object) -> float:
    """*value* as seconds, more than 0, and not for ever."""
    length = seconds(name, value)
    if not 0 < length < math.inf:
        raise ValueError(f"{name} must be more than 0 and not infinite, got {value!r}")
    return length
