"""The nodes of a cluster: which of them has a key, and a Sender, with its breaker, for each.

What a node suffers costs its own keys alone. Who has which slot is asked of the nodes themselves,
and asked again when one can't be used or sends a command elsewhere: redis-py would ask the one that
is silent, and wait. (Redis Cluster Specification: slots, MOVED and ASK.)
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.asyncio.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError

from cachepool_lib.redis_cache.batch import Asking, Budget, Command, NoReply
from cachepool_lib.redis_cache.breaker import State
from cachepool_lib.redis_cache.client import redact
from cachepool_lib.redis_cache.connections import Connections
from cachepool_lib.redis_cache.sender import AGAIN_SECONDS, Sender

SLOTS = 16_384
LEARN_SECONDS = 0.5  # from one question for who has which slot to the next
ASKED_AT_ONCE = 3  # nodes: one of them may be silent
MOST_REDIRECTS = 5  # of one command

Address = tuple[str, int]


class Shards(Asking):
    """Has commands sent by the node that has their key; the arguments are those of a Sender."""

    cluster = True

    def __init__(
        self,
        client: Any,
        *,
        timeout: float,
        most: int,
        probe: bytes,
        on_closed: Callable[[], None],
    ) -> None:
        self._client = client
        self._timeout, self._most, self._probe = timeout, most, probe
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._senders: dict[Address, Sender] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        # As they were given: behind such a name there may be other nodes another day.
        given = client.nodes_manager.startup_nodes.values()
        self._given: set[Address] = {(node.host, int(node.port)) for node in given}
        self._known: set[Address] = set()  # by their last answer
        self._waiting: list[Command] = []  # for the first answer to who has which slot
        self._learning: asyncio.Task[None] | None = None
        self._next_learn = 0.0
        self._failure: BaseException | None = None  # of the last question
        self._tasks: set[asyncio.Task[None]] = set()  # in which senders end
        self._closed = False
        self.circuit = Circuits(self._senders, self.learn, self._learn_soon)

    # -- for callers --------------------------------------------------------------------------

    def put(self, command: Command) -> "asyncio.Future[Any]":
        """Have a command sent; the future of its reply."""
        if self._closed:
            command.settle(NoReply())
        elif self._senders:
            self._route(command)
        elif self._failure is not None and self._loop.time() < self._next_learn:
            command.settle(NoReply(self._failure))
        else:
            self._waiting.append(command)
            self._learn_soon()
        return command.reply

    async def nodes(self, budget: Budget) -> list[Address]:
        """The primaries, for `ask`. Raises NoReply."""
        await self.ask(budget, "GET", self._probe)  # not asked before, nobody knows them
        return list(self._senders)

    async def connection(self, budget: Budget) -> Any:
        """One beside those that commands use, not connected yet: for a subscription.

        It leads to any node: what is published goes to all of them. Raises NoReply.
        """
        addresses = await self.nodes(budget)
        usable = [one for one in addresses if self._senders[one].circuit.state is State.CLOSED]
        return self._make_connection(random.choice(usable or addresses))

    async def close(self) -> None:
        """Take no more commands; wait until all are answered, or given up."""
        self._closed = True
        learning = self._learning
        while learning is not None and not learning.done():
            learning.cancel()  # again: before Python 3.12 redis-py's wait_for can lose it
            await asyncio.wait([learning], timeout=AGAIN_SECONDS)
        self._settle_waiting(NoReply())
        for sender in self._senders.values():
            await sender.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- who has a key ------------------------------------------------------------------------

    def _route(self, command: Command) -> None:
        address: Address | None = command.node or self._owner(command.args)
        sender = None if address is None else self._senders.get(address)
        if sender is None:
            command.settle(NoReply(ClusterDownError("no node of the cluster has this slot")))
            self._learn_soon()
            return
        if sender.circuit.state is not State.CLOSED:
            self._learn_soon()  # a replica may have taken over
        sender.put(command)

    def _owner(self, args: tuple[Any, ...]) -> Address | None:
        name = _key_of(args)
        if name is None:  # any will do
            return random.choice(list(self._senders))
        return self._owners[key_slot(name)]

    def _redirect(self, command: Command, error: Exception) -> bool:
        """Have *command* done where the reply *error* says, if it does. It was not done here."""
        if not isinstance(error, AskError) or command.redirects == MOST_REDIRECTS or self._closed:
            return False
        command.redirects += 1
        address = self._client.nodes_manager.remap_host_port(error.host, error.port)
        self._add(address)
        command.asking = not isinstance(error, MovedError)
        if not command.asking:
            self._owners[error.slot_id] = address
            self._learn_soon()
        self._senders[address].put(command)
        return True

    # -- learning it --------------------------------------------------------------------------

    def _learn_soon(self) -> None:
        if self._learning is None and not self._closed:
            self._learning = self._loop.create_task(self._learn_later())

    async def _learn_later(self) -> None:
        try:
            await asyncio.sleep(max(0, self._next_learn - self._loop.time()))
            await self.learn()
        except NoReply:
            pass
        finally:
            self._learning = None

    async def learn(self) -> None:
        """Ask who has which slot. Raises NoReply if no node says."""
        self._next_learn = self._loop.time() + LEARN_SECONDS
        usable = {a for a, one in self._senders.items() if one.circuit.state is State.CLOSED}
        known = self._known | self._given | usable
        addresses = sorted(known, key=lambda one: (one not in usable, random.random()))
        failure: BaseException | None = None
        while addresses and not self._closed:
            asked, addresses = addresses[:ASKED_AT_ONCE], addresses[ASKED_AT_ONCE:]
            said = await _first([self._slots_of(address) for address in asked])
            if not isinstance(said, BaseException):
                self._failure = None
                self._apply(said)
                return
            failure = said
        redact(failure)
        self._failure = failure or TimeoutError("no node of the cluster is known")
        self._settle_waiting(NoReply(self._failure))
        raise NoReply(self._failure)

    async def _slots_of(self, address: Address) -> list[tuple[int, int, list[Address]]]:
        """Ranges of slots, and who has each: the primary, then its replicas."""
        connection = self._make_connection(address)
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()
                await connection.send_command("CLUSTER", "SLOTS")
                reply = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        if not reply:
            raise ClusterDownError("no node of the cluster has any slots")
        return [
            (int(first), int(last), [self._address(node, address) for node in (primary, *replicas)])
            for first, last, primary, *replicas in reply
        ]

    def _address(self, node: list[Any], told_by: Address) -> Address:
        host = (node[0] or b"").decode()
        host = told_by[0] if host in ("", "?") else host  # a node that doesn't know its own name
        address: Address = self._client.nodes_manager.remap_host_port(host, int(node[1]))
        return address

    def _apply(self, ranges: list[tuple[int, int, list[Address]]]) -> None:
        before = list(self._owners)
        self._owners[:] = [None] * SLOTS
        self._known = {address for _, _, nodes in ranges for address in nodes}
        for first, last, (primary, *_) in ranges:
            self._owners[first : last + 1] = [primary] * (last + 1 - first)
            self._add(primary)
        for address in self._senders.keys() - set(self._owners):
            self._start(self._senders.pop(address).close())
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            self._route(command)
        if before != self._owners:
            self._on_closed()  # what one node could not do another may

    def _add(self, address: Address) -> None:
        if address not in self._senders:
            host, port = address
            self._senders[address] = Sender(
                Connections(partial(self._make_connection, address), apart=True),
                timeout=self._timeout,
                most=self._most,
                probe=self._probe,
                on_closed=self._on_closed,
                title=f"Redis at {host}:{port}",
                on_failed=self._learn_soon,
                redirect=self._redirect,
            )

    def _make_connection(self, address: Address) -> Any:
        node = ClusterNode(*address, **self._client.connection_kwargs)
        return node.connection_class(**node.connection_kwargs)

    def _settle_waiting(self, reply: NoReply) -> None:
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            command.settle(reply)

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Circuits:
    """Those of all nodes, as one: closed as long as one of them is."""

    def __init__(
        self,
        senders: dict[Address, Sender],
        learn: Callable[[], Any],
        learn_soon: Callable[[], None],
    ) -> None:
        self._senders, self._learn, self._learn_soon = senders, learn, learn_soon

    @property
    def state(self) -> State:
        states = [sender.circuit.state for sender in self._senders.values()]
        return State.CLOSED if State.CLOSED in states or not states else states[0]

    def start_check(self) -> None:
        """Begin the checks that are due."""
        for sender in self._senders.values():
            if sender.circuit.state is not State.CLOSED:
                self._learn_soon()
            sender.circuit.start_check()

    async def check_now(self) -> None:
        """Find out whether a node can be used. Raises NoReply."""
        await self._learn()
        checks = [one.circuit.check_now() for one in self._senders.values()]
        failures = await asyncio.gather(*checks, return_exceptions=True)
        if all(failures):
            raise failures[0]  # type: ignore[misc]


def _key_of(args: tuple[Any, ...]) -> bytes | None:
    """The first key of a command; None if it has none."""
    if args[0] == "EVAL":
        return args[3] if args[2] else None
    return args[1] if isinstance(args[1], bytes) else None


async def _first(calls: list[Any]) -> Any:
    """What the first of *calls* gives that succeeds, else an exception of one."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    failure: BaseException | None = None
    try:
        for next_one in asyncio.as_completed(tasks):
            try:
                return await next_one
            except Exception as error:  # of any kind, if what answers is no Redis
                failure = error
        return failure
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
