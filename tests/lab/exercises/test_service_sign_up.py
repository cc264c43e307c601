"""Exercise 05-4: visits that break the shop pass; all others are told why not."""

import asyncio
from typing import Any

import pytest

from cachepool_lib import AsyncCache
from cachepool_lib.lab.exercises.service_rows import Rows
from cachepool_lib.lab.exercises.service_sign_up import Forgets
from cachepool_lib.lab.simulation.loop import clock, simulate
from tests.lab.exercises.test_service_lifespan import COURSE
from tests.tools.exercise_tools import look_at, message


async def moves(shop: Any) -> None:
    await shop.page(1)
    await shop.move(1, "Rome")
    assert (await shop.page(1))["city"] == "Rome"


async def signs_up(shop: Any) -> None:
    await shop.sign_up(4, "Rome")
    assert await shop.page(4) is not None


async def no_assert(shop: Any) -> None:
    await shop.page(4)
    await shop.sign_up(4, "Rome")
    await shop.page(4)


async def asserts_too_much(shop: Any) -> None:
    assert await shop.page(4) is not None
    await shop.sign_up(4, "Rome")


async def asserts_before(shop: Any) -> None:
    unknown = await shop.page(4)
    await shop.sign_up(4, "Rome")
    await shop.page(4)
    assert unknown is not None


async def fails(shop: Any) -> None:
    await shop.page(4)
    await shop.sign_up(4, "Rome")
    assert (await shop.page(4))["city"] == "Rome"


async def waits_for_ever(shop: Any) -> None:
    await asyncio.Event().wait()


def not_async(shop: Any) -> None:
    return None


TRUTH = "Your assert failed, but every visitor was told the truth. None is an answer"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (moves, "The shop passes your visits. None is an answer, and it is kept."),
        (signs_up, "The shop passes your visits."),
        (no_assert, "A visitor was told that a user is unknown who isn't, and your visits ended"),
        (asserts_too_much, TRUTH),
        (asserts_before, "A shop that deletes a new user's key, too, fails on your visits, and"),
        (fails, "TypeError: 'NoneType' object is not subscriptable"),
        (waits_for_ever, "After an hour they had not ended."),
        (not_async, "breaks(shop) gave None, and nothing to await."),
    ],
)
def test_visits_that_break_nothing_are_explained(answer: Any, expected: str) -> None:
    assert message("05-4", answer).startswith(expected)


async def in_the_list(shop: Any) -> None:
    await shop.page(9)
    await shop.sign_up(9, "Oslo")
    page = await shop.page(9)
    assert page and page["city"] == (await shop.list())[9]


def test_other_visits_that_break_it_pass() -> None:
    assert look_at("05-4", in_the_list).passed


@pytest.mark.parametrize(("right", "broken"), [(False, True), (True, False)])
@pytest.mark.parametrize("visits", [COURSE.solution("05-4"), in_the_list])
def test_the_notebooks_own_shop_is_broken_in_the_same_way(
    visits: Any, right: bool, broken: bool
) -> None:
    """The check has a shop of its own; the notebook's behaves like it."""

    async def outcome() -> bool:
        try:
            await visits(Forgets() if right else _of_the_notebook())
        except AssertionError:
            return True
        return False

    assert simulate(outcome()) is broken


def _of_the_notebook() -> Any:
    class Database(Rows):
        async def commit(self, user_id: int, city: str) -> None:
            self.cities[user_id] = city

    return COURSE.notebook["ColleaguesShop"](AsyncCache(clock=clock), Database())
