"""Clients of redis.asyncio: made from a URL without showing its password, and what errors mean."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

# With what a server says of itself, whatever is asked.
_OF_THE_SERVER = {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS"}
# redis-py takes the word away where it has a class for it; older ones have fewer classes.
_WORDS = {
    exceptions.ClusterCrossSlotError: "CROSSSLOT",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.MovedError: "MOVED",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
}
CLUSTER = "this is a node of a cluster: pass client=RedisCluster.from_url(…)"
_REMEDIES = {
    "MOVED": f"MOVED: {CLUSTER}",
    "READONLY": "READONLY: this is a replica: give the address of its primary",
}
# What redis-py puts before an error of a pipeline, and a server after one of a command that it
# doesn't know: a part of what was sent.
_REPEATED = re.compile(r"(?s)Command # .* of pipeline caused error: |, with args.*")


def word(error: BaseException | None) -> str:
    """What an error reply begins with, such as OOM; of any other error the name of its class."""
    for kind, text in _WORDS.items():
        if isinstance(error, kind):
            return text
    first = str(error).partition(" ")[0]
    return first if isinstance(error, ResponseError) and first.isupper() else type(error).__name__


def blames_server(error: BaseException) -> bool:
    """Does *error*, which redis-py raised or gave as a reply, concern whatever is asked?

    Else it is the fault of this command, its key or its value, and others are answered.
    """
    return not isinstance(error, ResponseError) or word(error) in _OF_THE_SERVER


def may_have_moved(reply: object) -> bool:
    """Does a server say with *reply* what one that has taken its place might not say?"""
    return isinstance(reply, ResponseError) and word(reply) in _OF_THE_SERVER | {"READONLY"}


def describe(error: BaseException) -> str:
    """What went wrong, and the remedy where there is one, for messages and the log."""
    text = f"{type(error).__name__}: {str(error) or 'no answer in time'}"
    return _REMEDIES.get(word(error), text)


def redact(error: BaseException | None) -> None:
    """Take out of *error* what it repeats of what was sent: a password, a key, a value."""
    while error is not None:
        error.args = tuple(
            _REPEATED.sub("", part) if isinstance(part, str) else part for part in error.args
        )
        error = error.__cause__


def client_maker(url: str, timeout: float) -> Callable[[], Any]:
    """A function that makes a client: unlike an attribute, it shows the password to nobody.

    Raises ValueError or TypeError for what can't work, before anything is connected.
    """

    def make() -> Any:
        # redis-py would try again, with pauses. The limit for a reply is ours: it would send with
        # asyncio.wait_for, which can lose a cancellation before Python 3.12. Servers before Redis 6
        # don't know the newer protocol.
        return redis.asyncio.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=timeout + 5,
        )

    with contextlib.suppress(ValueError, TypeError, AttributeError):
        # An @ after the host belongs to a password that has a / or the like in it: what stands
        # before that would be taken for the host, and logged.
        if not re.match(r"(?s)rediss?://[^/?#]*[/?#].*@", url):
            make().connection_pool.make_connection()  # connects to nothing yet
            return make
    # Outside of any `except`: what redis says of a bad URL may have the password in it.
    raise ValueError(
        "redis_url can't be read: expected redis://user:password@host:port/db, or rediss:// or "
        "unix://, with special characters of the password percent-encoded"
    )


def require_client(client: Any) -> None:
    """Raise TypeError or ValueError unless *client* is of use here."""
    if not isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
        raise TypeError(
            f"client must be a Redis or RedisCluster of redis.asyncio, got {type(client).__name__}"
        )
    if client.get_encoder().decode_responses:
        raise ValueError("the client must give bytes: make it without decode_responses")
