"""The running example: the same shop on every machine, and a page that costs a real query."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from importlib import import_module

import asyncpg
import pytest

from cachepool_lib import lab
from cachepool_lib.lab.servers.shop import CREATE, Shop

pytestmark = pytest.mark.anyio

TABLES = {  # what PostgreSQL 15 and 18 make of the same statements
    "users": (10_000, "263aead7989d16959c105d5b57515475"),
    "products": (1_000, "0a11c7ee08b20c2ffe0847012c3cb586"),
    "orders": (200_000, "fe5e612aa3ca41f17a6e9ad87fad1138"),
}


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = await lab.shop(await lab.services())
    yield shop
    await shop.close()


async def query(statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect((await lab.services()).database_url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def drop_tables() -> None:
    await query("DROP TABLE IF EXISTS users, products, orders")


async def open_and_close() -> None:
    await (await lab.shop(await lab.services())).close()


async def test_rows_are_the_same_on_every_server() -> None:
    """Made from nothing, the tables hold exactly these rows."""
    await drop_tables()
    await open_and_close()
    for table, expected in TABLES.items():
        digest = f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} AS t"
        assert tuple((await query(digest))[0]) == expected


async def test_two_programs_make_the_tables_once() -> None:
    """Whoever comes second waits for the tables instead of failing or making them again."""
    await drop_tables()
    await asyncio.gather(*(asyncio.to_thread(asyncio.run, open_and_close()) for _ in range(2)))
    assert (await query("SELECT count(*) FROM orders"))[0][0] == 200_000


async def test_a_failed_start_leaves_no_half_made_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables appear all at once or not at all, and the next start makes them."""
    await drop_tables()
    module = import_module("cachepool_lib.lab.servers.shop")  # lab.shop is the function
    monkeypatch.setattr(module, "CREATE", CREATE + "SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await lab.shop(await lab.services())
    assert (await query("SELECT to_regclass('users')"))[0][0] is None
    monkeypatch.undo()
    await open_and_close()


async def test_asked_twice_it_is_the_same_shop(shop: Shop) -> None:
    """Running the cell again opens no second pool."""
    assert await lab.shop(await lab.services()) is shop


async def test_closed_it_can_be_closed_and_opened_again(shop: Shop) -> None:
    await shop.close()
    await shop.close()
    again = await lab.shop(await lab.services())
    assert again is not shop
    assert await again.page(1)
    await again.close()


async def test_page_has_the_user_and_their_orders_latest_first(shop: Shop) -> None:
    page = await shop.page(3)
    assert page == await shop.page(3)
    assert repr(page) == "Page(Dana Ito, Cusco, 26 orders)"
    assert page is not None
    ids = [order.id for order in page.orders]
    expected = await query("SELECT id FROM orders WHERE user_id = 3 ORDER BY id DESC")
    assert ids == [row["id"] for row in expected]


async def test_user_is_one_row_by_its_key(shop: Shop) -> None:
    """The same user as on the page; None for an unknown one."""
    page = await shop.page(1)
    assert page is not None
    assert await shop.user(1) == page.user
    assert await shop.user(10_000_000) is None


async def test_sold_counts_every_customer(shop: Shop) -> None:
    """What makes the page cost something: each product is counted over the whole shop."""
    page = await shop.page(3)
    assert page is not None
    rows = await query(
        "SELECT p.name, sum(o.quantity) FROM orders o JOIN products p ON p.id = o.product_id"
        " GROUP BY p.name"
    )
    sold = dict(rows)
    assert [order.sold for order in page.orders] == [sold[order.product] for order in page.orders]


async def test_a_user_may_have_no_orders_or_not_exist(shop: Shop) -> None:
    """Both are answers: an empty page, and None."""
    [(without,)] = await query(
        "SELECT min(id) FROM users WHERE id NOT IN (SELECT user_id FROM orders)"
    )
    page = await shop.page(without)
    assert page is not None and page.orders == ()
    assert await shop.page(10_000) is None


async def test_nobody_can_change_a_page(shop: Shop) -> None:
    """A cache hands the same page to everybody."""
    page = await shop.page(3)
    assert page is not None
    assert hash(page) == hash(await shop.page(3))
    for thing, name in [(page, "orders"), (page.user, "name"), (page.orders[0], "cents")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)


def test_the_last_cell_sees_an_open_shop() -> None:
    """A connection that is out is named, then the shop itself; once closed, nothing is left."""

    async def cells() -> None:
        shop = await lab.shop(await lab.services())
        async with shop._pool.acquire():
            with pytest.raises(AssertionError, match="1 of the shop's connections"):
                await lab.nothing_left()
        with pytest.raises(AssertionError, match="the shop, which is open"):
            await lab.nothing_left()
        await shop.close()
        await lab.nothing_left()

    asyncio.run(cells())


def test_a_page_nobody_waits_for_gives_its_connection_back() -> None:
    """A page that is cancelled during its query leaves nothing borrowed."""

    async def cells() -> None:
        services = await lab.services()
        shop, other = await lab.shop(services), await asyncpg.connect(services.database_url)
        async with other.transaction():
            await other.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await shop.page(3)
        await other.close()
        assert await shop.page(3)
        assert shop._pool.get_idle_size() == shop._pool.get_size()
        await shop.close()
        await lab.nothing_left()

    asyncio.run(cells())
