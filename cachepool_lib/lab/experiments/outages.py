"""An outage as it happens: the way to Redis is broken while visits come."""

import contextlib
import secrets
from typing import Any, Literal

from redis.exceptions import RedisError

from cachepool_lib.lab.contracts.cache.bench import Bench
from cachepool_lib.lab.experiments.live import live
from cachepool_lib.lab.servers.proxy import Proxy
from cachepool_lib.lab.servers.services import services
from cachepool_lib.lab.servers.shop import Shop
from cachepool_lib.lab.simulation.database import Database
from cachepool_lib.lab.simulation.replay import Replay, Watch
from cachepool_lib.lab.simulation.traffic import traffic


async def outage(
    candidate: type,
    fault: Literal["cut", "stall"],
    when: tuple[float, float],
    *,
    shop: Shop,
    seconds: float = 2.4,
    rate: float = 40,
) -> Replay:
    """*rate* visits a second to pages of the *shop*, while the way to Redis is broken and mended.

    *candidate* is a class of caches that is made with an address. A proxy stands there; it breaks
    and is well again at the seconds in *when*, where infinity is never. The visits begin with no
    page in the cache and go on for so many *seconds*.
    """
    url, run = (await services()).redis_url, secrets.token_hex(8)
    database, bench = Database(query=shop.card), Bench(candidate)

    async def page(user_id: int) -> Any:
        return await bench.read(cache, f"{run}:{user_id}", lambda: database.page(user_id))

    watch = Watch(page, database)

    async def visit(key: int) -> None:
        with contextlib.suppress(OSError, RedisError):  # the visit has failed
            await watch(key)

    async with Proxy(url) as proxy:
        cache = candidate(proxy.url)
        faults = {when[0]: getattr(proxy, fault), when[1]: proxy.restore}
        visits = traffic(rate=rate, users=20, seconds=seconds)
        await live(visit, visits, faults, watch.replay)
        await cache.close()
    return watch.replay
