"""The rows of a small shop, for the exercises of notebook 05: no server stands behind them."""

import asyncio
from typing import Any

from cachepool_lib.lab.notebook.checks import Unmet


class Rows:
    """Who lives where, as it is committed. A load takes 5 ms, and reads at its beginning."""

    def __init__(self) -> None:
        self.cities = {1: "Paris", 2: "Paris", 3: "Paris"}
        self.loads = 0

    async def page(self, user_id: int) -> dict[str, Any] | None:
        """The page of a user; None for an unknown one."""
        city = self.cities.get(user_id)
        await self._load()
        return None if city is None else {"id": user_id, "city": city}

    async def list(self) -> dict[int, str]:
        """Who lives where."""
        cities = dict(self.cities)
        await self._load()
        return cities

    async def _load(self) -> None:
        self.loads += 1
        await asyncio.sleep(0.005)


def no_such_query(query: str, args: Any, expected: str) -> Unmet:
    """What is raised for a query that is none of the notebook's."""
    return Unmet(
        expected=expected,
        got=f"The query {query!r} with {args!r}.",
        hint="Nothing else is known here: there is no server behind it.",
    )
