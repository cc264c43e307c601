"""The running example: a small shop in PostgreSQL, and the page of one of its users."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import asyncpg

from cachepool_lib.lab.notebook import recorder

USERS = 10_000  # ids 0 to 9,999, like the keys of lab.traffic()
ORDERS = 200_000  # 0 to 40 for a user, 20 on average

# No random(): its sequence belongs to a version of PostgreSQL. Multiplying by 2654435761 (2**32
# divided by the golden ratio) and dropping what is above 32 bits scatters whole numbers as well,
# and gives the same rows everywhere. `(u * 16 + 19) % 41` takes each number of orders from 0 to 40
# equally often, and their sum over all users is 200,000.
CREATE = """
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL);
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, cents int NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY, user_id int NOT NULL, product_id int NOT NULL,
    day date NOT NULL, quantity int NOT NULL
);

INSERT INTO users
SELECT u,
    (ARRAY['Ada', 'Ben', 'Chidi', 'Dana', 'Elif', 'Farid', 'Greta', 'Hugo', 'Ines', 'Jun'])
        [1 + u % 10] || ' ' ||
    (ARRAY['Abara', 'Berg', 'Costa', 'Demir', 'Evans', 'Fischer', 'Garcia', 'Hansen', 'Ito',
        'Jansen', 'Kaya', 'Lopez', 'Mori'])[1 + u * 7 % 13],
    (ARRAY['Accra', 'Bergen', 'Cusco', 'Dakar', 'Essen', 'Faro', 'Ghent'])[1 + u * 3 % 7]
FROM generate_series(0, 9999) AS u;

INSERT INTO products
SELECT p,
    (ARRAY['blue', 'round', 'quiet', 'folding', 'wooden', 'warm', 'tall', 'light'])[1 + p % 8]
    || ' ' ||
    (ARRAY['lamp', 'chair', 'kettle', 'bicycle', 'desk'])[1 + p % 5] || ' no. ' || p,
    500 + p * 7919 % 20000
FROM generate_series(0, 999) AS p;

INSERT INTO orders
SELECT id, user_id, one * 2246822519 % 4294967296 % 1000,
    date '2025-01-01' + id / 550, 1 + id % 3
FROM (
    SELECT row_number() OVER (ORDER BY one * 2654435761 % 4294967296)::int AS id, user_id, one
    FROM (
        SELECT u AS user_id, (u * 41 + i)::bigint AS one
        FROM generate_series(0, 9999) AS u, generate_series(1, (u * 16 + 19) % 41) AS i
    ) AS every_order
) AS in_order_of_time;

CREATE INDEX ON orders (user_id);
CREATE INDEX ON orders (product_id);
ANALYZE users, products, orders;
"""
LOCK = 7_261_966  # any number that other programs on the same server don't use

USER = "SELECT id, name, city FROM users WHERE id = $1"
ORDERS_OF_USER = """
SELECT o.id, o.day, p.name AS product, p.cents, o.quantity,
    (SELECT sum(quantity) FROM orders WHERE product_id = o.product_id) AS sold
FROM orders AS o JOIN products AS p ON p.id = o.product_id
WHERE o.user_id = $1
ORDER BY o.id DESC
"""


@dataclass(frozen=True, slots=True)
class User:
    """Who the page is for."""

    id: int
    name: str
    city: str


@dataclass(frozen=True, slots=True)
class Order:
    """One line of the page; *sold* is how many of the product the whole shop has sold."""

    id: int
    day: date
    product: str
    cents: int
    quantity: int
    sold: int


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """A user and their orders, the latest first. Nobody can change it, so it may be shared."""

    user: User
    orders: tuple[Order, ...]

    def __repr__(self) -> str:
        return f"Page({self.user.name}, {self.user.city}, {len(self.orders)} orders)"


class HasDatabase(Protocol):
    """What has the address of a PostgreSQL database: lab.services() gives one."""

    @property
    def database_url(self) -> str: ...


class Shop:
    """The shop's pages, read over connections of its own. Made by lab.shop()."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()

    async def page(self, user_id: int) -> Page | None:
        """The page of a user, from the database; None for an unknown user.

        One query finds the user, one the orders and, for each of the products in them, how many
        the shop has sold: about 4,000 rows to look at, all found by an index. That takes a few
        milliseconds; many orders take longer than few. Waits up to 10 s for a free connection and
        30 s for an answer (TimeoutError).
        """
        async with self._pool.acquire(timeout=10) as connection:
            user = await connection.fetchrow(USER, user_id)
            if user is None:
                return None
            orders = await connection.fetch(ORDERS_OF_USER, user_id)
        return Page(User(**user), tuple(Order(**order) for order in orders))

    async def user(self, user_id: int) -> User | None:
        """Who has this id: one row, found by its primary key. Waits as `page` does."""
        async with self._pool.acquire(timeout=10) as connection:
            user = await connection.fetchrow(USER, user_id)
        return None if user is None else User(**user)

    async def card(self, user_id: int) -> dict[str, Any]:
        """What JSON can carry of a page: name, city and the products, the latest order first."""
        page = await self.page(user_id)
        if page is None:
            return {}
        products = [order.product for order in page.orders]
        return {"name": page.user.name, "city": page.user.city, "products": products}

    async def close(self) -> None:
        """Close the connections. Waits for pages under way. A second call does nothing."""
        for url in [url for url, shop in _open.items() if shop is self]:
            del _open[url]
        await self._pool.close()

    def __repr__(self) -> str:
        return f"Shop({USERS:,} users, {ORDERS:,} orders)"


_open: dict[str, Shop] = {}


async def make_tables(services: HasDatabase) -> None:
    """Make the shop's tables in the database of *services* if they are not there."""
    connection = await asyncpg.connect(services.database_url)
    try:
        await _make_tables(connection)
    finally:
        await connection.close()


async def _make_tables(connection: Any) -> None:
    async with connection.transaction():
        # Two programs may ask for the first shop of one database at once.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        if await connection.fetchval("SELECT to_regclass('orders') IS NULL"):
            await connection.execute(CREATE)


async def shop(services: HasDatabase) -> Shop:
    """The shop in the database of *services*; its tables are made if they are not there.

    Making them takes about a second, and gives the same rows on every machine. Asked again
    on the same event loop, gives the same shop as long as it has not been closed.
    """
    url = services.database_url
    known = _open.get(url)
    if known is not None and known._loop is asyncio.get_running_loop():
        return known
    pool = await asyncpg.create_pool(url, min_size=1, max_size=4, command_timeout=30)
    try:
        async with pool.acquire() as connection:
            await _make_tables(connection)
    except BaseException:
        pool.terminate()
        raise
    opened = _open[url] = Shop(pool)
    return opened


def _borrowed() -> str | None:
    """For the last cell of a notebook: what a shop that is open still has."""
    out = sum(shop._pool.get_size() - shop._pool.get_idle_size() for shop in _open.values())
    if out:
        return f"{out} of the shop's connections"
    loop = asyncio.get_running_loop()
    if any(shop._loop is loop for shop in _open.values()):
        return "the shop, which is open: await shop.close()"
    return None


recorder.borrowed(_borrowed)
