"""No server: for the exercises about pools, something that counts stands for asyncpg."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg

URL = "postgresql://shop@127.0.0.1/shop"


@contextlib.contextmanager
def opening_with(function: Callable[..., Any]) -> Iterator[None]:
    """Let *function* stand for what opens a connection or a pool in asyncpg."""
    before = asyncpg.connect, asyncpg.create_pool
    asyncpg.connect = asyncpg.create_pool = function
    try:
        yield
    finally:
        asyncpg.connect, asyncpg.create_pool = before
