"""Notebook 03's exercises: what is folded away passes; a wrong 03-2 is told why."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from cachepool_lib.lab.exercises.exercise import WHERE
from cachepool_lib.lab.exercises.instances import Tokens, caching_by
from tests.tools.exercise_tools import Exercises, look_at, message

COURSE = Exercises(
    "03-cache-with-one-line.ipynb",
    {
        "03-1": "make_key_mine",
        "03-2": "breaks",
        "03-3": "stale_get_mine",
    },
)


def test_every_exercise_is_tested_here() -> None:
    assert {name for name in WHERE if name.startswith("03")} == set(COURSE.answers)


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_solution_passes(name: str) -> None:
    assert look_at(name, COURSE.solution(name)).passed


@pytest.mark.parametrize("name", COURSE.answers)
def test_the_stub_is_not_solved_yet(name: str) -> None:
    assert look_at(name, COURSE.stub(name)).status == "not solved yet"


@pytest.mark.parametrize(
    ("name", "ours"),
    [("03-1", "make_key_ours"), ("03-3", "stale_get_ours")],
)
def test_what_the_notebook_shows_instead_passes_as_well(name: str, ours: str) -> None:
    assert look_at(name, COURSE.notebook[ours]).passed


# 03-2


async def namesakes(cached: Any) -> None:
    @dataclass(frozen=True)
    class User:
        name: str
        city: str = field(compare=False)

        @cached
        async def page(self) -> str:
            return self.city

    one, other = User("Ada", "Paris"), User("Ada", "Rome")
    assert await one.page() == "Paris"
    assert await other.page() == "Rome"


async def not_hashable(cached: Any) -> None:
    """Another right answer: such a user can't be visited at all."""

    @dataclass
    class User:
        name: str

        @cached
        async def page(self) -> str:
            return self.name

    await User("Ada").page()


async def counts_loads(cached: Any) -> None:
    """Another right answer: it asserts how often the function ran."""
    loads: list[int] = []

    class User:
        def __init__(self, number: int) -> None:
            self.number = number

        def __eq__(self, other: object) -> bool:
            return isinstance(other, User)

        def __hash__(self) -> int:
            return 1

        @cached
        async def page(self) -> None:
            loads.append(self.number)

    one, other = User(1), User(2)
    for user in (one, other, one):
        await user.page()
    assert loads == [1, 2]


@pytest.mark.parametrize("answer", [namesakes, not_hashable, counts_loads])
def test_visits_that_break_a_weak_reference_are_taken(answer: Any) -> None:
    result = look_at("03-2", answer)
    assert result.passed
    assert result.got.startswith("WeakSelf fails by ")


async def unequal(cached: Any) -> None:
    class User:
        def __init__(self, city: str) -> None:
            self.city = city

        @cached
        async def page(self) -> str:
            return self.city

    one, other = User("Paris"), User("Rome")
    assert await one.page() == "Paris"
    assert await other.page() == "Rome"


async def asks_nobody(cached: Any) -> None:
    @dataclass(frozen=True)
    class User:
        @cached
        async def page(self) -> str:
            return "page"

    User()


async def wants_one_page_for_both(cached: Any) -> None:
    @dataclass(frozen=True)
    class User:
        name: str
        city: str = field(compare=False)

        @cached
        async def page(self) -> str:
            return self.city

    one, other = User("Ada", "Paris"), User("Ada", "Rome")
    assert await one.page() != await other.page()
    assert await one.page() == await other.page()


async def no_room_for_a_weak_reference(cached: Any) -> None:
    class User:
        __slots__ = ()

        @cached
        async def page(self) -> str:
            return "page"

    await User().page()


async def with_the_last_line_of_the_stub(cached: Any) -> None:
    await namesakes(cached)
    raise NotImplementedError


async def always(cached: Any) -> None:
    assert not cached, "so it is"


def not_async(cached: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (unequal, "Every assert holds with WeakSelf, too. Two live users, one after the other."),
        (asks_nobody, "No page was asked for: nothing called a method below @cached."),
        (wants_one_page_for_both, "They fail with a right decorator as well, by AssertionError"),
        (no_room_for_a_weak_reference, "They fail with a right decorator as well, by TypeError: "),
        (with_the_last_line_of_the_stub, "They end with NotImplementedError, the last line"),
        (always, "They fail with a right decorator as well, by AssertionError: so it is."),
        (not_async, "breaks is not async."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_visits_that_show_nothing_are_explained(answer: Any, expected: str) -> None:
    assert message("03-2", answer).startswith(expected)


def test_the_check_asks_decorators_like_the_notebooks() -> None:
    """What the folded visits break there they break here, and the other way round."""
    visits, notebook = COURSE.solution("03-2"), COURSE.notebook
    for right in (notebook["ByIdentity"](), notebook["HalfWay"](), caching_by(Tokens())):
        asyncio.run(visits(right))
    with pytest.raises(AssertionError):
        asyncio.run(visits(notebook["WeakSelf"]()))
