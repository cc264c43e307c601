"""What keeping the answers of a function brings: the seconds it saves, and the room it takes."""

from dataclasses import dataclass

from cachepool_lib.lab.simulation.traffic import Traffic, traffic
from cachepool_lib.lab.simulation.twin import twin


@dataclass(frozen=True)
class Calls:
    """How a function is called: what a call takes, how many come, and what its answer takes.

    *keys* is how many different calls there are, popular ones more often (Zipf); None: each call is
    another one. *kb* is what an entry with such an answer takes in memory, in kB.
    """

    seconds: float
    rate: float
    keys: int | None
    kb: float


@dataclass(frozen=True, repr=False)
class Worth:
    """What a cache brings: its hit rate, the seconds of work saved a second, and its room in MB."""

    hit_rate: float
    saved: float
    megabytes: float

    def __repr__(self) -> str:
        saved, room = f"{self.saved:.2g} s saved a second", f"{self.megabytes:.2g} MB"
        return f"hit rate {self.hit_rate:.2f}, {saved}, {room}"


def worth(calls: Calls, *, ttl: float) -> Worth:
    """What a cache of *ttl* seconds with room for all brings, in simulated time.

    Runs for ten minutes, or for a thousand calls where they are rare. A hit saves what a call
    takes.
    """
    seconds = max(600.0, 1000 / calls.rate)
    came = traffic(calls.rate, calls.keys or 1, seconds)
    if calls.keys is None:
        came = Traffic(came.times, range(len(came)))
    run = twin(came, ttl=ttl, maxsize=None, load_seconds=calls.seconds)
    held = sum(load.end > seconds - ttl for load in run.loads)  # not yet expired at the end
    saved = run.hit_rate * calls.rate * calls.seconds
    return Worth(run.hit_rate, saved, held * calls.kb / 1000)
