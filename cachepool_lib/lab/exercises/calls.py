"""Calls of functions as somebody writes them, for the exercises about keys."""

import inspect
from collections.abc import Callable
from typing import Any


class Call:
    """A call as somebody writes it."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs

    def __repr__(self) -> str:
        return self.written(self.function.__name__)

    def written(self, name: str) -> str:
        """The same arguments, given to what is called *name*."""
        given = [repr(value) for value in self.args]
        given += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{name}({', '.join(given)})"

    @property
    def signature(self) -> str:
        """How the function begins."""
        parameters = inspect.signature(self.function).parameters.values()
        bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
        return f"async def {self.function.__name__}{inspect.Signature(bare)}"

    @property
    def bound(self) -> Any:
        """What Python makes of it, with the type of everything."""
        arguments = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        arguments.apply_defaults()
        return {name: _with_types(value) for name, value in arguments.arguments.items()}


def _with_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_types(part) for name, part in value.items()}
    if isinstance(value, tuple | frozenset):
        return type(value), type(value)(map(_with_types, value))
    return type(value), value
