"""What a pool was told when it was made: looked at then, since a mistake shows best where it is."""

import inspect
import math
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from cachepool_lib._validate import Seconds, seconds, span, whole
from cachepool_lib.postgres.session import pooled

_URL = re.compile(
    r"postgres(ql)?://(?P<user>[^/?#@]*@)?"
    r"(\[[^\]]*\]|[^/?#@,:\[\]]*)(:\d*)?(,(\[[^\]]*\]|[^/?#@,:\[\]]*)(:\d*)?)*"
    r"(?P<rest>([/?].*)?)"
)
_SSL = "disable", "allow", "prefer", "require", "verify-ca", "verify-full"
_SERVERS = "any", "primary", "standby", "read-write", "read-only", "prefer-standby"
_OPTIONS = {
    name
    for function in (asyncpg.connect, asyncpg.create_pool)
    for name in inspect.signature(function).parameters
} - {"dsn", "loop", "min_size", "max_size", "init_size", "command_timeout", "connect_kwargs"}


class Settings:
    """All that stays as it is for the life of a pool."""

    def __init__(
        self,
        url: str,
        min_size: int,
        max_size: int,
        acquire_timeout: Seconds,
        max_waiting: int | None,
        command_timeout: Seconds | None,
        max_lifetime: Seconds | None,
        name: str,
        options: dict[str, Any],
    ) -> None:
        for option in options.keys() - _OPTIONS:
            raise TypeError(f"asyncpg knows no option {option!r}")
        for option, value in (_parameters(url) | options | {"name": name}).items():
            if value is not None:
                _check(option, value)
        for option in "statement_cache_size", "max_cacheable_statement_size":
            whole(option, options.get(option, 0), least=0)
        seconds("max_cached_statement_lifetime", options.get("max_cached_statement_lifetime", 0))
        span("timeout", options.get("timeout", 1))
        self.min_size = whole("min_size", min_size, least=0)
        self.max_size = whole("max_size", max_size)
        if min_size > max_size:
            raise ValueError(f"min_size must be at most max_size={max_size}, got {min_size}")
        self.acquire_timeout = span("acquire_timeout", acquire_timeout)
        self.max_waiting = self.command_timeout = self.max_lifetime = math.inf
        if max_waiting is not None:
            self.max_waiting = whole("max_waiting", max_waiting, least=0)
        if command_timeout is not None:
            self.command_timeout = span("command_timeout", command_timeout)
        if max_lifetime is not None:
            self.max_lifetime = seconds("max_lifetime", max_lifetime)
        idle = "max_inactive_connection_lifetime"
        self.max_idle = seconds(idle, options.pop(idle, 300)) or math.inf
        self.max_borrowings = whole("max_queries", options.pop("max_queries", 50_000))
        self.init, self.setup, self.reset = (
            options.pop(hook, None) for hook in ("init", "setup", "reset")
        )
        self.prepares = options.get("statement_cache_size") != 0
        self.name, self.label = name, f"DatabasePool {name}".rstrip()  # the label is for logs
        self.connect = self._connecting(url, {"timeout": self.acquire_timeout} | options)

    @staticmethod
    def _connecting(url: str, options: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
        """A function that connects: unlike an attribute, it shows no password."""
        connect = options.pop("connect", None) or asyncpg.connect
        kind = pooled(options.pop("connection_class", asyncpg.Connection))
        return lambda: connect(url, connection_class=kind, **options)


def _parameters(url: object) -> dict[str, str]:
    """What stands behind the question mark of *url*.

    Raises ValueError if asyncpg could not read the address: asyncpg's own errors show parts of it,
    and so of the password.
    """
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is not None and (match["user"] is not None or "@" not in match["rest"]):
        try:
            query = urlsplit(match[0]).query
            found = parse_qs(query, strict_parsing=True) if query else {}
            return {name: values[-1] for name, values in found.items()}
        except ValueError:
            pass
    raise ValueError(
        "database_url can't be read: expected postgresql://user:password@host:port/database, "
        "with special characters of the password percent-encoded"
    )


def _check(name: str, value: Any) -> None:
    """Raise what asyncpg would complain of when it connects."""
    text, got = isinstance(value, str), repr(value)
    fits, expected = True, ""
    match name:
        case "ssl" | "sslmode":
            fits = _is_one_of(_SSL, value) or isinstance(value, bool | ssl.SSLContext)
            expected = f"one of {', '.join(_SSL)}"
        case "target_session_attrs":
            fits, expected = _is_one_of(_SERVERS, value), f"one of {', '.join(_SERVERS)}"
        case "user" | "name" | "database":
            fits, expected = text, "text"
        case "password":
            fits, expected, got = (
                text or callable(value),
                "text or a function",
                type(value).__name__,
            )
        case "server_settings":
            expected = "a dict of text"
            fits = isinstance(value, dict) and all(
                isinstance(each, str) for each in [*value, *value.values()]
            )
        case "connection_class" | "record_class":
            base = asyncpg.Record if name == "record_class" else asyncpg.Connection
            fits = inspect.isclass(value) and issubclass(value, base)
            expected = f"a {base.__name__}"
        case "init" | "setup" | "reset" | "connect":
            fits, expected = callable(value), "a function"
    if not fits:
        raise (ValueError if text else TypeError)(f"{name} must be {expected}, got {got}")


def _is_one_of(names: tuple[str, ...], value: Any) -> bool:
    return isinstance(value, str) and value.replace("_", "-") in names
