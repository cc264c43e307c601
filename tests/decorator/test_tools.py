"""What takes functions and methods takes cached ones: pydantic, FastAPI, inspect, copy, mock."""

import copy
import functools
import inspect
import json
import pydoc
import types
import typing
import weakref
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import fastapi
import pydantic
import pytest

from cachepool_lib import async_cache

pytestmark = pytest.mark.anyio


@async_cache()
async def page(user: int, lang: str = "en", tags: list[str] = []) -> str:  # noqa: B006
    """A page."""
    return f"{user} {lang}"


class Shop:
    @async_cache()
    async def page(self, user: int, lang: str = "en") -> str:
        """A page of a shop."""
        return f"{user} {lang}"

    @classmethod
    @async_cache()
    async def of_class(cls, user: int, lang: str = "en") -> str:
        """A page of all shops."""
        return f"{user} {lang}"

    @staticmethod
    @async_cache()
    async def static(user: int, lang: str = "en") -> str:
        """A page of no shop."""
        return f"{user} {lang}"


shop = Shop()
KINDS: list[Any] = [page, shop.page, Shop.of_class, Shop.static]
each_kind = pytest.mark.parametrize(
    "function", KINDS, ids=["function", "method", "classmethod", "staticmethod"]
)


async def test_a_model_of_pydantic_may_have_cached_methods() -> None:
    """They are no fields; the model is validated and serialized as without them."""

    class User(pydantic.BaseModel):
        number: int = 1

        @async_cache()
        async def page(self, lang: str) -> str:
            return f"{self.number} {lang}"

        @classmethod
        @async_cache()
        async def of_class(cls, lang: str) -> str:
            return f"{cls.__name__} {lang}"

        @staticmethod
        @async_cache()
        async def static(lang: str) -> str:
            return lang

    one, two = User(number=1), User.model_validate_json('{"number": 2}')
    assert list(User.model_fields) == ["number"]
    assert [await one.page("en"), await two.page("en")] == ["1 en", "2 en"]
    assert await User.of_class("en") == await one.of_class("en") == "User en"
    assert await User.static("en") == "en"
    one.number = 5
    assert await one.page("en") == "1 en"
    assert await one.page.invalidate("en") is True
    assert await one.page("en") == "5 en"
    assert one.model_dump() == {"number": 5} and one.model_dump_json() == '{"number":5}'
    assert one == User(number=5) and one.model_copy() == one
    with pytest.raises(pydantic.ValidationError):
        User.model_validate({"number": "x"})


@each_kind
async def test_pydantic_validates_the_arguments_of_a_call(function: Any) -> None:
    """TypeAdapter and validate_call, which read its parameters, and await what it returns."""
    adapter: Any = pydantic.TypeAdapter(function)
    assert await adapter.validate_json('["1"]') == "1 en"
    with pytest.raises(pydantic.ValidationError):
        adapter.validate_json('["x"]')
    checked: Any = pydantic.validate_call(validate_return=True)(function)
    assert await checked("1", lang="de") == "1 de"
    for wrong in ((), ("x",), (1, "en", "more", 4)):
        with pytest.raises(pydantic.ValidationError):
            await checked(*wrong)
    assert inspect.signature(checked) == inspect.signature(function)


async def test_it_may_cache_what_pydantic_validates() -> None:
    """The other way round: the arguments are part of the key as they came."""
    runs = []

    @async_cache()
    @pydantic.validate_call
    async def number(value: int) -> int:
        runs.append(value)
        return value

    assert [await number(1), await number("1"), await number(1)] == [1, 1, 1]  # type: ignore[arg-type]
    assert runs == [1, 1]


