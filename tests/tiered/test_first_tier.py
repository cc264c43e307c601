"""What is kept in memory, and what a message takes out of it, or keeps from coming in."""

import pytest

from cachepool_lib import AsyncCache
from cachepool_lib.loading import LoadOptions
from cachepool_lib.tiered.first_tier import VERSIONS, FirstTier
from tests.tools.async_cache_tools import ManualClock

NAME, OTHER = b"n:{a}", b"n:{b}"
WINDOWS = LoadOptions(None, stale_while_revalidate=60)


class Memory:
    """A first tier, with a clock to move."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.l1 = AsyncCache(clock=self.clock)
        self.first = FirstTier(self.l1, 30)

    def keep(self, value: object, left: float = 300, version: int | None = None) -> None:
        told = self.first.version(NAME) if version is None else version
        self.first.keep(NAME, "a", value, left, self.clock(), told, WINDOWS)

    @property
    def held(self) -> object:
        return self.l1.lookup("a")

    def write(self) -> tuple[int, bytes]:
        """A write of ours begins: its number, and the message that will come of it."""
        number = self.first.begin(NAME)
        return number, self.first.origin(number) + b" " + NAME


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.mark.parametrize(
    "message",
    [
        *(b" n:{a}", b"other.1.2 n:{a}", b" n:{", b" n:{a"),
        *(b" n:{b} n:{a}", b"other.1.1 n:{a}other.1.2 n:{b}", b"other.1.2 n:{b} n:{a}"),
    ],
)
def test_a_message_takes_out_what_it_names(memory: Memory, message: bytes) -> None:
    """Names, or a beginning of names; whoever wrote it, or nobody told."""
    memory.keep("old")
    memory.first.hear(message)
    assert memory.held is None
    assert len(memory.l1.store) == 0


@pytest.mark.parametrize("message", [b" n:{b}", b" n:{ab", b" n:{a:b}", b" n:{b} n:{c}"])
def test_another_name_stays(memory: Memory, message: bytes) -> None:
    memory.keep("old")
    memory.first.hear(message)
    assert memory.held == "old"


@pytest.mark.parametrize("message", [b"other.1.2 n:{a}", b" n:{", b" n:{a"])
def test_what_was_asked_for_before_the_message_is_not_kept_after_it(
    memory: Memory, message: bytes
) -> None:
    """A reader has the old value, a message comes, and only then the reader wants to keep it."""
    version = memory.first.version(NAME)
    memory.first.hear(message)
    memory.keep("old", version=version)
    assert memory.held is None


def test_doubt_leaves_nothing_fresh(memory: Memory) -> None:
    """What has a stale window stays for that; and what is on its way is not kept."""
    memory.keep("old")
    memory.first.keep(OTHER, "b", "old", 300, memory.clock(), memory.first.version(OTHER))
    version = memory.first.version(NAME)
    memory.first.doubt()
    assert memory.held is None
    assert len(memory.l1.store) == 1
    memory.keep("old", version=version)
    assert memory.held is None


def test_nothing_is_fresh_for_longer_than_in_redis(memory: Memory) -> None:
    """Counted from when it was asked for: so the way of the reply is taken off."""
    asked_at = memory.clock()
    memory.clock.now += 2
    memory.first.keep(NAME, "a", "v", 5, asked_at, memory.first.version(NAME))
    memory.clock.now += 2.9
    assert memory.held == "v"
    memory.clock.now += 0.1
    assert memory.held is None


@pytest.mark.parametrize("left", [300, float("inf")])
def test_nothing_is_fresh_for_longer_than_l1_ttl(memory: Memory, left: float) -> None:
    memory.keep("v", left)
    memory.clock.now += 29.9
    assert memory.held == "v"
    memory.clock.now += 0.1
    assert memory.held is None


def test_our_own_message_leaves_our_value(memory: Memory) -> None:
    """Whether it comes before the reply or after it."""
    number, message = memory.write()
    version = memory.first.end(NAME, number, confirmed=True)
    memory.keep("mine", version=version)
    memory.first.hear(message)
    assert memory.held == "mine"
    number, message = memory.write()
    memory.first.hear(message)
    memory.keep("newer", version=memory.first.end(NAME, number, confirmed=True))
    assert memory.held == "newer"
    number, message = memory.write()
    memory.first.hear(b" n:{b}" + message)
    memory.keep("newest", version=memory.first.end(NAME, number, confirmed=True))
    assert memory.held == "newest"


def test_the_message_of_a_fork_is_not_our_own(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began as a copy of us."""
    number, _ = memory.write()
    memory.keep("mine", version=memory.first.end(NAME, number, confirmed=True))
    with monkeypatch.context() as forked:
        forked.setattr("os.getpid", lambda: -1)
        message = memory.first.origin(number) + b" " + NAME
    memory.first.hear(message)
    assert memory.held is None


@pytest.mark.parametrize("replies", [(0, 1), (1, 0)])
@pytest.mark.parametrize("messages", [(0, 1), (1, 0)])
@pytest.mark.parametrize("heard_first", [0, 1, 2])
def test_of_two_writes_at_once_none_stays_that_redis_did_not_do_last(
    memory: Memory, replies: tuple[int, int], messages: tuple[int, int], heard_first: int
) -> None:
    """Messages come in the order in which Redis did the writes; replies come in any order."""
    writes = [memory.write(), memory.write()]
    for one in messages[:heard_first]:
        memory.first.hear(writes[one][1])
    for one in replies:
        version = memory.first.end(NAME, writes[one][0], confirmed=True)
        memory.keep(one, version=version)
    for one in messages[heard_first:]:
        memory.first.hear(writes[one][1])
    assert memory.held in (None, messages[-1])


def test_who_reads_while_a_write_is_under_way_keeps_nothing_after_it(memory: Memory) -> None:
    """It may have read what was there before; the reply to the write came first."""
    number, message = memory.write()
    version = memory.first.version(NAME)
    memory.keep("new", version=memory.first.end(NAME, number, confirmed=True))
    memory.keep("old", version=version)
    memory.first.hear(message)
    assert memory.held == "new"


def test_a_write_that_was_not_confirmed_may_still_come(memory: Memory) -> None:
    """Who reads after it was given up may read what was before it: its message is obeyed."""
    number, message = memory.write()
    version = memory.first.end(NAME, number, confirmed=False)
    memory.keep("lost", version=version)
    assert memory.held is None
    memory.keep("before it")
    memory.first.hear(message)
    assert memory.held is None


def test_names_take_no_more_room_than_entries(memory: Memory) -> None:
    """What S3-FIFO lets go is forgotten by name, too."""
    for number in range(20_000):
        name = b"n:{%d}" % number
        memory.first.keep(name, number, "v", 300, memory.clock(), memory.first.version(name))
    assert len(memory.l1.store) == 1024
    assert len(vars(memory.first)["_keys"]) <= 2 * 1024 + VERSIONS + 1
