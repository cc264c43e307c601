"""The promises of the library and the course. A package, so that its modules share helpers.

CACHEPOOL_LOOP=uvloop has the tests, and the processes that they start, run on uvloop's event loop.
"""

import asyncio
import os
import warnings

LOOP = os.environ.get("CACHEPOOL_LOOP", "asyncio")

if LOOP == "uvloop":
    import uvloop  # has no wheels for Windows

    # There is no other way to reach `asyncio.run` and anyio at once; from Python 3.14 on it warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
elif LOOP != "asyncio":
    raise ValueError(f"CACHEPOOL_LOOP must be asyncio or uvloop, got {LOOP!r}")
