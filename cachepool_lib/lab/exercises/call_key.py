"""Feedback on exercise 03-1: same call, same key; other types, other keys."""

import inspect
from dataclasses import dataclass
from random import Random
from typing import Any

from cachepool_lib.lab.contracts.decorator.keys import Rows
from cachepool_lib.lab.exercises.calls import Call
from cachepool_lib.lab.notebook.checks import Checks, Unmet
from cachepool_lib.redis_cache.key_names import key_name

EXERCISES: Checks[Any] = Checks()
exercise = EXERCISES.add


async def page(a: Any, b: Any = 2) -> None: ...


async def f(*args: Any, **kwargs: Any) -> None: ...


NEARLY_EQUAL = (
    *(1, True, 1.0, "1", 2, 2.0, None, "", (1,), (True,), ("b", 2)),
    *(frozenset([1]), frozenset([True])),
)


def _spellings(a: Any, b: Any) -> tuple[list[Call], list[Call]]:
    """Calls of each function with these arguments."""
    of_page = [Call(page, a, b), Call(page, a, b=b), Call(page, b=b, a=a)]
    if b is page.__defaults__[0]:  # type: ignore[index]
        of_page += [Call(page, a), Call(page, a=a)]
    return of_page, [Call(f, a, b), Call(f, a, b=b), Call(f, a=a, b=b), Call(f, b=b, a=a)]


def _random_pair(random: Random) -> tuple[Call, Call]:
    """Two calls of one function; half of the pairs with the same arguments."""
    a, b = random.choice(NEARLY_EQUAL), random.choice((2, 2, *NEARLY_EQUAL))
    which = random.randrange(2)
    one = random.choice(_spellings(a, b)[which])
    if random.random() < 0.5:
        a = random.choice(NEARLY_EQUAL)
    return one, random.choice(_spellings(a, b)[which])


@dataclass(frozen=True)
class Name:
    """Equal to another of the same text, although it is another object."""

    text: str


def _cents(module: str, place: str) -> Any:
    """1, as a number of a type called Cents."""
    return type("Cents", (int,), {"__module__": module, "__qualname__": f"{place}Cents"})(1)


class User:
    """As in section 1: equal to nobody else, and printed with its address."""


BIND = (
    "inspect.signature(func).bind(*args, **kwargs) says what Python makes of a call; "
    "its apply_defaults() adds the rest."
)

TYPES = "Put the type beside the value."
APART = "Keep what was given by place apart from what was given by name."
INSIDE = "Look into tuples and frozensets: call yourself for what is in them."

NAMES = "Several types may be called Cents: name the module too, and use __qualname__."

ORDER = "A tuple is in order, and may hold the same twice: a set of its parts does not say so."
NO_ORDER = "Equal sets may be walked through in different orders: make a frozenset of their parts."

PRINTS = (
    "repr() and str() are for people, and leave things out. Put the argument itself in the key."
)

HASHES = (
    "A hash is no value: other values have the same. Return the tuple, and let the dict hash it."
)

ADDRESS = (
    "id() and the default repr() are an address: others get it later, and equal objects have two. "
    "Put the argument itself in the key."
)


