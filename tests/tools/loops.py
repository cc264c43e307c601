"""Both event loops, for tests that run on each, whatever CACHEPOOL_LOOP says."""

import asyncio
import sys
from typing import Any

import pytest

LOOPS: list[Any] = [
    pytest.param(("asyncio", {"loop_factory": asyncio.SelectorEventLoop}), id="asyncio")
]
if sys.platform != "win32":
    LOOPS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))
