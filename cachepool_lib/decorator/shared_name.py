"""What a function is called in a store that processes share: the same in each, and nobody else."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary


def stable_name(thing: Any, hint: str) -> str:
    """The name of a function or a class in every process. Raises TypeError if it has none."""
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not qualname or module == "__main__" or "<locals>" in qualname:
        title = f"{module}.{qualname}" if qualname else type(thing).__name__
        raise TypeError(f"{title} has no name that is the same in every process: {hint}")
    return f"{module}.{qualname}"


def unknown_instance(title: str) -> TypeError:
    """What is raised for an instance in a store that processes share."""
    return TypeError(
        f"{title} is a method, and other processes don't know this instance: say with "
        "key= in the class what tells instances apart, as key=lambda self, x: (self.id, x)"
    )


class SharedName:
    """A name in a store. All functions of one origin hold the same one, and so keep it taken."""

    def __init__(self, text: str, origin: list[Any]) -> None:
        self.text = text
        self.origin = origin


def shared_name(
    store: object, name: str | None, function: Any, classes: Sequence[type]
) -> SharedName:
    """The name of *function* in *store*; without a *name* it is made of those in the program.

    *classes* are what the function is bound to: a subclass has the same function by the same name.
    Raises ValueError if another function has that name there.
    """
    named = function, *classes
    hint = "say with name= what it is called there"
    text = name or " of ".join(stable_name(thing, hint) for thing in named)
    origin = [_origin(thing) for thing in named]
    taken = _by_name.setdefault((id(store), text), SharedName(text, origin))
    if taken.origin != origin:
        raise ValueError(
            f"name={text!r} is that of another function in this store, "
            f"{'.'.join(taken.origin[0][:2])}: each would be given the results of the other"
        )
    return taken


# By the id of a store and the name. Weak: a name is free again when its functions are gone.
_by_name: WeakValueDictionary[tuple[int, str], SharedName] = WeakValueDictionary()


def _origin(function: Any) -> tuple[Any, ...]:
    """What says of a function which it is, also after its module was loaded again."""
    if type(function) is partial:
        return *_origin(function.func), function.args, function.keywords
    named = function if hasattr(function, "__qualname__") else type(function)
    return named.__module__, named.__qualname__
