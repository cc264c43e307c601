"""Listens for changes that others publish: a task and a connection for each event loop in use."""

import asyncio
import contextlib
import logging
from typing import Any

from cachepool_lib.redis_cache.batch import NoReply
from cachepool_lib.redis_cache.client import describe, redact, word
from cachepool_lib.redis_cache.session import Session
from cachepool_lib.tiered.first_tier import FirstTier

logger = logging.getLogger("cachepool_lib")

SILENT_SECONDS = 1.0  # after which the server is asked whether it is there; and for its answer
AGAIN_SECONDS = 0.02  # after which a subscription that was lost is made anew
PAUSE_SECONDS = 0.5  # from one attempt to subscribe to the next
LONG_PAUSE_SECONDS = 10.0  # the same where the user of Redis may not


class Subscriber:
    """Tells *first* what is published, for as long as it is open, and when messages were lost."""

    def __init__(self, session: Session, first: FirstTier) -> None:
        self._session, self._first = session, first
        self._channel = session.settings.namespace.channel
        self._loop = asyncio.get_running_loop()
        self._subscribed = self._told = False
        self._waiters: list[asyncio.Future[Exception | None]] = []
        self._hurry = asyncio.Event()
        self._task = self._loop.create_task(self._run())

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def connect(self) -> None:
        """Wait until messages can come. Raises what prevents it."""
        if not self._subscribed:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            self._hurry.set()
            error = await waiter
            if error is not None:
                raise error

    async def close(self) -> None:
        """End the task, and its connection."""
        while not self._task.done():
            self._task.cancel()
            # Again: before Python 3.12 asyncio.wait_for, in redis-py, can lose a cancellation.
            await asyncio.wait([self._task], timeout=AGAIN_SECONDS)
        self._answer(ConnectionError("closed meanwhile"))

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # of any kind, if what answers is no Redis
                redact(error)
                if self._subscribed:
                    pause = AGAIN_SECONDS  # a connection that dies is no outage
                else:
                    pause = LONG_PAUSE_SECONDS if word(error) == "NOPERM" else PAUSE_SECONDS
                    await self._failed(error)
                self._subscribed = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            self._hurry.clear()

    async def _listen(self) -> None:
        """Subscribe, and tell what comes. Raises what ends it."""
        connection = await self._session.sender.connection(self._session.budget())
        try:
            async with asyncio.timeout(SILENT_SECONDS + self._session.settings.timeout):
                await connection.connect()
                await _send(connection, "SUBSCRIBE", self._channel)
                await connection.read_response(push_request=True)
            self._begin()
            asked = False
            while True:
                told = await connection.read_response(timeout=SILENT_SECONDS, push_request=True)
                if told is not None:
                    asked = False
                    if isinstance(told, list) and told[0] == b"message":
                        self._first.hear(told[2])
                elif asked:
                    raise TimeoutError(f"no answer within {SILENT_SECONDS:g} s")
                else:
                    asked = True
                    await _send(connection, "PING")
        finally:
            await connection.disconnect(nowait=True)

    def _begin(self) -> None:
        """From now on messages come; those before were lost."""
        self._first.doubt()
        self._subscribed, self._told = True, False
        self._answer(None)

    async def _failed(self, error: Exception) -> None:
        self._answer(error)
        if self._told:
            return
        try:  # an outage of Redis itself has its own line in the log
            await self._session.sender.ask(self._session.budget(), "GET", self._channel)
        except NoReply:
            return
        self._told = True
        logger.warning(
            "no messages come from Redis (%s): what other processes change is noticed when l1_ttl "
            "ends",
            describe(error),
        )

    def _answer(self, error: Exception | None) -> None:
        for waiter in self._waiters:
            if not waiter.done():  # its caller may have left
                waiter.set_result(error)
        self._waiters.clear()


async def _send(connection: Any, *command: Any) -> None:
    """Without redis-py's check of the connection, whose reply would be a message here."""
    await connection.send_packed_command(connection.pack_command(*command), check_health=False)
