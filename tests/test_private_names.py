"""The library reaches for nobody else's private names: their next release may change them.

A name with a leading underscore is ours where the folder that uses it brings it into being, as a
method, an attribute, a function, a module. In `getattr` and its kin the text counts.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cachepool_lib"
BY_TEXT = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"}

# Documented, though they begin so: of namedtuples, and of os.
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_exit"}

# Folders that still reach for such names. Whoever mends one takes it out.
NOT_YET = {"lab/notebook", "lab/simulation"}


def is_private(name: str) -> bool:
    dunder = name.startswith("__") and name.endswith("__")
    return name.startswith("_") and name not in DOCUMENTED | {"_"} and not dunder


def texts(node: ast.AST) -> Iterator[str]:
    """All texts in *node*; of one with dots its parts, as `attrgetter` takes them."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield from part.value.split(".")


def made(tree: ast.Module) -> set[str]:
    """The names that *tree* brings into being."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                names.add(node.attr)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Assign(targets=[ast.Name(id="__slots__")]):
                names.update(texts(node.value))
            case ast.Dict():  # of a class that is made with `type`
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "__slots__":
                        names.update(texts(value))
    return names


def used(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Names by which *tree* reaches into something: attributes, imports, texts."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute():
                yield node.lineno, node.attr
            case ast.ImportFrom() | ast.Import():
                for alias in node.names:
                    for name in [
                        *alias.name.split("."),
                        *(getattr(node, "module", "") or "").split("."),
                    ]:
                        yield node.lineno, name
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in BY_TEXT:
                for argument in [*node.args, *node.keywords]:
                    for text in texts(argument):
                        yield node.lineno, text


def reached_for(*trees: ast.Module) -> list[tuple[int, str]]:
    """What *trees*, the files of a folder, use and do not make."""
    ours = set().union(*map(made, trees)) | {path.stem for path in PACKAGE.rglob("*")}
    found = [use for tree in trees for use in used(tree)]
    return [(line, name) for line, name in found if is_private(name) and name not in ours]


def folders() -> list[str]:
    paths = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    return sorted(paths)


@pytest.mark.parametrize("folder", folders())
def test_no_private_name_of_somebody_elses(folder: str) -> None:
    """Not as an attribute, not in an import, not as a text for getattr."""
    files = sorted((PACKAGE / folder).glob("*.py"))
    found = reached_for(*(ast.parse(path.read_text(encoding="utf-8")) for path in files))
    if folder in NOT_YET:
        assert found, f"{folder} is clean now: take it out of NOT_YET"
    else:
        assert not found, f"{folder}: {found}"


@pytest.mark.parametrize(
    "code",
    [
        "connection._protocol",
        "connection._con._protocol.abort()",
        "connection._proxy = None",
        'getattr(connection, "_protocol")',
        'operator.attrgetter("a._protocol")(connection)',
        'setattr(connection, "_proxy", None)',
        'delattr(connection, "_proxy")',
        "from asyncpg.connect_utils import _cancel",
        "import asyncpg._version",
        "from asyncpg import _version",
        "sys._getframe(1)",
        "class Ours(asyncpg.Connection):\n    def close(self):\n        return self._abort()",
    ],
)
def test_it_is_found(code: str) -> None:
    """Wherever it hides."""
    assert reached_for(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "class Ours:\n    def _mine(self): ...\n\ndef use(ours):\n    return ours._mine()",
        "class Ours:\n    __slots__ = ('_mine',)\n\ndef use(ours):\n    return ours._mine",
        "class Ours:\n    def __init__(self):\n        self._mine = 1\n\ndef use(o):\n    o._mine",
        "from cachepool_lib._validate import whole",
        "def use(thing):\n    return thing.__class__, getattr(thing, '__notes__')",
        "for _ in range(3): ...",
    ],
)
def test_what_is_ours_is_not(code: str) -> None:
    """Nor a name that Python itself has."""
    assert not reached_for(ast.parse(code))
