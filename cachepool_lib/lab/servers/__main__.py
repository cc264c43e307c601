"""python -m cachepool_lib.lab.servers FILE: serve the app in FILE, with servers, until Ctrl-C."""

import argparse
import asyncio
import sys
from pathlib import Path

from cachepool_lib.lab.command import complete, run
from cachepool_lib.lab.servers.serve import serve
from cachepool_lib.lab.servers.service import ServiceFailed
from cachepool_lib.lab.servers.services import ServicesError, services


async def serve_until_interrupted(file: str) -> None:
    """Say what runs, and where."""
    print(await services())
    async with serve(file) as service:
        print(f"{service!r} at {service.url}/users/7 — Ctrl-C ends them", flush=True)
        await asyncio.Event().wait()


def main() -> int:
    """Do what the command line says. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cachepool_lib.lab.servers")
    parser.add_argument("file", help="with an ASGI app named app")
    file = parser.parse_args().file
    if not Path(file).is_file():
        parser.error(f"there is no file {file}")
    try:
        complete(serve_until_interrupted(file))
    except (ServicesError, ServiceFailed) as error:
        print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    run(main)
