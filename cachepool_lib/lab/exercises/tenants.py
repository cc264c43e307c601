"""Feedback on exercise 07-4, in simulated time: a tenant for one transaction, behind a pooler."""

import asyncio
import inspect
from typing import Any

from cachepool_lib.lab.exercises.tenants_pooler import (
    LOCKED,
    ROWS,
    TWO_QUOTES,
    Client,
    Pooler,
    Refused,
)
from cachepool_lib.lab.notebook.checks import Checks, Unmet

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add

ANOTHERS = "Set it for the transaction alone: what a connection keeps, the next client finds."


async def _ask(answer: Any, client: Client, tenant: str) -> Any:
    call = answer(client, tenant)
    if not inspect.isawaitable(call):
        raise Unmet(
            expected="async def as_tenant(connection, tenant)",
            got=f"as_tenant(…) gave {call!r}, and nothing to await.",
        )
    return await call


async def _alone(answer: Any) -> None:
    pooler = Pooler()
    ada = Client(pooler)
    seen = await _ask(answer, ada, "ada")
    if ada.in_transaction:
        raise Unmet(
            expected="a transaction that ends",
            got="The transaction is still open: nobody else gets the connection.",
            hint="`async with connection.transaction():` ends it in any case.",
        )
    if seen is None:
        raise Unmet(
            expected="Ada's rows: 'a lamp'",
            got="No tenant at all, and so no row: a statement is its own transaction.",
            hint="What is set for a transaction lasts as long as that. Where does yours begin?",
        )
    if seen != ROWS["ada"]:
        raise Unmet(
            expected="what ITEMS gives: 'a lamp'",
            got=f"as_tenant(connection, 'ada') returned {seen!r}.",
            hint="return await connection.fetchval(ITEMS)",
        )
    if pooler.left():
        raise Unmet(
            expected="no row for Ben: he has set no tenant",
            got="Ben read Ada's rows.",
            hint=ANOTHERS,
        )


async def _at_once(answer: Any) -> None:
    pooler = Pooler()
    names = ("ada", "ben")
    seen = await asyncio.gather(*(_ask(answer, Client(pooler), name) for name in names))
    if seen != [ROWS[name] for name in names]:
        both = len({*seen}) == 1 and seen[0] in ROWS.values()
        who = next((name for name in names if ROWS[name] == seen[0]), "")
        raise Unmet(
            expected="Ada's rows for Ada and Ben's for Ben",
            got=f"Right alone; two at once, both are {who.capitalize()}."
            if both
            else f"Right alone; two at once get {seen[0]!r} and {seen[1]!r}.",
            hint="Between two statements the connection is anybody's. Who keeps it for longer?",
        )


async def _elsewhere(answer: Any) -> None:
    """Other clients are busy, so the next transaction gets another connection."""
    pooler = Pooler(connections=2)
    seen = await _ask(answer, Client(pooler), "ada")
    if seen != ROWS["ada"] or pooler.left():
        raise Unmet(
            expected="Ada's rows, also where the pooler has two connections",
            got=f"Set on one connection, read on the other: {seen!r}.",
            hint="A lock in your process does not hold the pooler's connection. Who keeps it?",
        )


async def _refused(answer: Any) -> None:
    """The rows can't be read: the error passes, and nothing stays behind."""
    pooler = Pooler()
    ada = Client(pooler)
    pooler.broken = True
    told = ""
    try:
        await _ask(answer, ada, "ada")
    except Refused as refused:
        told = str(refused)
    if not told:
        raise Unmet(
            expected="the error, for whoever asked",
            got="The server refused to give the rows, and nobody was told.",
            hint="Let the error pass.",
        )
    if ada.in_transaction or pooler.left():
        raise Unmet(
            expected="nothing of Ada's on the connection after an error",
            got="The rows could not be read, and Ada's tenant stayed behind.",
            hint="`async with connection.transaction():` rolls back, and what was set is gone.",
        )
    if told != LOCKED:
        raise Unmet(
            expected=f"the first error: {LOCKED}",
            got=f"Another error hides it: {told}.",
            hint="After an error in a transaction the server takes nothing but ROLLBACK, no RESET.",
        )


@exercise("07-4", "A tenant for one transaction")
async def as_tenant(answer: Any) -> str:
    await _alone(answer)
    await _at_once(answer)
    await _elsewhere(answer)
    await _refused(answer)
    for tenant, item in (("o'neill", ROWS["o'neill"]), (TWO_QUOTES, "a sword")):
        seen = await _ask(answer, Client(Pooler()), tenant)
        if seen != item:
            raise Unmet(
                expected=f"{item!r}, for {tenant}",
                got=f"{tenant} got {seen!r}.",
                hint="The quote belongs to the name. set_config takes the name as it is, as $1.",
            )
    return "alone, two at once, with an error, and a name with a quote: each read their own"
