"""Addresses of the learner's own servers: whole for everybody who takes them apart, or refused."""

import getpass

import pytest

from cachepool_lib.lab.servers import addresses
from cachepool_lib.lab.servers.provider import BadSetting

USER = getpass.getuser()


@pytest.mark.parametrize(
    ("name", "given", "whole"),
    [
        ("REDIS", "redis://localhost", "redis://localhost:6379/0"),
        ("REDIS", "REDIS://LocalHost/3", "redis://localhost:6379/3"),
        ("REDIS", "redis://[::1]", "redis://[::1]:6379/0"),
        ("REDIS", "redis://:p%40ss@h:7", "redis://:p%40ss@h:7/0"),
        ("REDIS", "redis://:p@ss@h:7", "redis://:p%40ss@h:7/0"),
        ("REDIS", "redis://100%:x@h", "redis://100%25:x@h:6379/0"),
        ("REDIS", "redis://h?db=3&username=u&password=x%40y", "redis://u:x%40y@h:6379/3"),
        ("REDIS", "redis://h/2?db=3", "redis://h:6379/3"),
        ("DATABASE", "postgresql://h", f"postgresql://{USER}@h:5432/{USER}"),
        ("DATABASE", "postgres://u:p@h/", "postgresql://u:p@h:5432/u"),
        ("DATABASE", "postgresql:///d?host=h&port=7&user=u&password=p", "postgresql://u:p@h:7/d"),
        ("DATABASE", "postgresql://u:p@[::1]/my%20db", "postgresql://u:p@[::1]:5432/my%20db"),
        (
            "DATABASE",
            "postgresql://u:p@h/d?sslmode=require",
            "postgresql://u:p@h:5432/d?sslmode=require",
        ),
    ],
)
def test_what_is_left_out_is_filled_in(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, whole: str
) -> None:
    """Scheme, user, host, port and database stand where everybody looks for them."""
    monkeypatch.delenv("CACHEPOOL_SERVICES", raising=False)
    for other in ("REDIS", "DATABASE"):
        monkeypatch.setenv(f"CACHEPOOL_{other}_URL", f" {given}\n" if other == name else " ")
    assert addresses.given_addresses() == {name: whole}
    monkeypatch.setenv(f"CACHEPOOL_{name}_URL", whole)
    assert addresses.given_addresses() == {name: whole}


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("REDIS", "localhost:6379", "is no address"),
        ("REDIS", "http://h:6379", "is no address"),
        ("REDIS", "rediss://:secret@h", "TLS"),
        ("REDIS", "unix:///run/redis.sock", "Unix socket"),
        ("REDIS", "redis://", "names no host"),
        ("REDIS", "redis://:secret@:6379", "names no host"),
        ("REDIS", "redis://h/secret", "a database that is no number"),
        ("REDIS", "redis://h:0", "1 to 65535"),
        ("REDIS", "redis://:pw@h:secret", "can't be read"),
        ("REDIS", "redis://:sec#ret@h", "can't be read"),
        ("REDIS", "redis://:sec?ret@h", "can't be read"),
        ("REDIS", "redis://:sec/ret@h", "can't be read"),
        ("REDIS", "redis://:sec[ret@h", "can't be read"),
        ("REDIS", "redis://:sec ret@h", "a blank"),
        ("REDIS", "redis://h?decode_responses=True", "?decode_responses"),
        ("DATABASE", "host=h user=u password=secret", "is no address"),
        ("DATABASE", "postgresql+asyncpg://u:secret@h/d", "is no address"),
        ("DATABASE", "postgresql:///d?host=/run/postgresql", "Unix socket"),
        ("DATABASE", "postgresql://u@%2Frun%2Fpostgresql/d", "Unix socket"),
        ("DATABASE", "postgresql:///d", "names no host"),
        ("DATABASE", "postgresql://u:secret@h1,h2:5433/d", "several hosts"),
        ("DATABASE", "postgresql:///d?host=h1,h2", "several hosts"),
        ("DATABASE", "postgresql://u:secret@h/d?sslmode=verify-full", "another sslmode"),
        ("DATABASE", "postgresql://u:secret@h/d?connect_timeout=3", "?connect_timeout"),
    ],
)
def test_what_can_not_work_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, words: str
) -> None:
    """The message names the variable, what is wrong and what was expected, and shows no secret."""
    monkeypatch.delenv("CACHEPOOL_SERVICES", raising=False)
    monkeypatch.setenv(f"CACHEPOOL_{name}_URL", given)
    with pytest.raises(BadSetting) as refused:
        addresses.given_addresses()
    first, second = str(refused.value).splitlines()
    assert first.startswith(f"CACHEPOOL_{name}_URL ") and words in first
    assert first.endswith(f"expected {addresses.SHAPES[name]}.")
    assert len(f"ServicesError: {first}") <= 200
    assert "unset it" in second
    for secret in ("secret", "sec", "ret@"):
        assert secret not in str(refused.value)


def test_a_system_without_a_name_for_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing says who the user is, the address has to."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(ValueError, match="names no user"):
        addresses.whole("DATABASE", "postgresql://h/d")
