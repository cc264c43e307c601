"""The functions that answer the calls of a cached function, made with that one's own parameters.

So it is Python that binds arguments to parameters, in C, and that says what is wrong with a call.
They are made from text, as `dataclasses` and `namedtuple` make functions.
"""

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import partial, update_wrapper
from inspect import Parameter, Signature
from typing import Any

from cachepool_lib.decorator.call_key import DEFAULT, CallKey

Start = Callable[[], Awaitable[Any]]
Call = Callable[..., Coroutine[Any, Any, Any]]
Bind = Callable[..., tuple[Hashable, Start]]

# Names of ours begin with an @, which becomes a prefix that no parameter has: parameters may be
# called `key`, `type` or `lookup`, too.
TEXT = """
async def @call({parameters}):
    @made = {plain_key} if {is_plain} else {key}
    @found = @lookup(@made, @MISSING)
    if @found is not @MISSING:
        return @found
    return await @load(@made, @partial(@function, {arguments}))

def @bind({parameters}):
    return {key}, @partial(@function, {arguments})
"""


def wrap(
    key: CallKey,
    function: Callable[..., Awaitable[Any]],
    custom: Callable[..., Hashable] | None,
    lookup: Callable[[Hashable, Any], Any] | None,
    load: Callable[[Hashable, Start], Awaitable[Any]],
    *,
    method: bool,
) -> tuple[Call, Bind]:
    """Two functions with the parameters that *key* knows.

    The first answers a call, with `lookup(key, default)` or else `await load(key, start)`, where
    *start* is *function* with its arguments. The second returns the key and the start of a call.
    With *custom*, what that returns is the key. Of a *method*, the first argument is the instance.
    """
    parameters = key.signature.parameters
    prefix = "_cachepool_"
    while any(name.startswith(prefix) for name in parameters):
        prefix += "_"
    ours: dict[str, Any] = {
        "function": function,
        "custom": custom,
        "lookup": lookup or (lambda key, default: default),
        "MISSING": object(),
        "load": load,
        "key": key.of_call,
        "typed": key.typed,
        "group": key.group,
        "plain": key.plain,
        "empty": key.typed((), ""),  # no *args, or no **kwargs
        "owner_of": key.owner,
        "owners": key.owners,
        "defaults": {name: each.default for name, each in parameters.items()},
        "DEFAULT": DEFAULT,
        **{each.__name__: each for each in (partial, map, type, id)},
    }
    names = {prefix + name: value for name, value in ours.items()}
    text = _text(key, custom=custom is not None, method=method).replace("@", prefix)
    exec(compile(text, f"<cached {key.title}>", "exec"), names)
    call, bind = names[f"{prefix}call"], names[f"{prefix}bind"]
    for made in call, bind:
        made.__name__ = made.__qualname__ = key.title  # it is in the error of a wrong call
        made.__signature__ = key.signature  # that with the defaults as they are
        update_wrapper(made, function)
    return call, bind


def _text(key: CallKey, *, custom: bool, method: bool) -> str:
    """TEXT for one function.

    A key of plain values alone is what CallKey would make of them, and is made here, sooner. Of an
    instance that is the owner that it was given before.
    """
    declared, is_plain, plain_key, values, arguments = [], [], [], [], []
    for parameter in key.signature.parameters.values():
        name = argument = parameter.name
        shown = parameter.replace(annotation=Parameter.empty)
        if name in key.defaults:
            shown = shown.replace(default=_Unquoted("@DEFAULT"))
            argument = f"@defaults[{name!r}] if {name} is @DEFAULT else {name}"
        elif parameter.default is not Parameter.empty:
            shown = shown.replace(default=_Unquoted(f"@defaults[{name!r}]"))
        declared.append(shown)
        values.append(name)
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            is_plain.append(f"not {name}")
            plain_key.append("@empty")
            arguments.append(str(shown))  # with its stars
        else:
            is_plain.append(f"@type({name}) in @plain")
            plain_key.append(name)
            by_name = parameter.kind is Parameter.KEYWORD_ONLY
            arguments.append(f"{name}={argument}" if by_name else argument)
    if method and declared:
        first = values[0]
        if declared[0].kind is Parameter.VAR_POSITIONAL:
            values[0] = f"(*@map(@owner_of, {first}[:1]), *{first}[1:])"
        else:
            values[0] = f"@owner_of({first})"
            is_plain[0] = f"(@owner := @owners.get(@id({first}))) and @owner() is {first}"
            plain_key[0] = "@owner"
    texts = {
        "parameters": str(Signature(declared))[1:-1],
        "is_plain": " and ".join(is_plain) or "True",
        "plain_key": f"({', '.join(['@group', *plain_key])},)",
        "key": f"@key({', '.join(values)})",
        "arguments": ", ".join(arguments),
    }
    if custom:
        texts["is_plain"] = "False"
        texts["key"] = "(@group, @typed(@custom({arguments}), 'what key= returns'))".format(**texts)
    return TEXT.format(**texts)


class _Unquoted(str):
    """Text that is printed as it is."""

    __repr__ = str.__str__
