"""The addresses of the learner's own servers: made whole where they are read, or refused.

Whatever takes one apart finds each part in one place. The lab stands between clients and servers
with proxies of its own, over TCP: so an address has a host and a port, and its server is spoken to
without TLS, or without a look at its certificate.
"""

from __future__ import annotations

import getpass
import os
import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cachepool_lib.lab.servers.provider import BadSetting, forced

SHAPES = {
    "REDIS": "redis://user:password@host:port/number",
    "DATABASE": "postgresql://user:password@host:port/database",
}
SCHEMES = {"REDIS": ["redis"], "DATABASE": ["postgresql", "postgres"]}
PORTS = {"REDIS": 6379, "DATABASE": 5432}
# What may stand behind the question mark: parts of the address that have their place before it.
PARTS = {
    "REDIS": {"username", "password", "db"},
    "DATABASE": {"user", "password", "host", "port", "dbname", "database", "sslmode"},
}
SSLMODES = ("disable", "allow", "prefer", "require")  # the others look at the certificate
UNREADABLE = "can't be read: / ? # % @ [ ] in a password are percent-encoded, a port is a number"
A_SOCKET = "names a Unix socket, and the course needs host and port"
HELP = "Correct it, or unset it: then the lab runs its own servers"


def given_addresses() -> dict[str, str]:
    """The addresses in the environment that count: none where CACHEPOOL_SERVICES forces a kind.

    Each with user, host, port and database, even where the variable leaves them out. Raises
    BadSetting for one that can't be used.
    """
    names = [] if forced() else list(SHAPES)
    urls = {name: os.environ.get(f"CACHEPOOL_{name}_URL", "").strip() for name in names}
    return {name: _told(name, url) for name, url in urls.items() if url}


def _told(name: str, url: str) -> str:
    try:
        return whole(name, url)
    except ValueError as error:
        # Not the address: where it can't be read, nobody knows which part is the password.
        what = f"CACHEPOOL_{name}_URL {error}; expected {SHAPES[name]}"
        raise BadSetting(f"{what}.\n{HELP}") from None


def whole(name: str, url: str) -> str:
    """The same address with all its parts. Raises ValueError with what is wrong, without secrets.

    A user that is left out is that of the system, as for psql, and a database that of the user.
    """
    scheme, colon, _ = url.lower().partition("://")
    if scheme == "unix":
        raise ValueError(A_SOCKET)
    if scheme == "rediss":
        raise ValueError("asks for TLS, and the course stands in between with a proxy")
    if not colon or scheme not in SCHEMES[name]:
        raise ValueError("is no address")
    if re.search(r"\s|[^\x21-\U0010ffff]", url):  # which urlsplit would leave out
        raise ValueError("has a blank in it; in a password that is %20")
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=True) if parts.query else [])
    except ValueError:  # which says what it could not read
        raise ValueError(UNREADABLE) from None
    if "#" in url or "@" in parts.path + parts.query:
        raise ValueError(UNREADABLE)
    if unknown := sorted(set(options) - PARTS[name]):
        raise ValueError(f"has ?{unknown[0]}, which the course can't do with")
    if options.get("sslmode", "prefer") not in SSLMODES:
        raise ValueError(f"has another sslmode than {', '.join(SSLMODES)}")
    server = parts.netloc.rpartition("@")[2] or options.get("host", "")
    if "," in server:
        raise ValueError("names several hosts, and the course needs one")
    if "/" in server or "%2f" in server.lower() or server.startswith("@"):
        raise ValueError(A_SOCKET)
    try:
        place = urlsplit(f"//{server}")
        port = place.port
        if port is None:
            port = int(options.get("port", PORTS[name]))
    except ValueError:
        raise ValueError(UNREADABLE) from None
    host = place.hostname
    if not host or "%" in host:
        raise ValueError("names no host")
    if not 0 < port < 65_536:
        raise ValueError("has a port that is no number from 1 to 65535")
    user = unquote(parts.username or "") or options.get("user") or options.get("username") or ""
    password = unquote(parts.password or "") or options.get("password", "")
    path = unquote(parts.path).removeprefix("/")
    if name == "REDIS":
        database = options.get("db", path) or "0"  # redis-py takes them in this order
        if not re.fullmatch("[0-9]{1,9}", database):
            raise ValueError("has a database that is no number")
    else:
        user = user or _system_user()
        database = quote(path or options.get("dbname") or options.get("database") or user)
    at = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    host = f"[{host}]" if ":" in host else host
    query = f"?sslmode={options['sslmode']}" if "sslmode" in options else ""
    return f"{SCHEMES[name][0]}://{at and at + '@'}{host}:{port}/{database}{query}"


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        raise ValueError("names no user, and the system has no name for this one") from None
