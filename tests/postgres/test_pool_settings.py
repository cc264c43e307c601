"""Settings that can't work, and hooks that fail: each is told as what it is."""

import asyncio
import ssl
from typing import Any

import asyncpg
import pytest

from cachepool_lib import DatabasePool, DatabaseUnavailable
from tests.tools.pool_tools import Hold, pool, timed, witness

pytestmark = pytest.mark.anyio

URL = "postgresql://user:s3cret@localhost:5432/shop"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ssl": "nonsense"}, ValueError, "ssl must be one of disable, allow, .*got 'nonsense'"),
        ({"ssl": 1.5}, TypeError, "ssl must be one of"),
        ({"target_session_attrs": "master"}, ValueError, "target_session_attrs must be one of any"),
        ({"password": 5}, TypeError, "password must be text or a function, got int"),
        ({"user": 5}, TypeError, "user must be text, got 5"),
        ({"database": b"shop"}, TypeError, "database must be text"),
        ({"server_settings": {"jit": False}}, TypeError, "server_settings must be a dict of text"),
        ({"connection_class": dict}, TypeError, "connection_class must be a Connection"),
        ({"record_class": "Record"}, ValueError, "record_class must be a Record"),
        ({"init": "SET jit = off"}, ValueError, "init must be a function"),
        ({"setup": 5}, TypeError, "setup must be a function"),
        ({"reset": 5}, TypeError, "reset must be a function"),
        ({"connect": 5}, TypeError, "connect must be a function"),
        ({"max_lifetime": -1}, ValueError, "max_lifetime must be 0 or more"),
        ({"max_queries": 0}, ValueError, "max_queries must be at least 1, got 0"),
        ({"max_inactive_connection_lifetime": -1}, ValueError, "must be 0 or more"),
        ({"timeout": 0}, ValueError, "timeout must be more than 0"),
        ({"statement_cache_size": -1}, ValueError, "statement_cache_size must be at least 0"),
        ({"name": 5}, TypeError, "name must be text, got 5"),
    ],
)
def test_a_setting_that_can_not_work_is_an_error_of_the_setting(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """At once, with its name, what was expected and what came; a password is not shown."""
    with pytest.raises(error, match=message) as told:
        DatabasePool(URL, **options)
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    "query", ["sslmode=nonsense", "target_session_attrs=master", "sslmode=require&sslmode=no"]
)
def test_so_is_one_in_the_address(query: str) -> None:
    """What stands behind the question mark is a setting, too."""
    with pytest.raises(ValueError, match="must be one of"):
        DatabasePool(f"{URL}?{query}")


@pytest.mark.parametrize(
    "options",
    [
        {"ssl": False},
        {"ssl": "verify_full"},
        {"ssl": ssl.create_default_context()},
        {"target_session_attrs": "prefer-standby"},
        {"password": lambda: "p"},
        {"server_settings": {"jit": "off"}},
        {"max_inactive_connection_lifetime": 0},
        {"init": None, "setup": None, "reset": None, "connect": None},
    ],
)
def test_what_asyncpg_takes_is_taken(options: dict[str, Any]) -> None:
    """Nothing is refused that would work."""
    DatabasePool(URL, **options)


async def test_a_setting_that_only_asyncpg_can_judge_is_no_failure_to_connect() -> None:
    """Its own ValueError comes as it is."""
    async with witness() as seen, pool(seen, 0, 2, ssl=None, direct_tls=True) as made:
        try:
            await made.fetchval("SELECT 1")
        except ValueError as error:
            assert not isinstance(error, DatabaseUnavailable)
        except DatabaseUnavailable:
            assert asyncpg.__version__ < "0.32"  # knows no such error


class Broken(Exception):
    pass


@pytest.mark.parametrize("hook", ["init", "setup"])
async def test_what_a_hook_raises_comes_as_it_is(hook: str) -> None:
    """To each caller one of its own, and to `initialize`; then the same pool works."""
    broken = True

    async def fail(connection: Any) -> None:
        if broken:
            raise Broken

    async with witness() as seen, pool(seen, 0, 2, **{hook: fail}) as made:
        outcomes = await asyncio.gather(*(timed(made.fetchval("SELECT 1")) for _ in range(5)))
        assert {type(outcome) for outcome, _ in outcomes} == {Broken}
        assert len({id(outcome) for outcome, _ in outcomes}) == 5
        if hook == "init":
            other = DatabasePool(seen.url, 2, 2, init=fail)
            with pytest.raises(Broken):
                await other.initialize()
            assert other.stats().size == 0
        broken = False
        async with Hold(made, 2):
            assert made.stats().size == 2


class Stop(BaseException):
    """Not an Exception: as of a framework that ends its tasks with one."""


@pytest.mark.parametrize("hook", ["init", "setup", "reset"])
async def test_no_exception_of_a_hook_costs_the_pool_a_connection(hook: str) -> None:
    """Whatever it is: afterwards all can be had."""
    broken = True

    async def fail(connection: Any) -> None:
        if broken:
            raise Stop

    async with witness() as seen, pool(seen, 0, 2, **{hook: fail}) as made:
        for _ in range(4):
            try:
                async with made.acquire() as connection:
                    await connection.fetchval("SELECT 1")
            except Stop:
                pass
        broken = False
        async with Hold(made, 2):
            assert (made.stats().size, made.stats().in_use) == (2, 2)
        await seen.count(2)
