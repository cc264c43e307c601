"""Whether an answer is plain Python: what it says can be judged by a check that runs beside it.

A check and the answer that it looks at share a process, so an answer that reaches for the check, or
for what the check asks with, could have it say anything. Before it runs it is read. Plain is what
computes, awaits and calls what it is given. Not plain: modules other than MODULES, names by which
one gets at frames, at modules or at code in a string, private names, objects that say they equal
others, and attributes set on what the answer was given. What our own solution of the exercise uses
is plain there.

This keeps out what a student finds in an evening, not somebody who makes a sport of it: Python has
more ways to its inside than a list can name. What is not plain may be honest: people read that.
"""

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

# Of some only these names: the others look into frames, or write files.
MODULES: dict[str, set[str] | None] = {
    "asyncio": None,
    "builtins": None,
    "cachepool_lib": None,
    "collections": None,
    "collections.abc": None,
    "contextlib": None,
    "contextvars": None,
    "copy": None,
    "dataclasses": None,
    "datetime": None,
    "decimal": None,
    "enum": None,
    "fractions": None,
    "functools": None,
    "hashlib": None,
    "heapq": None,
    "inspect": {"Parameter", "Signature", "isawaitable", "iscoroutine", "isfunction", "signature"},
    "itertools": None,
    "json": None,
    "logging": {"debug", "error", "exception", "getLogger", "info", "warning"},
    "math": None,
    "random": None,
    "re": None,
    "statistics": None,
    "string": None,
    "time": None,
    "types": {"MappingProxyType", "SimpleNamespace"},
    "typing": None,
    "uuid": None,
    "weakref": None,
}
_NAMED = (ast.Name, ast.Attribute)
_SHOWN = {"__class__", "__module__", "__name__", "__qualname__", "__aenter__", "__aexit__"}  # read
_DEFINED = {"__init__", "__slots__", "__enter__", "__exit__", "__aenter__", "__aexit__"}
_WORDS = re.compile(
    r"""
    __\w+__                                                        # how Python works inside
    | eval | exec | compile | open | input | breakpoint | help | exit | quit | __import__
    | getattr | setattr | delattr | vars | globals | locals        # a name in a string
    | attrgetter | methodcaller | import_module | make_dataclass
    | get_type_hints | ForwardRef | evaluate_forward_ref | eval_str | singledispatch\w*
    | tb_(frame|next) | f_(back|builtins|code|globals|locals|trace\w*)
    | (gi|cr|ag)_(await|code|frame|origin|yieldfrom) | co_code | mro
    | get_coro | get_stack | print_stack | \w*_exception_handler   # of tasks and loops
    | set_task_factory | set_event_loop\w* | \w*subprocess\w*
    """,
    re.X,
)


def not_plain(answer: ast.Module, ours: ast.Module, names: Mapping[str, Any]) -> list[str]:
    """What in *answer* is not plain, such as "line 3: sys"; empty if all of it is.

    *ours* is the stub and our solution, *names* what the notebook has defined for both.
    """
    answer = _Dotted().visit(answer)
    known = set(map(_last, _words(ours)))
    modules = _Modules(names, ours)
    found = [(at, word) for at, word in _words(answer) if _closed(at, word) and word not in known]
    mine = _may_be_set(answer, ours)
    found += [(n, f".{n.attr} = …") for n in _set(answer) if ast.unparse(n.value) not in mine]
    found += modules.misused(answer)
    found += [(n, str(n.value)) for n in _annotations(answer) if "(" in str(n.value)]
    found += [
        (n, "import *") for n in ast.walk(answer) if isinstance(n, ast.alias) and n.name == "*"
    ]
    lines = {(getattr(at, "lineno", 0), word) for at, word in found}
    return [f"line {line}: {word}" for line, word in sorted(lines)]


class _Dotted(ast.NodeTransformer):
    """`getattr(task, "name", None)` says no more than `task.name`: read as that."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name("getattr"), [value, ast.Constant(str(name)), *_], []):
                return ast.copy_location(ast.Attribute(value, name, ast.Load()), node)
        return node


def _last(found: tuple[ast.AST, str]) -> str:
    return found[1]


def _words(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every identifier, and each string that is one: `getattr(task, "cr_frame")` names it, too."""
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    parts = text.split(".") if text.replace(".", "").isidentifier() else []
                    yield from ((node, part) for part in parts)


