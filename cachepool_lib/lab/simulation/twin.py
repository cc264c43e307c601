"""What a replay would find, by other means: quicker for sliders, or by theory."""

from collections import Counter, deque

from cachepool_lib.lab.simulation.database import Query
from cachepool_lib.lab.simulation.replay import Replay
from cachepool_lib.lab.simulation.traffic import Traffic
from cachepool_lib.memory.store import Store


def twin(
    traffic: Traffic, *, ttl: float, maxsize: int | None = 1024, load_seconds: float = 0.02
) -> Replay:
    """What replay() finds for AsyncCache(ttl, maxsize=maxsize), without running an event loop.

    The same Store decides, each request costs a few microseconds, and the outcomes are the same:
    request by request, as long as none comes at the very moment when a load ends.
    """
    store = Store(maxsize)
    lookup, put = store.lookup, store.put
    run = Replay(list(traffic.times), list(traffic.keys))
    waited, told = run.seconds.append, run.outcomes.append
    # All take equally long: the first to begin ends first.
    loads: deque[tuple[float, int]] = deque()
    under_way: dict[int, float] = {}  # key: when its load ends
    for number, (at, key) in enumerate(traffic):
        while loads and loads[0][0] <= at:
            end, loaded = loads.popleft()
            del under_way[loaded]
            if ttl:
                put(loaded, None, ttl, end)
        if lookup(key, at) is not None:
            waited(0.0)
            told("hit")
        elif key in under_way:
            waited(under_way[key] - at)
            told("shared")
        else:
            end = at + load_seconds
            under_way[key] = end
            loads.append((end, key))
            run.loads.append(Query(key, at, number, end, True))
            waited(end - at)
            told("miss")
    return run


def theory_hit_rate(traffic: Traffic, ttl: float) -> float:
    """The hit rate that theory expects at *ttl* seconds, with room for all and no time to load.

    A key asked for λ times a second is loaded once and then hit λT times, on average, before it
    expires: λT / (1 + λT) of its requests are hits. The sum weighs each key by its share.
    """
    shares = traffic.popularity or [n / len(traffic) for n in Counter(traffic.keys).values()]
    return sum(share * (visits := traffic.rate * share * ttl) / (1 + visits) for share in shares)
