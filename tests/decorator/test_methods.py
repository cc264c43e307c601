"""async_cache on methods and whatever else is called: right answers, and nobody kept alive."""

import asyncio
import copy
import dataclasses
import functools
import gc
import inspect
import pickle
import weakref
from abc import ABC, abstractmethod
from enum import Enum
from typing import Any, cast

import pytest

from cachepool_lib import AsyncCache, async_cache
from tests.tools.async_cache_tools import Loads, answer, begin, turns
from tests.tools.decorator_tools import SharedStore

pytestmark = pytest.mark.anyio


class Shop:
    def __init__(self, name: str = "shop") -> None:
        self.name = name
        self.runs = 0

    @async_cache()
    async def page(self, user: int, lang: str = "en") -> tuple[str, int, str]:
        """A page of this shop."""
        self.runs += 1
        return self.name, user, lang

    @classmethod
    @async_cache()
    async def of_class(cls, user: int) -> tuple[str, int]:
        return cls.__name__, user

    @staticmethod
    @async_cache()
    async def static(user: int) -> int:
        return user


class Branch(Shop):
    pass


class Proud(Shop):
    @async_cache()
    async def page(self, user: int, lang: str = "en") -> Any:
        return "proud", await super().page(user, lang)


async def test_each_instance_has_entries_of_its_own() -> None:
    """However the method is reached and its arguments are spelled, one run each."""
    one, two = Shop("one"), Shop("two")
    for _ in range(2):
        assert await one.page(1) == await one.page(user=1, lang="en") == ("one", 1, "en")
        assert await Shop.page(one, 1) == await Shop.page(self=one, user=1) == ("one", 1, "en")
        assert await two.page(1) == ("two", 1, "en")
    assert (one.runs, two.runs) == (1, 1)


async def test_a_method_has_the_functions_methods() -> None:
    """Bound to the instance: invalidate and refresh take what the method takes."""
    one, two = Shop("one"), Shop("two")
    await one.page(1)
    await two.page(1)
    assert await one.page.invalidate(1) is True
    assert await one.page.invalidate(user=1) is False
    assert await Shop.page.invalidate(two, 1) is True
    assert await one.page.refresh(1) == ("one", 1, "en")
    assert await one.page(1) == ("one", 1, "en")
    assert (one.runs, two.runs) == (2, 1)
    assert one.page.cache is Shop.page.cache
    assert one.page.cache_info() == Shop.page.cache_info()
    await one.page(2)
    await two.page(1)
    await one.page.cache_clear()
    await two.page(1)
    assert two.runs == 3, "cache_clear is for all instances, as that of functools"


async def test_invalidate_and_refresh_take_a_self_by_name_as_the_call_does() -> None:
    """It is the method's, not theirs."""
    shop = Shop()
    assert await Shop.page(self=shop, user=1) == ("shop", 1, "en")
    assert await Shop.page.refresh(self=shop, user=1) == ("shop", 1, "en")
    assert await Shop.page.invalidate(self=shop, user=1) is True
    assert shop.runs == 2


async def test_a_bound_method_stays_bound() -> None:
    """Also as an attribute of another class, as methods do."""
    shop = Shop()

    class Other:
        page = shop.page

    assert await Other().page(1) == await Other.page(1) == await shop.page(1) == ("shop", 1, "en")
    assert shop.runs == 1


async def test_methods_bound_to_one_instance_are_equal() -> None:
    """As those that are not cached; so a call with one as argument is cached, too."""
    one, two = Row(1), Row(1)
    assert one.page == one.page and hash(one.page) == hash(one.page)
    assert len({one.page, one.page, two.page, Row.page, Row.page, one.twice}) == 4

    @async_cache()
    async def call(method: Any) -> Any:
        return await method()

    assert await call(one.page) == await call(one.page) == 1
    assert call.cache_info().loads == 1


async def test_a_method_looks_like_the_method() -> None:
    """Its name, words and parameters, without self where it is bound."""
    bound = Shop().page
    assert (bound.__name__, bound.__qualname__, bound.__doc__, bound.__module__) == (
        "page",
        "Shop.page",
        "A page of this shop.",
        __name__,
    )
    assert list(inspect.signature(bound).parameters) == ["user", "lang"]
    assert list(inspect.signature(Shop.page).parameters) == ["self", "user", "lang"]
    assert inspect.iscoroutinefunction(bound) and inspect.iscoroutinefunction(Shop.page)
    assert await bound.__wrapped__(1) == await Shop.page.__wrapped__(Shop(), 1)
    assert repr(bound) == "<cached Shop.page>"


