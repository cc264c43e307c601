"""Exercise 07-4: a tenant for one transaction; each common mistake gets its own message."""

import asyncio
import contextlib
from typing import Any

import asyncpg
import pytest

from cachepool_lib import lab
from cachepool_lib.lab.exercises.tenants import ITEMS, ROWS
from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises("07-past-one-machine.ipynb", {"07-4": "as_tenant_mine"})


def test_the_query_is_the_notebooks() -> None:
    """The check knows no other, and its rows are those of the notebook's table."""
    assert COURSE.notebook["ITEMS"] == ITEMS
    for tenant, item in ROWS.items():
        assert f"('{tenant.replace(chr(39), 2 * chr(39))}', '{item}')" in COURSE.notebook["TENANTS"]


async def sets(connection: Any, tenant: str) -> Any:
    await connection.execute(f"SET shop.tenant = '{tenant}'")
    return await connection.fetchval(ITEMS)


async def sets_and_resets(connection: Any, tenant: str) -> Any:
    await connection.execute(f"SET shop.tenant = '{tenant}'")
    try:
        return await connection.fetchval(ITEMS)
    finally:
        await connection.execute("RESET shop.tenant")


async def sets_local_alone(connection: Any, tenant: str) -> Any:
    await connection.execute(f"SET LOCAL shop.tenant = '{tenant}'")
    return await connection.fetchval(ITEMS)


async def local_by_a_function_alone(connection: Any, tenant: str) -> Any:
    await connection.fetchval("SELECT set_config('shop.tenant', $1, true)", tenant)
    return await connection.fetchval(ITEMS)


async def reads_after_the_end(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, true)", tenant)
    return await connection.fetchval(ITEMS)


async def sets_in_a_transaction(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, false)", tenant)
        return await connection.fetchval(ITEMS)


async def an_argument_for_set(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SET LOCAL shop.tenant = $1", tenant)
        return await connection.fetchval(ITEMS)


async def writes_the_name_itself(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL shop.tenant = '{tenant}'")
        return await connection.fetchval(ITEMS)


async def resets_without_finally(connection: Any, tenant: str) -> Any:
    await connection.execute("BEGIN")
    await connection.execute("SELECT set_config('shop.tenant', $1, false)", tenant)
    items = await connection.fetchval(ITEMS)
    await connection.execute("RESET shop.tenant")
    await connection.execute("COMMIT")
    return items


async def never_ends(connection: Any, tenant: str) -> Any:
    await connection.execute("BEGIN")
    await connection.execute("SELECT set_config('shop.tenant', $1, true)", tenant)
    return await connection.fetchval(ITEMS)


async def swallows(connection: Any, tenant: str) -> Any:
    with contextlib.suppress(Exception):
        async with connection.transaction():
            await connection.execute("SELECT set_config('shop.tenant', $1, true)", tenant)
            return await connection.fetchval(ITEMS)


async def returns_nothing(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, true)", tenant)
        await connection.fetchval(ITEMS)


async def returns_rows(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, true)", tenant)
        return await connection.fetch(ITEMS)


async def asks_for_her_alone(connection: Any, tenant: str) -> Any:
    return await connection.fetchval("SELECT item FROM items WHERE tenant = $1", tenant)


def not_async(connection: Any, tenant: str) -> None:
    return None


NOBODY = "No tenant at all, and so no row: a statement is its own transaction."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (sets, "Ben read Ada's rows. Set it for the transaction alone"),
        (sets_and_resets, "Right alone; two at once, both are Ben. Between two statements"),
        (sets_local_alone, NOBODY),
        (local_by_a_function_alone, NOBODY),
        (reads_after_the_end, NOBODY),
        (returns_nothing, NOBODY),
        (sets_in_a_transaction, "Ben read Ada's rows."),
        (an_argument_for_set, "The server refuses: SET takes no $1."),
        (writes_the_name_itself, "The server refuses \"SET LOCAL shop.tenant = 'o'neill'\""),
        (resets_without_finally, "The rows could not be read, and Ada's tenant stayed behind."),
        (never_ends, "The transaction is still open: nobody else gets the connection."),
        (swallows, "The server refused to give the rows, and nobody was told."),
        (returns_rows, "as_tenant(connection, 'ada') returned [{'string_agg': 'a lamp'}]."),
        (asks_for_her_alone, "The query 'SELECT item FROM items WHERE tenant = $1' with ('ada',)."),
        (not_async, "as_tenant(…) gave None, and nothing to await."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_answer_is_explained(answer: Any, expected: str) -> None:
    assert message("07-4", answer).startswith(expected)


async def with_the_quote_doubled(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        name = tenant.replace("'", "''")
        await connection.execute(f"SET LOCAL shop.tenant TO '{name}'")
        return await connection.fetchval(ITEMS)


async def by_hand(connection: Any, tenant: str) -> Any:
    await connection.execute("BEGIN")
    try:
        await connection.execute("SELECT set_config('shop.tenant', $1, true)", tenant)
        return (await connection.fetchrow(ITEMS))["string_agg"]
    finally:
        await connection.execute("COMMIT")  # after an error it rolls back


@pytest.mark.parametrize("answer", [with_the_quote_doubled, by_hand])
def test_another_right_answer_passes(answer: Any) -> None:
    assert look_at("07-4", answer).passed


def test_the_notebooks_solution_passes_and_its_stub_does_not() -> None:
    assert look_at("07-4", COURSE.solution("07-4")).passed
    assert look_at("07-4", COURSE.stub("07-4")).status == "not solved yet"


# Whether two at once each get their own.
AT_ONCE = {
    sets: False,
    sets_and_resets: False,
    sets_local_alone: False,
    sets_in_a_transaction: True,
    with_the_quote_doubled: True,
    by_hand: True,
}


@pytest.mark.anyio
async def test_a_real_pooler_gives_the_same() -> None:
    """Ada alone, then Ben without a tenant, and both at once; the check has no server."""
    async with lab.postgres(max_connections=20) as database:
        owner = await asyncpg.connect(database.url)
        await owner.execute(COURSE.notebook["TENANTS"])
        await owner.close()

        def in_turn(answer: Any) -> Any:
            async def way(ada: Any, ben: Any) -> Any:
                await answer(ada, "ada")
                return await ben.fetchval(ITEMS)

            return lab.two_clients(database, way)

        def at_once(answer: Any) -> Any:
            async def way(ada: Any, ben: Any) -> list[Any]:
                return await asyncio.gather(answer(ada, "ada"), answer(ben, "ben"))

            return lab.two_clients(database, way)

        def with_a_quote(answer: Any) -> Any:
            async def way(ada: Any, ben: Any) -> Any:
                return await answer(ada, "o'neill")

            return lab.two_clients(database, way)

        for answer, right in AT_ONCE.items():
            left = "a lamp" if answer in (sets, sets_in_a_transaction) else None
            assert (await in_turn(answer)).answer == left, answer
            seen = (await at_once(answer)).answer
            assert (seen == ["a lamp", "a boat"]) is right, (answer, seen)
        assert (await with_a_quote(by_hand)).answer == "a harp"
        for answer in (writes_the_name_itself, an_argument_for_set):
            assert (await with_a_quote(answer)).answer == "PostgresSyntaxError"
