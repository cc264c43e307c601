"""The two real access traces in tests/data; its README says where they are from."""

import lzma
from functools import cache
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"


@cache
def real_trace(name: str) -> tuple[int, ...]:
    """The keys that were asked for, in order: of "web12" or "orm-busy"."""
    data = lzma.decompress((DATA / f"{name}.xz").read_bytes())
    return tuple(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