async def test_a_subclass_shares_the_method_and_an_override_does_not() -> None:
    """super() reaches the entries of the parent's method for the same instance."""
    branch, proud = Branch("branch"), Proud("proud")
    assert await branch.page(1) == ("branch", 1, "en")
    assert await Shop.page(branch, 1) == ("branch", 1, "en")
    assert branch.runs == 1
    for _ in range(2):
        assert await proud.page(1) == ("proud", ("proud", 1, "en"))
        assert await Shop.page(proud, 1) == ("proud", 1, "en")
    assert proud.runs == 1


async def test_a_classmethod_has_entries_for_each_class() -> None:
    """Below @classmethod, through the class or an instance."""
    assert await Shop.of_class(1) == await Shop().of_class(1) == ("Shop", 1)
    assert await Branch.of_class(1) == await Branch().of_class(1) == ("Branch", 1)
    info: Any = Shop.of_class.cache_info()  # type: ignore[attr-defined]
    assert (info.hits, info.loads) == (2, 2)


async def test_invalidate_and_refresh_of_a_classmethod_take_what_the_call_takes() -> None:
    """Not the class, too, which it was reached through."""
    runs: list[Any] = []

    class Base:
        @classmethod
        @async_cache()
        async def get(cls, number: int, lang: str = "en") -> Any:
            runs.append((cls, number, lang))
            return len(runs)

    get: Any = Base.get
    assert await get.invalidate(5) is False
    assert await get(5) == await Base().get(5) == 1
    assert await get.invalidate(5, lang="de") is False
    assert await get.invalidate(5) is True
    assert await get(5) == 2
    assert await get.refresh(5) == await get(5) == 3
    assert await get.cache.delete(get.cache_key(5)) is True
    assert runs == [(Base, 5, "en")] * 3
    for bad in ((), (5, "en", 1)):
        with pytest.raises(TypeError, match="get"):
            await get.invalidate(*bad)


async def test_a_classmethod_of_a_subclass_is_forgotten_for_all_that_inherit_it() -> None:
    """Python does not say for which class, from 3.13 on: it is the same in all of them. Whoever
    means one class passes it.
    """

    class Base:
        @classmethod
        @async_cache()
        async def get(cls, number: int) -> Any:
            return cls

    class Sub(Base):
        pass

    base, sub = cast(Any, Base.get), cast(Any, Sub.get)
    for forgotten in base, sub:
        assert [await base(5), await sub(5)] == [Base, Sub]
        assert await forgotten.invalidate(5) is True
        assert base.cache_info().size == 0
    assert [await base(5), await sub(5)] == [Base, Sub]
    assert await sub.invalidate(Sub, 5) is True
    assert await sub.invalidate(Sub, 5) is False
    assert base.cache_info().size == 1
    with pytest.raises(TypeError, match=r"classmethod of several classes.*first argument"):
        await sub.refresh(5)
    assert await sub.refresh(Sub, 5) is Sub


async def test_a_staticmethod_is_a_function() -> None:
    """Through the class or an instance, it has no instance."""
    assert await Shop.static(1) == await Shop().static(user=1) == 1
    assert Shop.static.cache_info().loads == 1
    assert await Shop.static.invalidate(1) is True


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_above_a_classmethod_or_staticmethod_it_is_refused(kind: Any) -> None:
    """With the order that works."""

    async def page(what: Any) -> None: ...

    with pytest.raises(TypeError, match=f"put @{kind.__name__} above @async_cache"):
        async_cache()(kind(page))


# -- lives -------------------------------------------------------------------------------------


@dataclasses.dataclass
class Row:
    """Equal to its like, so not hashable."""

    number: int

    @async_cache(maxsize=None)
    async def page(self) -> int:
        return self.number

    @async_cache()
    async def twice(self) -> int:
        return self.number * 2


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class Frozen:
    """Equal to its like, and hashable."""

    number: int

    @async_cache(maxsize=None)
    async def page(self) -> int:
        return self.number


class Slotted:
    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number

    @async_cache(maxsize=None)
    async def page(self) -> int:
        return self.number


async def _page(self: Any) -> int:
    number: int = self.number
    return number


class Late:
    def __init__(self, number: int) -> None:
        self.number = number

    page = async_cache(maxsize=None)(_page)


class Stacked(Row):
    @async_cache(maxsize=None)
    @async_cache(maxsize=None)
    async def page(self) -> int:
        return self.number


@pytest.mark.parametrize("kind", [Row, Frozen, Slotted, Late, Stacked])
async def test_an_instance_is_freed_and_not_taken_for_its_successor(kind: Any) -> None:
    """As soon as nobody else holds it, with its results still cached; none is in its __dict__."""
    for number in range(300):
        instance = kind(number)
        assert await instance.page() == await kind.page(instance) == number
        assert not hasattr(instance, "__dict__") or vars(instance) == {"number": number}
        alive = weakref.ref(instance)
        del instance
        assert alive() is None
    assert kind.page._calls.key.owners == {}


