"""python -m cachepool_lib.lab.servers FILE: serve the app in FILE, with servers, until Ctrl-C."""

import asyncio
import contextlib
import sys

from cachepool_lib.lab.servers.serve import serve
from cachepool_lib.lab.servers.services import services


async def main(file: str) -> None:
    print(await services())
    async with serve(file) as service:
        print(f"{service!r} at {service.url}/users/7 — Ctrl-C ends them")
        await asyncio.Event().wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(sys.argv[1]))
