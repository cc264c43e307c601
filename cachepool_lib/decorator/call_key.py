"""CallKey: how the calls of one function are told apart. Equal keys are one call."""

import weakref
from collections.abc import Hashable
from inspect import Signature
from typing import Any, cast

from cachepool_lib.decorator.shared_name import SharedName, stable_name, unknown_instance


class Default(tuple[str]):
    """Stands in keys for a parameter left at its default. Equals nothing that `typed` makes."""

    __slots__ = ()


DEFAULT = Default(("default",))


class Owner(weakref.ref[Any]):
    """Stands in keys for an instance: keeps it not alive, and equals nothing but itself."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


# No value of one of these types equals a value of another, so they need no mark of their type.
PLAIN = frozenset({str, int, type(None), Default, Owner})


class CallKey:
    """Makes the keys of one function.

    Args:
        title: what the function is called in errors.
        name: what its keys begin with in a store that processes share. In memory, without one, it
            is this object, which equals nothing but itself.
        signature: the parameters, whose values follow.
    """

    def __init__(self, title: str, name: SharedName | None, signature: Signature) -> None:
        self.title = title
        self.name = name
        self.group: Hashable = name.text if name else self
        self.signature = signature
        self.owners: dict[int, Owner] = {}
        # A class is the first argument of a classmethod; other processes don't know it.
        self.plain = PLAIN if name else PLAIN | {type}
        parameters = signature.parameters.values()
        self.names = [str(p.replace(annotation=p.empty, default=p.empty)) for p in parameters]
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        # A plain default stands for itself: passed or left out, it is the same.
        self.defaults = {n: d for n, d in defaults.items() if type(d) not in self.plain}

    def __repr__(self) -> str:  # in the log, for instance, where a load failed
        return self.title

    def of_call(self, *values: Any) -> Hashable:
        """The key of a call with these *values* of the parameters, DEFAULT for one left out.

        Raises TypeError for a value that can't be part of a key.
        """
        return self.group, *map(self._part, values, self.names)

    def _part(self, value: Any, name: str) -> Hashable:
        if name in self.defaults and _alike(value, self.defaults[name]):
            return DEFAULT
        if name.startswith("**"):
            value = tuple(sorted(value.items()))  # no name is there twice, so no value is compared
        return self.typed(value, name)

    def typed(self, value: Any, name: str) -> Hashable:
        """*value* with its type, so that what is equal and of another type differs."""
        kind = type(value)
        if kind in self.plain:
            return cast(Hashable, value)
        mark = stable_name(kind, "say with key= how to make a key") if self.name else kind
        if issubclass(kind, tuple) and kind.__eq__ is tuple.__eq__:
            return mark, *(self.typed(part, name) for part in value)
        if issubclass(kind, frozenset) and kind.__eq__ is frozenset.__eq__:
            return mark, frozenset(self.typed(part, name) for part in value)
        try:
            hash(value)
        except TypeError as error:
            raise TypeError(
                f"{self.title}: {name} can't be part of a key ({error}): pass a tuple or "
                "another value that does not change, or say with key= how to make a key"
            ) from None
        return mark, value

    def owner(self, instance: object) -> Owner:
        """What stands for *instance* in keys. Raises TypeError if it can't be held weakly."""
        if self.name:
            raise unknown_instance(self.title)
        owners, number = self.owners, id(instance)
        owner = owners.get(number)
        if owner is None or owner() is not instance:  # that of one that is gone, with the same id
            try:
                owner = Owner(instance, lambda _: owners.pop(number, None))
            except TypeError:
                raise TypeError(
                    f"{self.title}: {type(instance).__name__} has no room for a weak reference: "
                    "add '__weakref__' to its __slots__, or say with key= what tells them apart"
                ) from None
            owners[number] = owner
        return owner


def _alike(one: Any, other: Any) -> bool:
    """Equal and of the same types, all the way down: [1] is not [True]."""
    if one is other:
        return True
    if type(one) is not type(other) or (one == other) is not True:  # arrays answer with an array
        return False
    if isinstance(one, list | tuple):
        return all(map(_alike, one, other))
    if isinstance(one, dict):
        one, other = one.items(), other.items()
    elif not isinstance(one, set | frozenset):
        return True
    return all(any(_alike(part, another) for another in other) for part in one)