async def test_instances_that_are_equal_are_two() -> None:
    """One may change, and the other not: identity tells them apart."""
    one, two = Row(1), Row(1)
    assert await one.page() == await two.page() == 1
    one.number = two.number = 2
    assert await one.page.invalidate() is True
    assert (await one.page(), await two.page()) == (2, 1)


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
async def test_a_copy_has_entries_of_its_own(clone: Any) -> None:
    """It may be changed, so it is not served what the original was."""
    one = Row(1)
    await one.page()
    two = clone(one)
    two.number = 2
    assert (await one.page(), await two.page()) == (1, 2)


async def test_an_instance_in_a_circle_of_references_is_freed() -> None:
    """By the garbage collector, also while its method is held."""
    row: Any = Row(1)
    row.myself = row
    row.bound = row.page
    await row.bound()
    alive = weakref.ref(row)
    del row
    gc.collect()
    assert alive() is None


async def test_an_instance_is_freed_after_a_failed_and_a_cancelled_call() -> None:
    """Nothing that is left of a load holds it."""

    class Failing:
        loads = Loads()

        @async_cache(stale_if_error=60)
        async def page(self) -> Any:
            return await self.loads()

    failing = Failing()
    first = await begin(failing.page())
    failing.loads[0].set_exception(ConnectionError("down"))
    with pytest.raises(ConnectionError):
        await first
    second = await begin(failing.page())
    second.cancel()
    await turns()
    alive = weakref.ref(failing)
    Failing.loads.begun.clear()  # the error that it was given came by the instance
    del failing, first, second
    gc.collect()
    assert alive() is None


async def test_without_room_for_a_weak_reference_it_is_a_type_error() -> None:
    """It says what to add, or to use key=, which works."""

    class Tight:
        __slots__ = ("number",)

        @async_cache()
        async def page(self) -> int:
            return 1

        @async_cache(key=lambda self: self.number)
        async def keyed(self) -> int:
            number: int = self.number
            return number

    tight = Tight()
    with pytest.raises(TypeError, match=r"Tight has no room .*__weakref__.*key="):
        await tight.page()
    for tight.number in (1, 2):
        assert await tight.keyed() == tight.number


async def test_in_a_shared_store_a_method_needs_key() -> None:
    """Another process does not know this instance; key= is given it."""
    store: Any = SharedStore()

    class Shared:
        def __init__(self, tenant: int) -> None:
            self.tenant = tenant

        @async_cache(cache=store, name="page")
        async def page(self, user: int) -> None: ...

        @async_cache(cache=store, name="keyed", key=lambda self, user: (self.tenant, user))
        async def keyed(self, user: int) -> int:
            return self.tenant

    with pytest.raises(TypeError, match=r"Shared.page is a method.*key="):
        await Shared(1).page(7)
    assert [await Shared(tenant).keyed(7) for tenant in (1, 2, 1)] == [1, 2, 1]
    assert len(store.values) == 2


async def test_in_a_shared_store_a_bound_method_needs_key() -> None:
    """A name does not tell the instance it is bound to."""
    store: Any = SharedStore()
    one, two = (async_cache(key=lambda user: user)(Shop(name).page) for name in ("one", "two"))
    for method in (Loads().__call__, Shop().page, one, async_cache()(Loads().__call__)):
        for name in (None, "page"):
            with pytest.raises(TypeError, match=r"is a method.*key="):
                async_cache(cache=store, name=name)(method)
    keyed = [
        async_cache(cache=store, key=lambda user, shop=shop: (shop, user))(method)
        for shop, method in [("one", one), ("two", two)]
    ]
    assert [(await method(1))[0] for method in keyed * 2] == ["one", "two"] * 2
    assert len(store.values) == 2


async def test_in_a_shared_store_a_method_bound_to_a_class_is_told_by_its_class() -> None:
    """A subclass that inherits it has entries of its own."""
    store: Any = SharedStore()
    for kind in (Shop, Branch, Shop):
        assert await async_cache(cache=store)(kind.of_class)(1) == (kind.__name__, 1)
    assert len(store.values) == 2


# -- what else can be called -------------------------------------------------------------------


async def test_functions_of_one_name_in_a_function_are_told_apart() -> None:
    """In one cache: each call of the outer function makes another inner one."""
    cache = AsyncCache()

    def make(answer: int) -> Any:
        @async_cache(cache=cache)
        async def page(user: int) -> int:
            return answer

        return page

    one, two = make(1), make(2)
    assert [await one(7), await two(7), await one(7)] == [1, 2, 1]
    await one.cache_clear()
    assert cache.stats().size == 1


