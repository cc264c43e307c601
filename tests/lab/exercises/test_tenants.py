"""Exercise 07-4: a tenant for one transaction; each common mistake gets its own message."""

import asyncio
import contextlib
from typing import Any

import asyncpg
import pytest

from cachepool_lib import lab
from cachepool_lib.lab.exercises.tenants_pooler import ITEMS, ROWS
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


LOCK = asyncio.Lock()


async def locks_in_its_process(connection: Any, tenant: str) -> Any:
    async with LOCK:
        return await sets_and_resets(connection, tenant)


async def resets_in_finally(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, false)", tenant)
        try:
            return await connection.fetchval(ITEMS)
        finally:
            await connection.execute("RESET shop.tenant")


async def doubles_one_quote(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        name = tenant.replace("'", "''", 1)
        await connection.execute(f"SET LOCAL shop.tenant = '{name}'")
        return await connection.fetchval(ITEMS)


async def drops_the_quote(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        name = tenant.replace("'", "")
        await connection.execute(f"SET LOCAL shop.tenant = '{name}'")
        return await connection.fetchval(ITEMS)


async def gives_too_few(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, $2)", tenant)
        return await connection.fetchval(ITEMS)


async def gives_a_text_as_local(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, $2)", tenant, "now")
        return await connection.fetchval(ITEMS)


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
        (locks_in_its_process, "Set on one connection, read on the other: None. A lock in your"),
        (resets_in_finally, "Another error hides it: the transaction is aborted. After an error"),
        (doubles_one_quote, "The server refuses \"SET LOCAL shop.tenant = 'd''art'agnan'\""),
        (drops_the_quote, "o'neill got None. The quote belongs to the name."),
        (gives_too_few, "The query \"SELECT set_config('shop.tenant', $1, $2)\" with ('ada',)."),
        (gives_a_text_as_local, "The query \"SELECT set_config('shop.tenant', $1, $2)\" with"),
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


async def all_as_arguments(connection: Any, tenant: str) -> Any:
    async with connection.transaction(readonly=True):
        await connection.execute("SELECT set_config($1, $2, true)", "shop.tenant", tenant)
        return await connection.fetchval(ITEMS)


async def local_as_an_argument(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('shop.tenant', $1, $2)", tenant, True)
        return await connection.fetchval(ITEMS)


async def with_casts(connection: Any, tenant: str) -> Any:
    async with connection.transaction():
        await connection.fetchrow("SELECT set_config('shop.tenant', $1::text, TRUE);", tenant)
        return await connection.fetchval(ITEMS)


async def started_and_ended(connection: Any, tenant: str) -> Any:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.fetchval("SELECT set_config('shop.tenant', $1, true)", tenant)
        items = (await connection.fetchrow(ITEMS))[0]
    except BaseException:
        await transaction.rollback()
        raise
    await transaction.commit()
    return items


RIGHT = [
    with_the_quote_doubled,
    by_hand,
    all_as_arguments,
    local_as_an_argument,
    with_casts,
]


@pytest.mark.parametrize("answer", [*RIGHT, started_and_ended])
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
        for answer in RIGHT:
            assert (await with_a_quote(answer)).answer == "a harp", answer
        for answer in (writes_the_name_itself, an_argument_for_set):
            assert (await with_a_quote(answer)).answer == "PostgresSyntaxError"