async def asked(app: Any, path: str, query: str) -> tuple[int, Any]:
    """The status and the body that *app* answers with, asked as a server asks it."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "GET", "path": path, "query_string": query.encode()},
        **{"headers": [], "http_version": "1.1", "scheme": "http", "server": ("test", 80)},
    }
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))


@each_kind
async def test_fastapi_takes_it_for_a_dependency_and_for_an_endpoint(function: Any) -> None:
    """It awaits it, and asks the request for its parameters."""
    app = fastapi.FastAPI()
    dependency: Any = fastapi.Depends(function)

    @app.get("/depends")
    async def depends(page: Any = dependency) -> Any:
        return {"page": page}

    app.get("/itself")(function)
    assert await asked(app, "/depends", "user=7") == (200, {"page": "7 en"})
    assert await asked(app, "/itself", "user=7&lang=de") == (200, "7 de")
    for path in "/depends", "/itself":
        assert (await asked(app, path, "user=x"))[0] == 422
    parameters = app.openapi()["paths"]["/depends"]["get"]["parameters"]
    assert {"user", "lang"} <= {parameter["name"] for parameter in parameters}


def told(function: Any) -> list[Any]:
    """What Python can tell of *function*."""
    return [
        *(inspect.signature(function), inspect.signature(function, follow_wrapped=False)),
        *(inspect.getfullargspec(function), typing.get_type_hints(function)),
        *(inspect.iscoroutinefunction(function), inspect.isroutine(function)),
        *(inspect.isfunction(function), inspect.ismethod(function), callable(function)),
        *(isinstance(function, types.FunctionType), isinstance(function, types.MethodType)),
        *(inspect.getdoc(function), inspect.getsource(function), inspect.getmodule(function)),
        *(function.__name__, function.__qualname__, function.__module__, function.__doc__),
        *(function.__code__, function.__defaults__, function.__kwdefaults__),
        *(function.__globals__, function.__closure__, function.__annotations__),
        getattr(function, "__self__", None),
    ]


@pytest.mark.parametrize("cached", [page, shop.page, Shop.page, Shop.static])
async def test_python_tells_of_it_what_it_tells_of_the_function(cached: Any) -> None:
    """Its parameters, its source, and that it is an async function or method."""
    assert told(cached) == told(cached.__wrapped__)
    assert inspect.unwrap(cached) == cached.__wrapped__
    assert cached.__name__ in pydoc.render_doc(cached)
    assert {"invalidate", "cache_info", "__wrapped__"} <= set(dir(cached))


async def test_a_method_can_be_held_weakly() -> None:
    """As bound methods are, by WeakMethod."""
    own = Shop()
    held = weakref.WeakMethod(own.page)  # type: ignore[arg-type]
    method: Any = held()
    assert method == own.page and await method(1) == "1 en"
    del own, method
    assert held() is None


async def test_functions_that_wrap_it_are_looked_through() -> None:
    """functools.wraps over it, and under it."""

    @functools.wraps(page)
    async def over(*args: Any, **kwargs: Any) -> Any:
        return await page(*args, **kwargs)

    assert inspect.unwrap(over) is page.__wrapped__
    assert inspect.signature(over) == inspect.signature(page)
    assert await over(1) == "1 en"


async def test_a_cached_partial_is_copied_as_a_function_is() -> None:
    """As it is; also deeply, within what holds it."""

    async def pair(one: int, two: int) -> tuple[int, int]:
        return one, two

    cached: Any = async_cache()(functools.partial(pair, 1))
    for each in copy.copy(cached), copy.deepcopy(cached), copy.deepcopy({"it": [cached]})["it"][0]:
        assert each is cached
    assert await cached(2) == (1, 2)
    assert list(inspect.signature(cached).parameters) == ["two"]
    of_cached = copy.deepcopy(functools.partial(page, 1))
    assert await of_cached() == await page(1)


async def test_a_copy_of_what_holds_its_own_method_holds_the_copys() -> None:
    """As with methods that are not cached."""

    class Holder:
        def __init__(self) -> None:
            self.number = 1
            self.bound: Any = self.page

        @async_cache()
        async def page(self) -> int:
            return self.number

    one = Holder()
    assert await one.bound() == 1
    two = copy.deepcopy(one)
    two.number = 2
    assert [await two.bound(), await one.bound(), await two.page()] == [2, 1, 2]


@each_kind
async def test_mock_makes_one_of_the_same_parameters(function: Callable[..., Any]) -> None:
    """autospec: it is awaited, and a wrong call is refused."""
    spec: Any = mock.create_autospec(function, return_value="mocked")
    assert await spec(1) == "mocked"
    spec.assert_awaited_once_with(1)
    with pytest.raises(TypeError, match="user"):
        wrong: Awaitable[Any] = spec()
        await wrong


async def test_mock_patches_a_cached_method() -> None:
    """Of a class and of an instance, and the cached one is back afterwards."""
    own = Shop()
    with mock.patch.object(Shop, "page", autospec=True, return_value="mocked") as patched:
        assert await own.page(1) == "mocked"
        patched.assert_awaited_once_with(own, 1)
    with mock.patch.object(own, "page", autospec=True, return_value="mocked"):
        assert await own.page(1) == "mocked"
    double: Any = mock.create_autospec(Shop)()
    double.page.return_value = double.of_class.return_value = "mocked"
    assert [await double.page(1), await double.of_class(1)] == ["mocked"] * 2
    assert await own.page(1) == await Shop.of_class(1) == "1 en"