async def test_a_partial_is_cached_by_what_is_left_open() -> None:
    """Also one of a cached function, which shares its entries with that."""
    runs: list[Any] = []

    async def page(shop: str, user: int, *, lang: str = "en") -> tuple[str, int, str]:
        runs.append((shop, user, lang))
        return shop, user, lang

    cached: Any = async_cache()(functools.partial(page, "shop", lang="de"))
    assert await cached(1) == await cached(user=1) == await cached(1, lang="de")
    assert runs == [("shop", 1, "de")]
    assert inspect.iscoroutinefunction(cached)

    whole = async_cache()(page)
    of_shop = functools.partial(whole, "shop")
    assert await of_shop(1) == await whole("shop", 1) == await of_shop(user=1)
    assert len(runs) == 2


async def test_an_object_with_an_async_call_is_cached() -> None:
    """And one cached function in another."""

    class Page:
        runs = 0

        async def __call__(self, user: int) -> int:
            self.runs += 1
            return user

    function = Page()
    cached: Any = async_cache()(function)
    twice = async_cache()(cached)
    assert await cached(1) == await cached(user=1) == await twice(1) == await twice(1) == 1
    assert function.runs == 1
    assert twice.__wrapped__ is cached
    assert twice.cache is not cached.cache
    with pytest.raises(TypeError, match="needs an async function"):
        async_cache()(Page)  # type: ignore[arg-type]


async def test_what_is_cached_is_cached_again_and_again() -> None:
    """A function, and what a method of an instance or a class leaves open."""
    thrice = async_cache()(async_cache()(async_cache()(answer)))
    assert await thrice(1) == await thrice(value=1) == 1
    assert thrice.cache_info().loads == 1

    class Twice:
        @async_cache()
        @async_cache()
        async def page(self, user: int, lang: str = "en") -> tuple[int, str]:
            return user, lang

    for method in (Twice().page, Shop().page, Shop.of_class):
        cached: Any = async_cache()(method)
        assert await cached(1) == await cached(user=1) == await method(1)
        assert cached.cache_info().loads == 1


async def test_a_cached_method_is_cached_anew_with_other_terms() -> None:
    """After the first was called, too: the new one is not passed by."""

    class Anew(Shop):
        page = async_cache(maxsize=5)(vars(Shop)["page"])

    await Shop().page(1)
    assert await Anew("anew").page(1) == ("anew", 1, "en")
    assert Anew.page.cache is Anew().page.cache is vars(Anew)["page"].cache
    assert Anew.page.cache_info().loads == 1


async def test_a_method_in_two_caches_has_the_same_instance_in_both() -> None:
    """However it got there; so what is forgotten in the inner one is loaded again."""

    class Outer(Shop):
        page = async_cache(0)(Shop.page)

    shop = Outer("outer")
    for _ in range(2):
        assert await shop.page(1) == await shop.page.__wrapped__(1) == ("outer", 1, "en")
    assert shop.runs == 1
    assert await Shop.page.invalidate(shop, 1) is True
    await shop.page(1)
    assert shop.runs == 2


async def test_abstract_methods_and_enums() -> None:
    """The first stay abstract, and an Enum takes a cached method for a method."""

    class Base(ABC):
        @async_cache()
        @abstractmethod
        async def page(self) -> int: ...

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]

    class Colour(Enum):
        RED = 1
        BLUE = 2

        @async_cache()
        async def page(self) -> int:
            number: int = self.value
            return number

    assert list(Colour) == [Colour.RED, Colour.BLUE]
    assert [await colour.page() for colour in (*Colour, *Colour)] == [1, 2, 1, 2]


async def test_a_method_called_without_an_instance_says_so() -> None:
    """As Python does."""
    with pytest.raises(
        TypeError, match="missing 2 required positional arguments: 'self' and 'user'"
    ):
        await Shop.page()  # type: ignore[call-arg]


async def test_what_can_be_no_method_says_so_when_it_is_called() -> None:
    """It takes no instance."""

    class Wrong:
        @async_cache()
        async def page() -> None:  # type: ignore[misc]
            ...

    for call in (Wrong().page, lambda: Wrong.page(self=1)):
        with pytest.raises(TypeError, match="page"):
            await call()


async def test_callers_of_a_method_share_a_run_for_each_instance() -> None:
    """Fifty callers of two instances: two runs."""
    one, two = Shop("one"), Shop("two")
    answers = await asyncio.gather(*(shop.page(1) for shop in [one, two] * 25))
    assert answers == [("one", 1, "en"), ("two", 1, "en")] * 25
    assert (one.runs, two.runs) == (1, 1)