@exercise("03-1", "Same call, same key; other types, other keys")
async def make_key(answer: Any) -> str:
    def key(call: Call) -> Any:
        case = f"make_key for {call!r}"
        try:
            made = answer(call.function, call.args, call.kwargs)
        except NotImplementedError:
            raise
        except Exception as error:
            got = f"{case} raised {type(error).__name__}: {error}"
            raise Unmet(expected=f"a key for {call!r} ({call.signature})", got=got) from None
        if inspect.iscoroutine(made):
            made.close()
            raise Unmet(
                expected="a key",
                got="make_key is async: its call makes a coroutine, and no key yet.",
                hint="Write `def make_key`: nothing in it has to wait.",
            )
        try:
            hash(made)
        except TypeError as error:
            raise Unmet(
                expected="something that a dict takes as a key",
                got=f"{case}: {error}.",
                hint="A list can change, a tuple can't: make it one with tuple(...)."
                if "'list'" in str(error)
                else "Turn a dict into tuple(sorted(kwargs.items())).",
            ) from None
        return made

    def same(one: Call, other: Call, got: str, hint: str) -> None:
        if key(one) != key(other):
            expected = f"one key for {one} and {other} ({one.signature})"
            raise Unmet(expected=expected, got=got, hint=hint)

    def differ(one: Call, other: Call, got: str, hint: str) -> None:
        if key(one) == key(other):
            expected = f"two keys for {one} and {other} ({one.signature})"
            raise Unmet(expected=expected, got=got, hint=hint)

    differ(Call(page, 1), Call(page, 3), "page(1) and page(3) share a key.", "Use the arguments.")
    same(
        Call(page, 1), Call(page, 1, b=2), "page(1) and page(1, b=2), its default, loaded twice.",
        BIND,
    )  # fmt: skip
    same(Call(page, 1), Call(page, a=1), "page(1) and page(a=1) loaded twice.", BIND)
    same(
        Call(f, a=1, b=2), Call(f, b=2, a=1), "f(a=1, b=2) and f(b=2, a=1) loaded twice.",
        "Sort what was given by name.",
    )  # fmt: skip
    differ(Call(page, "1"), Call(page, 1), "page('1') received page(1)'s result.", TYPES)
    differ(Call(page, True), Call(page, 1), "page(True) received page(1)'s result.", TYPES)
    got = "page(-1) received page(-2)'s result: the two have one hash."
    differ(Call(page, -1), Call(page, -2), got, HASHES)
    differ(Call(f, ("b", 2)), Call(f, b=2), "f(('b', 2)) and f(b=2) share a key.", APART)
    differ(Call(f, "a", 1), Call(f, a=1), "f('a', 1) and f(a=1) share a key.", APART)
    for ones in (((1,), (True,)), (frozenset([1]), frozenset([True]))):
        got = f"page({ones[1]}) received page({ones[0]})'s result."
        differ(Call(page, ones[0]), Call(page, ones[1]), got, INSIDE)
    got = "page(rows) received the result for other rows, which print alike."
    differ(Call(page, Rows(1, 2, 9)), Call(page, Rows(1, 7, 9)), got, PRINTS)
    one, equal = (Call(page, Name("Ada")) for _ in range(2))
    same(one, equal, f"{one} and {equal}, an equal one, loaded twice.", ADDRESS)
    users = 200
    if len({key(Call(page, User())) for _ in range(users)}) < users:  # each gone after its call
        raise Unmet(
            expected=f"{users} keys for {users} users, one after the other",
            got="A new user received the result of one who is gone.",
            hint=ADDRESS,
        )
    orders: Any = (((1, 3), (3, 1)), (((1, 3),), ((3, 1),)), (((1, 1),), ((1,),)))
    for pair in orders:
        one, other = (Call(page, *args) for args in pair)
        differ(one, other, f"{other} received {one}'s result.", ORDER)
    one, other = (Call(page, frozenset(numbers)) for numbers in ((0, 8), (8, 0)))  # in that order
    same(one, other, f"{one} and {other} loaded twice.", NO_ORDER)
    random = Random(3)
    for _ in range(3_000):
        one, other = _random_pair(random)
        if one.bound == other.bound:
            same(one, other, f"{one} and {other} loaded twice.", BIND)
        else:
            differ(one, other, f"{one} and {other} share a key.", TYPES)
    ours = _cents("shop", "")
    for theirs in (_cents("blog", ""), _cents("shop", "Page.")):
        kinds = [f"{type(cents).__module__}.{type(cents).__qualname__}" for cents in (ours, theirs)]
        got = f"A {kinds[1]} received the result for a {kinds[0]}."
        differ(Call(page, ours), Call(page, theirs), got, NAMES)
    for call in (Call(page, 1), Call(page, (1, "a")), Call(f, frozenset([1]), b=None)):
        try:
            key_name(key(call))
        except TypeError as error:
            raise Unmet(
                expected="a key that Redis can take, in section 6",
                got=f"make_key for {call!r}: {str(error).partition(':')[0]}.",
                hint="Put names of types into the key, as text, and not the types themselves.",
            ) from None
    return "3,000 pairs of calls"