def _closed(node: ast.AST, word: str) -> bool:
    """Whether this word needs to be read by somebody."""
    loaded = isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load)
    if word in _SHOWN and loaded:
        return False
    if word in _DEFINED and not isinstance(node, ast.Attribute):
        return False
    private = isinstance(node, ast.Attribute | ast.MatchClass) and word.startswith("_")
    return private or bool(_WORDS.fullmatch(word))


def _set(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Attributes that are set or deleted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node


def _may_be_set(answer: ast.Module, ours: ast.Module) -> set[str]:
    """On what attributes may be set: `self` in classes of the answer's own; and where our own
    solution keeps something in attributes of what it is given, on what the functions are given."""
    methods = {id(f) for c in ast.walk(answer) if isinstance(c, ast.ClassDef) for f in c.body}
    selves, given = set[str](), set[str]()
    for node in ast.walk(answer):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.arg for one in node.args.args]
            if id(node) in methods:
                selves.update(names[:1])
            else:
                given.update(names)
    ours_set = {ast.unparse(node.value) for node in _set(ours)}
    return ours_set | selves | given if ours_set else selves - given


def _annotations(tree: ast.AST) -> Iterator[ast.Constant]:
    """What stands in quotes as a type: some libraries run it."""
    for node in ast.walk(tree):
        for one in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if one is not None:
                yield from (n for n in ast.walk(one) if isinstance(n, ast.Constant))


class _Modules:
    """Which modules an answer may use, and what of them.

    A module's name stands before a dot and nowhere else: handed on, nobody sees what is taken of
    it. What our own solution takes, or uses by name, an answer may, too.
    """

    def __init__(self, names: Mapping[str, Any], ours: ast.Module) -> None:
        self.names = dict(names)
        self.ours = {ast.unparse(node) for node in ast.walk(ours) if isinstance(node, _NAMED)}

    def misused(self, answer: ast.Module) -> Iterator[tuple[ast.AST, str]]:
        before_dots = {id(n.value) for n in ast.walk(answer) if isinstance(n, ast.Attribute)}
        for node in ast.walk(answer):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self._imports(node)
        for node in ast.walk(answer):
            if not isinstance(node, _NAMED):
                continue
            handed_on = self._module(node) and id(node) not in before_dots
            if handed_on or (ast.unparse(node) not in self.ours and not self._is_known(node)):
                yield node, ast.unparse(node)

    def _is_known(self, node: ast.Name | ast.Attribute) -> bool:
        if isinstance(node, ast.Name):
            return self._home_is_known(node.id)
        module = self._module(node.value)
        return module is None or _may_take(module, node.attr)

    def _imports(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[ast.AST, str]]:
        """Look at an import; a module that it brings counts from then on."""
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if isinstance(node, ast.Import):
                home = what = alias.name
            else:
                home = "" if node.level else str(node.module)
                what = f"{'.' * node.level}{node.module or ''}.{alias.name}"
            listed = home in MODULES
            module = importlib.import_module(home) if listed else sys.modules.get(home)
            if isinstance(node, ast.ImportFrom):
                value = getattr(module, alias.name, None)
                listed = listed and _may_take(module, alias.name)
            else:
                value = module if alias.asname else sys.modules.get(name)
            if isinstance(value, ModuleType) and listed:
                # One name for two modules: nobody would see which one is meant.
                listed = self.names.setdefault(name, value) is value
            if not listed and (value is None or value is not self.names.get(name)):
                yield node, what  # and the notebook has not imported just that under this name

    def _module(self, node: ast.expr) -> ModuleType | None:
        """The module that the expression stands for."""
        value: Any = None
        if isinstance(node, ast.Name):
            value = self.names.get(node.id)
        elif isinstance(node, ast.Attribute) and (module := self._module(node.value)):
            value = getattr(module, node.attr, None)
        return value if isinstance(value, ModuleType) else None

    def _home_is_known(self, name: str) -> bool:
        """Whether what the notebook calls so comes from the notebook, or is of MODULES; errors may
        come from anywhere."""
        value = self.names.get(name)
        home = str(getattr(value, "__module__", None) or "builtins").partition(".")[0]
        error = isinstance(value, type) and issubclass(value, BaseException)
        return error or home in MODULES or home == "notebook"


def _may_take(module: ModuleType | None, name: str) -> bool:
    value = getattr(module, name, None)
    if isinstance(value, ModuleType):
        return value.__name__ in MODULES
    if module is None or module.__name__ not in MODULES:
        return False
    only = MODULES[module.__name__]
    return not name.startswith("_") and (only is None or name in only)
