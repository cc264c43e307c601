# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Not run, but read by mypy --strict and pyright: what they know of a cached function.

Each line with a `type: ignore` is an error to both: they also complain of one that ignores nothing.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, assert_type

from cachepool_lib import AsyncCache, Cache, CacheStats, RedisCache, async_cache

T = TypeVar("T")


@async_cache(ttl=60)
async def page(user: int, /, lang: str = "en", *tags: str, deep: bool = False, **more: int) -> str:
    return "page"


@async_cache()
async def nothing() -> None: ...


def of_rows(rows: list[int]) -> tuple[int, ...]:
    return tuple(rows)


@async_cache(cache=AsyncCache(), key=of_rows, stale_if_error=60)
async def total(rows: list[int]) -> int:
    return sum(rows)


class Shop:
    @async_cache(maxsize=None)
    async def page(self, user: int, lang: str = "en") -> str:
        return "page"

    @classmethod
    @async_cache()
    async def of_class(cls, user: int) -> str:
        return "page"

    @staticmethod
    @async_cache()
    async def static(user: int) -> str:
        return "page"


class Branch(Shop):
    pass


class Anybodys:
    """A cache as somebody might write one."""

    shared = False

    async def get_or_load(
        self, key: Hashable, loader: Callable[[], Awaitable[T]], ttl: object = None
    ) -> T:
        return await loader()

    async def refresh(
        self, key: Hashable, loader: Callable[[], Awaitable[T]], ttl: object = None
    ) -> T:
        return await loader()

    async def delete(self, key: Hashable) -> bool:
        return False

    async def clear(self, group: Hashable = None) -> bool:
        return True

    def stats(self) -> CacheStats:
        return AsyncCache().stats()


async def functions(shared: RedisCache) -> None:
    assert_type(await page(1), str)
    assert_type(await page(1, "de", "a", "b", deep=True, z=1), str)
    await nothing()
    assert_type(await total([1]), int)
    assert_type(page.cache_info(), CacheStats)
    assert_type(await page.cache_clear(), bool)

    await page()  # type: ignore[call-arg]
    await page("1")  # type: ignore[arg-type]
    await page(user=1)  # type: ignore[call-arg]
    await page(1, deep=1)  # type: ignore[arg-type]
    await page(1, z="1")  # type: ignore[arg-type]
    await nothing(1)  # type: ignore[call-arg]
    page(1).upper()  # type: ignore[attr-defined]

    assert_type(await page.invalidate(1, "de", deep=True), bool)
    assert_type(await page.refresh(1, lang="de"), str)
    assert_type(await page.__wrapped__(1), str)
    await page.invalidate()  # type: ignore[call-arg]
    await page.invalidate("1")  # type: ignore[arg-type]
    await page.refresh(1, deep=1)  # type: ignore[arg-type]
    await page.__wrapped__("1")  # type: ignore[arg-type]

    assert_type(page.cache_key(1, "de"), Hashable)
    assert_type(page.cache, Cache)
    page.cache_key("1")  # type: ignore[arg-type]

    async_cache(cache=shared)
    async_cache(cache=Anybodys())
    async_cache(ttl=lambda page: 5 if page is None else None)
    async_cache(clock=lambda: 0.0, jitter=0.1)
    async_cache(jitter="1")  # type: ignore[arg-type]
    async_cache(cache=7)  # type: ignore[arg-type]
    async_cache(ttl="60")  # type: ignore[arg-type]
    async_cache(maxsize="1")  # type: ignore[arg-type]

    def sync(user: int) -> str:
        return "page"

    async_cache()(sync)  # type: ignore[arg-type]


async def methods() -> None:
    shop = Branch()
    assert_type(await shop.page(1), str)
    assert_type(await shop.page(1, lang="de"), str)
    assert_type(await Shop.page(shop, 1), str)
    await shop.page("1")  # type: ignore[arg-type]
    await shop.page()  # type: ignore[call-arg]
    await shop.page(shop, 1)  # type: ignore[arg-type]
    await Shop.page(1)  # type: ignore[call-arg, arg-type]

    assert_type(await shop.page.invalidate(1, lang="de"), bool)
    assert_type(await shop.page.refresh(user=1), str)
    assert_type(await Shop.page.invalidate(shop, 1), bool)
    await shop.page.invalidate("1")  # type: ignore[arg-type]
    await shop.page.invalidate(shop, 1)  # type: ignore[arg-type]
    await shop.page.refresh()  # type: ignore[call-arg]

    # Of a classmethod both know the call alone: what @classmethod gives has no more.
    assert_type(await Shop.of_class(1), str)
    assert_type(await shop.of_class(user=1), str)
    await Shop.of_class("1")  # type: ignore[arg-type]
    await Shop.of_class.invalidate(Shop, 1)  # type: ignore[attr-defined]

    # Through an instance, mypy takes a staticmethod for a method: call it through the class.
    assert_type(await Shop.static(1), str)
    assert_type(await Shop.static.invalidate(user=1), bool)
    await Shop.static("1")  # type: ignore[arg-type]
    await Shop.static.invalidate("1")  # type: ignore[arg-type]


async def as_arguments() -> None:
    async def call(function: Any) -> None: ...

    await call(page)
    await call(Shop().page)
